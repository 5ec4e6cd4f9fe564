package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// ReleasePhase is where a release stands.
type ReleasePhase string

const (
	// ReleaseRunning while its root run is not done.
	ReleaseRunning ReleasePhase = "Running"
	// ReleaseSucceeded when the root run succeeded.
	ReleaseSucceeded ReleasePhase = "Succeeded"
	// ReleaseFailed when the root run failed, was cancelled or was deleted; the message says which.
	ReleaseFailed ReleasePhase = "Failed"
	// ReleaseRollingBack while what was touched, or a part of it, is being taken back.
	ReleaseRollingBack ReleasePhase = "RollingBack"
	// ReleaseRolledBack when all that was touched is back.
	ReleaseRolledBack ReleasePhase = "RolledBack"
)

// +genclient
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
// +kubebuilder:object:root=true
// +kubebuilder:resource:categories=periplus
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Root",type=string,JSONPath=`.spec.root.name`
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Initiator",type=string,JSONPath=`.spec.initiator`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.status) || has(self.status)",message="status: a Release's status is not taken away"

// Release is the record of one change carried by one root PipelineRun across the fleet. It is made before the first move, is not owned
// by the run, and is kept for a time after it.
type Release struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +kubebuilder:validation:Required
	Spec   ReleaseSpec   `json:"spec"`
	Status ReleaseStatus `json:"status,omitempty"`
}

// ReleaseSpec says whose release it is. It never changes.
// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec: a Release's spec never changes"
type ReleaseSpec struct {
	// Root is the run that carries the release: a PipelineRun, or a CustomRun that no pipeline made.
	Root RootRef `json:"root"`
	// Initiator who created the root run, as admission stamped it; empty where it is not known.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Initiator string `json:"initiator,omitempty"`
	// ContentHash of what the root run is to do. A retry joins the release only with the same.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	ContentHash string `json:"contentHash,omitempty"`
}

// RootRef names the root run.
type RootRef struct {
	// +kubebuilder:validation:Enum=PipelineRun;CustomRun
	Kind string `json:"kind"`
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string    `json:"name"`
	UID  types.UID `json:"uid"`
}

// ReleaseStatus is what the release touched, moved and judged.
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.touched) || has(self.touched)",message="status.touched: entries are not taken away"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.runs) || has(self.runs)",message="status.runs: entries are not taken away"
type ReleaseStatus struct {
	// Phase: Running, Succeeded, Failed, RollingBack, RolledBack.
	// +kubebuilder:validation:MaxLength=32
	Phase ReleasePhase `json:"phase,omitempty"`
	// Message in one line.
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
	// CompletionTime is when the root run was seen to be done.
	CompletionTime *metav1.Time `json:"completionTime,omitempty"`
	// Touched is what the release touched: one entry for each workload in each member, written before the first move there. Entries
	// are not taken away, and what an entry says of the time before never changes.
	// +listType=map
	// +listMapKey=member
	// +listMapKey=kind
	// +listMapKey=workload
	// +kubebuilder:validation:MaxItems=1000
	// +kubebuilder:validation:XValidation:rule="self.size() >= oldSelf.size()",message="status.touched: entries are not taken away"
	Touched []Touched `json:"touched,omitempty"`
	// Moves made, newest last; the oldest are dropped beyond 200.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=200
	Moves []Move `json:"moves,omitempty"`
	// Verdicts of guards as they stood when a stage ended, newest last; the oldest are dropped beyond 500.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=500
	Verdicts []RecordedVerdict `json:"verdicts,omitempty"`
	// Baselines that guards compare with, as the first stage that wanted each sampled it: later stages and retries go by the same. The oldest are dropped beyond 500.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=500
	Baselines []Baseline `json:"baselines,omitempty"`
	// Runs that carry the release, the root run first: retries and children join it. Entries are not taken away.
	// +listType=map
	// +listMapKey=uid
	// +kubebuilder:validation:MaxItems=1000
	// +kubebuilder:validation:XValidation:rule="self.size() >= oldSelf.size()",message="status.runs: entries are not taken away"
	Runs []ReleaseRun `json:"runs,omitempty"`
	// Stages that succeeded: a retry does not do them again. The oldest of children are dropped beyond 500.
	// +listType=map
	// +listMapKey=carrier
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=500
	Stages []StageRecord `json:"stages,omitempty"`
	// Rollback that takes the release back or took it back last.
	Rollback *RollbackRecord `json:"rollback,omitempty"`
	// Released is true once every lock was let go of and partitions are at rest.
	Released bool `json:"released,omitempty"`
}

// The rule on maxUnavailable compares lists of one: the API server reckons that a bare int-or-string is as long as a whole request, and refuses the CRD.

