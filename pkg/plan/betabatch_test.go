package plan_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"

	appsv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/plan"
)

// fleetOf reads "m1/dca:5 m1/dcb:5 m2/dca:4".
func fleetOf(t *testing.T, s string) []plan.Unit {
	t.Helper()
	var out []plan.Unit
	for _, part := range strings.Fields(s) {
		where, n, _ := strings.Cut(part, ":")
		u := plan.Unit{}
		u.Member, u.Name, _ = strings.Cut(where, "/")
		if _, err := fmt.Sscan(n, &u.Replicas); err != nil {
			t.Fatalf("%q is no unit: %v", part, err)
		}
		out = append(out, u)
	}
	return out
}

// groupsBy are the policy of a stage, as its defaults leave it.
func groupsBy(size, upTo any, batches ...int32) *v1alpha1.BetaBatchSpec {
	count := func(v any) *intstr.IntOrString {
		switch v := v.(type) {
		case int:
			return &intstr.IntOrString{Type: intstr.Int, IntVal: int32(v)} // #nosec G115 -- a test's few pods.
		case string:
			return &intstr.IntOrString{Type: intstr.String, StrVal: v}
		}
		return nil
	}
	spec := &v1alpha1.BetaBatchSpec{BatchSize: count(size), UpTo: count(upTo), Batches: batches}
	spec.SetDefaults()
	return spec
}

func TestTheGroupsOfABetaBatch(t *testing.T) {
	batch := func(spec *v1alpha1.BetaBatchSpec, as appsv1alpha1.UpgradeType) *v1alpha1.BetaBatchSpec {
		spec.UpgradeType = as
		return spec
	}
	for _, tc := range []struct {
		name  string
		units string
		spec  *v1alpha1.BetaBatchSpec
		want  []string
	}{
		{"ten over two units by four are two, four and four", "m1/dca:5 m1/dcb:5", groupsBy(4, nil),
			[]string{"beta: 1 in dca, 1 in dcb", "batch 1: 2 in dca, 2 in dcb", "batch 2: 2 in dca, 2 in dcb"}},
		{"a list is a plan of its own, wherever the pods are", "m1/dca:3 m1/dcb:3 m2/dca:4", groupsBy(nil, nil, 1, 2, 2, 2, 3),
			[]string{"batch 1: 1 in m2/dca", "batch 2: 1 in m1/dca, 1 in m1/dcb", "batch 3: 1 in m1/dca, 1 in m2/dca", "batch 4: 1 in m1/dcb, 1 in m2/dca",
				"batch 5: 1 in m1/dca, 1 in m1/dcb, 1 in m2/dca"}},
		{"a list can come after Beta", "m1/dca:2 m1/dcb:3", batch(groupsBy(nil, nil, 1, 2), appsv1alpha1.UpgradeBeta),
			[]string{"beta: 1 in dca, 1 in dcb", "batch 1: 1 in dcb", "batch 2: 1 in dca, 1 in dcb"}},
		{"a percentage is of all pods, rounded up", "m1/dca:5 m2/dca:2", groupsBy("30%", nil),
			[]string{"beta: 1 in m1/dca, 1 in m2/dca", "batch 1: 3 in m1/dca", "batch 2: 1 in m1/dca, 1 in m2/dca"}},
		{"up to a share, of which each unit has its own", "m1/dca:5 m1/dcb:5", groupsBy(4, "60%"),
			[]string{"beta: 1 in dca, 1 in dcb", "batch 1: 2 in dca, 2 in dcb"}},
		{"up to a number that cannot be shared evenly", "m1/dca:4 m1/dcb:4 m1/dcc:4", batch(groupsBy(2, 5), appsv1alpha1.UpgradeBatch),
			[]string{"batch 1: 1 in dca, 1 in dcb", "batch 2: 1 in dca, 1 in dcc", "batch 3: 1 in dcb"}},
		{"Beta has its pod of a small unit beside a large one", "m1/dca:97 m1/dcb:3", groupsBy(50, "10%"),
			[]string{"beta: 1 in dca, 1 in dcb", "batch 1: 8 in dca"}},
		{"a batch that is larger than all there is", "m1/dca:2", groupsBy(50, nil), []string{"beta: 1 in dca", "batch 1: 1 in dca"}},
		{"a unit without pods has no part", "m1/dca:2 m1/dcb:0", groupsBy(1, nil), []string{"beta: 1 in dca", "batch 1: 1 in dca"}},
		{"no pods, no groups", "m1/dca:0", groupsBy(1, nil), nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got []string
			for _, s := range plan.BetaBatch(fleetOf(t, tc.units), tc.spec) {
				got = append(got, s.What)
			}
			if strings.Join(got, "\n") != strings.Join(tc.want, "\n") {
				t.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(tc.want, "\n  "))
			}
			if errs := plan.CheckBetaBatch(fleetOf(t, tc.units), tc.spec, field.NewPath("spec")); len(errs) > 0 {
				t.Errorf("it is refused: %v", errs)
			}
		})
	}
}

