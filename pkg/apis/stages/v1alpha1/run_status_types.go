package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// RunStatus is what a stage keeps in its CustomRun's status.extraFields: what a person must see, and what a restart needs. It is kept small.
type RunStatus struct {
	// Attempt counts from 1; each retry is one more.
	Attempt int `json:"attempt"`
	// Release names the record, in the run's namespace.
	Release string `json:"release,omitempty"`
	// Carrier is <pipeline task of the ClusterHop>/<member> where the run is of a child that a ClusterHop made, and empty for others.
	Carrier string `json:"carrier,omitempty"`
	// Admitted is the stage as it was admitted: expanded, defaulted, with its targets, members and guards. Later changes of stored objects do not reach it.
	Admitted *Admitted `json:"admitted,omitempty"`
	// Waiting says what the run waits for now.
	Waiting *Waiting `json:"waiting,omitempty"`
	// Step the stage is at.
	Step *StepStatus `json:"step,omitempty"`
	// Best is the most that the step came to, for the progress deadline.
	Best *Best `json:"best,omitempty"`
	// Members as last seen.
	Members []MemberProgress `json:"members,omitempty"`
	// Hop is how far a carrier of many members is.
	Hop *HopStatus `json:"hop,omitempty"`
	// Guards as last judged.
	Guards []GuardStatus `json:"guards,omitempty"`
	// Baselines that guards compare with, sampled before the first move.
	Baselines []Baseline `json:"baselines,omitempty"`
	// Question that is open, or was answered last.
	Question *Question `json:"question,omitempty"`
	// Ending is how the run is about to end: what it moves is being held back first.
	Ending *Ending `json:"ending,omitempty"`
	// Outcome is the condition that the run ended with, to restore it should anybody reset it.
	Outcome *Outcome `json:"outcome,omitempty"`
	// State of the stage's own.
	State *runtime.RawExtension `json:"state,omitempty"`
}

// Ending is a decision to end a run that was made and is being carried out.
type Ending struct {
	Outcome `json:",inline"`
	// Since when; after a minute the run ends though something could not be held back.
	Since metav1.Time `json:"since"`
	// Held are the units, as member/unit, that the ending has written a partition to.
	Held []string `json:"held,omitempty"`
}

// Outcome of a run that ended.
type Outcome struct {
	Succeeded bool   `json:"succeeded"`
	Reason    string `json:"reason"`
	Message   string `json:"message,omitempty"`
}

// Admitted is a stage as it was admitted.
type Admitted struct {
	Kind string `json:"kind"`
	// Spec of the stage, expanded and defaulted.
	Spec runtime.RawExtension `json:"spec"`
	// Target's spec where the stage has one.
	Target *TargetSpec `json:"target,omitempty"`
	// Members in the order they are acted in.
	Members []string `json:"members,omitempty"`
	// Waves says how many of Members each wave of a carrier has, in their order.
	Waves []int `json:"waves,omitempty"`
	// Guards of the stage, its target and its guard sets, defaulted, with unique names.
	Guards []Guard `json:"guards,omitempty"`
	// Params by name, as guards see them.
	Params map[string]string `json:"params,omitempty"`
	// LeftOut are members that the stage's selector matches and no ReleasePolicy gives to the namespace: the stage does not act in them.
	LeftOut []string `json:"leftOut,omitempty"`
	// Demands of ReleasePolicies that the stage keeps to while it runs.
	Demands *AdmittedDemands `json:"demands,omitempty"`
	// OnBehalfOf is the person for whom Account started the root run, where a ReleasePolicy believes that account.
	OnBehalfOf string `json:"onBehalfOf,omitempty"`
	Account    string `json:"account,omitempty"`
}

// AdmittedDemands are demands of ReleasePolicies in the members of a stage.
type AdmittedDemands struct {
	// GuardMembers are the members in which a demanded guard is judged, by its name. Guards that are not named here are judged in all.
	GuardMembers map[string][]string `json:"guardMembers,omitempty"`
	// Windows, of each of which one must be open for the first move of each step.
	Windows []DemandedWindows `json:"windows,omitempty"`
}

// DemandedWindows are the windows of one ReleasePolicy.
type DemandedWindows struct {
	Policy   string       `json:"policy"`
	Windows  []TimeWindow `json:"windows"`
	TimeZone string       `json:"timeZone,omitempty"`
}

// Waiting says what a run waits for.
type Waiting struct {
	// Reason in CamelCase, the same as the condition's.
	Reason string `json:"reason"`
	// For says in one line what is waited for.
	For string `json:"for"`
	// Since when.
	Since metav1.Time `json:"since"`
	// Until when at the latest, where there is a limit.
	Until *metav1.Time `json:"until,omitempty"`
	// Who can unblock it, where people can.
	Who string `json:"who,omitempty"`
	// Command that unblocks it, where there is one.
	Command string `json:"command,omitempty"`
}

// StepStatus is the step a stage is at.
type StepStatus struct {
	// Index from 1 to Total.
	Index int `json:"index"`
	Total int `json:"total"`
	// What the step brings about, in words.
	What string `json:"what,omitempty"`
	// SettledSince is when the step's pods were all available, without a break.
	SettledSince *metav1.Time `json:"settledSince,omitempty"`
}

// Best is the most that a step came to.
type Best struct {
	// Available is the greatest number of available updated pods seen, and At when it was reached.
	Available int32       `json:"available"`
	At        metav1.Time `json:"at"`
}

