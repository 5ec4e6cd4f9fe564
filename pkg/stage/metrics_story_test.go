package stage_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"knative.dev/pkg/apis"

	fleetv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/fleet/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/guard"
	"github.com/periplus-dev/periplus/pkg/guard/source"
	"github.com/periplus-dev/periplus/tasks/canary"
	"github.com/periplus-dev/periplus/tasks/partitionbump"
)

// oracle answers at once, out of a function of the query.
type oracle struct {
	s      *sea
	answer func(q guard.Query, member string) guard.Reading
	last   map[source.Key]*guard.Sample
	asked  []string
}

func (o *oracle) Sample(key source.Key, ask *guard.Ask, _ source.About, _ func()) *guard.Sample {
	if ask == nil {
		return o.last[key]
	}
	out := &guard.Sample{At: o.s.clock.Now(), Metrics: map[string]guard.Reading{}}
	for _, q := range ask.Queries {
		kind := "sample"
		if ask.Baseline {
			kind = "baseline"
		}
		o.asked = append(o.asked, fmt.Sprintf("%s of %s in %s", kind, q.Query, key.Member))
		o.s.log.add("%s of %s in %s", kind, q.Metric, key.Member)
		r := o.answer(q, key.Member)
		r.Query = q.Query
		out.Metrics[q.Metric] = r
	}
	o.last[key] = out
	return out
}

func (o *oracle) Lags([]string) map[string]time.Duration  { return nil }
func (o *oracle) Observe(time.Time, string, *guard.Input) {}
func (o *oracle) Forget(types.UID)                        {}
func (o *oracle) Check(q guard.Query, _ string, _ map[string]string) error {
	switch {
	case q.Source == "gone":
		return fmt.Errorf("gone: %w", source.ErrUnknown)
	case strings.Contains(q.Query, "(("):
		return &source.QueryError{Err: errors.New("1:3: parse error: unclosed left parenthesis")}
	case q.Source == "locked":
		return errors.New("Secret prom-token is not there")
	}
	return nil
}

// measuring gives a sea a source called prom.
func measuring(t *testing.T, answer func(q guard.Query, member string) guard.Reading, members ...string) (*sea, *oracle) {
	t.Helper()
	s := newSea(t, members...)
	return s, s.asks(answer)
}

// asks gives a sea a source called prom, one whose Secret is missing, and one that is gone.
func (s *sea) asks(answer func(q guard.Query, member string) guard.Reading) *oracle {
	s.t.Helper()
	o := &oracle{s: s, answer: answer, last: map[source.Key]*guard.Sample{}}
	s.frame.Sources = o
	for _, name := range []string{"prom", "locked", "gone"} {
		s.store(&fleetv1alpha1.MetricSource{ObjectMeta: metav1.ObjectMeta{Name: name}})
	}
	return o
}

func is(v float64) guard.Reading { return guard.Reading{Series: []guard.Series{{Value: v}}} }

const errorsGuard = `"guards":[{"name":"errors","when":"During","interval":"1s","expr":"metrics.errors <= baseline.errors * 2.0",
	"metrics":{"errors":{"source":"prom","query":"errors{pod=~\"$(updated.podRegex)\"}","window":"3s"}}}]`

func measuredCanary(guards string) string {
	return `{"target":"web","members":["m1"],"change":{"images":{"app":"shop/web:v2"}},"pods":1,"bake":"6s",` + guards + `}`
}

func TestASickCanaryIsCaughtByItsErrorsAndNoOtherPodSeesIt(t *testing.T) {
	s, o := measuring(t, func(q guard.Query, _ string) guard.Reading {
		if strings.Contains(q.Query, "web-dca-(") { // all pods of the unit.
			return is(0.01)
		}
		return is(0.05)
	}, "m1")
	dca := s.ships.launch("m1", "dca", 4)
	v := s.sail(canary.Task{}, s.pipelineRun("web-1", "canary"), "canary", measuredCanary(errorsGuard))
	cr := v.until("GuardFailed")
	for cr.Status.CompletionTime == nil {
		v.pass()
		cr = v.run()
	}
	if msg := cr.Status.GetCondition(apis.ConditionSucceeded).Message; !strings.Contains(msg, "metrics.errors = 0.05, baseline.errors * 2.0 = 0.02") {
		t.Errorf("the message does not give value and threshold: %q", msg)
	}
	if dca.updated() != 1 {
		t.Errorf("%d pods are updated", dca.updated())
	}
	log := s.log.all()
	base, lock := slices.Index(log, "baseline of errors in m1"), slices.Index(log, "m1/dca: template shop/web:v2, partition 100%")
	if base < 0 || lock < base {
		t.Errorf("the baseline was not sampled before the first move:\n%s", strings.Join(log, "\n"))
	}
	if want := `baseline of errors{pod=~"web-dca-(0|1|2|3)"} in m1`; o.asked[0] != want {
		t.Errorf("asked %s; want %s", o.asked[0], want)
	}
	if got := o.asked[len(o.asked)-1]; got != `sample of errors{pod=~"web-dca-0"} in m1` {
		t.Errorf("asked %s", got)
	}
	st := v.status()
	if g := st.Guards[0]; g.Verdict != v1alpha1.VerdictFail || g.Metrics[0].Value != "0.05" || g.Metrics[0].Baseline != "0.01" || st.Baselines[0].Value != "0.01" {
		t.Errorf("kept %+v and %+v", st.Guards, st.Baselines)
	}
}

