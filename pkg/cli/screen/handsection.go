package screen

import (
	"strings"

	stages "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

// hands draws what people did beside answering: freezes that stop the run, interventions, the rollback, and retries.
func hands(m *Model, g glyphs, room int, d detail) []line {
	var out []line
	add := func(mark, said string, i ink) {
		out = append(out, note{mark + " ", said, i, d.messages}.draw(0, room, g)...)
	}
	for _, f := range m.Freezes {
		add(g.doubt, f.said(m, true), asks)
		indent := columns(g.doubt) + 1
		for _, part := range wrap(g.plainly(f.Command), room-indent-columns(g.prompt)) {
			out = append(out, line{}.pad(indent, false).and(g.prompt, faint).and(part, asks))
		}
	}
	shown := m.Interventions[max(0, len(m.Interventions)-d.answers):]
	for _, i := range shown {
		mark, colour := g.hand(i)
		add(mark, i.did()+" "+clock(i.Time.Time, m.At.Time, seconds)+": "+i.Message, colour)
	}
	if m.Release == nil {
		return out
	}
	if r := m.Release.Rollback; r != nil {
		mark, colour := g.running, busy
		if r.CompletionTime != nil {
			mark, colour = g.stopped, plain
		}
		add(mark, rollbackSaid(m, *r), colour)
	}
	for _, r := range m.Release.Runs {
		switch {
		case r.UID == m.UID && r.Role == stages.RoleRetry:
			add(g.running, "carries the release of "+m.Release.Root+" on, which failed", plain)
		case r.UID == m.UID && r.Role == stages.RoleChild:
			add(g.running, "carries a part of the release of "+m.Release.Root, plain)
		case r.Role == stages.RoleRetry:
			add(g.running, "carried on by "+r.Name+", which "+nobody(r.Initiator)+" started "+clock(r.Since.Time, m.At.Time, seconds), plain)
		}
	}
	return out
}

func (g glyphs) hand(i Intervention) (string, ink) {
	switch {
	case i.InForce:
		return g.paused, asks
	case i.Action == stages.ActionAbort:
		return g.stopped, bad
	case i.Action == stages.ActionRollback:
		return g.stopped, plain
	case i.Action == stages.ActionSkip:
		return g.skipped, asks
	case i.Action == stages.ActionPause:
		return g.paused, faint
	}
	return g.done, faint
}

func (f Freeze) said(m *Model, countdown bool) string {
	out := "frozen by " + nobody(f.User) + " since " + clock(f.Since.Time, m.At.Time, seconds)
	if f.Unsure {
		out = "perhaps " + out
	}
	if f.Until != nil {
		out += ", " + until(*f.Until, m.At.Time, countdown)
	}
	out += ": " + f.Message + " (" + f.Scope
	if f.Rollbacks == stages.RollbacksAllow {
		out += ", rollbacks go on"
	}
	return out + ")"
}

func rollbackSaid(m *Model, r stages.RollbackRecord) string {
	now := m.At.Time
	out := "rollback"
	if len(r.Members) > 0 {
		out += " of " + strings.Join(r.Members, ", ")
	}
	if r.Initiator != "" {
		out += " by " + r.Initiator
	}
	out += " since " + clock(r.Since.Time, now, seconds)
	if r.CompletionTime != nil {
		out += ", over " + clock(r.CompletionTime.Time, now, seconds)
	}
	if r.Message != "" {
		out += ": " + r.Message
	}
	return out
}
