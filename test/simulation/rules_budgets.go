package simulation

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/tools/cache"

	appsv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
)

// budgeted is rule 1 for PodDisruptionBudgets: no pod that is healthy is taken out of service below what they want. What others did counts once the cache has it;
// how many are wanted, once the disruption controller told.
func (r *rules) budgeted(d deed, pod *corev1.Pod, known cache.Indexer) {
	for _, budget := range d.c.budgets() {
		selector, err := metav1.LabelSelectorAsSelector(budget.Spec.Selector)
		if err != nil || !selector.Matches(labels.Set(pod.Labels)) {
			continue
		}
		desired := d.c.desired(budget)
		for _, i := range d.p.informers {
			if o := i.seen[budget.Namespace+"/"+budget.Name]; i.selection.Kind.Resource == "poddisruptionbudgets" && o != nil {
				if cached, err := i.truthOf(o); err == nil {
					desired = min(desired, cached.Status.DesiredHealthy)
				}
			}
		}
		healthy := int32(0)
		for _, set := range d.c.sets() {
			healthy += int32(r.hidden(d.c, set, known)) // #nosec G115 -- a few pods.
			for _, of := range unitOf(d.c, set) {
				if r.healthy(of, known) {
					healthy++
				}
			}
		}
		if healthy < desired {
			r.broken(1, "taking pod %s in member %s out of service leaves %d healthy; PodDisruptionBudget %s wants %d", pod.Name, d.c.name, healthy, budget.Name, desired)
		}
	}
}

// healthy pods are those that a budget counts on, as far as a process can know.
func (r *rules) healthy(pod *corev1.Pod, known cache.Indexer) bool {
	if r.deleted[pod.UID] || !isTrue(pod, appsv1alpha1.ReadinessGateInService) {
		return false
	}
	cached := r.knownOf(pod, known)
	return cached != nil && cached.DeletionTimestamp == nil && isTrue(cached, corev1.PodReady) && !changingInService(cached)
}
