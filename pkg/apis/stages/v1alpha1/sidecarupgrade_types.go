package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// OnWaitingForCreation says what a stage does about pods that get a change only when they are created anew.
type OnWaitingForCreation string

const (
	// WaitingFail ends the stage before anything is moved.
	WaitingFail OnWaitingForCreation = "Fail"
	// WaitingLeave leaves them as they are; those who create them anew bring them to it.
	WaitingLeave OnWaitingForCreation = "Leave"
)

// +genclient
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
// +kubebuilder:object:root=true
// +kubebuilder:resource:path=sidecarupgrades,categories=periplus
// +kubebuilder:printcolumn:name="Target",type=string,JSONPath=`.spec.target`
// +kubebuilder:printcolumn:name="Order",type=string,JSONPath=`.spec.order`
// +kubebuilder:printcolumn:name="By",type=string,JSONPath=`.spec.by`

// SidecarUpgrade is a stored policy: how a SidecarSet's new version gets into running pods.
type SidecarUpgrade struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +kubebuilder:validation:Required
	Spec SidecarUpgradeSpec `json:"spec"`
}

// SidecarUpgradeSpec brings a version of a SidecarSet to all pods with its sidecars, unit after unit, while their applications run on.
// +kubebuilder:validation:XValidation:rule="(has(self.members) && size(self.members) > 0) || has(self.memberSelector)",message="name members, or select them by memberSelector"
type SidecarUpgradeSpec struct {
	Rollout `json:",inline"`

	// Order of the units; one after the other by name where empty. Every unit that has pods in a member must be named: none is left out silently.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	Order []string `json:"order,omitempty"`

	// By is how many pods of a unit are updated at a time: a number, or a percentage of the unit's pods, rounded up. All at once, under the limits, where empty.
	// +optional
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self >= 1 : (self.contains('$(') || self.matches('^((100|[1-9][0-9]?)%|[1-9][0-9]{0,8})$'))",message="must be a number of pods, 1 or more, or a percentage from 1% to 100%"
	By *intstr.IntOrString `json:"by,omitempty"`

	// Bake is how long the pods of each batch must be available, all at once and without a break, before After guards are judged to the end. 0 where empty.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.contains('$(') || self == '0' || self.matches('^([0-9]+([.][0-9]+)?(ns|us|ms|s|m|h))+$')",message="must be a duration such as 90s or 5m, and not negative"
	Bake *metav1.Duration `json:"bake,omitempty"`

	// Confirm asks people after each batch but the last, once its guards passed. Each is a question of its own; one no ends the stage.
	// +optional
	Confirm *ConfirmSpec `json:"confirm,omitempty"`

	// MaxUnavailable is how many pods of each unit may be unavailable, for any reason, while this stage moves it: a number, or a percentage of the unit's pods, rounded
	// down but at least 1. The limits of the target, of the SidecarSet and of the pods' own workloads hold as well.
	// +optional
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self >= 1 : (self.contains('$(') || self.matches('^((100|[1-9][0-9]?)%|[1-9][0-9]{0,8})$'))",message="must be a number of pods, 1 or more, or a percentage from 1% to 100%"
	MaxUnavailable *intstr.IntOrString `json:"maxUnavailable,omitempty"`

	// OnWaitingForCreation is what to do about pods that get the change only when they are created anew, because it does not fit into running ones. Fail where empty.
	// +optional
	// +kubebuilder:validation:Enum=Fail;Leave
	OnWaitingForCreation OnWaitingForCreation `json:"onWaitingForCreation,omitempty"`

	// OnUnreachable is Hold where empty: the stage waits for a member that cannot be reached, with progressDeadline. Skip leaves the member out until the end of
	// the stage, and its pods out of the plan.
	// +optional
	// +kubebuilder:validation:Enum=Hold;Skip
	OnUnreachable OnUnreachable `json:"onUnreachable,omitempty"`
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
// +kubebuilder:object:root=true

// SidecarUpgradeList is a list of SidecarUpgrades.
type SidecarUpgradeList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []SidecarUpgrade `json:"items"`
}
