package stage

import (
	"context"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/plan"
	"github.com/periplus-dev/periplus/pkg/release"
	"github.com/periplus-dev/periplus/pkg/workload"
)

// touch records what is about to be touched. What the entry says of the time before is what the lock says, which was written against the very
// state that it describes.
func (p *moving) touch(ctx context.Context) (*Outcome, error) {
	var entries []v1alpha1.Touched
	for i := range p.world.Units {
		u := &p.world.Units[i]
		t := p.run.Touched(u)
		if t != nil {
			if t.UID != u.UID {
				out := Fail(ReasonChanged, fmt.Sprintf("%s: %s %s was deleted and made anew since this release touched it", u.Ref(), u.Kind, u.Workload))
				return &out, nil
			}
			continue
		}
		entries = append(entries, v1alpha1.Touched{
			Member: u.Member, Kind: u.Kind, Workload: u.Workload, UID: u.UID, Unit: u.Name, Time: p.run.Stamp(), Previous: u.Lock.Previous,
		})
	}
	if len(entries) == 0 {
		return nil, nil
	}
	return nil, p.run.record(ctx, func(st *v1alpha1.ReleaseStatus) bool { return release.Touch(st, entries) })
}

// change writes the new template, with every pod held back, where the release has not brought its revision yet.
func (p *moving) change(ctx context.Context) (*Outcome, error) {
	wrote := false
	for i := range p.world.Units {
		u := &p.world.Units[i]
		template, errs := workload.Apply(u.Template, p.Rollout.Change, u.Member, field.NewPath("spec", "change"))
		if len(errs) > 0 {
			out := Fail(ReasonInvalid, mistakes(errs).Error())
			return &out, nil
		}
		same := equality.Semantic.DeepEqual(template, u.Template)
		t := p.run.Touched(u)
		if t == nil {
			return nil, fmt.Errorf("%s is not in the record of release %s", u.Ref(), p.run.Release.Name)
		}
		if t.Revision != "" {
			if !same && u.Observed && u.UpdateRevision == t.Revision {
				out := Fail(ReasonChanged, fmt.Sprintf("%s: the release carries revision %s, which is not what change asks for: a release carries one change; start another PipelineRun for another", u.Ref(), t.Revision))
				return &out, nil
			}
			continue
		}
		if same {
			continue
		}
		if err := p.run.write(ctx, p.world, u, workload.Write{What: "writing the new template, held back", Template: template, Partition: ptr.To(plan.Held())}); err != nil {
			return nil, err
		}
		wrote = true
	}
	if wrote {
		out := Wait(ReasonPreparing, "wrote the new template, held back on every pod")
		return &out, nil
	}
	return nil, nil
}

// revision records which revision the release brings to each unit, and from then on refuses any other.
func (p *moving) revision(ctx context.Context) (*Outcome, error) {
	var fresh []*workload.Unit
	for i := range p.world.Units {
		u := &p.world.Units[i]
		if !u.Observed {
			out := Wait(ReasonPreparing, fmt.Sprintf("%s: the controller of %s %s is to observe it", u.Ref(), u.Kind, u.Workload))
			return &out, nil
		}
		switch t := p.run.Touched(u); {
		case t.Revision == "":
			if p.Rollout.Change == nil && u.UpdateRevision == u.Revision {
				out := Fail(ReasonNothing, fmt.Sprintf("%s: spec.change is empty and no change is held back on %s %s", u.Ref(), u.Kind, u.Workload))
				return &out, nil
			}
			fresh = append(fresh, u)
		case t.Revision != u.UpdateRevision:
			out := Fail(ReasonChanged, fmt.Sprintf("%s: the template of %s %s was changed by somebody else since: it is revision %s, the release carries %s",
				u.Ref(), u.Kind, u.Workload, u.UpdateRevision, t.Revision))
			return &out, nil
		}
	}
	if len(fresh) == 0 {
		return nil, nil
	}
	return nil, p.run.record(ctx, func(st *v1alpha1.ReleaseStatus) bool {
		changed := false
		for _, u := range fresh {
			changed = release.SetRevision(st, u.Member, u.Kind, u.Workload, u.UpdateRevision) || changed
			changed = release.AddMoves(st, p.move(u, "template "+u.UpdateRevision)) || changed
		}
		return changed
	})
}

