package stage_test

import (
	"strings"
	"testing"
	"time"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/guard"
	"github.com/periplus-dev/periplus/pkg/guard/source"
	"github.com/periplus-dev/periplus/tasks/canary"
	"github.com/periplus-dev/periplus/tasks/clusterhop"
	"github.com/periplus-dev/periplus/tasks/partitionbump"
	"github.com/periplus-dev/periplus/tasks/rollback"
	"github.com/periplus-dev/periplus/tasks/soak"
)

// unhurried answers at the next pass, as sources that are asked over a network do at the soonest.
type unhurried struct {
	*oracle
	open map[source.Key]*guard.Ask
}

func (l *unhurried) Sample(key source.Key, ask *guard.Ask, a source.About, w func()) *guard.Sample {
	if ask != nil {
		l.open[key] = ask
	} else if o := l.open[key]; o != nil {
		delete(l.open, key)
		l.oracle.Sample(key, o, a, w)
		l.last[key].At = o.At
	}
	return l.last[key]
}

// Each is a guard's metric that fails whenever it is asked for.
const sickMetric = `"metrics":{"errors":{"source":"prom","query":"errors{pod=~\"$(updated.podRegex)\"}","window":"10s"}}`

func always(v float64) func(guard.Query, string) guard.Reading {
	return func(guard.Query, string) guard.Reading { return is(v) }
}

func TestAGateWaitsForItsDuringGuardsHoweverShortItIsSilent(t *testing.T) {
	s, _ := measuring(t, always(0.9), "m1", "m2")
	s.ships.launch("m1", "dca", 4)
	s.ships.launch("m2", "dca", 4)
	v := s.sail(clusterhop.Task{}, s.pipelineRun("web-1", "hop"), "hop",
		`{"target":"web","from":["m1"],"to":["m2"],"silentPeriod":"2s","guards":[{"name":"errors","when":"During","interval":"1s","expr":"metrics.errors < 0.01",`+sickMetric+`}]}`)
	v.until("Succeeded", "GuardFailed")
	v.wantsReason("GuardFailed")
}

func TestACarrierWaitsForItsDuringGuardsHoweverShortItIsSilent(t *testing.T) {
	c := newConvoy(t, 1, hopOver(everyone, `"target":"web"`, `"silentPeriod":"2s"`, `"guards":[{"name":"errors","when":"During","interval":"1s","expr":"metrics.errors < 0.01",`+
		strings.Replace(sickMetric, "$(updated.podRegex)", "x", 1)+`}]`))
	o := c.sea.asks(always(0.9))
	c.ships.launch("m1", "dca", 4)
	c.settle()
	c.finish("web-hop-m1", true, "Succeeded")
	for range 15 {
		c.settle()
		c.clock.Step(time.Second)
	}
	c.settle()
	if len(o.asked) == 0 || c.reason() == "Succeeded" {
		t.Errorf("%s: %s; asked %v", c.reason(), c.message(), o.asked)
	}
}

func TestACarrierSamplesBaselinesBeforeItBeginsInAMember(t *testing.T) {
	c := newConvoy(t, 2, hopOver(everyone, `"target":"web"`, `"guards":[{"name":"errors","interval":"1s","expr":"metrics.errors <= baseline.errors","metrics":{"errors":{"source":"prom","query":"e","window":"1s"}}}]`))
	o := c.sea.asks(always(0.9))
	for _, m := range []string{"m1", "m2"} {
		c.ships.launch(m, "dca", 4)
	}
	c.settle()
	if len(o.asked) == 0 || o.asked[0] != "baseline of e in m1" {
		t.Errorf("asked %v before the first child", o.asked)
	}
}

func TestBeforeTheFirstMoveAllPodsAreStable(t *testing.T) {
	s, o := measuring(t, always(0.9), "m1")
	s.ships.launch("m1", "dca", 4)
	v := s.sail(canary.Task{}, s.pipelineRun("web-1", "canary"), "canary", measuredCanary(`"guards":[{"name":"calm","when":"Before","expr":"metrics.errors < 0.01",
		"metrics":{"errors":{"source":"prom","query":"errors{pod=~\"$(stable.podRegex)\"}","window":"3s"}}}]`))
	v.until("Succeeded", "GuardFailed")
	v.wantsReason("GuardFailed")
	if want := `sample of errors{pod=~"web-dca-(0|1|2|3)"} in m1`; o.asked[0] != want {
		t.Errorf("asked %s; want %s", o.asked[0], want)
	}
}

func TestEachStepIsSeenByDuringGuardsBeforeTheNextBegins(t *testing.T) {
	s, o := measuring(t, nil, "m1")
	o.answer = func(q guard.Query, _ string) guard.Reading {
		if strings.Contains(q.Query, "dcb") {
			return is(0.9)
		}
		return is(0)
	}
	s.ships.launch("m1", "dca", 2)
	s.ships.launch("m1", "dcb", 2)
	v := s.sail(partitionbump.Task{}, s.pipelineRun("web-1", "bump"), "bump", `{"target":"web","members":["m1"],"change":{"images":{"app":"shop/web:v2"}},"order":["dca","dcb"],
		"guards":[{"name":"errors","when":"During","interval":"5s","expr":"metrics.errors < 0.01",`+strings.Replace(sickMetric, "10s", "3s", 1)+`}]}`)
	v.until("Succeeded", "GuardFailed")
	v.wantsReason("GuardFailed")
}

