package plan

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/intstr"
)

// wishes reads "dca=4 dcb=60%".
func wishesOf(t *testing.T, s string) map[string]intstr.IntOrString {
	t.Helper()
	out := map[string]intstr.IntOrString{}
	for _, part := range strings.Fields(s) {
		unit, value, ok := strings.Cut(part, "=")
		if !ok {
			t.Fatalf("%q is no wish", part)
		}
		out[unit] = intstr.Parse(value)
	}
	return out
}

func sharesOf(a Allocation) string {
	parts := make([]string, 0, len(a.Shares))
	for _, s := range a.Shares {
		parts = append(parts, fmt.Sprintf("%s=%d", s.Unit, s.Replicas))
	}
	return strings.Join(parts, " ")
}

func TestPodsAreSpreadOverUnits(t *testing.T) {
	for _, c := range []struct {
		sentence string
		replicas int32
		units    string
		wishes   string
		want     string
		misfits  int
	}{
		{"ten pods over two units are five each", 10, "dca dcb", "", "dca=5 dcb=5", 0},
		{"the remainder goes to the first units", 7, "dca dcb dcc", "", "dca=3 dcb=2 dcc=2", 0},
		{"fewer pods than units go to the first", 2, "dca dcb dcc", "", "dca=1 dcb=1 dcc=0", 0},
		{"no pods are none anywhere", 0, "dca dcb", "dca=60%", "dca=0 dcb=0", 0},
		{"a number comes before what is shared", 10, "dca dcb dcc", "dcb=6", "dca=2 dcb=6 dcc=2", 0},
		{"a number and a percentage are exact where they add up", 10, "dca dcb", "dca=4 dcb=60%", "dca=4 dcb=6", 0},
		{"percentages that add up to the whole lose nothing by rounding", 5, "dca dcb", "dca=50% dcb=50%", "dca=3 dcb=2", 0},
		{"what rounding takes goes to units without a wish, where there are any", 5, "dca dcb dcc", "dca=50%", "dca=2 dcb=2 dcc=1", 0},
		{"a percentage that is less than a pod is one", 10, "dca dcb", "dcb=1%", "dca=9 dcb=1", 0},
		{"a unit of 0% is empty", 10, "dca dcb", "dcb=0%", "dca=10 dcb=0", 0},
		{"a unit of 0 is empty", 10, "dca dcb", "dca=0", "dca=0 dcb=10", 0},
		{"a number above the total is clamped, which is told", 3, "dca dcb", "dca=4", "dca=3 dcb=0", 1},
		{"numbers are clamped in the order of units", 5, "dca dcb", "dca=4 dcb=4", "dca=4 dcb=1", 1},
		{"a percentage gives way to numbers", 10, "dca dcb", "dca=8 dcb=60%", "dca=8 dcb=2", 1},
		{"numbers that are less than the total share the rest, which is told", 10, "dca dcb", "dca=2 dcb=4", "dca=4 dcb=6", 1},
		{"what nobody asked for does not go to a unit that wants none", 10, "dca dcb dcc", "dca=2 dcb=4 dcc=0", "dca=4 dcb=6 dcc=0", 1},
		{"where all want none, somebody has to have them", 3, "dca dcb", "dca=0 dcb=0", "dca=2 dcb=1", 1},
		{"a scale-out keeps numbers and grows percentages", 20, "dca dcb", "dca=4 dcb=60%", "dca=6 dcb=14", 1},
		{"one unit has all", 9, "dca", "", "dca=9", 0},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			got, err := Allocate(c.replicas, strings.Fields(c.units), wishesOf(t, c.wishes))
			if err != nil {
				t.Fatal(err)
			}
			if sharesOf(got) != c.want {
				t.Errorf("got %s, want %s", sharesOf(got), c.want)
			}
			if len(got.Misfits) != c.misfits {
				t.Errorf("got misfits %q, want %d", got.Misfits, c.misfits)
			}
		})
	}
}

func TestWhatCannotBeSpreadIsRefused(t *testing.T) {
	for sentence, c := range map[string]struct{ units, wishes, want string }{
		"there are no units":             {"", "", "no units"},
		"a wish for an unknown unit":     {"dca", "dcx=1", "names unit dcx, which is not among [dca]"},
		"a percentage that is no number": {"dca", "dca=many", `unit dca: "many"`},
	} {
		t.Run(sentence, func(t *testing.T) {
			_, err := Allocate(10, strings.Fields(c.units), wishesOf(t, c.wishes))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want it to say %q", err, c.want)
			}
		})
	}
}

func TestAllocationsInRandomWorldsAddUpAndMoveFewPods(t *testing.T) {
	for _, seed := range worldSeeds() {
		r := rand.New(rand.NewPCG(seed, 1)) // #nosec G404 -- a test's worlds.
		units := []string{"dca", "dcb", "dcc", "dcd", "dce"}[:1+r.IntN(5)]
		replicas := r.Int32N(60)
		wishes, percent := map[string]intstr.IntOrString{}, 0
		for _, unit := range units {
			switch r.IntN(3) {
			case 0:
				wishes[unit] = intstr.FromInt32(r.Int32N(20))
			case 1:
				p := r.IntN(101 - percent)
				percent += p
				wishes[unit] = intstr.FromString(strconv.Itoa(p) + "%")
			}
		}
		a, err := Allocate(replicas, units, wishes)
		if err != nil {
			t.Fatalf("-seed=%d: %v", seed, err)
		}
		b, err := Allocate(replicas+1, units, wishes)
		if err != nil {
			t.Fatalf("-seed=%d: %v", seed, err)
		}
		what := fmt.Sprintf("-seed=%d: %d pods over %v by %v: %s, then %s", seed, replicas, units, wishes, sharesOf(a), sharesOf(b))
		sum, moved := int32(0), int32(0)
		least, most := int32(1<<30), int32(-1)
		for i, s := range a.Shares {
			sum += s.Replicas
			moved += max(s.Replicas-b.Shares[i].Replicas, 0)
			if s.Replicas < 0 {
				t.Fatalf("%s: unit %s has less than nothing", what, s.Unit)
			}
			if _, ok := wishes[s.Unit]; !ok {
				least, most = min(least, s.Replicas), max(most, s.Replicas)
			}
			if wish, ok := wishes[s.Unit]; ok && wish.Type == intstr.Int && len(a.Misfits) == 0 && s.Replicas != wish.IntVal {
				t.Fatalf("%s: unit %s does not have its number, and nobody says so", what, s.Unit)
			}
		}
		if sum != replicas {
			t.Fatalf("%s: together %d", what, sum)
		}
		if most >= 0 && most-least > 1 {
			t.Fatalf("%s: units without a wish differ by more than one pod", what)
		}
		// One pod more may change the remainder and what each percentage rounds to: never more than a pod for each unit.
		if moved > int32(len(units)) { // #nosec G115 -- five at most.
			t.Fatalf("%s: %d pods move for one more", what, moved)
		}
		again, err := Allocate(replicas, units, maps.Clone(wishes))
		if err != nil || !slices.Equal(again.Shares, a.Shares) {
			t.Fatalf("%s: another answer to the same question: %s, %v", what, sharesOf(again), err)
		}
	}
}
