package inplaceset

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/plan"
	"github.com/periplus-dev/periplus/pkg/taken"
)

// disruption is a PodDisruptionBudget and what it selects.
type disruption struct {
	*policyv1.PodDisruptionBudget
	selector labels.Selector
}

// decideUnderBudgets makes the plan, asking the PodDisruptionBudgets of the set's namespace where a pod that serves would be taken.
//
// What is not covered: an eviction by somebody else within the second between our write of a gate and the moment when the disruption controller counts
// the pod as unhealthy. The API server does not know of that pod then, and we do not know of the eviction.
//
// A set whose pods carry sidecars decides under the register's lock in any case: a SidecarSet takes pods of it too, and keeps the set's limit.
func (r *reconciler) decideUnderBudgets(p *pass) error {
	key := keyOf(p.set)
	if r.ledger.Takes(by(key)) { // a gate that the newest state shows open is not being closed any more.
		open := map[types.UID]bool{}
		for _, pod := range p.pods {
			open[pod.UID] = healthy(pod)
		}
		r.wake(r.ledger.keep(key, func(uid types.UID) bool { return !open[uid] }))
	}
	all, err := r.disruptionsIn(p.set.Namespace)
	if err != nil {
		return err
	}
	shared := p.carriesSidecars()
	if len(all) == 0 && !shared {
		r.ledger.forget(key)
		return p.decide()
	}
	byName := func() map[string]*corev1.Pod {
		out := make(map[string]*corev1.Pod, len(p.pods))
		for _, pod := range p.pods {
			out[pod.Name] = pod
		}
		return out
	}
	r.ledger.Decide(by(key), func(see taken.View) []*corev1.Pod {
		var pods map[string]*corev1.Pod
		if len(all) > 0 {
			p.budgets = func(pod *plan.InPlacePod) []string {
				if pods == nil {
					pods = byName()
				}
				return namesOf(all, pods[pod.Name])
			}
			p.left = func(name string) int32 {
				for i := range all {
					if all[i].Name == name {
						return r.left(&all[i], func(uid types.UID) bool { return see(uid, taken.By{}) })
					}
				}
				return 0
			}
		}
		p.takenByOthers = func(uid types.UID) bool { return see(uid, by(key)) }
		if err = p.decide(); err != nil || pods == nil && !shared {
			return nil // nothing that serves is taken.
		}
		if pods == nil {
			pods = byName()
		}
		var takes []*corev1.Pod
		for _, names := range [][]string{p.plan.ScaleDown, p.plan.Rebuild, p.plan.Update} {
			for _, name := range names {
				if pod := pods[name]; healthy(pod) && (shared || len(namesOf(all, pod)) > 0) {
					takes = append(takes, pod)
				}
			}
		}
		return takes
	})
	r.ledger.waits(key, p.plan.WaitingFor)
	return err
}

// carriesSidecars says whether a pod of the set does.
func (p *pass) carriesSidecars() bool {
	return slices.ContainsFunc(p.pods, func(pod *corev1.Pod) bool { return pod.Labels[v1alpha1.LabelSidecars] != "" })
}

// settle takes back what was to be closed and was not: the write failed, or the engine had to wait first. One whose answer got lost stays until the API
// server was asked.
func (r *reconciler) settle(p *pass) {
	key := keyOf(p.set)
	if !r.ledger.Takes(by(key)) {
		return
	}
	inDoubt := map[string]bool{}
	for _, name := range r.writtenPods.Doubtful(string(p.set.UID)) {
		inDoubt[name] = true
	}
	open := map[types.UID]bool{}
	for _, pod := range r.writtenPods.Over(string(p.set.UID), p.pods) {
		open[pod.UID] = healthy(pod) && !inDoubt[pod.Name]
	}
	r.wake(r.ledger.keep(key, func(uid types.UID) bool { return !open[uid] }))
}

// disruptionsIn a namespace.
func (r *reconciler) disruptionsIn(namespace string) ([]disruption, error) {
	found, err := r.budgets.ByIndex(cache.NamespaceIndex, namespace)
	if err != nil {
		return nil, fmt.Errorf("listing PodDisruptionBudgets in namespace %s: %w", namespace, err)
	}
	out := make([]disruption, 0, len(found))
	for _, object := range found {
		budget, ok := object.(*policyv1.PodDisruptionBudget)
		if !ok {
			continue
		}
		selector, err := metav1.LabelSelectorAsSelector(budget.Spec.Selector)
		if err != nil {
			continue // the disruption controller cannot read it either.
		}
		out = append(out, disruption{budget, selector})
	}
	return out, nil
}

