package stage

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/periplus-dev/periplus/pkg/fleet"
	"github.com/periplus-dev/periplus/pkg/plan"
	"github.com/periplus-dev/periplus/pkg/workload"
)

// halt raises partitions so that no further pod starts: the stage stops before its end. It says which units could not be held back.
func (r *Run) halt(ctx context.Context) (left []string, err error) {
	if r.Release == nil || r.Admitted == nil || r.Admitted.Target == nil {
		return nil, nil
	}
	w, err := r.Observe(r.Admitted.Members)
	if err != nil {
		return nil, err
	}
	for _, m := range w.Missing {
		if m.Reason == ReasonConnecting {
			return nil, fmt.Errorf("holding member %s back: %w", m.Member, errNotSeenYet)
		}
		if m.Unreachable {
			left = append(left, m.Message)
		}
	}
	for i := range w.Units {
		u := &w.Units[i]
		if !r.frame.Locks.Mine(r.Release, u.Lock) {
			continue
		}
		if r.Touched(u) == nil {
			// Locked and never moved: nobody else would let go of it, as the record does not know of it.
			if err := r.letGo(ctx, w, u); err != nil {
				return nil, err
			}
			continue
		}
		if !u.Observed {
			return nil, fmt.Errorf("holding %s back: %w", u.Ref(), errNotSeenYet)
		}
		keep, move := plan.Halt(u.PlanState())
		if !move {
			continue
		}
		partition := plan.PartitionFor(keep, u.Replicas)
		err := r.write(ctx, w, u, workload.Write{What: fmt.Sprintf("holding the unit back at %d updated pods", keep), Partition: &partition})
		var gone *fleet.UnreachableError
		switch {
		case errors.As(err, &gone):
			left = append(left, err.Error())
		case apierrors.IsConflict(err), errors.Is(err, fleet.ErrBusy):
			return nil, fmt.Errorf("holding %s back: %w", u.Ref(), errNotSeenYet)
		case err != nil:
			return nil, err
		}
	}
	return left, nil
}

func (r *Run) letGo(ctx context.Context, w *World, u *workload.Unit) error {
	err := r.write(ctx, w, u, workload.Write{What: "letting go of the lock", Unlock: true})
	if apierrors.IsConflict(err) || errors.Is(err, fleet.ErrBusy) {
		return fmt.Errorf("letting go of %s: %w", u.Ref(), errNotSeenYet)
	}
	return err
}

// errNotSeenYet means that the caches are behind; an event wakes the run when they are not.
var errNotSeenYet = errors.New("its state is not seen yet")
