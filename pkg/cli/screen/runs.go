package screen

import (
	"fmt"
	"strings"
)

// RenderList draws runs, a line each: name, how many stages are over, when it began, who started it, and the verdict.
func RenderList(models []*Model, look Look, namespaces bool) string {
	g := unicodeGlyphs
	if look.ASCII {
		g = asciiGlyphs
	}
	t := table{columns: []tableColumn{
		{title: "NAMESPACE", least: 8}, {title: "RUN", least: 16}, {title: "STAGES", right: true, keep: 2}, {title: "STARTED", keep: 3},
		{title: "BY", least: 8, keep: 1}, {title: "VERDICT", least: 24},
	}}
	for _, m := range models {
		mark, colour := g.run(m.Verdict)
		namespace := ""
		if namespaces {
			namespace = m.Namespace
		}
		over := 0
		for _, s := range m.Stages {
			if s.over() {
				over++
			}
		}
		started := ""
		if m.Started != nil {
			started = lasting(m.At.Sub(m.Started.Time)) + " ago"
		}
		t.rows = append(t.rows, tableRow{cells: []line{
			text(g.plainly(namespace), plain), text(mark+" ", colour).and(g.plainly(m.Name), strong),
			text(fmt.Sprintf("%d/%d", over, len(m.Stages)), plain), text(started, faint), text(g.plainly(m.Initiator), faint),
			text(g.plainly(m.Verdict.Text), plain),
		}})
	}
	var b strings.Builder
	for _, l := range t.draw(look.Width, g) {
		l.cut(look.Width, g.ellipsis).write(&b, look.Colour)
		b.WriteByte('\n')
	}
	return b.String()
}
