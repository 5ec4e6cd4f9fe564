package clusterhop

import (
	"context"
	"fmt"
	"time"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/stage"
)

// settle judges the members whose run succeeded: silent for a time under During guards, then After guards. Once more failed than is borne it waits for
// nobody's silence.
func (h *hop) settle(ctx context.Context) error {
	var quiet []*member
	var names []string
	for _, m := range h.members {
		if m.mark == begun && m.child != nil && m.child.Done && m.child.Succeeded {
			quiet, names = append(quiet, m), append(names, m.name)
		}
	}
	if len(quiet) == 0 || h.count(failed) > h.limit {
		return nil
	}
	var world *stage.World
	if h.run.Admitted.Target != nil {
		var err error
		if world, err = h.run.Observe(names); err != nil {
			return err
		}
		h.run.Progress(world, names, nil)
	}
	for _, m := range quiet {
		settled, err := h.judge(ctx, m, world)
		if err != nil {
			return err
		}
		if !settled {
			continue
		}
		if err := h.run.SettleGuards(ctx, m.name); err != nil {
			return err
		}
		if m.mark == begun {
			if err := h.run.SettleChild(ctx, m.child); err != nil {
				return err
			}
			h.over(m, done, "", time.Time{})
		}
		h.run.LetGo()
	}
	return nil
}

// judge says whether a member is settled: done, or failed by a guard.
func (h *hop) judge(_ context.Context, m *member, world *stage.World) (bool, error) {
	from := h.since(m)
	until := from
	if h.spec.SilentPeriod != nil {
		until = from.Add(h.spec.SilentPeriod.Duration)
	}
	if world != nil {
		only := []string{m.name}
		judging := stage.Judging{World: world.Only(only), Members: only, FirstMoved: from, Moved: from, Step: 1}
		sum, wake := h.run.Judge(v1alpha1.During, judging)
		if out := stage.GuardOutcome(sum, h.spec.OnGuardFailure, wake); out != nil {
			h.wake = earlier(h.wake, wake)
			// A guard that has not passed yet holds at the end of the period, however short that is.
			if stage.Stops(sum) || !h.run.Now.Before(until) {
				return h.heldBy(m, out, "in the silent period"), nil
			}
		}
		if !h.run.Now.Before(until) {
			judging.Moved = until
			sum, wake = h.run.Judge(v1alpha1.After, judging)
			if out := stage.GuardOutcome(sum, h.spec.OnGuardFailure, wake); out != nil {
				h.wake = earlier(h.wake, wake)
				return h.heldBy(m, out, "after its run"), nil
			}
		}
	}
	if h.run.Now.Before(until) {
		h.wake = earlier(h.wake, until)
		m.reason, m.at = stage.ReasonSilentPeriod, fmt.Sprintf("silent until %s", until.UTC().Format("15:04:05 MST"))
		return false, nil
	}
	return true, nil
}

// since is when a member's silent period begins: when its run ended, or when somebody looks at it again.
func (h *hop) since(m *member) time.Time {
	from := m.child.Ended
	if !m.child.Own && h.run.Started.After(from) {
		from = h.run.Started
	}
	if again := time.Unix(h.log.Notes[m.index].From, 0); again.After(from) {
		from = again
	}
	return from
}

// heldBy notes what a guard keeps a member from, and says whether that is the end of it.
func (h *hop) heldBy(m *member, out *stage.Outcome, when string) bool {
	if out.Reason == stage.ReasonGuardFailed {
		h.over(m, failed, "guards "+when+": "+out.Message, h.run.Now)
		return true
	}
	m.reason, m.at = out.Reason, "guards "+when+": "+cut(out.Message, maxWhy)
	return false
}
