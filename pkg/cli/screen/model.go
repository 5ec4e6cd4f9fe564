package screen

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	stages "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

// Format names the shape of Model in JSON and YAML. Fields may be added under this name, never changed or taken away.
const Format = "periplus.dev/run/v1"

// Model is one run, ready to be shown. It is what `periplus get -o json` prints; docs/cli.md describes it to users.
type Model struct {
	// Format is always the constant of that name.
	Format string `json:"format"`
	// At is the time that the model is about.
	At metav1.Time `json:"at"`
	// Kind of the root: PipelineRun, or CustomRun where no pipeline made it.
	Kind      string    `json:"kind"`
	Namespace string    `json:"namespace"`
	Name      string    `json:"name"`
	UID       types.UID `json:"uid,omitempty"`
	// Initiator who created the run; empty where it is not known.
	Initiator string       `json:"initiator,omitempty"`
	Started   *metav1.Time `json:"started,omitempty"`
	Finished  *metav1.Time `json:"finished,omitempty"`
	// Over is true once nothing of the run moves any more: the root is done and so is every stage.
	Over    bool    `json:"over"`
	Verdict Verdict `json:"verdict"`
	// Stages in the order of the DAG, finally last.
	Stages []Stage `json:"stages"`
	// Units of the members as last seen by any stage.
	Units []Unit `json:"units,omitempty"`
	// Unreachable members, of those that a running stage works on.
	Unreachable []Unreachable `json:"unreachable,omitempty"`
	// Guards as last judged, by stage.
	Guards []Guard `json:"guards,omitempty"`
	// Questions that are open.
	Questions []Question `json:"questions,omitempty"`
	// Interventions are what people did to the release, oldest first.
	Interventions []Intervention `json:"interventions,omitempty"`
	// Freezes that stop the run; none once it is over.
	Freezes []Freeze `json:"freezes,omitempty"`
	// Release is the record, once there is one.
	Release *Release `json:"release,omitempty"`
	// Stale says since when, and why, the hub is not seen any more, so that everything here is from before.
	Stale string `json:"stale,omitempty"`
	// Notes say what could not be read, and why.
	Notes []string `json:"notes,omitempty"`
}

// Held says whether the run goes on but does not get on before a person acts: it waits for an answer, is paused or frozen.
func (m *Model) Held() bool {
	if m.Over {
		return false
	}
	switch m.Verdict.State {
	case StateWaiting, StatePaused, StateHeldBack:
		return true
	}
	return len(m.Freezes) > 0
}

// State of a run.
type State string

// The states of a run.
const (
	// StateHeldBack while spec.status keeps the run from being started.
	StateHeldBack State = "HeldBack"
	// StateStarting until the first stage is begun.
	StateStarting State = "Starting"
	// StateRunning while stages get on by themselves.
	StateRunning State = "Running"
	// StatePaused while a pause holds the release. Stages that have not come to a safe point yet still get on.
	StatePaused State = "Paused"
	// StateWaiting while a person is needed.
	StateWaiting State = "Waiting"
	// StateFailing once a stage failed and the run is not over.
	StateFailing State = "Failing"
	// StateCancelling once somebody cancelled and the run is not over.
	StateCancelling State = "Cancelling"
	StateSucceeded  State = "Succeeded"
	StateFailed     State = "Failed"
	StateCancelled  State = "Cancelled"
	// StateRollingBack while what was touched is being taken back and nothing else goes on, StateRolledBack once it is back.
	StateRollingBack State = "RollingBack"
	StateRolledBack  State = "RolledBack"
)

