package sidecarset

import (
	"math"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/plan"
)

// order is what the strategy says of which pods go first. It is read once for a pass.
type order struct {
	scatter   string
	selectors []labels.Selector
	weights   []int32
}

func orderOf(strategy *v1alpha1.SidecarSetUpdateStrategy) order {
	o := order{scatter: strategy.Scatter}
	for i := range strategy.Priority {
		if s, err := metav1.LabelSelectorAsSelector(&strategy.Priority[i].Selector); err == nil { // else it is among the problems.
			o.selectors, o.weights = append(o.selectors, s), append(o.weights, strategy.Priority[i].Weight)
		}
	}
	return o
}

// describe a pod to the plan.
func (o *order) describe(into *plan.SidecarPod, pod *corev1.Pod) {
	sum := int64(0)
	for i, s := range o.selectors {
		if s.Matches(labels.Set(pod.Labels)) {
			sum += int64(o.weights[i])
		}
	}
	into.Priority = int32(min(max(sum, math.MinInt32), math.MaxInt32)) // #nosec G115 -- bounded.
	switch o.scatter {
	case "":
	case corev1.LabelHostname:
		into.Scatter = pod.Spec.NodeName
	default:
		into.Scatter = pod.Labels[o.scatter]
	}
}
