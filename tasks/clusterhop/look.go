package clusterhop

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/periplus-dev/periplus/pkg/stage"
)

// look says what became of every member, from its runs and from what people ask.
func (h *hop) look(ctx context.Context) error {
	for _, m := range h.members {
		var err error
		switch m.mark {
		case done:
		case failed, skipped:
			h.again(m)
		case waiting:
			h.untouched(m)
		case meant:
			h.known(m)
		default:
			m.mark = begun
			err = h.underway(ctx, m)
		}
		if err == nil && m.mark == begun && m.child != nil && !m.child.Done {
			err = h.run.KnowChild(ctx, m.child)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// skipAsked says whether a person wants a member left out, and did not change his mind since.
func (h *hop) skipAsked(m *member) bool {
	hand := h.hands[m.name]
	return !hand.Skipped.IsZero() && !hand.Skipped.Before(hand.Retried)
}

func (h *hop) skip(m *member) {
	hand := h.hands[m.name]
	h.over(m, skipped, "skipped "+hand.Words, hand.Skipped)
}

// again has a member that is over tried again, or left out, where a person asked for it since.
func (h *hop) again(m *member) {
	hand := h.hands[m.name]
	switch {
	case m.mark == failed && h.skipAsked(m):
		h.skip(m)
	case !hand.Retried.IsZero() && hand.Retried.Unix() >= h.log.Notes[m.index].At && !h.skipAsked(m):
		m.mark = waiting
		h.log.Notes[m.index] = note{From: hand.Retried.Unix()}
		h.untouched(m)
	}
}

// untouched is a member that this hop did not begin, as far as it remembers. A run of it may be there: of an earlier attempt, of the run that is
// retried, or of a pass that was cut off.
func (h *hop) untouched(m *member) {
	var last *stage.Child
	if n := len(m.tries); n > 0 && !h.run.TakenBackSince(m.name, m.tries[n-1].Created) {
		last = &m.tries[n-1]
	}
	switch {
	case last != nil && last.Settled:
		h.over(m, done, "", time.Time{})
	case last != nil && (!last.Done || last.Succeeded):
		m.mark, m.child = begun, last
		h.log.Runs[m.name] = last.Name
		h.progress(m)
	case h.skipAsked(m):
		h.skip(m)
	case last != nil && last.Own && last.Ended.After(h.hands[m.name].Retried):
		h.lost(m, last)
	}
}

// lost is a member whose run failed.
func (h *hop) lost(m *member, c *stage.Child) {
	h.over(m, failed, fmt.Sprintf("PipelineRun %s: %s", c.Name, c.Message), c.Ended)
}

// known is a member whose run was meant: it may have been made already.
func (h *hop) known(m *member) {
	for i := range m.tries {
		if m.tries[i].Name == h.log.Runs[m.name] {
			m.mark, m.child = begun, &m.tries[i]
			h.progress(m)
			return
		}
	}
}

// underway is a member whose run was made.
func (h *hop) underway(ctx context.Context, m *member) error {
	name := h.log.Runs[m.name]
	for i := range m.tries {
		if m.tries[i].Name == name {
			m.child = &m.tries[i]
		}
	}
	if m.child == nil {
		c, err := h.run.Child(ctx, name, m.name)
		switch {
		case errors.Is(err, stage.ErrNameTaken):
			h.over(m, failed, err.Error(), h.run.Now)
			return nil
		case err != nil:
			return err
		case c == nil && h.skipAsked(m):
			h.skip(m)
			return nil
		case c == nil:
			h.over(m, failed, "PipelineRun "+name+" was deleted", h.run.Now)
			return nil
		}
		m.child = c
	}
	c := m.child
	switch {
	case !c.Done && h.skipAsked(m):
		m.reason, m.at = stage.ReasonCarrying, fmt.Sprintf("PipelineRun %s is ending: skipped %s", name, h.hands[m.name].Words)
		return h.run.EndChild(ctx, c)
	case c.Done && h.skipAsked(m):
		h.skip(m)
	case c.Done && !c.Succeeded:
		if err := h.run.SettleGuards(ctx, m.name); err != nil {
			return err
		}
		h.lost(m, c)
	case c.Settled:
		h.over(m, done, "", time.Time{})
	default:
		h.progress(m)
	}
	return nil
}

// progress says what a run is at.
func (h *hop) progress(m *member) {
	m.reason = stage.ReasonCarrying
	switch {
	case m.child.Ending && !m.child.Done:
		m.at = "PipelineRun " + m.child.Name + " was told to end"
	case m.child.Done:
		m.at = "PipelineRun " + m.child.Name + " succeeded"
	case m.child.Message == "":
		m.at = "PipelineRun " + m.child.Name + " is made"
	default:
		m.at = "PipelineRun " + m.child.Name + ": " + cut(m.child.Message, maxWhy)
	}
}
