package screen

import (
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	stages "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

// Freeze that stops a run.
type Freeze struct {
	Name string `json:"name"`
	// Scope in words.
	Scope   string       `json:"scope"`
	User    string       `json:"user,omitempty"`
	Message string       `json:"message"`
	Since   metav1.Time  `json:"since"`
	Until   *metav1.Time `json:"until,omitempty"`
	// Rollbacks is Allow where it lets rollbacks go on.
	Rollbacks stages.FreezeRollbacks `json:"rollbacks,omitempty"`
	// Unsure is true where the labels of members could not be read, so that it may not stop this run.
	Unsure bool `json:"unsure,omitempty"`
	// Command that lifts it.
	Command string `json:"command"`
}

// InForce says whether a Freeze stops what is in its scope now: until it is lifted or runs out.
func InForce(f *stages.Freeze, now time.Time) bool {
	return f.Spec.Lifted == nil && (f.Spec.Until == nil || now.Before(f.Spec.Until.Time))
}

// MemberLabels are the labels of members by name; nil where they could not be read.
type MemberLabels map[string]map[string]string

// Reach says whether a Freeze stops something.
type Reach int

// How far a Freeze reaches. ReachesPerhaps is where the labels of members are not known.
const (
	ReachesNot Reach = iota
	ReachesPerhaps
	Reaches
)

// ReachOf says whether a Freeze's scope has what is done in a namespace to members. What has no member, such as a Confirm, is stopped by a Freeze
// that names none.
func ReachOf(s *stages.FreezeSpec, namespace string, members []string, known MemberLabels) Reach {
	if len(s.Namespaces) > 0 && !slices.Contains(s.Namespaces, namespace) {
		return ReachesNot
	}
	switch {
	case len(s.Members) > 0:
		if slices.ContainsFunc(members, func(m string) bool { return slices.Contains(s.Members, m) }) {
			return Reaches
		}
		return ReachesNot
	case s.MemberSelector == nil:
		return Reaches
	case len(members) == 0:
		return ReachesNot
	case known == nil:
		return ReachesPerhaps
	}
	selector, err := metav1.LabelSelectorAsSelector(s.MemberSelector)
	if err != nil {
		return ReachesPerhaps
	}
	for _, m := range members {
		if selector.Matches(labels.Set(known[m])) {
			return Reaches
		}
	}
	return ReachesNot
}

// ScopeOf says in words what a Freeze freezes.
func ScopeOf(s *stages.FreezeSpec) string {
	var out []string
	switch {
	case len(s.Members) == 1:
		out = append(out, "member "+s.Members[0])
	case len(s.Members) > 0:
		out = append(out, "members "+strings.Join(s.Members, ", "))
	case s.MemberSelector != nil:
		out = append(out, "members with "+metav1.FormatLabelSelector(s.MemberSelector))
	}
	switch {
	case len(s.Namespaces) == 1:
		out = append(out, "in namespace "+s.Namespaces[0])
	case len(s.Namespaces) > 0:
		out = append(out, "in namespaces "+strings.Join(s.Namespaces, ", "))
	}
	if len(out) == 0 {
		return "everything"
	}
	if s.MemberSelector == nil && len(s.Members) == 0 {
		out = append([]string{"everything"}, out...)
	}
	return strings.Join(out, " ")
}

// UnfreezeCommand is what a person types to lift a Freeze.
func UnfreezeCommand(name string) string { return "periplus unfreeze " + name + ` --message "…"` }

// freezes are those in force that stop the run, oldest first.
func freezes(o Objects, namespace string, parts []part, opts Options) []Freeze {
	members := membersOf(o, parts)
	var out []Freeze
	for _, f := range o.Freezes {
		reach := ReachOf(&f.Spec, namespace, members, o.MemberLabels)
		if !InForce(f, opts.Now) || reach == ReachesNot {
			continue
		}
		hubOnly := opts
		hubOnly.Namespace = "" // a Freeze has none
		out = append(out, Freeze{
			Name: f.Name, Scope: ScopeOf(&f.Spec), User: f.Spec.User, Message: f.Spec.Message, Since: f.CreationTimestamp, Until: f.Spec.Until,
			Rollbacks: f.Spec.Rollbacks, Unsure: reach == ReachesPerhaps, Command: spell(UnfreezeCommand(f.Name), hubOnly),
		})
	}
	slices.SortStableFunc(out, func(a, b Freeze) int { return a.Since.Compare(b.Since.Time) })
	return out
}

// membersOf are the members that the run has to do with, as far as its stages and its record tell.
func membersOf(o Objects, parts []part) []string {
	var out []string
	add := func(names ...string) {
		for _, n := range names {
			if !slices.Contains(out, n) {
				out = append(out, n)
			}
		}
	}
	for _, p := range parts {
		add(p.members()...)
	}
	if o.Release != nil {
		for _, t := range o.Release.Status.Touched {
			add(t.Member)
		}
	}
	return out
}

// members that a stage was admitted for, or has seen.
func (p part) members() []string {
	var out []string
	if p.status.Admitted != nil {
		out = append(out, p.status.Admitted.Members...)
	}
	for _, m := range p.status.Members {
		if !slices.Contains(out, m.Name) {
			out = append(out, m.Name)
		}
	}
	return out
}

// RenderFreezes draws Freezes, a line each.
func RenderFreezes(list []stages.Freeze, now time.Time, look Look) string {
	g := unicodeGlyphs
	if look.ASCII {
		g = asciiGlyphs
	}
	t := table{notesIn: columns(g.doubt) + 1, columns: []tableColumn{
		{title: "FREEZE", least: 12}, {title: "SCOPE", least: 12}, {title: "BY", least: 6, keep: 3}, {title: "SINCE", keep: 2}, {title: "UNTIL"},
		{title: "ROLLBACKS", keep: 1}, {title: "MESSAGE", least: 16},
	}}
	for i := range list {
		f := &list[i]
		mark, colour := g.doubt, asks
		if !InForce(f, now) {
			mark, colour = g.done, faint
		}
		ends := "it is lifted"
		if u := f.Spec.Until; u != nil {
			ends = clock(u.Time, now, minutes)
		}
		goOn := "stop"
		if f.Spec.Rollbacks == stages.RollbacksAllow {
			goOn = "go on"
		}
		row := tableRow{cells: []line{
			text(mark+" ", colour).and(g.plainly(f.Name), strong), text(g.plainly(ScopeOf(&f.Spec)), plain), text(g.plainly(f.Spec.User), faint),
			text(clock(f.CreationTimestamp.Time, now, minutes), faint), text(ends, plain), text(goOn, faint), text(g.plainly(oneLine(f.Spec.Message)), plain),
		}}
		switch l := f.Spec.Lifted; {
		case l != nil:
			said := "lifted by " + nobody(l.User)
			if l.Time != nil {
				said += " " + clock(l.Time.Time, now, seconds)
			}
			row.notes = []note{{"", said + ": " + l.Message, faint, 3}}
		case !InForce(f, now):
			row.notes = []note{{"", "ran out", faint, 1}}
		}
		t.rows = append(t.rows, row)
	}
	var b strings.Builder
	for _, l := range t.draw(look.Width, g) {
		l.cut(look.Width, g.ellipsis).write(&b, look.Colour)
		b.WriteByte('\n')
	}
	return b.String()
}

// nobody gives a name where none is known.
func nobody(user string) string {
	if user == "" {
		return "somebody"
	}
	return user
}
