package stage

import (
	"fmt"
	"slices"

	"github.com/periplus-dev/periplus/pkg/plan"
	"github.com/periplus-dev/periplus/pkg/workload"
)

// The partition of a SidecarSet's unit also says what pods get that somebody creates: the new sidecars once nothing is held back in it.

// opensTo says whether a unit of a SidecarSet that has no pod to move is let go all the same, once the stage has come to bring all of it to the revision: its partition
// also says what pods get that are created. A canary of none is none of all; and one that was scaled to none in the middle goes on by its steps when its pods are back,
// but for one whose pods are left because only their creation brings them to it.
func (p *moving) opensTo(u *workload.Unit) bool {
	if u.Kind != workload.KindSidecarSet || u.Replicas > 0 || !plan.SidecarsHeld(u.Partition) {
		return false
	}
	left := p.LeaveWaiting && u.Waiting > 0
	return (left || !p.state.Units[u.Ref()]) && p.wantsAll(u)
}

// closesTo says whether a unit of a SidecarSet stays as it is, because it has all the pods that the stage wants there by now, and these happen to be all that it has: let
// go as a whole, the canary of one pod would be one of all pods that are created. Holding back takes none back.
func (p *moving) closesTo(u *workload.Unit) bool {
	want := p.want(u)
	return u.Kind == workload.KindSidecarSet && u.Replicas > 0 && want == u.Replicas && u.Count().Started >= want && !p.wantsAll(u)
}

// wantsAll says whether the stage has come to bring all of a unit to the revision, however many pods that are.
func (p *moving) wantsAll(u *workload.Unit) bool {
	return slices.ContainsFunc(p.steps[:p.state.Step+1], func(s plan.Step) bool {
		return slices.ContainsFunc(s.Wants, func(w plan.Want) bool { return w.All && w.Member == u.Member && w.Unit == u.Name })
	})
}

// unproven are the workloads in which nothing is held back any more, and whose controller has not seen all pods on the update revision at one time, as this pass does:
// a release that let go of them now, with a pod that restarts, would leave new pods on the revision before.
func (p *moving) unproven() (out []string) {
	for _, o := range p.world.Objects() {
		u := o.First()
		held := slices.ContainsFunc(o.Units, func(u *workload.Unit) bool { return plan.SidecarsHeld(u.Partition) })
		if u.Proves && !held && u.Revision != u.UpdateRevision {
			out = append(out, fmt.Sprintf("%s: the controller of %s %s is to see all pods on revision %s at one time; pods that are created would be of %s again", o.Ref(), u.Kind, u.Workload, u.UpdateRevision, u.Revision))
		}
	}
	return out
}
