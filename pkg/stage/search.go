package stage

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/release"
	"github.com/periplus-dev/periplus/pkg/workload"
)

// search takes what a release touched from the locks that it left on workloads of the run's namespace, for a hub that has lost the record. What is found is written
// down as touched by the release of the run that goes back, before its lock is taken over: a crash in between finds the lock of the lost release once more.
// Each member is searched once; one that cannot be seen yet keeps no other waiting.
func (p *goingBack) search(ctx context.Context) (*Outcome, error) {
	p.world = &World{} // members that are waited for have the progress deadline too.
	if !slices.ContainsFunc(p.run.Admitted.Members, p.unsearched) {
		return nil, nil
	}
	from := p.Spec.FromMembers
	known, err := p.run.frame.Records.Read(ctx, p.run.Namespace, from.Release)
	if err != nil {
		return nil, err
	}
	if known != nil && p.lostBy() == p.run.frame.Locks.Hub {
		out := p.isKnown()
		return &out, nil
	}
	var entries []v1alpha1.Touched
	var searched []string
	for _, m := range p.run.Admitted.Members {
		if !p.unsearched(m) {
			continue
		}
		w, err := p.run.observeAll(m)
		if err != nil {
			return nil, err
		}
		if len(w.Missing) > 0 && !errors.Is(w.Missing[0].err, workload.ErrNotFound) {
			if miss := w.Missing[0]; miss.Reason == ReasonConnecting {
				p.open, p.wait = append(p.open, miss.Message), ReasonConnecting
			} else {
				p.gone = append(p.gone, miss.Message)
			}
			continue
		}
		for _, o := range w.Objects() {
			u := o.First()
			if u.LockError != nil {
				p.state.Unread = append(p.state.Unread, o.Ref()+": "+u.LockError.Error())
			}
			if !p.lost(u.Lock) {
				continue
			}
			if known != nil && known.UID == u.Lock.UID {
				out := p.isKnown()
				return &out, nil
			}
			entries = append(entries, entryOf(u))
		}
		searched = append(searched, m)
	}
	if len(entries) > 0 {
		if err := p.run.OpenRelease(ctx); err != nil {
			return nil, err
		}
		if err := p.run.record(ctx, func(st *v1alpha1.ReleaseStatus) bool { return release.Touch(st, entries) }); err != nil {
			return nil, err
		}
	}
	p.state.Searched = append(p.state.Searched, searched...)
	return nil, nil
}

func (p *goingBack) unsearched(member string) bool { return !slices.Contains(p.state.Searched, member) }

// lostBy is the hub whose locks are looked for.
func (p *goingBack) lostBy() string {
	if p.Spec.FromMembers.Hub != "" {
		return p.Spec.FromMembers.Hub
	}
	return p.run.frame.Locks.Hub
}

// lost says whether a lock is the lost release's.
func (p *goingBack) lost(l *v1alpha1.Lock) bool {
	return p.Spec.FromMembers != nil && l != nil && l.Hub == p.lostBy() && l.Namespace == p.run.Namespace && l.Release == p.Spec.FromMembers.Release
}

// entryOf is the record's entry of a workload, as its lock tells. What the release brought, no lock tells: it is what the workload is told to run now.
func entryOf(u *workload.Unit) v1alpha1.Touched {
	t := v1alpha1.Touched{Member: u.Member, Kind: u.Kind, Workload: u.Workload, UID: u.UID, Unit: unitOf(u), Time: u.Lock.Since, Previous: u.Lock.Previous}
	if u.Observed && u.UpdateRevision != u.Lock.Previous.Revision {
		t.Revision = u.UpdateRevision
	}
	return t
}

// observeAll looks at all workloads of the run's namespace in a member.
func (r *Run) observeAll(member string) (*World, error) {
	var all []v1alpha1.WorkloadRef
	for _, kind := range slices.Sorted(maps.Keys(r.frame.Kinds)) {
		all = append(all, v1alpha1.WorkloadRef{Kind: kind})
	}
	return r.observe([]string{member}, map[string][]v1alpha1.WorkloadRef{member: all})
}

// isKnown refuses what the hub has a record of: that says more than locks do, and its run may still be on.
func (p *goingBack) isKnown() Outcome {
	name := p.Spec.FromMembers.Release
	return Fail(ReasonInvalid, fmt.Sprintf("spec.fromMembers.release: this hub has the record of release %s: name it by spec.release and leave out fromMembers", name))
}

// nothingFound is what becomes of a rollback that has found no lock, so far or at all.
func (p *goingBack) nothingFound() Outcome {
	switch {
	case len(p.open) > 0:
		return Wait(ReasonConnecting, shorten(strings.Join(append(p.open, p.gone...), "; "), 900))
	case len(p.gone) > 0 && p.Spec.OnUnreachable == v1alpha1.UnreachableWait:
		return Wait(ReasonUnreachable, shorten(strings.Join(p.gone, "; "), 900))
	}
	missed := append(slices.Clone(p.gone), p.state.Unread...)
	message := fmt.Sprintf("no workload of namespace %s in %s carries a lock of release %s of hub %s", p.run.Namespace, shorten(strings.Join(p.state.Searched, ", "), maxQuoted),
		p.Spec.FromMembers.Release, p.lostBy())
	if len(p.state.Searched) == 0 {
		message = "no member could be searched"
	}
	if len(missed) > 0 {
		return Fail(ReasonLeftBehind, shorten(message+"; "+strings.Join(missed, "; "), 1000)+p.notLookedAt())
	}
	return Fail(ReasonInvalid, "spec.fromMembers.release: "+message+": nothing goes back; the annotation "+v1alpha1.AnnotationLock+" on workloads says which releases hold them"+p.notLookedAt())
}

// notLookedAt names the members that the namespace is not given.
func (p *goingBack) notLookedAt() string {
	if len(p.run.Admitted.LeftOut) == 0 {
		return ""
	}
	return "; not looked at, as no ReleasePolicy gives them to the namespace: " + shorten(strings.Join(p.run.Admitted.LeftOut, ", "), maxQuoted)
}
