package truth

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/guard"
)

// Outcome of one canary under one shape.
type Outcome struct {
	// Failed is true where a guard failed; After is how long after the canary was ready.
	Failed bool
	After  time.Duration
	// Held is true where none failed and not all passed: the stage would still wait.
	Held bool
}

// rhythm is what the moments of a guard's samples come from.
type rhythm struct{ interval, delay, reach time.Duration }

// Judge plays one canary, the same for the same seed, and has all shapes judge it.
func (c Conditions) Judge(seed uint64, shapes []*Shape) ([]Outcome, error) {
	stored := c.play(rand.New(rand.NewPCG(seed, seed))) // #nosec G404 -- a simulation.
	known := map[rhythm]*answers{}
	in := c.input()
	out := make([]Outcome, len(shapes))
	for i, s := range shapes {
		for _, p := range s.programs {
			// Guards that sample at the same moments share what was answered.
			g := p.Guard()
			when := rhythm{interval: g.Interval.Duration}
			if g.InitialDelay != nil {
				when.delay = g.InitialDelay.Duration
			}
			for _, m := range g.Metrics {
				when.reach = max(when.reach, m.Window.Duration)
			}
			a := known[when]
			if a == nil {
				a = &answers{stored: stored, end: ready.Add(c.Bake), every: when.interval, known: map[string]*answer{}}
				known[when] = a
			}
			one, err := judge(p, &in, a)
			if err != nil {
				return nil, fmt.Errorf("shape %s, guard %s, canary %d: %w", s.Name, g.Name, seed, err)
			}
			switch {
			case one.Failed && (!out[i].Failed || one.After < out[i].After):
				out[i] = one
			case one.Held && !out[i].Failed:
				out[i].Held = true
			}
		}
	}
	return out, nil
}

// judge has a guard judge a canary at every moment at which it wants to, until it fails or the bake is over.
func judge(p *guard.Program, in *guard.Input, a *answers) (Outcome, error) {
	var st v1alpha1.GuardStatus
	var last *guard.Sample
	for now := ready; !now.After(a.end); {
		at := guard.Moment{Now: now, Step: 1, FirstMove: restarted, Move: ready}
		v := guard.NewView(in, now)
		j := p.Judge(st, at, v, guard.Answers{Sample: last})
		if j.Ask != nil {
			last = &guard.Sample{At: now, Metrics: map[string]guard.Reading{}}
			for _, q := range j.Ask.Queries {
				got, err := a.ask(q.Query, now)
				if err != nil {
					return Outcome{}, err
				}
				last.Metrics[q.Metric] = guard.Reading{Query: q.Query, Series: got}
			}
			j = p.Judge(j.Status, at, v, guard.Answers{Sample: last})
		}
		st = j.Status
		if st.Verdict == v1alpha1.VerdictFail {
			return Outcome{Failed: true, After: now.Sub(ready)}, nil
		}
		if st.Verdict == v1alpha1.VerdictError {
			return Outcome{}, fmt.Errorf("%s", guard.Describe(st))
		}
		if st.Verdict == v1alpha1.VerdictPass && st.When == v1alpha1.After || j.WakeAt.IsZero() {
			break
		}
		now = j.WakeAt
	}
	return Outcome{Held: st.Verdict != v1alpha1.VerdictPass}, nil
}

// input is what the hub sees of the pods once the canaries are ready.
func (c Conditions) input() guard.Input {
	all, updated := int64(c.Pods), int64(c.Canaries)
	in := guard.Input{Member: "fra", Want: updated, Workload: guard.Workload{Kind: "InPlaceSet", Name: "web", Replicas: all, Updated: updated, UpdatedReady: updated,
		UpdatedAvailable: updated, Ready: all, Available: all, Want: updated}}
	in.Units = []guard.Unit{{Name: "dca", Member: in.Member, Replicas: all, Updated: updated, UpdatedReady: updated, UpdatedAvailable: updated, Ready: all, Available: all, Want: updated}}
	for i := range c.Pods {
		p := guard.Pod{Name: podName(i), Member: in.Member, Unit: "dca", Revision: "web-1", Ready: true, Available: true, Phase: "Running", Created: restarted.Add(-time.Hour),
			ReadyChanged: restarted.Add(-time.Hour)}
		if i < c.Canaries {
			p.Updated, p.Revision, p.ReadyChanged = true, "web-2", ready
		}
		in.Pods = append(in.Pods, p)
	}
	return in
}
