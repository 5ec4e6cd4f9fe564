package stage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/plan"
	"github.com/periplus-dev/periplus/pkg/release"
	"github.com/periplus-dev/periplus/pkg/workload"
)

// touch records what is about to be touched. What the entry says of the time before is what the lock says, which was written against the very
// state that it describes.
func (p *moving) touch(ctx context.Context) (*Outcome, error) {
	var entries []v1alpha1.Touched
	for _, o := range p.world.Objects() {
		u := o.First()
		if out := p.madeAnew(o); out != nil {
			return out, nil
		}
		if p.run.Touched(u) != nil {
			continue
		}
		entries = append(entries, v1alpha1.Touched{
			Member: u.Member, Kind: u.Kind, Workload: u.Workload, UID: u.UID, Unit: unitOf(u), Time: p.run.Stamp(), Previous: u.Lock.Previous,
			Target: p.Rollout.Target, MaxUnavailable: p.run.Admitted.Target.MaxUnavailable, OnEnd: p.run.Admitted.Target.OnEnd,
		})
	}
	if len(entries) == 0 {
		return nil, nil
	}
	return nil, p.run.record(ctx, func(st *v1alpha1.ReleaseStatus) bool { return release.Touch(st, entries) })
}

// unitOf is the unit that a workload stands for; empty where it can hold several.
func unitOf(u *workload.Unit) string {
	if u.Shared {
		return ""
	}
	return u.Name
}

// holdBack stops what the workload is in the middle of when the release takes it over: a template that came from somebody else goes no further before the Before
// guards were judged, and groups of the workload's own rest. Nothing is taken back.
func (p *moving) holdBack(ctx context.Context) (*Outcome, error) {
	kept := func(o workload.Object) map[string]intstr.IntOrString {
		if t := p.run.Touched(o.First()); t == nil || t.Revision != "" || !o.First().Observed {
			return nil
		}
		return o.Kept()
	}
	if !slices.ContainsFunc(p.world.Objects(), func(o workload.Object) bool { return len(kept(o)) > 0 }) {
		return nil, nil
	}
	if err := p.reread(ctx); err != nil {
		return nil, err
	}
	var wrote []string
	err := p.each(func(o workload.Object) error {
		partitions := kept(o)
		if len(partitions) == 0 {
			return nil
		}
		what := keeping(o, partitions)
		wrote = append(wrote, what)
		return p.run.write(ctx, p.world, o, workload.Write{What: "holding back " + what, Partitions: partitions})
	})
	if err != nil || len(wrote) == 0 {
		return nil, err
	}
	out := Wait(ReasonPreparing, "holds back what was not at rest: "+strings.Join(wrote, ", "))
	return &out, nil
}

// keeping says at how many updated pods units are kept.
func keeping(o workload.Object, partitions map[string]intstr.IntOrString) string {
	var parts []string
	for _, u := range o.Units {
		if _, ok := partitions[u.Name]; ok {
			keep, _ := plan.Halt(u.PlanState())
			parts = append(parts, fmt.Sprintf("%s at %d updated pods", u.Ref(), keep))
		}
	}
	return strings.Join(parts, ", ")
}

// reread reads the record from the API server: the cache may not know yet that the release brought a revision, and what depends on that it did not is not
// undone by a conflict.
func (p *moving) reread(ctx context.Context) error {
	if err := p.run.recall(ctx); err != nil {
		return err
	}
	if p.run.Release == nil {
		return fmt.Errorf("the record of release %s is gone: somebody deleted it", p.run.Status.Release)
	}
	return nil
}

