package guard

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

// measured is a guard on the errors of updated pods against those of stable ones.
func measured(g v1alpha1.Guard) v1alpha1.Guard {
	if g.Name == "" {
		g.Name = "errors"
	}
	if g.Expr == "" {
		g.Expr = "metrics.errors <= metrics.base + 0.01"
	}
	if g.Metrics == nil {
		g.Metrics = map[string]v1alpha1.GuardMetric{
			"errors": {Source: "prom", Query: `errors{pod=~"$(updated.podRegex)"}[$(window)]`, Window: secs(30)},
			"base":   {Source: "prom", Query: `errors{pod=~"$(stable.podRegex)"}[$(window)]`, Window: secs(30)},
		}
	}
	return g
}

func num(v float64) Reading { return Reading{Series: []Series{{Value: v}}} }

func sampled(at time.Duration, errs, base Reading) *Sample {
	return &Sample{At: t0.Add(at), Metrics: map[string]Reading{"errors": errs, "base": base}}
}

// sampleCall is one call of Judge, with the last sample that there is. asks says whether another is asked for.
type sampleCall struct {
	at     time.Duration
	in     Input
	sample *Sample
	want   v1alpha1.Verdict
	says   string
	asks   bool
	// wake is when it is to be judged again; 0 where that does not matter, as the answer of a source wakes.
	wake time.Duration
}

