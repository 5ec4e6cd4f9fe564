package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	appsv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
)

// +genclient
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
// +kubebuilder:object:root=true
// +kubebuilder:resource:path=betabatches,categories=periplus
// +kubebuilder:printcolumn:name="Target",type=string,JSONPath=`.spec.target`
// +kubebuilder:printcolumn:name="BatchSize",type=string,JSONPath=`.spec.batchSize`
// +kubebuilder:printcolumn:name="Batches",type=string,JSONPath=`.spec.batches`
// +kubebuilder:printcolumn:name="UpTo",type=string,JSONPath=`.spec.upTo`

// BetaBatch is a stored policy: in what groups pods of all units go.
type BetaBatch struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +kubebuilder:validation:Required
	Spec BetaBatchSpec `json:"spec"`
}

// BetaBatchSpec carries a change in groups over all units of all its members together. Exactly one of batchSize and batches is given.
// +kubebuilder:validation:XValidation:rule="(has(self.members) && size(self.members) > 0) || has(self.memberSelector)",message="name members, or select them by memberSelector"
// +kubebuilder:validation:XValidation:rule="has(self.batchSize) != (has(self.batches) && size(self.batches) > 0)",message="give exactly one of batchSize and batches"
type BetaBatchSpec struct {
	Rollout `json:",inline"`

	// UpgradeType is Beta to begin with one pod in each unit of each member, or Batch to go in batches from the start. Where empty, Beta with batchSize, and
	// Batch with batches, which is a plan of its own.
	// +optional
	// +kubebuilder:validation:Enum=Beta;Batch
	UpgradeType appsv1alpha1.UpgradeType `json:"upgradeType,omitempty"`

	// BatchSize is how many pods a batch has, in all units of all members together, each getting its share: a number, or a percentage of all pods, rounded up.
	// +optional
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self >= 1 : (self.contains('$(') || self.matches('^((100|[1-9][0-9]?)%|[1-9][0-9]{0,8})$'))",message="must be a number of pods, 1 or more, or a percentage from 1% to 100%"
	BatchSize *intstr.IntOrString `json:"batchSize,omitempty"`

	// Batches are the sizes of the batches one by one, such as [1, 2, 2, 2, 3]. Together they are at least the pods there are to update; what is more is cut off.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=100
	// +kubebuilder:validation:items:Minimum=1
	Batches []int32 `json:"batches,omitempty"`

	// UpTo is how many pods of all units of all members together are updated in the end: a number, or a percentage of them, rounded up. What is left is left to other
	// stages. All where empty.
	// +optional
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self >= 1 : (self.contains('$(') || self.matches('^((100|[1-9][0-9]?)%|[1-9][0-9]{0,8})$'))",message="must be a number of pods, 1 or more, or a percentage from 1% to 100%"
	UpTo *intstr.IntOrString `json:"upTo,omitempty"`

	// Bake is how long the pods of each group must be available, all at once and without a break, before After guards are judged to the end. 0 where empty.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.contains('$(') || self == '0' || self.matches('^([0-9]+([.][0-9]+)?(ns|us|ms|s|m|h))+$')",message="must be a duration such as 90s or 5m, and not negative"
	Bake *metav1.Duration `json:"bake,omitempty"`

	// Confirm asks people after each group but the last, once its guards passed. Each group is a question of its own; one no ends the stage.
	// +optional
	Confirm *ConfirmSpec `json:"confirm,omitempty"`

	// MaxUnavailable is how many pods of each unit may be unavailable, for any reason, while this stage moves it: a number, or a percentage of the unit's replicas,
	// rounded down but at least 1. The limits of the target and of the workload hold as well.
	// +optional
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self >= 1 : (self.contains('$(') || self.matches('^((100|[1-9][0-9]?)%|[1-9][0-9]{0,8})$'))",message="must be a number of pods, 1 or more, or a percentage from 1% to 100%"
	MaxUnavailable *intstr.IntOrString `json:"maxUnavailable,omitempty"`

	// OnUnreachable is Hold where empty: the stage waits for a member that cannot be reached, with progressDeadline. Skip leaves the member out until the end of
	// the stage, and its pods out of the plan.
	// +optional
	// +kubebuilder:validation:Enum=Hold;Skip
	OnUnreachable OnUnreachable `json:"onUnreachable,omitempty"`
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
// +kubebuilder:object:root=true

// BetaBatchList is a list of BetaBatches.
type BetaBatchList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []BetaBatch `json:"items"`
}
