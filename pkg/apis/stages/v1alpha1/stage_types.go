package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// +genclient
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
// +kubebuilder:object:root=true
// +kubebuilder:resource:path=canaries,categories=periplus
// +kubebuilder:printcolumn:name="Target",type=string,JSONPath=`.spec.target`
// +kubebuilder:printcolumn:name="Pods",type=string,JSONPath=`.spec.pods`
// +kubebuilder:printcolumn:name="Bake",type=string,JSONPath=`.spec.bake`

// Canary is a stored policy: how we canary here.
type Canary struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +kubebuilder:validation:Required
	Spec CanarySpec `json:"spec"`
}

// CanarySpec moves a few pods of each unit to the new revision and holds all else back.
// +kubebuilder:validation:XValidation:rule="(has(self.members) && size(self.members) > 0) || has(self.memberSelector)",message="name members, or select them by memberSelector"
type CanarySpec struct {
	Rollout `json:",inline"`

	// Pods is how many canaries each unit gets: a number, 1 or more and at most the unit's replicas, or a percentage of them, rounded up.
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self >= 1 : (self.contains('$(') || self.matches('^((100|[1-9][0-9]?)%|[1-9][0-9]{0,8})$'))",message="must be a number of pods, 1 or more, or a percentage from 1% to 100%"
	Pods intstr.IntOrString `json:"pods"`

	// Unit limits the canary to one unit; all units where empty.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Unit string `json:"unit,omitempty"`

	// Bake is how long the canaries must be available, all at once and without a break, before After guards are judged to the end. 0 where empty.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.contains('$(') || self == '0' || self.matches('^([0-9]+([.][0-9]+)?(ns|us|ms|s|m|h))+$')",message="must be a duration such as 90s or 5m, and not negative"
	Bake *metav1.Duration `json:"bake,omitempty"`
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
// +kubebuilder:object:root=true

// CanaryList is a list of Canaries.
type CanaryList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Canary `json:"items"`
}

// +genclient
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
// +kubebuilder:object:root=true
// +kubebuilder:resource:categories=periplus
// +kubebuilder:printcolumn:name="Target",type=string,JSONPath=`.spec.target`

// PartitionBump is a stored policy: in which order and by how much the units' partitions go down.
type PartitionBump struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +kubebuilder:validation:Required
	Spec PartitionBumpSpec `json:"spec"`
}

// PartitionBumpSpec lowers the partition unit by unit. Exactly one of steps and order is given.
// +kubebuilder:validation:XValidation:rule="(has(self.members) && size(self.members) > 0) || has(self.memberSelector)",message="name members, or select them by memberSelector"
// +kubebuilder:validation:XValidation:rule="(has(self.steps) && size(self.steps) > 0) != (has(self.order) && size(self.order) > 0)",message="give exactly one of steps and order"
// +kubebuilder:validation:XValidation:rule="!has(self.by) || (has(self.order) && size(self.order) > 0)",message="by: goes with order only"
type PartitionBumpSpec struct {
	Rollout `json:",inline"`

	// Steps in the order they are taken. Each settles, and its guards pass, before the next.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=100
	Steps []PartitionStep `json:"steps,omitempty"`

	// Order of the units, each brought to all of its pods before the next.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=100
	// +kubebuilder:validation:items:MaxLength=253
	Order []string `json:"order,omitempty"`

	// By is how many more pods of a unit each step of order updates: a number, or a percentage of the unit's replicas, rounded up.
	// All at once where empty.
	// +optional
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self >= 1 : (self.contains('$(') || self.matches('^((100|[1-9][0-9]?)%|[1-9][0-9]{0,8})$'))",message="must be a number of pods, 1 or more, or a percentage from 1% to 100%"
	By *intstr.IntOrString `json:"by,omitempty"`
}

// PartitionStep is the state of one unit after a step.
type PartitionStep struct {
	// Unit whose partition is lowered.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Unit string `json:"unit"`
	// Updated is how many of its pods are on the new revision after the step: a number of at most its replicas, or a percentage of them, rounded up.
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self >= 1 : (self.contains('$(') || self.matches('^((100|[1-9][0-9]?)%|[1-9][0-9]{0,8})$'))",message="must be a number of pods, 1 or more, or a percentage from 1% to 100%"
	Updated intstr.IntOrString `json:"updated"`
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
// +kubebuilder:object:root=true

// PartitionBumpList is a list of PartitionBumps.
type PartitionBumpList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []PartitionBump `json:"items"`
}

// +genclient
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
// +kubebuilder:object:root=true
// +kubebuilder:resource:categories=periplus
// +kubebuilder:printcolumn:name="Required",type=integer,JSONPath=`.spec.required`

// Confirm is a stored policy: who must say yes.
type Confirm struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +kubebuilder:validation:Required
	Spec ConfirmSpec `json:"spec"`
}

// ConfirmSpec moves nothing; it waits until enough approvers said yes. One no ends it. Its timeout is the CustomRun's.
// +kubebuilder:validation:XValidation:rule="!has(self.required) || !has(self.approvers) || !has(self.approvers.users) || size(self.approvers.users) == 0 || (has(self.approvers.groups) && size(self.approvers.groups) > 0) || self.approvers.users.exists(u, u.contains('$(')) || self.required <= size(self.approvers.users)",message="required: is more than the users who may answer, so it can never be reached"
type ConfirmSpec struct {
	// Approvers who may answer. Anybody who may create Approvals where empty.
	// +optional
	Approvers Approvers `json:"approvers,omitempty"`

	// Required is how many different people must say yes. 1 where empty.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	Required int32 `json:"required,omitempty"`

	// ForbidInitiator refuses the answer of the person who started the PipelineRun, and any answer where that person is not known.
	// +optional
	ForbidInitiator bool `json:"forbidInitiator,omitempty"`

	// Message is what the approvers are asked.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
}

// Approvers by user name and by group.
type Approvers struct {
	// Users by the name the API server knows them by.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=100
	// +kubebuilder:validation:items:MaxLength=253
	Users []string `json:"users,omitempty"`
	// Groups any member of which may answer.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=100
	// +kubebuilder:validation:items:MaxLength=253
	Groups []string `json:"groups,omitempty"`
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
// +kubebuilder:object:root=true

// ConfirmList is a list of Confirms.
type ConfirmList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Confirm `json:"items"`
}
