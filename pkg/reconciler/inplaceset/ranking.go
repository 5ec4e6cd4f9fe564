package inplaceset

import (
	"fmt"
	"math"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/plan"
)

// ranking is what a set's strategy says of which pods go first. It is read once for a pass.
type ranking struct {
	weights  []weight
	scatter  string
	unwanted map[string]bool
}

type weight struct {
	selector labels.Selector
	weight   int32
}

// rankingOf reads a set's strategy; problems are what cannot be read.
func rankingOf(set *v1alpha1.InPlaceSet) (r ranking, problems []string) {
	r.scatter = set.Spec.UpdateStrategy.Scatter
	for i := range set.Spec.UpdateStrategy.Priority {
		p := &set.Spec.UpdateStrategy.Priority[i]
		selector, err := metav1.LabelSelectorAsSelector(&p.Selector)
		if err != nil {
			problems = append(problems, fmt.Sprintf("spec.updateStrategy.priority[%d].selector: %v", i, err))
			continue
		}
		r.weights = append(r.weights, weight{selector, p.Weight})
	}
	if names := set.Spec.ScaleStrategy.PodsToDelete; len(names) > 0 {
		r.unwanted = make(map[string]bool, len(names))
		for _, name := range names {
			r.unwanted[name] = true
		}
	}
	return r, problems
}

// describe a pod to the plan.
func (r *ranking) describe(pod *corev1.Pod, into *plan.InPlacePod) {
	sum := int64(0)
	for i := range r.weights {
		if r.weights[i].selector.Matches(labels.Set(pod.Labels)) {
			sum += int64(r.weights[i].weight)
		}
	}
	into.Priority = int32(min(max(sum, math.MinInt32), math.MaxInt32)) // #nosec G115 -- bounded.
	switch r.scatter {
	case "":
	case corev1.LabelHostname:
		into.Scatter = pod.Spec.NodeName
	default:
		into.Scatter = pod.Labels[r.scatter]
	}
	into.Unwanted = r.unwanted[pod.Name]
}

// establish remembers how many pods there were, so that those that got lost are told from those that are to be added. A new process starts from what
// status says.
func (r *reconciler) establish(p *pass) {
	live := int32(0)
	for _, seen := range p.seen() {
		if !seen.ended {
			live++
		}
	}
	r.memory.of(keyOf(p.set), func(known *remembered) {
		if !known.counted {
			known.counted, known.established = true, p.set.Status.Replicas
		}
		known.established = min(max(known.established, live), replicasOf(p.set))
		p.established = known.established
	})
}

func ended(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodFailed || pod.Status.Phase == corev1.PodSucceeded
}
