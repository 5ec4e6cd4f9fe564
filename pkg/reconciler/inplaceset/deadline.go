package inplaceset

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
)

const defaultProgressDeadline = 600 * time.Second

func progressDeadlineOf(set *v1alpha1.InPlaceSet) time.Duration {
	if s := set.Spec.ProgressDeadlineSeconds; s != nil {
		return time.Duration(*s) * time.Second
	}
	return defaultProgressDeadline
}

// withDeadline turns a condition that says that the set goes on into one that says that it does not, where no pod got on for progressDeadlineSeconds. It
// notes in status when a pod last did: a pod was made or taken away as it should be, or got to the update revision, or became available. A change of the
// spec, with which the set also stops to be paused, and the end of rest begin the time anew.
func (p *pass) withDeadline(s *v1alpha1.InPlaceSetStatus, now metav1.Condition) metav1.Condition {
	before := &p.set.Status
	was := meta.FindStatusCondition(before.Conditions, v1alpha1.ConditionProgressing)
	if s.ProgressedAt == nil || s.ObservedGeneration != before.ObservedGeneration || gotOn(before, s, p.state.Replicas) ||
		!rests(now.Reason) && (was == nil || rests(was.Reason)) {
		s.ProgressedAt = &metav1.Time{Time: p.now.Truncate(time.Second)}
	}
	if p.set.Spec.UpdateStrategy.Paused || rests(now.Reason) || standsStill[now.Reason] {
		return now
	}
	deadline := progressDeadlineOf(p.set)
	if left := s.ProgressedAt.Add(deadline).Sub(p.now); left > 0 {
		p.wakeAfter(left)
		return now
	}
	return stopped(ReasonProgressDeadlineExceeded, fmt.Sprintf("No pod got on for %s (spec.progressDeadlineSeconds): %s", deadline, now.Message))
}

func gotOn(before, now *v1alpha1.InPlaceSetStatus, replicas int32) bool {
	return now.UpdatedReplicas > before.UpdatedReplicas || now.UpdatedAvailableReplicas > before.UpdatedAvailableReplicas ||
		now.AvailableReplicas > before.AvailableReplicas || now.Replicas > before.Replicas ||
		now.Replicas < before.Replicas && before.Replicas > replicas
}

func rests(reason string) bool { return reason == ReasonComplete || reason == ReasonHeldBack }

// standsStill are the reasons with which nothing moves until somebody changes something: time does not count.
var standsStill = map[string]bool{ReasonInvalidSpec: true, ReasonNotInPlace: true, ReasonRevisionMissing: true, ReasonPaused: true}
