package stage

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/periplus-dev/periplus/pkg/workload"
)

// allThere refuses to go on without a unit that the stage began with: what is not there any more would not be missed by what follows.
func (p *moving) allThere(context.Context) (*Outcome, error) {
	have := map[string]bool{}
	for i := range p.world.Units {
		have[p.world.Units[i].Ref()] = true
	}
	for _, ref := range slices.Sorted(maps.Keys(p.state.Units)) {
		member, _, _ := strings.Cut(ref, "/")
		if p.skips(member) {
			continue
		}
		hidden := slices.ContainsFunc(p.world.Missing, func(m Missing) bool { return m.Member == member && !m.NotFound })
		if !have[ref] && !hidden {
			out := Fail(ReasonChanged, ref+": its workload was deleted, or is not the target's any more, or lost the unit, since the stage began")
			return &out, nil
		}
	}
	return nil, nil
}

// seeAllMembers waits until every member is seen, then checks the stage against what is there. Nothing was touched yet. Once it has passed, a
// member that goes away stops its own part only.
func (p *moving) seeAllMembers(context.Context) (*Outcome, error) {
	if p.state.Checked {
		return nil, nil
	}
	path := field.NewPath("spec")
	if p.Confirm != nil {
		if out := p.run.StarterHidden(p.Confirm, path.Child("confirm")); out != nil {
			return out, nil
		}
	}
	errs, gone, reason := p.wrong(path)
	if len(errs) > 0 {
		out := Fail(ReasonInvalid, mistakes(errs).Error())
		return &out, nil
	}
	if len(gone) > 0 {
		out := Wait(reason, strings.Join(gone, "; "))
		return &out, nil
	}
	p.state.Checked = true
	p.state.Units = map[string]bool{}
	for i := range p.world.Units {
		p.state.Units[p.world.Units[i].Ref()] = p.world.Units[i].Replicas > 0
	}
	return nil, nil
}

// wrong says all that is wrong with the stage in what can be seen, and which members cannot be seen, with the reason of a wait for them.
func (p *moving) wrong(path *field.Path) (errs field.ErrorList, gone []string, reason string) {
	for _, m := range p.world.Missing {
		if m.NotFound {
			errs = append(errs, field.Invalid(path.Child("target"), p.Rollout.Target, m.Message))
			continue
		}
		gone = append(gone, m.Message)
		if reason == "" || m.Reason == ReasonUnreachable {
			reason = m.Reason
		}
	}
	for i := range p.world.Units {
		u := &p.world.Units[i]
		if u.Deleting {
			errs = append(errs, field.Invalid(path.Child("target"), p.Rollout.Target, fmt.Sprintf("%s %s in member %s is being deleted", u.Kind, u.Workload, u.Member)))
		}
		_, more := workload.Apply(u.Template, p.Rollout.Change, u.Member, path.Child("change"))
		errs = append(errs, more...)
	}
	errs = append(errs, p.perMember(path)...)
	counted := true
	for _, o := range p.world.Objects() {
		if u := o.First(); u.Shared && !u.Observed {
			gone, counted = append(gone, unobserved(o)), false // how many pods its units are to have is not known before.
			reason = cmp.Or(reason, ReasonPreparing)
		}
	}
	if len(gone) == 0 || counted && len(p.world.Units) > 0 && !p.Joint {
		errs = append(errs, p.Check(p.planUnits(), path)...)
	}
	return unique(errs), gone, reason
}

// perMember refuses values for members that the stage does not act in.
func (p *moving) perMember(path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if p.Rollout.Change == nil {
		return nil
	}
	for m := range p.Rollout.Change.PerMember {
		found := false
		for _, have := range p.run.Admitted.Members {
			found = found || have == m
		}
		if !found {
			errs = append(errs, field.NotFound(path.Child("change", "perMember"), m))
		}
	}
	return errs
}

func unique(errs field.ErrorList) field.ErrorList {
	seen := map[string]bool{}
	var out field.ErrorList
	for _, e := range errs {
		if !seen[e.Error()] {
			seen[e.Error()] = true
			out = append(out, e)
		}
	}
	return out
}

// healthy fails the stage when a pod on the new revision will not get up by waiting.
func (p *moving) healthy(context.Context) (*Outcome, error) {
	for i := range p.world.Units {
		u := &p.world.Units[i]
		if f := u.Failing(); f != nil {
			out := Fail(ReasonPodsFailed, u.Ref()+": "+troubleOf(f))
			return &out, nil
		}
		if u.Stalled != "" {
			out := Fail(ReasonStalled, fmt.Sprintf("%s: %s %s: %s", u.Ref(), u.Kind, u.Workload, u.Stalled))
			return &out, nil
		}
	}
	return nil, nil
}
