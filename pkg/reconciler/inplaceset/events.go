package inplaceset

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
)

// EventRevision is the reason of the Event for a new update revision. All other Events carry the reason of the condition that they tell of.
const EventRevision = "Revision"

// tell says in Events what changed for the set: a new revision, and each turn of Progressing. There is none for a single pod: with thousands of pods they
// would be more writes than the change itself.
func (r *reconciler) tell(set *v1alpha1.InPlaceSet, before, now *v1alpha1.InPlaceSetStatus) {
	if before.UpdateRevision != now.UpdateRevision {
		r.recorder.Eventf(set, corev1.EventTypeNormal, EventRevision, "The template is revision %s", now.UpdateRevision)
	}
	is := meta.FindStatusCondition(now.Conditions, v1alpha1.ConditionProgressing)
	was := meta.FindStatusCondition(before.Conditions, v1alpha1.ConditionProgressing)
	if is == nil || was != nil && was.Reason == is.Reason {
		return
	}
	kind := corev1.EventTypeNormal
	if is.Status == metav1.ConditionFalse && is.Reason != ReasonPaused {
		kind = corev1.EventTypeWarning
	}
	r.recorder.Event(set, kind, is.Reason, is.Message)
}
