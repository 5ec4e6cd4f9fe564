package truth

import (
	"math"
	"runtime"
	"slices"
	"sync"
	"time"
)

// Tally of many canaries under one shape.
type Tally struct {
	Canaries, Failed, Held int
	// After is how long after they were ready those that failed did, shortest first.
	After []time.Duration
}

// Count plays so many canaries, with seeds from the first on, and has all shapes judge each. It uses as many threads as Go does.
func (c Conditions) Count(seed uint64, canaries int, shapes []*Shape) ([]Tally, error) {
	out := make([]Tally, len(shapes))
	var mu sync.Mutex
	var wrong error
	var all sync.WaitGroup
	next := make(chan uint64)
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for s := range next {
				found, err := c.Judge(s, shapes)
				mu.Lock()
				if err != nil && wrong == nil {
					wrong = err
				}
				for i := range found {
					out[i].add(found[i])
				}
				mu.Unlock()
			}
		})
	}
	for i := range canaries {
		next <- seed + uint64(i) // #nosec G115 -- not negative.
	}
	close(next)
	all.Wait()
	for i := range out {
		slices.Sort(out[i].After)
	}
	return out, wrong
}

func (t *Tally) add(o Outcome) {
	t.Canaries++
	switch {
	case o.Failed:
		t.Failed++
		t.After = append(t.After, o.After)
	case o.Held:
		t.Held++
	}
}

// Share of the canaries that failed, and between which shares the true one lies with 95 % confidence (Wilson's interval).
func (t Tally) Share() (share, low, high float64) {
	const z = 1.96
	n := float64(t.Canaries)
	share = float64(t.Failed) / n
	middle := (share + z*z/(2*n)) / (1 + z*z/n)
	reach := z / (1 + z*z/n) * math.Sqrt(share*(1-share)/n+z*z/(4*n*n))
	return share, max(0, middle-reach), min(1, middle+reach)
}

// Within is by when a share q of all canaries had failed, by nearest rank; false where fewer did.
func (t Tally) Within(q float64) (time.Duration, bool) {
	i := max(1, int(math.Ceil(q*float64(t.Canaries))))
	if i > len(t.After) {
		return 0, false
	}
	return t.After[i-1], true
}
