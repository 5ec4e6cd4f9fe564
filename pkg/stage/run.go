package stage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/fleet"
	"github.com/periplus-dev/periplus/pkg/guard"
	"github.com/periplus-dev/periplus/pkg/release"
	"github.com/periplus-dev/periplus/pkg/workload"
)

// Run is one attempt of one stage, as a task sees it.
type Run struct {
	Namespace string
	Name      string
	UID       types.UID
	// Task is the pipeline task's name, or the run's own where no pipeline made it.
	Task string
	// Root run that carries the release, and its Release.
	Root    v1alpha1.RootRef
	Release *v1alpha1.Release
	// Initiator who created the root run; empty where it is not known.
	Initiator string

	Spec     Spec
	Admitted *v1alpha1.Admitted
	// Status is kept between steps.
	Status *v1alpha1.RunStatus
	// Now is the time of this step. Started is when this attempt began.
	Now     time.Time
	Started time.Time
	Timeout time.Duration

	// Approvals in the run's namespace that name this run.
	Approvals []*v1alpha1.Approval

	frame  *Frame
	guards *guard.Set
	wake   func()
	wakeAt time.Time
}

// Deadline is when the attempt times out; zero where it never does.
func (r *Run) Deadline() time.Time {
	if r.Timeout == 0 {
		return time.Time{}
	}
	return r.Started.Add(r.Timeout)
}

// LoadState reads the stage's own state; into stays as it is where there is none.
func (r *Run) LoadState(into any) error {
	if r.Status.State == nil || len(r.Status.State.Raw) == 0 {
		return nil
	}
	if err := json.Unmarshal(r.Status.State.Raw, into); err != nil {
		return fmt.Errorf("status.extraFields.state of %s/%s cannot be read: %w", r.Namespace, r.Name, err)
	}
	return nil
}

// SaveState keeps the stage's own state for the next step.
func (r *Run) SaveState(state any) error {
	raw, err := json.Marshal(state)
	if err != nil {
		return fmt.Errorf("encoding the state of %s/%s: %w", r.Namespace, r.Name, err)
	}
	r.Status.State = &runtime.RawExtension{Raw: raw}
	return nil
}

// World is what a stage sees of its members at one moment.
type World struct {
	// Units of all members that can be seen, in the order of members, then of units.
	Units []workload.Unit
	// Missing members by name, with what is the matter.
	Missing []Missing
	kind    workload.Kind
	// sessions by member.
	sessions map[string]*fleet.Session
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
}

func (w *World) UnitsOf(member string) []workload.Unit {
	var out []workload.Unit
	for i := range w.Units {
		if w.Units[i].Member == member {
			out = append(out, w.Units[i])
		}
	}
	return out
}

// Observe looks at the target in the members, out of watch caches. A member that cannot be seen is reported, and hides no other.
func (r *Run) Observe(members []string) (*World, error) {
	w := &World{sessions: map[string]*fleet.Session{}}
	kind, err := r.frame.Kinds.For(r.Admitted.Target.Workload)
	if err != nil {
		return nil, invalid(err)
	}
	w.kind = kind
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
		units, synced, err := kind.Observe(s, m, r.Namespace, r.Admitted.Target.Workload)
		switch reach := s.Reachability(); {
		case reach.State == fleet.Unreachable:
			w.Missing = append(w.Missing, Missing{Member: m, Reason: ReasonUnreachable, Unreachable: true,
				Message: fmt.Sprintf("member %s cannot be reached since %s UTC: %s", m, reach.Since.UTC().Format(time.TimeOnly), reach.Message)})
		case !synced:
			message := "connecting to member " + m
			if err != nil {
				message += ": " + strings.ReplaceAll(err.Error(), "\n", "; ")
			}
			w.Missing = append(w.Missing, Missing{Member: m, Reason: ReasonConnecting, Unreachable: true, Message: message})
		case err != nil:
			w.Missing = append(w.Missing, Missing{Member: m, Reason: ReasonInvalid, Message: err.Error(), NotFound: true})
		default:
			w.Units = append(w.Units, units...)
		}
	}
	return w, nil
}

// write makes one write to a unit.
func (r *Run) write(ctx context.Context, w *World, u *workload.Unit, what workload.Write) error {
	return w.kind.Write(ctx, w.sessions[u.Member], u, what)
}

