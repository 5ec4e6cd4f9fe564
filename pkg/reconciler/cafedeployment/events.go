package cafedeployment

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
)

// Reasons of Events. All that are not here carry the reason of the condition that they tell of.
const (
	// EventRevision tells of a new update revision.
	EventRevision = "Revision"
	// EventGroup tells that a group begins.
	EventGroup = "Group"
)

// toldAgain is how long a turn must be over for it to be told again, where it comes with each crash of a pod.
const toldAgain = time.Minute

// tell says in Events what changed: a new revision, each group, and each turn of Progressing and Allocated.
func (r *reconciler) tell(d *v1alpha1.CafeDeployment, before, now *v1alpha1.CafeDeploymentStatus) {
	if before.UpdateRevision != now.UpdateRevision {
		r.recorder.Eventf(d, corev1.EventTypeNormal, EventRevision, "The template is revision %s", now.UpdateRevision)
	}
	if g := now.Group; g != nil && groupName(before.Group) != groupName(g) {
		r.recorder.Eventf(d, corev1.EventTypeNormal, EventGroup, "%s, group %d of %d: %s", g.For, g.Index, g.Total, g.What)
	}
	for _, name := range []string{v1alpha1.ConditionProgressing, v1alpha1.ConditionAllocated} {
		was, is := meta.FindStatusCondition(before.Conditions, name), meta.FindStatusCondition(now.Conditions, name)
		if is == nil || was != nil && was.Reason == is.Reason || was == nil && is.Reason == ReasonAsAsked || r.toldLately(d, was, is) {
			continue
		}
		kind := corev1.EventTypeNormal
		if is.Status == metav1.ConditionFalse && is.Reason != ReasonPaused && is.Reason != ReasonAwaitingConfirmation {
			kind = corev1.EventTypeWarning
		}
		r.recorder.Event(d, kind, is.Reason, is.Message)
	}
}

// toldLately says whether a turn comes and goes with each crash of a pod, and was told a moment ago.
func (r *reconciler) toldLately(d *v1alpha1.CafeDeployment, was, is *metav1.Condition) (lately bool) {
	now := r.clock.Now()
	r.memory.of(keyOf(d), func(known *remembered) {
		last, told := known.told[is.Reason]
		lately = was != nil && turnsWithCrashes(was.Reason, is.Reason) && told && now.Sub(last) < toldAgain
		known.told[is.Reason] = now
	})
	return lately
}

func groupName(g *v1alpha1.CafeDeploymentGroup) string {
	if g == nil {
		return ""
	}
	return fmt.Sprint(g.For, g.Index, g.Total, g.What)
}