func TestAGuardThatMeasures(t *testing.T) {
	ready := good
	ready.Workload.UpdatedReady = 2
	notReady := noneYet
	notReady.Workload.UpdatedReady = 0
	lastStep := of(pod("a", true, true), pod("b", true, true))
	lastStep.Workload.UpdatedReady = 2
	nothingWanted := noneYet
	nothingWanted.Want = 0
	fine, sick := num(0.01), num(0.05)
	down := Reading{Err: "connection refused"}
	two := Reading{Series: []Series{{Labels: map[string]string{"pod": "a"}, Value: 1}, {Labels: map[string]string{"pod": "b"}, Value: 1}}}
	for _, tt := range []struct {
		name  string
		guard v1alpha1.Guard
		calls []sampleCall
	}{
		{"After asks once its windows lie behind the readiness of the step's pods, and then once an interval", v1alpha1.Guard{For: secs(15)}, []sampleCall{
			{0, ready, nil, pending, "the first sample is due at 2026-07-01T12:00:30Z: what metric base looks back on, 30s, must have begun after the new revision was ready", false, 30 * s},
			{29 * s, ready, nil, pending, "the first sample is due", false, 30 * s},
			{30 * s, ready, nil, pending, "the first sample is being taken", true, 10 * m},
			{31 * s, ready, sampled(30*s, fine, fine), pending, "true since 2026-07-01T12:00:31Z, and must stay so until 2026-07-01T12:00:46Z", false, 40 * s},
			{40 * s, ready, sampled(30*s, fine, fine), pending, "true since", true, 46 * s},
			{41 * s, ready, sampled(40*s, fine, fine), pending, "true since", false, 46 * s},
			{46 * s, ready, sampled(40*s, fine, fine), pending, "true since", false, 50 * s},
			{51 * s, ready, sampled(50*s, fine, fine), pass, "", false, m},
		}},
		{"a sample from before the new revision was ready does not count", v1alpha1.Guard{}, []sampleCall{
			{30 * s, ready, sampled(29*s, fine, fine), pending, "the first sample is being taken", true, 10 * m},
			{31 * s, ready, sampled(30*s, fine, fine), pass, "", false, 40 * s},
		}},
		{"During counts from the first ready pod that is seen", v1alpha1.Guard{When: v1alpha1.During}, []sampleCall{
			{5 * s, notReady, nil, noData, "no pod has observed the new revision", false, 0},
			{10 * s, ready, nil, pending, "the first sample is due at 2026-07-01T12:00:40Z", false, 40 * s},
			{40 * s, ready, nil, pending, "", true, 0},
			{40 * s, ready, sampled(40*s, fine, fine), pass, "", false, 50 * s},
			{50 * s, ready, sampled(40*s, fine, fine), pass, "", true, 0},
			{51 * s, ready, sampled(50*s, sick, fine), fail, "false in 1 samples of 3; the limit is 1", false, 60 * s},
		}},
		{"one bad sample is borne where the limit says so, and counted once", v1alpha1.Guard{When: v1alpha1.During, Limits: v1alpha1.GuardLimits{Failures: 2}}, []sampleCall{
			{0, ready, nil, pending, "", false, 30 * s},
			{30 * s, ready, sampled(30*s, sick, fine), pending, "false; 1 false samples counted, it fails at 2", false, 40 * s},
			{35 * s, ready, sampled(30*s, sick, fine), pending, "false; 1 false samples counted", false, 40 * s},
			{40 * s, ready, sampled(40*s, fine, fine), pass, "", false, 50 * s},
			{50 * s, ready, sampled(50*s, sick, fine), fail, "false in 2 samples of 3", false, 60 * s},
		}},
		{"a source that is down holds, and what is back goes on", v1alpha1.Guard{When: v1alpha1.During}, []sampleCall{
			{0, ready, nil, pending, "", false, 30 * s},
			{30 * s, ready, sampled(30*s, fine, fine), pass, "", false, 40 * s},
			{41 * s, ready, sampled(40*s, down, fine), broken, "metric errors: source prom: connection refused", false, 50 * s},
			{50 * s, ready, sampled(40*s, down, fine), broken, "", true, 0},
			{51 * s, ready, sampled(50*s, fine, fine), pass, "", false, 60 * s},
		}},
		{"onError: Fail fails after so many in a row", v1alpha1.Guard{When: v1alpha1.During, OnError: v1alpha1.Fail, Limits: v1alpha1.GuardLimits{ConsecutiveErrors: 2}}, []sampleCall{
			{0, ready, nil, pending, "", false, 30 * s},
			{30 * s, ready, sampled(30*s, down, fine), broken, "", false, 40 * s},
			{35 * s, ready, sampled(30*s, down, fine), broken, "", false, 40 * s},
			{40 * s, ready, sampled(40*s, down, fine), fail, "could not be judged in 2 samples in a row: metric errors: source prom: connection refused", false, 50 * s},
		}},
		{"no data, NaN and two series are never a pass", v1alpha1.Guard{When: v1alpha1.During}, []sampleCall{
			{0, ready, nil, pending, "", false, 30 * s},
			{30 * s, ready, sampled(30*s, Reading{}, fine), noData, "metric errors has no data: source prom returned nothing", false, 40 * s},
			{40 * s, ready, sampled(40*s, num(math.NaN()), fine), noData, "metric errors is NaN", false, 50 * s},
			{50 * s, ready, sampled(50*s, two, fine), broken, `metric errors has 2 series, and is one number: {pod="a"}, {pod="b"}; aggregate them in the query, or set each: true`, false, m},
		}},
		{"what is infinite is compared", v1alpha1.Guard{When: v1alpha1.During}, []sampleCall{
			{0, ready, nil, pending, "", false, 30 * s},
			{30 * s, ready, sampled(30*s, num(math.Inf(1)), fine), fail, "", false, 40 * s},
		}},
		{"with no stable pod left it does not apply, and asks nobody", v1alpha1.Guard{}, []sampleCall{
			{30 * s, lastStep, nil, notOurs, "no stable pod is left to compare with", false, 40 * s},
		}},
		{"a member that is away is not asked about", v1alpha1.Guard{}, []sampleCall{
			{30 * s, away, nil, noData, "fra has not answered", false, 40 * s},
		}},
		{"it passes after so many true samples in a row", v1alpha1.Guard{Limits: v1alpha1.GuardLimits{MinSamples: 3}}, []sampleCall{
			{30 * s, ready, sampled(30*s, fine, fine), pending, "true in 1 samples in a row, and must be so in 3", false, 40 * s},
			{40 * s, ready, sampled(40*s, fine, fine), pending, "true in 2 samples in a row", false, 50 * s},
			{50 * s, ready, sampled(50*s, sick, fine), pending, "not true yet", false, m},
			{m, ready, sampled(m, fine, fine), pending, "true in 1 samples in a row", false, 70 * s},
			{70 * s, ready, sampled(70*s, fine, fine), pending, "true in 2", false, 80 * s},
			{80 * s, ready, sampled(80*s, fine, fine), pass, "", false, 90 * s},
		}},
		{"so does During", v1alpha1.Guard{When: v1alpha1.During, Limits: v1alpha1.GuardLimits{MinSamples: 2}}, []sampleCall{
			{0, ready, nil, pending, "", false, 30 * s},
			{30 * s, ready, sampled(30*s, fine, fine), pending, "true in 1 samples in a row, and must be so in 2", false, 40 * s},
			{40 * s, ready, sampled(40*s, fine, fine), pass, "", false, 50 * s},
			{50 * s, ready, sampled(50*s, sick, fine), fail, "", false, m},
			{m, ready, sampled(m, fine, fine), pending, "true in 1 samples in a row", false, 70 * s},
			{70 * s, ready, sampled(70*s, fine, fine), pass, "", false, 80 * s},
		}},
		{"after a restart it is what it was until the next sample", v1alpha1.Guard{When: v1alpha1.During}, []sampleCall{
			{0, ready, nil, pending, "", false, 30 * s},
			{30 * s, ready, sampled(30*s, sick, fine), fail, "", false, 40 * s},
			{33 * s, ready, nil, fail, "", false, 40 * s},
			{40 * s, ready, nil, fail, "", true, 0},
			{41 * s, ready, sampled(40*s, fine, fine), pass, "", false, 50 * s},
		}},
		{"what was true long ago is not true now", v1alpha1.Guard{When: v1alpha1.During}, []sampleCall{
			{0, ready, nil, pending, "", false, 30 * s},
			{30 * s, ready, sampled(30*s, fine, fine), pass, "", false, 40 * s},
			{m, ready, sampled(30*s, fine, fine), pass, "", true, 0},
			{10 * m, ready, sampled(30*s, fine, fine), pending, "the last sample, of 2026-07-01T12:00:30Z, is too old; another is being taken", true, 0},
			{601 * s, ready, sampled(10*m, fine, fine), pass, "", false, 610 * s},
		}},
		{"a first sample that nobody looked at for hours does not count", v1alpha1.Guard{When: v1alpha1.During}, []sampleCall{
			{0, ready, nil, pending, "", false, 30 * s},
			{30 * s, ready, nil, pending, "being taken", true, 0},
			{8 * 60 * m, ready, sampled(30*s, fine, fine), pending, "being taken", true, 0},
			{8*60*m + s, ready, sampled(8*60*m, fine, fine), pass, "", false, 0},
		}},
		{"nor does the last one before a member was away for an hour", v1alpha1.Guard{When: v1alpha1.During}, []sampleCall{
			{0, ready, nil, pending, "", false, 30 * s},
			{30 * s, ready, sampled(30*s, fine, fine), pass, "", false, 40 * s},
			{40 * s, away, sampled(30*s, fine, fine), noData, "", false, 0},
			{60 * m, away, sampled(30*s, fine, fine), noData, "", false, 0},
			{60*m + 10*s, ready, sampled(30*s, fine, fine), noData, "", true, 0},
			{60*m + 11*s, ready, sampled(60*m+10*s, fine, fine), pass, "", false, 0},
		}},
		{"a member that wanted nothing begins to count when it gets its first pod", v1alpha1.Guard{When: v1alpha1.During, Expr: "metrics.errors < 0.02", Metrics: map[string]v1alpha1.GuardMetric{
			"errors": {Source: "prom", Query: `errors{version="v2"}`, Window: secs(30)}}}, []sampleCall{
			{30 * s, nothingWanted, sampled(30*s, fine, fine), pass, "", false, 40 * s},
			{m, ready, sampled(m, fine, fine), pending, "the first sample is due at 2026-07-01T12:01:30Z", false, 90 * s},
		}},
		{"no sample by the deadline fails", v1alpha1.Guard{Deadline: secs(60)}, []sampleCall{
			{30 * s, ready, nil, pending, "", true, m},
			{m, ready, nil, fail, "could not be judged by the deadline, 2026-07-01T12:01:00Z: no sample was taken", true, 0},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := compiled(t, measured(tt.guard))
			st := v1alpha1.GuardStatus{}
			for i, c := range tt.calls {
				at := Moment{Now: t0.Add(c.at), Step: 1, FirstMove: t0, Move: t0}
				j := p.Judge(st, at, NewView(&c.in, at.Now), Answers{Sample: c.sample})
				if j.Status.Verdict != c.want || !strings.Contains(j.Status.Message, c.says) {
					t.Fatalf("call %d at %s: %s: %s\nwant %s: %s", i, c.at, j.Status.Verdict, j.Status.Message, c.want, c.says)
				}
				if (j.Ask != nil) != c.asks {
					t.Fatalf("call %d at %s: asks %v", i, c.at, j.Ask)
				}
				if c.wake != 0 && !j.WakeAt.Equal(t0.Add(c.wake)) {
					t.Fatalf("call %d at %s: wakes at %s", i, c.at, j.WakeAt)
				}
				again := p.Judge(throughJSON(t, j.Status), at, NewView(&c.in, at.Now), Answers{Sample: c.sample})
				if d := cmp.Diff(throughJSON(t, j.Status), throughJSON(t, again.Status)); d != "" {
					t.Fatalf("call %d at %s: judged again it is another: %s", i, c.at, d)
				}
				st = j.Status
			}
		})
	}
}

