package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// RunPlanPhase is how far a RunPlan is.
type RunPlanPhase string

const (
	// PlanPending means that the hub still looks at members.
	PlanPending RunPlanPhase = "Pending"
	// PlanReady means that nothing of the run would be refused, as far as that can be known before it begins.
	PlanReady RunPlanPhase = "Ready"
	// PlanRefused means that something would be refused: status.problems says what.
	PlanRefused RunPlanPhase = "Refused"
)

// PlannedHow says how pods get a change.
type PlannedHow string

const (
	// ChangeNone: the template stays as it is.
	ChangeNone PlannedHow = "None"
	// ChangeInPlace keeps pods, with their nodes and IPs.
	ChangeInPlace PlannedHow = "InPlace"
	// ChangeRebuild makes new pods, with other IPs.
	ChangeRebuild PlannedHow = "Rebuild"
	// ChangeNextCreation leaves running pods as they are; those that are created later have it.
	ChangeNextCreation PlannedHow = "NextCreation"
)

// +genclient
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:categories=periplus
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Pipeline",type=string,JSONPath=`.status.pipeline`
// +kubebuilder:printcolumn:name="Problems",type=integer,JSONPath=`.status.problemCount`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`

// RunPlan asks the hub what a PipelineRun would do, stage by stage and member by member. Nothing is moved, locked or recorded for it. The hub deletes it 15 minutes
// after it was made.
type RunPlan struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +kubebuilder:validation:Required
	Spec   RunPlanSpec   `json:"spec"`
	Status RunPlanStatus `json:"status,omitempty"`
}

// RunPlanSpec is what is asked. It never changes: an admission policy says so, as a rule of the schema does not see all of run.
type RunPlanSpec struct {
	// Run is the PipelineRun as it would be created: apiVersion tekton.dev/v1, kind, metadata and spec.
	// +kubebuilder:validation:Type=object
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:pruning:PreserveUnknownFields
	Run runtime.RawExtension `json:"run"`

	// Diff has the plan tell how pod templates change, line by line.
	// +optional
	Diff bool `json:"diff,omitempty"`
}

// RunPlanStatus is the answer.
type RunPlanStatus struct {
	// ObservedGeneration of the spec that the answer is for.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Phase: Pending, Ready or Refused.
	// +optional
	// +kubebuilder:validation:Enum=Pending;Ready;Refused
	Phase RunPlanPhase `json:"phase,omitempty"`
	// Message says what a Pending plan waits for, and how a Refused one came to be so.
	// +optional
	Message string `json:"message,omitempty"`
	// At is when the members were looked at.
	// +optional
	At *metav1.Time `json:"at,omitempty"`
	// Initiator who would start the run, or for whom Account would, where a ReleasePolicy believes it.
	// +optional
	Initiator string `json:"initiator,omitempty"`
	// +optional
	Account string `json:"account,omitempty"`
	// Pipeline by name; empty where it is embedded.
	// +optional
	Pipeline string `json:"pipeline,omitempty"`
	// Timeout of the whole run.
	// +optional
	Timeout PlannedTimeout `json:"timeout,omitempty"`
	// Stages in an order that keeps to what they wait for, those of finally last.
	// +optional
	// +listType=atomic
	Stages []PlannedStage `json:"stages,omitempty"`
	// Problems are all reasons for which something would be refused.
	// +optional
	// +listType=atomic
	Problems []PlanProblem `json:"problems,omitempty"`
	// ProblemCount is how many there are.
	// +optional
	ProblemCount int32 `json:"problemCount,omitempty"`
	// Notes are what else a person should know.
	// +optional
	// +listType=atomic
	Notes []string `json:"notes,omitempty"`
}

// PlanProblem is a reason for which something would be refused.
type PlanProblem struct {
	// Stage that would be refused; empty for the run itself.
	// +optional
	Stage string `json:"stage,omitempty"`
	// Field that is wrong, such as spec.pods, where it is known.
	// +optional
	Field   string `json:"field,omitempty"`
	Message string `json:"message"`
}

// PlannedTimeout is how long something may take.
type PlannedTimeout struct {
	// Limit as a duration; "none" where there is none.
	// +optional
	Limit string `json:"limit,omitempty"`
	// Default is true where nobody set it, and Tekton's own holds.
	// +optional
	Default bool `json:"default,omitempty"`
}

