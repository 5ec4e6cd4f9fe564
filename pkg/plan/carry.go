package plan

import (
	"slices"
	"time"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

// Carrying is where a member of a carrier stands.
type Carrying int

const (
	// MemberWaiting is not begun.
	MemberWaiting Carrying = iota
	// MemberWorking was begun and is not over: its run is to be made, is on, or is followed by the silent period and guards. It holds a place.
	MemberWorking
	// MemberDone, MemberFailed and MemberSkipped are over.
	MemberDone
	MemberFailed
	MemberSkipped
)

// Over says whether nothing more is to happen in the member.
func (c Carrying) Over() bool { return c >= MemberDone }

// Convoy is all members of a carrier as observed, and the rules they go by.
type Convoy struct {
	// Waves of members, in the order they are begun.
	Waves [][]Carrying
	// Parallel is how many members each wave works on at once; those of other waves that are still worked on count.
	Parallel []int
	// MaxFailures that are borne.
	MaxFailures int
	// Pause between waves, counted from Since: when the present wave came to be the present one, zero for the first.
	Pause time.Duration
	Since time.Time
	Now   time.Time
}

// Place is a member's place: its wave, and its index in that.
type Place struct{ Wave, Index int }

// Course is what is to happen next.
type Course struct {
	// Wave is the first that is not over; as many as there are waves where all are.
	Wave int
	// Turn are the members whose turn it is to be begun, in order, at most as many as there are places.
	Turn []Place
	// PausedUntil is when the pause before the wave ends; zero where there is none.
	PausedUntil time.Time
	// Stopped means that more failed than is borne: nobody further is begun.
	Stopped bool
	// Ended means that nothing is left to do: everybody is over, or it is stopped and nobody is worked on. Lost says that it ended badly.
	Ended, Lost bool
}

// Count says how many members are in a state.
func (c *Convoy) Count(state Carrying) int {
	n := 0
	for _, w := range c.Waves {
		for _, m := range w {
			if m == state {
				n++
			}
		}
	}
	return n
}

// Next decides what is to happen next. A wave begins once everybody of the ones before is over and the pause has passed.
func (c *Convoy) Next() Course {
	out := Course{Wave: len(c.Waves)}
	for i, w := range c.Waves {
		if slices.ContainsFunc(w, func(m Carrying) bool { return !m.Over() }) {
			out.Wave = i
			break
		}
	}
	working := c.Count(MemberWorking)
	if c.Count(MemberFailed) > c.MaxFailures {
		out.Stopped, out.Lost, out.Ended = true, true, working == 0
		return out
	}
	if out.Wave == len(c.Waves) {
		out.Ended = true
		return out
	}
	if !c.Since.IsZero() && c.Pause > 0 {
		if until := c.Since.Add(c.Pause); c.Now.Before(until) {
			out.PausedUntil = until
			return out
		}
	}
	places := max(1, c.Parallel[out.Wave]) - working
	for i, m := range c.Waves[out.Wave] {
		if m == MemberWaiting && places > 0 {
			places--
			out.Turn = append(out.Turn, Place{out.Wave, i})
		}
	}
	return out
}

// Clearance is what was found of a member whose turn it is.
type Clearance int

const (
	// NotYet means that it is not known yet: it is being connected to, or its guards are pending or hold.
	NotYet Clearance = iota
	// Clear means that it answers and its guards let it go.
	Clear
	// Cut off means that it does not answer.
	CutOff
	// Refused means that a guard failed, or that what is to be moved is not there.
	Refused
	// Gone means that it is not in the fleet any more.
	Gone
)

// Admit says what becomes of the members whose turn it is, in order: as what each goes on. One that is cut off keeps those after it from being begun, or
// is skipped; one that is not clear yet keeps its place and nobody else's.
func Admit(turn []Clearance, onUnreachable v1alpha1.OnUnreachable) []Carrying {
	out := make([]Carrying, len(turn))
	held := false
	for i, c := range turn {
		switch {
		case c == CutOff && onUnreachable == v1alpha1.UnreachableSkip, c == Gone:
			out[i] = MemberSkipped
		case c == CutOff:
			held = true
		case c == Refused:
			out[i] = MemberFailed
		case c == Clear && !held:
			out[i] = MemberWorking
		}
	}
	return out
}