func TestLagIsAddedToTheWindow(t *testing.T) {
	p := compiled(t, measured(v1alpha1.Guard{}))
	j := p.Judge(v1alpha1.GuardStatus{}, Moment{Now: t0.Add(30 * s), Step: 1, FirstMove: t0, Move: t0}, NewView(&good, t0.Add(30*s)), Answers{Lags: map[string]time.Duration{"prom": 15 * s}})
	if want := "the first sample is due at 2026-07-01T12:00:45Z"; !strings.Contains(j.Status.Message, want) || j.Ask != nil {
		t.Errorf("%s, asks %v; want %s", j.Status.Message, j.Ask, want)
	}
}

func TestBeforeWaitsForTheWindowsOfPodsThatHaveJustBecomeReady(t *testing.T) {
	in := good
	in.Pods = append([]Pod(nil), good.Pods...)
	in.Pods[0].ReadyChanged = t0
	p := compiled(t, measured(v1alpha1.Guard{When: v1alpha1.Before}))
	for _, c := range []struct {
		at   time.Duration
		asks bool
		says string
	}{{10 * s, false, "due at 2026-07-01T12:00:30Z"}, {30 * s, true, "being taken"}} {
		j := p.Judge(v1alpha1.GuardStatus{}, Moment{Now: t0.Add(c.at)}, NewView(&in, t0.Add(c.at)), Answers{})
		if (j.Ask != nil) != c.asks || !strings.Contains(j.Status.Message, c.says) {
			t.Errorf("at %s: %s, asks %v", c.at, j.Status.Message, j.Ask)
		}
	}
	// One that has been on the revision for longer than the window may come and go.
	in.Pods[0].Begun = t0.Add(-time.Hour)
	if j := p.Judge(v1alpha1.GuardStatus{}, Moment{Now: t0.Add(10 * s)}, NewView(&in, t0.Add(10*s)), Answers{}); j.Ask == nil {
		t.Errorf("a pod that flapped: %s", j.Status.Message)
	}
	down := of(pod("a", true, false), pod("c", false, true))
	if j := p.Judge(v1alpha1.GuardStatus{}, Moment{Now: t0.Add(10 * s)}, NewView(&down, t0.Add(10*s)), Answers{}); j.Ask != nil || j.Status.Verdict != pending {
		t.Errorf("no updated pod is ready: %s: %s", j.Status.Verdict, j.Status.Message)
	}
}

