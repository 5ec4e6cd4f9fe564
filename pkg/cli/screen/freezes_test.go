package screen

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	stages "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

func TestHowFarAFreezeReaches(t *testing.T) {
	ring1 := &metav1.LabelSelector{MatchLabels: map[string]string{"ring": "1"}}
	known := MemberLabels{"m1": {"ring": "1"}, "m2": {"ring": "2"}}
	for _, tc := range []struct {
		name    string
		spec    stages.FreezeSpec
		members []string
		known   MemberLabels
		want    Reach
	}{
		{"everything, with members", stages.FreezeSpec{}, []string{"m1"}, known, Reaches},
		{"everything, without", stages.FreezeSpec{}, nil, known, Reaches},
		{"one of the members by name", stages.FreezeSpec{Members: []string{"m2", "m9"}}, []string{"m1", "m2"}, known, Reaches},
		{"none of the members by name", stages.FreezeSpec{Members: []string{"m9"}}, []string{"m1", "m2"}, known, ReachesNot},
		{"what has no member, of members by name", stages.FreezeSpec{Members: []string{"m1"}}, nil, known, ReachesNot},
		{"members by labels that match", stages.FreezeSpec{MemberSelector: ring1}, []string{"m1"}, known, Reaches},
		{"members by labels that do not", stages.FreezeSpec{MemberSelector: ring1}, []string{"m2"}, known, ReachesNot},
		{"a member that is gone has no labels", stages.FreezeSpec{MemberSelector: ring1}, []string{"m3"}, known, ReachesNot},
		{"labels that nobody may read", stages.FreezeSpec{MemberSelector: ring1}, []string{"m2"}, nil, ReachesPerhaps},
		{"the run's namespace", stages.FreezeSpec{Namespaces: []string{"till", "shop"}}, nil, known, Reaches},
		{"another namespace", stages.FreezeSpec{Namespaces: []string{"till"}}, []string{"m1"}, known, ReachesNot},
		{"the member in another namespace: both must match", stages.FreezeSpec{Namespaces: []string{"till"}, Members: []string{"m1"}}, []string{"m1"}, known, ReachesNot},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := ReachOf(&tc.spec, "shop", tc.members, tc.known); got != tc.want {
				t.Errorf("got %d, want %d", got, tc.want)
			}
		})
	}
}

func TestAPauseHoldsUntilSomebodyResumesLater(t *testing.T) {
	type hand struct {
		action stages.Action
		after  int
	}
	for _, tc := range []struct {
		name  string
		hands []hand
		want  bool
	}{
		{"nothing was done", nil, false},
		{"paused", []hand{{stages.ActionPause, 1}}, true},
		{"paused and resumed", []hand{{stages.ActionPause, 1}, {stages.ActionResume, 2}}, false},
		{"paused twice and resumed once", []hand{{stages.ActionPause, 1}, {stages.ActionPause, 2}, {stages.ActionResume, 3}}, false},
		{"resumed and paused again", []hand{{stages.ActionPause, 1}, {stages.ActionResume, 2}, {stages.ActionPause, 3}}, true},
		{"both within one second, nobody knows in which order: the pause counts", []hand{{stages.ActionPause, 1}, {stages.ActionResume, 1}}, true},
		{"a skip changes nothing", []hand{{stages.ActionPause, 1}, {stages.ActionSkip, 2}}, true},
		{"a retry is a new beginning", []hand{{stages.ActionPause, 1}, {stages.ActionRetry, 2}}, false},
		{"resumed without a pause", []hand{{stages.ActionResume, 1}}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			st := canaryRunning(t)
			for i, h := range tc.hands {
				st.did(string(rune('a'+i)), time.Duration(h.after)*s, h.action, "bob", "x")
			}
			if got := StandingOf(st.o.Hands()).Paused != nil; got != tc.want {
				t.Errorf("got %t, want %t", got, tc.want)
			}
		})
	}
}