func TestASoakComparesWithWhatWasBeforeTheRelease(t *testing.T) {
	const guards = `"guards":[{"name":"errors","when":"During","against":"Baseline","interval":"1s","expr":"metrics.errors <= 1.1 * metrics.base","metrics":{
		"errors":{"source":"prom","query":"errors{pod=~\"$(updated.podRegex)\"}","window":"2s"},"base":{"source":"prom","query":"base{pod=~\"$(stable.podRegex)\"}","window":"2s"}}}]`
	for name, tc := range map[string]struct{ bump, reason string }{
		"as the stage that moved sampled it":             {"," + guards, "GuardFailed"},
		"and never with what the release itself brought": {"", "GuardHolding"},
	} {
		t.Run(name, func(t *testing.T) {
			s, o := measuring(t, always(0.01), "m1")
			s.ships.launch("m1", "dca", 2)
			pr := s.pipelineRun("web-1", "bump", "soak")
			s.sail(partitionbump.Task{}, pr, "bump", `{"target":"web","members":["m1"],"change":{"images":{"app":"shop/web:v2"}},"order":["dca"]`+tc.bump+`}`).until("Succeeded")
			o.answer = always(0.5)
			v := s.sail(soak.Task{}, pr, "soak", `{"target":"web","members":["m1"],"duration":"10s",`+guards+`}`)
			v.until("Succeeded", tc.reason)
			v.wantsReason(tc.reason)
		})
	}
}

func TestARetryComparesWithWhatWasBeforeTheFirstRun(t *testing.T) {
	s, o := measuring(t, always(0.01), "m1")
	dca := s.ships.launch("m1", "dca", 4)
	const spec = `{"target":"web","members":["m1"],"change":{"images":{"app":"shop/web:v2"}},"order":["dca"],"by":"50%","guards":[{"name":"errors","when":"During","interval":"1s",
		"expr":"metrics.errors <= baseline.errors * 2.0","metrics":{"errors":{"source":"prom","query":"errors{pod=~\"$(updated.podRegex)\"}","window":"3s"}}}]}`
	v := s.sail(partitionbump.Task{}, s.pipelineRun("web-1", "bump"), "bump", spec)
	o.answer = func(guard.Query, string) guard.Reading {
		if dca.updated() > 0 {
			return is(0.5)
		}
		return is(0.01)
	}
	v.until("GuardFailed")
	for v.run().Status.CompletionTime == nil {
		v.pass()
	}
	s.concluded()
	w := s.sail(partitionbump.Task{}, s.retryOf("web-1", "web-2"), "bump-2", spec, named("bump"))
	w.until("Succeeded", "GuardFailed")
	w.wantsReason("GuardFailed")
	w.says("baseline.errors * 2.0 = 0.02")
}

func TestGuardsOnTrialAreJudgedToo(t *testing.T) {
	for name, g := range map[string]string{
		"with a baseline":       `{"name":"dry","dryRun":true,"when":"During","interval":"1s","expr":"metrics.errors <= baseline.errors * 2.0","metrics":{"errors":{"source":"prom","query":"e","window":"2s"}}}`,
		"before the first move": `{"name":"dry","dryRun":true,"when":"Before","interval":"1s","expr":"metrics.errors <= 1.0","metrics":{"errors":{"source":"prom","query":"e","window":"2s"}}}`,
	} {
		t.Run(name, func(t *testing.T) {
			s, o := measuring(t, always(0.5), "m1")
			s.frame.Sources = &unhurried{oracle: o, open: map[source.Key]*guard.Ask{}}
			s.ships.launch("m1", "dca", 4)
			v := s.sail(canary.Task{}, s.pipelineRun("web-1", "canary"), "canary", measuredCanary(`"guards":[`+g+`]`))
			v.until("Succeeded")
			if got := v.status().Guards[0]; got.Verdict != v1alpha1.VerdictPass {
				t.Errorf("%s: %s", got.Verdict, got.Message)
			}
		})
	}
}

// shown counts what the source of pods is shown.
type shown struct {
	*oracle
	times int
}

func (w *shown) Observe(time.Time, string, *guard.Input) { w.times++ }

func TestARollbackShowsItsPodsAndItsQueriesAreRead(t *testing.T) {
	s, o := measuring(t, always(0), "m1")
	w := &shown{oracle: o}
	s.frame.Sources = w
	s.ships.launch("m1", "dca", 4)
	pr := s.pipelineRun("web-1", "bump", "rollback", "wrong")
	s.sail(partitionbump.Task{}, pr, "bump", `{"target":"web","members":["m1"],"change":{"images":{"app":"shop/web:v2"}},"order":["dca"]}`).until("Succeeded")
	wrong := s.sail(rollback.Task{}, pr, "wrong", `{"guards":[{"name":"x","when":"Before","expr":"metrics.errors < 1.0","metrics":{"errors":{"source":"prom","query":"sum(("}}}]}`)
	wrong.until("InvalidSpec")
	wrong.says("spec.guards[0].metrics[errors].query")
	v := s.sail(rollback.Task{}, pr, "rollback", `{"guards":[{"name":"x","when":"During","expr":"metrics.r < 1.0","metrics":{"r":{"source":"pods","query":"sum(restarts(updated))","window":"3s"}}}]}`)
	v.until("Succeeded")
	if w.times == 0 {
		t.Error("the source of pods was shown nothing")
	}
}