func TestReferencesOfAQuery(t *testing.T) {
	in := of(
		Pod{Name: "web-dca-56898", Revision: "web-2", Updated: true}, Pod{Name: "web-dca-84bb9", Revision: "web-2", Updated: true},
		Pod{Name: "web-dcb-7f2.x", Revision: "web-1"}, Pod{Name: "solo", Revision: "web-1", Moving: true},
	)
	in.MemberLabels = map[string]string{"topology.kubernetes.io/region": "eu-1"}
	ranged := &v1alpha1.MetricRange{Step: *secs(15), Reduce: v1alpha1.ReduceMax}
	for _, tt := range []struct {
		name     string
		metric   v1alpha1.GuardMetric
		baseline bool
		want     string
		wrong    string
	}{
		{"updated pods", v1alpha1.GuardMetric{Query: "$(updated.podRegex) $(updated.count) $(updated.revisionRegex)"}, false, "web-dca-(56898|84bb9) 2 web-2", ""},
		{"stable pods are those that are not on their way", v1alpha1.GuardMetric{Query: "$(stable.podRegex) $(stable.count)"}, false, "web-dcb-7f2[.]x 1", ""},
		{"all pods", v1alpha1.GuardMetric{Query: "$(pods.podRegex) $(pods.count)"}, false, "solo|web-dca-(56898|84bb9)|web-dcb-7f2[.]x 4", ""},
		{"a baseline is about all pods", v1alpha1.GuardMetric{Query: "$(updated.podRegex) $(stable.count)"}, true, "solo|web-dca-(56898|84bb9)|web-dcb-7f2[.]x 4", ""},
		{"windows", v1alpha1.GuardMetric{Query: "[$(window)]", Window: secs(90)}, false, "[90s]", ""},
		{"a range looks back a step at each of its values", v1alpha1.GuardMetric{Query: "[$(window)]", Window: secs(90), Range: ranged}, false, "[15s]", ""},
		{"the member", v1alpha1.GuardMetric{Query: "$(member.name)/$(member.labels.topology.kubernetes.io/region)"}, false, "fra/eu-1", ""},
		{"a label that is not there", v1alpha1.GuardMetric{Query: "$(member.labels.ring)"}, false, "", "member fra has no label ring, which the query refers to"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, wrong := NewView(&in, t0).resolve(tt.metric, tt.baseline)
			if got != tt.want || wrong != tt.wrong {
				t.Errorf("got %q (%s)\nwant %q (%s)", got, wrong, tt.want, tt.wrong)
			}
		})
	}
	namesakes := Input{Pods: []Pod{{Name: "db-0", Namespace: "shop", Updated: true}, {Name: "db-0", Namespace: "cart"}, {Name: "db-1", Namespace: "cart", Updated: true}, {Name: "db-2", Namespace: "cart"}}}
	for list, want := range map[string]string{"updated.podRegex": "db-1", "stable.podRegex": "db-2", "pods.podRegex": "db-(0|1|2)", "updated.count": "2"} {
		if got := NewView(&namesakes, t0).listed(list); got != want {
			t.Errorf("%s of pods that have one name in two namespaces: %s, want %s", list, got, want)
		}
	}
	if got := NewView(&noneYet, t0).listed("updated.podRegex"); got != nobody {
		t.Errorf("no pods: %q", got)
	}
}

