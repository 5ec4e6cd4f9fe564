package screen

import (
	"fmt"
	"math"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// SidecarSetsFormat names the form of the document about SidecarSets. Under one name fields may be added, never changed or taken away.
const SidecarSetsFormat = "periplus.dev/sidecars/v1"

// SidecarSets are those of a member, by name.
type SidecarSets struct {
	Format string       `json:"format"`
	Sets   []SidecarSet `json:"sets"`
}

// SidecarSet is one, as its controller last reported it.
type SidecarSet struct {
	Name    string      `json:"name"`
	Created metav1.Time `json:"created"`
	// UpdateRevision is of the spec, InjectionRevision what new pods get; empty while they get nothing.
	UpdateRevision    string `json:"updateRevision,omitempty"`
	InjectionRevision string `json:"injectionRevision,omitempty"`
	// Pods, as in the set's status.
	Matched            int32 `json:"matched"`
	Injected           int32 `json:"injected"`
	Updated            int32 `json:"updated"`
	UpdatedReady       int32 `json:"updatedReady"`
	WaitingForCreation int32 `json:"waitingForCreation"`
	Missed             int32 `json:"missed"`
	// Deleting is true once somebody deleted it, Unseen while the controller has not seen the spec as it is.
	Deleting   bool               `json:"deleting,omitempty"`
	Unseen     bool               `json:"unseen,omitempty"`
	Conditions []SidecarCondition `json:"conditions,omitempty"`
}

// SidecarCondition is a condition of a set.
type SidecarCondition struct {
	Type    string      `json:"type"`
	Status  string      `json:"status"`
	Reason  string      `json:"reason"`
	Message string      `json:"message,omitempty"`
	Since   metav1.Time `json:"since"`
}

// RenderSidecarSets draws SidecarSets, a line each, and below those that do not get on why.
func RenderSidecarSets(s *SidecarSets, now time.Time, look Look) string {
	if len(s.Sets) == 0 {
		return "There are no SidecarSets here.\n"
	}
	g := unicodeGlyphs
	if look.ASCII {
		g = asciiGlyphs
	}
	t := table{notesIn: gap, columns: []tableColumn{
		{title: "SET"}, {title: "REVISION"}, {title: "NEW PODS GET", keep: 2}, {title: "PODS", right: true}, {title: "INJECTED", right: true, keep: 5},
		{title: "UPDATED", right: true}, {title: "READY", right: true, keep: 4}, {title: "WAITING", right: true, keep: 3}, {title: "MISSED", right: true}, {title: "AGE", keep: 1}, {title: "STATE", least: 12},
	}}
	for i := range s.Sets {
		t.rows = append(t.rows, s.Sets[i].row(now, g))
	}
	return drawn(t, g, look)
}

func (s *SidecarSet) row(now time.Time, g glyphs) tableRow {
	count := func(n int32, of ink) line {
		if n == 0 {
			of = faint
		}
		return text(fmt.Sprint(n), of)
	}
	gets := s.InjectionRevision
	if gets == "" {
		gets = "nothing"
	}
	var states []string
	var notes []note
	colour := good
	for _, c := range s.Conditions {
		switch {
		case c.Status == string(metav1.ConditionFalse):
			colour = bad
			notes = append(notes, note{"", c.Reason + ": " + c.Message, bad, 4})
		case c.Reason == "Complete" || c.Reason == "Injecting":
		case colour == good:
			colour = busy
		}
		if c.Reason != "Injecting" {
			states = append(states, c.Reason)
		}
	}
	switch {
	case s.Deleting:
		states, colour = []string{"is being deleted"}, asks
	case s.Unseen:
		states, colour = append([]string{"not seen by the controller yet"}, states...), asks
	}
	return tableRow{
		cells: []line{
			text(g.plainly(s.Name), strong), text(s.UpdateRevision, plain), text(gets, plain), count(s.Matched, plain), count(s.Injected, plain), count(s.Updated, plain), count(s.UpdatedReady, plain),
			count(s.WaitingForCreation, asks), count(s.Missed, bad), text(lasting(now.Sub(s.Created.Time)), faint), text(g.plainly(strings.Join(states, ", ")), colour),
		},
		notes: notes,
	}
}

// drawn is a table as text.
func drawn(t table, g glyphs, look Look) string {
	var b strings.Builder
	for _, l := range t.draw(look.Width, g) {
		l.cut(look.Width, g.ellipsis).write(&b, look.Colour)
		b.WriteByte('\n')
	}
	return b.String()
}

// MissedFormat names the form of the document about missed pods. Under one name fields may be added, never changed or taken away.
const MissedFormat = "periplus.dev/sidecars-missed/v1"

// Missed are the pods that were created without the sidecars of a set that means them, by set, namespace and name.
type Missed struct {
	Format string `json:"format"`
	// Namespace that was looked at; empty for all.
	Namespace string      `json:"namespace,omitempty"`
	Pods      []MissedPod `json:"pods"`
	// Next is what creates them anew.
	Next []NextStep `json:"next,omitempty"`
	// Elsewhere is how many more there are in other namespaces, as far as the sets' status tells.
	Elsewhere int      `json:"elsewhere,omitempty"`
	Notes     []string `json:"notes,omitempty"`
}

// MissedPod is a pod that a set missed.
type MissedPod struct {
	Set       string      `json:"set"`
	Namespace string      `json:"namespace"`
	Name      string      `json:"name"`
	Created   metav1.Time `json:"created"`
	// Owner is its controller, as Kind/name; empty where nobody creates it anew.
	Owner string `json:"owner,omitempty"`
	// Why the webhook left the set out; empty where it did not see the pod.
	Why string `json:"why,omitempty"`
}

// NextStep creates pods of one workload anew.
type NextStep struct {
	Namespace string `json:"namespace"`
	Workload  string `json:"workload"`
	Pods      int    `json:"pods"`
	Command   string `json:"command"`
	// Restarts is true where the command is for all of the workload's pods, one after the other as it says itself; else it is for one pod.
	Restarts bool `json:"restarts,omitempty"`
}

// mostSteps is how many workloads a screen names; the document has all.
const mostSteps = 8

// RenderMissed draws missed pods, a line each, and what to do about them.
func RenderMissed(m *Missed, now time.Time, look Look) string {
	g := unicodeGlyphs
	if look.ASCII {
		g = asciiGlyphs
	}
	var b strings.Builder
	where := "in namespace " + m.Namespace
	if m.Namespace == "" {
		where = "in this member"
	}
	if len(m.Pods) == 0 {
		fmt.Fprintf(&b, "No pod %s was missed.\n", clean(where))
	} else {
		t := table{columns: []tableColumn{{title: "SET"}, {title: "NAMESPACE"}, {title: "POD"}, {title: "AGE", keep: 1}, {title: "OWNER", least: 16, keep: 2}, {title: "WHY", least: 20}}}
		for i := range m.Pods {
			t.rows = append(t.rows, m.Pods[i].row(m.Namespace == "", now, g))
		}
		b.WriteString(drawn(t, g, look))
	}
	for _, p := range m.advice() {
		for _, l := range p.draw(0, look.Width, g) {
			l.write(&b, look.Colour)
			b.WriteByte('\n')
		}
	}
	return b.String()
}

func (p *MissedPod) row(everywhere bool, now time.Time, g glyphs) tableRow {
	namespace := ""
	if everywhere {
		namespace = p.Namespace
	}
	owner, why := text(g.plainly(p.Owner), plain), text(g.plainly(oneLine(p.Why)), asks)
	if p.Owner == "" {
		owner = text("nobody", asks)
	}
	if p.Why == "" {
		why = text("not known", faint)
	}
	return tableRow{cells: []line{text(g.plainly(p.Set), strong), text(namespace, plain), text(p.Name, plain), text(lasting(now.Sub(p.Created.Time)), faint), owner, why}}
}

// advice is what to do, and what is not known.
func (m *Missed) advice() (out []note) {
	say := func(mark, text string, of ink) { out = append(out, note{mark, text, of, math.MaxInt}) }
	unknown, reasons, alone := 0, 0, 0
	for i := range m.Pods {
		switch p := &m.Pods[i]; {
		case p.Why != "":
			reasons++
		case p.Owner == "":
			alone++
		default:
			unknown++
		}
	}
	if len(m.Pods) > 0 {
		say("", "", plain)
	}
	if unknown > 0 {
		say("", "They get the sidecars when they are created anew:", plain)
	}
	for i := range m.Next {
		if i == mostSteps {
			say("  ", fmt.Sprintf("and %s more; -o json has all commands", plural(len(m.Next)-i, "workload")), plain)
			break
		}
		s := &m.Next[i]
		what := plural(s.Pods, "pod")
		if !s.Restarts {
			what += " of " + s.Workload + ", one at a time"
		}
		say("  ", s.Command+" # "+what, strong)
	}
	if unknown+alone > 0 {
		say("", "Where it is not known why, the webhook did not answer when the pod was created, or the pod or its namespace got its labels later.", plain)
	}
	if reasons > 0 {
		say("", "Where there is a reason, mend that first: the next pod would be left out again.", plain)
	}
	switch {
	case alone == 1:
		say("", "1 pod without an owner: whoever made it has to make it anew.", plain)
	case alone > 1:
		say("", fmt.Sprintf("%d pods without an owner: whoever made them has to make them anew.", alone), plain)
	}
	if m.Elsewhere > 0 {
		say("note  ", plural(m.Elsewhere, "more pod")+" in other namespaces: see them with -A", asks)
	}
	for _, n := range m.Notes {
		say("note  ", n, asks)
	}
	return out
}
