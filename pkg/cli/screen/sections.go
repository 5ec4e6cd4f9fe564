package screen

import (
	"fmt"
	"slices"
	"strings"

	stages "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

// barCells is how wide the bar of a unit is at most; up to so many replicas each pod has a cell of its own.
const barCells = 10

// units draws the members by unit.
func units(m *Model, g glyphs, room int, d detail) []line {
	shown, left := choose(len(m.Units), d.units, func(i int) bool { return !m.Units[i].settled() })
	t := table{notesUnder: 1, columns: []tableColumn{
		{title: "MEMBER", least: 8},
		{title: "UNIT", least: 6},
		{title: "WORKLOAD", least: 14, keep: 2},
		{title: "OLD", right: true},
		{title: "NEW", right: true},
		{title: "READY", right: true},
		{title: "", keep: 4},
		{title: "WANT", right: true, keep: 5},
		{title: "PARTITION", right: true, keep: 3},
		{title: "SEEN", keep: 1},
	}}
	mixed := slices.ContainsFunc(m.Units, func(u Unit) bool { return u.AsOf != nil || u.Unreachable })
	member := ""
	for n, i := range shown {
		u := m.Units[i]
		name := u.Member
		if n > 0 && name == member {
			name = ""
		}
		member = u.Member
		seen := ""
		if u.Unreachable {
			seen = "lost"
		} else if u.AsOf != nil {
			seen = clock(u.AsOf.Time, m.At.Time, minutes)
		} else if mixed {
			seen = "now"
		}
		ready := plain
		if u.Ready < u.Replicas {
			ready = asks
		}
		updated := plain
		if u.Updated < u.Want {
			updated = busy
		}
		row := tableRow{cells: []line{
			text(g.plainly(name), strong), text(g.plainly(unitLabel(u.Unit)), plain), text(g.plainly(u.Workload), plain),
			text(fmt.Sprint(u.Old()), plain), text(fmt.Sprint(u.Updated), updated),
			text(fmt.Sprintf("%d/%d", u.Ready, u.Replicas), ready), bar(u, g),
			text(fmt.Sprint(u.Want), plain), text(g.plainly(u.Partition), plain), text(seen, faint),
		}}
		if u.Trouble != "" {
			row.notes = []note{{g.failed + " ", u.Trouble, bad, d.messages}}
		} else if n := u.Updated - u.UpdatedAvailable; n > 0 && u.AsOf == nil && !u.Unreachable {
			row.notes = []note{{"", plural(int(n), "new pod") + " not available yet", faint, 1}}
		}
		t.rows = append(t.rows, row)
	}
	out := t.draw(room, g)
	if left > 0 {
		out = append(out, text(fmt.Sprintf("%s and %s as wanted", g.ellipsis, plural(left, "more unit")), faint))
	}
	for _, u := range m.Unreachable {
		out = append(out, note{g.failed + " ", u.said(), bad, d.messages}.draw(0, room, g)...)
	}
	return out
}

// choose gives the indices that are shown of n, in order: all of them where the limit allows, else what matters first. left is how many
// are not shown.
func choose(n, limit int, matters func(int) bool) (shown []int, left int) {
	room := n
	if limit >= 0 {
		room = min(n, limit)
	}
	take := make([]bool, n)
	for _, first := range []bool{true, false} {
		for i := range n {
			if room > 0 && !take[i] && matters(i) == first {
				take[i] = true
				room--
			}
		}
	}
	for i := range n {
		if take[i] {
			shown = append(shown, i)
		} else {
			left++
		}
	}
	return shown, left
}

// bar draws the pods of a unit: new and available, new and not yet, old. A kind of pods that is there has at least one cell, and
// one that is not has none.
func bar(u Unit, g glyphs) line {
	total := int(max(u.Replicas, u.Updated))
	if total == 0 {
		return text("", plain)
	}
	cells := min(total, barCells)
	available := int(u.UpdatedAvailable)
	counts := []int{available, max(0, int(u.Updated)-available), int(u.Old())}
	widths := make([]int, 3)
	sum := 0
	for i, c := range counts {
		widths[i] = c * cells / total
		if c > 0 && widths[i] == 0 {
			widths[i] = 1
		}
		sum += widths[i]
	}
	for sum != cells {
		// What rounding left over goes to the largest, and what it took too much is taken from there.
		largest := 0
		for i := range widths {
			if counts[i] > counts[largest] {
				largest = i
			}
		}
		step := 1
		if sum > cells {
			step = -1
		}
		widths[largest] += step
		sum += step
	}
	return text(strings.Repeat(g.cellNew, widths[0]), good).and(strings.Repeat(g.cellComing, widths[1]), busy).and(strings.Repeat(g.cellOld, widths[2]), faint)
}

// guardsOf draws the guards that matter now.
func guardsOf(m *Model, g glyphs, room int, d detail) []line {
	var current []Guard
	var of []string
	for _, gd := range m.Guards {
		if !gd.Current {
			continue
		}
		if len(of) == 0 || of[len(of)-1] != gd.Stage {
			of = append(of, gd.Stage)
		}
		current = append(current, gd)
	}
	if len(current) == 0 {
		return nil
	}
	shown, left := choose(len(current), d.guards, func(i int) bool { return matters(current[i].Verdict) })
	title, since := "GUARD", "FOR"
	if !runs(m, of[0]) {
		title, since = "GUARD of "+g.plainly(of[0]), "SINCE"
	}
	t := table{notesIn: columns(g.done) + 1, columns: []tableColumn{
		{title: title, least: 18}, {title: "STAGE", keep: 4, least: 8}, {title: "MEMBER", keep: 5, least: 6}, {title: "WHEN", keep: 2},
		{title: "VERDICT"}, {title: since, keep: 3}, {title: "VALUE", least: 10, keep: 1}, {title: "SAMPLES"},
	}}
	for _, i := range shown {
		gd := current[i]
		mark, colour := g.guard(gd.Verdict)
		name := gd.Name
		if gd.DryRun {
			name += " (dry run)"
			colour = faint
		}
		stage := ""
		if len(of) > 1 {
			stage = gd.Stage
		}
		held := ""
		if gd.Since != nil {
			held = lasting(m.At.Sub(gd.Since.Time))
			if !runs(m, gd.Stage) {
				held = clock(gd.Since.Time, m.At.Time, seconds)
			}
		}
		row := tableRow{cells: []line{
			text(mark+" ", colour).and(g.plainly(name), plain), text(g.plainly(stage), plain), text(g.plainly(gd.Member), plain), text(string(gd.When), faint),
			text(string(gd.Verdict), colour), text(held, faint), text(g.plainly(oneLine(gd.Value)), plain), sampled(gd, g),
		}}
		if gd.Message != "" && gd.Verdict != stages.VerdictPass {
			row.notes = []note{{"", gd.Message, noteInk(gd), d.messages}}
		}
		t.rows = append(t.rows, row)
	}
	value, last := len(t.columns)-2, len(t.columns)-1
	if room > 0 && t.widest() > room {
		// Value and threshold must be read in full before samples are: both go below.
		for n, i := range shown {
			row := &t.rows[n]
			row.cells[last] = line{}
			if gd := current[i]; len(gd.Metrics) > 0 && gd.Value != "" && d.guards < 0 {
				row.cells[value] = line{}
				row.notes = append([]note{{"", gd.Value, plain, d.messages}}, row.notes...)
			}
		}
	}
	for n, i := range shown {
		if row := &t.rows[n]; row.cells[last].width() == 0 && d.guards < 0 {
			row.notes = append(row.notes, samplesBelow(current[i], g)...)
		}
	}
	out := t.draw(room, g)
	if left > 0 {
		out = append(out, text(fmt.Sprintf("%s and %s", g.ellipsis, plural(left, "more guard")), faint))
	}
	return out
}

// mostBars is how many samples are drawn of a metric: as many as its status holds.
const mostBars = 20

// sampled is the last samples of a guard that has one metric.
func sampled(gd Guard, g glyphs) line {
	if len(gd.Metrics) != 1 {
		return line{}
	}
	return text(g.plainly(samples(gd.Metrics[0], g, mostBars)), plain)
}

// samplesBelow are the last samples of a guard's metrics, each in a line of its own.
func samplesBelow(gd Guard, g glyphs) []note {
	var out []note
	for _, m := range gd.Metrics {
		if s := samples(m, g, mostBars); s != "" {
			out = append(out, note{"", m.Name + " " + s, plain, 1})
		}
	}
	return out
}

func runs(m *Model, stage string) bool {
	for _, s := range m.Stages {
		if s.Name == stage {
			return s.running()
		}
	}
	return false
}

func matters(v stages.Verdict) bool {
	return v != stages.VerdictPass && v != stages.VerdictNotApplicable
}

func noteInk(gd Guard) ink {
	if gd.Verdict == stages.VerdictFail && !gd.DryRun {
		return bad
	}
	return faint
}

func (g glyphs) guard(v stages.Verdict) (string, ink) {
	switch v {
	case stages.VerdictPass:
		return g.done, good
	case stages.VerdictFail:
		return g.failed, bad
	case stages.VerdictPending:
		return g.pending, busy
	case stages.VerdictNotApplicable:
		return g.na, faint
	}
	return g.doubt, asks
}

// asked draws the open questions and the answers so far.
func asked(m *Model, g glyphs, room int, d detail) []line {
	var out []line
	for _, q := range m.Questions {
		title := fmt.Sprintf("%s asks", q.Stage)
		if q.About != "" {
			title += " about " + oneLine(q.About)
		}
		if q.Message != "" {
			title += fmt.Sprintf(` "%s"`, oneLine(q.Message))
		}
		title += fmt.Sprintf(" · %d of %d said yes", q.Yes, max(1, q.Required))
		out = append(out, note{g.asking + " ", title, strong, d.messages}.draw(0, room, g)...)
		indent := columns(g.asking) + 1
		if len(m.Questions) > 1 {
			for _, part := range wrap(g.plainly(q.Command), room-indent-columns(g.prompt)) {
				out = append(out, line{}.pad(indent, false).and(g.prompt, faint).and(part, asks))
			}
		}
		answers := q.Answers[max(0, len(q.Answers)-d.answers):]
		for _, a := range answers {
			word, mark, colour := "approved", g.done, good
			if a.Decision == stages.Reject {
				word, mark, colour = "rejected", g.failed, bad
			}
			said := fmt.Sprintf("%s %s %s", a.User, word, clock(a.Time.Time, m.At.Time, seconds))
			if a.Message != "" {
				said += ": " + a.Message
			}
			out = append(out, note{mark + " ", said, colour, d.messages}.draw(indent, room, g)...)
		}
		ignored := q.Ignored[max(0, len(q.Ignored)-d.answers):]
		for _, i := range ignored {
			out = append(out, note{g.skipped + " ", "does not count: " + i, faint, d.messages}.draw(indent, room, g)...)
		}
	}
	return out
}
