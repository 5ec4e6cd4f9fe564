package release

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

func TestTheLastHandCountsEvenWithinOneSecond(t *testing.T) {
	type hand struct {
		action  v1alpha1.Action
		second  int
		version string
	}
	const pause, resume, abort, retry = v1alpha1.ActionPause, v1alpha1.ActionResume, v1alpha1.ActionAbort, v1alpha1.ActionRetry
	for _, tc := range []struct {
		name            string
		hands           []hand
		paused, aborted bool
	}{
		{"paused", []hand{{pause, 1, "7"}}, true, false},
		{"paused, and resumed in the same second", []hand{{pause, 1, "9"}, {resume, 1, "10"}}, false, false},
		{"resumed, and paused in the same second", []hand{{pause, 1, "10"}, {resume, 1, "9"}}, true, false},
		{"aborted, and tried again in the same second", []hand{{abort, 1, "9"}, {retry, 1, "12"}}, false, false},
		{"tried again, and aborted in the same second", []hand{{abort, 1, "12"}, {retry, 1, "9"}}, false, true},
		{"seconds count before versions, which a restored backup makes anew", []hand{{pause, 1, "12"}, {resume, 2, "9"}}, false, false},
		{"without versions what holds is not lost", []hand{{pause, 1, ""}, {resume, 1, ""}}, true, false},
		{"a version that is no number says nothing", []hand{{pause, 1, "x9"}, {resume, 1, "10"}}, true, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var all []*v1alpha1.Intervention
			for i, h := range tc.hands {
				all = append(all, &v1alpha1.Intervention{
					ObjectMeta: metav1.ObjectMeta{
						Name: string(rune('a' + i)), ResourceVersion: h.version,
						CreationTimestamp: metav1.NewTime(time.Date(2026, 1, 1, 0, 0, h.second, 0, time.UTC)),
					},
					Spec: v1alpha1.InterventionSpec{Action: h.action, RunRef: v1alpha1.RootRef{Name: "r", UID: "u"}},
				})
			}
			s := Stand(all, "u")
			if got := s.Paused != nil; got != tc.paused {
				t.Errorf("paused: %t, want %t", got, tc.paused)
			}
			if got := s.Aborted != nil; got != tc.aborted {
				t.Errorf("aborted: %t, want %t", got, tc.aborted)
			}
		})
	}
}
