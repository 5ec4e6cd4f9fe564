package screen

import "strings"

// tableColumn is a column of a table.
type tableColumn struct {
	title string
	right bool
	// keep says how long a column stays when there is too little room: the lowest goes first; 0 never goes.
	keep int
	// least is how far a column of texts may be shortened before others go; 0 is never shortened.
	least int
}

// table draws rows of cells under titles. A row may have notes: lines below it that take the whole width.
type table struct {
	columns []tableColumn
	rows    []tableRow
	// notesUnder is the column that notes begin at, notesIn how many columns further in.
	notesUnder, notesIn int
}

type tableRow struct {
	cells []line
	notes []note
}

// note is a text below a row or a title, in so many lines at most.
type note struct {
	mark, text string
	ink        ink
	most       int
}

const gap = 2

// widest is how many columns the table takes where nothing is shortened and nothing left out.
func (t table) widest() int {
	n := -gap
	for i, c := range t.columns {
		w := 0
		for _, r := range t.rows {
			w = max(w, r.cells[i].width())
		}
		if w > 0 {
			n += max(w, columns(c.title)) + gap
		}
	}
	return n
}

// draw gives the lines of the table, in so many columns; 0 is no limit. Columns without a single text are left out.
func (t table) draw(room int, g glyphs) []line {
	widths := make([]int, len(t.columns))
	shown := make([]bool, len(t.columns))
	for i, c := range t.columns {
		for _, r := range t.rows {
			if w := r.cells[i].width(); w > 0 {
				widths[i], shown[i] = max(widths[i], w), true
			}
		}
		if shown[i] {
			widths[i] = max(widths[i], columns(c.title))
		}
	}
	t.fit(widths, shown, room)
	var out []line
	head := line{}
	titled := false
	for i, c := range t.columns {
		if !shown[i] {
			continue
		}
		titled = titled || c.title != ""
		head = head.join(text(c.title, faint).cut(widths[i], g.ellipsis).pad(widths[i], c.right)).and("  ", plain)
	}
	if titled && len(t.rows) > 0 {
		out = append(out, head.trim())
	}
	for _, r := range t.rows {
		l := line{}
		for i, c := range t.columns {
			if shown[i] {
				l = l.join(r.cells[i].cut(widths[i], g.ellipsis).pad(widths[i], c.right)).and("  ", plain)
			}
		}
		out = append(out, l.trim())
		indent := t.notesIn
		for i := range t.notesUnder {
			if shown[i] {
				indent += widths[i] + gap
			}
		}
		for _, n := range r.notes {
			out = append(out, n.draw(indent, room, g)...)
		}
	}
	return out
}

// fit first shortens texts down to their least, then lets columns go, then shortens further.
func (t table) fit(widths []int, shown []bool, room int) {
	if room <= 0 {
		return
	}
	full := append([]int(nil), widths...)
	total := func() int {
		n := -gap
		for i, w := range widths {
			if shown[i] {
				n += w + gap
			}
		}
		return n
	}
	shrink := func(least func(tableColumn) int) {
		for total() > room {
			widest := -1
			for i, c := range t.columns {
				if shown[i] && c.least > 0 && widths[i] > least(c) && (widest < 0 || widths[i] > widths[widest]) {
					widest = i
				}
			}
			if widest < 0 {
				return
			}
			widths[widest]--
		}
	}
	for {
		copy(widths, full)
		shrink(func(c tableColumn) int { return c.least })
		if total() <= room {
			return
		}
		lowest := -1
		for i, c := range t.columns {
			if shown[i] && c.keep > 0 && (lowest < 0 || c.keep < t.columns[lowest].keep) {
				lowest = i
			}
		}
		if lowest < 0 {
			break
		}
		shown[lowest] = false
	}
	shrink(func(tableColumn) int { return 4 })
}

// draw wraps the note and sets it in.
func (n note) draw(indent, room int, g glyphs) []line {
	hang := indent + columns(n.mark)
	if room > 0 && room-hang < 20 {
		hang, indent = min(hang, 2), 0
	}
	left := 0
	if room > 0 {
		left = room - hang
	}
	parts := wrap(g.plainly(oneLine(n.text)), left)
	if len(parts) > n.most {
		last := strings.Join(parts[n.most-1:], " ")
		parts = append(parts[:n.most-1], text(last, n.ink).cut(left, g.ellipsis)[0].text)
	}
	var out []line
	for i, part := range parts {
		l := line{}.pad(indent, false)
		if i == 0 {
			l = l.and(n.mark, n.ink)
		}
		out = append(out, l.pad(hang, false).and(part, n.ink))
	}
	return out
}
