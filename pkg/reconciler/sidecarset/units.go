package sidecarset

import (
	"slices"
	"strings"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
)

// mostWaitingRevisions is how many are told: pods of so many revisions are looked after by people.
const mostWaitingRevisions = 128

// updated says whether the pod at an index of the pass runs the update revision.
func (p *pass) updated(i int) bool {
	return p.state.Pods[i].Revision == p.update && !p.pods[i].ChangingFor(p.holder)
}

// units of the injected pods, and those that partitions name, by name; nil where there are too many for a status to tell.
func (p *pass) units() []v1alpha1.SidecarSetUnit {
	by := map[string]*v1alpha1.SidecarSetUnit{}
	of := func(name string) *v1alpha1.SidecarSetUnit {
		if by[name] == nil {
			by[name] = &v1alpha1.SidecarSetUnit{Name: name}
		}
		return by[name]
	}
	for name := range p.set.Spec.UpdateStrategy.Partitions {
		of(name)
	}
	for i := range p.state.Pods {
		pod := &p.state.Pods[i]
		u := of(pod.Unit)
		if len(by) > v1alpha1.MaxSidecarSetUnits {
			return nil
		}
		if !pod.Selected {
			continue
		}
		u.Pods++
		if pod.Stays {
			u.WaitingForCreation++
		}
		if p.updated(i) {
			u.Updated++
			if pod.Ready {
				u.UpdatedReady++
			}
		}
	}
	out := make([]v1alpha1.SidecarSetUnit, 0, len(by))
	for _, u := range by {
		u.ExpectedUpdated = u.Updated
		if p.plan.ExpectedIn != nil {
			u.ExpectedUpdated = p.plan.ExpectedIn[u.Name]
		}
		if p.set.Spec.InjectionStrategy.Revision == "" && p.injects != "" && p.injects != p.update && p.content(p.update) != nil && p.state.UnitDone(u.Name) {
			u.InjectionRevision = p.update
		}
		out = append(out, *u)
	}
	slices.SortFunc(out, func(a, b v1alpha1.SidecarSetUnit) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// waitingRevisions are those of pods that no change in place brings to the update revision.
func (p *pass) waitingRevisions() []string {
	var out []string
	for revision, change := range p.changes {
		if revision != p.update && !change.Fits() {
			out = append(out, revision)
		}
	}
	slices.Sort(out)
	return out[:min(len(out), mostWaitingRevisions)]
}