func TestWhatIsWrongWithMetrics(t *testing.T) {
	prom := v1alpha1.GuardMetric{Source: "prom", Query: "up"}
	each := v1alpha1.GuardMetric{Source: "prom", Query: "up", Each: true}
	for _, tt := range []struct {
		name, expr string
		metrics    map[string]v1alpha1.GuardMetric
		says       string
	}{
		{"a metric that the guard does not have", "metrics.erors < 1.0", map[string]v1alpha1.GuardMetric{"errors": prom}, `line 1, column 8: unknown metric "erors"; did you mean "errors"?`},
		{"a baseline of one that it does not have", "true ||\n baseline.p99 < 1.0", map[string]v1alpha1.GuardMetric{"errors": prom}, `line 2, column 10: unknown metric "p99"; known are errors`},
		{"metrics of a guard that has none", "metrics.errors < 1.0", nil, `unknown metric "errors"; known are none`},
		{"all of them", "metrics.size() > 0", map[string]v1alpha1.GuardMetric{"errors": prom}, "metrics stands alone: write metrics.NAME; the guard's metrics are errors"},
		{"one by index", "metrics['errors'] > 0.0", map[string]v1alpha1.GuardMetric{"errors": prom}, "metrics stands alone"},
		{"has", "has(metrics.errors)", map[string]v1alpha1.GuardMetric{"errors": prom}, "has(metrics.errors): a metric is always there"},
		{"a map that is taken for a number", "metrics.errors < 1.0", map[string]v1alpha1.GuardMetric{"errors": each}, "no matching overload"},
		{"a baseline of several numbers", "baseline.errors < 1.0", map[string]v1alpha1.GuardMetric{"errors": each}, "baseline.errors: a baseline is one number, and each: true has several"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Compile(v1alpha1.Guard{Name: "g", Expr: tt.expr, Metrics: tt.metrics}, Limits{})
			var wrong *ExprError
			if !errors.As(err, &wrong) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v\nwant %s", err, tt.says)
			}
		})
	}
	_, errs := CompileAll([]v1alpha1.Guard{{Name: "g", Expr: "metrics.a > 0.0", Metrics: map[string]v1alpha1.GuardMetric{"a": {Source: "p", Query: "$(updated.podRegx) $(stable.x)"}}}}, nil, Limits{})
	for _, query := range []string{`up{pod=~"$( updated.podRegex)"}`, `up{pod=~"$(updated.podRegex"}`, `up{pod=~"${updated.podRegex}"}`} {
		if _, errs := CompileAll([]v1alpha1.Guard{{Name: "g", Expr: "metrics.a > 0.0", Metrics: map[string]v1alpha1.GuardMetric{"a": {Source: "p", Query: query}}}}, nil, Limits{}); len(errs) != 1 {
			t.Errorf("%s: %v", query, errs)
		}
	}
	if len(errs) != 2 || !strings.Contains(errs[0].Error(), `did you mean "updated.podRegex"?`) {
		t.Errorf("got %v", errs)
	}
}

