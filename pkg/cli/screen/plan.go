package screen

import (
	"math"
	"strings"
)

// Plan is what a command is about to do and how far it reaches, ready to be shown.
type Plan struct {
	// Title says what is done to what, and Facts who and since when.
	Title string
	Facts []string
	Parts []PlanPart
}

// PlanPart is one side of it, such as what runs now, or what will happen.
type PlanPart struct {
	Label string
	Lines []string
	// Warns is true for what a person should not overlook.
	Warns bool
}

// Add adds a part that has lines.
func (p *Plan) Add(label string, lines ...string) {
	if len(lines) > 0 {
		p.Parts = append(p.Parts, PlanPart{Label: label, Lines: lines})
	}
}

// Warn adds a part that should not be overlooked.
func (p *Plan) Warn(label string, lines ...string) {
	if len(lines) > 0 {
		p.Parts = append(p.Parts, PlanPart{Label: label, Lines: lines, Warns: true})
	}
}

// RenderPlan draws a plan. Every line ends with a newline. Nothing is left out: who agrees to something sees all of it.
func RenderPlan(p Plan, look Look) string {
	g := unicodeGlyphs
	if look.ASCII {
		g = asciiGlyphs
	}
	out := wrapped(append([]string{p.Title}, p.Facts...), g, look.Width)
	labels := 0
	for _, part := range p.Parts {
		labels = max(labels, columns(part.Label))
	}
	for _, part := range p.Parts {
		colour := plain
		if part.Warns {
			colour = asks
		}
		label := part.Label
		for _, l := range part.Lines {
			mark := strings.Repeat(" ", gap) + label + strings.Repeat(" ", labels-columns(label)+gap)
			out = append(out, note{mark, l, colour, math.MaxInt}.draw(0, look.Width, g)...)
			label = ""
		}
	}
	var b strings.Builder
	for _, l := range out {
		l.write(&b, look.Colour)
		b.WriteByte('\n')
	}
	return b.String()
}

// wrapped joins phrases into lines of so many columns, the first of them strong.
func wrapped(phrases []string, g glyphs, room int) []line {
	var out []line
	for i, phrase := range phrases {
		phrase = g.plainly(oneLine(phrase))
		switch {
		case i == 0:
			for _, part := range wrap(phrase, room) {
				out = append(out, text(part, strong))
			}
		case room <= 0 || out[len(out)-1].width()+columns(g.sep)+columns(phrase) <= room:
			out[len(out)-1] = out[len(out)-1].and(g.sep, faint).and(phrase, faint)
		default:
			for _, part := range wrap(phrase, room-gap) {
				out = append(out, line{}.pad(gap, false).and(part, faint))
			}
		}
	}
	return out
}
