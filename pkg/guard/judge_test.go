package guard

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

func secs(n int) *metav1.Duration {
	return &metav1.Duration{Duration: time.Duration(n) * time.Second}
}

// members as the tables below show them.
func of(pods ...Pod) Input {
	in := Input{Member: "fra", Want: 2, Workload: Workload{Kind: "InPlaceSet", Name: "web", Replicas: 4}, Units: []Unit{{Name: "dca", Member: "fra", Replicas: 4}}}
	in.Pods = append(in.Pods, pods...)
	return in
}

func pod(name string, updated, ready bool) Pod {
	return Pod{Name: name, Member: "fra", Updated: updated, Ready: ready, Available: ready, Phase: "Running", Created: t0.Add(-time.Hour)}
}

var (
	good    = of(pod("a", true, true), pod("b", true, true), pod("c", false, true))
	bad     = of(pod("a", true, true), pod("b", true, false), pod("c", false, true))
	noneYet = of(pod("a", false, true), pod("b", false, true))
	away    = Input{Member: "fra", Want: 2, Missing: "fra has not answered since 12:00:03", Pods: good.Pods}
	notHere = Input{Member: "fra", Pods: noneYet.Pods, Workload: noneYet.Workload, Units: noneYet.Units}
)

// call is one call of Judge. Zero wake means that only events matter.
type call struct {
	at   time.Duration
	in   Input
	want v1alpha1.Verdict
	says string
	wake time.Duration
}

const (
	s       = time.Second
	m       = time.Minute
	pass    = v1alpha1.VerdictPass
	fail    = v1alpha1.VerdictFail
	pending = v1alpha1.VerdictPending
	noData  = v1alpha1.VerdictInconclusive
	broken  = v1alpha1.VerdictError
	notOurs = v1alpha1.VerdictNotApplicable
)

