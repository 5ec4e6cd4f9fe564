package simulation

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"testing"
)

var (
	seedFlag  = flag.Uint64("seed", 0, "replay this one seed, and print its log")
	seedsFlag = flag.Int("seeds", 0, "how many seeds to run; PERIPLUS_SEEDS, or 40, where it is 0")
	firstFlag = flag.Uint64("first", 1, "the first seed to run")
	onlyFlag  = flag.String("only", "", "run only seeds whose story's name has this in it")
)

// TestMain lets garbage be: a run is short, and what it leaves is small.
func TestMain(m *testing.M) {
	flag.Parse()
	debug.SetGCPercent(400)
	os.Exit(m.Run())
}

// seedsOf is how many seeds to run: few with every go test, more in CI, any number by flag.
func seedsOf(t *testing.T) int {
	t.Helper()
	if *seedsFlag > 0 {
		return *seedsFlag
	}
	if env := os.Getenv("PERIPLUS_SEEDS"); env != "" {
		n, err := strconv.Atoi(env)
		if err != nil {
			t.Fatalf("PERIPLUS_SEEDS: %v", err)
		}
		return n
	}
	return 40
}

// each runs seeds on all processors, and hands over the results as they come.
func each(first uint64, n int, plant Plant, over *sites, take func(Result) (more bool)) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	next, stop := first, false
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for {
				mu.Lock()
				seed := next
				next++
				over0 := stop || seed >= first+uint64(n)
				mu.Unlock()
				if over0 {
					return
				}
				if !strings.Contains(tell(randOf(seed)).name, *onlyFlag) {
					continue
				}
				res := Simulate(seed, plant, over, false)
				mu.Lock()
				stop = stop || !take(res)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}

func TestWholeReleasesKeepTheRules(t *testing.T) {
	over := newSites()
	if *seedFlag > 0 {
		res := Simulate(*seedFlag, Plant{}, over, true)
		fmt.Println(strings.Join(res.Lines, "\n"))
		t.Logf("seed %d: %s: %d steps: %s", res.Seed, res.Story, res.Steps, res.Outcome)
		if res.Err != nil {
			t.Fatal(res.Err)
		}
		return
	}
	n := seedsOf(t)
	failed, steps := 0, 0
	each(*firstFlag, n, Plant{}, over, func(res Result) bool {
		steps += res.Steps
		if res.Err == nil {
			return true
		}
		failed++
		again := Simulate(res.Seed, Plant{}, newSites(), true)
		t.Errorf("seed %d (%s): %v\n%s\nreplay it by: go test ./test/simulation -run TestWholeReleases -seed %d", res.Seed, res.Story, res.Err,
			strings.Join(last(again.Lines, 80), "\n"), res.Seed)
		return failed < 12
	})
	more := 0
	for seed := *firstFlag + uint64(n); n >= enough && failed == 0 && seed < *firstFlag+uint64(2*n) && len(over.missing()) > 0; seed++ {
		if !over.missing()[tell(randOf(seed)).name] {
			continue
		}
		// What one run in hundreds reaches may not have been killed at both of its boundaries: some more of its stories are told.
		more++
		if res := Simulate(seed, Plant{}, over, false); res.Err != nil {
			t.Fatalf("seed %d (%s): %v\nreplay it by: go test ./test/simulation -run TestWholeReleases -seed %d", res.Seed, res.Story, res.Err, res.Seed)
		}
	}
	t.Logf("%d seeds and %d more for rare sites, %d steps", n, more, steps)
	checkCoverage(t, over, n)
}
