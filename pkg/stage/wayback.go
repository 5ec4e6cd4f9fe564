package stage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/plan"
	"github.com/periplus-dev/periplus/pkg/release"
	"github.com/periplus-dev/periplus/pkg/workload"
)

// observeTouched looks at workloads that were touched.
func (r *Run) observeTouched(entries []v1alpha1.Touched) (*World, error) {
	var members []string
	refs := map[string][]v1alpha1.WorkloadRef{}
	for _, t := range entries {
		if !slices.Contains(members, t.Member) {
			members = append(members, t.Member)
		}
		refs[t.Member] = append(refs[t.Member], v1alpha1.WorkloadRef{APIVersion: "apps.periplus.dev/v1alpha1", Kind: t.Kind, Name: t.Workload})
	}
	w, err := r.observe(members, refs)
	if err != nil {
		return nil, err
	}
	r.show(w, members)
	return w, nil
}

func (p *goingBack) look(context.Context) (*Outcome, error) {
	var err error
	if p.world, err = p.run.observeTouched(p.entries); err != nil {
		return nil, err
	}
	p.objects = map[touchKey]workload.Object{}
	for _, o := range p.world.Objects() {
		p.objects[keyOfUnit(o.First())] = o
	}
	p.run.Progress(p.world, membersOf(p.world), func(u *workload.Unit) int32 { return u.Replicas })
	for _, m := range p.world.Missing {
		switch {
		case m.Reason == ReasonConnecting:
			p.open, p.wait = append(p.open, m.Message), ReasonConnecting
		case m.Unreachable:
			p.gone = append(p.gone, m.Message)
		}
	}
	for i := range p.entries {
		t := &p.entries[i]
		o, there := p.object(t)
		if !there {
			if !slices.ContainsFunc(p.world.Missing, func(m Missing) bool { return m.Member == t.Member && !m.NotFound }) {
				p.left[keyOfEntry(t)] = fmt.Sprintf("%s %s is not there any more", t.Kind, t.Workload)
			}
			continue
		}
		switch u := o.First(); {
		case u.UID != t.UID:
			p.left[keyOfUnit(u)] = fmt.Sprintf("%s %s was deleted and made anew since: it is left as it is", u.Kind, u.Workload)
		case t.Previous.Revision == "":
			p.left[keyOfUnit(u)] = fmt.Sprintf("it is not known which revision %s %s was on", u.Kind, u.Workload)
		case u.Observed && t.Revision != "" && u.UpdateRevision != t.Revision && u.UpdateRevision != t.Previous.Revision:
			p.left[keyOfUnit(u)] = fmt.Sprintf("%s %s was changed by somebody else since, to revision %s: it is left as it is", u.Kind, u.Workload, u.UpdateRevision)
		}
	}
	return nil, nil
}

// object is the workload that an entry tells of, where it is seen.
func (p *goingBack) object(t *v1alpha1.Touched) (workload.Object, bool) {
	o, ok := p.objects[keyOfEntry(t)]
	return o, ok
}

