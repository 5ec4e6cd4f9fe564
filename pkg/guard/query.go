package guard

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

// reference is $(…) in a query.
var reference = regexp.MustCompile(`\$\(([^()\s]+)\)`)

// nobody is a regular expression that no name matches. (An empty one would match every series that lacks the label.)
const nobody = "-"

// References that queries know, but for those of labels.
var referenceNames = []string{
	"updated.podRegex", "updated.revisionRegex", "updated.count", "stable.podRegex", "stable.revisionRegex", "stable.count",
	"pods.podRegex", "pods.revisionRegex", "pods.count", "member.name", "window",
}

// refersTo says whether a query refers to one of the lists of pods.
func refersTo(query, list string) bool { return strings.Contains(query, "$("+list+".") }

// checkReferences says what is wrong with the references of a query.
func checkReferences(query string, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, m := range reference.FindAllStringSubmatch(query, -1) {
		if slices.Contains(referenceNames, m[1]) || strings.HasPrefix(m[1], "member.labels.") {
			continue
		}
		errs = append(errs, field.Invalid(p, m[0], "is not a reference that queries know; known are "+list(referenceNames)+" and member.labels.KEY"+meant(m[1], referenceNames, false)))
	}
	// What looks like a reference and is none would be asked for as it stands, and match nothing.
	if rest := reference.ReplaceAllString(query, ""); strings.Contains(rest, "$(") || strings.Contains(rest, "${") {
		errs = append(errs, field.Invalid(p, query, "has a $( or ${ that is no reference: write one without blanks, such as $(updated.podRegex)"))
	}
	return errs
}

// Query is a metric's query, resolved.
type Query struct {
	Metric, Source, Query string
	Window                time.Duration
	Range                 *v1alpha1.MetricRange
	// Err says why the query cannot be asked; empty where it can.
	Err string
}

// Ask is what a guard wants of its sources: all of it, at one time.
type Ask struct {
	// At is when the sample became due.
	At      time.Time
	Queries []Query
	// Baseline is true where it is about all pods of the target.
	Baseline bool
}

// ask makes the questions of some metrics of the guard.
func (p *Program) ask(v *View, names []string, baseline bool) *Ask {
	a := &Ask{At: v.now, Baseline: baseline}
	for _, name := range names {
		m := p.guard.Metrics[name]
		q := Query{Metric: name, Source: m.Source, Window: duration(m.Window), Range: m.Range.DeepCopy()}
		q.Query, q.Err = v.resolve(m, baseline)
		a.Queries = append(a.Queries, q)
	}
	return a
}

// resolve replaces the references of a metric's query.
func (v *View) resolve(m v1alpha1.GuardMetric, baseline bool) (query, wrong string) {
	query = reference.ReplaceAllStringFunc(m.Query, func(ref string) string {
		name := ref[2 : len(ref)-1]
		if key, ok := strings.CutPrefix(name, "member.labels."); ok {
			val, has := v.in.MemberLabels[key]
			if !has {
				wrong = fmt.Sprintf("member %s has no label %s, which the query refers to", v.in.Member, key)
			}
			return val
		}
		switch name {
		case "window":
			if m.Range != nil {
				return promDuration(m.Range.Step.Duration)
			}
			return promDuration(duration(m.Window))
		case "member.name":
			return v.in.Member
		}
		if baseline {
			list, _, _ := strings.Cut(name, ".")
			name = v.before() + strings.TrimPrefix(name, list)
		}
		return v.listed(name)
	})
	return query, wrong
}

// before is the list of the pods that a baseline is about: all, and once the release has brought its revision here, those that do not run it.
func (v *View) before() string {
	if v.in.Changed {
		return varStable
	}
	return varPods
}

