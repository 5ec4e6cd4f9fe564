package plan

import (
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/intstr"
)

// SidecarPod is what is seen of one pod that carries the sidecars of a set, is not being deleted and has not ended.
type SidecarPod struct {
	// Name is unique among all pods of the set.
	Name string
	// Workload is what the pod is a replica of: its controller. Empty for a pod by itself.
	Workload string
	// Revision of the set that the pod carries, whether its change is done or not.
	Revision string
	// Available: ready, in service, and no change in progress, by whomever.
	Available bool
	// Ready: its Ready condition.
	Ready bool
	// Up: no change of the set is in progress, and the set's own containers are ready, whatever the application's are.
	Up bool
	// Closed: its gate was closed by the set, for a change.
	Closed bool
	// Unit that the pod is of.
	Unit string
	// Selected: the strategy's selector tells it.
	Selected bool
	// Stays: it cannot get to the update revision before it is created anew.
	Stays bool
	// Held: somebody else is changing it, so it can only wait.
	Held bool
	// Failing: a sidecar of the set does not come up in it, by its own reason.
	Failing bool
	// Priority of its move: the greater, the earlier.
	Priority int32
	// Scatter is what it has in common with pods that it is to be moved apart from.
	Scatter string
	Created time.Time
}

// SidecarApplication is a workload whose own limit is known and kept: an InPlaceSet, or a unit of a CafeDeployment.
type SidecarApplication struct {
	// Replicas that it is to have, and how many of its pods are Available by its own terms, whether they carry the sidecars or not.
	Replicas, Available      int32
	MaxUnavailable, MaxSurge *intstr.IntOrString
	// Unknown: what it wants was not seen yet, so none of its pods that serve is taken.
	Unknown bool
}

// Left is how many more of its pods may be taken.
func (a *SidecarApplication) Left() int32 {
	if a.Unknown {
		return 0
	}
	return a.Limit() - (a.Replicas - a.Available)
}

// Limit is how many of its pods may be unavailable; 0 where what it says cannot be read.
func (a *SidecarApplication) Limit() int32 {
	surge, err := MaxSurge(a.MaxSurge, a.Replicas)
	if err != nil {
		return 0
	}
	n, err := MaxUnavailableWithSurge(a.MaxUnavailable, a.Replicas, surge)
	if err != nil {
		return 0
	}
	return n
}

// SidecarSetState is one observation of a SidecarSet and its pods.
type SidecarSetState struct {
	Partition *intstr.IntOrString
	// Partitions of single units. Where there are any, Partition is that of each unit that they do not name.
	Partitions     map[string]intstr.IntOrString
	MaxUnavailable *intstr.IntOrString
	Paused         bool
	// Spread pods of the same priority by their Scatter.
	Spread bool
	// Current is the revision that pods stay on, Update the one of the spec.
	Current, Update string
	// Before is the revision that a release which holds the set's lock found it on; empty where none holds it.
	Before string
	Pods   []SidecarPod
	// Applications has those workloads whose own limits are known.
	Applications map[string]*SidecarApplication
	// Budgets names the disruption budgets that a pod is under, and Left says how many pods one of them still lets go; nil where there are none.
	Budgets func(pod *SidecarPod) []string
	Left    func(budget string) int32
}

// SidecarSetPlan is all that is to be done after one observation.
type SidecarSetPlan struct {
	// Update are the pods to bring to the update revision in place. Others that the set took out of service return to it.
	Update []string
	// Expected is how many of the selected pods the partition lets be on the update revision, ExpectedIn how many of each unit; nil without partitions of units.
	Expected   int32
	ExpectedIn map[string]int32
	// Waiting is how many pods would move but for maxUnavailable, over all pods or in their workload; WaitingFor, but for each disruption budget.
	Waiting    int32
	WaitingFor map[string]int32
	// WaitingForApplication is how many pods would move but for the own limit of their workload.
	WaitingForApplication map[string]int32
	// Behind is how many pods would move but for those on their way: a revision is shown to come up by one pod before two get it, by two before four.
	Behind int32
	// Stopped: a pod of the update revision fails, so no other is begun.
	Stopped bool
	// Unavailable is how many pods are not available, those that the plan takes included; MaxUnavailable is the limit.
	Unavailable, MaxUnavailable int32
}

