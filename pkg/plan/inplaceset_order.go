package plan

import (
	"cmp"
	"maps"
	"slices"
)

// candidate is a pod that is to get to the update revision, and where it stands.
type candidate struct {
	*InPlacePod
	// place among the pods of the same rank and priority, from 0 to 1.
	place float64
}

// update picks quota pods that get to the update revision, in their order. One that a disruption budget refuses gives its turn to the next. Of those on the
// current revision no more are rebuilt than may leave it: the pod made in its place would be on the current revision again, for ever.
func (p *InPlaceSetPlan) update(s InPlaceSetState, pods []*InPlacePod, quota, stay int32, b *budget) {
	if quota <= 0 {
		return
	}
	spare := -stay
	for _, pod := range pods {
		if pod.Revision == s.Current {
			spare++
		}
	}
	var refused []string
	for _, c := range inOrder(s, pods) {
		if quota <= 0 {
			break
		}
		if c.Rebuild && c.Revision == s.Current {
			if spare <= 0 {
				continue
			}
			spare--
		}
		v, name := b.take(c.InPlacePod)
		if v == overBudget {
			refused = append(refused, name)
			continue
		}
		quota--
		if v == overLimit {
			continue
		}
		if c.Rebuild {
			p.Rebuild = append(p.Rebuild, c.Name)
		} else {
			p.Update = append(p.Update, c.Name)
		}
	}
	for _, name := range refused[:min(len(refused), int(quota))] {
		b.waits(name)
	}
}

// inOrder returns the pods that are not on the update revision, in the order in which they move: first those that are on their way already, then the not
// available, the not ready before the ready, then those that are on neither revision, because they cannot stay; then by priority; then scattered, if that
// is asked for; then the oldest.
func inOrder(s InPlaceSetState, pods []*InPlacePod) []candidate {
	turns := map[int64][]candidate{}
	n := 0
	for _, pod := range byAge(pods) {
		if pod.Revision != s.Update && !pod.Unwanted {
			turn := rank(s, pod)<<33 - int64(pod.Priority)
			turns[turn] = append(turns[turn], candidate{InPlacePod: pod})
			n++
		}
	}
	order := slices.Sorted(maps.Keys(turns))
	out := make([]candidate, 0, n)
	for _, turn := range order {
		out = append(out, turns[turn]...)
	}
	if s.Spread {
		spread(out, s, pods)
		rest := out
		for _, turn := range order {
			slices.SortStableFunc(rest[:len(turns[turn])], func(x, y candidate) int { return cmp.Compare(x.place, y.place) })
			rest = rest[len(turns[turn]):]
		}
	}
	return out
}

func rank(s InPlaceSetState, pod *InPlacePod) int64 {
	n := int64(0)
	if !pod.Closed {
		n += 8
	}
	if pod.Available {
		n += 4
	}
	if pod.Ready {
		n += 2
	}
	if pod.Revision == s.Current {
		n++
	}
	return n
}

// byAge returns pods with the oldest first. Callers that list them so already pay for one look at each.
func byAge(pods []*InPlacePod) []*InPlacePod {
	if slices.IsSortedFunc(pods, older) {
		return pods
	}
	sorted := slices.Clone(pods)
	slices.SortFunc(sorted, older)
	return sorted
}

func older(x, y *InPlacePod) int {
	if c := x.Created.Compare(y.Created); c != 0 {
		return c
	}
	return cmp.Compare(x.Name, y.Name)
}

// spread gives candidates their places, so that those of the same priority with the same Scatter value are as far apart as can be. Pods that have moved
// hold the first places of their value: the order stays the same from pass to pass while pods move, whatever is left of it.
//
// The pods of a value are spread evenly from 0 to 1. Values with the same number of pods take turns, so that many values with few pods each do not all
// meet in the middle.
func spread(candidates []candidate, s InPlaceSetState, pods []*InPlacePod) {
	type key struct {
		priority int32
		value    string
	}
	type class struct {
		priority, size int32
	}
	size, next := map[key]int32{}, map[key]int32{}
	for _, pod := range pods {
		k := key{pod.Priority, pod.Scatter}
		size[k]++
		if pod.Revision == s.Update {
			next[k]++
		}
	}
	keys := make([]key, 0, len(size))
	for k := range size {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(x, y key) int { return cmp.Or(cmp.Compare(x.priority, y.priority), cmp.Compare(x.value, y.value)) })
	turn, turns := map[key]int32{}, map[class]int32{}
	for _, k := range keys {
		c := class{k.priority, size[k]}
		turn[k] = turns[c]
		turns[c]++
	}
	for i := range candidates {
		c := &candidates[i]
		k := key{c.Priority, c.Scatter}
		n := turns[class{k.priority, size[k]}]
		c.place = (float64(next[k]*n+turn[k]) + 0.5) / float64(n*size[k])
		next[k]++
	}
}
