package prometheus

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/periplus-dev/periplus/pkg/guard/source"
)

func TestEverySelectorOfAQueryGetsTheMatchers(t *testing.T) {
	matchers := map[string]string{"tenant": `a"} or vector(1) #`}
	const m = `tenant="a\"} or vector(1) #"`
	for _, tc := range []struct{ name, query, want string }{
		{"a name alone", `up`, `up{` + m + `}`},
		{"labels alone", `{job="x"}`, `{job="x",` + m + `}`},
		{"a selector that names another tenant must match both", `up{tenant="b"}`, `up{` + m + `,tenant="b"}`},
		{"a selector that excludes the tenant matches nothing", `up{tenant!~".+"}`, `up{tenant!~".+",` + m + `}`},
		{"a range", `rate(up[5m])`, `rate(up{` + m + `}[5m])`},
		{"a subquery", `max_over_time(rate(up[1m])[10m:30s] offset 5m)`, `max_over_time(rate(up{` + m + `}[1m])[10m:30s] offset 5m)`},
		{"a name by its label", `{__name__=~"u.*"}`, `{__name__=~"u.*",` + m + `}`},
		{"a name in quotes", `{"u.p"}`, `{__name__="u.p",` + m + `}`},
		{"both sides of an operator", `up / on (a) group_left () down`, `up{` + m + `} / on (a) group_left () down{` + m + `}`},
		{"what is made by label_replace", `label_replace(up, "tenant", "b", "", "")`, `label_replace(up{` + m + `}, "tenant", "b", "", "")`},
		{"the parameter of an aggregation", `topk(scalar(n), up)`, `topk(scalar(n{` + m + `}), up{` + m + `})`},
		{"absent", `absent(up{job="x"})`, `absent(up{job="x",` + m + `})`},
		{"a comment is dropped", "up # {tenant=\"b\"}", `up{` + m + `}`},
		{"another time", `up @ start() offset 5m`, `up{` + m + `} @ start() offset 5m`},
		{"no selector at all", `vector(1) + time()`, `vector(1) + time()`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := confine(tc.query, matchers)
			if err != nil || got != tc.want {
				t.Errorf("got  %s, %v\nwant %s", got, err, tc.want)
			}
		})
	}
}

func TestAQueryThatCannotBeAskedSaysWhy(t *testing.T) {
	s := &Source{matchers: map[string]string{"tenant": "a"}}
	for _, tc := range []struct{ name, query, want string }{
		{"what does not parse, with line and column", "sum(\n rate(up[5m]) +)", "2:16: parse error"},
		{"an unknown function", `rat(up[5m])`, `1:1: parse error: unknown function`},
		{"a range vector", `up[5m]`, `range vector: make one number of each range`},
		{"a subquery by itself", `up[5m:]`, `range vector`},
		{"a text", `"up"`, `the query's value is a string`},
		{"nothing", ` `, `no expression found`},
		{"a selector of everything", `{}`, `at least one non-empty matcher`},
		{"alternatives, which only other servers read", `{a="b" or c="d"}`, `parse error`},
		{"a WITH of another dialect", `WITH (x = up) x`, `parse error`},
		{"a second query behind the first", `up; down`, `parse error`},
		{"info, which selects what is not written", `info(rate(up[1m]))`, `info`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := s.Check(tc.query, time.Minute, nil)
			if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v, want %q in one line", err, tc.want)
			}
		})
	}
}

// Whatever the parser of a later version lets through, the look at the result is what counts.
func TestInfoIsRefusedEvenWhereTheParserKnowsIt(t *testing.T) {
	parser.EnableExperimentalFunctions = true
	defer func() { parser.EnableExperimentalFunctions = false }()
	if _, err := confine(`info(up)`, map[string]string{"tenant": "a"}); err == nil || !strings.Contains(err.Error(), "info(…)") {
		t.Errorf("got %v", err)
	}
	if _, err := confine(`info(up)`, nil); err != nil {
		t.Errorf("without matchers: %v", err)
	}
}

func TestReferencesInMatchersAreReplaced(t *testing.T) {
	q := source.Question{Namespace: "shop", Member: "fra", MemberLabels: map[string]string{"topology.kubernetes.io/region": "eu"}}
	for _, tc := range []struct{ value, want, wrong string }{
		{value: "plain", want: "plain"},
		{value: "$(member.name)-$(namespace)", want: "fra-shop"},
		{value: "x$(member.labels.topology.kubernetes.io/region)", want: "xeu"},
		{value: "$(member.labels.ring)", wrong: "matcher tenant of the source: member fra has no label ring: set it on the Member"},
		{value: "$(member.nam)", wrong: "$(member.nam) is not known"},
		{value: "$(namespace", wrong: "$( without )"},
	} {
		got, err := expand("tenant", tc.value, q)
		if got != tc.want || (err == nil) != (tc.wrong == "") || (err != nil && !strings.Contains(err.Error(), tc.wrong)) {
			t.Errorf("%s: %q, %v", tc.value, got, err)
		}
	}
}

func FuzzMatchers(f *testing.F) {
	for _, q := range []string{
		`up`, `sum by (a) (rate(up{job=~"x|y"}[5m] offset 1m)) / ignoring (b) down`, `max_over_time(up[5m:1m] @ end())`, `{"a.b",c!="d"}`, `-up ^ 2 and on () vector(1)`,
		`label_replace(up,"tenant","x","","")`, `count_values("tenant", up)`, `quantile(0.9, up) > bool 1`, "up # x\n{a=\"b\"}", `absent_over_time({__name__="x"}[1h])`,
	} {
		f.Add(q, `a"} or up #`)
	}
	f.Fuzz(func(t *testing.T, query, value string) {
		got, err := confine(query, map[string]string{"tenant": value})
		if err != nil {
			return
		}
		expr, err := parser.ParseExpr(got)
		if err != nil {
			t.Fatalf("%q became %q: %v", query, got, err)
		}
		parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
			if s, ok := node.(*parser.VectorSelector); ok && !slices.ContainsFunc(s.LabelMatchers, func(m *labels.Matcher) bool {
				return m.Name == "tenant" && m.Type == labels.MatchEqual && m.Value == value
			}) {
				t.Fatalf("%q became %q, where %s is free", query, got, s)
			}
			return nil
		})
	})
}
