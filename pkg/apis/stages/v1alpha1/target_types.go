package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// +genclient
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
// +kubebuilder:object:root=true
// +kubebuilder:resource:categories=periplus
// +kubebuilder:printcolumn:name="Kind",type=string,JSONPath=`.spec.workload.kind`
// +kubebuilder:printcolumn:name="Workload",type=string,JSONPath=`.spec.workload.name`
// +kubebuilder:printcolumn:name="MaxUnavailable",type=string,JSONPath=`.spec.maxUnavailable`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`

// Target says once what stages move, so that a pipeline does not repeat it.
type Target struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +kubebuilder:validation:Required
	Spec TargetSpec `json:"spec"`
}

// TargetSpec is the workload and the limits that every stage obeys.
type TargetSpec struct {
	// Workload in the members, in the namespace of the PipelineRun. A SidecarSet stands in none: a ReleasePolicy must give it to the PipelineRun's.
	Workload WorkloadRef `json:"workload"`

	// MaxUnavailable is how many pods of each unit may be unavailable, for any reason, while a stage moves it: a number, or a
	// percentage of the unit's replicas, rounded down but at least 1. The workload's own limit holds as well. No limit of its own where empty.
	// +optional
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self >= 1 : self.matches('^(100|[1-9][0-9]?)%$')",message="spec.maxUnavailable: must be a number of pods, 1 or more, or a percentage from 1% to 100%"
	MaxUnavailable *intstr.IntOrString `json:"maxUnavailable,omitempty"`

	// GuardSets are judged by every stage that moves the target.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=253
	GuardSets []string `json:"guardSets,omitempty"`

	// OnEnd is what is done with what a release touched when its run ended without its `finally` (a plain cancel, a deleted run): RollBack or
	// Leave. Leave where empty. A release keeps what it was when it touched the target.
	// +optional
	// +kubebuilder:validation:Enum=RollBack;Leave
	OnEnd OnEnd `json:"onEnd,omitempty"`
}

// OnEnd says what becomes of what a release touched when its run could not run its `finally`.
type OnEnd string

const (
	// OnEndRollBack takes it back.
	OnEndRollBack OnEnd = "RollBack"
	// OnEndLeave leaves it as it is, held back.
	OnEndLeave OnEnd = "Leave"
)

// WorkloadRef names one workload, or several of one kind by labels.
// +kubebuilder:validation:XValidation:rule="has(self.name) != has(self.selector)",message="workload: give exactly one of name and selector"
type WorkloadRef struct {
	// APIVersion of the workload, such as apps.periplus.dev/v1alpha1.
	// +kubebuilder:validation:Enum="apps.periplus.dev/v1alpha1"
	APIVersion string `json:"apiVersion"`
	// Kind of the workload.
	// +kubebuilder:validation:Enum=InPlaceSet;CafeDeployment;SidecarSet
	Kind string `json:"kind"`
	// Name of the workload.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`
	// Selector of several workloads, one per unit, that are driven as one.
	// +optional
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=16
	Selector map[string]string `json:"selector,omitempty"`
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
// +kubebuilder:object:root=true

// TargetList is a list of Targets.
type TargetList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Target `json:"items"`
}