// MemberProgress is a member as last seen.
type MemberProgress struct {
	Name string `json:"name"`
	// Reachable is false while the member does not answer; Message says since when.
	Reachable bool           `json:"reachable"`
	Message   string         `json:"message,omitempty"`
	Units     []UnitProgress `json:"units,omitempty"`
}

// UnitProgress is a unit of a member as last seen.
type UnitProgress struct {
	Unit     string `json:"unit"`
	Workload string `json:"workload"`
	Replicas int32  `json:"replicas"`
	// Updated pods run the new revision; UpdatedReady and UpdatedAvailable of them are so.
	Updated          int32 `json:"updated"`
	UpdatedReady     int32 `json:"updatedReady"`
	UpdatedAvailable int32 `json:"updatedAvailable"`
	// Ready and Available of all pods.
	Ready     int32 `json:"ready"`
	Available int32 `json:"available"`
	// Want is how many pods the stage wants updated.
	Want int32 `json:"want"`
	// Partition as the workload has it.
	Partition string `json:"partition,omitempty"`
	// Trouble names a pod that does not get on, and its own reason.
	Trouble string `json:"trouble,omitempty"`
}

// Verdict of a guard.
type Verdict string

const (
	// VerdictPass is the only one that lets a stage go on.
	VerdictPass Verdict = "Pass"
	// VerdictFail means that the expression is false (During, Before), or was not true in time (After).
	VerdictFail Verdict = "Fail"
	// VerdictPending means that an After guard is not true yet, or not for long enough, or that the first sample is not due.
	VerdictPending Verdict = "Pending"
	// VerdictInconclusive means that there was nothing to judge on. It is never a pass.
	VerdictInconclusive Verdict = "Inconclusive"
	// VerdictError means that the expression could not be evaluated.
	VerdictError Verdict = "Error"
	// VerdictNotApplicable means that the guard says nothing about this stage; it is recorded.
	VerdictNotApplicable Verdict = "NotApplicable"
)

// GuardStatus is a guard as last judged for one member.
type GuardStatus struct {
	// Name of the guard, and the member it was judged for.
	Name   string    `json:"name"`
	Member string    `json:"member,omitempty"`
	When   GuardWhen `json:"when"`
	// Step of the stage that the judgement belongs to: After guards are judged anew for each step.
	Step int `json:"step,omitempty"`
	// Expr as it was judged.
	Expr string `json:"expr"`
	// Value of the expression, or of its parts, for people.
	Value string `json:"value,omitempty"`
	// Verdict of the last sample, with all limits applied.
	Verdict Verdict `json:"verdict"`
	// Message where the verdict is not Pass.
	Message string `json:"message,omitempty"`
	// Begun is when the move was made, or when an After guard that had passed turned false. Deadlines count from here.
	Begun *metav1.Time `json:"begun,omitempty"`
	// Since when the verdict is what it is.
	Since *metav1.Time `json:"since,omitempty"`
	// TrueSince is since when an After guard's samples are true without a break.
	TrueSince *metav1.Time `json:"trueSince,omitempty"`
	// LastSample is when the last counted sample was taken.
	LastSample *metav1.Time `json:"lastSample,omitempty"`
	// Samples, Failures and ConsecutiveErrors counted.
	Samples           int32 `json:"samples,omitempty"`
	Failures          int32 `json:"failures,omitempty"`
	ConsecutiveErrors int32 `json:"consecutiveErrors,omitempty"`
	// Passes is the number of counted samples in a row that were true.
	Passes int32 `json:"passes,omitempty"`
	// ReadySince is when a During guard's first pod on the new revision was seen ready in the member. Samples whose window began before do not count.
	ReadySince *metav1.Time `json:"readySince,omitempty"`
	// Metrics of the guard, by name, as last sampled; none where those of all guards would take more than 256 KiB even without their queries.
	Metrics []MetricStatus `json:"metrics,omitempty"`
	// DryRun guards are recorded only.
	DryRun bool `json:"dryRun,omitempty"`
}

// Question is a checkpoint that people answer.
type Question struct {
	// ID is what an Approval's spec.question says. It is another one for each attempt, and for each group of a stage that asks between groups.
	ID string `json:"id"`
	// About says what a yes lets begin, where a run asks more than one question: the group that comes next.
	About string `json:"about,omitempty"`
	// Message for the approvers.
	Message string `json:"message,omitempty"`
	// Approvers who may answer, and how many of them must say yes.
	Approvers Approvers `json:"approvers,omitempty"`
	Required  int32     `json:"required"`
	// ForbidInitiator keeps Initiator from answering.
	ForbidInitiator bool   `json:"forbidInitiator,omitempty"`
	Initiator       string `json:"initiator,omitempty"`
	// Account that started the run on behalf of Initiator. ForbidInitiator keeps it from answering too.
	Account string `json:"account,omitempty"`
	// Answers that count, by name of the Approval.
	Answers []Answer `json:"answers,omitempty"`
	// Ignored are answers that do not count, each with the reason.
	Ignored []string `json:"ignored,omitempty"`
}

// Answer is one person's answer that counts.
type Answer struct {
	Approval string `json:"approval"`
	User     string `json:"user"`
	// Groups of the approvers that the person is in.
	Groups   []string    `json:"groups,omitempty"`
	Decision Decision    `json:"decision"`
	Message  string      `json:"message,omitempty"`
	Time     metav1.Time `json:"time"`
}
