package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// +genclient
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
// +kubebuilder:object:root=true
// +kubebuilder:resource:categories=periplus
// +kubebuilder:printcolumn:name="Duration",type=string,JSONPath=`.spec.duration`
// +kubebuilder:printcolumn:name="Target",type=string,JSONPath=`.spec.target`

// Soak is a stored policy: how long a release is watched before it goes on.
type Soak struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +kubebuilder:validation:Required
	Spec SoakSpec `json:"spec"`
}

// SoakSpec moves nothing; it lets a time pass during which its guards hold.
// +kubebuilder:validation:XValidation:rule="has(self.target) && self.target.size() > 0 || !(has(self.guards) && self.guards.size() > 0) && !(has(self.guardSets) && self.guardSets.size() > 0)",message="target: guards are judged on the pods of a target; name it"
// +kubebuilder:validation:XValidation:rule="has(self.target) && self.target.size() > 0 || !(has(self.members) && self.members.size() > 0) && !has(self.memberSelector)",message="target: name what is looked at in the members"
type SoakSpec struct {
	// Duration of the soak, longer than 0. With a target it counts from when all of its members were first seen.
	// +kubebuilder:validation:Required
	Duration metav1.Duration `json:"duration"`

	// Target names the Target, in the same namespace, whose pods the guards are judged on; its own guard sets are judged as well. Needed
	// where guards are given; without it nothing but time passes.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Target string `json:"target,omitempty"`

	// Members to look at, by name.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=300
	// +kubebuilder:validation:items:MaxLength=253
	Members []string `json:"members,omitempty"`

	// MemberSelector adds the members whose labels match, as they are when the stage starts.
	// +optional
	MemberSelector *metav1.LabelSelector `json:"memberSelector,omitempty"`

	// Guards of this stage, During where they do not say when. During guards hold for the whole time, Before guards are judged before it, After guards once it is over.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	Guards []Guard `json:"guards,omitempty"`

	// GuardSets named by this stage, beside those of its target.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=253
	GuardSets []string `json:"guardSets,omitempty"`

	// OnGuardFailure is what to do when a guard fails: Fail, or Hold, after which the time begins anew. Fail where empty.
	// +optional
	// +kubebuilder:validation:Enum=Hold;Fail
	OnGuardFailure OnTrouble `json:"onGuardFailure,omitempty"`
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
// +kubebuilder:object:root=true

// SoakList is a list of Soaks.
type SoakList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Soak `json:"items"`
}
