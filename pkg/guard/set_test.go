package guard

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

func setOf(t testing.TB, guards ...v1alpha1.Guard) *Set {
	t.Helper()
	set, errs := CompileAll(guards, nil, Limits{})
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	return set
}

func in(member string, input Input) Input {
	input.Member = member
	return input
}

// outcome is what a set found at one moment.
type outcome struct {
	Statuses []v1alpha1.GuardStatus
	Summary  Summary
	WakeAt   time.Time
}

// judged judges every guard of a set whose time it is, as a stage does.
func judged(set *Set, prev []v1alpha1.GuardStatus, at Moment, inputs []Input) outcome {
	last := map[string]v1alpha1.GuardStatus{}
	for _, st := range prev {
		last[st.Name+"/"+st.Member] = st
	}
	if len(inputs) == 0 {
		inputs = []Input{{Missing: "no member was looked at"}}
	}
	var out outcome
	var now []v1alpha1.GuardStatus
	for i := range inputs {
		v := NewView(&inputs[i], at.Now)
		for _, p := range set.Programs() {
			key := p.Guard().Name + "/" + inputs[i].Member
			timely := at.FirstMove.IsZero()
			if p.Guard().When != v1alpha1.Before {
				timely = !moveOf(p.Guard().When, at).IsZero()
			}
			if timely {
				j := p.Judge(last[key], at, v, Answers{})
				last[key] = j.Status
				now = append(now, j.Status)
				if !j.WakeAt.IsZero() && (out.WakeAt.IsZero() || j.WakeAt.Before(out.WakeAt)) {
					out.WakeAt = j.WakeAt
				}
			}
		}
	}
	for _, p := range set.Programs() {
		for i := range inputs {
			if st, ok := last[p.Guard().Name+"/"+inputs[i].Member]; ok {
				out.Statuses = append(out.Statuses, st)
			}
		}
	}
	out.Summary = Worst(now)
	return out
}

// said lists statuses as guard/member=verdict.
func said(statuses []v1alpha1.GuardStatus) string {
	var out []string
	for _, st := range statuses {
		out = append(out, st.Name+"/"+st.Member+"="+string(st.Verdict))
	}
	return strings.Join(out, " ")
}

func TestAStageFromBeforeItsFirstMoveToItsEnd(t *testing.T) {
	set := setOf(t,
		v1alpha1.Guard{Name: "before", Expr: "pods.all(p, p.ready)", When: v1alpha1.Before},
		v1alpha1.Guard{Name: "during", Expr: "stable.all(p, p.ready)", When: v1alpha1.During},
		v1alpha1.Guard{Name: "after", Expr: "updated.size() >= want && updated.all(p, p.ready)"})
	var statuses []v1alpha1.GuardStatus
	for _, c := range []struct {
		name   string
		at     Moment
		inputs []Input
		goOn   bool
		says   string
		want   string
	}{
		{"not ready to begin", Moment{Now: t0, Step: 1}, []Input{in("fra", bad), in("lon", good)}, false,
			"guard before in fra: Fail: false before the first move (pods.all(p, p.ready) = false (not so for 1 of 3: b))", "before/fra=Fail before/lon=Pass"},
		{"ready to begin", Moment{Now: t0.Add(s), Step: 1}, []Input{in("fra", good), in("lon", good)}, true, "", "before/fra=Pass before/lon=Pass"},
		{"moved, and one member lags", Moment{Now: t0.Add(3 * s), Step: 1, FirstMove: t0.Add(2 * s), Move: t0.Add(2 * s)}, []Input{in("fra", good), in("lon", bad)}, false,
			"guard after in lon: Pending: not true yet; it fails at 2026-07-01T12:10:02Z (updated.size() = 2, want = 2, updated.all(p, p.ready) = false (not so for 1 of 2: b))",
			"before/fra=Pass before/lon=Pass during/fra=Pass during/lon=Pass after/fra=Pass after/lon=Pending"},
		{"one member is away", Moment{Now: t0.Add(4 * s), Step: 1, FirstMove: t0.Add(2 * s), Move: t0.Add(2 * s)}, []Input{in("fra", good), in("lon", away)}, false,
			"guard during in lon: Inconclusive: fra has not answered since 12:00:03; and 1 more of after",
			"before/fra=Pass before/lon=Pass during/fra=Pass during/lon=Inconclusive after/fra=Pass after/lon=Inconclusive"},
		{"all is well", Moment{Now: t0.Add(5 * s), Step: 1, FirstMove: t0.Add(2 * s), Move: t0.Add(2 * s)}, []Input{in("fra", good), in("lon", good)}, true, "",
			"before/fra=Pass before/lon=Pass during/fra=Pass during/lon=Pass after/fra=Pass after/lon=Pass"},
		{"between two steps only During counts", Moment{Now: t0.Add(6 * s), Step: 2, FirstMove: t0.Add(2 * s)}, []Input{in("fra", bad), in("lon", good)}, true, "",
			"before/fra=Pass before/lon=Pass during/fra=Pass during/lon=Pass after/fra=Pass after/lon=Pass"},
		{"the second step is judged anew", Moment{Now: t0.Add(8 * s), Step: 2, FirstMove: t0.Add(2 * s), Move: t0.Add(7 * s)}, []Input{in("fra", bad), in("lon", good)}, false, "guard after in fra: Pending",
			"before/fra=Pass before/lon=Pass during/fra=Pass during/lon=Pass after/fra=Pending after/lon=Pass"},
		{"nobody was looked at", Moment{Now: t0.Add(9 * s), Step: 2, FirstMove: t0.Add(2 * s), Move: t0.Add(7 * s)}, nil, false, "no member was looked at", "during/=Inconclusive after/=Inconclusive"},
	} {
		t.Run(c.name, func(t *testing.T) {
			out := judged(set, statuses, c.at, c.inputs)
			statuses = out.Statuses
			if got := said(out.Statuses); got != c.want {
				t.Errorf("got %s\nwant %s", got, c.want)
			}
			if out.Summary.GoOn != c.goOn || !strings.Contains(out.Summary.Message(), c.says) || (c.says == "") != (out.Summary.Message() == "") {
				t.Errorf("may go on: %t, because %q\nwant %t, %q", out.Summary.GoOn, out.Summary.Message(), c.goOn, c.says)
			}
		})
	}
}

