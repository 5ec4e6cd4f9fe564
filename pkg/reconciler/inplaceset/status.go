package inplaceset

import (
	"context"
	"fmt"
	"time"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/plan"
)

// statusEvery is how often a status is written while only its counts move.
const statusEvery = time.Second

// report writes the status if it changed. While counts move it is written at most once in statusEvery; at once when somebody may wait for it (see urgent).
func (r *reconciler) report(ctx context.Context, p *pass) error {
	status := p.status()
	r.tellWaits(p)
	before := &p.set.Status
	if apiequality.Semantic.DeepEqual(before, status) {
		return nil
	}
	key := keyOf(p.set)
	if !urgent(before, status) {
		var next time.Duration
		r.memory.of(key, func(known *remembered) { next = known.reported.Add(statusEvery).Sub(p.now) })
		if next > 0 {
			p.wakeAfter(next)
			return nil
		}
	}
	set := p.set.DeepCopy()
	set.Status = *status
	_, err := r.writtenSets.Write(string(set.UID), set.Name, func() (*v1alpha1.InPlaceSet, error) {
		return r.periplus.AppsV1alpha1().InPlaceSets(set.Namespace).UpdateStatus(ctx, set, metav1.UpdateOptions{})
	})
	if err != nil {
		return fmt.Errorf("writing the status of InPlaceSet %s: %w", key, err)
	}
	r.memory.of(key, func(known *remembered) { known.reported = p.now })
	r.tell(p.set, before, status)
	return nil
}

// urgent says whether a status has news that a pipeline or a person waits for: a generation or revision was taken up, the set cannot go on or can
// again, or an update came to its end. That pods fail, and that they may come up after all, turns with each moment in which one of them runs: it can wait.
func urgent(before, now *v1alpha1.InPlaceSetStatus) bool {
	was, is := meta.FindStatusCondition(before.Conditions, v1alpha1.ConditionProgressing), meta.FindStatusCondition(now.Conditions, v1alpha1.ConditionProgressing)
	return before.ObservedGeneration != now.ObservedGeneration ||
		before.UpdateRevision != now.UpdateRevision || before.CurrentRevision != now.CurrentRevision ||
		was == nil || is == nil || was.Status != is.Status && !turnsWithCrashes(was.Reason, is.Reason) ||
		now.UpdatedAvailableReplicas >= now.ExpectedUpdatedReplicas && before.UpdatedAvailableReplicas < now.ExpectedUpdatedReplicas
}

func turnsWithCrashes(was, is string) bool {
	return was == ReasonMoving && is == ReasonPodsFailing || was == ReasonPodsFailing && is == ReasonMoving
}

// status of the set as this pass saw it.
func (p *pass) status() *v1alpha1.InPlaceSetStatus {
	s := p.set.Status.DeepCopy()
	s.ObservedGeneration = p.set.Generation
	if p.history != nil {
		s.CollisionCount = p.history.Collisions
	}
	s.WaitingFor = p.waits.waitingFor()
	s.LabelSelector = selectorOf(p.set).String()
	s.UpdateRevision = p.update
	s.CurrentRevision = p.current
	s.ExpectedUpdatedReplicas = p.plan.Expected
	if len(p.problems) == 0 {
		s.CurrentRevision = plan.CurrentRevision(p.state)
		if s.CurrentRevision == p.update {
			s.ExpectedUpdatedReplicas = p.state.Replicas // nothing is left to stay on. No event would bring a pass that finds that out.
		}
	}
	s.Replicas, s.ReadyReplicas, s.AvailableReplicas = 0, 0, 0
	s.UpdatedReplicas, s.UpdatedReadyReplicas, s.UpdatedAvailableReplicas = 0, 0, 0
	for _, pod := range p.state.Pods {
		s.Replicas++
		updated := pod.Revision == p.update && !pod.Changing
		if updated {
			s.UpdatedReplicas++
		}
		if pod.Ready {
			s.ReadyReplicas++
			if updated {
				s.UpdatedReadyReplicas++
			}
		}
		if pod.Available {
			s.AvailableReplicas++
			if updated {
				s.UpdatedAvailableReplicas++
			}
		}
	}
	for _, c := range []metav1.Condition{p.withDeadline(s, p.progressing(s)), p.available(s)} {
		c.ObservedGeneration = p.set.Generation
		c.LastTransitionTime = metav1.NewTime(p.now)
		meta.SetStatusCondition(&s.Conditions, c)
	}
	return s
}

func (p *pass) available(s *v1alpha1.InPlaceSetStatus) metav1.Condition {
	least := p.state.Replicas - p.maxUnavailable()
	c := metav1.Condition{
		Type: v1alpha1.ConditionAvailable, Status: metav1.ConditionTrue, Reason: ReasonEnoughAvailable,
		Message: fmt.Sprintf("%d of %d pods are available", s.AvailableReplicas, p.state.Replicas),
	}
	if s.AvailableReplicas < least {
		c.Status, c.Reason = metav1.ConditionFalse, ReasonTooFewAvailable
		c.Message += fmt.Sprintf("; maxUnavailable asks for at least %d", least)
	}
	return c
}

// maxUnavailable is the plan's, or where nothing is planned because of the spec's problems, the strategy's.
func (p *pass) maxUnavailable() int32 {
	if len(p.problems) == 0 {
		return p.plan.MaxUnavailable
	}
	strategy := p.set.Spec.UpdateStrategy
	surge, err := plan.MaxSurge(strategy.MaxSurge, p.state.Replicas)
	if err == nil {
		var n int32
		if n, err = plan.MaxUnavailableWithSurge(strategy.MaxUnavailable, p.state.Replicas, surge); err == nil {
			return n
		}
	}
	return 1 // it cannot be read: the least that any strategy has.
}