func TestAHealthyCanaryPassesOnSamplesOfTheNewRevisionOnly(t *testing.T) {
	s, o := measuring(t, func(guard.Query, string) guard.Reading { return is(0.01) }, "m1")
	s.ships.launch("m1", "dca", 4)
	v := s.sail(canary.Task{}, s.pipelineRun("web-1", "canary"), "canary", measuredCanary(errorsGuard))
	v.until("Succeeded")
	st := v.status()
	ready := st.Guards[0].ReadySince.Time
	if g := st.Guards[0]; g.Verdict != v1alpha1.VerdictPass || len(g.Metrics[0].Recent) == 0 {
		t.Errorf("kept %+v", st.Guards)
	}
	for _, e := range o.asked[1:] {
		if !strings.HasPrefix(e, "sample of ") {
			t.Errorf("asked %s after the first move", e)
		}
	}
	if first := o.last[source.Key{Run: "canary-uid", Attempt: 1, Guard: "errors", Member: "m1"}]; first.At.Before(ready.Add(3 * time.Second)) {
		t.Errorf("sampled at %s, ready since %s, window 3s", first.At, ready)
	}
}

func TestASourceThatFailsHoldsAndGoesOnWhenItIsBack(t *testing.T) {
	down := true
	s, _ := measuring(t, func(q guard.Query, _ string) guard.Reading {
		if down && !strings.Contains(q.Query, "(") {
			return guard.Reading{Err: "connection refused"}
		}
		return is(0.01)
	}, "m1")
	dca := s.ships.launch("m1", "dca", 4)
	v := s.sail(canary.Task{}, s.pipelineRun("web-1", "canary"), "canary", measuredCanary(errorsGuard))
	cr := v.until("GuardHolding")
	if msg := cr.Status.GetCondition(apis.ConditionSucceeded).Message; !strings.Contains(msg, "metric errors: source prom: connection refused") {
		t.Errorf("it holds without saying why: %s", msg)
	}
	if dca.updated() != 1 {
		t.Errorf("%d pods are updated while the source is down", dca.updated())
	}
	down = false
	v.until("Succeeded")
}

func TestNothingMovesWithoutABaseline(t *testing.T) {
	known := false
	s, _ := measuring(t, func(q guard.Query, _ string) guard.Reading {
		if !known {
			return guard.Reading{}
		}
		return is(0.01)
	}, "m1")
	s.ships.launch("m1", "dca", 4)
	v := s.sail(canary.Task{}, s.pipelineRun("web-1", "canary"), "canary", measuredCanary(errorsGuard))
	cr := v.until("GuardHolding")
	if msg := cr.Status.GetCondition(apis.ConditionSucceeded).Message; !strings.Contains(msg, "baseline of metric errors has no data") {
		t.Errorf("it holds without saying why: %s", msg)
	}
	if s.log.has("template") {
		t.Error("moved without a baseline")
	}
	known = true
	v.until("Succeeded")
}

func TestTheLastStepWithoutStablePodsIsAgainstWhatItSays(t *testing.T) {
	for against, want := range map[string]v1alpha1.Verdict{"Stable": v1alpha1.VerdictNotApplicable, "Baseline": v1alpha1.VerdictFail} {
		t.Run(against, func(t *testing.T) {
			worse := is(0.01)
			s, _ := measuring(t, func(q guard.Query, _ string) guard.Reading {
				if q.Metric == "errors" && strings.Contains(q.Query, "(0|1|2|3)") {
					return worse
				}
				return is(0.01)
			}, "m1")
			s.ships.launch("m1", "dca", 4)
			v := s.sail(partitionbump.Task{}, s.pipelineRun("web-1", "bump"), "bump", `{"target":"web","members":["m1"],"change":{"images":{"app":"shop/web:v2"}},
				"steps":[{"unit":"dca","updated":"50%"},{"unit":"dca","updated":"100%"}],
				"guards":[{"name":"errors","when":"During","against":"`+against+`","interval":"1s","expr":"metrics.errors <= metrics.base * 2.0","metrics":{
				"errors":{"source":"prom","query":"errors{pod=~\"$(updated.podRegex)\"}","window":"2s"},"base":{"source":"prom","query":"errors{pod=~\"$(stable.podRegex)\"}","window":"2s"}}}]}`)
			worse = is(0.05)
			v.until("Succeeded", "GuardFailed")
			if g := v.status().Guards[0]; g.Verdict != want {
				t.Errorf("%s: %s, %s", g.Verdict, g.Message, g.Value)
			}
		})
	}
}

