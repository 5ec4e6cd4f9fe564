package guard

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

func TestTheValueShowsPeopleWhatWasCompared(t *testing.T) {
	sick := of(pod("web-0", true, true), pod("web-1", true, false), pod("web-2", true, false), pod("web-3", true, false), pod("web-4", true, false), pod("web-5", false, true))
	sick.Units = []Unit{{Name: "dca", Replicas: 3, Updated: 1}, {Name: "dcb", Replicas: 3, Updated: 3}}
	sick.Params = map[string]string{"version": "v2"}
	for _, tt := range []struct{ name, expr, want string }{
		{"operands of comparisons", "updated.size() >= want && workload.replicas != 0", "updated.size() = 5, want = 2, workload.replicas = 4"},
		{"each only once", "want > 1 && want < 5", "want = 2"},
		{"a sum as a whole", "updated.size() + stable.size() > 5", "updated.size() + stable.size() = 6"},
		{"who breaks a condition, and how many", "updated.all(p, p.ready)", "updated.all(p, p.ready) = false (not so for 4 of 5: web-1, web-2, web-3, …)"},
		{"units too", "units.all(u, u.updated == u.replicas)", "units.all(u, u.updated == u.replicas) = false (not so for 1 of 2: dca)"},
		{"who, in a loop inside", "units.all(u, updated.all(p, p.ready || u.name == 'dcb'))",
			`units.all(u, updated.all(p, p.ready || u.name == "dcb")) = false (not so for 1 of 2: dca)`},
		{"cheap parts that were not reached", "!updated.all(p, p.ready) || want > 5", "updated.all(p, p.ready) = false (not so for 4 of 5: web-1, web-2, web-3, …), want = 2"},
		{"not dear ones", "want > 5 && updated.all(p, p.ready)", "want = 2"},
		{"not those that cannot be evaluated", "want > 5 && updated[17].ready", "want = 2"},
		{"a filter's count", "updated.filter(p, !p.ready).size() <= 1", "updated.filter(p, !p.ready).size() = 4"},
		{"strings in quotes", "params.version == 'v1'", `params.version = "v2"`},
		{"lists by their first", "updated.map(p, p.name) == ['x']", `updated.map(p, p.name) = [web-0, web-1, web-2, …]`},
		{"durations and times", "elapsed > duration('5m') || now < timestamp('2020-01-01T00:00:00Z')", "elapsed = 1m0s, now = 2026-07-01T12:01:00Z"},
		{"all sides of a choice that say something", "want > 1 ? updated.exists(p, p.ready) : false", "want = 2, updated.exists(p, p.ready) = true"},
		{"nothing of what is written there", "false", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := compiled(t, v1alpha1.Guard{Name: "g", Expr: tt.expr})
			st, _ := Judge(p, v1alpha1.GuardStatus{}, Moment{Now: t0.Add(m), Step: 1, FirstMove: t0, Move: t0}, sick)
			if st.Value != tt.want {
				t.Errorf("got  %s\nwant %s", st.Value, tt.want)
			}
		})
	}
}

func TestTheValueIsShort(t *testing.T) {
	long := of()
	for range 5 {
		long.Pods = append(long.Pods, pod(strings.Repeat("ä", 250), true, false))
	}
	p := compiled(t, v1alpha1.Guard{Name: "g", Expr: "updated.all(p, p.ready) || updated.all(p, p.available) || updated.all(p, p.restarts > 0)"})
	st, _ := Judge(p, v1alpha1.GuardStatus{}, Moment{Now: t0, Step: 1, FirstMove: t0, Move: t0}, long)
	if n := utf8.RuneCountInString(st.Value); n != maxValue || !strings.HasSuffix(st.Value, "…") {
		t.Errorf("%d runes: %s", n, st.Value)
	}
}

func TestCulpritsAreNamedWithinTheCostLimitOnly(t *testing.T) {
	p, err := Compile(v1alpha1.Guard{Name: "g", Expr: "pods.all(p, p.ready && pods.exists(q, q.name == p.name))"}, Limits{Pods: 20, CostPerPod: 1000, CostBase: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for n, want := range map[int]string{
		20:   "pods.all(p, p.ready && pods.exists(q, q.name == p.name)) = false (not so for 1 of 20: web-0)",
		2000: "pods.all(p, p.ready && pods.exists(q, q.name == p.name)) = false",
	} {
		in := fleetOf(n)
		in.Pods[0].Ready = false
		if st, _ := Judge(p, v1alpha1.GuardStatus{}, Moment{Now: t0, Step: 1, FirstMove: t0, Move: t0}, in); st.Value != want {
			t.Errorf("%d pods: got %s: %s", n, st.Verdict, st.Value)
		}
	}
}