// These begin the names of budgets that stand for the set's limit in each workload, and for workloads' own limits. No name of an object has such a sign.
const (
	workload    = "workload\x00"
	application = "application\x00"
)

// SidecarSet decides from one observation which pods get the update revision in place.
//
// The limit: no pod that serves is taken unless at least all - maxUnavailable of the set's pods stay available, whatever the others are unavailable for; and where
// maxUnavailable is a percentage, the same in each workload by itself. Where a workload has a limit of its own that is known, its pods keep that, too. A pod that is
// not ready takes nothing away when it moves, and waits for no limit.
//
// The brake: at most as many pods are on their way as have come up on the update revision, and one at first. While one of these fails, none is begun. So a revision
// that cannot run is seen on one pod, whatever the limit.
func SidecarSet(s SidecarSetState) (SidecarSetPlan, error) {
	var up, onTheWay, available int32
	quotas := s.quotas()
	p := SidecarSetPlan{}
	sizes, missing := map[string]int32{}, map[string]int32{}
	for i := range s.Pods {
		pod := &s.Pods[i]
		sizes[pod.Workload]++
		if pod.Available {
			available++
		} else {
			missing[pod.Workload]++
		}
		quotas.count(pod)
		switch {
		case pod.Revision != s.Update:
			if pod.Closed {
				onTheWay++
			}
			continue
		case pod.Up:
			up++
		default:
			onTheWay++
			p.Stopped = p.Stopped || pod.Failing
		}
	}
	all := int32(len(s.Pods)) // #nosec G115 -- a cluster has fewer pods.
	err := quotas.expect(&p)
	if err != nil {
		return p, err
	}
	if p.MaxUnavailable, err = MaxUnavailable(s.MaxUnavailable, all); err != nil {
		return p, err
	}
	b := &budget{left: available - (all - p.MaxUnavailable), of: s.under(), leftOf: s.leftOf(sizes, missing)}
	if !s.Paused {
		p.pick(s, quotas, max(up, 1)-onTheWay, b)
	}
	p.Waiting += b.refused
	p.Unavailable = max(p.MaxUnavailable-b.left, 0)
	return p, nil
}

// pick the pods that move: as many as partitions leave, of which room may be begun.
func (p *SidecarSetPlan) pick(s SidecarSetState, quotas *sidecarQuotas, room int32, b *budget) {
	var movable []*InPlacePod
	of := map[string]*sidecarQuota{}
	for i := range s.Pods {
		pod := &s.Pods[i]
		switch {
		case !pod.Selected || pod.Stays || pod.Revision == s.Update:
		case pod.Held: // one that waits for somebody else takes nobody's turn.
			if quotas.of(pod).left > 0 {
				p.Update = append(p.Update, pod.Name)
			}
		default:
			of[pod.Name] = quotas.of(pod)
			movable = append(movable, &InPlacePod{
				Name: pod.Name, Revision: pod.Revision, Available: pod.Available, Ready: pod.Ready, Closed: pod.Closed,
				Priority: pod.Priority, Scatter: pod.Scatter, Created: pod.Created,
			})
		}
	}
	for _, c := range inOrder(InPlaceSetState{Current: s.Current, Update: s.Update, Spread: s.Spread}, movable) {
		quota := of[c.Name]
		switch {
		case p.Stopped:
			return
		case quota.left <= 0:
			continue
		case c.Closed: // it was counted as on its way.
			p.Update = append(p.Update, c.Name)
			quota.left--
			continue
		case room <= 0:
			p.Behind++
			quota.left--
			continue
		}
		v, name := b.take(c.InPlacePod)
		switch of, own := strings.CutPrefix(name, application); {
		case v == overBudget && own:
			if p.WaitingForApplication == nil {
				p.WaitingForApplication = map[string]int32{}
			}
			p.WaitingForApplication[of]++
			continue
		case v == overBudget && strings.HasPrefix(name, workload):
			p.Waiting++ // the turn is another workload's.
			continue
		case v == overBudget:
			b.waits(name)
			continue
		case v == taken:
			p.Update = append(p.Update, c.Name)
			room--
		}
		quota.left--
	}
	p.WaitingFor = b.waiting
}

