package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// +genclient
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
// +kubebuilder:object:root=true
// +kubebuilder:resource:categories=periplus
// +kubebuilder:printcolumn:name="Target",type=string,JSONPath=`.spec.target`

// Check is a stored policy: what must be true at one point of a pipeline.
type Check struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +kubebuilder:validation:Required
	Spec CheckSpec `json:"spec"`
}

// CheckSpec moves nothing; every guard of the stage, its target and its guard sets is judged once, as Before guards are, whenever it is
// judged elsewhere: true goes on, false fails.
type CheckSpec struct {
	// Target names the Target, in the same namespace, whose pods are looked at; its own guard sets are judged as well.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Target string `json:"target"`

	// Members to look at, by name.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=300
	// +kubebuilder:validation:items:MaxLength=253
	Members []string `json:"members,omitempty"`

	// MemberSelector adds the members whose labels match, as they are when the stage starts.
	// +optional
	MemberSelector *metav1.LabelSelector `json:"memberSelector,omitempty"`

	// Guards of this stage; when they are judged is not theirs to say.
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
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
// +kubebuilder:object:root=true

// CheckList is a list of Checks.
type CheckList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Check `json:"items"`
}
