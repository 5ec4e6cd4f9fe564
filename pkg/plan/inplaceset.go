package plan

import (
	"time"

	"k8s.io/apimachinery/pkg/util/intstr"
)

// InPlacePod is what is seen of one pod of an InPlaceSet that is not being deleted.
type InPlacePod struct {
	Name string
	// Revision that the pod carries, whether its change is done or not.
	Revision string
	// Available: ready for minReadySeconds, in service, and no change in progress.
	Available bool
	// Ready: its Ready condition.
	Ready bool
	// Changing: a change in place was patched into it and is not done.
	Changing bool
	// Leaving: its gate was closed because it is to be deleted.
	Leaving bool
	// Closed: its gate was closed for a change.
	Closed bool
	// Ended: it failed or succeeded and will never run again, or it waited in vain for room on its node. Nothing is lost by deleting it.
	Ended bool
	// Rebuild: it cannot get to the update revision in place.
	Rebuild bool
	// Unwanted: somebody named it to be deleted, before others or instead of them.
	Unwanted bool
	// Priority of its move: the greater, the earlier.
	Priority int32
	// Scatter is what it has in common with pods that it is to be moved apart from: the value of a label, or its node.
	Scatter string
	Created time.Time
}

// serves says whether clients still reach the pod, as far as its gate and its kubelet have it.
func (pod *InPlacePod) serves() bool { return pod.Ready && !pod.Closed && !pod.Leaving }

// InPlaceSetState is one observation of an InPlaceSet and its pods.
type InPlaceSetState struct {
	Replicas       int32
	Partition      *intstr.IntOrString
	MaxUnavailable *intstr.IntOrString
	// MaxSurge is how many pods above Replicas an update may make; none where nil.
	MaxSurge *intstr.IntOrString
	// ScaleUnavailable is how many pods may be unavailable while pods are added; no limit where nil.
	ScaleUnavailable *intstr.IntOrString
	// Established is how many pods there were before. Those that are missing below it got lost, and are made again whatever ScaleUnavailable says.
	Established int32
	Paused      bool
	// Refused: the change does not fit in place and the set wants nothing else. It is held back whole.
	Refused bool
	// Spread pods of the same priority by their Scatter.
	Spread bool
	// Current is the revision that pods stay on, Update the one of the template.
	Current, Update string
	Pods            []InPlacePod
	// Budgets names the disruption budgets that a pod is under, and Left says how many pods one of them still lets go. They are asked only about
	// pods that would be taken out of service; nil where there are no budgets.
	Budgets func(pod *InPlacePod) []string
	Left    func(budget string) int32
}

// InPlaceSetPlan is all that is to be done after one observation. What it names are pods that are to move; each of them goes step by step, and what is
// not named stays in service or returns to it.
type InPlaceSetPlan struct {
	// Create holds the revision of each pod to create.
	Create []string
	// Discard are pods that ended: they are deleted at once, for nothing reaches them any more.
	Discard []string
	// ScaleDown are pods that are too many.
	ScaleDown []string
	// Rebuild are pods to delete, so that others are made in their place: on the update revision where they cannot get there otherwise; on either
	// where they are unwanted.
	Rebuild []string
	// Update are pods to change in place.
	Update []string

	// Expected is how many pods the partition lets be on the update revision.
	Expected int32
	// Waiting is how many pods would move but for maxUnavailable.
	Waiting int32
	// WaitingFor is how many pods would move but for each disruption budget. A pod under several counts for the first that refuses.
	WaitingFor map[string]int32
	// Later is how many pods are missing and not created yet, because ScaleUnavailable pods are unavailable.
	Later int32
	// Unavailable is how many pods are missing or not available, for any reason, those that the plan takes out of service included; MaxUnavailable
	// is the limit.
	Unavailable, MaxUnavailable int32
	// Surge is how many pods there are above replicas, those to create included, because an update goes on.
	Surge int32
}

