package plan

import (
	"fmt"
)

// sidecarQuota is how many pods one partition still lets be begun.
type sidecarQuota struct {
	pods, updated, left int32
}

// sidecarQuotas are those of the units, or the one of all pods where units have no partitions.
type sidecarQuotas struct {
	state *SidecarSetState
	by    map[string]*sidecarQuota
}

func (s *SidecarSetState) quotas() *sidecarQuotas {
	q := &sidecarQuotas{state: s, by: map[string]*sidecarQuota{}}
	if s.Partitions == nil {
		q.by[""] = &sidecarQuota{}
	}
	for unit := range s.Partitions {
		q.by[unit] = &sidecarQuota{}
	}
	return q
}

// of is the quota that a pod falls under.
func (q *sidecarQuotas) of(pod *SidecarPod) *sidecarQuota {
	unit := pod.Unit
	if q.state.Partitions == nil {
		unit = ""
	}
	if q.by[unit] == nil {
		q.by[unit] = &sidecarQuota{}
	}
	return q.by[unit]
}

// count a pod. The partition of a unit is of the pods that can get to the update revision: a release that counts them knows how many it lets go.
func (q *sidecarQuotas) count(pod *SidecarPod) {
	if !pod.Selected || q.state.Partitions != nil && pod.Stays {
		return
	}
	of := q.of(pod)
	of.pods++
	if pod.Revision == q.state.Update {
		of.updated++
	}
}

// expect fills in what partitions let be on the update revision.
func (q *sidecarQuotas) expect(p *SidecarSetPlan) error {
	if q.state.Partitions != nil {
		p.ExpectedIn = map[string]int32{}
	}
	for unit, of := range q.by {
		partition := q.state.Partition
		if own, ok := q.state.Partitions[unit]; ok {
			partition = &own
		}
		stay, err := Partition(partition, of.pods)
		if err != nil && unit != "" {
			return fmt.Errorf("partitions[%s]: %w", unit, err)
		}
		if err != nil {
			return err
		}
		expected := of.pods - stay
		of.left = expected - of.updated
		p.Expected += expected
		if p.ExpectedIn != nil {
			p.ExpectedIn[unit] = expected
		}
	}
	return nil
}
