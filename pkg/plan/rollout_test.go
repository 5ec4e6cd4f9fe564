package plan_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/plan"
)

func units(spec string) []plan.Unit {
	var out []plan.Unit
	for _, f := range strings.Fields(spec) {
		var u plan.Unit
		ref, n, _ := strings.Cut(f, "=")
		u.Member, u.Name, _ = strings.Cut(ref, "/")
		if _, err := fmt.Sscan(n, &u.Replicas); err != nil {
			panic(err)
		}
		out = append(out, u)
	}
	return out
}

func show(steps []plan.Step) string {
	var out []string
	for _, s := range steps {
		var ws []string
		for _, w := range s.Wants {
			ws = append(ws, fmt.Sprintf("%s/%s=%d", w.Member, w.Unit, w.Updated))
		}
		out = append(out, strings.Join(ws, " "))
	}
	return strings.Join(out, " | ")
}

func bump(steps []v1alpha1.PartitionStep, order []string, by *intstr.IntOrString) *v1alpha1.PartitionBumpSpec {
	return &v1alpha1.PartitionBumpSpec{Steps: steps, Order: order, By: by}
}

func TestStepsOfStages(t *testing.T) {
	two := units("m1/dca=4 m1/dcb=10")
	for name, tc := range map[string]struct {
		got  []plan.Step
		want string
	}{
		"a canary of one takes one pod in each unit":                          {plan.Canary(two, intstr.FromInt32(1), ""), "m1/dca=1 m1/dcb=1"},
		"a canary of 10 % rounds up":                                          {plan.Canary(two, intstr.FromString("10%"), ""), "m1/dca=1 m1/dcb=1"},
		"a canary of 30 % rounds up in each unit":                             {plan.Canary(two, intstr.FromString("30%"), ""), "m1/dca=2 m1/dcb=3"},
		"a canary in one unit leaves the other alone":                         {plan.Canary(two, intstr.FromInt32(2), "dcb"), "m1/dcb=2"},
		"a canary of more than a unit that was scaled down takes all of it":   {plan.Canary(units("m1/dca=2"), intstr.FromInt32(3), ""), "m1/dca=2"},
		"a unit scaled to none has no canary":                                 {plan.Canary(units("m1/dca=0"), intstr.FromString("50%"), ""), "m1/dca=0"},
		"order without by takes a unit whole, then the next":                  {plan.Bump(two, bump(nil, []string{"dcb", "dca"}, nil)), "m1/dcb=10 | m1/dca=4"},
		"order by half takes two steps a unit":                                {plan.Bump(two, bump(nil, []string{"dca", "dcb"}, ptr.To(intstr.FromString("50%")))), "m1/dca=2 | m1/dca=4 | m1/dcb=5 | m1/dcb=10"},
		"order by three ends with the rest":                                   {plan.Bump(two, bump(nil, []string{"dcb"}, ptr.To(intstr.FromInt32(3)))), "m1/dcb=3 | m1/dcb=6 | m1/dcb=9 | m1/dcb=10"},
		"several members go side by side, as many steps as the largest needs": {plan.Bump(units("m1/dca=2 m2/dca=6"), bump(nil, []string{"dca"}, ptr.To(intstr.FromInt32(2)))), "m1/dca=2 m2/dca=2 | m1/dca=2 m2/dca=4 | m1/dca=2 m2/dca=6"},
		"steps are taken as they are given":                                   {plan.Bump(two, bump([]v1alpha1.PartitionStep{{Unit: "dca", Updated: intstr.FromString("50%")}, {Unit: "dcb", Updated: intstr.FromInt32(10)}}, nil, nil)), "m1/dca=2 | m1/dcb=10"},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, show(tc.got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWhatDoesNotFitTheUnitsIsRefusedWithItsField(t *testing.T) {
	two := units("m1/dca=4 m1/dcb=10 m2/dca=4")
	p := field.NewPath("spec")
	for name, tc := range map[string]struct {
		errs field.ErrorList
		want []string
	}{
		"a canary of more pods than a unit has names the unit": {plan.CheckCanary(two, intstr.FromInt32(5), "", p), []string{"spec.pods", "unit dca", "m1", "only 4"}},
		"a canary in a unit that one member lacks":             {plan.CheckCanary(two, intstr.FromInt32(1), "dcb", p), []string{"spec.unit", "member m2"}},
		"a step in a unit that is nowhere":                     {plan.CheckBump(two, bump([]v1alpha1.PartitionStep{{Unit: "dcx", Updated: intstr.FromInt32(1)}}, nil, nil), p), []string{"spec.steps[0].unit", "dcx", "m1", "m2"}},
		"a step that wants more than the unit has":             {plan.CheckBump(units("m1/dca=4"), bump([]v1alpha1.PartitionStep{{Unit: "dca", Updated: intstr.FromInt32(5)}}, nil, nil), p), []string{"spec.steps[0].updated", "only 4"}},
		"a step that goes back": {plan.CheckBump(units("m1/dca=4"), bump([]v1alpha1.PartitionStep{{Unit: "dca", Updated: intstr.FromInt32(3)}, {Unit: "dca", Updated: intstr.FromInt32(2)}}, nil, nil), p),
			[]string{"spec.steps[1].updated", "one way"}},
		"an order with a unit that is nowhere": {plan.CheckBump(two, bump(nil, []string{"dca", "dcx"}, nil), p), []string{"spec.order[1]", "dcx"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := tc.errs.ToAggregate()
			if got == nil {
				t.Fatal("nothing was refused")
			}
			for _, w := range tc.want {
				if !strings.Contains(got.Error(), w) {
					t.Errorf("%q is not in %q", w, got)
				}
			}
		})
	}
	if errs := plan.CheckCanary(two, intstr.FromString("25%"), "", p); len(errs) > 0 {
		t.Errorf("a canary that fits was refused: %v", errs)
	}
}

func TestAdvance(t *testing.T) {
	state := func(replicas int32, partition string, updated, available, oldDown int32) plan.UnitState {
		p := intstr.Parse(partition)
		return plan.UnitState{Replicas: replicas, Partition: &p, Pods: replicas, Updated: updated, UpdatedAvailable: available, OldUnavailable: oldDown}
	}
	for name, tc := range map[string]struct {
		state       plan.UnitState
		want, limit int32
		next        int32
		move        bool
	}{
		"without a limit it goes straight to what is wanted":        {state(10, "100%", 0, 0, 0), 5, -1, 5, true},
		"a limit of two lets two go":                                {state(10, "100%", 0, 0, 0), 5, 2, 2, true},
		"two on their way under a limit of two: it waits":           {state(10, "8", 2, 0, 0), 5, 2, 2, false},
		"one of two is back: one more goes":                         {state(10, "8", 2, 1, 0), 5, 2, 3, true},
		"let go but not started counts":                             {state(10, "8", 0, 0, 0), 5, 2, 2, false},
		"an old pod that is down anyway is taken first and is free": {state(10, "100%", 0, 0, 1), 5, 2, 2, true},
		"more old pods down than the limit can still be repaired":   {state(10, "100%", 0, 0, 4), 5, 2, 4, true},
		"what is wanted is reached: nothing moves":                  {state(10, "5", 5, 5, 0), 5, 2, 5, false},
		"a partition is never raised here":                          {state(10, "0", 10, 10, 0), 5, 2, 10, false},
		"the last step is cut to what is wanted":                    {state(10, "6", 4, 4, 0), 5, 3, 5, true},
		"a partition that cannot be read lets nothing go by itself": {plan.UnitState{Replicas: 4, Partition: ptr.To(intstr.FromString("x%"))}, 1, -1, 1, true},
		"a pod that is ready, not yet available, is not taken":      {settling(state(10, "9", 0, 0, 1), 1), 5, 1, 1, false},
		"it counts against the limit, too":                          {settling(state(10, "100%", 0, 0, 0), 1), 5, 3, 2, true},
		"pods that are missing are unavailable":                     {missing(state(10, "100%", 0, 0, 0), 3), 5, 3, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			next, move := plan.Advance(tc.state, tc.want, tc.limit)
			if next != tc.next || move != tc.move {
				t.Errorf("next %d, move %v; want %d, %v", next, move, tc.next, tc.move)
			}
		})
	}
}

func settling(s plan.UnitState, n int32) plan.UnitState {
	s.OldSettling = n
	return s
}

func missing(s plan.UnitState, n int32) plan.UnitState {
	s.Pods -= n
	return s
}

func TestHaltKeepsWhatStartedAndNoMore(t *testing.T) {
	p := intstr.FromInt32(2)
	keep, move := plan.Halt(plan.UnitState{Replicas: 8, Partition: &p, Updated: 3})
	if keep != 3 || !move {
		t.Errorf("kept %d, move %v", keep, move)
	}
	keep, move = plan.Halt(plan.UnitState{Replicas: 8, Partition: &p, Updated: 6})
	if keep != 6 || move {
		t.Errorf("kept %d, move %v: everything that may start has", keep, move)
	}
}

// The limit holds whatever happens to the pods, and a unit whose pods come up gets to what is wanted.
func TestAdvanceOverRandomWorlds(t *testing.T) {
	seed := uint64(time.Now().UnixNano()) // #nosec G115 -- a seed.
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1)) // #nosec G404 -- a test's dice.
	for range 2000 {
		replicas := int32(1 + rng.IntN(40))
		limit := int32(1 + rng.IntN(int(replicas)))
		want := int32(rng.IntN(int(replicas) + 1))
		held := plan.Held()
		s := plan.UnitState{Replicas: replicas, Pods: replicas, Partition: &held}
		underway := int32(0)
		for step := range 500 {
			next, move := plan.Advance(s, want, limit)
			if next > want {
				t.Fatalf("went to %d, past %d", next, want)
			}
			if move {
				if loose := next - s.UpdatedAvailable; loose > limit {
					t.Fatalf("%d pods loose at once, the limit is %d (%+v)", loose, limit, s)
				}
				v := plan.PartitionFor(next, replicas)
				s.Partition = &v
				if got := s.Allowed(); got != next {
					t.Fatalf("partition %s of %d lets %d go, not %d", v.String(), replicas, got, next)
				}
			}
			switch {
			case s.Updated < s.Allowed() && rng.IntN(2) == 0:
				s.Updated++
				underway++
			case underway > 0:
				s.UpdatedAvailable++
				underway--
			}
			if s.UpdatedAvailable == want {
				break
			}
			if step == 499 {
				t.Fatalf("never got to %d of %d with limit %d: %+v", want, replicas, limit, s)
			}
		}
	}
}

func TestAPartitionIsAPercentageWhereOneSaysExactlyThat(t *testing.T) {
	for name, tc := range map[string]struct {
		updated, replicas int32
		want              string
	}{
		"one of four":                     {1, 4, "75%"},
		"one of seven":                    {1, 7, "85%"},
		"none of four":                    {0, 4, "100%"},
		"all of four":                     {4, 4, "0"},
		"one of a thousand needs numbers": {1, 1000, "999"},
		"half of a thousand":              {500, 1000, "50%"},
	} {
		t.Run(name, func(t *testing.T) {
			got := plan.PartitionFor(tc.updated, tc.replicas)
			if got.String() != tc.want {
				t.Errorf("got %s, want %s", got.String(), tc.want)
			}
		})
	}
	for replicas := int32(1); replicas <= 300; replicas++ {
		for updated := range replicas + 1 {
			v := plan.PartitionFor(updated, replicas)
			if n, err := plan.Partition(&v, replicas); err != nil || replicas-n != updated {
				t.Fatalf("%d of %d became %s, which lets %d go (%v)", updated, replicas, v.String(), replicas-n, err)
			}
		}
	}
}
