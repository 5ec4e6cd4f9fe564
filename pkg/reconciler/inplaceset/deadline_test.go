package inplaceset

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
)

func TestACrashLoopThatComesUpForASecondAtATimeMissesTheDeadline(t *testing.T) {
	a, b := shopPod("web-a", "r2", "web:v2"), shopPod("web-b", "r2", "web:v2")
	s := newShop(t, 2, nil, []corev1.PodTemplateSpec{shopTemplate("web:v1"), shopTemplate("web:v2")}, a, b)
	again := func() {
		for _, pod := range []*corev1.Pod{a, b} { // one after the other, so that there is no rest.
			s.put(pod)
			s.run()
			s.after(time.Second)
			s.put(pod, inBackOff)
			s.run()
			s.after(150 * time.Second)
		}
	}
	s.put(a, inBackOff)
	s.put(b, inBackOff)
	s.run()
	again()
	if got := s.condition(v1alpha1.ConditionProgressing).Reason; got == ReasonProgressDeadlineExceeded {
		t.Errorf("%s after five minutes; the deadline is ten", got)
	}
	again()
	again()
	if got := s.condition(v1alpha1.ConditionProgressing).Reason; got != ReasonProgressDeadlineExceeded {
		t.Errorf("%s after fifteen minutes; want %s", got, ReasonProgressDeadlineExceeded)
	}
	s.start() // the controller starts anew: at worst it waits for one deadline more.
	for range 3 {
		again()
	}
	if got := s.condition(v1alpha1.ConditionProgressing).Reason; got != ReasonProgressDeadlineExceeded {
		t.Errorf("%s fifteen minutes after a restart; want %s", got, ReasonProgressDeadlineExceeded)
	}
	s.put(a)
	s.put(b)
	s.run()
	if got := s.condition(v1alpha1.ConditionProgressing).Reason; got != ReasonComplete {
		t.Errorf("%s once both are up; want %s", got, ReasonComplete)
	}
}

