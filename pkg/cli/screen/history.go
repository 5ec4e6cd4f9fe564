package screen

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// HistoryFormat names the form of a History's document. Under one name fields may be added, never changed or taken away.
const HistoryFormat = "periplus.dev/history/v1"

// History is the revisions that a workload had, the newest first.
type History struct {
	Format    string     `json:"format"`
	Kind      string     `json:"kind"`
	Namespace string     `json:"namespace"`
	Name      string     `json:"name"`
	Revisions []Revision `json:"revisions"`
	Notes     []string   `json:"notes,omitempty"`
}

// Revision is one of them.
type Revision struct {
	// Number counts up; a template that came back has the newest again.
	Number  int64       `json:"number"`
	Hash    string      `json:"hash"`
	Created metav1.Time `json:"created"`
	// Images by container.
	Images map[string]string `json:"images,omitempty"`
	// Changes against the revision before that can be made in place, and Rebuilds: fields that cannot.
	Changes  []string `json:"changes,omitempty"`
	Rebuilds []string `json:"rebuilds,omitempty"`
	// Pods that are on it; nil where that is not known.
	Pods *int `json:"pods,omitempty"`
	// Current is what held back pods are on, Update that of the template.
	Current bool `json:"current,omitempty"`
	Update  bool `json:"update,omitempty"`
	// Diff against the revision before.
	Diff string `json:"-"`
}

// RenderHistory draws a history, a line each.
func RenderHistory(h *History, now time.Time, look Look) string {
	g := unicodeGlyphs
	if look.ASCII {
		g = asciiGlyphs
	}
	var b strings.Builder
	plan := Plan{Title: h.Kind + " " + h.Name}
	if h.Namespace != "" {
		plan.Facts = append(plan.Facts, "in "+h.Namespace)
	}
	b.WriteString(RenderPlan(plan, look))
	if len(h.Revisions) == 0 {
		b.WriteString("  no revisions yet\n")
	}
	t := historyTable()
	for i := range h.Revisions {
		t.rows = append(t.rows, h.Revisions[i].row(now, g))
	}
	for _, l := range t.draw(look.Width, g) {
		l.cut(look.Width, g.ellipsis).write(&b, look.Colour)
		b.WriteByte('\n')
	}
	for i := range h.Revisions {
		r := &h.Revisions[i]
		if r.Diff == "" {
			continue
		}
		b.WriteByte('\n')
		WriteDiff(&b, r.Diff, look)
	}
	for _, n := range h.Notes {
		for _, l := range (note{"note  ", n, asks, math.MaxInt}).draw(gap, look.Width, g) {
			l.write(&b, look.Colour)
			b.WriteByte('\n')
		}
	}
	return b.String()
}

func historyTable() table {
	return table{columns: []tableColumn{
		{title: "REVISION", right: true}, {title: "HASH"}, {title: "AGE", keep: 1}, {title: "PODS", right: true}, {title: "USE"}, {title: "CHANGE", least: 20},
	}}
}

func (r *Revision) row(now time.Time, g glyphs) tableRow {
	pods, use := "", ""
	if r.Pods != nil {
		pods = fmt.Sprint(*r.Pods)
	}
	colour := faint
	switch {
	case r.Current && r.Update:
		use, colour = "current", good
	case r.Update:
		use, colour = "update", busy
	case r.Current:
		use, colour = "current (held back)", asks
	}
	change := strings.Join(r.Changes, ", ")
	if len(r.Changes) == 0 && len(r.Rebuilds) == 0 {
		var images []string
		for _, name := range slices.Sorted(maps.Keys(r.Images)) {
			images = append(images, "image of "+name+": "+r.Images[name])
		}
		change = strings.Join(images, ", ")
	}
	if len(r.Rebuilds) > 0 {
		if change != "" {
			change += "; "
		}
		change += "rebuilds for " + strings.Join(r.Rebuilds, ", ")
	}
	return tableRow{cells: []line{
		text(fmt.Sprint(r.Number), strong), text(g.plainly(r.Hash), plain), text(lasting(now.Sub(r.Created.Time)), faint), text(pods, plain), text(use, colour), text(g.plainly(oneLine(change)), plain),
	}}
}