// listed is what a reference to a list of pods stands for; it is made once.
func (v *View) listed(name string) string {
	if s, ok := v.regexes[name]; ok {
		return s
	}
	which, what, _ := strings.Cut(name, ".")
	words := make([]string, 0, len(v.in.Pods))
	count := 0
	outside := func(p *Pod) bool {
		return which == varUpdated && !p.Updated || which == varStable && (p.Updated || p.Moving)
	}
	namesakes := v.namesakes(outside)
	for i := range v.in.Pods {
		p := &v.in.Pods[i]
		if outside(p) {
			continue
		}
		count++
		switch what {
		case "podRegex":
			if !namesakes[p.Name] {
				words = append(words, p.Name)
			}
		case "revisionRegex":
			words = append(words, p.Revision)
		}
	}
	s := strconv.Itoa(count)
	if what != "count" {
		s = anyOf(words)
	}
	if v.regexes == nil {
		v.regexes = map[string]string{}
	}
	v.regexes[name] = s
	return s
}

// namesakes are the names of pods that are outside of a list. Pods of a SidecarSet stand in many namespaces, where StatefulSets give them the same names; what a
// query says of such a name is of both, and so nothing of the new revision. nil where all pods stand in one namespace.
func (v *View) namesakes(outside func(*Pod) bool) map[string]bool {
	if !slices.ContainsFunc(v.in.Pods, func(p Pod) bool { return p.Namespace != v.in.Pods[0].Namespace }) {
		return nil
	}
	out := map[string]bool{}
	for i := range v.in.Pods {
		if p := &v.in.Pods[i]; outside(p) {
			out[p.Name] = true
		}
	}
	return out
}

// anyOf is a regular expression that matches the words and nothing else. What they have before their last "-" stands once, so that the names of a thousand pods
// fit into a request. A dot stands in brackets: a backslash would have to be written twice inside the quotes of a query.
func anyOf(words []string) string {
	if !slices.IsSorted(words) {
		slices.Sort(words)
	}
	words = slices.Compact(words)
	type family struct {
		head  string
		tails []string
	}
	var families []family
	at := map[string]int{}
	last, length := -1, 0
	for i, w := range words {
		if w == "" {
			continue
		}
		cut := strings.LastIndexByte(w, '-') + 1
		head := w[:cut]
		if last < 0 || families[last].head != head {
			var known bool
			if last, known = at[head]; !known {
				last = len(families)
				at[head] = last
				families = append(families, family{head, make([]string, 0, len(words)-i)})
			}
		}
		families[last].tails = append(families[last].tails, w[cut:])
		length += len(w) + 1
	}
	if len(families) == 0 {
		return nobody
	}
	var b strings.Builder
	b.Grow(length)
	write := func(s string) {
		if strings.IndexByte(s, '.') >= 0 {
			s = strings.ReplaceAll(s, ".", "[.]")
		}
		b.WriteString(s)
	}
	for i, f := range families {
		if i > 0 {
			b.WriteByte('|')
		}
		write(f.head)
		together := len(f.tails) > 1 && f.head != ""
		if together {
			b.WriteByte('(')
		}
		for i, tail := range f.tails {
			if i > 0 {
				b.WriteByte('|')
			}
			write(tail)
		}
		if together {
			b.WriteByte(')')
		}
	}
	return b.String()
}

// promDuration is how Prometheus writes durations, exact to a millisecond.
func promDuration(d time.Duration) string {
	if ms := d.Milliseconds(); ms%1000 != 0 {
		return strconv.FormatInt(ms, 10) + "ms"
	}
	return strconv.FormatInt(int64(d/time.Second), 10) + "s"
}

// Example returns the queries of a guard with examples in the place of references, for whoever checks them before anything is asked.
func Example(g v1alpha1.Guard) []Query {
	v := NewView(&Input{Member: "member", MemberLabels: nil, Pods: []Pod{
		{Name: "web-1", Revision: "web-5d8f", Updated: true}, {Name: "web-2", Revision: "web-7c9b"},
	}}, time.Time{})
	var out []Query
	for _, name := range slices.Sorted(maps.Keys(g.Metrics)) {
		m := g.Metrics[name]
		q := Query{Metric: name, Source: m.Source, Window: duration(m.Window), Range: m.Range.DeepCopy()}
		m.Query = exampleLabel.ReplaceAllString(m.Query, "label")
		q.Query, q.Err = v.resolve(m, false)
		out = append(out, q)
	}
	return out
}

var exampleLabel = regexp.MustCompile(`\$\(member\.labels\.[^()\s]+\)`)
