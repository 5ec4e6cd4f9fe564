package guard

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

func TestEveryNameHasTheTypeThatTheDocsGive(t *testing.T) {
	for _, expr := range []string{
		"updated.all(p, type(p) == Pod) && stable.all(p, type(p) == Pod) && pods.all(p, type(p) == Pod)",
		"pods.all(p, type(p.name) == string && type(p.member) == string && type(p.unit) == string && type(p.node) == string)",
		"pods.all(p, type(p.revision) == string && type(p.phase) == string && type(p.reason) == string)",
		"pods.all(p, type(p.ready) == bool && type(p.available) == bool && type(p.restarts) == int)",
		"pods.all(p, p.age == duration('1h'))",
		"units.all(u, type(u.name) == string && type(u.member) == string && u.replicas + u.updated + u.updatedReady + u.updatedAvailable + u.ready + u.available + u.want >= 0)",
		"type(workload.kind) == string && type(workload.name) == string",
		"workload.replicas + workload.updated + workload.updatedReady + workload.updatedAvailable + workload.ready + workload.available + workload.want > 0",
		"type(want) == int && want == 3",
		"params.version == 'v2' && params['version'].size() == 2 && !has(params.other)",
		"member.name == 'fra' && member.labels.ring == '1' && !('region' in member.labels)",
		"elapsed == duration('90s') && elapsed < duration('2m')",
		"now == timestamp('2026-07-01T12:01:30Z') && now.getHours() == 12",
		"want < 3.5 && 3.0 >= want && updated.size() * 100 / workload.replicas >= 50",
		"math.greatest(pods.map(p, p.restarts)) == 0 && 'dca,dcb'.split(',').size() == 2 && sets.contains([1, 2], [1]) && [1, 2].slice(0, 1) == [1]",
		"updated == [pods[0], pods[1], pods[2]] && updated[0] != stable[0] && updated[0] == pods[0]",
		"dyn(updated[0]).ready && dyn(workload)['kind'] == 'InPlaceSet' && has(updated[0].reason)",
		"true",
	} {
		t.Run(expr, func(t *testing.T) {
			p := compiled(t, v1alpha1.Guard{Name: "g", Expr: expr})
			in := fleetOf(6)
			for i := range in.Pods {
				in.Pods[i].Created = t0.Add(90e9 - 3600e9)
			}
			at := Moment{Now: t0.Add(90e9), Step: 1, FirstMove: t0, Move: t0}
			if st, _ := Judge(p, v1alpha1.GuardStatus{}, at, in); st.Verdict != v1alpha1.VerdictPass {
				t.Errorf("got %s: %s (%s)", st.Verdict, st.Message, st.Value)
			}
		})
	}
}

func TestAWrongExpressionIsToldWithItsPlace(t *testing.T) {
	for _, tt := range []struct {
		name, expr string
		want       []string
	}{
		{"a field that is not there", "updated.all(p, p.redy)", []string{`line 1, column 17: unknown field "redy"; did you mean "ready"?`}},
		{"a name that is not there", "updatd.size() > 0", []string{`line 1, column 1: unknown name "updatd"; did you mean "updated"?`}},
		{"a name like no other", "canaries.size() > 0", []string{`unknown name "canaries"; known are elapsed, member, now,`}},
		{"two mistakes in two lines", "updated.all(p, p.redy) &&\n  wants > 1", []string{"line 1, column 17: ", `line 2, column 3: unknown name "wants"; did you mean "want"?`}},
		{"a number", "updated.size()", []string{"line 1, column 1: the expression must be of type bool, and is of type int"}},
		{"anything", "dyn(true)", []string{"must be of type bool, and is of type dyn"}},
		{"a comparison of a number with a string", "want == '3'", []string{"line 1, column 6: found no matching overload for '_==_' applied to '(int, string)'"}},
		{"no expression", "  ", []string{"the expression is empty"}},
		{"half an expression", "updated.all(p, ", []string{"line 1, column 16: Syntax error"}},
		{"an assignment", "want = 3", []string{"line 1, column 6: Syntax error"}},
		{"a pattern that is not one", "pods.all(p, p.name.matches('['))", []string{"line 1, column 28: invalid matches argument"}},
		{"a duration that is not one", "elapsed > duration('2 minutes')", []string{"line 1, column 20: invalid duration argument"}},
		{"a pod out of thin air", "Pod{name: 'web-0'}.ready", []string{"line 1, column 4: a guard cannot make a Pod"}},
		{"a param that the stage has not", "params.version == 'v2' && params['ring'] == '1'", []string{`line 1, column 33: params has no "ring"; it has version`}},
		{"more than the longest", "true" + strings.Repeat(" && true", 600), []string{"expression code point size exceeds limit"}},
		{"deeper than the deepest", strings.Repeat("(", 300) + "true" + strings.Repeat(")", 300), []string{"recursion limit"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Compile(v1alpha1.Guard{Name: "canaries-ready", Expr: tt.expr}, Limits{Params: []string{"version"}})
			if err == nil {
				t.Fatal("it compiles")
			}
			for _, want := range append(tt.want, `guard "canaries-ready": `) {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, which does not say %q", err, want)
				}
			}
			if strings.ContainsAny(err.Error(), "\n") {
				t.Errorf("more than one line: %q", err)
			}
		})
	}
}

func TestAskingForAParamThatMayBeAbsentIsNoMistake(t *testing.T) {
	if _, err := Compile(v1alpha1.Guard{Name: "g", Expr: "!has(params.ring) || 'ring' in params"}, Limits{Params: []string{}}); err != nil {
		t.Fatal(err)
	}
}

func TestAllMistakesOfAllGuardsComeTogether(t *testing.T) {
	guards := []v1alpha1.Guard{
		{Name: "fine", Expr: "updated.all(p, p.ready)"},
		{Name: "typos", Expr: "updated.all(p, p.redy) && wants > 1"},
		{Name: "dear", Expr: "pods.exists(p, pods.exists(q, p.name == q.name))"},
	}
	set, errs := CompileAll(guards, field.NewPath("spec", "guards"), Limits{})
	if set != nil {
		t.Error("there is a set all the same")
	}
	want := []string{`spec.guards[1].expr: guard "typos": line 1, column 17`, `spec.guards[1].expr: guard "typos": line 1, column 27`, `spec.guards[2].expr: guard "dear": the expression may cost`}
	if len(errs) != len(want) {
		t.Fatalf("got %v", errs)
	}
	for i, w := range want {
		got := errs[i].Field + ": " + errs[i].Detail
		if !strings.HasPrefix(got, w) {
			t.Errorf("got %q, want %q", got, w)
		}
	}

	set, errs = CompileAll(guards[:1], field.NewPath("spec", "guards"), Limits{})
	if len(errs) > 0 || len(set.Programs()) != 1 {
		t.Fatalf("got %v, %v", set, errs)
	}
	if g := set.Programs()[0].Guard(); g.When != v1alpha1.After || g.Deadline == nil {
		t.Errorf("the guard is not defaulted: %+v", g)
	}
}
