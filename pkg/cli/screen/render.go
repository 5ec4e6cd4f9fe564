package screen

import (
	"fmt"
	"slices"
	"strings"
)

// Look is how a model is drawn.
type Look struct {
	// Width in columns and Height in lines; 0 is no limit. With a limit of height what matters least is left out first.
	Width, Height int
	Colour        bool
	// ASCII draws with ASCII only.
	ASCII bool
}

// detail is how much is shown. Each step of shorter leaves out what matters least of what is left.
type detail struct {
	moves, answers, messages int
	// guards and units at most; those that are as they should be are left out first. Negative is all.
	guards, units int
	foldStages    bool
	tight         bool
}

var details = []detail{
	{moves: 5, answers: 10, messages: 3, guards: -1, units: -1},
	{moves: 2, answers: 10, messages: 3, guards: -1, units: -1},
	{moves: 0, answers: 3, messages: 2, guards: -1, units: -1, foldStages: true},
	{moves: 0, answers: 3, messages: 1, guards: 8, units: 16, foldStages: true},
	{moves: 0, answers: 2, messages: 1, guards: 5, units: 8, foldStages: true},
	{moves: 0, answers: 1, messages: 1, guards: 4, units: 6, foldStages: true, tight: true},
	{moves: 0, answers: 0, messages: 1, guards: 2, units: 3, foldStages: true, tight: true},
}

// Render draws a model. Every line ends with a newline.
func Render(m *Model, look Look) string {
	g := unicodeGlyphs
	if look.ASCII {
		g = asciiGlyphs
	}
	var lines []line
	for _, d := range details {
		lines = draw(m, g, look.Width, d)
		if look.Height <= 0 || len(lines) <= look.Height {
			break
		}
	}
	if look.Height > 0 && len(lines) > look.Height {
		left := len(lines) - look.Height + 1
		lines = append(lines[:look.Height-1], text(fmt.Sprintf("%s %s more: a taller window shows them", g.ellipsis, plural(left, "line")), faint))
	}
	var b strings.Builder
	for _, l := range lines {
		l.cut(look.Width, g.ellipsis).write(&b, look.Colour)
		b.WriteByte('\n')
	}
	return b.String()
}

func draw(m *Model, g glyphs, room int, d detail) []line {
	folded := 0
	if d.foldStages && len(m.Stages) > 8 {
		for folded < len(m.Stages) && m.Stages[folded].State == StageDone {
			folded++
		}
	}
	var out []line
	for _, section := range [][]line{
		headline(m, g, room),
		ribbon(m, g, room, folded),
		units(m, g, room, d),
		guardsOf(m, g, room, d),
		asked(m, g, room, d),
		hands(m, g, room, d),
		record(m, g, room, d),
		remarks(m, g, room),
	} {
		if len(section) == 0 {
			continue
		}
		if len(out) > 0 && !d.tight {
			out = append(out, line{})
		}
		out = append(out, section...)
	}
	return out
}

// headline is the verdict: what it waits for, until when, who can unblock it, and the command.
func headline(m *Model, g glyphs, room int) []line {
	mark, colour := g.run(m.Verdict)
	indent := columns(mark) + 1
	out := []line{text(mark+" ", colour).and(g.plainly(m.Name), strong)}
	add := func(phrase string, i ink) {
		phrase = g.plainly(phrase)
		last := out[len(out)-1]
		if room <= 0 || last.width()+columns(g.sep)+columns(phrase) <= room {
			out[len(out)-1] = last.and(g.sep, faint).and(phrase, i)
			return
		}
		for _, part := range wrap(phrase, room-indent) {
			out = append(out, line{}.pad(indent, false).and(part, i))
		}
	}
	for n, phrase := range m.phrases(true) {
		i := plain
		if n == 0 {
			i = colour
		}
		add(phrase, i)
	}
	if m.Stale != "" {
		out = append(out, note{g.doubt + " ", m.Stale, bad, 3}.draw(indent, room, g)...)
	}
	if m.Verdict.Trouble != "" {
		most := 3
		if len(m.Unreachable) > 0 || slices.ContainsFunc(m.Units, func(u Unit) bool { return u.Trouble != "" }) {
			most = 1 // the table of members has it in full
		}
		out = append(out, note{"", m.Verdict.Trouble, bad, most}.draw(indent, room, g)...)
	}
	if m.Verdict.LastFailure != "" {
		out = append(out, note{"", fmt.Sprintf("attempt %d: %s", m.Verdict.Attempt-1, m.Verdict.LastFailure), faint, 2}.draw(indent, room, g)...)
	}
	if c := m.Verdict.Command; c != "" {
		// A command that is cut is of no use: it goes over as many lines as it needs.
		prompt := g.prompt
		for _, part := range wrap(g.plainly(c), room-indent-columns(prompt)) {
			out = append(out, line{}.pad(indent, false).and(prompt, faint).and(part, asks))
			prompt = strings.Repeat(" ", columns(prompt))
		}
	}
	return out
}

