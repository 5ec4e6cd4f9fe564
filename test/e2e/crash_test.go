//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// The controllers are killed five times at random moments of a release that still ends right. Not parallel: other tests' releases would be hit too.
func TestControllersAreKilledAndTheReleaseStillEndsRight(t *testing.T) {
	p := newPort(t).withExample()
	seed := uint64(time.Now().UnixNano()) // #nosec G115 -- a seed.
	if s := os.Getenv("PERIPLUS_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		seed = n
	}
	t.Logf("seed %d: set PERIPLUS_SEED to it to kill at the same times", seed)
	rng := rand.New(rand.NewPCG(seed, 7)) // #nosec G404 -- a test's dice.
	before := map[string]map[string]string{"m1": p.identities("m1"), "m2": p.identities("m2")}
	look := p.watch("productpage:v2", 2)
	run := p.release("productpage:v2")

	ctx, cancel := context.WithTimeout(context.Background(), 4*limit)
	defer cancel()
	parts := [][2]string{{"hub", "controller"}, {"m1", "workloads"}, {"hub", "controller"}, {"m2", "workloads"}, {"hub", "controller"}}
	killed := make(chan error, 1)
	go func() {
		for i, part := range parts {
			wait := time.NewTimer(time.Duration(1500+rng.IntN(4000)) * time.Millisecond)
			select {
			case <-ctx.Done():
				killed <- ctx.Err()
				return
			case <-wait.C:
			}
			if err := p.fleet.Kill(ctx, part[0], part[1], syscall.SIGKILL); err != nil {
				killed <- fmt.Errorf("kill %d of %s/%s: %w", i, part[0], part[1], err)
				return
			}
			if err := p.fleet.Start(ctx, part[0], part[1]); err != nil {
				killed <- fmt.Errorf("start %d of %s/%s: %w", i, part[0], part[1], err)
				return
			}
		}
		killed <- nil
	}()
	p.comesTo(run, "confirm", "AwaitingApproval")
	p.confirms(run)
	if err := <-killed; err != nil {
		t.Fatal(err)
	}
	if reason := p.ends(run); reason != "Completed" { // all but the rollback, which was left out.
		t.Fatalf("the run ended %s\n%s", reason, p.scene())
	}
	for _, m := range members {
		if got := p.updated(m, ":v2"); got != "dca=4 dcb=4" {
			t.Errorf("at the end %s has %s", m, got)
		}
		if !maps.Equal(before[m], p.identities(m)) {
			t.Errorf("pods of %s did not keep UID, node and IP", m)
		}
	}
	p.atRest(run)
	look.report(p)
}