// change writes the new template, with every pod held back, where the release has not brought its revision yet.
func (p *moving) change(ctx context.Context) (*Outcome, error) {
	type writing struct {
		o        workload.Object
		template *corev1.PodTemplateSpec
	}
	var todo []writing
	for _, o := range p.world.Objects() {
		u := o.First()
		template, errs := workload.Apply(u.Template, p.Rollout.Change, u.Member, field.NewPath("spec", "change"))
		if len(errs) > 0 {
			out := Fail(ReasonInvalid, mistakes(errs).Error())
			return &out, nil
		}
		same := equality.Semantic.DeepEqual(template, u.Template)
		t := p.run.Touched(u)
		if t == nil {
			return nil, fmt.Errorf("%s is not in the record of release %s", o.Ref(), p.run.Release.Name)
		}
		if t.Back != nil {
			if !p.run.joinedAfter(t.Back.Time) {
				out := Fail(ReasonReleaseOver, fmt.Sprintf("%s was taken back; a retry of the run carries it on again", o.Ref()))
				return &out, nil
			}
			if u.Observed && u.UpdateRevision == t.Previous.Revision && !same {
				todo = append(todo, writing{o, template})
				continue
			}
		}
		if t.Revision != "" {
			if !same && u.Observed && u.UpdateRevision == t.Revision {
				out := Fail(ReasonChanged, fmt.Sprintf("%s: the release carries revision %s, which is not what change asks for: a release carries one change; start another PipelineRun for another", o.Ref(), t.Revision))
				return &out, nil
			}
			continue
		}
		if !same {
			todo = append(todo, writing{o, template})
		}
	}
	if len(todo) == 0 {
		return nil, nil
	}
	for _, w := range todo {
		if out := p.unfit(w.o, w.template); out != nil {
			return out, nil
		}
	}
	// Somebody else may have brought another template since: it is not written over.
	if err := p.reread(ctx); err != nil {
		return nil, err
	}
	var errs []error
	for _, w := range todo {
		if t := p.run.Touched(w.o.First()); t == nil || (t.Revision != "" && t.Back == nil) {
			continue
		}
		if err := p.run.write(ctx, p.world, w.o, workload.Write{What: "writing the new template, held back", Template: w.template, Partitions: w.o.Held()}); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	out := Wait(ReasonPreparing, "wrote the new template, held back on every pod").WakeAt(p.run.Now.Add(time.Second))
	return &out, nil
}

// unfit refuses, before it is written, a template that running pods of a SidecarSet cannot get. Other workloads rebuild their pods then, or say themselves that they do not.
func (p *moving) unfit(o workload.Object, template *corev1.PodTemplateSpec) *Outcome {
	u := o.First()
	if u.Kind != workload.KindSidecarSet {
		return nil
	}
	change, err := workload.Compare(u.Kind, u.Template, template)
	if err != nil {
		out := Fail(ReasonInvalid, fmt.Sprintf("spec.change: %s: %v", o.Ref(), err))
		return &out
	}
	if change.Fits() || p.LeaveWaiting {
		return nil
	}
	out := Fail(ReasonNotInPlace, fmt.Sprintf("%s: running pods cannot get the change, as it differs in %s; nothing was moved. A SidecarUpgrade with onWaitingForCreation: Leave holds it ready for pods as they are created",
		o.Ref(), strings.Join(change.Misfits, ", ")))
	return &out
}

// fits holds the stage to what running pods can get: some may be of a revision from which nothing leads to this one.
func (p *moving) fits(context.Context) (*Outcome, error) {
	if p.LeaveWaiting || p.state.FirstMoved != nil {
		return nil, nil
	}
	for i := range p.world.Units {
		if u := &p.world.Units[i]; u.Waiting > 0 {
			out := Fail(ReasonNotInPlace, fmt.Sprintf("%s: %d pods get revision %s only when they are created anew: %s; nothing was moved. Have them made anew before, or leave them by a SidecarUpgrade with onWaitingForCreation: Leave",
				u.Ref(), u.Waiting, u.UpdateRevision, u.WaitingFor))
			return &out, nil
		}
	}
	return nil, nil
}

// revision records which revision the release brings to each unit, and from then on refuses any other.
func (p *moving) revision(ctx context.Context) (*Outcome, error) {
	var fresh []workload.Object
	for _, o := range p.world.Objects() {
		u := o.First()
		if !u.Observed {
			out := Wait(ReasonPreparing, fmt.Sprintf("%s: the controller of %s %s is to observe it", o.Ref(), u.Kind, u.Workload))
			return &out, nil
		}
		switch t := p.run.Touched(u); {
		case t.Revision == "":
			if p.Rollout.Change == nil && u.UpdateRevision == u.Revision {
				out := Fail(ReasonNothing, fmt.Sprintf("%s: spec.change is empty and no change is held back on %s %s", o.Ref(), u.Kind, u.Workload))
				return &out, nil
			}
			fresh = append(fresh, o)
		case t.Revision != u.UpdateRevision:
			return changedSince(o, t), nil
		case t.Back != nil:
			fresh = append(fresh, o) // it carries the release's revision again.
		}
	}
	if len(fresh) == 0 {
		return nil, nil
	}
	err := p.run.record(ctx, func(st *v1alpha1.ReleaseStatus) bool {
		changed := false
		for _, o := range fresh {
			u := o.First()
			changed = release.SetRevision(st, u.Member, u.Kind, u.Workload, u.UpdateRevision) || changed
			changed = release.GoneAhead(st, u.Member, u.Kind, u.Workload) || changed
			changed = release.AddMoves(st, p.move(u, "template "+u.UpdateRevision)) || changed
		}
		return changed
	})
	if err != nil {
		return nil, err
	}
	for _, o := range fresh {
		u := o.First()
		// The record that was read may have been older than the one that was written.
		if t := p.run.Touched(u); t.Revision != u.UpdateRevision {
			return changedSince(o, t), nil
		}
	}
	return nil, nil
}

func changedSince(o workload.Object, t *v1alpha1.Touched) *Outcome {
	u := o.First()
	out := Fail(ReasonChanged, fmt.Sprintf("%s: the template of %s %s was changed by somebody else since: it is revision %s, the release carries %s",
		o.Ref(), u.Kind, u.Workload, u.UpdateRevision, t.Revision))
	return &out
}

// each does something to every workload, whatever becomes of the others: trouble in one member stops its own part only.
func (p *moving) each(do func(o workload.Object) error) error {
	var errs []error
	for _, o := range p.world.Objects() {
		if err := do(o); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (p *moving) move(u *workload.Unit, what string) v1alpha1.Move {
	return v1alpha1.Move{Member: u.Member, Workload: u.Workload, Run: p.run.Task, What: shorten(what, 253), Time: p.run.Stamp()}
}

// advance lowers partitions towards the step's wish, as far as the limits let it.
func (p *moving) advance(ctx context.Context) (*Outcome, error) {
	if p.state.Step >= len(p.steps) {
		return nil, nil
	}
	if p.state.Moved == nil {
		at := p.run.Stamp()
		p.state.Moved = &at
		p.run.Status.Best = nil // what was available before the move is no progress of it.
		if p.state.FirstMoved == nil {
			p.state.FirstMoved = &at
		}
	}
	wrote := []string{}
	err := p.each(func(o workload.Object) error {
		partitions, parts := map[string]intstr.IntOrString{}, []string{}
		for _, u := range o.Units {
			limit, err := p.limit(u)
			if err != nil {
				return err
			}
			next, move := plan.Advance(u.PlanState(), p.want(u), limit)
			switch {
			case p.closesTo(u):
				if plan.SidecarsHeld(u.Partition) {
					continue
				}
				partitions[u.Name] = plan.Held()
				parts = append(parts, u.Ref()+" not for new pods")
			case move:
				partitions[u.Name] = plan.PartitionFor(next, u.Replicas)
				parts = append(parts, fmt.Sprintf("%s to %d", u.Ref(), next))
			case p.opensTo(u):
				partitions[u.Name] = intstr.FromInt32(0)
				parts = append(parts, u.Ref()+" for new pods")
			}
		}
		if len(partitions) == 0 {
			return nil
		}
		if err := p.run.write(ctx, p.world, o, workload.Write{What: "letting pods update: " + strings.Join(parts, ", "), Partitions: partitions}); err != nil {
			return err
		}
		wrote = append(wrote, parts...)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(wrote) > 0 {
		out := Wait(ReasonUpdatingPods, "lets pods update: "+strings.Join(wrote, ", "))
		return &out, nil
	}
	return nil, nil
}

// limit is how many pods of a unit may be unavailable: the smallest of what the stage and its target say; negative where neither says anything.
func (p *moving) limit(u *workload.Unit) (int32, error) {
	limit := int32(-1)
	for _, l := range []struct {
		says string
		most *intstr.IntOrString
	}{{"Target " + p.Rollout.Target, p.run.Admitted.Target.MaxUnavailable}, {"the stage", p.MaxUnavailable}} {
		if l.most == nil {
			continue
		}
		n, err := plan.MaxUnavailable(l.most, u.Replicas)
		if err != nil {
			return 0, fmt.Errorf("maxUnavailable of %s: %w", l.says, err)
		}
		if limit < 0 || n < limit {
			limit = n
		}
	}
	return limit, nil
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
		case u.Replicas == 0 && u.Waiting == 0 && p.state.Units[u.Ref()]:
			open = append(open, u.Ref()+": was scaled to none since the stage began; waits until it has pods again")
		case u.Paused && c.UpdatedAvailable < want:
			open = append(open, fmt.Sprintf("%s: %s %s is paused", u.Ref(), u.Kind, u.Workload))
		case c.UpdatedAvailable < want:
			open = append(open, fmt.Sprintf("%s: %d of %d pods updated, %d available", u.Ref(), c.Updated, want, c.UpdatedAvailable))
		}
		if u.Waiting > 0 && !p.LeaveWaiting { // since the first move: fits has looked before. They are not done because nobody counts them.
			open = append(open, fmt.Sprintf("%s: %d pods get revision %s only when they are created anew: %s", u.Ref(), u.Waiting, u.UpdateRevision, u.WaitingFor))
		}
		for j := range u.Pods {
			p.wake(u.Pods[j].LookAgainAt)
		}
	}
	if len(open) == 0 {
		open = p.unproven()
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
		if p.state.Settled == nil {
			p.state.Settled = &at
		}
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
			if w := p.want(u); w > p.state.Done[u.Ref()] { // what earlier steps brought about was entered then.
				what := fmt.Sprintf("%d of %d updated (step %d of %d)", w, u.Replicas, p.state.Step+1, len(p.steps))
				if u.Shared {
					what = u.Name + ": " + what
				}
				changed = release.AddMoves(st, p.move(u, what)) || changed
			}
		}
		return changed
	})
}