// Touched is one workload in one member.
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.target) || has(self.target) && self.target == oldSelf.target",message="status.touched.target: never changes once it is set"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.maxUnavailable) || has(self.maxUnavailable) && [self.maxUnavailable] == [oldSelf.maxUnavailable]",message="status.touched.maxUnavailable: never changes once it is set"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.onEnd) || has(self.onEnd) && self.onEnd == oldSelf.onEnd",message="status.touched.onEnd: never changes once it is set"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.revision) || has(self.revision)",message="status.touched.revision: never changes once it is set"
type Touched struct {
	// +kubebuilder:validation:MaxLength=253
	Member string `json:"member"`
	// +kubebuilder:validation:MaxLength=63
	Kind string `json:"kind"`
	// Workload is the object's name; its namespace is the Release's.
	// +kubebuilder:validation:MaxLength=253
	Workload string `json:"workload"`
	// UID of the object that was touched; one that was made anew is another workload.
	UID types.UID `json:"uid"`
	// Unit the workload stands for.
	// +kubebuilder:validation:MaxLength=253
	Unit string `json:"unit,omitempty"`
	// Time the entry was written, before the first move.
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="status.touched.time: never changes"
	Time metav1.Time `json:"time"`
	// Previous is the state before the first move.
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="status.touched.previous: never changes"
	Previous Previous `json:"previous"`
	// Revision that the release brings, once it is known. Once set it never changes.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="oldSelf == '' || self == oldSelf",message="status.touched.revision: never changes once it is set"
	Revision string `json:"revision,omitempty"`
	// Back is when the workload was seen to be back at the previous revision, by a rollback. It goes when a later run of the release carries it on again.
	// +optional
	Back *metav1.Time `json:"back,omitempty"`
	// Target that the workload was touched by, as it was then: its name, its limit, and what it said is to become of the workload should the run end
	// without its `finally`. A rollback obeys them, whatever becomes of the Target.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Target string `json:"target,omitempty"`
	// MaxUnavailable of the target. No limit of its own where empty; the workload's holds as well.
	// +optional
	// +kubebuilder:validation:XIntOrString
	MaxUnavailable *intstr.IntOrString `json:"maxUnavailable,omitempty"`
	// OnEnd of the target: RollBack or Leave.
	// +optional
	// +kubebuilder:validation:Enum=RollBack;Leave
	OnEnd OnEnd `json:"onEnd,omitempty"`
}

// Move is one write to a workload.
type Move struct {
	// +kubebuilder:validation:MaxLength=253
	Member string `json:"member"`
	// +kubebuilder:validation:MaxLength=253
	Workload string `json:"workload"`
	// Run that made it.
	// +kubebuilder:validation:MaxLength=253
	Run string `json:"run"`
	// What was done, in words.
	// +kubebuilder:validation:MaxLength=253
	What string      `json:"what"`
	Time metav1.Time `json:"time"`
}

// RecordedVerdict is how a guard was last judged by a stage.
type RecordedVerdict struct {
	// Run that judged, and the guard's name; that of a guard set's guard is <set>/<name>.
	// +kubebuilder:validation:MaxLength=253
	Run string `json:"run"`
	// +kubebuilder:validation:MaxLength=317
	Guard string `json:"guard"`
	// +kubebuilder:validation:MaxLength=253
	Member string `json:"member,omitempty"`
	// +kubebuilder:validation:MaxLength=32
	Verdict Verdict `json:"verdict"`
	// +kubebuilder:validation:MaxLength=512
	Value string      `json:"value,omitempty"`
	Time  metav1.Time `json:"time"`
}

// Lock is what the lock annotation on a workload says: who moves it, and how it was before, so that a lost hub can be recovered from the members.
type Lock struct {
	// Hub is the UID of the hub's kube-system namespace: two hubs never take each other's locks.
	Hub string `json:"hub"`
	// Namespace and Release name the holder; UID tells it from another of the same name.
	Namespace string    `json:"namespace"`
	Release   string    `json:"release"`
	UID       types.UID `json:"uid"`
	// Root is the root run's name, for people.
	Root string `json:"root"`
	// Since when it is held.
	Since metav1.Time `json:"since"`
	// Previous state of the workload.
	Previous Previous `json:"previous"`
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
// +kubebuilder:object:root=true

// ReleaseList is a list of Releases.
type ReleaseList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Release `json:"items"`
}

// Previous is the state of a workload before a release touched it.
type Previous struct {
	// Revision that the pods were on.
	// +kubebuilder:validation:MaxLength=253
	Revision string `json:"revision"`
	// UpdateRevision of the template, another one than revision where a change was held back.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	UpdateRevision string `json:"updateRevision,omitempty"`
	// Partition as the workload had it.
	// +optional
	// +kubebuilder:validation:XIntOrString
	Partition *intstr.IntOrString `json:"partition,omitempty"`
	// Partitions by unit, where the workload has several units.
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	Partitions map[string]intstr.IntOrString `json:"partitions,omitempty"`
}
