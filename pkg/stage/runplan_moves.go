package stage

import (
	"context"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/plan"
	"github.com/periplus-dev/periplus/pkg/release"
	"github.com/periplus-dev/periplus/pkg/workload"
)

// moves plans a stage that moves pods, as if the stages before it had done their work.
func (p *planning) moves(ctx context.Context, run *Run, mover *Mover, s *v1alpha1.PlannedStage) error {
	world, skipped, err := p.seeBut(run, mover.OnUnreachable, s)
	if err != nil || world == nil {
		return err
	}
	at := &moving{Mover: mover, run: run, state: moverState{Skipped: skipped}}
	if len(at.members()) == 0 {
		p.wrong(s.Name, "spec.members", "no member is left to act in"+at.leftOut())
		return nil
	}
	world = world.Only(at.members())
	at.world = world
	path := field.NewPath("spec")
	observed := make([]workload.Unit, len(world.Units))
	for i := range world.Units {
		u := &world.Units[i]
		observed[i] = *u
		if g := p.ground[groundOf(u)]; g != nil && g.template != nil {
			u.Template = g.template
		}
		if !u.Observed && !p.last {
			p.wait(fmt.Sprintf("%s: the controller of %s %s is to observe it", u.Ref(), u.Kind, u.Workload))
		}
		if u.Paused {
			s.Notes = append(s.Notes, fmt.Sprintf("%s: %s %s is paused", u.Ref(), u.Kind, u.Workload))
		}
	}
	errs, gone, _ := at.wrong(path)
	// Workloads that are not there are told of already, with what else is wrong in their member.
	p.wrongs(s.Name, slices.DeleteFunc(errs, func(e *field.Error) bool {
		return slices.ContainsFunc(world.Missing, func(m Missing) bool { return m.NotFound && e.Detail == m.Message })
	}))
	if err := p.locks(ctx, run, world, mover.Rollout.OnLocked, s); err != nil {
		return err
	}
	if p.last {
		for _, o := range world.Objects() {
			if u := o.First(); u.Shared && !u.Observed { // how many pods its units are to have is not known, so nothing is planned below.
				p.wrong(s.Name, "spec.target", unobserved(o)+"; see whether that runs in the member")
			}
		}
	}
	if len(errs) > 0 || len(gone) > 0 {
		return nil
	}
	for i := range world.Units {
		if err := p.carry(ctx, run, mover, world, &observed[i], s); err != nil {
			return err
		}
	}
	s.Changes = folded(s.Changes)
	p.withinRoom(s.Changes, s)
	p.groups(mover.Steps(at.planUnits()), world, s)
	if m := run.Admitted.Target.MaxUnavailable; m != nil {
		s.Facts = append(s.Facts, fmt.Sprintf("at most %s of each unit unavailable, for any reason (Target %s)", m.String(), mover.Rollout.Target))
	}
	if mover.Bake > 0 {
		s.Bake = mover.Bake.String()
	}
	return nil
}

// locks says which other releases hold what the stage moves.
func (p *planning) locks(ctx context.Context, run *Run, world *World, onLocked v1alpha1.OnLocked, s *v1alpha1.PlannedStage) error {
	rel := run.Release
	if rel == nil {
		rel = &v1alpha1.Release{}
	}
	for i := range world.Units {
		u := &world.Units[i]
		if u.LockError != nil {
			p.wrong(s.Name, "spec.target", u.LockError.Error())
			continue
		}
		err := p.Locks.Check(ctx, rel, u)
		held, ok := release.IsHeld(err)
		switch {
		case ok && onLocked == v1alpha1.LockFail:
			p.wrong(s.Name, "spec.onLocked", held.Error())
		case ok && !slices.Contains(s.Notes, "now: "+held.Error()+"; it waits until that is over"):
			s.Notes = append(s.Notes, "now: "+held.Error()+"; it waits until that is over")
		case err != nil && !ok:
			return err
		}
	}
	return nil
}

// carry brings the stage's change to a unit as it was observed, or finds that a stage before it brought it.
func (p *planning) carry(ctx context.Context, run *Run, mover *Mover, world *World, u *workload.Unit, s *v1alpha1.PlannedStage) error {
	path, r := field.NewPath("spec", "change"), mover.Rollout
	key := groundOf(u)
	if g := p.ground[key]; g != nil {
		again, errs := workload.Apply(g.template, r.Change, u.Member, path)
		p.wrongs(s.Name, errs)
		if len(errs) == 0 && !equality.Semantic.DeepEqual(again, g.template) {
			p.wrong(s.Name, path.String(), fmt.Sprintf("%s: stage %s brings another template: a release carries one change; start another PipelineRun for another", u.Ref(), g.stage))
		}
		return nil
	}
	template, errs := workload.Apply(u.Template, r.Change, u.Member, path)
	if len(errs) > 0 {
		p.wrongs(s.Name, errs)
		return nil
	}
	g := &ground{stage: s.Name, template: template, replicas: u.Replicas, before: u.Revision}
	same := equality.Semantic.DeepEqual(template, u.Template)
	if t := run.Touched(u); t != nil && t.Revision != "" && t.Back == nil {
		switch {
		case u.Observed && u.UpdateRevision != t.Revision:
			p.wrong(s.Name, "spec.target", changedSince(workload.Object{Units: []*workload.Unit{u}}, t).Message)
		case !same:
			p.wrong(s.Name, path.String(), fmt.Sprintf("%s: the release carries revision %s, which is not what change asks for", u.Ref(), t.Revision))
		}
		g.before = t.Previous.Revision
	} else if r.Change == nil && u.Observed && u.UpdateRevision == u.Revision {
		p.wrong(s.Name, path.String(), fmt.Sprintf("%s: is empty, and no change is held back on %s %s", u.Ref(), u.Kind, u.Workload))
	}
	old, known, err := p.templateBefore(ctx, world, u)
	if err != nil {
		return err
	}
	switch {
	case same:
		g.updated = u.Count().Started
	case known && equality.Semantic.DeepEqual(template, old):
		g.updated = onRevision(u)
	}
	if !known {
		s.Notes = append(s.Notes, fmt.Sprintf("%s: revision %s, which pods are on, is not in the history of %s %s any more: what changes is told against the template as it is", u.Ref(), u.Revision, u.Kind, u.Workload))
	}
	p.ground[key] = g
	p.touched = append(p.touched, key)
	return p.change(ctx, world, u, old, template, mover.LeaveWaiting, s)
}

// onRevision counts pods on the revision that is not the update's.
func onRevision(u *workload.Unit) int32 {
	n := int32(0)
	for i := range u.Pods {
		if q := &u.Pods[i]; q.Revision == u.Revision && !q.Terminating {
			n++
		}
	}
	return n
}

// groups turns steps into groups, and has the ground as they leave it. What earlier ones brought about stays.
func (p *planning) groups(steps []plan.Step, world *World, s *v1alpha1.PlannedStage) {
	for _, step := range steps {
		group := v1alpha1.PlannedGroup{What: step.What}
		for _, w := range step.Wants {
			for i := range world.Units {
				u := &world.Units[i]
				if u.Member != w.Member || u.Name != w.Unit {
					continue
				}
				g := p.ground[groundOf(u)]
				if g == nil {
					continue
				}
				to := max(g.updated, min(w.Updated, u.Replicas))
				group.Units = append(group.Units, v1alpha1.PlannedUnit{Member: u.Member, Unit: u.Name, From: g.updated, To: to, Replicas: u.Replicas})
				g.updated = to
			}
		}
		s.Groups = append(s.Groups, group)
	}
}
