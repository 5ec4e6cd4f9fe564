package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// GuardWhen says at which time of a stage a guard is judged.
type GuardWhen string

const (
	// Before is judged before the first move; false fails.
	Before GuardWhen = "Before"
	// During must hold at every sample from the first move to the end.
	During GuardWhen = "During"
	// After waits to come true and to stay true.
	After GuardWhen = "After"
)

// OnTrouble says what a stage does when a guard fails or cannot be judged.
type OnTrouble string

const (
	// Hold stops the stage where it is until the guard passes or the stage times out.
	Hold OnTrouble = "Hold"
	// Fail fails the stage.
	Fail OnTrouble = "Fail"
)

// Guard is a CEL expression with a rhythm and limits, that lets a stage go on, holds it, or fails it.
// +kubebuilder:validation:XValidation:rule="!has(self.__for__) || self.__for__ in ['0', '0s'] || !has(self.when) || self.when == 'After'",message="for: goes with when: After only"
type Guard struct {
	// Name tells the guard in statuses and messages.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="!self.contains('/')",message="must not have a /, which stands between a guard set's name and its guard's"
	Name string `json:"name"`

	// Expr is a CEL expression of type bool. docs/guards.md lists the names it can use.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	Expr string `json:"expr"`

	// Metrics are the numbers that the guard asks sources for, by the names that the expression has for them: metrics.<name>, and
	// baseline.<name> for the same query over all pods of the target, asked before the first move. All are asked at the same time, once an interval.
	// +optional
	// +kubebuilder:validation:MaxProperties=16
	// +kubebuilder:validation:XValidation:rule="self.all(k, k.matches('^[a-zA-Z_][a-zA-Z0-9_]{0,62}$'))",message="a metric's name is made of letters, digits and _, does not begin with a digit, and has 63 characters at most"
	// +kubebuilder:validation:XValidation:rule="self.all(k, !(k in ['in', 'true', 'false', 'null']))",message="in, true, false and null are words of CEL itself, and no expression can write metrics.in"
	Metrics map[string]GuardMetric `json:"metrics,omitempty"`

	// Against says what a metric whose query refers to $(stable.…) is once no stable pod is left: Stable, and the guard is NotApplicable; or
	// Baseline, and the metric is what it was before the first move. Stable where empty.
	// +optional
	// +kubebuilder:validation:Enum=Stable;Baseline
	Against Against `json:"against,omitempty"`

	// When the guard is judged: Before, During or After. After where empty.
	// +optional
	// +kubebuilder:validation:Enum=Before;During;After
	When GuardWhen `json:"when,omitempty"`

	// Interval between two samples that count. At least 1s; 10s where empty.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.contains('$(') || (self.matches('^([0-9]+([.][0-9]+)?(ns|us|ms|s|m|h))+$') && duration(self) >= duration('1s'))",message="must be a duration such as 90s or 5m, 1s or longer"
	Interval *metav1.Duration `json:"interval,omitempty"`

	// For is how long an After guard must stay true. 0 where empty.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.contains('$(') || self == '0' || self.matches('^([0-9]+([.][0-9]+)?(ns|us|ms|s|m|h))+$')",message="must be a duration such as 90s or 5m, and not negative"
	For *metav1.Duration `json:"for,omitempty"`

	// InitialDelay is how long after the move the first sample is taken. 0 where empty.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.contains('$(') || self == '0' || self.matches('^([0-9]+([.][0-9]+)?(ns|us|ms|s|m|h))+$')",message="must be a duration such as 90s or 5m, and not negative"
	InitialDelay *metav1.Duration `json:"initialDelay,omitempty"`

	// Deadline is how long an After guard may take to pass, from when the step's pods settled; 10m where empty. Before and During have none.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.contains('$(') || (self.matches('^([0-9]+([.][0-9]+)?(ns|us|ms|s|m|h))+$') && duration(self) > duration('0s'))",message="must be a duration such as 90s or 5m, longer than 0"
	Deadline *metav1.Duration `json:"deadline,omitempty"`

	// Limits of what is borne before the guard fails.
	// +optional
	Limits GuardLimits `json:"limits,omitempty"`

	// OnError is what to do once limits.consecutiveErrors samples in a row could not be judged. Hold where empty.
	// +optional
	// +kubebuilder:validation:Enum=Hold;Fail
	OnError OnTrouble `json:"onError,omitempty"`

	// OnNoData is what to do while a sample has nothing to be judged on, such as no pod on the new revision. Hold where empty; it is never a pass.
	// +optional
	// +kubebuilder:validation:Enum=Hold;Fail
	OnNoData OnTrouble `json:"onNoData,omitempty"`

	// DryRun judges and records the guard, and lets nothing depend on it.
	// +optional
	DryRun bool `json:"dryRun,omitempty"`
}

// GuardLimits of what is borne before a guard fails.
type GuardLimits struct {
	// Failures is the number of false samples at which a During guard fails. 1 where empty.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	Failures int32 `json:"failures,omitempty"`
	// ConsecutiveErrors is the number of samples in a row that cannot be judged at which onError is done. 4 where empty.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	ConsecutiveErrors int32 `json:"consecutiveErrors,omitempty"`
	// MinSamples is the number of counted samples in a row that must be true before a guard passes. 1 where empty.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	MinSamples int32 `json:"minSamples,omitempty"`
}

// +genclient
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
// +kubebuilder:object:root=true
// +kubebuilder:resource:categories=periplus
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`

// GuardSet is a list of guards, stored once and named by Targets and stages.
type GuardSet struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +kubebuilder:validation:Required
	Spec GuardSetSpec `json:"spec"`
}

// GuardSetSpec holds the guards.
type GuardSetSpec struct {
	// Guards of the set; names are unique in it.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	Guards []Guard `json:"guards"`
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
// +kubebuilder:object:root=true

// GuardSetList is a list of GuardSets.
type GuardSetList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []GuardSet `json:"items"`
}