// Verdict says in one line how a run stands and what it needs.
type Verdict struct {
	State State `json:"state"`
	// Text is the whole verdict in one line, without countdowns.
	Text string `json:"text"`
	// Stage that the verdict is about.
	Stage string `json:"stage,omitempty"`
	// Also are further stages that run at the same time.
	Also []string `json:"also,omitempty"`
	// Attempt and Attempts of the stage, where it may be tried more than once; Step and Steps where it has several.
	Attempt  int `json:"attempt,omitempty"`
	Attempts int `json:"attempts,omitempty"`
	Step     int `json:"step,omitempty"`
	Steps    int `json:"steps,omitempty"`
	// Reason in CamelCase and Message, of what failed or waits.
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`
	// For says what is waited for, since and until when, Who can unblock it and by which Command.
	For     string       `json:"for,omitempty"`
	Since   *metav1.Time `json:"since,omitempty"`
	Until   *metav1.Time `json:"until,omitempty"`
	Who     string       `json:"who,omitempty"`
	Command string       `json:"command,omitempty"`
	// Trouble of a pod or a member that keeps the stage from getting on.
	Trouble string `json:"trouble,omitempty"`

	// LastFailure is why the attempt before this one failed.
	LastFailure string `json:"lastFailure,omitempty"`

	// asked is true where For was made of a question, which says who may answer.
	asked bool
}

// StageState of one stage.
type StageState string

// The states of a stage.
const (
	// StagePending is not begun.
	StagePending StageState = "Pending"
	StageRunning StageState = "Running"
	// StageAsking runs and has an open question.
	StageAsking    StageState = "Asking"
	StageDone      StageState = "Done"
	StageFailed    StageState = "Failed"
	StageCancelled StageState = "Cancelled"
	// StageSkipped was never begun and never will be.
	StageSkipped StageState = "Skipped"
	// StageUnknown was begun, and its object is not there to say how it went.
	StageUnknown StageState = "Unknown"
)

// Stage is one task of the run.
type Stage struct {
	// Name of the pipeline task.
	Name string `json:"name"`
	// Run is the name of the object that carries it.
	Run string `json:"run,omitempty"`
	// Kind of stage, such as Canary; TaskRun or PipelineRun for Tekton's own.
	Kind    string     `json:"kind,omitempty"`
	Finally bool       `json:"finally,omitempty"`
	State   StageState `json:"state"`
	Reason  string     `json:"reason,omitempty"`
	Message string     `json:"message,omitempty"`
	// Started and Finished of the current attempt.
	Started  *metav1.Time `json:"started,omitempty"`
	Finished *metav1.Time `json:"finished,omitempty"`
	// Attempt counts from 1, up to Attempts.
	Attempt  int `json:"attempt,omitempty"`
	Attempts int `json:"attempts,omitempty"`
	// LastFailure is why the attempt before this one failed.
	LastFailure string `json:"lastFailure,omitempty"`
	// MayFail is true where the pipeline goes on after a failure of this stage.
	MayFail bool `json:"mayFail,omitempty"`
	// After names the stages that come before.
	After   []string           `json:"after,omitempty"`
	Step    *stages.StepStatus `json:"step,omitempty"`
	Waiting *stages.Waiting    `json:"waiting,omitempty"`
	// Ending is why the attempt is about to end, while what it moves is being held back.
	Ending *stages.Outcome `json:"ending,omitempty"`

	created metav1.Time
}

func (s Stage) running() bool { return s.State == StageRunning || s.State == StageAsking }

func (s Stage) over() bool {
	return s.State == StageDone || s.State == StageFailed || s.State == StageCancelled || s.State == StageSkipped
}

// Unit of a member as last seen.
type Unit struct {
	Member string `json:"member"`
	stages.UnitProgress
	// Stage that saw it.
	Stage string `json:"stage"`
	// AsOf is when that stage ended; absent while it watches.
	AsOf *metav1.Time `json:"asOf,omitempty"`
	// Unreachable is true where the member does not answer now, so that this is how it was before.
	Unreachable bool `json:"unreachable,omitempty"`
}

// Old is how many pods are on another revision than the new one.
func (u Unit) Old() int32 { return max(0, u.Replicas-u.Updated) }

func (u Unit) settled() bool {
	return u.Trouble == "" && !u.Unreachable && u.Updated >= u.Want && u.UpdatedAvailable >= u.Updated && u.Available >= u.Replicas
}

// Unreachable is a member that does not answer.
type Unreachable struct {
	Member string `json:"member"`
	// Message says since when, and what was tried.
	Message string `json:"message,omitempty"`
	Stage   string `json:"stage"`
}

// Guard as last judged for one member.
type Guard struct {
	Stage string `json:"stage"`
	// Current is true for the guards that decide what happens next, or decided what happened last.
	Current bool `json:"current"`
	stages.GuardStatus
}

// Question that is open.
type Question struct {
	Stage string `json:"stage"`
	// Run is the CustomRun that asks, and its UID.
	Run    string    `json:"run"`
	RunUID types.UID `json:"runUID"`
	stages.Question
	// Yes is how many people approved.
	Yes int32 `json:"yes"`
	// Command that answers it.
	Command string `json:"command"`
}

// Release is the record in short.
type Release struct {
	Name    string              `json:"name"`
	Phase   stages.ReleasePhase `json:"phase,omitempty"`
	Message string              `json:"message,omitempty"`
	// Root is the name of the run that it was made for.
	Root    string           `json:"root,omitempty"`
	Touched []stages.Touched `json:"touched,omitempty"`
	Moves   []stages.Move    `json:"moves,omitempty"`
	// Runs that carry it: its root, retries and children.
	Runs []stages.ReleaseRun `json:"runs,omitempty"`
	// Stages that succeeded; a retry does not do them again.
	Stages []stages.StageRecord `json:"stages,omitempty"`
	// Rollback that takes it back or took it back last.
	Rollback *stages.RollbackRecord `json:"rollback,omitempty"`
}