// each does something to every workload that goes back, newest first, whatever becomes of the others.
func (p *goingBack) each(do func(t *v1alpha1.Touched, o workload.Object) error) error {
	var errs []error
	for i := range p.entries {
		t := &p.entries[i]
		o, there := p.object(t)
		if !there || p.left[keyOfEntry(t)] != "" {
			continue
		}
		if err := do(t, o); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// asItWas says whether a workload is as the release found it, with another change held back: the release was about to carry that and moved nothing, so nothing of it is
// taken back. Of a record that was read from locks it is not known what was moved.
func (p *goingBack) asItWas(t *v1alpha1.Touched, u *workload.Unit) bool {
	return p.Spec.FromMembers == nil && t.Revision == "" && t.Previous.UpdateRevision != "" && u.Observed && u.UpdateRevision == t.Previous.UpdateRevision
}

func (p *goingBack) members() []string { return membersOf(p.world) }

func (p *goingBack) still(ctx context.Context) (*Outcome, error) {
	stop, err := p.run.StandStill(p.members())
	if err != nil || stop == nil {
		return nil, err
	}
	if _, _, err := p.run.haltIn(ctx, p.world); err != nil {
		return nil, err
	}
	stop.Message += "; the way back stands still"
	return stop, nil
}

func (p *goingBack) judging() Judging {
	j := Judging{World: p.world, Members: p.members(), Step: 1, Want: func(u *workload.Unit) int32 { return u.Replicas }}
	if p.state.Moved != nil {
		j.FirstMoved = p.state.Moved.Time
	}
	if p.state.Settled != nil {
		j.Moved = p.state.Settled.Time
	}
	return j
}

func (p *goingBack) clear(context.Context) (*Outcome, error) {
	if p.state.Cleared {
		return nil, nil
	}
	sum, wake := p.run.Judge(v1alpha1.Before, p.judging())
	if out := GuardOutcome(sum, p.Spec.OnGuardFailure, wake); out != nil {
		return out, nil
	}
	p.state.Cleared = true
	return nil, nil
}

// lock takes the locks that the release has let go of, each by itself: what is free goes back, whatever holds the others.
func (p *goingBack) lock(ctx context.Context) (*Outcome, error) {
	locks := p.run.frame.Locks
	return nil, p.each(func(t *v1alpha1.Touched, o workload.Object) error {
		u := o.First()
		if p.asItWas(t, u) {
			return nil
		}
		if locks.Mine(p.run.Release, u.Lock) {
			return nil
		}
		err := locks.Check(ctx, p.run.Release, u)
		if held, ok := release.IsHeld(err); ok && !p.lost(u.Lock) {
			p.left[keyOfUnit(u)] = held.Error()
			return nil
		}
		if err != nil && !p.lost(u.Lock) {
			return err
		}
		lock := locks.For(p.run.Release, o, p.run.Stamp())
		lock.Previous = t.Previous
		p.open, p.wait = append(p.open, o.Ref()+": taking the lock"), ReasonPreparing
		return p.run.write(ctx, p.world, o, workload.Write{What: "taking the lock", Lock: lock})
	})
}

// template writes that of the revision before, with every pod held where it is.
func (p *goingBack) template(ctx context.Context) (*Outcome, error) {
	return nil, p.each(func(t *v1alpha1.Touched, o workload.Object) error {
		u := o.First()
		if p.asItWas(t, u) {
			return nil
		}
		switch {
		case !p.run.frame.Locks.Mine(p.run.Release, u.Lock):
			return nil
		case !u.Observed:
			p.open = append(p.open, fmt.Sprintf("%s: the controller of %s %s is to observe it", o.Ref(), u.Kind, u.Workload))
			return nil
		case u.UpdateRevision == t.Previous.Revision:
			return nil
		}
		template, err := p.world.kinds[u.Kind].Template(ctx, p.world.sessions[u.Member], u, t.Previous.Revision)
		if errors.Is(err, workload.ErrNotFound) {
			p.left[keyOfUnit(u)] = err.Error()
			return nil
		}
		if err != nil {
			return err
		}
		p.begun()
		p.open = append(p.open, o.Ref()+": wrote the template of revision "+t.Previous.Revision)
		return p.run.write(ctx, p.world, o, workload.Write{What: "writing the template of revision " + t.Previous.Revision + ", held back", Template: template, Partitions: o.Held()})
	})
}

func (p *goingBack) begun() {
	if p.state.Moved == nil {
		at := p.run.Stamp()
		p.state.Moved = &at
	}
}

func (p *goingBack) during(context.Context) (*Outcome, error) {
	if p.state.Moved == nil {
		return nil, nil
	}
	sum, wake := p.run.Judge(v1alpha1.During, p.judging())
	p.run.wakeAt = earlier(p.run.wakeAt, wake)
	if out := GuardOutcome(sum, p.Spec.OnGuardFailure, wake); out != nil && Stops(sum) && len(sum.Failed) > 0 {
		return out, nil
	}
	return nil, nil
}

// there says whether a workload's template is that of the revision before, as its controller has seen it.
func (p *goingBack) there(t *v1alpha1.Touched, u *workload.Unit) bool {
	return u.Observed && u.UpdateRevision == t.Previous.Revision && p.run.frame.Locks.Mine(p.run.Release, u.Lock)
}

func (p *goingBack) advance(ctx context.Context) (*Outcome, error) {
	return nil, p.each(func(t *v1alpha1.Touched, o workload.Object) error {
		u := o.First()
		if p.asItWas(t, u) {
			return nil
		}
		if !p.there(t, u) {
			return nil
		}
		partitions, lets := map[string]intstr.IntOrString{}, []string{}
		for _, u := range o.Units {
			limit := int32(-1)
			if t.MaxUnavailable != nil {
				n, err := plan.MaxUnavailable(t.MaxUnavailable, u.Replicas)
				if err != nil {
					return fmt.Errorf("maxUnavailable that %s was touched under: %w", u.Ref(), err)
				}
				limit = n
			}
			if next, move := plan.Advance(u.PlanState(), u.Replicas, limit); move {
				partitions[u.Name] = plan.PartitionFor(next, u.Replicas)
				lets = append(lets, fmt.Sprintf("%s: lets %d of %d pods be on revision %s", u.Ref(), next, u.Replicas, t.Previous.Revision))
			}
		}
		if len(partitions) == 0 {
			return nil
		}
		p.begun()
		p.open = append(p.open, lets...)
		return p.run.write(ctx, p.world, o, workload.Write{What: strings.Join(lets, "; "), Partitions: partitions})
	})
}

// settle waits until every pod of what can go back is on the revision before and available.
func (p *goingBack) settle(context.Context) (*Outcome, error) {
	err := p.each(func(t *v1alpha1.Touched, o workload.Object) error {
		u := o.First()
		if p.asItWas(t, u) {
			return nil
		}
		for _, u := range o.Units {
			p.unsettled(t, u)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(p.open) > 0 {
		reason := ReasonUpdatingPods
		if p.wait != "" {
			reason = p.wait
		}
		out := Wait(reason, shorten(strings.Join(p.open, "; "), 900))
		return &out, nil
	}
	if out := p.missing(); out != nil {
		return out, nil
	}
	if p.state.Settled == nil {
		at := p.run.Stamp()
		p.state.Settled = &at
	}
	return nil, nil
}

// unsettled notes what a unit is waited for, where it is.
func (p *goingBack) unsettled(t *v1alpha1.Touched, u *workload.Unit) {
	c := u.Count()
	for i := range u.Pods {
		p.run.wakeAt = earlier(p.run.wakeAt, u.Pods[i].LookAgainAt)
	}
	if !p.there(t, u) || c.UpdatedAvailable >= u.Replicas {
		return
	}
	what := fmt.Sprintf("%s: %d of %d pods back, %d available", u.Ref(), c.Updated, u.Replicas, c.UpdatedAvailable)
	if f := u.Failing(); f != nil {
		what += "; " + troubleOf(f)
	}
	p.open = append(p.open, what)
}

// missing waits for members that do not answer, once all else is back: for as long as they take, or for a moment before they are left behind.
func (p *goingBack) missing() *Outcome {
	if len(p.gone) == 0 {
		p.state.Gone = nil
		return nil
	}
	out := Wait(ReasonUnreachable, "the others are back; "+strings.Join(p.gone, "; "))
	if p.Spec.OnUnreachable == v1alpha1.UnreachableWait {
		return &out
	}
	if p.state.Gone == nil {
		at := p.run.Stamp()
		p.state.Gone = &at
	}
	until := p.state.Gone.Add(goneGrace)
	if !p.run.Now.Before(until) {
		return nil
	}
	out = out.LimitedBy(until)
	return &out
}

func (p *goingBack) after(context.Context) (*Outcome, error) {
	p.begun()
	for _, when := range []v1alpha1.GuardWhen{v1alpha1.During, v1alpha1.After} {
		sum, wake := p.run.Judge(when, p.judging())
		if out := GuardOutcome(sum, p.Spec.OnGuardFailure, wake); out != nil {
			return out, nil
		}
	}
	return nil, nil
}