func TestAMetricOfSeveralSeriesIsAMap(t *testing.T) {
	g := measured(v1alpha1.Guard{Expr: "updated.all(p, p.name in metrics.errors && metrics.errors[p.name] < 0.02)", Metrics: map[string]v1alpha1.GuardMetric{
		"errors": {Source: "prom", Query: `sum by (pod) (errors{pod=~"$(updated.podRegex)"})`, Each: true, Window: secs(30)}}})
	p := compiled(t, g)
	of := func(values map[string]float64) *Sample {
		r := Reading{Query: "q"}
		for _, k := range []string{"a", "b"} {
			if v, ok := values[k]; ok {
				r.Series = append(r.Series, Series{Labels: map[string]string{"pod": k}, Value: v})
			}
		}
		return &Sample{At: t0.Add(30 * s), Metrics: map[string]Reading{"errors": r}}
	}
	for _, tt := range []struct {
		name   string
		sample *Sample
		want   v1alpha1.Verdict
		says   string
	}{
		{"all are fine", of(map[string]float64{"a": 0.01, "b": 0}), pass, "a=0.01, b=0"},
		{"one is sick", of(map[string]float64{"a": 0.01, "b": 0.03}), pending, "b=0.03, a=0.01"},
		{"one has no data", of(map[string]float64{"a": 0.01}), pending, "a=0.01"},
		{"one is NaN", of(map[string]float64{"a": 0.01, "b": math.NaN()}), noData, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			j := p.Judge(v1alpha1.GuardStatus{}, Moment{Now: t0.Add(30 * s), Step: 1, FirstMove: t0, Move: t0}, NewView(&good, t0.Add(30*s)), Answers{Sample: tt.sample})
			if j.Status.Verdict != tt.want || j.Status.Metrics[0].Value != tt.says {
				t.Errorf("%s: %s, %+v", j.Status.Verdict, j.Status.Message, j.Status.Metrics)
			}
		})
	}
	labels := map[string]string{"pod": "a", "code": "500"}
	if got := keyOf(labels); got != `code="500", pod="a"` {
		t.Errorf("two labels: %s", got)
	}
}