func TestTheProgressDeadline(t *testing.T) {
	begun := noon.Add(-time.Hour)
	moving, rest, paused := goesOn(ReasonMoving, "1 waits"), goesOn(ReasonComplete, "all"), stopped(ReasonPaused, "paused")
	for _, r := range []struct {
		name   string
		was    string // the reason before
		before v1alpha1.InPlaceSetStatus
		now    metav1.Condition
		counts func(*v1alpha1.InPlaceSetStatus)
		set    func(*v1alpha1.InPlaceSet)
		reason string
		moved  bool // progressedAt is now
		wake   time.Duration
	}{
		{name: "a change that stands still is told, with what it waits for", was: ReasonMoving, now: moving, reason: ReasonProgressDeadlineExceeded},
		{name: "failing pods are told, too", was: ReasonPodsFailing, now: stopped(ReasonPodsFailing, "1 waits"), reason: ReasonProgressDeadlineExceeded},
		{name: "what is exceeded stays so", was: ReasonProgressDeadlineExceeded, now: moving, reason: ReasonProgressDeadlineExceeded},
		{name: "within the deadline it goes on, and is looked at again", was: ReasonMoving, now: moving, set: func(s *v1alpha1.InPlaceSet) { s.Status.ProgressedAt.Time = noon.Add(-9 * time.Minute) }, reason: ReasonMoving, wake: time.Minute},
		{name: "the deadline that nobody set comes after minReadySeconds", was: ReasonMoving, now: moving, set: func(s *v1alpha1.InPlaceSet) {
			s.Spec.MinReadySeconds, s.Status.ProgressedAt.Time = 900, noon.Add(-24*time.Minute)
		}, reason: ReasonMoving, wake: time.Minute},
		{name: "a deadline that somebody set is what it says", was: ReasonMoving, now: moving, set: func(s *v1alpha1.InPlaceSet) {
			s.Spec.MinReadySeconds, s.Spec.ProgressDeadlineSeconds, s.Status.ProgressedAt.Time = 900, ptr.To[int32](1000), noon.Add(-17*time.Minute)
		}, reason: ReasonProgressDeadlineExceeded},
		{name: "a pod that gets to the update revision is progress", was: ReasonProgressDeadlineExceeded, now: moving, counts: func(s *v1alpha1.InPlaceSetStatus) { s.UpdatedReplicas++ }, reason: ReasonMoving, moved: true, wake: 10 * time.Minute},
		{name: "a pod that becomes available is progress", was: ReasonProgressDeadlineExceeded, now: moving, counts: func(s *v1alpha1.InPlaceSetStatus) { s.AvailableReplicas++ }, reason: ReasonMoving, moved: true, wake: 10 * time.Minute},
		{name: "a pod that is made is progress", was: ReasonProgressDeadlineExceeded, now: moving, counts: func(s *v1alpha1.InPlaceSetStatus) { s.Replicas++ }, reason: ReasonMoving, moved: true, wake: 10 * time.Minute},
		{name: "a pod less of too many is progress", was: ReasonProgressDeadlineExceeded, now: moving, before: v1alpha1.InPlaceSetStatus{Replicas: 5}, counts: func(s *v1alpha1.InPlaceSetStatus) { s.Replicas-- }, reason: ReasonMoving, moved: true, wake: 10 * time.Minute},
		{name: "a pod that gets lost is none", was: ReasonMoving, now: moving, before: v1alpha1.InPlaceSetStatus{Replicas: 2}, counts: func(s *v1alpha1.InPlaceSetStatus) { s.Replicas-- }, reason: ReasonProgressDeadlineExceeded},
		{name: "a generation that is taken up begins the time anew", was: ReasonMoving, now: moving, counts: func(s *v1alpha1.InPlaceSetStatus) { s.ObservedGeneration++ }, reason: ReasonMoving, moved: true, wake: 10 * time.Minute},
		{name: "the end of rest begins the time anew", was: ReasonComplete, now: moving, reason: ReasonMoving, moved: true, wake: 10 * time.Minute},
		{name: "a set at rest is never late", was: ReasonComplete, now: rest, reason: ReasonComplete},
		{name: "a set that held back enough is never late", was: ReasonHeldBack, now: goesOn(ReasonHeldBack, ""), reason: ReasonHeldBack},
		{name: "a pause does not count", was: ReasonPaused, now: paused, reason: ReasonPaused},
		{name: "a pause in which pods are made does not count", was: ReasonMoving, now: moving, set: func(s *v1alpha1.InPlaceSet) { s.Spec.UpdateStrategy.Paused = true }, reason: ReasonMoving},
		{name: "what nobody lets move keeps its own reason", was: ReasonNotInPlace, now: stopped(ReasonNotInPlace, ""), reason: ReasonNotInPlace},
	} {
		t.Run(r.name, func(t *testing.T) {
			set := setOf("web", "u1")
			set.Status = r.before
			set.Status.ProgressedAt = &metav1.Time{Time: begun}
			set.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionProgressing, Reason: r.was}}
			if r.set != nil {
				r.set(set)
			}
			at := set.Status.ProgressedAt.Time
			p := &pass{set: set, now: noon}
			p.state.Replicas = 3
			s := set.Status.DeepCopy()
			if r.counts != nil {
				r.counts(s)
			}
			got := p.withDeadline(s, r.now)
			if got.Reason != r.reason || !strings.Contains(got.Message, r.now.Message) {
				t.Errorf("%s: %q; want %s with %q in it", got.Reason, got.Message, r.reason, r.now.Message)
			}
			if r.moved {
				at = noon
			}
			if !s.ProgressedAt.Time.Equal(at) || p.wakeIn != r.wake {
				t.Errorf("progressed at %s and wakes in %s; want %s and %s", s.ProgressedAt, p.wakeIn, at, r.wake)
			}
		})
	}
}
