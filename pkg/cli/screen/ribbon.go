package screen

import (
	"fmt"
	"time"
)

// cell is a stage in the ribbon: its mark and name above, how it stands below.
type cell struct {
	top, bottom line
	// turn is true for the first stage of finally, which stands apart.
	turn bool
}

// ribbon draws the stages in order: side by side where there is room, below each other where there is little.
func ribbon(m *Model, g glyphs, room, folded int) []line {
	cells := cellsOf(m, g, folded)
	if room > 0 && room < 72 {
		return underEachOther(cells)
	}
	return sideBySide(cells, g, room)
}

func cellsOf(m *Model, g glyphs, folded int) []cell {
	var cells []cell
	if folded > 1 {
		mark, colour := g.stage(StageDone)
		cells = append(cells, cell{top: text(mark+" ", colour).and(fmt.Sprintf("%d stages", folded), plain), bottom: text("done", faint)})
	} else {
		folded = 0
	}
	finally := false
	for i, s := range m.Stages {
		if i < folded {
			continue
		}
		mark, colour := g.stage(s.State)
		name := plain
		switch s.State {
		case StageRunning, StageAsking, StageFailed, StageCancelled:
			name = strong
		case StagePending, StageSkipped, StageUnknown:
			name = faint
		}
		c := cell{top: text(mark+" ", colour).and(g.plainly(s.Name), name), bottom: text(standing(s, m.At.Time), faint)}
		if s.Finally && !finally {
			c.turn, finally = true, true
		}
		cells = append(cells, c)
	}
	return cells
}

// standing says in a few words how a stage stands.
func standing(s Stage, now time.Time) string {
	word := map[StageState]string{
		StageDone: "done", StageRunning: "running", StageAsking: "asks", StageFailed: "failed", StageCancelled: "cancelled",
		StageSkipped: "skipped", StageUnknown: "not known",
	}[s.State]
	if s.running() && s.Step != nil && s.Step.Total > 1 {
		word = fmt.Sprintf("step %d/%d", s.Step.Index, s.Step.Total)
	}
	if s.Attempt > 1 && s.Attempts > 1 {
		word += fmt.Sprintf(" try %d/%d", s.Attempt, s.Attempts)
	}
	if s.State == StagePending || s.State == StageSkipped {
		return word
	}
	if d, ok := between(s.Started, s.Finished, now); ok {
		word += " " + lasting(d)
	}
	return word
}

func underEachOther(cells []cell) []line {
	widest := 0
	for _, c := range cells {
		widest = max(widest, c.top.width())
	}
	var out []line
	for _, c := range cells {
		out = append(out, c.top.pad(widest+2, false).join(c.bottom).trim())
	}
	return out
}

func sideBySide(cells []cell, g glyphs, room int) []line {
	var out []line
	var top, bottom line
	flush := func() {
		if len(top) > 0 {
			out = append(out, top.trim())
			if b := bottom.trim(); len(b) > 0 {
				out = append(out, b)
			}
		}
		top, bottom = nil, nil
	}
	for i, c := range cells {
		indent := columns(g.pending) + 1
		under := text("", plain).pad(indent, false).join(c.bottom)
		w := max(c.top.width(), under.width())
		link := g.link
		if c.turn {
			link = g.turn
		}
		if i > 0 {
			if len(top) > 0 && room > 0 && top.width()+columns(link)+w > room {
				top = top.trim().and(trimRight(link), faint)
				flush()
			}
			if len(top) > 0 {
				// The link reaches from the name to the next mark, over the room that the words below need.
				top = lead(top, bottom, link, g)
				bottom = bottom.pad(top.width(), false)
			}
		}
		top, bottom = top.join(c.top), bottom.join(under)
	}
	flush()
	return out
}

// lead draws the link from the last name to where the next cell begins.
func lead(top, bottom line, link string, g glyphs) line {
	fill := max(0, bottom.width()-top.width())
	if link == g.turn {
		return top.pad(top.width()+fill, false).and(link, faint)
	}
	rail := []rune(link)[1]
	out := " "
	for range fill {
		out += string(rail)
	}
	return top.and(out+string([]rune(link)[1:]), faint)
}

func trimRight(s string) string {
	for len(s) > 0 && s[len(s)-1] == ' ' {
		s = s[:len(s)-1]
	}
	return s
}