// under are the budgets of a pod: its workload's, and those of others.
func (s *SidecarSetState) under() func(*InPlacePod) []string {
	byName := make(map[string]*SidecarPod, len(s.Pods))
	for i := range s.Pods {
		byName[s.Pods[i].Name] = &s.Pods[i]
	}
	share := s.MaxUnavailable != nil && s.MaxUnavailable.Type == intstr.String
	return func(pod *InPlacePod) []string {
		of := byName[pod.Name]
		var names []string
		if share && of.Workload != "" {
			names = append(names, workload+of.Workload)
		}
		if s.Applications[of.Workload] != nil {
			names = append(names, application+of.Workload)
		}
		if s.Budgets != nil {
			names = append(names, s.Budgets(of)...)
		}
		return names
	}
}

func (s *SidecarSetState) leftOf(sizes, missing map[string]int32) func(string) int32 {
	return func(name string) int32 {
		if of, own := strings.CutPrefix(name, application); own {
			return s.Applications[of].Left()
		}
		of, is := strings.CutPrefix(name, workload)
		if !is {
			return s.Left(name)
		}
		n, err := MaxUnavailable(s.MaxUnavailable, sizes[of])
		if err != nil {
			return 0
		}
		return n - missing[of]
	}
}

// SidecarRevision is the revision that pods of a set stay on from now: the update revision once every pod that can get there runs it with sidecars that are up,
// whatever its application does. Where there is no such pod it is the one that is held, if any is: a revision that nobody runs has proven nothing.
//
// While a release holds the set, the one that it found is what was proven: that is the one at once where the set is taken back to it, so that no pod is created with
// what is taken back, be there pods or not; and no other is before nothing is held back any more, though canaries be all the pods that are left.
func SidecarRevision(s SidecarSetState) string {
	if s.Current == "" || s.Before != "" && s.Before == s.Update {
		return s.Update
	}
	if s.Before != "" && s.Held() {
		return s.Current
	}
	proven := false
	for i := range s.Pods {
		pod := &s.Pods[i]
		switch {
		case pod.Revision == s.Update && pod.Up:
			proven = true
		case !pod.Stays:
			return s.Current
		}
	}
	if !proven && s.Held() {
		return s.Current
	}
	return s.Update
}

// Held says whether any pod is held back, or would be were there one: then new ones are made of the revision that is held. A unit without a partition of its own
// counts only where it has pods.
func (s *SidecarSetState) Held() bool {
	if s.Partitions == nil {
		return SidecarsHeld(s.Partition)
	}
	for _, partition := range s.Partitions {
		if SidecarsHeld(&partition) {
			return true
		}
	}
	for i := range s.Pods {
		if _, own := s.Partitions[s.Pods[i].Unit]; !own {
			return SidecarsHeld(s.Partition)
		}
	}
	return false
}

// UnitDone says whether new pods of a unit may have the update revision while other units hold pods back: nothing is held back in it, and all pods that can get
// there run it with sidecars that are up.
func (s *SidecarSetState) UnitDone(unit string) bool {
	partition, own := s.Partitions[unit]
	if !own || SidecarsHeld(&partition) {
		return false
	}
	for i := range s.Pods {
		if pod := &s.Pods[i]; pod.Unit == unit && pod.Selected && !pod.Stays && (pod.Revision != s.Update || !pod.Up) {
			return false
		}
	}
	return true
}

// SidecarsHeld says whether a partition holds back any pod at all, be there pods or not: then new ones are made of the revision that is held.
func SidecarsHeld(partition *intstr.IntOrString) bool {
	n, err := Partition(partition, 1)
	if partition != nil && partition.Type == intstr.String {
		n, err = scaled(partition, 100, true)
	}
	return err != nil || n > 0
}
