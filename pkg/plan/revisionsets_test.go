package plan

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

func toldText(told map[string]int32) string {
	var parts []string
	for _, revision := range slices.Sorted(maps.Keys(told)) {
		parts = append(parts, fmt.Sprintf("%s=%d", revision, told[revision]))
	}
	return strings.Join(parts, " ")
}

func TestRevisionSets(t *testing.T) {
	// five pods of a unit of which one may be unavailable, on the way from r1 to r2.
	state := func(keep, stay int32, sets ...RevisionSet) RevisionSetsState {
		return RevisionSetsState{Keep: keep, Stay: stay, Limit: 1, Current: "r1", Update: "r2", Sets: sets}
	}
	paused := func(s RevisionSetsState) RevisionSetsState { s.Paused = true; return s }
	for _, r := range []struct {
		name  string
		state RevisionSetsState
		want  string
	}{
		{name: "held back, nothing moves", state: state(5, 5, RevisionSet{"r1", 5, 5, 5}), want: "r1=5"},
		{name: "one is taken away, and nothing is made before it is gone", state: state(5, 3, RevisionSet{"r1", 5, 5, 5}), want: "r1=4"},
		{name: "once it is gone another is made", state: state(5, 3, RevisionSet{"r1", 4, 4, 4}), want: "r1=4 r2=1"},
		{name: "while that is not available no other goes", state: state(5, 3, RevisionSet{"r1", 4, 4, 4}, RevisionSet{"r2", 1, 1, 0}), want: "r1=4 r2=1"},
		{name: "a delete that is not seen yet counts", state: state(5, 3, RevisionSet{"r1", 4, 5, 5}), want: "r1=4"},
		{name: "a broken pod of any revision counts", state: state(5, 2, RevisionSet{"r1", 4, 4, 4}, RevisionSet{"r2", 1, 1, 0}), want: "r1=4 r2=1"},
		{name: "broken old pods go first and cost nothing", state: state(5, 2, RevisionSet{"r1", 5, 5, 2}), want: "r1=2"},
		{name: "a third revision goes before the current one", state: state(5, 3, RevisionSet{"r1", 4, 4, 4}, RevisionSet{"r0", 1, 1, 0}), want: "r0=0 r1=4"},
		{name: "what is missing is made on the current revision while fewer stay", state: state(5, 4, RevisionSet{"r1", 3, 3, 3}, RevisionSet{"r2", 1, 1, 1}), want: "r1=4 r2=1"},
		{name: "paused, nothing is taken away but what is missing is made", state: paused(state(5, 2, RevisionSet{"r1", 4, 4, 3})), want: "r1=4 r2=1"},
		{name: "fewer to keep, broken ones go first", state: state(3, 3, RevisionSet{"r1", 5, 5, 3}), want: "r1=3"},
		{name: "a new unit begins on the revision that stays", state: state(2, 2), want: "r1=2 r2=0"},
		{name: "a new unit begins on the update revision where none stays", state: state(2, 0), want: "r2=2"},
	} {
		t.Run(r.name, func(t *testing.T) {
			if got := toldText(RevisionSets(r.state)); got != r.want {
				t.Errorf("told %q; want %q", got, r.want)
			}
		})
	}
}

