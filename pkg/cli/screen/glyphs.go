package screen

import "strings"

// glyphs are the marks that are drawn; two sets, for terminals that know Unicode and for those that do not.
type glyphs struct {
	ascii                                                        bool
	done, running, asking, pending, failed, skipped, stopped, na string
	doubt, paused                                                string
	sep, link, turn, arrow, ellipsis, prompt                     string
	cellNew, cellComing, cellOld                                 string
	// bars of samples, the lowest first, and what stands for a sample without a number.
	bars  []string
	noBar string
}

var unicodeGlyphs = glyphs{
	done: "✔", running: "●", asking: "?", pending: "◌", failed: "✖", skipped: "–", stopped: "■", na: "–", doubt: "!", paused: "‖",
	sep: " · ", link: " ─ ", turn: " ┊ ", arrow: "→", ellipsis: "…", prompt: "❯ ",
	cellNew: "█", cellComing: "▒", cellOld: "░",
	bars: []string{"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"}, noBar: "·",
}

var asciiGlyphs = glyphs{
	ascii: true,
	done:  "[ok]", running: "[..]", asking: "[??]", pending: "[  ]", failed: "[!!]", skipped: "[--]", stopped: "[xx]", na: "[--]", doubt: "[?!]", paused: "[||]",
	sep: " | ", link: " - ", turn: " : ", arrow: "->", ellipsis: "...", prompt: "$ ",
	cellNew: "#", cellComing: "+", cellOld: ".",
	bars: []string{"_", ".", "-", "~", "=", "+", "*", "#"}, noBar: "?",
}

var toASCII = strings.NewReplacer(
	"·", "|", "→", "->", "…", "...", "–", "-", "—", "-", "“", `"`, "”", `"`, "‘", "'", "’", "'", "×", "x", "≤", "<=", "≥", ">=",
)

// plainly writes a text with what an ASCII terminal has. What it has not becomes a question mark.
func (g glyphs) plainly(s string) string {
	if !g.ascii {
		return s
	}
	return strings.Map(func(r rune) rune {
		if r > 126 {
			return '?'
		}
		return r
	}, toASCII.Replace(s))
}

func (g glyphs) stage(s StageState) (string, ink) {
	switch s {
	case StageDone:
		return g.done, good
	case StageRunning:
		return g.running, busy
	case StageAsking:
		return g.asking, asks
	case StageFailed:
		return g.failed, bad
	case StageCancelled:
		return g.stopped, bad
	case StageSkipped:
		return g.skipped, faint
	}
	return g.pending, faint
}

func (g glyphs) run(v Verdict) (string, ink) {
	switch v.State {
	case StateSucceeded:
		return g.done, good
	case StateFailed, StateFailing:
		return g.failed, bad
	case StateCancelled, StateCancelling, StateRolledBack:
		return g.stopped, bad
	case StatePaused:
		return g.paused, asks
	case StateWaiting, StateHeldBack:
		return g.asking, asks
	}
	switch {
	case v.Trouble != "":
		return g.doubt, bad
	case v.State == StateStarting:
		return g.pending, faint
	}
	return g.running, busy
}
