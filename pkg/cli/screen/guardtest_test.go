package screen

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	stages "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

// tried is a test of three guards in two members, of which one fails and one was not judged.
func tried() *GuardTest {
	t := &GuardTest{Format: GuardTestFormat, At: at(0), Namespace: "shop", Target: "productpage", Members: []string{"m1", "m2"}, LeftOut: []string{"m9"}, Run: "guard-test-abcd1234"}
	few := stages.Guard{Name: "few-errors", Expr: "metrics.errors <= baseline.errors * 2.0"}
	t.Fill([]stages.Guard{few, {Name: "all-there", Expr: "units.all(u, u.ready == u.replicas)", DryRun: true}}, []stages.GuardStatus{
		{Name: "few-errors", Member: "m1", Expr: few.Expr, Verdict: stages.VerdictFail, Message: "false before the first move", Since: atp(s),
			Value: "metrics.errors = 0.05, baseline.errors * 2.0 = 0.02", Metrics: []stages.MetricStatus{{
				Name: "errors", Source: "prom", Value: "0.05", Baseline: "0.01", Recent: []string{"0.05"},
				Query: `sum(rate(http_requests_total{code="500",pod=~"web-(1|2)"}[60s])) / sum(rate(http_requests_total{pod=~"web-(1|2)"}[60s]))`}}},
		{Name: "few-errors", Member: "m2", Expr: few.Expr, Verdict: stages.VerdictError, Message: "metric errors: source prom: did not answer within 5s", Since: atp(s),
			Metrics: []stages.MetricStatus{{Name: "errors", Source: "prom", Message: "metric errors: source prom: did not answer within 5s", Query: "sum(x)"}}},
		{Name: "all-there", Member: "m1", Expr: "units.all(u, u.ready == u.replicas)", Verdict: stages.VerdictPass, Since: atp(s), Value: "units.all(u, u.ready == u.replicas) = true"},
		{Name: "health/ready", Member: "m1", Verdict: stages.VerdictFail, Since: atp(s)},
	})
	t.Message = "guard few-errors in m1: Fail"
	return t
}

func TestATestOfGuardsShowsWhatItsVerdictsStandOn(t *testing.T) {
	for name, look := range map[string]Look{"guard-test": {Width: 100}, "guard-test-in-50-columns": {Width: 50}, "guard-test-in-ascii": {Width: 100, ASCII: true}} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join("testdata", name+".golden")
			got := RenderGuardTest(tried(), look)
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestATestPassesOnlyWhereEveryGuardDoesInEveryMember(t *testing.T) {
	guards := []stages.Guard{{Name: "a"}, {Name: "b"}}
	verdict := func(name, member string, v stages.Verdict) stages.GuardStatus {
		return stages.GuardStatus{Name: name, Member: member, Verdict: v, Since: atp(0)}
	}
	for _, tc := range []struct {
		name          string
		members       []string
		judged        []stages.GuardStatus
		settled, pass bool
	}{
		{"no member is known yet", nil, nil, false, false},
		{"nothing is judged yet", []string{"m1"}, nil, false, false},
		{"all pass or do not apply", []string{"m1"}, []stages.GuardStatus{verdict("a", "m1", stages.VerdictPass), verdict("b", "m1", stages.VerdictNotApplicable)}, true, true},
		{"one is pending", []string{"m1"}, []stages.GuardStatus{verdict("a", "m1", stages.VerdictPass), verdict("b", "m1", stages.VerdictPending)}, false, false},
		{"one has no data", []string{"m1"}, []stages.GuardStatus{verdict("a", "m1", stages.VerdictPass), verdict("b", "m1", stages.VerdictInconclusive)}, true, false},
		{"one is not judged in the second member", []string{"m1", "m2"}, []stages.GuardStatus{
			verdict("a", "m1", stages.VerdictPass), verdict("b", "m1", stages.VerdictPass), verdict("a", "m2", stages.VerdictPass)}, false, false},
		{"guards of the target's sets are not the test's", []string{"m1"}, []stages.GuardStatus{
			verdict("a", "m1", stages.VerdictPass), verdict("b", "m1", stages.VerdictPass), verdict("set/a", "m1", stages.VerdictFail)}, true, true},
	} {
		test := &GuardTest{Members: tc.members}
		if settled := test.Fill(guards, tc.judged); settled != tc.settled || test.Passed != tc.pass {
			t.Errorf("%s: settled %t, passed %t", tc.name, settled, test.Passed)
		}
	}
}