// record is who carries what since when, what was touched, and the last moves.
func record(m *Model, g glyphs, room int, d detail) []line {
	now := m.At.Time
	var facts []string
	if m.Initiator != "" {
		facts = append(facts, "by "+m.Initiator)
	}
	if m.Started != nil {
		since := "started " + clock(m.Started.Time, now, seconds)
		if took, ok := between(m.Started, m.Finished, now); ok && m.Finished == nil {
			since += ", " + lasting(took) + " ago"
		}
		facts = append(facts, since)
	}
	if m.Finished != nil {
		facts = append(facts, "ended "+clock(m.Finished.Time, now, seconds))
	}
	title := "in " + m.Namespace
	var moves []line
	if r := m.Release; r != nil {
		title = "release " + r.Name
		facts = append(facts, touched(r))
		if change := revisions(r, g); change != "" {
			facts = append(facts, change)
		}
		moves = lastMoves(m, g, room, d)
	} else {
		facts = append(facts, "nothing touched yet")
		if m.Over {
			facts[len(facts)-1] = "nothing was touched"
		}
	}
	var out []line
	current := text(g.plainly(title), faint)
	for _, f := range facts {
		f = g.plainly(f)
		if room > 0 && current.width()+columns(g.sep)+columns(f) > room {
			out = append(out, current)
			current = text("  "+f, faint)
			continue
		}
		current = current.and(g.sep+f, faint)
	}
	return append(append(out, current), moves...)
}

func touched(r *Release) string {
	var names []string
	seen := map[string]bool{}
	for _, t := range r.Touched {
		if !seen[t.Member] {
			seen[t.Member] = true
			names = append(names, t.Member)
		}
	}
	if len(r.Touched) == 0 {
		return "nothing touched yet"
	}
	if len(names) > 4 {
		return fmt.Sprintf("touched %s in %s", plural(len(r.Touched), "workload"), plural(len(names), "member"))
	}
	return fmt.Sprintf("touched %s in %s", plural(len(r.Touched), "workload"), list(names, "and"))
}

// revisions gives from where to where the release goes, where it is the same everywhere.
func revisions(r *Release, g glyphs) string {
	pair := ""
	for _, t := range r.Touched {
		if t.Revision == "" {
			continue
		}
		p := short(t.Previous.Revision, t.Workload) + " " + g.arrow + " " + short(t.Revision, t.Workload)
		if pair != "" && p != pair {
			return ""
		}
		pair = p
	}
	return pair
}

// short takes the workload's name off a revision's.
func short(revision, workload string) string {
	if revision == "" {
		return "?"
	}
	return strings.TrimPrefix(revision, workload+"-")
}

func lastMoves(m *Model, g glyphs, room int, d detail) []line {
	moves := m.Release.Moves
	moves = moves[max(0, len(moves)-d.moves):]
	t := table{columns: []tableColumn{{}, {}, {least: 8, keep: 1}, {least: 12}, {least: 8, keep: 2}}}
	for i := len(moves) - 1; i >= 0; i-- {
		v := moves[i]
		cell := func(s string) line { return text(g.plainly(s), faint) }
		t.rows = append(t.rows, tableRow{cells: []line{
			cell("  " + clock(v.Time.Time, m.At.Time, seconds)), cell(v.Member), cell(v.Workload), cell(v.What),
			cell(strings.TrimPrefix(v.Run, m.Name+"-")),
		}})
	}
	return t.draw(room, g)
}

func remarks(m *Model, g glyphs, room int) []line {
	var out []line
	for _, n := range m.Notes {
		for _, part := range wrap(g.plainly("note: "+oneLine(n)), room) {
			out = append(out, text(part, faint))
		}
	}
	return out
}
