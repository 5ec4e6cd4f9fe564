package pods

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/periplus-dev/periplus/pkg/guard"
	"github.com/periplus-dev/periplus/pkg/spelling"
)

type measure string

const (
	restarts    measure = "restarts"
	flaps       measure = "flaps"
	timeToReady measure = "timeToReady"
)

type list string

const (
	updated list = "updated"
	stable  list = "stable"
	all     list = "pods"
)

// has says whether a list has a pod.
func (l list) has(p *guard.Pod) bool {
	switch l {
	case updated:
		return p.Updated
	case stable:
		return !p.Updated && !p.Moving
	default:
		return true
	}
}

// reductions make one number of the values of pods, of which there is one at least.
var reductions = map[string]func([]float64) float64{
	"max":   slices.Max[[]float64],
	"min":   slices.Min[[]float64],
	"sum":   sum,
	"avg":   func(v []float64) float64 { return sum(v) / float64(len(v)) },
	"count": func(v []float64) float64 { return float64(len(v)) },
}

func sum(values []float64) float64 {
	var s float64
	for _, v := range values {
		s += v
	}
	return s
}

var (
	reductionNames = slices.Sorted(maps.Keys(reductions))
	measureNames   = []string{string(restarts), string(flaps), string(timeToReady)}
	listNames      = []string{string(updated), string(stable), string(all)}
)

// query as it was understood.
type query struct {
	// reduction is empty where each pod is a series.
	reduction string
	measure   measure
	list      list
}

// String is the query in its plainest form, which parses to the same.
func (q query) String() string {
	s := fmt.Sprintf("%s(%s)", q.measure, q.list)
	if q.reduction != "" {
		s = q.reduction + "(" + s + ")"
	}
	return s
}

// parse reads a query. Errors begin with line and column, both from 1, columns in characters.
func parse(text string) (query, error) {
	p := &parser{text: text}
	var q query
	word := p.word()
	if _, ok := reductions[word.text]; ok {
		q.reduction = word.text
		if err := p.expect("("); err != nil {
			return q, err
		}
		word = p.word()
	}
	switch {
	case slices.Contains(measureNames, word.text):
		q.measure = measure(word.text)
	case q.reduction == "":
		return q, p.unknown(word, "restarts, flaps or timeToReady, or max, min, sum, avg or count of one of them", append(slices.Clone(measureNames), reductionNames...))
	default:
		return q, p.unknown(word, "restarts, flaps or timeToReady", measureNames)
	}
	if err := p.expect("("); err != nil {
		return q, err
	}
	word = p.word()
	if !slices.Contains(listNames, word.text) {
		return q, p.unknown(word, "updated, stable or pods", listNames)
	}
	q.list = list(word.text)
	if err := p.expect(")"); err != nil {
		return q, err
	}
	if q.reduction != "" {
		if err := p.expect(")"); err != nil {
			return q, err
		}
	}
	if rest := p.word(); rest.text != "" {
		return q, p.fail(rest.at, "%q is too much: the query ends before it, as in max(timeToReady(updated))", rest.text)
	}
	return q, nil
}

type parser struct {
	text string
	at   int
}

// token is a word or a sign, and where it begins; empty at the end.
type token struct {
	text string
	at   int
}

// word returns what comes next: letters, or one other character.
func (p *parser) word() token {
	for p.at < len(p.text) && strings.IndexByte(" \t\r\n", p.text[p.at]) >= 0 {
		p.at++
	}
	start := p.at
	for p.at < len(p.text) && isLetter(p.text[p.at]) {
		p.at++
	}
	if p.at == start && p.at < len(p.text) {
		_, size := utf8.DecodeRuneInString(p.text[p.at:])
		p.at += size
	}
	return token{text: p.text[start:p.at], at: start}
}

func isLetter(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_'
}

func (p *parser) expect(sign string) error {
	if t := p.word(); t.text != sign {
		return p.fail(t.at, "want %q, not %s", sign, said(t))
	}
	return nil
}

func (p *parser) unknown(t token, want string, known []string) error {
	if near := spelling.Nearest(t.text, known); near != "" && t.text != "" {
		return p.fail(t.at, "want %s, not %s: %s is meant?", want, said(t), near)
	}
	return p.fail(t.at, "want %s, not %s", want, said(t))
}

// longestWord is how much of a word that is not known is shown.
const longestWord = 40

func said(t token) string {
	if t.text == "" {
		return "the end"
	}
	if len(t.text) > longestWord {
		return fmt.Sprintf("%q…", t.text[:longestWord])
	}
	return fmt.Sprintf("%q", t.text)
}

func (p *parser) fail(at int, format string, a ...any) error {
	before := p.text[:at]
	line := 1 + strings.Count(before, "\n")
	column := 1 + utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:])
	return fmt.Errorf("%d:%d: %s", line, column, fmt.Sprintf(format, a...))
}
