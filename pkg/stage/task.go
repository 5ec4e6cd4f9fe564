package stage

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/plan"
)

// Task is one kind of stage.
type Task interface {
	// Kind in stages.periplus.dev.
	Kind() string
	// Results that every run of the kind emits on every terminal path, each with the value it has where the stage did not come to set it.
	Results() map[string]string
	// NewSpec returns an empty spec to decode into.
	NewSpec() Spec
	// Scope returns what the stage looks at in members, nil where it looks at none.
	Scope(spec Spec) *Scope
	// Step observes, decides, does at most one thing, and says what it waits for. It is called again and again, with whatever is observed then;
	// it must not rely on having been called before but for what it left in the run's status.
	Step(ctx context.Context, run *Run) (Outcome, error)
}

// Spec of a stage.
type Spec interface {
	// SetDefaults fills in what is empty.
	SetDefaults()
	// Validate says all that is wrong with the spec by itself.
	Validate(p *field.Path) field.ErrorList
}

// Scope is what a stage looks at in members.
type Scope struct {
	Target  string
	Members []string
	// MemberPath names the field that the i-th of members stands in.
	MemberPath     func(spec *field.Path, i int) *field.Path
	MemberSelector *metav1.LabelSelector
	// Waves chooses the members in place of Members and MemberSelector, in waves, out of the whole fleet.
	Waves     func(fleet []plan.Candidate, spec *field.Path) ([][]string, field.ErrorList)
	Guards    []v1alpha1.Guard
	GuardSets []string
	// Once is true where every guard is judged once, as Before guards are, whatever it says itself.
	Once bool
	// Workloads are the kinds of workload that the target may be; any where empty.
	Workloads []string
	// Moves is true where the stage moves workloads: what it moved is held back when it ends before its end.
	Moves bool
	// Back is true where the stage takes a release back: what it looks at is what that touched. It names no target, and members only where it searches
	// them for what was touched.
	Back bool
}

// RolloutScope is the scope of a stage that moves a workload.
func RolloutScope(r *v1alpha1.Rollout) *Scope {
	return &Scope{
		Target: r.Target, Members: r.Members, MemberSelector: r.MemberSelector,
		MemberPath: func(spec *field.Path, i int) *field.Path { return spec.Child("members").Index(i) },
		Guards:     r.Guards, GuardSets: r.GuardSets, Moves: true,
	}
}

// Reasons of the Succeeded condition. While a run is on, the reason says what it waits for; after that, how it ended. Cancelled and
// timed out are Tekton's own words.
const (
	ReasonStarted         = "Started"
	ReasonConnecting      = "Connecting"
	ReasonUnreachable     = "MemberUnreachable"
	ReasonLocked          = "LockedByAnotherRelease"
	ReasonPreparing       = "Preparing"
	ReasonUpdatingPods    = "UpdatingPods"
	ReasonBaking          = "Baking"
	ReasonGuardsPending   = "GuardsPending"
	ReasonGuardHolding    = "GuardHolding"
	ReasonAwaitApproval   = "AwaitingApproval"
	ReasonChecking        = "CheckingMembers"
	ReasonSilentPeriod    = "SilentPeriod"
	ReasonSoaking         = "Soaking"
	ReasonWindowClosed    = "WindowClosed"
	ReasonRetrying        = "Retrying"
	ReasonRefused         = "WriteRefused"
	ReasonSucceeded       = "Succeeded"
	ReasonInvalid         = "InvalidSpec"
	ReasonForbidden       = "ForbiddenByPolicy"
	ReasonOutsideWindow   = "OutsideWindow"
	ReasonNothing         = "NothingToRelease"
	ReasonNotInPlace      = "WaitsForCreation"
	ReasonGuardFailed     = "GuardFailed"
	ReasonPodsFailed      = "PodsFailed"
	ReasonStalled         = "WorkloadStalled"
	ReasonNoProgress      = "ProgressDeadlineExceeded"
	ReasonChanged         = "ChangedBySomebodyElse"
	ReasonRejected        = "Rejected"
	ReasonInitiatorHidden = "InitiatorUnknown"
	ReasonReleaseOver     = "ReleaseOver"
	ReasonPaused          = "Paused"
	ReasonFrozen          = "Frozen"
	ReasonGoingBack       = "GoingBack"
	ReasonAborted         = "Aborted"
	ReasonSkipped         = "Skipped"
	ReasonCarriedOver     = "CarriedOver"
	ReasonLeftBehind      = "LeftBehind"
	ReasonCarrying        = "CarryingMembers"
	ReasonWavePause       = "WavePause"
	ReasonMembersFailed   = "MembersFailed"
	ReasonEndingChildren  = "EndingChildren"
)

type phase int

const (
	waiting phase = iota
	succeeded
	failed
)

// Outcome of a step.
type Outcome struct {
	phase   phase
	Reason  string
	Message string
	// Wake is when to step again though nothing happened; zero means on events only.
	Wake time.Time
	// Until is when the wait ends at the latest, for people; zero where there is no limit but the run's timeout.
	Until time.Time
	// Who can unblock it and by which command, where people can.
	Who     string
	Command string
	// Results of a stage that succeeded; those left out keep the value that Task.Results says.
	Results map[string]string
}

// Wait says what the stage waits for.
func Wait(reason, message string) Outcome { return Outcome{Reason: reason, Message: message} }

// Done ends the stage well.
func Done(message string, results map[string]string) Outcome {
	return Outcome{phase: succeeded, Reason: ReasonSucceeded, Message: message, Results: results}
}

// Fail ends the stage, or its attempt where retries are left.
func Fail(reason, message string) Outcome {
	return Outcome{phase: failed, Reason: reason, Message: message}
}

// WakeAt returns the outcome with a time to step again, the earlier one where it has one already.
func (o Outcome) WakeAt(t time.Time) Outcome {
	o.Wake = earlier(o.Wake, t)
	return o
}

// LimitedBy returns the outcome with a time at which the wait ends; the stage is stepped again then.
func (o Outcome) LimitedBy(t time.Time) Outcome {
	o.Until = t
	return o.WakeAt(t)
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || (!b.IsZero() && b.Before(a)) {
		return b
	}
	return a
}