// A unit goes from any state to what is wanted, under a set controller that acts in any order, without ever taking an available pod over the limit or making one
// above what is kept.
func TestRevisionSetsKeepTheLimitAndArrive(t *testing.T) {
	seed := uint64(time.Now().UnixNano()) // #nosec G115 -- a seed.
	rng := rand.New(rand.NewPCG(seed, 1)) // #nosec G404 -- a test's dice.
	for n := range 500 {
		keep := 1 + rng.Int32N(8)
		s := RevisionSetsState{Keep: keep, Limit: 1 + rng.Int32N(3), Stay: rng.Int32N(keep + 1), Current: "r1", Update: "r2"}
		pods := map[string][]bool{} // by revision: which are available.
		for range keep {
			revision := []string{"r0", "r1", "r2"}[rng.IntN(3)]
			pods[revision] = append(pods[revision], rng.IntN(4) > 0)
		}
		told := map[string]int32{}
		for revision, of := range pods {
			told[revision] = int32(len(of)) // #nosec G115 -- a few.
		}
		for step := 0; ; step++ {
			if step == 400 {
				t.Fatalf("seed %d, world %d: it never arrives: %+v, pods %v", seed, n, s, pods)
			}
			s.Sets = nil
			var there int32
			for _, revision := range slices.Sorted(maps.Keys(told)) {
				set := RevisionSet{Revision: revision, Told: told[revision], Pods: int32(len(pods[revision]))} // #nosec G115 -- a few.
				for _, available := range pods[revision] {
					if available {
						set.Available++
					}
				}
				there += set.Pods
				s.Sets = append(s.Sets, set)
			}
			if there > keep {
				t.Fatalf("seed %d, world %d: %d pods, %d are to be kept", seed, n, there, keep)
			}
			before := maps.Clone(told)
			var ableBefore, able int32
			for _, set := range s.Sets {
				ableBefore += set.available()
			}
			told = RevisionSets(s)
			for _, set := range s.Sets {
				able += min(set.Available, told[set.Revision])
			}
			if able < ableBefore && able < keep-s.Limit {
				t.Fatalf("seed %d, world %d: %v told %v: %d would be available, at least %d must be", seed, n, before, told, able, keep-s.Limit)
			}
			// One set's controller does one thing: broken ones go first.
			busy := false
			revisions := slices.Collect(maps.Keys(told))
			slices.Sort(revisions)
			rng.Shuffle(len(revisions), func(i, j int) { revisions[i], revisions[j] = revisions[j], revisions[i] })
			for _, revision := range revisions {
				of := pods[revision]
				switch {
				case int(told[revision]) < len(of):
					slices.SortFunc(of, func(a, b bool) int { return boolOrder(a) - boolOrder(b) })
					pods[revision], busy = of[1:], true
				case int(told[revision]) > len(of):
					pods[revision], busy = append(of, false), true
				default:
					for i := range of {
						if !of[i] && (revision == "r2" || s.Stay > 0) {
							of[i], busy = true, true
							break
						}
					}
				}
				if busy {
					break
				}
			}
			if !busy && maps.Equal(before, told) {
				break
			}
		}
		if got := int32(len(pods["r2"])); got < keep-s.Stay { // #nosec G115 -- a few.
			t.Fatalf("seed %d, world %d: %d pods are updated at the end, %d of %d are to stay", seed, n, got, s.Stay, keep)
		}
	}
}

func boolOrder(b bool) int {
	if b {
		return 1
	}
	return 0
}

func TestOrdinals(t *testing.T) {
	// o is an old pod, u an updated one, capital when it is available; - is missing.
	pods := func(text string) (out []OrdinalPod) {
		for _, c := range text {
			out = append(out, OrdinalPod{Exists: c != '-', Updated: c == 'u' || c == 'U', Available: c == 'O' || c == 'U'})
		}
		return out
	}
	for _, r := range []struct {
		name       string
		pods       string
		stay       int32
		limit      int32
		paused     bool
		partition  int32
		wantBroken string
	}{
		{name: "the highest goes first", pods: "OOOOO", limit: 1, partition: 4},
		{name: "as many as the limit lets go", pods: "OOOOO", limit: 2, partition: 3},
		{name: "one on its way holds the next", pods: "OOOOu", limit: 1, partition: 4},
		{name: "one that is gone holds the next", pods: "OOOO-", limit: 1, partition: 4},
		{name: "the next goes once it is available", pods: "OOOOU", limit: 1, partition: 3},
		{name: "not below those that stay", pods: "OOOUU", stay: 3, limit: 2, partition: 3},
		{name: "a broken pod below counts against the limit", pods: "oOOOO", limit: 1, partition: 5},
		{name: "broken ones of the wrong revision go and cost nothing", pods: "OOOoo", limit: 2, partition: 3, wantBroken: "[4 3]"},
		{name: "a broken one behind those that the limit lets go is reached", pods: "OOoOO", limit: 3, partition: 2, wantBroken: "[2]"},
		{name: "paused, what was updated stays so and no other goes", pods: "OOOOU", limit: 2, paused: true, partition: 4},
	} {
		t.Run(r.name, func(t *testing.T) {
			if r.wantBroken == "" {
				r.wantBroken = "[]"
			}
			partition, broken := Ordinals(OrdinalsState{Keep: 5, Stay: r.stay, Limit: r.limit, Paused: r.paused, Pods: pods(r.pods)})
			if partition != r.partition || fmt.Sprint(broken) != r.wantBroken {
				t.Errorf("partition %d, broken %v; want %d and %s", partition, broken, r.partition, r.wantBroken)
			}
		})
	}
}
