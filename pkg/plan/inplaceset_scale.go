package plan

import (
	"cmp"
	"slices"
)

// create plans the pods that are missing, and returns the revisions of all of them: the current one while fewer than stay are on it. Those that got lost
// are made at once, others as far as the limit of scaling lets them be.
func (p *InPlaceSetPlan) create(s InPlaceSetState, pods []*InPlacePod, stay, available int32, l limits) []string {
	live := int32(len(pods)) // #nosec G115 -- a set has at most 10000 pods, and as many again on their way out.
	n := s.Replicas - live
	if n <= 0 {
		return nil
	}
	current := int32(0)
	for _, pod := range pods {
		if pod.Revision == s.Current {
			current++
		}
	}
	missing := make([]string, 0, n+l.surge)
	for range n {
		if current < stay {
			missing = append(missing, s.Current)
			current++
		} else {
			missing = append(missing, s.Update)
		}
	}
	now := n
	if l.scale >= 0 {
		lost := min(max(s.Established-live, 0), n)
		now = lost + min(max(l.scale-(live-available)-lost, 0), n-lost)
	}
	p.Create, p.Later = missing[:now:now], n-now
	return missing
}

// surge plans the pods above replicas, and returns how many there may be: all that the limit lets be as long as quota pods are to move, so that what was
// made is not taken away before its end; none otherwise.
func (p *InPlaceSetPlan) surge(s InPlaceSetState, pods []*InPlacePod, quota, stay int32, l limits) int32 {
	if s.Paused || s.Refused {
		return 0
	}
	above := max(int32(len(pods))-s.Replicas, 0) // #nosec G115 -- see create.
	if quota <= 0 {
		p.surgeForUnwanted(s, pods, stay, above, l)
		return 0
	}
	if p.Later > 0 {
		return l.surge // those that are missing come first.
	}
	for range min(l.surge-above, quota) {
		p.Create = append(p.Create, s.Update)
	}
	return l.surge
}

// surgeForUnwanted plans replacements for unwanted pods that could never go otherwise, because none may be unavailable.
func (p *InPlaceSetPlan) surgeForUnwanted(s InPlaceSetState, pods []*InPlacePod, stay, above int32, l limits) {
	if l.unavailable > 0 || p.Later > 0 {
		return
	}
	n := l.surge - above
	old := int32(0)
	for _, pod := range pods {
		if pod.Revision != s.Update && (!pod.Unwanted || !pod.serves()) {
			old++
		}
	}
	for _, pod := range pods {
		if !pod.Unwanted || !pod.serves() {
			continue
		}
		if above > 0 {
			above-- // its replacement is there.
			continue
		}
		if n--; n < 0 {
			return
		}
		if old < stay {
			p.Create = append(p.Create, s.Current)
			old++
		} else {
			p.Create = append(p.Create, s.Update)
		}
	}
}

// shares are how many pods belong on which revision.
type shares struct {
	stay, updated int32
	// surge is how many there may be above replicas now, maxSurge how many there may have been.
	surge, maxSurge int32
}

// scaleDown picks the pods that are too many and returns the rest: first those that are on their way out already, then the unwanted, then the not
// available, the not ready before the ready, then those of the revision that is over its share, then the newest. At the end of a surge old pods above
// their share go before all others: an updated one that is not available yet must not go in their stead. A paused set takes its surge back.
func (p *InPlaceSetPlan) scaleDown(s InPlaceSetState, pods []*InPlacePod, of shares, b *budget) []*InPlacePod {
	surplus := int32(len(pods)) - s.Replicas - of.surge // #nosec G115 -- see create.
	if surplus <= 0 {
		return pods
	}
	old := int32(len(pods)) - of.updated // #nosec G115 -- see create.
	var ways [mostLost + 1][]*InPlacePod // the newest first.
	for _, pod := range slices.Backward(byAge(pods)) {
		ways[way(pod)] = append(ways[way(pod)], pod)
	}
	gone := map[*InPlacePod]bool{}
	take := func(pod *InPlacePod) bool {
		switch v, name := b.take(pod); v {
		case overLimit:
			return false
		case overBudget:
			b.waits(name)
			// It is one of those that go, later: another in its stead would make one too few.
		default:
			p.ScaleDown = append(p.ScaleDown, pod.Name)
		}
		gone[pod] = true
		surplus--
		if pod.Revision == s.Update {
			of.updated--
		} else {
			old--
		}
		return true
	}

	ending, updatedGo := int32(0), s.Paused
	if of.surge == 0 {
		ending = min(surplus, of.maxSurge, old-of.stay)
		if updatedGo {
			ending = min(surplus, of.maxSurge, of.updated)
		}
	}
	for _, pod := range slices.Concat(ways[:]...) {
		if ending <= 0 {
			break
		}
		if (pod.Revision == s.Update) == updatedGo {
			if !take(pod) {
				return without(pods, gone)
			}
			ending--
		}
	}

	for _, alike := range ways {
		var queues [2][]*InPlacePod // of old pods, and of updated ones.
		for _, pod := range alike {
			if !gone[pod] {
				queues[side(pod.Revision == s.Update)] = append(queues[side(pod.Revision == s.Update)], pod)
			}
		}
		for surplus > 0 && len(queues[0])+len(queues[1]) > 0 {
			from := side(of.updated-(s.Replicas-of.stay) > old-of.stay)
			if len(queues[from]) == 0 {
				from = 1 - from
			}
			pod := queues[from][0]
			queues[from] = queues[from][1:]
			if !take(pod) {
				return without(pods, gone)
			}
		}
	}
	return without(pods, gone)
}

func side(updated bool) int {
	if updated {
		return 1
	}
	return 0
}

// mostLost is the greatest way.
const mostLost = 6

// way says how much is lost with a pod that goes: the lower, the less.
func way(pod *InPlacePod) int {
	switch {
	case pod.Leaving:
		return 0
	case pod.Unwanted && !pod.Available && !pod.Ready:
		return 1
	case pod.Unwanted && !pod.Available:
		return 2
	case pod.Unwanted:
		return 3
	case !pod.Available && !pod.Ready:
		return 4
	case !pod.Available:
		return 5
	}
	return mostLost
}

func without(pods []*InPlacePod, gone map[*InPlacePod]bool) []*InPlacePod {
	return slices.DeleteFunc(slices.Clone(pods), func(pod *InPlacePod) bool { return gone[pod] })
}

// replace picks the unwanted pods, for others to be made in their place, and returns how many of the pods that are to get to the update revision do
// so by that: of quota, those on another.
func (p *InPlaceSetPlan) replace(s InPlaceSetState, pods []*InPlacePod, quota int32, b *budget) int32 {
	var unwanted []*InPlacePod
	for _, pod := range pods {
		if pod.Unwanted {
			unwanted = append(unwanted, pod)
		}
	}
	slices.SortFunc(unwanted, func(x, y *InPlacePod) int { return cmp.Or(way(x)-way(y), older(x, y)) })
	var moved int32
	for _, pod := range unwanted {
		switch v, name := b.take(pod); v {
		case taken:
			p.Rebuild = append(p.Rebuild, pod.Name)
		case overBudget:
			b.waits(name)
		case overLimit:
			continue // the turn is another's, which may be down and the very one that it waits for.
		}
		if pod.Revision != s.Update && moved < quota {
			moved++
		}
	}
	return moved
}
