package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// SourcePods is the metric source that is always there: what the controllers see of the target's pods themselves.
const SourcePods = "pods"

// Against says what stands in for the stable pods once none is left.
type Against string

const (
	// AgainstStable lets the guard be NotApplicable.
	AgainstStable Against = "Stable"
	// AgainstBaseline compares with what the metric was before the first move.
	AgainstBaseline Against = "Baseline"
)

// GuardMetric is a number, or several by name, that a guard asks a source for.
type GuardMetric struct {
	// Source names a MetricSource, or is "pods" for what the controllers see of the target's pods themselves.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Source string `json:"source"`

	// Query in the source's language. References are replaced at each sample: $(updated.podRegex), $(stable.podRegex), $(pods.podRegex), $(updated.count),
	// $(stable.count), $(pods.count), $(updated.revisionRegex), $(stable.revisionRegex), $(pods.revisionRegex), $(member.name), $(member.labels.KEY) and
	// $(window).
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	Query string `json:"query"`

	// Window is how far back the query looks. A sample counts only if its window began after the new revision was ready in the member. 1s to 24h; 1m where empty.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.contains('$(') || (self.matches('^([0-9]+([.][0-9]+)?(ns|us|ms|s|m|h))+$') && duration(self) >= duration('1s') && duration(self) <= duration('24h'))",message="must be a duration such as 90s or 5m, from 1s to 24h"
	Window *metav1.Duration `json:"window,omitempty"`

	// Each lets the query have several series: the metric is then a map from what tells a series to its number. A series is told by its label's value
	// where it has one label, else by all of them.
	// +optional
	Each bool `json:"each,omitempty"`

	// Range asks for the query's values all over the window, and makes one number of each series. Without it the query is asked for its value now.
	// +optional
	Range *MetricRange `json:"range,omitempty"`
}

// MetricRange is how a range of values becomes one number.
type MetricRange struct {
	// Step between two values; it is what $(window) is in the query. 1s or longer, and not longer than the window.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.contains('$(') || (self.matches('^([0-9]+([.][0-9]+)?(ns|us|ms|s|m|h))+$') && duration(self) >= duration('1s'))",message="must be a duration such as 15s or 1m, 1s or longer"
	Step metav1.Duration `json:"step"`

	// Reduce makes one number of the values; NaN ones are left out.
	// +kubebuilder:validation:Enum=Max;Min;Avg;Sum;Last
	Reduce Reduction `json:"reduce"`
}

// Reduction makes one number of several.
type Reduction string

const (
	ReduceMax  Reduction = "Max"
	ReduceMin  Reduction = "Min"
	ReduceAvg  Reduction = "Avg"
	ReduceSum  Reduction = "Sum"
	ReduceLast Reduction = "Last"
)

// MetricStatus is a metric of a guard as last sampled in one member.
type MetricStatus struct {
	Name   string `json:"name"`
	Source string `json:"source"`
	// Query as it was asked, cut where it is long. Metrics of all guards of a run take 256 KiB in its status at most: beyond that Query and Recent are
	// empty, first of guards that pass.
	Query string `json:"query,omitempty"`
	// Value as a number, or as so many of them; empty where there is none, and Message says why.
	Value   string `json:"value,omitempty"`
	Message string `json:"message,omitempty"`
	// Baseline that the guard compares with, where it does.
	Baseline string `json:"baseline,omitempty"`
	// Recent values of counted samples, oldest first; "-" where there was none. At most 20.
	Recent []string `json:"recent,omitempty"`
	// Sampled is when the source was asked last.
	Sampled *metav1.Time `json:"sampled,omitempty"`
}

// Baseline is what a metric was over all pods of the target in one member, before the first move there.
type Baseline struct {
	// +kubebuilder:validation:MaxLength=512
	Guard string `json:"guard"`
	// +kubebuilder:validation:MaxLength=253
	Member string `json:"member"`
	// +kubebuilder:validation:MaxLength=63
	Metric string `json:"metric"`
	// Of tells what was asked: guards that ask the same share a baseline.
	// +kubebuilder:validation:MaxLength=64
	Of string `json:"of"`
	// Query as it was asked, cut where it is long.
	// +kubebuilder:validation:MaxLength=2048
	Query string `json:"query,omitempty"`
	// Value as a number.
	// +kubebuilder:validation:MaxLength=64
	Value string      `json:"value"`
	Time  metav1.Time `json:"time"`
}
