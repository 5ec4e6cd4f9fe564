package stage

import (
	"fmt"
	"slices"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/workload"
)

// Progress notes the members for people. want is nil where the stage wants nothing of them.
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

// membersOf are the members of a world, seen or not, each once.
func membersOf(w *World) []string {
	var out []string
	add := func(m string) {
		if !slices.Contains(out, m) {
			out = append(out, m)
		}
	}
	for i := range w.Units {
		add(w.Units[i].Member)
	}
	for _, m := range w.Missing {
		add(m.Member)
	}
	return out
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
	} else if u.Trouble != "" {
		p.Trouble = shorten(u.Trouble, 256)
	}
	return p
}

func troubleOf(p *workload.Pod) string {
	return shorten(fmt.Sprintf("pod %s: %s: %s", p.Name, p.Reason, p.Message), 256)
}
