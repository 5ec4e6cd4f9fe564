package guardtest

import (
	"strings"
	"testing"
)

const oneGuard = `
name: errors
expr: metrics.errors <= double(params.most)
when: During
metrics:
  errors: {source: prom, query: 'rate(errors{pod=~"$(updated.podRegex)"}[$(window)])', window: $(params.window)}
`

const aSet = `
apiVersion: stages.periplus.dev/v1alpha1
kind: GuardSet
metadata: {name: health}
spec:
  guards:
  - {name: ready, expr: "pods.all(p, p.ready)", for: 2m}
  - {name: calm, expr: "pods.all(p, p.restarts == 0)", when: During, dryRun: true}
`

func TestAFileHoldsGuardsInSeveralForms(t *testing.T) {
	params := map[string]string{"most": "0.01", "window": "5m"}
	for _, tc := range []struct {
		name, file string
		want       string
	}{
		{"one guard", oneGuard, "errors"},
		{"a list", "- {name: a, expr: 'true'}\n- {name: b, expr: 'true'}\n", "[0]=a [1]=b"},
		{"a set", aSet, "spec.guards[0]=ready spec.guards[1]=calm"},
		{"several documents, an empty one among them", "---\n" + oneGuard + "---\n---\n" + aSet,
			"document 1: =errors document 2: spec.guards[0]=ready document 2: spec.guards[1]=calm"},
		{"what kubectl lists", "kind: List\napiVersion: v1\nitems:\n- " + strings.ReplaceAll(strings.TrimSpace(aSet), "\n", "\n  "), "items[0].spec.guards[0]=ready items[0].spec.guards[1]=calm"},
		{"JSON", `{"name": "a", "expr": "true"}`, "a"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f, err := readFile("guard.yaml", strings.NewReader(tc.file), params)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for i, g := range f.guards {
				at := f.at[i]
				if at != "" {
					at += "="
				}
				got = append(got, at+g.Name)
			}
			if s := strings.Join(got, " "); s != tc.want {
				t.Errorf("got %q, want %q", s, tc.want)
			}
			if _, err := f.asked([]string{"most", "window"}); err != nil {
				t.Error(err)
			}
		})
	}
}

// wrongFiles are refused before anything is sent.
var wrongFiles = []struct{ name, file, want string }{
	{"nothing", "\n---\n", "guard.yaml holds no guard"},
	{"no YAML", "name: [", "guard.yaml: document 1: "},
	{"a key twice", "name: a\nname: b\nexpr: 'true'\n", `key "name" already set`},
	{"text", "hello", "neither a guard, nor a list of guards, nor a GuardSet"},
	{"a list of text", "[hello]", "guard.yaml: [0]: is not a guard"},
	{"another kind", "{apiVersion: v1, kind: Pod}", "kind: a Pod holds no guards that can be tested"},
	{"a set of another version", strings.Replace(aSet, "v1alpha1", "v9", 1), `apiVersion: is "stages.periplus.dev/v9", and must be stages.periplus.dev/v1alpha1`},
	{"a field with a slip", "{name: a, exprr: 'true'}", "guard.yaml: exprr: there is no such field; did you mean expr?"},
	{"a field with a slip deep in a set", strings.Replace(aSet, "dryRun", "dryrunn", 1), "spec.guards[1].dryrunn: there is no such field; did you mean dryRun?"},
	{"a field with a slip in a metric", "{name: a, expr: 'true', metrics: {x: {source: p, query: q, windw: 1m}}}", "metrics.x.windw: there is no such field; did you mean window?"},
	{"a number that is none", "{name: a, expr: 'true', limits: {failures: many}}", "limits.failures"},
	{"no duration", "- {name: a, expr: 'true', for: soon}", "guard.yaml: [0].for: soon: must be a duration such as 90s or 5m"},
	{"a bare number as a duration", "{name: a, expr: 'true', interval: 10}", "interval: 10: must be a duration"},
	{"a param that is not given", "{name: a, expr: '$(params.x) > 1'}", "expr: $(params.x) is not known: give it by --param x=…"},
	{"a name twice, in two documents", "{name: a, expr: 'true'}\n---\n{name: a, expr: 'true'}", `document 2: name: Duplicate value: "a"`},
	{"no name", "{expr: 'true'}", "guard.yaml: name: Required value"},
	{"an interval under a second", "[{name: a, expr: 'true', interval: 1ms}]", "[0].interval: Invalid value"},
	{"bad CEL", "{name: a, expr: 'pods.al(p, p.ready)'}", `expr: Invalid value: "pods.al(p, p.ready)": guard "a": line 1, column 8: unknown name "al"`},
	{"bad CEL in a set", strings.Replace(aSet, "p.restarts == 0", "p.restart == 0", 1), "spec.guards[1].expr: Invalid value"},
	{"a metric that the guard has not", "{name: a, expr: 'metrics.x > 1.0'}", `unknown metric "x"`},
	{"a param in CEL that is not given", "{name: a, expr: 'params.x == \"1\"'}", "param"},
	{"a reference that queries do not know", "{name: a, expr: 'metrics.x > 1.0', metrics: {x: {source: prom, query: 'x{pod=~\"$(updated.podregex)\"}'}}}", "metrics[x].query: Invalid value"},
	{"all that is wrong at once", "- {name: a, expr: 'x'}\n- {name: a, expr: 'y'}", "guard.yaml:\n  [1].name: Duplicate value"},
}

func TestAWrongFileIsRefusedWithTheFieldThatIsWrong(t *testing.T) {
	for _, tc := range wrongFiles {
		t.Run(tc.name, func(t *testing.T) {
			f, err := readFile("guard.yaml", strings.NewReader(tc.file), nil)
			if err == nil {
				_, err = f.asked(nil)
			}
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func TestWhatTheHubSaysOfTheCheckIsSaidOfTheFile(t *testing.T) {
	f := &file{name: "guard.yaml", at: []string{"", "document 2: spec.guards[1]"}}
	for said, want := range map[string]string{
		"spec.guards[0].metrics[errors].query: Invalid value: 1:3: parse error": "metrics[errors].query: Invalid value: 1:3: parse error",
		"spec.guards[1].metrics[x].source: Not found; spec.target: Not found":   "document 2: spec.guards[1].metrics[x].source: Not found; spec.target: Not found",
		"spec.target[web].guardSets[0].guards[0].expr: Invalid value":           "spec.target[web].guardSets[0].guards[0].expr: Invalid value",
		"spec.guards[7].expr: Invalid value":                                    "spec.guards[7].expr: Invalid value",
	} {
		if got := f.located(said); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
