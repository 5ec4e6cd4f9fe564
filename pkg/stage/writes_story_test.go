package stage_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	"k8s.io/apimachinery/pkg/runtime"
	clienttesting "k8s.io/client-go/testing"
	"knative.dev/pkg/controller"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/guard"
	"github.com/periplus-dev/periplus/pkg/guard/source"
	"github.com/periplus-dev/periplus/tasks/canary"
)

// post answers when the test says so, one guard at a time.
type post struct {
	*oracle
	open  []letter
	times map[source.Key]int
}

type letter struct {
	key source.Key
	ask *guard.Ask
	at  time.Time
}

func (p *post) Sample(key source.Key, ask *guard.Ask, _ source.About, _ func()) *guard.Sample {
	if ask != nil && !slices.ContainsFunc(p.open, func(l letter) bool { return l.key == key }) {
		p.times[key]++
		p.open = append(p.open, letter{key, ask, p.s.clock.Now()})
	}
	return p.last[key]
}

// deliver answers the question that is open for longest.
func (p *post) deliver() {
	l := p.open[0]
	p.open = p.open[1:]
	out := &guard.Sample{At: l.at, Metrics: map[string]guard.Reading{}}
	for _, q := range l.ask.Queries {
		r := p.answer(q, l.key.Member)
		r.Query = q.Query
		out.Metrics[q.Metric] = r
	}
	p.last[l.key] = out
}

// posted is a canary with many During guards that are sampled every 10 s, all of which have a first sample that is written.
func posted(t *testing.T, guards int, answer func(q guard.Query, member string) guard.Reading) (*voyage, *post, func() int) {
	t.Helper()
	s, o := measuring(t, answer, "m1")
	p := &post{oracle: o, times: map[source.Key]int{}}
	s.frame.Sources = p
	writes := 0
	s.tekton.PrependReactor("update", "customruns", func(action clienttesting.Action) (bool, runtime.Object, error) {
		if _, ok := action.(clienttesting.UpdateAction).GetObject().(*v1beta1.CustomRun); ok && action.GetSubresource() == "status" {
			writes++
		}
		return false, nil, nil
	})
	s.ships.launch("m1", "dca", 4)
	var list []string
	for i := range guards {
		list = append(list, fmt.Sprintf(`{"name":"g%02d","when":"During","interval":"10s","limits":{"failures":3},"expr":"metrics.n <= baseline.n","metrics":{"n":{"source":"prom","query":"n%d","window":"1s"}}}`, i, i))
	}
	v := s.sail(canary.Task{}, s.pipelineRun("web-1", "canary"), "canary",
		`{"target":"web","members":["m1"],"change":{"images":{"app":"shop/web:v2"}},"pods":1,"bake":"10m","guards":[`+strings.Join(list, ",")+`]}`)
	sampled := func() bool {
		if v.run().Status.ExtraFields.Raw == nil {
			return false
		}
		st := v.status()
		return len(st.Guards) == guards && !slices.ContainsFunc(st.Guards, func(g v1alpha1.GuardStatus) bool { return g.Samples == 0 || g.When != v1alpha1.During })
	}
	for range 40 {
		v.pass()
		for len(p.open) > 0 {
			p.deliver()
		}
		v.ships.turn()
		v.clock.Step(time.Second)
		if sampled() {
			break
		}
	}
	if !sampled() {
		t.Fatalf("not every guard was sampled: %+v", v.status().Guards)
	}
	v.clock.Step(10 * time.Second)
	clear(p.times)
	v.pass()
	if len(p.open) != guards {
		t.Fatalf("%d questions are open, of %d guards", len(p.open), guards)
	}
	writes = 0
	return v, p, func() int { return writes }
}

func TestAnswersThatComeOneByOneAreWrittenTogether(t *testing.T) {
	v, p, writes := posted(t, 20, func(guard.Query, string) guard.Reading { return is(0.01) })
	var again time.Duration
	for range 20 {
		v.clock.Step(10 * time.Millisecond)
		p.deliver()
		err := v.rec.ReconcileKind(context.Background(), v.run())
		ok, after := controller.IsRequeueKey(err)
		if !ok {
			t.Fatalf("nobody comes back to write what was held back: %v", err)
		}
		again = after
	}
	if n := writes(); n > 1 {
		t.Errorf("20 answers in 200 ms made %d writes", n)
	}
	if again > time.Second {
		t.Errorf("what was held back is written in %s", again)
	}
	v.clock.Step(again)
	v.pass()
	for _, g := range v.status().Guards {
		if g.Samples != 2 || g.Passes != 2 || len(g.Metrics[0].Recent) != 2 || g.Verdict != v1alpha1.VerdictPass {
			t.Errorf("kept of %s: %+v", g.Name, g)
		}
	}
	if n := writes(); n > 2 {
		t.Errorf("made %d writes", n)
	}
	for key, n := range p.times {
		if n != 1 {
			t.Errorf("%s was asked %d times", key.Guard, n)
		}
	}
	if len(p.open) != 0 || len(p.times) != 20 {
		t.Errorf("%d questions are open; asked %d guards", len(p.open), len(p.times))
	}
}

func TestAFalseSampleIsWrittenAtOnce(t *testing.T) {
	worse := is(0.01)
	v, p, writes := posted(t, 2, func(guard.Query, string) guard.Reading { return worse })
	p.deliver()
	v.pass() // brings counts only.
	v.clock.Step(10 * time.Millisecond)
	worse = is(0.05)
	before := writes()
	p.deliver()
	v.pass()
	if g := v.status().Guards[1]; writes() != before+1 || g.Failures != 1 || g.Verdict != v1alpha1.VerdictPending {
		t.Errorf("%d writes; kept %+v", writes()-before, g)
	}
	// The second one leaves the verdict as it is, and counts towards the limit.
	v.clock.Step(10 * time.Second)
	v.pass()
	for len(p.open) > 1 {
		p.deliver()
	}
	v.pass()
	before = writes()
	v.clock.Step(10 * time.Millisecond)
	p.deliver()
	v.pass()
	if g := v.status().Guards[1]; writes() != before+1 || g.Failures != 2 {
		t.Errorf("%d writes; kept %+v", writes()-before, g)
	}
}