func TestAGuardOverTime(t *testing.T) {
	ready := "updated.all(p, p.ready)"
	// boom is an error on pods that are not ready.
	boom := "updated.all(p, p.ready || 1 / p.restarts > 0)"
	for _, tt := range []struct {
		name  string
		guard v1alpha1.Guard
		calls []call
	}{
		{"After passes as soon as it is true", v1alpha1.Guard{Expr: ready}, []call{
			{0, bad, pending, "not true yet; it fails at 2026-07-01T12:10:00Z", 10 * m},
			{3 * s, bad, pending, "not true yet", 10 * m},
			{4 * s, good, pass, "", 0},
			{20 * s, good, pass, "", 0},
		}},
		{"After must stay true for its time, and is looked at all the while", v1alpha1.Guard{Expr: ready, For: secs(25)}, []call{
			{5 * s, good, pending, "true since 2026-07-01T12:00:05Z, and must stay so until 2026-07-01T12:00:30Z", 15 * s},
			{15 * s, good, pending, "true since 2026-07-01T12:00:05Z", 25 * s},
			{25 * s, good, pending, "true since 2026-07-01T12:00:05Z", 30 * s},
			{29 * s, good, pending, "true since 2026-07-01T12:00:05Z", 30 * s},
			{30 * s, good, pass, "", 0},
		}},
		{"one false between samples breaks what was true", v1alpha1.Guard{Expr: ready, For: secs(25)}, []call{
			{0, good, pending, "true since 2026-07-01T12:00:00Z", 10 * s},
			{12 * s, good, pending, "", 22 * s},
			{14 * s, bad, pending, "not true yet", 10 * m},
			{15 * s, good, pending, "true since 2026-07-01T12:00:15Z", 22 * s},
			{39 * s, good, pending, "", 40 * s},
			{40 * s, good, pass, "", 0},
		}},
		{"missing data breaks what was true", v1alpha1.Guard{Expr: ready, For: secs(15)}, []call{
			{0, good, pending, "", 10 * s},
			{10 * s, away, noData, "fra has not answered since 12:00:03", 10 * m},
			{15 * s, good, pending, "true since 2026-07-01T12:00:15Z", 20 * s},
		}},
		{"so does a step that wants nothing", v1alpha1.Guard{Expr: ready, For: secs(15)}, []call{
			{0, good, pending, "", 10 * s},
			{10 * s, notHere, notOurs, "", 0},
			{15 * s, good, pending, "true since 2026-07-01T12:00:15Z", 20 * s},
		}},
		{"nobody looked for long, so what was true begins again", v1alpha1.Guard{Expr: ready, For: secs(60)}, []call{
			{0, good, pending, "until 2026-07-01T12:01:00Z", 10 * s},
			{10 * s, good, pending, "until 2026-07-01T12:01:00Z", 20 * s},
			{120 * s, good, pending, "true since 2026-07-01T12:02:00Z", 130 * s},
		}},
		{"a restart of half a minute is borne", v1alpha1.Guard{Expr: ready, For: secs(60)}, []call{
			{0, good, pending, "", 10 * s},
			{30 * s, good, pending, "", 40 * s},
			{60 * s, good, pass, "", 0},
		}},
		{"After that is false at the deadline fails, and can pass still", v1alpha1.Guard{Expr: ready, Deadline: secs(60)}, []call{
			{0, bad, pending, "", 60 * s},
			{60 * s, bad, fail, "not true by the deadline, 2026-07-01T12:01:00Z", 0},
			{70 * s, bad, fail, "", 0},
			{75 * s, good, pass, "", 0},
		}},
		{"After that is not true for long enough by the deadline fails", v1alpha1.Guard{Expr: ready, For: secs(30), Deadline: secs(60)}, []call{
			{50 * s, good, pending, "", 60 * s},
			{60 * s, good, fail, "not true for 30s by the deadline, 2026-07-01T12:01:00Z; true since 2026-07-01T12:00:50Z", 70 * s},
			{70 * s, good, fail, "", 80 * s},
			{80 * s, good, pass, "", 0},
		}},
		{"After without data at the deadline fails and says so", v1alpha1.Guard{Expr: ready, Deadline: secs(60)}, []call{
			{0, noneYet, noData, "no pod has observed the new revision", 60 * s},
			{60 * s, noneYet, fail, "could not be judged by the deadline, 2026-07-01T12:01:00Z: no pod has observed the new revision", 0},
		}},
		{"After in error at the deadline fails and says so", v1alpha1.Guard{Expr: boom, Deadline: secs(60)}, []call{
			{0, bad, broken, "division by zero", 60 * s},
			{60 * s, bad, fail, "could not be judged by the deadline, 2026-07-01T12:01:00Z: division by zero", 0},
		}},
		{"a pass that is lost has a new deadline", v1alpha1.Guard{Expr: ready, Deadline: secs(60)}, []call{
			{0, good, pass, "", 0},
			{300 * s, bad, pending, "it fails at 2026-07-01T12:06:00Z", 360 * s},
			{359 * s, bad, pending, "it fails at 2026-07-01T12:06:00Z", 360 * s},
			{360 * s, bad, fail, "", 0},
		}},
		{"nothing is judged before the initial delay", v1alpha1.Guard{Expr: ready, InitialDelay: secs(30), For: secs(10)}, []call{
			{0, good, pending, "the first sample is due at 2026-07-01T12:00:30Z", 30 * s},
			{29 * s, away, pending, "the first sample is due", 30 * s},
			{30 * s, good, pending, "true since 2026-07-01T12:00:30Z", 40 * s},
			{40 * s, good, pass, "", 0},
		}},
		{"an expression of time is sampled at every interval", v1alpha1.Guard{Expr: "elapsed > duration('25s')"}, []call{
			{0, good, pending, "", 10 * s},
			{10 * s, good, pending, "", 20 * s},
			{12 * s, good, pending, "", 20 * s},
			{20 * s, good, pending, "", 30 * s},
			{30 * s, good, pass, "", 40 * s},
		}},
		{"so is one of the age of pods", v1alpha1.Guard{Expr: "pods.all(p, p.age > duration('1h5s'))"}, []call{
			{0, good, pending, "", 10 * s},
			{10 * s, good, pass, "", 20 * s},
		}},
		{"During fails at the first false, at once", v1alpha1.Guard{Expr: ready, When: v1alpha1.During}, []call{
			{0, good, pass, "", 0},
			{3 * s, bad, fail, "false in 1 samples of 2; the limit is 1", 0},
			{4 * s, bad, fail, "", 0},
		}},
		{"During fails at the first false after an error too", v1alpha1.Guard{Expr: boom + " && stable.all(p, p.ready)", When: v1alpha1.During}, []call{
			{0, bad, broken, "", 0},
			{1 * s, of(pod("a", true, true), pod("c", false, false)), fail, "false in 1 samples of 2", 0},
		}},
		{"During bears false samples up to its limit, and one in an interval counts", v1alpha1.Guard{Expr: ready, When: v1alpha1.During, Limits: v1alpha1.GuardLimits{Failures: 3}}, []call{
			{0, good, pass, "", 0},
			{13 * s, bad, pending, "false; 1 false samples counted, it fails at 3", 23 * s},
			{14 * s, good, pending, "true again, and not yet at a counted sample, after 1 false", 23 * s},
			{15 * s, bad, pending, "1 false samples counted", 23 * s},
			{23 * s, good, pass, "", 0},
			{24 * s, bad, pending, "2 false samples counted", 34 * s},
			{34 * s, bad, fail, "false in 3 samples", 0},
		}},
		{"a stage that holds gets a failed During back at a counted sample", v1alpha1.Guard{Expr: ready, When: v1alpha1.During}, []call{
			{0, bad, fail, "", 0},
			{5 * s, good, fail, "true again, and not yet at a counted sample, after 1 false", 10 * s},
			{10 * s, good, pass, "", 0},
			{11 * s, bad, fail, "the limit is 1", 0},
		}},
		{"and its false samples are forgotten then", v1alpha1.Guard{Expr: ready, When: v1alpha1.During, Limits: v1alpha1.GuardLimits{Failures: 2}}, []call{
			{0, bad, pending, "", 10 * s},
			{10 * s, bad, fail, "", 0},
			{20 * s, good, pass, "", 0},
			{21 * s, bad, pending, "1 false samples counted", 31 * s},
		}},
		{"During without data holds and goes on", v1alpha1.Guard{Expr: ready, When: v1alpha1.During}, []call{
			{0, noneYet, noData, "no pod has observed the new revision", 0},
			{500 * s, noneYet, noData, "", 0},
			{501 * s, good, pass, "", 0},
		}},
		{"missing data fails once there was too much of it, where the guard says so", v1alpha1.Guard{Expr: ready, When: v1alpha1.During, OnNoData: v1alpha1.Fail, Limits: v1alpha1.GuardLimits{ConsecutiveErrors: 3}}, []call{
			{0, noneYet, noData, "", 10 * s},
			{1 * s, noneYet, noData, "", 10 * s},
			{10 * s, noneYet, noData, "", 20 * s},
			{20 * s, noneYet, fail, "could not be judged in 3 samples in a row: no pod has observed the new revision", 0},
		}},
		{"a sample that could be judged ends the row", v1alpha1.Guard{Expr: ready, When: v1alpha1.During, OnNoData: v1alpha1.Fail, Limits: v1alpha1.GuardLimits{ConsecutiveErrors: 2}}, []call{
			{0, away, noData, "", 10 * s},
			{1 * s, good, pass, "", 0},
			{10 * s, away, noData, "", 20 * s},
			{20 * s, away, fail, "", 0},
		}},
		{"errors hold", v1alpha1.Guard{Expr: boom, When: v1alpha1.During}, []call{
			{0, bad, broken, "division by zero", 0},
			{100 * s, bad, broken, "", 0},
			{200 * s, bad, broken, "", 0},
			{300 * s, bad, broken, "", 0},
			{400 * s, bad, broken, "", 0},
			{401 * s, good, pass, "", 0},
		}},
		{"errors fail once there were too many, where the guard says so", v1alpha1.Guard{Expr: boom, When: v1alpha1.During, OnError: v1alpha1.Fail, Limits: v1alpha1.GuardLimits{ConsecutiveErrors: 2}}, []call{
			{0, bad, broken, "", 10 * s},
			{10 * s, bad, fail, "could not be judged in 2 samples in a row: division by zero", 0},
		}},
		{"Before passes when it is true", v1alpha1.Guard{Expr: "pods.all(p, p.ready)", When: v1alpha1.Before}, []call{{0, good, pass, "", 0}}},
		{"Before fails when it is false, and is judged again while the stage holds", v1alpha1.Guard{Expr: "pods.all(p, p.ready)", When: v1alpha1.Before}, []call{
			{0, bad, fail, "false before the first move", 0},
			{1 * s, good, pass, "", 0},
			{2 * s, bad, fail, "", 0},
		}},
		{"Before with an error is not judged yet", v1alpha1.Guard{Expr: boom, When: v1alpha1.Before}, []call{{0, bad, broken, "", 0}, {1 * s, good, pass, "", 0}}},
		{"Before holds where no pod has the revision it asks for", v1alpha1.Guard{Expr: ready, When: v1alpha1.Before}, []call{{0, notHere, noData, "", 0}}},
		{"a member that the step wants nothing of is not judged on updated pods", v1alpha1.Guard{Expr: ready}, []call{
			{0, notHere, notOurs, "no pod has observed the new revision, and none is wanted in this step", 0},
			{1200 * s, of(pod("a", true, false)), pending, "it fails at 2026-07-01T12:30:00Z", 1800 * s},
		}},
		{"but is on others", v1alpha1.Guard{Expr: "pods.all(p, p.ready) && want == 0"}, []call{{0, notHere, pass, "", 0}}},
		{"all of no pods is not all of them", v1alpha1.Guard{Expr: "pods.all(p, p.ready)"}, []call{{0, of(), noData, "no pod is seen", 10 * m}}},
		{"a workload of 0 has no pods to judge", v1alpha1.Guard{Expr: "pods.all(p, p.ready)"}, []call{{0, Input{Member: "fra", Units: []Unit{{Name: "dca"}}}, notOurs, "and wants none", 0}}},
		{"a workload that is not seen has no pods of its own will", v1alpha1.Guard{Expr: "pods.all(p, p.ready)"}, []call{{0, Input{Member: "fra"}, noData, "no unit of the workload is seen", 10 * m}}},
		{"nor updated pods, whatever is wanted", v1alpha1.Guard{Expr: ready}, []call{{0, Input{Member: "fra"}, noData, "no unit of the workload is seen", 10 * m}}},
		{"nor stable pods", v1alpha1.Guard{Expr: "stable.all(p, p.ready)"}, []call{{0, Input{Member: "fra"}, noData, "no unit of the workload is seen", 10 * m}}},
		{"nor units", v1alpha1.Guard{Expr: "units.all(u, u.ready == u.replicas)"}, []call{{0, Input{Member: "fra"}, noData, "no unit of the workload is seen", 10 * m}}},
		{"nor counts", v1alpha1.Guard{Expr: "workload.ready == want"}, []call{{0, Input{Member: "fra"}, noData, "no unit of the workload is seen", 10 * m}}},
		{"what is not about the workload is judged all the same", v1alpha1.Guard{Expr: "member.name == 'fra'"}, []call{{0, Input{Member: "fra"}, pass, "", 0}}},
		{"at the end of a rollout no stable pod is left, and what is left is judged", v1alpha1.Guard{Expr: ready + " && stable.all(p, p.ready)"}, []call{{0, of(pod("a", true, true)), pass, "", 0}, {1 * s, of(pod("a", true, false)), pending, "", 601 * s}}},
		{"a pod on its way is neither updated nor stable", v1alpha1.Guard{Expr: "pods.size() == 3 && updated.size() == 1 && stable.size() == 1"}, []call{
			{0, of(pod("a", true, true), pod("b", false, true), Pod{Name: "c", Moving: true}), pass, "", 0}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.guard.Name = "g"
			p := compiled(t, tt.guard)
			var st v1alpha1.GuardStatus
			for _, c := range tt.calls {
				at := Moment{Now: t0.Add(c.at), Step: 1, FirstMove: t0, Move: t0}
				if tt.guard.When == v1alpha1.Before {
					at.FirstMove, at.Move = time.Time{}, time.Time{}
				}
				var wake time.Time
				st, wake = Judge(p, st, at, c.in)
				if st.Verdict != c.want || !strings.Contains(st.Message, c.says) {
					t.Fatalf("at %s: got %s: %q, want %s: %q", c.at, st.Verdict, st.Message, c.want, c.says)
				}
				wantWake := time.Time{}
				if c.wake != 0 {
					wantWake = t0.Add(c.wake)
				}
				if !wake.Equal(wantWake) {
					t.Fatalf("at %s: wakes at %s, want %s", c.at, wake, wantWake)
				}
				if st.Verdict == pass && st.Message != "" {
					t.Errorf("at %s: a pass with a message: %s", c.at, st.Message)
				}
				again, wakeAgain := Judge(p, throughJSON(t, st), at, c.in)
				if d := cmp.Diff(st, again); d != "" || !wakeAgain.Equal(wake) {
					t.Fatalf("at %s: judged again it is another (wakes at %s): %s", c.at, wakeAgain, d)
				}
			}
		})
	}
}

