package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Action is what a person does to a release.
type Action string

const (
	// ActionPause stops every stage of the release at its next safe point.
	ActionPause Action = "Pause"
	// ActionResume ends a Pause.
	ActionResume Action = "Resume"
	// ActionRetry tells of a new run that carries the release on where it failed; with member, has a ClusterHop try that member again.
	ActionRetry Action = "Retry"
	// ActionSkip ends a stage as if it had succeeded; with member, leaves that member out of a ClusterHop.
	ActionSkip Action = "Skip"
	// ActionAbort ends the release where it is.
	ActionAbort Action = "Abort"
	// ActionRollback takes back what the release touched.
	ActionRollback Action = "Rollback"
)

// +genclient
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
// +kubebuilder:object:root=true
// +kubebuilder:resource:categories=periplus
// +kubebuilder:printcolumn:name="Run",type=string,JSONPath=`.spec.runRef.name`
// +kubebuilder:printcolumn:name="Action",type=string,JSONPath=`.spec.action`
// +kubebuilder:printcolumn:name="Stage",type=string,JSONPath=`.spec.stageRef.name`
// +kubebuilder:printcolumn:name="User",type=string,JSONPath=`.spec.user`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.spec.message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`

// Intervention is one person's hand in a release: what he did, to which run, and why. It never changes. Admission makes sure that user and groups
// are the caller's own.
type Intervention struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +kubebuilder:validation:Required
	Spec InterventionSpec `json:"spec"`
}

// InterventionSpec is what the person does.
// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec: an Intervention never changes; create another"
// +kubebuilder:validation:XValidation:rule="has(self.stageRef) == (self.action == 'Skip' || has(self.member))",message="stageRef: goes with action: Skip and with member, which need it"
// +kubebuilder:validation:XValidation:rule="!has(self.member) || self.action in ['Skip', 'Retry']",message="member: goes with action: Skip or Retry only"
// +kubebuilder:validation:XValidation:rule="self.runRef.uid.size() > 0 && (!has(self.stageRef) || self.stageRef.uid.size() > 0)",message="uid: of the very run that is meant, and not of another of the same name"
type InterventionSpec struct {
	// RunRef is the root run of the release: a PipelineRun, or a CustomRun that no pipeline made.
	RunRef RootRef `json:"runRef"`

	// Action: Pause, Resume, Retry, Skip, Abort or Rollback.
	// +kubebuilder:validation:Enum=Pause;Resume;Retry;Skip;Abort;Rollback
	Action Action `json:"action"`

	// StageRef is the stage, a CustomRun of the run, that is skipped, or the ClusterHop that carries member.
	// +optional
	StageRef *RunRef `json:"stageRef,omitempty"`

	// Member of the ClusterHop in stageRef that alone is left out (Skip) or tried again (Retry), while the hop goes on with the others.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Member string `json:"member,omitempty"`

	// Message says why, for those who read it later.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message"`

	// User who intervenes: the caller's own name. Filled in by admission where the server can.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	User string `json:"user,omitempty"`

	// Groups of the person, all or some of the caller's own.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=253
	Groups []string `json:"groups,omitempty"`
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
// +kubebuilder:object:root=true

// InterventionList is a list of Interventions.
type InterventionList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Intervention `json:"items"`
}
