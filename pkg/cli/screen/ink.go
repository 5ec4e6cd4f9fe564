package screen

import (
	"strings"
	"unicode"

	"golang.org/x/text/width"
)

// ink is what a piece of text means; only a terminal with colour shows it.
type ink int

const (
	plain ink = iota
	strong
	faint
	good
	busy
	asks
	bad
)

// sgr are the terminal's codes. Only the eight colours that every theme makes readable are used.
var sgr = map[ink]string{strong: "1", faint: "2", good: "32", busy: "36", asks: "1;33", bad: "1;31"}

// piece is text of one ink, line is what stands in one line of the screen.
type (
	piece struct {
		text string
		ink  ink
	}
	line []piece
)

func text(s string, i ink) line { return line{{clean(s), i}} }

func (l line) and(s string, i ink) line { return append(append(line(nil), l...), piece{clean(s), i}) }

func (l line) join(other line) line { return append(append(line(nil), l...), other...) }

func (l line) width() int {
	n := 0
	for _, p := range l {
		n += columns(p.text)
	}
	return n
}

// pad fills up with spaces, on the left where right is set.
func (l line) pad(to int, right bool) line {
	missing := to - l.width()
	if missing <= 0 {
		return l
	}
	blank := piece{strings.Repeat(" ", missing), plain}
	if right {
		return append(line{blank}, l...)
	}
	return l.join(line{blank})
}

// cut shortens a line to a width, with an ellipsis where something is lost.
func (l line) cut(to int, ellipsis string) line {
	if to <= 0 || l.width() <= to {
		return l
	}
	room := to - columns(ellipsis)
	var out line
	for _, p := range l {
		if w := columns(p.text); w <= room {
			out, room = append(out, p), room-w
			continue
		}
		short := strings.TrimRight(take(p.text, room), " ")
		return append(out, piece{short + ellipsis, p.ink})
	}
	return out
}

// trim takes spaces off the end.
func (l line) trim() line {
	for len(l) > 0 {
		last := strings.TrimRight(l[len(l)-1].text, " ")
		if last != "" {
			return append(append(line(nil), l[:len(l)-1]...), piece{last, l[len(l)-1].ink})
		}
		l = l[:len(l)-1]
	}
	return l
}

// write puts the line out, with or without colour.
func (l line) write(b *strings.Builder, colour bool) {
	for _, p := range l {
		if code := sgr[p.ink]; colour && code != "" && strings.TrimSpace(p.text) != "" {
			b.WriteString("\x1b[" + code + "m" + p.text + "\x1b[0m")
			continue
		}
		b.WriteString(p.text)
	}
}

// Clean is a text of others as it may be shown: one line, and nothing in it that steers a terminal.
func Clean(s string) string { return clean(oneLine(s)) }

// clean makes one line of a text and takes out of it what could steer a terminal or change the order of its letters.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			return ' '
		case unicode.IsControl(r), unicode.In(r, unicode.Cf, unicode.Co, unicode.Cs, unicode.Zl, unicode.Zp):
			return -1
		}
		return r
	}, s)
}

// columns is how many columns of a terminal a text takes.
func columns(s string) int {
	n := 0
	for _, r := range s {
		n += column(r)
	}
	return n
}

func column(r rune) int {
	if r < 0x300 {
		return 1
	}
	if unicode.In(r, unicode.Mn, unicode.Me) {
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

// take gives as much of a text as fits into so many columns.
func take(s string, room int) string {
	for i, r := range s {
		if room -= column(r); room < 0 {
			return s[:i]
		}
	}
	return s
}

// wrap breaks a text at spaces into lines of at most so many columns; a word that is longer than a line is cut through.
func wrap(s string, room int) []string {
	if room <= 0 || columns(s) <= room {
		return []string{s}
	}
	var out []string
	current := ""
	for _, word := range strings.Fields(s) {
		for columns(word) > room {
			if current != "" {
				out, current = append(out, current), ""
			}
			head := take(word, room)
			if head == "" { // not even one letter fits
				head = word
			}
			out, word = append(out, head), word[len(head):]
		}
		switch {
		case word == "":
		case current == "":
			current = word
		case columns(current)+1+columns(word) <= room:
			current += " " + word
		default:
			out, current = append(out, current), word
		}
	}
	if current != "" {
		out = append(out, current)
	}
	return out
}