func TestASetWakesForTheFirstOfItsGuards(t *testing.T) {
	set := setOf(t,
		v1alpha1.Guard{Name: "a", Expr: "updated.all(p, p.ready)", Deadline: secs(300)},
		v1alpha1.Guard{Name: "b", Expr: "updated.all(p, p.ready)", Deadline: secs(200)},
		v1alpha1.Guard{Name: "c", Expr: "stable.all(p, p.ready)", When: v1alpha1.During})
	at := Moment{Now: t0, Step: 1, FirstMove: t0, Move: t0}
	if out := judged(set, nil, at, []Input{bad}); !out.WakeAt.Equal(t0.Add(200 * s)) {
		t.Errorf("wakes at %s", out.WakeAt)
	}
	if out := judged(set, nil, at, []Input{good}); !out.WakeAt.IsZero() {
		t.Errorf("wakes at %s with nothing to wait for", out.WakeAt)
	}
}

func TestSeveralGoroutinesJudgeWithOneSet(t *testing.T) {
	set := setOf(t,
		v1alpha1.Guard{Name: "a", Expr: "updated.all(p, p.ready) && units.all(u, u.want >= 0)"},
		v1alpha1.Guard{Name: "b", Expr: "pods.exists(p, p.name == 'web-1') && params.version == 'v2' && member.labels.ring == '1'", When: v1alpha1.During})
	at := Moment{Now: t0.Add(m), Step: 1, FirstMove: t0, Move: t0}
	shared := []Input{fleetOf(40)}
	want := judged(set, nil, at, shared)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				if d := cmp.Diff(want.Statuses, judged(set, nil, at, shared).Statuses); d != "" {
					t.Error(d)
				}
				if _, err := Compile(v1alpha1.Guard{Name: "c", Expr: "stable.size() > 0"}, Limits{}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func TestTheWorstVerdictCounts(t *testing.T) {
	st := func(name string, v v1alpha1.Verdict) v1alpha1.GuardStatus {
		return v1alpha1.GuardStatus{Name: name, Verdict: v}
	}
	dry := func(name string, v v1alpha1.Verdict) v1alpha1.GuardStatus {
		return v1alpha1.GuardStatus{Name: name, Verdict: v, DryRun: true}
	}
	for _, tt := range []struct {
		name                   string
		statuses               []v1alpha1.GuardStatus
		worst                  v1alpha1.Verdict
		goOn                   bool
		failed, holding, dried string
	}{
		{"no guard holds nothing", nil, "", true, "", "", ""},
		{"all pass", []v1alpha1.GuardStatus{st("a", pass), st("b", pass)}, pass, true, "", "", ""},
		{"what does not apply does not hold", []v1alpha1.GuardStatus{st("a", pass), st("b", notOurs)}, pass, true, "", "", ""},
		{"nothing applies", []v1alpha1.GuardStatus{st("a", notOurs)}, notOurs, true, "", "", ""},
		{"pending holds", []v1alpha1.GuardStatus{st("a", pass), st("b", pending)}, pending, false, "", "b", ""},
		{"what holds comes with the worst first", []v1alpha1.GuardStatus{st("a", pending), st("b", noData), st("c", broken)}, broken, false, "", "c b a", ""},
		{"a failure is worse than an error", []v1alpha1.GuardStatus{st("a", broken), st("b", fail)}, fail, false, "b", "a", ""},
		{"a dry run is recorded only", []v1alpha1.GuardStatus{st("a", pass), dry("b", fail), dry("c", pass), dry("d", noData)}, pass, true, "", "", "b d"},
		{"only dry runs", []v1alpha1.GuardStatus{dry("b", fail)}, "", true, "", "", "b"},
		{"a verdict that nobody knows holds", []v1alpha1.GuardStatus{st("a", "Fine"), st("b", "")}, "Fine", false, "", "a b", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := Worst(tt.statuses)
			joined := func(statuses []v1alpha1.GuardStatus) string {
				var names []string
				for _, st := range statuses {
					names = append(names, st.Name)
				}
				return strings.Join(names, " ")
			}
			if s.Worst != tt.worst || s.GoOn != tt.goOn || joined(s.Failed) != tt.failed || joined(s.Holding) != tt.holding || joined(s.DryRun) != tt.dried {
				t.Errorf("got %+v", s)
			}
		})
	}
}

func TestADryRunIsJudgedAndLetsTheStageGoOn(t *testing.T) {
	set := setOf(t, v1alpha1.Guard{Name: "trial", Expr: "updated.all(p, p.ready)", When: v1alpha1.During, DryRun: true})
	out := judged(set, nil, Moment{Now: t0.Add(time.Minute), Step: 1, FirstMove: t0, Move: t0}, []Input{bad})
	if !out.Summary.GoOn || len(out.Summary.DryRun) != 1 || out.Statuses[0].Verdict != fail || !out.Statuses[0].DryRun {
		t.Errorf("got %+v", out)
	}
}
