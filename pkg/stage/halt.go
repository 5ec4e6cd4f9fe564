package stage

import (
	"context"
	"errors"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/fleet"
	"github.com/periplus-dev/periplus/pkg/plan"
	"github.com/periplus-dev/periplus/pkg/workload"
)

// errNotSeenYet means that the caches are behind; an event wakes the run when they are not.
var errNotSeenYet = errors.New("its state is not seen yet")

// halt raises partitions so that no further pod starts: the stage stops before its end. Trouble with one unit keeps no other from being held
// back. left says what cannot be held back, err what is to be tried again. wrote is true where this pass has written something, and what it brought is still to be seen.
func (r *Run) halt(ctx context.Context) (left []string, wrote bool, err error) {
	if r.Release == nil || r.Admitted == nil || !r.moves {
		return nil, false, nil
	}
	var w *World
	if r.back {
		w, err = r.observeTouched(r.entries())
	} else {
		w, err = r.Observe(r.Admitted.Members)
	}
	if err != nil {
		return nil, false, err
	}
	left, wrote, err = r.haltIn(ctx, w)
	if err == nil {
		r.Progress(w, membersOf(w), r.lastWant)
	}
	return left, wrote, err
}

// entries are what the run takes back of its release.
func (r *Run) entries() []v1alpha1.Touched {
	spec, ok := r.Spec.(*v1alpha1.RollbackSpec)
	if !ok || spec.Scope != v1alpha1.RollbackMember {
		return r.Release.Status.Touched
	}
	return slices.DeleteFunc(slices.Clone(r.Release.Status.Touched), func(t v1alpha1.Touched) bool { return !slices.Contains(spec.Members, t.Member) })
}

// haltIn holds back what is seen of a world.
func (r *Run) haltIn(ctx context.Context, w *World) (left []string, wrote bool, err error) {
	var errs []error
	for _, m := range w.Missing {
		switch {
		case m.Reason == ReasonConnecting:
			errs = append(errs, fmt.Errorf("holding member %s back: %w", m.Member, errNotSeenYet))
		case m.Unreachable || r.touchedIn(m.Member):
			left = append(left, m.Message)
		}
	}
	for _, o := range w.Objects() {
		did, err := r.haltObject(ctx, w, o)
		wrote = wrote || did
		var gone *fleet.UnreachableError
		switch {
		case err == nil:
		case errors.As(err, &gone):
			left = append(left, err.Error())
		case apierrors.IsConflict(err), errors.Is(err, fleet.ErrBusy):
			errs = append(errs, fmt.Errorf("holding %s back: %w", o.Ref(), errNotSeenYet))
		default:
			errs = append(errs, err)
		}
	}
	return left, wrote, errors.Join(errs...)
}

// haltObject holds one workload back, and says whether it wrote something for it. Where its controller has not seen its spec it is not known which pods are on
// the new revision: then all that can be said is that no other shall start.
func (r *Run) haltObject(ctx context.Context, w *World, o workload.Object) (wrote bool, err error) {
	u := o.First()
	if !r.frame.Locks.Mine(r.Release, u.Lock) {
		return false, nil
	}
	if r.Touched(u) == nil {
		// Locked and never moved: nobody else would let go of it, as the record does not know of it.
		err := r.write(ctx, w, o, workload.Write{What: "letting go of the lock", Unlock: true})
		return err == nil, err
	}
	write := workload.Write{What: "holding back " + o.Ref(), Partitions: map[string]intstr.IntOrString{}}
	if u.Observed {
		write.Partitions = o.Kept()
		write.What = "holding back " + keeping(o, write.Partitions)
	} else {
		for _, u := range o.Units {
			if !r.held(u) && (u.Own || u.PlanState().Allowed() != 0) {
				write.Partitions[u.Name] = plan.Held()
			}
		}
	}
	if len(write.Partitions) == 0 {
		return false, nil
	}
	if err := r.write(ctx, w, o, write); err != nil {
		return false, err
	}
	for _, u := range o.Units {
		if e := r.Status.Ending; e != nil && !r.held(u) {
			e.Held = append(e.Held, u.Ref())
		}
	}
	return true, nil
}

// held says whether the ending that is carried out has held a unit back already.
func (r *Run) held(u *workload.Unit) bool {
	return r.Status.Ending != nil && slices.Contains(r.Status.Ending.Held, u.Ref())
}

func (r *Run) touchedIn(member string) bool {
	return slices.ContainsFunc(r.Release.Status.Touched, func(t v1alpha1.Touched) bool { return t.Member == member })
}

// lastWant is what the stage wanted of a unit when it was last seen.
func (r *Run) lastWant(u *workload.Unit) int32 {
	if p := r.lastSeen(u.Member, u.Name); p != nil {
		return p.Want
	}
	return 0
}
