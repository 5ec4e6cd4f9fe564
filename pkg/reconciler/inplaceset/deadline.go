package inplaceset

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/deadline"
)

func progressDeadlineOf(set *v1alpha1.InPlaceSet) time.Duration {
	return deadline.Of(set.Spec.ProgressDeadlineSeconds, set.Spec.MinReadySeconds)
}

func countsOf(s *v1alpha1.InPlaceSetStatus, replicas int32) deadline.Counts {
	return deadline.Counts{
		Generation: s.ObservedGeneration, Replicas: s.Replicas, Updated: s.UpdatedReplicas, Available: s.AvailableReplicas, UpdatedAvailable: s.UpdatedAvailableReplicas,
		Above: max(s.Replicas-replicas, 0),
	}
}

// withDeadline turns a condition that says that the set goes on into one that says that it does not, where no pod got on for progressDeadlineSeconds. It
// notes in status when a pod last did: there are more pods than there were since the time began, or more on the update revision, or more available, or fewer
// too many. A change of the spec, with which the set also stops to be paused, and the end of rest begin the time anew.
func (p *pass) withDeadline(s *v1alpha1.InPlaceSetStatus, now metav1.Condition) metav1.Condition {
	before := &p.set.Status
	was := meta.FindStatusCondition(before.Conditions, v1alpha1.ConditionProgressing)
	if p.best == nil {
		p.best = &deadline.Best{}
	}
	p.best.Recall(countsOf(before, p.state.Replicas), before.ProgressedAt)
	at := p.best.Note(p.now, countsOf(s, p.state.Replicas), !rests(now.Reason) && (was == nil || rests(was.Reason)))
	s.ProgressedAt = &at
	if p.set.Spec.UpdateStrategy.Paused || rests(now.Reason) || standsStill[now.Reason] {
		return now
	}
	limit := progressDeadlineOf(p.set)
	if left := at.Add(limit).Sub(p.now); left > 0 {
		p.wakeAfter(left)
		return now
	}
	return stopped(ReasonProgressDeadlineExceeded, fmt.Sprintf("No pod got on for %s (spec.progressDeadlineSeconds): %s", limit, now.Message))
}

func rests(reason string) bool { return reason == ReasonComplete || reason == ReasonHeldBack }

// standsStill are the reasons with which nothing moves until somebody changes something: time does not count.
var standsStill = map[string]bool{ReasonInvalidSpec: true, ReasonNotInPlace: true, ReasonRevisionMissing: true, ReasonPaused: true}