// PlannedStage is what one stage would do.
type PlannedStage struct {
	// Name of the pipeline task. Of a stage that a ClusterHop carries, <hop>/<name>.
	Name string `json:"name"`
	// Kind of stage; of a task that is none of ours, its own.
	Kind string `json:"kind"`
	// Foreign is true for a task that is none of ours: it is listed, and nothing is known of it.
	// +optional
	Foreign bool `json:"foreign,omitempty"`
	// After are the tasks that it waits for. Finally stages begin once all others are over.
	// +optional
	// +listType=atomic
	After []string `json:"after,omitempty"`
	// +optional
	Finally bool `json:"finally,omitempty"`
	// When are the conditions under which it runs; Skipped is true where they are known not to hold.
	// +optional
	// +listType=atomic
	When []string `json:"when,omitempty"`
	// +optional
	Skipped bool `json:"skipped,omitempty"`
	// KnownAfter are the tasks that must have run before it is known what the stage does.
	// +optional
	// +listType=atomic
	KnownAfter []string `json:"knownAfter,omitempty"`
	// CarriedOver says by which run the stage was done already, in the release that this run retries.
	// +optional
	CarriedOver string `json:"carriedOver,omitempty"`

	// Target, and the workload that it is of.
	// +optional
	Target string `json:"target,omitempty"`
	// +optional
	Workload string `json:"workload,omitempty"`
	// Members in the order they are acted in, and those that a selector matches and policies do not give.
	// +optional
	// +listType=atomic
	Members []string `json:"members,omitempty"`
	// +optional
	// +listType=atomic
	LeftOut []string `json:"leftOut,omitempty"`
	// Timeout of one attempt, and how many more attempts there are when one fails.
	Timeout PlannedTimeout `json:"timeout,omitempty"`
	// +optional
	Retries int32 `json:"retries,omitempty"`

	// Groups of pods that move one after the other.
	// +optional
	// +listType=atomic
	Groups []PlannedGroup `json:"groups,omitempty"`
	// Bake is how long each group must be available before the stage goes on.
	// +optional
	Bake string `json:"bake,omitempty"`
	// Changes of templates, by workload.
	// +optional
	// +listType=atomic
	Changes []PlannedChange `json:"changes,omitempty"`
	// Guards that are judged.
	// +optional
	// +listType=atomic
	Guards []PlannedGuard `json:"guards,omitempty"`
	// Question that is asked. Of a stage that moves groups, after each but the last.
	// +optional
	Question *PlannedQuestion `json:"question,omitempty"`
	// Waves of members that a ClusterHop carries its Pipeline over.
	// +optional
	// +listType=atomic
	Waves []PlannedWave `json:"waves,omitempty"`
	// Demands that ReleasePolicies make of the stage.
	// +optional
	// +listType=atomic
	Demands []string `json:"demands,omitempty"`
	// Facts are what else there is to say of what the stage does.
	// +optional
	// +listType=atomic
	Facts []string `json:"facts,omitempty"`
	// Notes are what a person should not overlook, such as a Freeze that stands in the way now.
	// +optional
	// +listType=atomic
	Notes []string `json:"notes,omitempty"`
}

// PlannedGroup is a number of pods that move together.
type PlannedGroup struct {
	// What it is, in words.
	What string `json:"what"`
	// Units that move.
	// +optional
	// +listType=atomic
	Units []PlannedUnit `json:"units,omitempty"`
}

// PlannedUnit is one unit in one group.
type PlannedUnit struct {
	Member string `json:"member"`
	Unit   string `json:"unit"`
	// From and To are how many pods are on the new revision before and after, of Replicas.
	From     int32 `json:"from"`
	To       int32 `json:"to"`
	Replicas int32 `json:"replicas"`
}

// PlannedChange is how the pods of a workload change; the same one in several members is told once.
type PlannedChange struct {
	// Members in which it is so.
	// +listType=atomic
	Members []string `json:"members"`
	// Kind and Workload whose template changes, and its units.
	Kind     string `json:"kind"`
	Workload string `json:"workload"`
	// +optional
	// +listType=atomic
	Units []string `json:"units,omitempty"`
	// How: None, InPlace or Rebuild. A pod that is rebuilt gets another IP.
	// +kubebuilder:validation:Enum=None;InPlace;Rebuild
	How PlannedHow `json:"how"`
	// What changes in place, in words.
	// +optional
	// +listType=atomic
	What []string `json:"what,omitempty"`
	// Because says for which fields, or which setting of the workload, pods are rebuilt.
	// +optional
	// +listType=atomic
	Because []string `json:"because,omitempty"`
	// Diff of the template as YAML, in the unified format, where spec.diff asks for it.
	// +optional
	Diff string `json:"diff,omitempty"`
}

// PlannedGuard is a guard that is judged.
type PlannedGuard struct {
	Name string    `json:"name"`
	When GuardWhen `json:"when"`
	Expr string    `json:"expr"`
	// For and Deadline as durations.
	// +optional
	For string `json:"for,omitempty"`
	// +optional
	Deadline string `json:"deadline,omitempty"`
	// Sources that it asks.
	// +optional
	// +listType=atomic
	Sources []string `json:"sources,omitempty"`
	// Members in which a guard that a policy demands is judged; all of the stage where empty.
	// +optional
	// +listType=atomic
	Members []string `json:"members,omitempty"`
	// DryRun guards are recorded only.
	// +optional
	DryRun bool `json:"dryRun,omitempty"`
}

// PlannedQuestion is what people are asked.
type PlannedQuestion struct {
	// +optional
	Message   string    `json:"message,omitempty"`
	Approvers Approvers `json:"approvers,omitempty"`
	Required  int32     `json:"required"`
	// Excluded are people whose answer does not count, because they are behind the run.
	// +optional
	// +listType=atomic
	Excluded []string `json:"excluded,omitempty"`
	// Times is how often it is asked.
	Times int32 `json:"times"`
}

// PlannedWave is one wave of a ClusterHop.
type PlannedWave struct {
	// +optional
	Name string `json:"name,omitempty"`
	// +optional
	// +listType=atomic
	Members []string `json:"members,omitempty"`
	// MaxParallel is how many of them are worked on at once.
	MaxParallel int32 `json:"maxParallel"`
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
// +kubebuilder:object:root=true

// RunPlanList is a list of RunPlans.
type RunPlanList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []RunPlan `json:"items"`
}