func TestABetaBatchThatCannotBeIsRefusedWithTheFieldsName(t *testing.T) {
	for _, tc := range []struct {
		name  string
		units string
		spec  *v1alpha1.BetaBatchSpec
		want  string
	}{
		{"a list of fewer pods than there are", "m1/dca:5 m2/dca:5", groupsBy(nil, nil, 1, 2, 2), "spec.batches: Invalid value: [1,2,2]: are 5 pods, and there are 10 to update"},
		{"a list of fewer pods than upTo", "m1/dca:10", groupsBy(nil, "50%", 1, 2), "spec.batches: Invalid value: [1,2]: are 3 pods, and there are 5 to update"},
		{"more than there are", "m1/dca:4", groupsBy(1, 5), "spec.upTo: Invalid value: \"5\": there are only 4 pods in all units together"},
		{"Beta in more units than are to be updated", "m1/dca:4 m1/dcb:4 m1/dcc:0", groupsBy(1, "10%"), "spec.upTo: Invalid value: \"10%\": is 1 pods, and Beta begins with one in each of the 2 units"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			errs := plan.CheckBetaBatch(fleetOf(t, tc.units), tc.spec, field.NewPath("spec"))
			if len(errs) != 1 || !strings.HasPrefix(errs[0].Error(), tc.want) {
				t.Errorf("got %v, want %s", errs, tc.want)
			}
		})
	}
}

func TestABetaBatchInRandomFleetsComesToWhatItSaysAndNeverGoesBack(t *testing.T) {
	const worlds = 2000
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0)) // #nosec G404 -- a test's worlds.
	for range worlds {
		var units []plan.Unit
		total := int32(0)
		for m := range 1 + r.IntN(3) {
			for u := range 1 + r.IntN(3) {
				units = append(units, plan.Unit{Member: fmt.Sprintf("m%d", m), Name: fmt.Sprintf("u%d", u), Replicas: r.Int32N(20)})
				total += units[len(units)-1].Replicas
			}
		}
		var upTo any
		if r.IntN(2) == 0 && total > 0 {
			upTo = 1 + r.IntN(int(total))
		}
		spec := groupsBy(1+r.IntN(9), upTo)
		if errs := plan.CheckBetaBatch(units, spec, field.NewPath("spec")); len(errs) > 0 {
			continue
		}
		done := map[string]int32{}
		for i, s := range plan.BetaBatch(units, spec) {
			sum, before := int32(0), int32(0)
			for _, w := range s.Wants {
				ref := w.Member + "/" + w.Unit
				if w.Updated < done[ref] {
					t.Fatalf("%+v: step %d takes %s back from %d to %d", spec, i, ref, done[ref], w.Updated)
				}
				sum, before = sum+w.Updated, before+done[ref]
				done[ref] = w.Updated
			}
			if i > 0 && sum-before > spec.BatchSize.IntVal || sum == before {
				t.Fatalf("%+v: step %d brings %d pods", spec, i, sum-before)
			}
		}
		sum, want := int32(0), total
		for _, n := range done {
			sum += n
		}
		if spec.UpTo != nil {
			want = spec.UpTo.IntVal
		}
		if sum != want {
			t.Fatalf("%+v over %+v comes to %d pods, want %d", spec, units, sum, want)
		}
		for _, u := range units {
			if done[u.Member+"/"+u.Name] > u.Replicas {
				t.Fatalf("%+v wants %d of the %d pods of %s", spec, done[u.Member+"/"+u.Name], u.Replicas, u.Name)
			}
		}
	}
}
