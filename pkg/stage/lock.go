package stage

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/release"
	"github.com/periplus-dev/periplus/pkg/workload"
)

// lock takes the lock of every workload, all or nothing, in the order of member and name. Where another release holds one, locks that this release has
// taken and not yet used are let go of, so that two releases never wait for each other.
func (p *moving) lock(ctx context.Context) (*Outcome, error) {
	// Over is a word that a cache may have from before a retry opened the record again.
	if p.run.Release == nil || !p.allLocked() || release.Over(p.run.Release) {
		if err := p.run.OpenRelease(ctx); err != nil {
			return nil, err
		}
	}
	if release.GoingBack(p.run.Release) != nil {
		return goingBackOutcome(p.run.Release), nil // the record was opened just now, and says what no cache did.
	}
	if release.Over(p.run.Release) {
		out := Fail(ReasonReleaseOver, fmt.Sprintf("release %s is over: %s", p.run.Release.Name, p.run.Release.Status.Message))
		return &out, nil
	}
	locks := p.run.frame.Locks
	objects := p.inOrder()
	for _, o := range objects {
		if out := p.madeAnew(o); out != nil {
			return out, nil // before it is locked: nobody would let go of it.
		}
		err := locks.Check(ctx, p.run.Release, o.First())
		if held, ok := release.IsHeld(err); ok {
			return p.locked(ctx, held)
		}
		if err != nil {
			return nil, err
		}
	}
	for _, o := range objects {
		u := o.First()
		if locks.Mine(p.run.Release, u.Lock) {
			continue
		}
		if !u.Observed {
			out := Wait(ReasonPreparing, unobserved(o))
			return &out, nil
		}
		// In order, and no further than the first in trouble: two releases that go for the same workloads meet at the first of them.
		lock := locks.For(p.run.Release, o, p.run.Stamp())
		if t := p.run.Touched(u); t != nil {
			lock.Previous = t.Previous // the release has moved it before, and let go.
		}
		if err := p.run.write(ctx, p.world, o, workload.Write{What: "taking the lock", Lock: lock}); err != nil {
			return nil, err
		}
	}
	if !p.allLocked() {
		out := Wait(ReasonPreparing, "taking the locks of its workloads")
		return &out, nil
	}
	return nil, nil
}

// madeAnew refuses a workload that is another by the name of the one that the release touched.
func (p *moving) madeAnew(o workload.Object) *Outcome {
	u := o.First()
	if t := p.run.Touched(u); t == nil || t.UID == u.UID {
		return nil
	}
	out := Fail(ReasonChanged, fmt.Sprintf("%s: %s %s was deleted and made anew since this release touched it", o.Ref(), u.Kind, u.Workload))
	return &out
}

// inOrder are the workloads by member and name, in whatever order the stage names its members.
func (p *moving) inOrder() []workload.Object {
	place := func(o workload.Object) string { return o.First().Member + "/" + o.First().Workload }
	objects := p.world.Objects()
	slices.SortStableFunc(objects, func(x, y workload.Object) int { return strings.Compare(place(x), place(y)) })
	return objects
}

func (p *moving) allLocked() bool {
	for i := range p.world.Units {
		if !p.run.frame.Locks.Mine(p.run.Release, p.world.Units[i].Lock) {
			return false
		}
	}
	return true
}

func (p *moving) locked(ctx context.Context, held *release.HeldError) (*Outcome, error) {
	err := p.each(func(o workload.Object) error {
		if !p.run.frame.Locks.Mine(p.run.Release, o.First().Lock) || p.run.Touched(o.First()) != nil {
			return nil
		}
		return p.run.write(ctx, p.world, o, workload.Write{What: "letting go of the lock", Unlock: true})
	})
	if err != nil {
		return nil, err
	}
	if p.Rollout.OnLocked == v1alpha1.LockFail {
		out := Fail(ReasonLocked, held.Error())
		return &out, nil
	}
	out := Wait(ReasonLocked, held.Error()+"; waits until it is over").WakeAt(p.run.LockRecheck())
	return &out, nil
}
