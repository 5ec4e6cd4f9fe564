package plan

import (
	"cmp"
	"slices"
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
	// Ended: it failed or succeeded, and will never run again.
	Ended bool
	// Rebuild: it cannot get to the update revision in place.
	Rebuild bool
	Created time.Time
}

// InPlaceSetState is one observation of an InPlaceSet and its pods.
type InPlaceSetState struct {
	Replicas       int32
	Partition      *intstr.IntOrString
	MaxUnavailable *intstr.IntOrString
	Paused         bool
	// Refused: the change does not fit in place and the set wants nothing else. It is held back whole.
	Refused bool
	// Current is the revision that pods stay on, Update the one of the template.
	Current, Update string
	Pods            []InPlacePod
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
	// Rebuild are pods to delete, so that another is created on the update revision.
	Rebuild []string
	// Update are pods to change in place.
	Update []string

	// Expected is how many pods the partition lets be on the update revision.
	Expected int32
	// Waiting is how many pods would move but for maxUnavailable.
	Waiting int32
	// Unavailable is how many pods are missing or not available, for any reason, those that the plan takes out of service included; MaxUnavailable
	// is the limit.
	Unavailable, MaxUnavailable int32
}

// InPlaceSet decides from one observation how many pods to create, delete and update, and which.
//
// The limit: no available pod is taken out of service unless at least replicas - maxUnavailable stay available; pods that are missing, starting,
// broken or on their way all count. A pod that is ready, but not for minReadySeconds, serves too: it moves only while the limit holds. A pod that is
// not ready takes nothing away when it moves, so it never waits.
//
// The partition: pods stay on the current revision while at most partition of them are there; new pods are made to fill it. Where the template is
// back at the current revision there is nothing to stay on: pods of any other revision are repaired.
func InPlaceSet(s InPlaceSetState) (InPlaceSetPlan, error) {
	stay, err := staying(s)
	if err != nil {
		return InPlaceSetPlan{}, err
	}
	limit, err := MaxUnavailable(s.MaxUnavailable, s.Replicas)
	if err != nil {
		return InPlaceSetPlan{}, err
	}
	p := InPlaceSetPlan{Expected: s.Replicas - stay, MaxUnavailable: limit}

	pods := make([]InPlacePod, 0, len(s.Pods))
	for _, pod := range s.Pods {
		if pod.Ended {
			p.Discard = append(p.Discard, pod.Name)
		} else {
			pods = append(pods, pod)
		}
	}
	available := count(pods, func(pod InPlacePod) bool { return pod.Available })
	b := budget{left: available - (s.Replicas - limit)}

	p.Create = create(s, pods, stay)
	pods = p.scaleDown(s, pods, stay, &b)
	if !s.Paused && !s.Refused {
		p.update(s, pods, &b)
	}
	p.Waiting = b.refused
	p.Unavailable = max(limit-b.left, 0)
	return p, nil
}

// CurrentRevision is the revision that pods stay on from now: the update revision once every replica runs it and is available. No pods prove
// nothing: a set that is scaled to none and back keeps what was held back held back.
func CurrentRevision(s InPlaceSetState) string {
	if len(s.Pods) == 0 || len(s.Pods) != int(s.Replicas) {
		return s.Current
	}
	for _, pod := range s.Pods {
		if pod.Revision != s.Update || !pod.Available || pod.Changing || pod.Ended {
			return s.Current
		}
	}
	return s.Update
}

// budget is how many available pods may still be taken out of service.
type budget struct {
	left, refused int32
}

func (b *budget) take(pod InPlacePod) bool {
	switch {
	case pod.Available && b.left > 0:
		b.left--
		return true
	case !pod.Available && (!pod.Ready || pod.Closed || pod.Leaving):
		return true // there is nothing to take.
	case !pod.Available && b.left >= 0:
		return true // it serves, and is counted as unavailable already.
	}
	b.refused++
	return false
}

