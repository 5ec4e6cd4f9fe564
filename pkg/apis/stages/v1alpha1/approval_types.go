package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Decision is an answer.
type Decision string

const (
	// Approve says yes.
	Approve Decision = "Approve"
	// Reject says no, and ends the question.
	Reject Decision = "Reject"
)

// +genclient
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
// +kubebuilder:object:root=true
// +kubebuilder:resource:categories=periplus
// +kubebuilder:printcolumn:name="Run",type=string,JSONPath=`.spec.runRef.name`
// +kubebuilder:printcolumn:name="Question",type=string,JSONPath=`.spec.question`
// +kubebuilder:printcolumn:name="Decision",type=string,JSONPath=`.spec.decision`
// +kubebuilder:printcolumn:name="User",type=string,JSONPath=`.spec.user`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.spec.message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`

// Approval is one person's answer to one question of one attempt of one run. It never changes. Admission makes sure that
// user and groups are the caller's own.
type Approval struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +kubebuilder:validation:Required
	Spec ApprovalSpec `json:"spec"`
}

// ApprovalSpec is the answer.
// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec: an Approval never changes; create another"
type ApprovalSpec struct {
	// RunRef is the CustomRun that asks.
	RunRef RunRef `json:"runRef"`
	// Question is the checkpoint that is answered, as the run's status names it.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Question string `json:"question"`
	// Decision: Approve or Reject.
	// +kubebuilder:validation:Enum=Approve;Reject
	Decision Decision `json:"decision"`
	// Message of the person who answers.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
	// User who answers: the caller's own name. Filled in by admission where the server can.
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

// RunRef names one run by name and UID, so that an answer does not count for another run of the same name.
type RunRef struct {
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// +kubebuilder:validation:Required
	UID types.UID `json:"uid"`
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
// +kubebuilder:object:root=true

// ApprovalList is a list of Approvals.
type ApprovalList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Approval `json:"items"`
}
