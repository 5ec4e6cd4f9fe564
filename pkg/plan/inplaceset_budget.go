package plan

// budget is how many pods may still be taken out of service: by the set's own limit, and by the disruption budgets of others.
type budget struct {
	left, refused int32

	of     func(*InPlacePod) []string
	leftOf func(string) int32
	// remaining are the disruption budgets that were asked about.
	remaining map[string]int32
	waiting   map[string]int32
}

// verdict on taking one pod.
type verdict int

const (
	taken verdict = iota
	// overLimit: the set's own limit refuses it, and any other pod like it.
	overLimit
	// overBudget: a disruption budget refuses this pod.
	overBudget
)

// take a pod out of service, if that is allowed.
func (b *budget) take(pod *InPlacePod) (verdict, string) {
	switch {
	case !pod.Available && !pod.serves():
		return taken, "" // there is nothing to take.
	case pod.Available && b.left <= 0, !pod.Available && b.left < 0: // one that is not available serves, and is counted as unavailable already.
		b.refused++
		return overLimit, ""
	}
	if b.of != nil {
		names := b.of(pod)
		for _, name := range names {
			if b.remain(name) <= 0 {
				return overBudget, name
			}
		}
		for _, name := range names {
			b.remaining[name]--
		}
	}
	if pod.Available {
		b.left--
	}
	return taken, ""
}

func (b *budget) remain(name string) int32 {
	n, asked := b.remaining[name]
	if !asked {
		if b.remaining == nil {
			b.remaining = map[string]int32{}
		}
		n = b.leftOf(name)
		b.remaining[name] = n
	}
	return n
}

// waits says that a pod moves once a disruption budget lets it.
func (b *budget) waits(name string) {
	if b.waiting == nil {
		b.waiting = map[string]int32{}
	}
	b.waiting[name]++
}
