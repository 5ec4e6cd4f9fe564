package guard

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

func TestAnExpressionIsRefusedForItsCost(t *testing.T) {
	for _, tt := range []struct {
		name, expr string
		limits     Limits
		refused    string
	}{
		{"never for one loop over the greatest number of pods", "pods.all(p, p.ready && p.available && p.restarts < 3 && p.reason == '')", Limits{}, ""},
		{"not for a loop over pods inside one over units", "units.all(u, pods.exists(p, p.unit == u.name && p.ready))", Limits{}, ""},
		{"not for a pattern on every pod's name", "pods.all(p, p.name.matches('^web-[0-9]+$'))", Limits{}, ""},
		{"for a loop over pods inside another", "pods.exists(p, pods.exists(q, p.name == q.name))", Limits{},
			"may cost 3400060002 with 10000 pods and 32 units in a member, and the limit is 10100000"},
		{"not for the same loops where few pods are declared", "pods.exists(p, pods.exists(q, p.name == q.name))", Limits{Pods: 50}, ""},
		{"for sorting pods", "pods.map(p, p.restarts).sort()[0] == 0", Limits{}, "nor sort them"},
		{"for distinct nodes of pods", "pods.map(p, p.node).distinct().size() > 1", Limits{}, "make them distinct"},
		{"for sets of pods", "sets.contains(pods.map(p, p.node), updated.map(p, p.node))", Limits{}, "compare them as sets"},
		{"for a list as long as the expression likes", "lists.range(want).all(i, i >= 0)", Limits{}, "cannot be estimated"},
		{"for flattening, which hides the length", "[pods].flatten().all(p, p.ready)", Limits{}, "cannot be estimated"},
		{"for a string that grows", "params.a.replace('a', params.b).replace('b', params.c).size() > 0", Limits{}, "may cost"},
		{"for more than a limit of the caller's", "pods.all(p, p.ready)", Limits{Pods: 1000, CostPerPod: 1, CostBase: 10}, "the limit is 1010"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Compile(v1alpha1.Guard{Name: "dear", Expr: tt.expr}, tt.limits)
			if tt.refused == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			var wrong *ExprError
			if !errors.As(err, &wrong) || !strings.Contains(err.Error(), tt.refused) {
				t.Fatalf("got error %v, want one that says %q", err, tt.refused)
			}
		})
	}
}

func TestTheBudgetNeverOverflows(t *testing.T) {
	if got := (Limits{CostPerPod: math.MaxUint64, CostBase: 5}).budget(2); got != math.MaxUint64 {
		t.Errorf("got %d", got)
	}
	if got := (Limits{}).withDefaults().budget(1000); got != 1_100_000 {
		t.Errorf("got %d", got)
	}
}

// The estimate at admission cannot know of more pods than were declared; the limit at run time grows with the pods there are, so an expression
// that is linear in them is still judged, and one that is not is stopped.
func TestTheRunTimeLimitIsInProportionToThePods(t *testing.T) {
	limits := Limits{Pods: 20, CostPerPod: 200, CostBase: 1000}
	linear, err := Compile(v1alpha1.Guard{Name: "linear", Expr: "pods.all(p, p.ready)"}, limits)
	if err != nil {
		t.Fatal(err)
	}
	square, err := Compile(v1alpha1.Guard{Name: "square", Expr: "pods.all(p, pods.exists(q, q.name == p.name))"}, Limits{Pods: 20, CostPerPod: 1000, CostBase: 1000})
	if err != nil {
		t.Fatal(err)
	}
	at := Moment{Now: t0, Step: 1, FirstMove: t0, Move: t0}
	for _, tt := range []struct {
		name string
		p    *Program
		pods int
		want v1alpha1.Verdict
	}{
		{"linear as declared", linear, 20, v1alpha1.VerdictPass},
		{"linear with a hundred times the pods", linear, 2000, v1alpha1.VerdictPass},
		{"square as declared", square, 20, v1alpha1.VerdictPass},
		{"square with a hundred times the pods", square, 2000, v1alpha1.VerdictError},
	} {
		t.Run(tt.name, func(t *testing.T) {
			st, _ := Judge(tt.p, v1alpha1.GuardStatus{}, at, fleetOf(tt.pods))
			if st.Verdict != tt.want {
				t.Fatalf("got %s: %s, want %s", st.Verdict, st.Message, tt.want)
			}
			if tt.want == v1alpha1.VerdictError && !strings.Contains(st.Message, "cost more than the limit") {
				t.Errorf("the message does not say why: %s", st.Message)
			}
		})
	}
}