// namesOf the budgets that select a pod.
func namesOf(all []disruption, pod *corev1.Pod) []string {
	var names []string
	for i := range all {
		if all[i].selector.Matches(labels.Set(pod.Labels)) {
			names = append(names, all[i].Name)
		}
	}
	return names
}

// left is how many pods a budget lets go. Our own pods are counted as we see them, for the disruption controller's count lags behind our writes. Of
// others' pods its count is taken, as if all of ours were in it: what is left of it is healthy for sure.
func (r *reconciler) left(budget *disruption, closing func(types.UID) bool) int32 {
	status := &budget.Status
	failed := meta.FindStatusCondition(status.Conditions, policyv1.DisruptionAllowedCondition)
	if status.ObservedGeneration != budget.Generation || failed != nil && failed.Reason == policyv1.SyncFailedReason {
		return 0 // what it wants is not known yet.
	}
	found, err := r.podsIn(budget.Namespace)
	if err != nil {
		return 0
	}
	var ours, oursHealthy int32
	for _, pod := range found {
		if !budget.selector.Matches(labels.Set(pod.Labels)) {
			continue
		}
		ours++ // one that is being deleted, too: a count from before has it.
		if pod.DeletionTimestamp != nil {
			continue
		}
		if _, evicted := status.DisruptedPods[pod.Name]; healthy(pod) && !evicted && !closing(pod.UID) {
			oursHealthy++
		}
	}
	wanted, err := r.wantedUnder(budget)
	if err != nil {
		return 0
	}
	others := max(min(status.CurrentHealthy-ours, status.ExpectedPods-max(ours, wanted)), 0)
	return oursHealthy + others - status.DesiredHealthy
}

// podsIn a namespace that this process takes out of service: those of InPlaceSets, and others that carry sidecars.
func (r *reconciler) podsIn(namespace string) ([]*corev1.Pod, error) {
	var out []*corev1.Pod
	for _, pods := range []cache.Indexer{r.pods, r.carriers} {
		if pods == nil {
			continue
		}
		found, err := pods.ByIndex(cache.NamespaceIndex, namespace)
		if err != nil {
			return nil, fmt.Errorf("listing pods in namespace %s: %w", namespace, err)
		}
		for _, object := range found {
			if pod, ok := object.(*corev1.Pod); ok && (pods != r.carriers || pod.Labels[v1alpha1.LabelInPlaceSet] == "") {
				out = append(out, pod)
			}
		}
	}
	return out, nil
}

// wantedUnder is how many pods our sets under a budget are to have. One that is missing is ours, whatever a count says that is from before it got lost.
func (r *reconciler) wantedUnder(budget *disruption) (int32, error) {
	sets, err := r.sets.InPlaceSets(budget.Namespace).List(labels.Everything())
	if err != nil {
		return 0, fmt.Errorf("listing InPlaceSets in namespace %s: %w", budget.Namespace, err)
	}
	var n int32
	for _, set := range sets {
		if budget.selector.Matches(labels.Set(set.Spec.Template.Labels)) {
			n += replicasOf(set)
		}
	}
	return n, nil
}

// budgetChanged wakes the sets that wait for a budget when what it wants or lets go changed.
func (r *reconciler) budgetChanged(before, now *policyv1.PodDisruptionBudget) {
	if before != nil && before.Generation == now.Generation && apiequality.Semantic.DeepEqual(before.Status, now.Status) {
		return
	}
	r.wake(r.ledger.budgetChanged(types.NamespacedName{Namespace: now.Namespace, Name: now.Name}))
}

// onlyCounts keeps of a PodDisruptionBudget what is asked of it.
func onlyCounts(object any) (any, error) {
	budget, ok := object.(*policyv1.PodDisruptionBudget)
	if !ok {
		return object, nil
	}
	return &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{
			Name: budget.Name, Namespace: budget.Namespace, UID: budget.UID, ResourceVersion: budget.ResourceVersion, Generation: budget.Generation,
		},
		Spec: policyv1.PodDisruptionBudgetSpec{Selector: budget.Spec.Selector}, Status: budget.Status,
	}, nil
}

var _ cache.TransformFunc = onlyCounts