// InPlaceSet decides from one observation how many pods to create, delete and update, and which.
//
// The limit: no available pod is taken out of service unless at least replicas - maxUnavailable stay available; pods that are missing, starting,
// broken or on their way all count. A pod that is ready, but not for minReadySeconds, serves too: it moves only while the limit holds. A pod that is
// not ready takes nothing away when it moves, so it never waits. Neither does it wait for a disruption budget; one that serves is taken only while each
// budget that it is under lets one more go.
//
// The partition: pods stay on the current revision while at most partition of them are there; new pods are made to fill it. Where the template is
// back at the current revision there is nothing to stay on: pods of any other revision are repaired.
//
// The surge: while pods are to move, up to maxSurge are made above replicas, on the update revision and no more than are to move. Once enough run the
// update revision, the old ones that are left over go.
func InPlaceSet(s InPlaceSetState) (InPlaceSetPlan, error) {
	stay, err := staying(s)
	if err != nil {
		return InPlaceSetPlan{}, err
	}
	l, err := limitsOf(s)
	if err != nil {
		return InPlaceSetPlan{}, err
	}
	p := InPlaceSetPlan{Expected: s.Replicas - stay, MaxUnavailable: l.unavailable}

	pods := make([]*InPlacePod, 0, len(s.Pods))
	var available, updated int32
	for i := range s.Pods {
		pod := &s.Pods[i]
		switch {
		case pod.Ended:
			p.Discard = append(p.Discard, pod.Name)
			continue
		case pod.Available:
			available++
		}
		if pod.Revision == s.Update {
			updated++
		}
		pods = append(pods, pod)
	}
	b := budget{left: available - (s.Replicas - l.unavailable), of: s.Budgets, leftOf: s.Left}

	missing := p.create(s, pods, stay, available, l)
	quota := p.Expected - updated
	for _, revision := range missing {
		if revision == s.Update {
			quota--
		}
	}
	made := len(p.Create)
	surge := p.surge(s, pods, max(quota, 0), stay, l)
	quota -= int32(len(p.Create) - made)                                    // #nosec G115 -- at most quota.
	p.Surge = min(surge, max(int32(len(pods)+len(p.Create))-s.Replicas, 0)) // #nosec G115 -- a set has at most 10000 pods, and as many again on their way.
	pods = p.scaleDown(s, pods, shares{stay: stay, updated: updated, surge: surge, maxSurge: l.surge}, &b)
	quota -= p.replace(s, pods, quota, &b)
	if !s.Paused && !s.Refused {
		p.update(s, pods, quota, stay, &b)
	}
	p.Waiting, p.WaitingFor = b.refused, b.waiting
	p.Unavailable = max(l.unavailable-b.left, 0)
	return p, nil
}

// CurrentRevision is the revision that pods stay on from now: the update revision once every replica runs it and is available. No pods prove
// nothing: a set that is scaled to none and back keeps what was held back held back.
func CurrentRevision(s InPlaceSetState) string {
	if len(s.Pods) == 0 || len(s.Pods) != int(s.Replicas) {
		return s.Current
	}
	for i := range s.Pods {
		if pod := &s.Pods[i]; pod.Revision != s.Update || !pod.Available || pod.Changing || pod.Ended {
			return s.Current
		}
	}
	return s.Update
}

// limits of one observation, as numbers of pods.
type limits struct {
	unavailable, surge int32
	// scale is how many may be unavailable while pods are added; negative where there is no limit.
	scale int32
}

func limitsOf(s InPlaceSetState) (limits, error) {
	var l limits
	var err error
	if l.surge, err = MaxSurge(s.MaxSurge, s.Replicas); err != nil {
		return l, err
	}
	if l.unavailable, err = MaxUnavailableWithSurge(s.MaxUnavailable, s.Replicas, l.surge); err != nil {
		return l, err
	}
	l.scale = -1
	if s.ScaleUnavailable != nil {
		if l.scale, err = MaxUnavailable(s.ScaleUnavailable, s.Replicas); err != nil {
			return l, err
		}
	}
	return l, nil
}

// staying is how many pods stay on another revision than the template's. It holds for a template that was set back to the current revision too: going back
// is a change like any other, and takes available pods no faster than the partition lets it. Those that are broken anyway are repaired.
func staying(s InPlaceSetState) (int32, error) {
	n, err := Partition(s.Partition, s.Replicas)
	switch {
	case err != nil:
		return 0, err
	case s.Current == s.Update:
		var strays int32
		for i := range s.Pods {
			if pod := &s.Pods[i]; pod.Revision != s.Update && pod.Available && !pod.Ended {
				strays++
			}
		}
		return min(n, strays), nil
	case s.Refused:
		return s.Replicas, nil
	}
	return n, nil
}