func (p *moving) move(u *workload.Unit, what string) v1alpha1.Move {
	return v1alpha1.Move{Member: u.Member, Workload: u.Workload, Run: p.run.Task, What: cutTo(what, 253), Time: p.run.Stamp()}
}

// advance lowers partitions towards the step's wish, as far as the limits let it.
func (p *moving) advance(ctx context.Context) (*Outcome, error) {
	if p.state.Step >= len(p.steps) {
		return nil, nil
	}
	if p.state.Moved == nil {
		at := p.run.Stamp()
		p.state.Moved = &at
		p.state.Best, p.state.BestAt = 0, nil // what was available before the move is no progress of it.
		if p.state.FirstMoved == nil {
			p.state.FirstMoved = &at
		}
	}
	wrote := []string{}
	for i := range p.world.Units {
		u := &p.world.Units[i]
		limit := int32(-1)
		if m := p.run.Admitted.Target.MaxUnavailable; m != nil {
			n, err := plan.MaxUnavailable(m, u.Replicas)
			if err != nil {
				return nil, err
			}
			limit = n
		}
		next, move := plan.Advance(u.PlanState(), p.want(u), limit)
		if !move {
			continue
		}
		partition := plan.PartitionFor(next, u.Replicas)
		if err := p.run.write(ctx, p.world, u, workload.Write{What: fmt.Sprintf("letting %d pods update", next), Partition: &partition}); err != nil {
			return nil, err
		}
		wrote = append(wrote, fmt.Sprintf("%s to %d", u.Ref(), next))
	}
	if len(wrote) > 0 {
		out := Wait(ReasonUpdatingPods, "lets pods update: "+strings.Join(wrote, ", "))
		return &out, nil
	}
	return nil, nil
}

// settle waits until the step's pods are available, and have been for the bake time without a break.
func (p *moving) settle(ctx context.Context) (*Outcome, error) {
	p.describeStep()
	step := p.run.Status.Step
	var open []string
	for _, m := range p.world.Missing {
		open = append(open, m.Message)
	}
	for i := range p.world.Units {
		u := &p.world.Units[i]
		want, c := p.want(u), u.Count()
		switch {
		case u.Replicas == 0 && p.state.Units[u.Ref()]:
			open = append(open, u.Ref()+": was scaled to none since the stage began; waits until it has pods again")
		case u.Paused && c.UpdatedAvailable < want:
			open = append(open, fmt.Sprintf("%s: %s %s is paused", u.Ref(), u.Kind, u.Workload))
		case c.UpdatedAvailable < want:
			open = append(open, fmt.Sprintf("%s: %d of %d pods updated, %d available", u.Ref(), c.Updated, want, c.UpdatedAvailable))
		}
		for j := range u.Pods {
			p.wake(u.Pods[j].AvailableAt)
		}
	}
	if len(open) > 0 {
		if step != nil {
			step.SettledSince = nil
		}
		reason := ReasonUpdatingPods
		if len(p.world.Missing) > 0 {
			reason = p.world.Missing[0].Reason
		}
		out := Wait(reason, strings.Join(open, "; "))
		return &out, nil
	}
	p.settled = true
	if step == nil {
		return nil, nil
	}
	if step.SettledSince == nil {
		at := p.run.Stamp()
		step.SettledSince = &at
		if err := p.recordStep(ctx); err != nil {
			return nil, err
		}
	}
	if until := step.SettledSince.Add(p.Bake); p.Bake > 0 && p.run.Now.Before(until) {
		// Guards that need time to pass use the bake time for it; what they say counts once it is over, a failure at once.
		sum, wake := p.run.Judge(v1alpha1.After, p.judging())
		if out := GuardOutcome(sum, p.Rollout.OnGuardFailure, wake); out != nil && len(sum.Failed) > 0 {
			return out, nil
		}
		out := Wait(ReasonBaking, fmt.Sprintf("%s; bakes for %s", step.What, p.Bake)).LimitedBy(until).WakeAt(wake)
		return &out, nil
	}
	return nil, nil
}

func (p *moving) recordStep(ctx context.Context) error {
	return p.run.record(ctx, func(st *v1alpha1.ReleaseStatus) bool {
		changed := false
		for i := range p.world.Units {
			u := &p.world.Units[i]
			if w := p.want(u); w > 0 {
				changed = release.AddMoves(st, p.move(u, fmt.Sprintf("%d of %d updated (step %d of %d)", w, u.Replicas, p.state.Step+1, len(p.steps)))) || changed
			}
		}
		return changed
	})
}
