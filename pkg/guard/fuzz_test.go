package guard

import (
	"math"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

// Whatever somebody writes as an expression, it is refused with a place or judged; nothing panics, and all ends within the cost limit.
func FuzzCompile(f *testing.F) {
	for _, bm := range benchmarked {
		f.Add(bm.expr)
	}
	for _, seed := range []string{"", "true", "((((", "updated.all(p, p.redy)", "dyn(pods)[0]['name'] == 1", "pods.map(p, p).map(p, [p])[0][0].ready", "[1, 2].sort() == [dyn(pods)]",
		"'%s'.format([pods]) == ''", "lists.range(100000).size() > 1", "pods.sortBy(p, p.age)[0].ready", "Pod{}.ready", "type(pods) == list", "now.getHours('nowhere') > 1",
		"params['\x00'] in member.labels", "9223372036854775807 + want > 0", "units.exists_one(u, u.want / u.ready > 0) ? true : false", "has(dyn(pods[0]).x.y)",
		"metrics.a < baseline.a * 2.0", "metrics.b.all(k, metrics.b[k] < 1.0 / metrics.a)", "metrics.a == metrics", "math.sqrt(metrics.a) > 1.0 ? metrics.b['web-1'] > 0.0 : baseline.b"} {
		f.Add(seed)
	}
	input := fleetOf(12)
	at := Moment{Now: t0.Add(time.Minute), Step: 1, FirstMove: t0, Move: t0}
	f.Fuzz(func(t *testing.T, expr string) {
		if !utf8.ValidString(expr) {
			return // the API server takes no such text.
		}
		began := time.Now()
		p, err := Compile(v1alpha1.Guard{Name: "g", Expr: expr, When: v1alpha1.During, Metrics: map[string]v1alpha1.GuardMetric{
			"a": {Source: "p", Query: "$(updated.podRegex)", Window: secs(5)}, "b": {Source: "p", Query: "q", Window: secs(5), Each: true},
		}}, Limits{Pods: 100})
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("compiling took %s", took)
		}
		if err != nil {
			if err.Error() == "" {
				t.Error("an error that says nothing")
			}
			return
		}
		began = time.Now()
		sample := &Sample{At: at.Now, Metrics: map[string]Reading{
			"a": {Series: []Series{{Value: 0.5}}}, "b": {Series: []Series{{Labels: map[string]string{"pod": "web-1"}, Value: 1}, {Labels: map[string]string{"pod": "web-2"}, Value: math.Inf(1)}}},
		}}
		judge := func(prev v1alpha1.GuardStatus) v1alpha1.GuardStatus {
			return p.Judge(prev, at, NewView(&input, at.Now), Answers{Sample: sample, Baselines: map[string]float64{"a": 0.25}}).Status
		}
		st := judge(v1alpha1.GuardStatus{ReadySince: &metav1.Time{Time: t0}, Name: "g", Member: "fra", When: v1alpha1.During, Expr: expr, Begun: &metav1.Time{Time: t0}})
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("judging 12 pods took %s", took)
		}
		if again := judge(throughJSON(t, st)); cmp.Diff(throughJSON(t, st), throughJSON(t, again)) != "" {
			t.Errorf("judged again it is another: %s", cmp.Diff(st, again))
		}
	})
}

// Whatever a status says that was damaged or made up: nothing panics, nothing passes that is not true now, and nothing passes before its time.
func FuzzJudge(f *testing.F) {
	f.Add(uint8(0), uint8(0), "Pass", int64(0), int64(0), int64(0), int64(0), int32(1), int32(0), int32(0), int64(60), int64(30), int64(0), uint8(2))
	f.Add(uint8(1), uint8(1), "Fail", int64(-5), int64(1<<40), int64(-1<<40), int64(3), int32(-1), int32(1<<30), int32(-7), int64(0), int64(0), int64(10), uint8(0))
	f.Add(uint8(2), uint8(2), "Pending", int64(1), int64(2), int64(3), int64(4), int32(1<<31-1), int32(1<<31-1), int32(1<<31-1), int64(700), int64(600), int64(20), uint8(1))
	f.Add(uint8(2), uint8(0), "Nonsense", int64(50), int64(50), int64(50), int64(50), int32(3), int32(3), int32(3), int64(55), int64(5), int64(0), uint8(7))
	whens := []v1alpha1.GuardWhen{v1alpha1.Before, v1alpha1.During, v1alpha1.After}
	inputs := []Input{good, bad, noneYet, away}
	f.Fuzz(func(t *testing.T, when, input uint8, verdict string, begun, since, trueSince, last int64, samples, failures, errors int32, now, long, delay int64, flags uint8) {
		sec := func(n int64) *metav1.Time {
			return &metav1.Time{Time: t0.Add(time.Duration(n%(1<<33)) * time.Second)}
		}
		small := func(n int64) int { return int(max(0, n%100_000)) }
		g := v1alpha1.Guard{Name: "g", Expr: "updated.all(p, p.ready)", When: whens[int(when)%len(whens)], InitialDelay: secs(small(delay)),
			Limits: v1alpha1.GuardLimits{Failures: failures % 10, ConsecutiveErrors: errors % 10}}
		if flags&1 != 0 {
			g.OnError, g.OnNoData = v1alpha1.Fail, v1alpha1.Fail
		}
		if g.When == v1alpha1.After {
			g.For = secs(small(long))
		}
		p, err := Compile(g, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		prev := v1alpha1.GuardStatus{Name: "g", Member: "fra", When: g.When, Step: 1, Expr: g.Expr, Verdict: v1alpha1.Verdict(verdict), Value: verdict, Message: verdict,
			Samples: samples, Failures: failures, ConsecutiveErrors: errors}
		for i, field := range []**metav1.Time{&prev.Begun, &prev.Since, &prev.TrueSince, &prev.LastSample} {
			if flags&(2<<i) == 0 {
				*field = sec([]int64{begun, since, trueSince, last}[i])
			}
		}
		at := Moment{Now: sec(now).Time, Step: 1, FirstMove: t0, Move: t0}
		if g.When == v1alpha1.Before {
			at.FirstMove, at.Move = time.Time{}, time.Time{}
		}
		in := inputs[int(input)%len(inputs)]
		next, wake := Judge(p, prev, at, in)
		if next.Verdict == pass {
			if int(input)%len(inputs) != 0 {
				t.Fatalf("passes on what is false or missing: %+v", next)
			}
			if g.When != v1alpha1.Before && at.Now.Before(t0.Add(g.InitialDelay.Duration)) {
				t.Fatalf("passes before the initial delay: %+v", next)
			}
			if g.When == v1alpha1.After && (next.TrueSince == nil || g.For.Duration > 0 && at.Now.Sub(next.TrueSince.Time) < g.For.Duration) {
				t.Fatalf("passes before its time: %+v", next)
			}
			if g.When == v1alpha1.After && next.TrueSince.Time.Before(t0.Add(g.InitialDelay.Duration)) {
				t.Fatalf("true since before the first sample: %+v", next)
			}
		}
		if !wake.IsZero() && !wake.After(at.Now) {
			t.Fatalf("wakes at %s, and it is %s already", wake, at.Now)
		}
		again, wakeAgain := Judge(p, next, at, in)
		if d := cmp.Diff(next, again); d != "" || !wake.Equal(wakeAgain) {
			t.Fatalf("judged again it is another (wakes at %s, then %s): %s", wake, wakeAgain, d)
		}
	})
}