func TestBaselines(t *testing.T) {
	g := measured(v1alpha1.Guard{Expr: "metrics.errors <= baseline.errors * 2.0", OnNoData: v1alpha1.Fail, Limits: v1alpha1.GuardLimits{ConsecutiveErrors: 2}})
	p := compiled(t, g)
	if got := p.BaselineMetrics(); !cmp.Equal(got, []string{"errors"}) {
		t.Fatalf("baselines of %v", got)
	}
	before := noneYet
	st := v1alpha1.GuardStatus{}
	for i, c := range []struct {
		at     time.Duration
		sample *Sample
		want   v1alpha1.Verdict
		says   string
		asks   bool
		found  int
	}{
		{0, nil, pending, "the baseline is being sampled", true, 0},
		{s, sampled(0, Reading{}, Reading{}), noData, "baseline of metric errors has no data", false, 0},
		{11 * s, sampled(0, Reading{}, Reading{}), noData, "", true, 0},
		{12 * s, sampled(11*s, Reading{Err: "boom"}, Reading{}), broken, "baseline of metric errors: source prom: boom", false, 0},
		{22 * s, sampled(22*s, Reading{}, Reading{}), fail, "no baseline in 2 samples in a row: baseline of metric errors has no data", false, 0},
		{32 * s, sampled(32*s, num(0.02), Reading{}), pass, "", false, 1},
	} {
		j, found := p.Baselines(st, t0.Add(c.at), NewView(&before, t0.Add(c.at)), Answers{Sample: c.sample})
		if j.Status.Verdict != c.want || !strings.Contains(j.Status.Message, c.says) || (j.Ask != nil) != c.asks || len(found) != c.found {
			t.Fatalf("call %d: %s: %s, asks %v, found %v", i, j.Status.Verdict, j.Status.Message, j.Ask, found)
		}
		if j.Ask != nil && (len(j.Ask.Queries) != 1 || j.Ask.Queries[0].Query != `errors{pod=~"a|b"}[30s]`) {
			t.Fatalf("asks %+v", j.Ask.Queries)
		}
		st = j.Status
		if len(found) == 1 {
			if got := p.BaselinesOf(found, "fra"); got["errors"] != 0.02 {
				t.Errorf("kept as %v: %v", found, got)
			}
		}
	}
	judge := func(a Answers) v1alpha1.GuardStatus {
		return p.Judge(v1alpha1.GuardStatus{}, Moment{Now: t0.Add(m), Step: 1, FirstMove: t0, Move: t0}, NewView(&good, t0.Add(m)), a).Status
	}
	sample := sampled(m, num(0.05), num(0))
	if got := judge(Answers{Sample: sample}); got.Verdict != noData || !strings.Contains(got.Message, "no baseline") {
		t.Errorf("without a baseline: %s: %s", got.Verdict, got.Message)
	}
	if got := judge(Answers{Sample: sample, Baselines: map[string]float64{"errors": 0.02}}); got.Verdict != pending {
		t.Errorf("worse than twice the baseline: %s: %s", got.Verdict, got.Message)
	}
	if got := judge(Answers{Sample: sample, Baselines: map[string]float64{"errors": 0.03}}); got.Verdict != pass || got.Metrics[1].Baseline != "0.03" {
		t.Errorf("better than that: %s: %s, %+v", got.Verdict, got.Message, got.Metrics)
	}
}

func TestAgainstBaselineTheLastStepIsComparedWithWhatWas(t *testing.T) {
	p := compiled(t, measured(v1alpha1.Guard{Against: v1alpha1.AgainstBaseline}))
	if got := p.BaselineMetrics(); !cmp.Equal(got, []string{"base"}) {
		t.Fatalf("baselines of %v", got)
	}
	last := of(pod("a", true, true), pod("b", true, true))
	for _, tt := range []struct {
		errs float64
		want v1alpha1.Verdict
	}{{0.02, pass}, {0.04, pending}} {
		j := p.Judge(v1alpha1.GuardStatus{}, Moment{Now: t0.Add(m), Step: 1, FirstMove: t0, Move: t0}, NewView(&last, t0.Add(m)),
			Answers{Sample: sampled(m, num(tt.errs), Reading{}), Baselines: map[string]float64{"base": 0.02}})
		if j.Status.Verdict != tt.want {
			t.Errorf("errors %v: %s: %s (%s)", tt.errs, j.Status.Verdict, j.Status.Message, j.Status.Value)
		}
	}
}

func TestAStatusShowsTheLastSamples(t *testing.T) {
	p := compiled(t, measured(v1alpha1.Guard{When: v1alpha1.During, Expr: "metrics.errors < 0.02", Metrics: map[string]v1alpha1.GuardMetric{"errors": {Source: "prom", Query: "errors", Window: secs(10)}}}))
	in := good
	in.Workload.UpdatedReady = 2
	st := v1alpha1.GuardStatus{}
	for i := range 30 {
		at := Moment{Now: t0.Add(time.Duration(10*i) * s), Step: 1, FirstMove: t0, Move: t0}
		r := Reading{Query: strings.Repeat("q", 600), Series: []Series{{Value: float64(i) / 1000}}}
		if i == 28 {
			r = Reading{Err: "down"}
		}
		st = p.Judge(st, at, NewView(&in, at.Now), Answers{Sample: &Sample{At: at.Now, Metrics: map[string]Reading{"errors": r}}}).Status
	}
	got := st.Metrics[0]
	if len(got.Recent) != 20 || got.Recent[17] != "0.027" || got.Recent[18] != "-" || got.Recent[19] != "0.029" || got.Value != "0.029" || len([]rune(got.Query)) != 512 {
		t.Errorf("got %+v", got)
	}
	if st.Value != "metrics.errors = 0.029" || st.Verdict != fail {
		t.Errorf("%s: %s", st.Verdict, st.Value)
	}
}
