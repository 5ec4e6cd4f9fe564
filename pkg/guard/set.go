package guard

import (
	"time"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

// Set is the compiled guards of one stage. It is immutable, and several goroutines may judge with it at once.
type Set struct {
	programs []*Program
}

// Programs returns the guards' programs in their order.
func (s *Set) Programs() []*Program { return append([]*Program(nil), s.programs...) }

// Outcome is what a set found at one moment.
type Outcome struct {
	// Statuses of all guards and members: judged now, or kept from an earlier moment. They replace the ones given.
	Statuses []v1alpha1.GuardStatus
	// Judged are those of Statuses that were judged now, in the same order; Summary is theirs.
	Judged  []v1alpha1.GuardStatus
	Summary Summary
	// WakeAt is when to judge again although nothing happens; zero where only events can change anything.
	WakeAt time.Time
}

// Judge judges every guard whose time it is, for every member, and says whether the stage may go on: make the first move, while
// at.FirstMove is zero (Before guards); make the step's move, while at.Move is zero (During guards); leave the step behind (During and
// After guards). Statuses of Before guards are kept once the first move is made, those of After guards between two steps. Without any
// input there is nothing to be judged on, and every guard is Inconclusive.
func (s *Set) Judge(prev []v1alpha1.GuardStatus, at Moment, inputs []Input) Outcome {
	type key struct{ guard, member string }
	last := make(map[key]v1alpha1.GuardStatus, len(prev))
	for _, st := range prev {
		last[key{st.Name, st.Member}] = st
	}
	if len(inputs) == 0 {
		inputs = []Input{{Missing: "no member was looked at"}}
	}
	views := make([]*view, len(inputs))
	for i := range inputs {
		views[i] = newView(&inputs[i], at.Now)
	}

	var out Outcome
	for _, p := range s.programs {
		timely := due(p.guard.When, at)
		for i := range inputs {
			before, had := last[key{p.guard.Name, inputs[i].Member}]
			if !timely {
				if had && !at.FirstMove.IsZero() {
					out.Statuses = append(out.Statuses, before)
				}
				continue
			}
			next, wakeAt := p.judge(before, at, views[i])
			out.Statuses = append(out.Statuses, next)
			out.Judged = append(out.Judged, next)
			if !wakeAt.IsZero() && (out.WakeAt.IsZero() || wakeAt.Before(out.WakeAt)) {
				out.WakeAt = wakeAt
			}
		}
	}
	out.Summary = Worst(out.Judged)
	return out
}

// due is true when it is the time of such guards.
func due(when v1alpha1.GuardWhen, at Moment) bool {
	if when == v1alpha1.Before {
		return at.FirstMove.IsZero()
	}
	return !moveOf(when, at).IsZero()
}
