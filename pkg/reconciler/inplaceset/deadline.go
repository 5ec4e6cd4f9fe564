package inplaceset

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
)

// defaultProgressDeadline comes on top of minReadySeconds, in which a pod that is well does not get on either.
const defaultProgressDeadline = 600 * time.Second

func progressDeadlineOf(set *v1alpha1.InPlaceSet) time.Duration {
	if s := set.Spec.ProgressDeadlineSeconds; s != nil {
		return time.Duration(*s) * time.Second
	}
	return defaultProgressDeadline + time.Duration(set.Spec.MinReadySeconds)*time.Second
}

// best is how far a set got since its generation was taken up, or since it last was at rest. Progress is to get further: a pod of a crash loop that comes up
// for a second at a time gets to where it was, and no more.
type best struct {
	generation                                     int64
	replicas, updated, available, updatedAvailable int32
	// above is the least that there were above replicas.
	above int32
	// at is when it last got further; status may not have it yet. Zero where nothing is known.
	at time.Time
}

func bestOf(s *v1alpha1.InPlaceSetStatus, replicas int32) best {
	return best{
		generation: s.ObservedGeneration, replicas: s.Replicas, updated: s.UpdatedReplicas, available: s.AvailableReplicas, updatedAvailable: s.UpdatedAvailableReplicas,
		above: max(s.Replicas-replicas, 0),
	}
}

// gotOn raises what is the best so far, and says whether anything did.
func (b *best) gotOn(now best) bool {
	before := *b
	b.replicas, b.updated = max(b.replicas, now.replicas), max(b.updated, now.updated)
	b.available, b.updatedAvailable = max(b.available, now.available), max(b.updatedAvailable, now.updatedAvailable)
	b.above = min(b.above, now.above)
	return *b != before
}

// withDeadline turns a condition that says that the set goes on into one that says that it does not, where no pod got on for progressDeadlineSeconds. It
// notes in status when a pod last did: there are more pods than there were since the time began, or more on the update revision, or more available, or fewer
// too many. A change of the spec, with which the set also stops to be paused, and the end of rest begin the time anew.
//
// How far the set got is in memory. Where that was lost, what status says counts as the best so far: at worst the set is late by one deadline more.
func (p *pass) withDeadline(s *v1alpha1.InPlaceSetStatus, now metav1.Condition) metav1.Condition {
	before := &p.set.Status
	was := meta.FindStatusCondition(before.Conditions, v1alpha1.ConditionProgressing)
	if p.best == nil {
		p.best = &best{}
	}
	if p.best.at.IsZero() && before.ProgressedAt != nil {
		*p.best = bestOf(before, p.state.Replicas)
		p.best.at = before.ProgressedAt.Time
	}
	is := bestOf(s, p.state.Replicas)
	switch {
	case p.best.at.IsZero() || p.best.generation != is.generation || !rests(now.Reason) && (was == nil || rests(was.Reason)):
		*p.best = is
		p.best.at = p.now
	case p.best.gotOn(is):
		p.best.at = p.now
	}
	s.ProgressedAt = &metav1.Time{Time: p.best.at.Truncate(time.Second)}
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

func rests(reason string) bool { return reason == ReasonComplete || reason == ReasonHeldBack }

// standsStill are the reasons with which nothing moves until somebody changes something: time does not count.
var standsStill = map[string]bool{ReasonInvalidSpec: true, ReasonNotInPlace: true, ReasonRevisionMissing: true, ReasonPaused: true}
