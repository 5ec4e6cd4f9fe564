package workload

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	appsv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
)

func TestWhatASetSaysOfItsStandstill(t *testing.T) {
	for _, r := range []struct {
		name             string
		reason           string
		status           metav1.ConditionStatus
		paused, old      bool
		stalled, trouble string
	}{
		{name: "a bad spec fails a stage", reason: appsv1alpha1.ReasonInvalidSpec, stalled: "because"},
		{name: "what does not fit in place fails a stage", reason: appsv1alpha1.ReasonNotInPlace, stalled: "because"},
		{name: "a lost revision fails a stage", reason: appsv1alpha1.ReasonRevisionMissing, stalled: "because"},
		{name: "a bad spec of a paused set fails a stage", reason: appsv1alpha1.ReasonInvalidSpec, paused: true, stalled: "because"},
		{name: "the set's own deadline is shown, and the stage's counts", reason: appsv1alpha1.ReasonProgressDeadlineExceeded, trouble: "because"},
		{name: "a pause is no trouble", reason: "Paused", paused: true},
		{name: "what goes on is no trouble", reason: "Moving", status: metav1.ConditionTrue},
		{name: "what was said of an older spec counts no more", reason: appsv1alpha1.ReasonInvalidSpec, old: true},
	} {
		t.Run(r.name, func(t *testing.T) {
			set := &appsv1alpha1.InPlaceSet{ObjectMeta: metav1.ObjectMeta{Name: "web", Generation: 2}}
			set.Spec.UpdateStrategy.Paused = r.paused
			if set.Status.ObservedGeneration = 2; r.old {
				set.Status.ObservedGeneration = 1
			}
			if r.status == "" {
				r.status = metav1.ConditionFalse
			}
			set.Status.Conditions = []metav1.Condition{{Type: appsv1alpha1.ConditionProgressing, Status: r.status, Reason: r.reason, Message: "because"}}
			if u := unitOf("m1", set); u.Stalled != r.stalled || u.Trouble != r.trouble {
				t.Errorf("stalled %q, trouble %q; want %q, %q", u.Stalled, u.Trouble, r.stalled, r.trouble)
			}
		})
	}
}
