package plan

import (
	"fmt"

	"k8s.io/apimachinery/pkg/util/intstr"
)

// Share is how many pods a unit gets.
type Share struct {
	Unit     string
	Replicas int32
}

// Allocation spreads pods over units.
type Allocation struct {
	// Shares in the order of the units. Their sum is always the total.
	Shares []Share
	// Misfits says in words which wishes do not have what they ask for, by unit.
	Misfits []string
}

// Allocate spreads replicas pods over units. Wishes come first: numbers, then percentages of replicas, rounded down, but at least one pod for a wish above 0%
// while there are pods left; in the order of units, and each cut to what is left. Units without a wish share the rest evenly, the first ones get the
// remainder. Where every unit has a wish, what percentages lost by rounding goes to them, one each in the order of units; what is left even then is
// spread evenly over all units, which is a misfit. A unit with a wish of nothing gets nothing while any other unit may have it.
//
// Errors: no units, or a wish for a unit that is not there, or one that cannot be read.
func Allocate(replicas int32, units []string, wishes map[string]intstr.IntOrString) (Allocation, error) {
	if len(units) == 0 {
		return Allocation{}, fmt.Errorf("no units to spread %d pods over", replicas)
	}
	a := allocating{left: max(replicas, 0), given: map[string]int32{}}
	if err := checkWishes(units, wishes); err != nil {
		return Allocation{}, err
	}
	a.numbers(units, wishes)
	percents, err := a.percentages(max(replicas, 0), units, wishes)
	if err != nil {
		return Allocation{}, err
	}
	var free []string
	for _, unit := range units {
		if _, ok := wishes[unit]; !ok {
			free = append(free, unit)
		}
	}
	if len(free) > 0 {
		a.even(free)
	} else {
		a.leftOver(units, percents, wishes)
	}
	out := Allocation{Misfits: a.misfits}
	for _, unit := range units {
		out.Shares = append(out.Shares, Share{Unit: unit, Replicas: a.given[unit]})
	}
	return out, nil
}

// Of is the share of a unit; 0 where it has none.
func (a Allocation) Of(unit string) int32 {
	for _, s := range a.Shares {
		if s.Unit == unit {
			return s.Replicas
		}
	}
	return 0
}

type allocating struct {
	left    int32
	given   map[string]int32
	misfits []string
}

func (a *allocating) give(unit string, n int32) {
	a.given[unit] += n
	a.left -= n
}

func (a *allocating) numbers(units []string, wishes map[string]intstr.IntOrString) {
	for _, unit := range units {
		wish, ok := wishes[unit]
		if !ok || wish.Type != intstr.Int {
			continue
		}
		n := max(wish.IntVal, 0)
		if n > a.left {
			a.misfits = append(a.misfits, fmt.Sprintf("%s gets %d of the %d pods that unitReplicas asks for: no more are left of replicas", unit, a.left, n))
			n = a.left
		}
		a.give(unit, n)
	}
}

// percentages gives what percentages ask for, and returns the units that rounding may have left short.
func (a *allocating) percentages(replicas int32, units []string, wishes map[string]intstr.IntOrString) ([]string, error) {
	var short []string
	for _, unit := range units {
		wish, ok := wishes[unit]
		if !ok || wish.Type != intstr.String {
			continue
		}
		n, err := scaled(&wish, replicas, false)
		if err != nil {
			return nil, fmt.Errorf("unitReplicas of unit %s: %q: %w", unit, wish.StrVal, err)
		}
		up, err := scaled(&wish, replicas, true)
		if err != nil {
			return nil, fmt.Errorf("unitReplicas of unit %s: %q: %w", unit, wish.StrVal, err)
		}
		if n == 0 && up > 0 {
			n = 1
		}
		if n > a.left {
			a.misfits = append(a.misfits, fmt.Sprintf("%s gets %d of the %d pods that %s of %d replicas are: no more are left of replicas", unit, a.left, n, wish.StrVal, replicas))
			n = a.left
		}
		if n < up {
			short = append(short, unit)
		}
		a.give(unit, n)
	}
	return short, nil
}

// even gives what is left to units evenly, the remainder to the first.
func (a *allocating) even(units []string) {
	share, more := a.left/int32(len(units)), a.left%int32(len(units)) // #nosec G115 -- a deployment has at most 64 units.
	for i, unit := range units {
		n := share
		if int32(i) < more { // #nosec G115 -- as above.
			n++
		}
		a.give(unit, n)
	}
}

// leftOver gives what is left where every unit has a wish: what rounding took first, then whatever else there is to all that want any.
func (a *allocating) leftOver(units, short []string, wishes map[string]intstr.IntOrString) {
	for _, unit := range short {
		if a.left > 0 {
			a.give(unit, 1)
		}
	}
	if a.left == 0 {
		return
	}
	var wanting []string
	for _, unit := range units {
		if wish := wishes[unit]; wish.Type == intstr.Int && wish.IntVal > 0 || wish.Type == intstr.String && wish.StrVal != "0%" {
			wanting = append(wanting, unit)
		}
	}
	if len(wanting) == 0 {
		wanting = units // somebody has to have them.
	}
	a.misfits = append(a.misfits, fmt.Sprintf("unitReplicas ask for %d pods fewer than replicas: they are spread over %v", a.left, wanting))
	a.even(wanting)
}

func checkWishes(units []string, wishes map[string]intstr.IntOrString) error {
	known := map[string]bool{}
	for _, unit := range units {
		known[unit] = true
	}
	for unit := range wishes {
		if !known[unit] {
			return fmt.Errorf("unitReplicas names unit %s, which is not among %v", unit, units)
		}
	}
	return nil
}