// staying is how many pods stay on another revision than the template's. It holds for a template that was set back to the current revision too: going back
// is a change like any other, and takes available pods no faster than the partition lets it. Those that are broken anyway are repaired.
func staying(s InPlaceSetState) (int32, error) {
	n, err := Partition(s.Partition, s.Replicas)
	switch {
	case err != nil:
		return 0, err
	case s.Current == s.Update:
		strays := count(s.Pods, func(pod InPlacePod) bool { return pod.Revision != s.Update && pod.Available && !pod.Ended })
		return min(n, strays), nil
	case s.Refused:
		return s.Replicas, nil
	}
	return n, nil
}

// create returns the revisions of the pods that are missing: the current one while fewer than stay are on it.
func create(s InPlaceSetState, pods []InPlacePod, stay int32) []string {
	missing := int(s.Replicas) - len(pods)
	if missing <= 0 {
		return nil
	}
	current := count(pods, func(pod InPlacePod) bool { return pod.Revision == s.Current })
	out := make([]string, 0, missing)
	for range missing {
		if current < stay {
			out = append(out, s.Current)
			current++
		} else {
			out = append(out, s.Update)
		}
	}
	return out
}

// scaleDown picks the pods that are too many and returns the rest: first those that are on their way out already, then the not available, the not
// ready before the ready, then those of the revision that is over its share, then the newest.
func (p *InPlaceSetPlan) scaleDown(s InPlaceSetState, pods []InPlacePod, stay int32, b *budget) []InPlacePod {
	surplus := len(pods) - int(s.Replicas)
	if surplus <= 0 {
		return pods
	}
	rest := slices.Clone(pods)
	slices.SortFunc(rest, func(x, y InPlacePod) int {
		return cmp.Or(
			first(x.Leaving, y.Leaving), first(!x.Available, !y.Available), first(!x.Ready, !y.Ready),
			y.Created.Compare(x.Created), cmp.Compare(x.Name, y.Name))
	})
	updated := count(rest, func(pod InPlacePod) bool { return pod.Revision == s.Update })
	old := int32(len(rest)) - updated // #nosec G115 -- a set has at most 10000 pods, and as many again on their way out.
	for range surplus {
		wantUpdated := updated-(s.Replicas-stay) > old-stay
		i := 0
		for j := range rest {
			if !sameRank(rest[0], rest[j]) {
				break
			}
			if (rest[j].Revision == s.Update) == wantUpdated {
				i = j
				break
			}
		}
		pod := rest[i]
		if !b.take(pod) {
			break
		}
		p.ScaleDown = append(p.ScaleDown, pod.Name)
		rest = slices.Delete(rest, i, i+1)
		if pod.Revision == s.Update {
			updated--
		} else {
			old--
		}
	}
	return rest
}

func sameRank(x, y InPlacePod) bool {
	return x.Leaving == y.Leaving && x.Available == y.Available && x.Ready == y.Ready
}

// update picks the pods that get to the update revision: first those that are on their way already, then the not available, then those that are on
// neither revision, then the oldest.
func (p *InPlaceSetPlan) update(s InPlaceSetState, pods []InPlacePod, b *budget) {
	quota := p.Expected - count(pods, func(pod InPlacePod) bool { return pod.Revision == s.Update })
	for _, revision := range p.Create {
		if revision == s.Update {
			quota--
		}
	}
	candidates := slices.DeleteFunc(slices.Clone(pods), func(pod InPlacePod) bool { return pod.Revision == s.Update })
	slices.SortFunc(candidates, func(x, y InPlacePod) int {
		return cmp.Or(
			first(x.Closed, y.Closed), first(!x.Available, !y.Available), first(!x.Ready, !y.Ready),
			first(x.Revision != s.Current, y.Revision != s.Current),
			x.Created.Compare(y.Created), cmp.Compare(x.Name, y.Name))
	})
	for _, pod := range candidates {
		if quota <= 0 {
			return
		}
		quota--
		if !b.take(pod) {
			continue
		}
		if pod.Rebuild {
			p.Rebuild = append(p.Rebuild, pod.Name)
		} else {
			p.Update = append(p.Update, pod.Name)
		}
	}
}

// first orders what is true before what is not.
func first(x, y bool) int {
	switch {
	case x == y:
		return 0
	case x:
		return -1
	}
	return 1
}

func count(pods []InPlacePod, is func(InPlacePod) bool) int32 {
	var n int32
	for _, pod := range pods {
		if is(pod) {
			n++
		}
	}
	return n
}