// Progress notes the members for people. wants may be nil.
func (r *Run) Progress(w *World, members []string, want func(u *workload.Unit) int32) {
	out := make([]v1alpha1.MemberProgress, 0, len(members))
	for _, m := range members {
		mp := v1alpha1.MemberProgress{Name: m, Reachable: true}
		for _, x := range w.Missing {
			if x.Member == m {
				mp.Reachable, mp.Message = !x.Unreachable || x.Reason == ReasonConnecting, x.Message
			}
		}
		for _, u := range w.UnitsOf(m) {
			now := unitProgress(&u, want)
			if old := r.lastSeen(m, u.Name); !u.Observed && old != nil {
				// Until its controller has seen the unit it is not known which pods are updated: they do not stop being so meanwhile.
				now.Updated, now.UpdatedReady, now.UpdatedAvailable = old.Updated, old.UpdatedReady, old.UpdatedAvailable
			}
			mp.Units = append(mp.Units, now)
		}
		if len(mp.Units) == 0 {
			// What was last seen of a member that cannot be seen now is better than nothing.
			for _, old := range r.Status.Members {
				if old.Name == m {
					mp.Units = old.Units
				}
			}
		}
		out = append(out, mp)
	}
	r.Status.Members = out
}

func (r *Run) lastSeen(member, unit string) *v1alpha1.UnitProgress {
	for i := range r.Status.Members {
		if r.Status.Members[i].Name != member {
			continue
		}
		for j := range r.Status.Members[i].Units {
			if u := &r.Status.Members[i].Units[j]; u.Unit == unit {
				return u
			}
		}
	}
	return nil
}

func unitProgress(u *workload.Unit, want func(u *workload.Unit) int32) v1alpha1.UnitProgress {
	c := u.Count()
	p := v1alpha1.UnitProgress{
		Unit: u.Name, Workload: u.Workload, Replicas: u.Replicas,
		Updated: c.Updated, UpdatedReady: c.UpdatedReady, UpdatedAvailable: c.UpdatedAvailable, Ready: c.Ready, Available: c.Available,
	}
	if want != nil {
		p.Want = want(u)
	}
	if u.Partition != nil {
		p.Partition = u.Partition.String()
	}
	if f := u.Failing(); f != nil {
		p.Trouble = troubleOf(f)
	} else if u.Stalled != "" {
		p.Trouble = u.Stalled
	}
	return p
}

func troubleOf(p *workload.Pod) string {
	return cutTo(fmt.Sprintf("pod %s: %s: %s", p.Name, p.Reason, p.Message), 256)
}

// Stamp is now as the API keeps times, in whole seconds, rounded up: what must last so long from here does not end early.
func (r *Run) Stamp() metav1.Time {
	return metav1.NewTime(r.Now.Add(time.Second - 1).Truncate(time.Second))
}

// OpenRelease makes sure that the release's record exists, and reads it as the API server has it, before anything is locked or moved.
func (r *Run) OpenRelease(ctx context.Context) error {
	rel, err := r.frame.Records.Open(ctx, r.Namespace, r.Root, r.Initiator)
	if err != nil {
		return err
	}
	r.Release = rel
	r.Status.Release = rel.Name
	return nil
}

// record changes the release's record.
func (r *Run) record(ctx context.Context, change func(*v1alpha1.ReleaseStatus) bool) error {
	rel, err := r.frame.Records.Update(ctx, r.Namespace, r.Release.Name, change)
	if err != nil {
		return err
	}
	r.Release = rel
	return nil
}

// Touched returns the record's entry for a unit, or nil.
func (r *Run) Touched(u *workload.Unit) *v1alpha1.Touched {
	if r.Release == nil {
		return nil
	}
	return release.Find(&r.Release.Status, u.Member, u.Kind, u.Workload)
}

// taskName is the pipeline task's name, or the run's own.
func taskName(cr *v1beta1.CustomRun) string {
	if t := cr.Labels["tekton.dev/pipelineTask"]; t != "" {
		return t
	}
	return cr.Name
}

func cutTo(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:n-3] + "..."
}

// LockedByAnother says which release other than this run's holds a unit, or nil.
func (r *Run) LockedByAnother(ctx context.Context, u *workload.Unit) (*release.HeldError, error) {
	rel := r.Release
	if rel == nil {
		rel = &v1alpha1.Release{}
	}
	err := r.frame.Locks.Check(ctx, rel, u)
	if held, ok := release.IsHeld(err); ok {
		return held, nil
	}
	return nil, err
}

// recall reads the record from the API server before a run ends: the status may not say yet that there is one, and the cache not yet what
// was touched, where a crash came between.
func (r *Run) recall(ctx context.Context) error {
	if r.Admitted == nil || r.Admitted.Target == nil {
		return nil
	}
	r.Release = nil
	return r.SeeRelease(ctx)
}

// SeeRelease reads the record of this run's release if there is one, and makes none.
func (r *Run) SeeRelease(ctx context.Context) error {
	if r.Release != nil {
		return nil
	}
	rel, err := r.frame.Records.See(ctx, r.Namespace, r.Root)
	if err != nil || rel == nil {
		return err
	}
	r.Release, r.Status.Release = rel, rel.Name
	return nil
}

// Only is what is seen of some of the members.
func (w *World) Only(members []string) *World {
	out := &World{kind: w.kind, sessions: w.sessions}
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