func TestWrongMetricsAreRefusedWithTheirField(t *testing.T) {
	for name, tc := range map[string]struct{ metric, says string }{
		"a query that does not parse":            {`{"source":"prom","query":"sum(("}`, `spec.guards[0].metrics[errors].query: Invalid value: "sum((": 1:3: parse error`},
		"a source that is not there":             {`{"source":"promm","query":"up"}`, `spec.guards[0].metrics[errors].source: Not found: "promm": there is no such MetricSource`},
		"a source that is gone from the book":    {`{"source":"gone","query":"up"}`, `spec.guards[0].metrics[errors].source: Not found: "gone"`},
		"a source whose Secret is missing":       {`{"source":"locked","query":"up"}`, "spec.guards[0].metrics[errors].source: Invalid value: \"locked\": Secret prom-token is not there"},
		"a reference that queries do not know":   {`{"source":"prom","query":"up{pod=~\"$(updated.pods)\"}"}`, "spec.guards[0].metrics[errors].query: Invalid value: \"$(updated.pods)\": is not a reference that queries know"},
		"a window of zero":                       {`{"source":"prom","query":"up","window":"0s"}`, "spec.guards[0].metrics[errors].window: Invalid value: \"0s\": must be from 1s to 24h"},
		"a step that is longer than its window":  {`{"source":"prom","query":"up","window":"10s","range":{"step":"20s","reduce":"Max"}}`, "spec.guards[0].metrics[errors].range.step: Invalid value: \"20s\": must not be longer than the window"},
		"no way to make one number of a range":   {`{"source":"prom","query":"up","range":{"step":"20s"}}`, "spec.guards[0].metrics[errors].range.reduce: Required value"},
		"no query":                               {`{"source":"prom"}`, "spec.guards[0].metrics[errors].query: Required value"},
		"a field that there is none of":          {`{"source":"prom","query":"up","widow":"1s"}`, "spec.guards[0].metrics[errors].widow: Forbidden: there is no such field; did you mean window?"},
		"a number where a duration is wanted":    {`{"source":"prom","query":"up","window":"soon"}`, "spec.guards[0].metrics[errors].window: Invalid value: \"soon\": must be a duration"},
		"a name that an expression cannot write": {`{"source":"prom","query":"up"},"p-99":{"source":"prom","query":"up"}`, "spec.guards[0].metrics[p-99]: Invalid value"},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := measuring(t, nil, "m1")
			s.ships.launch("m1", "dca", 4)
			v := s.sail(canary.Task{}, s.pipelineRun("web-1", "canary"), "canary", measuredCanary(`"guards":[{"name":"errors","expr":"metrics.errors < 1.0","metrics":{"errors":`+tc.metric+`}}]`))
			cr := v.until("InvalidSpec")
			if msg := cr.Status.GetCondition(apis.ConditionSucceeded).Message; !strings.Contains(msg, tc.says) {
				t.Errorf("got  %s\nwant %s", msg, tc.says)
			}
		})
	}
}

func TestOnlySourcesThatAPolicyGivesAreAsked(t *testing.T) {
	for name, tc := range map[string]struct{ policy, reason string }{
		"all where the policy names none":     {`{namespaces: {names: [shop]}}`, "Succeeded"},
		"the one that is named":               {`{namespaces: {names: [shop]}, metricSources: {names: [prom]}}`, "Succeeded"},
		"another one is named":                {`{namespaces: {names: [shop]}, metricSources: {names: [thanos]}}`, "ForbiddenByPolicy"},
		"it is given to another namespace":    {`{namespaces: {names: [bank]}, metricSources: {names: [prom]}}`, "ForbiddenByPolicy"},
		"a policy that demands may ask of it": {`{namespaces: {names: [shop]}, metricSources: {names: [thanos]}, require: {guardSets: [{namespace: platform, name: errors}]}}`, "Succeeded"},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := measuring(t, func(guard.Query, string) guard.Reading { return is(0.01) }, "m1")
			s.ships.launch("m1", "dca", 4)
			open := &v1alpha1.ReleasePolicy{ObjectMeta: metav1.ObjectMeta{Name: openPolicy}}
			open.Spec.MetricSources.Names = []string{"none"}
			if _, err := s.periplus.StagesV1alpha1().ReleasePolicies().Update(t.Context(), open, metav1.UpdateOptions{}); err != nil {
				t.Fatal(err)
			}
			s.policy("other", tc.policy)
			guards := errorsGuard
			if strings.Contains(tc.policy, "require") {
				s.store(&v1alpha1.GuardSet{ObjectMeta: metav1.ObjectMeta{Name: "errors", Namespace: "platform"}, Spec: v1alpha1.GuardSetSpec{Guards: []v1alpha1.Guard{{
					Name: "errors", Expr: "metrics.errors < 1.0", Metrics: map[string]v1alpha1.GuardMetric{"errors": {Source: "prom", Query: "up", Window: &metav1.Duration{Duration: time.Second}}}}}}})
				guards = `"guards":[]`
			}
			cr := s.sail(canary.Task{}, s.pipelineRun("web-1", "canary"), "canary", measuredCanary(guards)).until("Succeeded", "ForbiddenByPolicy", "InvalidSpec")
			if c := cr.Status.GetCondition(apis.ConditionSucceeded); c.Reason != tc.reason {
				t.Errorf("%s: %s; want %s", c.Reason, c.Message, tc.reason)
			}
		})
	}
}
