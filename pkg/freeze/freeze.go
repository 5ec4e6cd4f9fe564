package freeze

import (
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

// Move is what may be stopped: something that a run in a namespace does in a member.
type Move struct {
	Namespace string
	// Member by name, with its labels as they are now; empty for what has no member, which no Freeze of members stops.
	Member string
	Labels map[string]string
	// Rollback is true where the move takes something back.
	Rollback bool
}

// InForce says whether a Freeze is in force: neither lifted nor run out. Being deleted does not end it.
func InForce(f *v1alpha1.Freeze, now time.Time) bool {
	return f.Spec.Lifted == nil && (f.Spec.Until == nil || now.Before(f.Spec.Until.Time))
}

// Covers says whether a move is within the scope of a Freeze, in force or not. A selector that cannot be read, which admission lets nobody write,
// covers every member: what was meant to stop something does not let it go on.
func Covers(f *v1alpha1.Freeze, m Move) bool {
	if m.Rollback && f.Spec.Rollbacks == v1alpha1.RollbacksAllow {
		return false
	}
	if len(f.Spec.Namespaces) > 0 && !slices.Contains(f.Spec.Namespaces, m.Namespace) {
		return false
	}
	if len(f.Spec.Members) == 0 && f.Spec.MemberSelector == nil {
		return true
	}
	if m.Member == "" {
		return false
	}
	if len(f.Spec.Members) > 0 && !slices.Contains(f.Spec.Members, m.Member) {
		return false
	}
	if f.Spec.MemberSelector == nil {
		return true
	}
	sel, err := metav1.LabelSelectorAsSelector(f.Spec.MemberSelector)
	return err != nil || sel.Matches(labels.Set(m.Labels))
}

// Stopping are the Freezes in force that stop any of some moves, oldest first.
func Stopping(all []*v1alpha1.Freeze, now time.Time, moves ...Move) []*v1alpha1.Freeze {
	var out []*v1alpha1.Freeze
	for _, f := range all {
		if InForce(f, now) && slices.ContainsFunc(moves, func(m Move) bool { return Covers(f, m) }) {
			out = append(out, f)
		}
	}
	slices.SortFunc(out, func(a, b *v1alpha1.Freeze) int {
		if c := a.CreationTimestamp.Compare(b.CreationTimestamp.Time); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
	return out
}

// Until is when the first of some Freezes runs out by itself: when to look again though nobody lifts one. Zero where none does.
func Until(freezes []*v1alpha1.Freeze) time.Time {
	var first time.Time
	for _, f := range freezes {
		if u := f.Spec.Until; u != nil && (first.IsZero() || u.Time.Before(first)) {
			first = u.Time
		}
	}
	return first
}

// Describe says in one line who stops what and why: `freeze cables (fay: the cables are cut; until 2026-11-21 18:00 UTC)`, and how many more do.
func Describe(freezes []*v1alpha1.Freeze) string {
	if len(freezes) == 0 {
		return ""
	}
	f := freezes[0]
	var b strings.Builder
	fmt.Fprintf(&b, "freeze %s (", f.Name)
	if f.Spec.User != "" {
		b.WriteString(f.Spec.User + ": ")
	}
	b.WriteString(strings.Join(strings.Fields(f.Spec.Message), " "))
	if f.Spec.Until != nil {
		b.WriteString("; until " + f.Spec.Until.UTC().Format("2006-01-02 15:04 MST"))
	}
	b.WriteString(")")
	if n := len(freezes) - 1; n > 0 {
		fmt.Fprintf(&b, ", and %d more", n)
	}
	return b.String()
}
