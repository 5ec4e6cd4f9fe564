package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// OnLocked says what a stage does when another release holds the workload.
type OnLocked string

const (
	// LockWait waits until the other release is over.
	LockWait OnLocked = "Wait"
	// LockFail fails at once.
	LockFail OnLocked = "Fail"
)

// Rollout is what all stages have in common that move a workload.
type Rollout struct {
	// Target names the Target, in the same namespace, that the stage moves.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Target string `json:"target"`

	// Members to act in, by name.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=300
	// +kubebuilder:validation:items:MaxLength=253
	Members []string `json:"members,omitempty"`

	// MemberSelector adds the members whose labels match, as they are when the stage starts.
	// +optional
	MemberSelector *metav1.LabelSelector `json:"memberSelector,omitempty"`

	// Change to carry. Empty means the change that is already held back on the workload.
	// +optional
	Change *Change `json:"change,omitempty"`

	// Guards of this stage, beside those of its target.
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

	// OnGuardFailure is what to do when a guard fails. Fail where empty.
	// +optional
	// +kubebuilder:validation:Enum=Hold;Fail
	OnGuardFailure OnTrouble `json:"onGuardFailure,omitempty"`

	// OnLocked is what to do when another release holds the workload. Wait where empty.
	// +optional
	// +kubebuilder:validation:Enum=Wait;Fail
	OnLocked OnLocked `json:"onLocked,omitempty"`

	// ProgressDeadline is how long the stage bears that no further pod becomes available while it waits for pods. 10m where empty.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.contains('$(') || (self.matches('^([0-9]+([.][0-9]+)?(ns|us|ms|s|m|h))+$') && duration(self) > duration('0s'))",message="must be a duration such as 90s or 5m, longer than 0"
	ProgressDeadline *metav1.Duration `json:"progressDeadline,omitempty"`
}

// Change of the pod template.
type Change struct {
	ChangeValues `json:",inline"`

	// PerMember are values for single members, by the member's name, laid over the common ones.
	// +optional
	// +kubebuilder:validation:MaxProperties=300
	PerMember map[string]ChangeValues `json:"perMember,omitempty"`
}

// ChangeValues are what changes.
type ChangeValues struct {
	// Images by container name.
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	Images map[string]string `json:"images,omitempty"`

	// Patch is a strategic merge patch of the pod template.
	// +optional
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:Type=object
	// +kubebuilder:validation:Schemaless
	Patch *runtime.RawExtension `json:"patch,omitempty"`
}
