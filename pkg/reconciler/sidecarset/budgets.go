package sidecarset

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/tools/cache"

	"github.com/periplus-dev/periplus/pkg/plan"
	"github.com/periplus-dev/periplus/pkg/taken"
)

// disruption is a PodDisruptionBudget and what it selects.
type disruption struct {
	*policyv1.PodDisruptionBudget
	selector labels.Selector
}

// readBudgets of the namespaces that the set's pods are in.
func (r *reconciler) readBudgets(p *pass) error {
	p.budgets = map[string][]disruption{}
	for namespace := range p.namespaces {
		found, err := r.budgets.ByIndex(cache.NamespaceIndex, namespace)
		if err != nil {
			return fmt.Errorf("listing PodDisruptionBudgets in namespace %s: %w", namespace, err)
		}
		for _, object := range found {
			budget, ok := object.(*policyv1.PodDisruptionBudget)
			if !ok {
				continue
			}
			if selector, err := metav1.LabelSelectorAsSelector(budget.Spec.Selector); err == nil { // else the disruption controller cannot read it either.
				p.budgets[namespace] = append(p.budgets[namespace], disruption{budget, selector})
			}
		}
	}
	return nil
}

// under are the names of the budgets that a pod is under, as namespace/name.
func (p *pass) under(pod *plan.SidecarPod) []string {
	seen := p.byName[pod.Name]
	var out []string
	for _, budget := range p.budgets[seen.pod.Namespace] {
		if budget.selector.Matches(labels.Set(seen.pod.Labels)) {
			out = append(out, budget.Namespace+"/"+budget.Name)
		}
	}
	return out
}

// leftOf a budget: how many more pods it lets go. Pods with sidecars, and of InPlaceSets, are counted as they are now, with the writes that we made a moment ago, for the disruption
// controller's count lags behind. Of others its count is taken, as if all of ours were in it: what is left of it is healthy for sure.
func (r *reconciler) leftOf(p *pass, name string) int32 {
	namespace, _, _ := cache.SplitMetaNamespaceKey(name)
	for i := range p.budgets[namespace] {
		if budget := &p.budgets[namespace][i]; budget.Namespace+"/"+budget.Name == name {
			return r.left(p, budget)
		}
	}
	return 0
}

func (r *reconciler) left(p *pass, budget *disruption) int32 {
	status := &budget.Status
	failed := meta.FindStatusCondition(status.Conditions, policyv1.DisruptionAllowedCondition)
	if status.ObservedGeneration != budget.Generation || failed != nil && failed.Reason == policyv1.SyncFailedReason {
		return 0 // what it wants is not known yet.
	}
	found, err := r.podsIn(p, budget.Namespace)
	if err != nil {
		return 0
	}
	var ours, healthy int32
	for _, pod := range found {
		if !budget.selector.Matches(labels.Set(pod.Labels)) {
			continue
		}
		ours++ // one that is being deleted, too: a count from before has it.
		if _, evicted := status.DisruptedPods[pod.Name]; !evicted && !p.taken(pod.UID) && taken.Healthy(pod) {
			healthy++
		}
	}
	others := max(min(status.CurrentHealthy-ours, status.ExpectedPods-ours), 0)
	return healthy + others - status.DesiredHealthy
}

// podsIn a namespace that this process takes out of service: those with sidecars, and others of InPlaceSets.
func (r *reconciler) podsIn(p *pass, namespace string) ([]*corev1.Pod, error) {
	var out []*corev1.Pod
	for _, pod := range p.newest {
		if pod.Namespace == namespace {
			out = append(out, pod)
		}
	}
	if r.workloads == nil {
		return out, nil
	}
	found, err := r.workloads.InPlaceSetPods.GetIndexer().ByIndex(cache.NamespaceIndex, namespace)
	if err != nil {
		return nil, fmt.Errorf("listing the pods of InPlaceSets in namespace %s: %w", namespace, err)
	}
	for _, pod := range podsOf(found) {
		if p.newest[pod.UID] == nil {
			out = append(out, pod)
		}
	}
	return out, nil
}

func podsOf(objects []any) []*corev1.Pod {
	out := make([]*corev1.Pod, 0, len(objects))
	for _, object := range objects {
		if pod, ok := object.(*corev1.Pod); ok {
			out = append(out, pod)
		}
	}
	return out
}
