package simulation

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/utils/ptr"
)

// disruptions is the disruption controller: it counts the pods of PodDisruptionBudgets, some time after they changed.
type disruptions struct {
	c    *cluster
	now  func() time.Time
	seen uint64
}

func (c *cluster) budgets() []*policyv1.PodDisruptionBudget {
	return all[*policyv1.PodDisruptionBudget](c, "policy", "poddisruptionbudgets")
}

func (d *disruptions) due() time.Time { return time.Time{} }

func (d *disruptions) move() (string, func(context.Context) error) {
	if d.seen == d.c.api.Version() {
		return "", nil
	}
	for _, budget := range d.c.budgets() {
		if want := d.count(budget); !equality.Semantic.DeepEqual(*want, budget.Status) {
			return "counts for " + budget.Name, func(ctx context.Context) error {
				budget := budget.DeepCopy()
				budget.Status = *want
				_, err := d.c.admin.kube.PolicyV1().PodDisruptionBudgets(budget.Namespace).UpdateStatus(ctx, budget, metav1.UpdateOptions{})
				return ignoreGone(err)
			}
		}
	}
	d.seen = d.c.api.Version()
	return "", nil
}

func (d *disruptions) count(budget *policyv1.PodDisruptionBudget) *policyv1.PodDisruptionBudgetStatus {
	s := budget.Status.DeepCopy()
	s.ObservedGeneration, s.CurrentHealthy, s.ExpectedPods = budget.Generation, 0, 0
	selector, err := metav1.LabelSelectorAsSelector(budget.Spec.Selector)
	if err != nil {
		panic(err) // the simulation made it.
	}
	for _, pod := range d.c.pods() {
		if selector.Matches(labels.Set(pod.Labels)) && pod.DeletionTimestamp == nil {
			s.ExpectedPods++
			if isTrue(pod, corev1.PodReady) {
				s.CurrentHealthy++
			}
		}
	}
	s.DesiredHealthy = d.c.desired(budget)
	if budget.Spec.MaxUnavailable != nil {
		s.ExpectedPods = d.c.expected()
	}
	s.DisruptionsAllowed = max(s.CurrentHealthy-s.DesiredHealthy, 0)
	c := metav1.Condition{Type: policyv1.DisruptionAllowedCondition, Status: metav1.ConditionTrue, Reason: policyv1.SufficientPodsReason, LastTransitionTime: metav1.NewTime(d.now())}
	if s.DisruptionsAllowed == 0 {
		c.Status, c.Reason = metav1.ConditionFalse, policyv1.InsufficientPodsReason
	}
	meta.SetStatusCondition(&s.Conditions, c)
	return s
}

// desired is how many pods a budget wants to be healthy. All sets of a cluster are under it.
func (c *cluster) desired(budget *policyv1.PodDisruptionBudget) int32 {
	if most := budget.Spec.MaxUnavailable; most != nil {
		return max(c.expected()-most.IntVal, 0)
	}
	return budget.Spec.MinAvailable.IntVal
}

func (c *cluster) expected() (n int32) {
	for _, set := range c.sets() {
		n += ptr.Deref(set.Spec.Replicas, 1)
	}
	return n
}
