package stage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/fleet"
	"github.com/periplus-dev/periplus/pkg/workload"
)

// World is what a stage sees of its members at one moment.
type World struct {
	// Units of all members that can be seen, in the order of members, then of units.
	Units []workload.Unit
	// Missing members by name, with what is the matter.
	Missing []Missing
	// kinds are the adapters by kind of workload, sessions the access by member.
	kinds    workload.Kinds
	sessions map[string]workload.Session
}

// Missing is a member that cannot be seen.
type Missing struct {
	Member string
	// Reason and Message for people.
	Reason  string
	Message string
	// Unreachable members may come back; NotFound means that something is wrong with the target there.
	Unreachable bool
	NotFound    bool
	// err that the adapter gave.
	err error
}

// UnitsOf are the units of a member.
func (w *World) UnitsOf(member string) []workload.Unit {
	var out []workload.Unit
	for i := range w.Units {
		if w.Units[i].Member == member {
			out = append(out, w.Units[i])
		}
	}
	return out
}

// Only is what is seen of some of the members.
func (w *World) Only(members []string) *World {
	out := &World{kinds: w.kinds, sessions: w.sessions}
	for i := range w.Units {
		if slices.Contains(members, w.Units[i].Member) {
			out.Units = append(out.Units, w.Units[i])
		}
	}
	for _, m := range w.Missing {
		if slices.Contains(members, m.Member) {
			out.Missing = append(out.Missing, m)
		}
	}
	return out
}

// Observe looks at the target in the members, out of watch caches. A member that cannot be seen is reported, and hides no other.
func (r *Run) Observe(members []string) (*World, error) {
	if _, err := r.frame.Kinds.For(r.Admitted.Target.Workload); err != nil {
		return nil, invalid(err)
	}
	refs := map[string][]v1alpha1.WorkloadRef{}
	for _, m := range members {
		refs[m] = []v1alpha1.WorkloadRef{r.Admitted.Target.Workload}
	}
	w, err := r.observe(members, refs)
	if err != nil {
		return nil, err
	}
	r.show(w, members)
	return w, nil
}

// observe looks at workloads by member. What is not found hides nothing else in its member.
func (r *Run) observe(members []string, refs map[string][]v1alpha1.WorkloadRef) (*World, error) {
	w := &World{kinds: r.frame.Kinds, sessions: map[string]workload.Session{}}
	for _, m := range members {
		s, err := r.frame.Fleet.Open(r.UID, m, r.wake)
		if err != nil && !errors.Is(err, fleet.ErrUnknownMember) {
			return nil, fmt.Errorf("opening member %s: %w", m, err)
		}
		if err != nil {
			w.Missing = append(w.Missing, Missing{Member: m, Reason: ReasonUnreachable, Message: err.Error(), NotFound: true})
			continue
		}
		w.sessions[m] = s
		var units []workload.Unit
		var missing *Missing
		for _, ref := range refs[m] {
			kind, err := r.frame.Kinds.For(ref)
			if err != nil {
				return nil, err
			}
			found, synced, err := kind.Observe(s, m, r.Namespace, ref)
			units = append(units, found...)
			switch {
			case !synced:
				message := "connecting to member " + m
				if err != nil {
					message += ": " + strings.ReplaceAll(err.Error(), "\n", "; ")
				}
				missing = &Missing{Member: m, Reason: ReasonConnecting, Unreachable: true, Message: message}
			case err != nil && (missing == nil || errors.Is(missing.err, workload.ErrNotFound)):
				missing = &Missing{Member: m, Reason: ReasonInvalid, Message: err.Error(), NotFound: true, err: err}
			}
		}
		if reach := s.Reachability(); reach.State == fleet.Unreachable {
			missing = &Missing{Member: m, Reason: ReasonUnreachable, Unreachable: true,
				Message: fmt.Sprintf("member %s cannot be reached since %s UTC: %s", m, reach.Since.UTC().Format(time.TimeOnly), reach.Message)}
		}
		if missing != nil {
			w.Missing = append(w.Missing, *missing)
		}
		if missing == nil || missing.NotFound {
			w.Units = append(w.Units, units...)
		}
	}
	return w, nil
}

// Objects are the workloads that hold the units.
func (w *World) Objects() []workload.Object { return workload.Objects(w.Units) }

// write makes one write to a workload.
func (r *Run) write(ctx context.Context, w *World, o workload.Object, what workload.Write) error {
	u := o.First()
	return w.kinds[u.Kind].Write(ctx, w.sessions[u.Member], o, what)
}