// throughJSON is a status as a controller finds it after a restart: times are whole seconds.
func throughJSON(t testing.TB, st v1alpha1.GuardStatus) v1alpha1.GuardStatus {
	t.Helper()
	raw, err := json.Marshal(st)
	if err != nil {
		t.Fatal(err)
	}
	var out v1alpha1.GuardStatus
	if err := json.Unmarshal(raw, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestWhatIsCounted(t *testing.T) {
	p := compiled(t, v1alpha1.Guard{Name: "g", Expr: "updated.all(p, p.ready)", When: v1alpha1.During, Limits: v1alpha1.GuardLimits{Failures: 9}})
	var st v1alpha1.GuardStatus
	for i, in := range []Input{good, good, good, bad, bad, away, good} {
		st, _ = Judge(p, st, Moment{Now: t0.Add(time.Duration(i*10) * s), Step: 1, FirstMove: t0, Move: t0}, in)
	}
	if st.Samples != 7 || st.Failures != 2 || st.ConsecutiveErrors != 0 || !st.LastSample.Time.Equal(t0.Add(m)) || !st.Since.Time.Equal(t0.Add(m)) {
		t.Errorf("got %+v", st)
	}
}

func TestTimesAreNeverShortenedByRounding(t *testing.T) {
	p := compiled(t, v1alpha1.Guard{Name: "g", Expr: "updated.all(p, p.ready)", For: secs(2), Interval: secs(1)})
	move := t0.Add(300 * time.Millisecond)
	at := func(d time.Duration) Moment { return Moment{Now: t0.Add(d), Step: 1, FirstMove: move, Move: move} }
	st, _ := Judge(p, v1alpha1.GuardStatus{}, at(1900*time.Millisecond), good)
	for _, d := range []time.Duration{2500 * time.Millisecond, 3 * s, 3899 * time.Millisecond, 3999 * time.Millisecond} {
		st, _ = Judge(p, throughJSON(t, st), at(d), good)
		if st.Verdict != pending {
			t.Fatalf("%s after it became true it is %s", d-1900*time.Millisecond, st.Verdict)
		}
	}
	if st, _ = Judge(p, throughJSON(t, st), at(4*s), good); st.Verdict != pass {
		t.Errorf("got %s: %s", st.Verdict, st.Message)
	}
}

func TestAClockThatJumpsBackPassesNothingEarly(t *testing.T) {
	p := compiled(t, v1alpha1.Guard{Name: "g", Expr: "updated.all(p, p.ready)", For: secs(60)})
	at := func(d time.Duration) Moment { return Moment{Now: t0.Add(d), Step: 1, FirstMove: t0, Move: t0} }
	st, _ := Judge(p, v1alpha1.GuardStatus{}, at(100*s), good)
	st, _ = Judge(p, st, at(20*s), good)
	if st.Verdict != pending || !st.TrueSince.Time.Equal(t0.Add(20*s)) {
		t.Fatalf("after the jump: %s, true since %v", st.Verdict, st.TrueSince)
	}
	for d := 30 * s; d < 80*s; d += 10 * s {
		if st, _ = Judge(p, st, at(d), good); st.Verdict != pending {
			t.Fatalf("at %s: %s", d, st.Verdict)
		}
	}
	if st, _ = Judge(p, st, at(80*s), good); st.Verdict != pass {
		t.Errorf("got %s: %s", st.Verdict, st.Message)
	}
	before := Moment{Now: t0.Add(-m), Step: 1, FirstMove: t0, Move: t0}
	if st, wake := Judge(p, st, before, good); st.Verdict != pending || !wake.Equal(t0) {
		t.Errorf("before the move itself: %s, wakes at %s", st.Verdict, wake)
	}
}

func TestAStepBeginsAnewForAfterOnly(t *testing.T) {
	after := compiled(t, v1alpha1.Guard{Name: "a", Expr: "updated.all(p, p.ready)", For: secs(30)})
	during := compiled(t, v1alpha1.Guard{Name: "d", Expr: "updated.all(p, p.ready)", When: v1alpha1.During, Limits: v1alpha1.GuardLimits{Failures: 3}})
	one := Moment{Now: t0.Add(5 * s), Step: 1, FirstMove: t0, Move: t0}
	two := Moment{Now: t0.Add(60 * s), Step: 2, FirstMove: t0, Move: t0.Add(60 * s)}
	a, _ := Judge(after, v1alpha1.GuardStatus{}, one, good)
	d, _ := Judge(during, v1alpha1.GuardStatus{}, one, bad)

	if a, _ = Judge(after, a, two, good); a.Verdict != pending || a.Step != 2 || a.Samples != 1 || !a.Begun.Time.Equal(two.Move) {
		t.Errorf("After was carried over: %+v", a)
	}
	if d, _ = Judge(during, d, two, bad); d.Failures != 2 || d.Step != 0 || !d.Begun.Time.Equal(t0) {
		t.Errorf("During was not carried over: %+v", d)
	}
}

func TestAStatusOfAnotherGuardCountsForNothing(t *testing.T) {
	p := compiled(t, v1alpha1.Guard{Name: "g", Expr: "updated.all(p, p.ready)", For: secs(30)})
	at := Moment{Now: t0.Add(m), Step: 1, FirstMove: t0, Move: t0}
	st, _ := Judge(p, v1alpha1.GuardStatus{}, Moment{Now: t0, Step: 1, FirstMove: t0, Move: t0}, good)
	st.TrueSince, st.LastSample, st.Samples = &metav1.Time{Time: t0}, &metav1.Time{Time: t0.Add(50 * s)}, 6
	if kept, _ := Judge(p, st, at, good); kept.Verdict != pass {
		t.Fatalf("the status itself is not good: %+v", kept)
	}
	for name, change := range map[string]func(*v1alpha1.GuardStatus){
		"name":                         func(st *v1alpha1.GuardStatus) { st.Name = "h" },
		"member":                       func(st *v1alpha1.GuardStatus) { st.Member = "lon" },
		"expression":                   func(st *v1alpha1.GuardStatus) { st.Expr = "true" },
		"when":                         func(st *v1alpha1.GuardStatus) { st.When = v1alpha1.During },
		"step":                         func(st *v1alpha1.GuardStatus) { st.Step = 0 },
		"move":                         func(st *v1alpha1.GuardStatus) { st.Begun = &metav1.Time{Time: t0.Add(-s)} },
		"true before the move":         func(st *v1alpha1.GuardStatus) { st.TrueSince = &metav1.Time{Time: t0.Add(-s)} },
		"true in the time to come":     func(st *v1alpha1.GuardStatus) { st.TrueSince = &metav1.Time{Time: t0.Add(time.Hour)} },
		"true without a sample":        func(st *v1alpha1.GuardStatus) { st.LastSample = nil },
		"passed without a sample":      func(st *v1alpha1.GuardStatus) { st.Verdict, st.LastSample = pass, nil },
		"true while there was no data": func(st *v1alpha1.GuardStatus) { st.Verdict = noData },
	} {
		t.Run("of another "+name, func(t *testing.T) {
			prev := *st.DeepCopy()
			change(&prev)
			if next, _ := Judge(p, prev, at, good); next.Verdict != pending || next.TrueSince == nil || !next.TrueSince.Time.Equal(at.Now) {
				t.Errorf("got %s, true since %v", next.Verdict, next.TrueSince)
			}
		})
	}
}

func TestTruthOfBeforeTheInitialDelayDoesNotCount(t *testing.T) {
	p := compiled(t, v1alpha1.Guard{Name: "g", Expr: "updated.all(p, p.ready)", InitialDelay: secs(30), For: secs(20)})
	at := Moment{Now: t0.Add(30 * s), Step: 1, FirstMove: t0, Move: t0}
	st, _ := Judge(p, v1alpha1.GuardStatus{}, at, good)
	st.TrueSince, st.LastSample = &metav1.Time{Time: t0.Add(5 * s)}, &metav1.Time{Time: t0.Add(20 * s)}
	if st, _ = Judge(p, st, at, good); st.Verdict != pending {
		t.Errorf("got %s, true since %v", st.Verdict, st.TrueSince)
	}
}

func TestAGuardOfTimeDoesNotChangeItsStatusOnEveryCall(t *testing.T) {
	p := compiled(t, v1alpha1.Guard{Name: "g", Expr: "elapsed < duration('5m') && updated.all(p, p.ready)", When: v1alpha1.During})
	at := func(d time.Duration) Moment { return Moment{Now: t0.Add(d), Step: 1, FirstMove: t0, Move: t0} }
	first, _ := Judge(p, v1alpha1.GuardStatus{}, at(0), good)
	second, _ := Judge(p, first, at(7*s), good)
	if d := cmp.Diff(first, second); d != "" {
		t.Errorf("the status changed between two samples: %s", d)
	}
	third, _ := Judge(p, second, at(10*s), good)
	if third.Value != "elapsed = 10s, updated.all(p, p.ready) = true" {
		t.Errorf("got value %q", third.Value)
	}
}
