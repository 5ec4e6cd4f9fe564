package stage

import (
	"maps"
	"slices"
	"strings"

	"github.com/periplus-dev/periplus/pkg/plan"
	"github.com/periplus-dev/periplus/pkg/workload"
)

// plan makes the steps anew over the units as they are, and finds the one that is worked on: the first that wants more than the steps that are behind did.
// A number of a step would not do: a unit that is scaled in the middle has other steps than before, and none of them may be passed by.
func (p *moving) plan() {
	units := p.planUnits()
	p.steps = p.Steps(units)
	at := p.firstNotBehind(p.state.Done)
	if at < 0 {
		at = max(len(p.steps)-1, 0) // all are behind: the last one wants all that is wanted.
	}
	if at != p.state.Step {
		p.turnTo(at)
	}
}

// firstNotBehind is the first step that wants more than was done, or -1.
func (p *moving) firstNotBehind(done map[string]int32) int {
	return slices.IndexFunc(p.steps, func(s plan.Step) bool {
		return slices.ContainsFunc(s.Wants, func(w plan.Want) bool {
			n, ok := done[w.Member+"/"+w.Unit]
			return !ok || w.Updated > n
		})
	})
}

// doneNow is what was brought about, seen to settle and judged, once the step that is worked on counts too.
func (p *moving) doneNow() map[string]int32 {
	done := map[string]int32{}
	maps.Copy(done, p.state.Done)
	for _, w := range p.steps[p.state.Step].Wants {
		ref := w.Member + "/" + w.Unit
		done[ref] = max(done[ref], w.Updated)
	}
	return done
}

// following is the step after the one that is worked on, or -1.
func (p *moving) following() int {
	if p.state.Step >= len(p.steps) {
		return -1
	}
	return p.firstNotBehind(p.doneNow())
}

// next leaves the step behind, and says whether there is another.
func (p *moving) next() bool {
	at := p.following()
	if p.state.Step < len(p.steps) {
		p.state.Done = p.doneNow()
	}
	if at < 0 {
		return false
	}
	p.state.Groups++
	p.turnTo(at)
	return true
}

// turnTo begins a step.
func (p *moving) turnTo(step int) {
	p.state.Step = step
	p.state.Moved, p.state.Settled, p.run.Status.Best = nil, nil, nil
	if p.run.Status.Step != nil {
		p.run.Status.Step.SettledSince = nil
	}
}

// planUnits are the units as planners need them, those of members that cannot be seen as they were last seen.
func (p *moving) planUnits() []plan.Unit {
	if p.state.Replicas == nil {
		p.state.Replicas = map[string]int32{}
	}
	seen := map[string]bool{}
	for i := range p.world.Units {
		u := &p.world.Units[i]
		p.state.Replicas[u.Ref()], seen[u.Ref()] = u.Replicas, true
	}
	var out []plan.Unit
	for _, m := range p.members() {
		for _, ref := range slices.Sorted(maps.Keys(p.state.Replicas)) {
			member, unit, _ := strings.Cut(ref, "/")
			if member != m {
				continue
			}
			hidden := slices.ContainsFunc(p.world.Missing, func(x Missing) bool { return x.Member == m && !x.NotFound })
			if !seen[ref] && !hidden {
				delete(p.state.Replicas, ref)
				continue
			}
			out = append(out, plan.Unit{Member: member, Name: unit, Replicas: p.state.Replicas[ref]})
		}
	}
	return out
}

// want is how many pods of a unit are to be updated by the end of the step that is worked on. What earlier steps brought about stays wanted.
func (p *moving) want(u *workload.Unit) int32 {
	most := min(p.state.Done[u.Ref()], u.Replicas)
	for i := range min(p.state.Step+1, len(p.steps)) {
		for _, w := range p.steps[i].Wants {
			if w.Member == u.Member && w.Unit == u.Name {
				most = max(most, min(w.Updated, u.Replicas))
			}
		}
	}
	return most
}
