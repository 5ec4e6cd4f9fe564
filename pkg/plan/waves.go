package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

// MaxCarried is the greatest number of members that one hop carries a Pipeline over.
const MaxCarried = 300

// Candidate is a member of the fleet, as waves choose it.
type Candidate struct {
	Name       string
	Labels     map[string]string
	Importance int32
}

// Waves chooses the members of each wave: those it names, then those it selects, by name; or in the order that is wanted. A member goes with the first
// wave that has it, so that a last wave that selects all takes the rest. A wave may come out empty only because others have all that it selects.
func Waves(spec *v1alpha1.ClusterHopSpec, fleet []Candidate, p *field.Path) ([][]string, field.ErrorList) {
	var errs field.ErrorList
	known := map[string]Candidate{}
	for _, c := range fleet {
		known[c.Name] = c
	}
	taken := map[string]bool{}
	total := 0
	out := make([][]string, 0, len(spec.Waves))
	for i := range spec.Waves {
		w, at := &spec.Waves[i], p.Child("waves").Index(i)
		var wave []string
		take := func(name string) {
			if !taken[name] {
				taken[name] = true
				wave = append(wave, name)
			}
		}
		for j, name := range w.Members {
			if _, ok := known[name]; ok {
				take(name)
			} else {
				errs = append(errs, field.NotFound(at.Child("members").Index(j), name))
			}
		}
		selected := Selected(w.MemberSelector, fleet)
		if w.MemberSelector != nil && len(selected) == 0 && len(w.Members) == 0 {
			errs = append(errs, field.Invalid(at.Child("memberSelector"), metav1.FormatLabelSelector(w.MemberSelector), "selects no member"))
		}
		for _, name := range selected {
			take(name)
		}
		order(wave, spec.OrderBy, known)
		total += len(wave)
		out = append(out, wave)
	}
	if total > MaxCarried {
		errs = append(errs, field.TooMany(p.Child("waves"), total, MaxCarried))
	}
	return out, errs
}

// Selected are the members that a selector matches, by name; none where it is nil or no selector.
func Selected(by *metav1.LabelSelector, fleet []Candidate) []string {
	if by == nil {
		return nil
	}
	sel, err := metav1.LabelSelectorAsSelector(by)
	if err != nil {
		return nil // refused by the spec's validation.
	}
	var out []string
	for _, c := range fleet {
		if sel.Matches(labels.Set(c.Labels)) {
			out = append(out, c.Name)
		}
	}
	slices.Sort(out)
	return out
}

// order sorts a wave as it is wanted; members that are equal go by name, and where nothing is wanted they stay as they are.
func order(wave []string, by *v1alpha1.OrderBy, known map[string]Candidate) {
	if by == nil {
		return
	}
	slices.SortStableFunc(wave, func(x, y string) int {
		a, b := known[x], known[y]
		var c int
		switch {
		case by.Label != "":
			c = byLabel(a.Labels, b.Labels, by.Label)
		case by.Importance == v1alpha1.Descending:
			c = cmp.Compare(b.Importance, a.Importance)
		default:
			c = cmp.Compare(a.Importance, b.Importance)
		}
		return cmp.Or(c, cmp.Compare(x, y))
	})
}

// byLabel compares two members by a label: numbers as numbers, before words; members without it last.
func byLabel(a, b map[string]string, label string) int {
	x, hasX := a[label]
	y, hasY := b[label]
	if hasX != hasY {
		if hasX {
			return -1
		}
		return 1
	}
	n, errN := strconv.ParseFloat(x, 64)
	m, errM := strconv.ParseFloat(y, 64)
	switch {
	case errN == nil && errM == nil:
		return cmp.Or(cmp.Compare(n, m), cmp.Compare(x, y))
	case errN == nil:
		return -1
	case errM == nil:
		return 1
	}
	return cmp.Compare(x, y)
}

// Failures is how many of total members may fail: a number, or a percentage that is rounded down.
func Failures(v *intstr.IntOrString, total int) (int, error) {
	if v == nil {
		return 0, nil
	}
	n, err := intstr.GetScaledValueFromIntOrPercent(v, total, false)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("maxFailures: %q is neither a number of members, 0 or more, nor a percentage", v.String())
	}
	return n, nil
}
