package fleet_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes/fake"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/periplus-dev/periplus/pkg/fleet"
	"github.com/periplus-dev/periplus/pkg/fleet/fleettest"
)

// beats counts heartbeats by member.
type beats struct {
	mu sync.Mutex
	by map[string]int
}

func (b *beats) add(member string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.by == nil {
		b.by = map[string]int{}
	}
	b.by[member]++
}

func (b *beats) of(member string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.by[member]
}

func TestTheHeartIsCheckedOftenWhileWorkedOnAndSeldomAtRest(t *testing.T) {
	opts, members := fleettest.New(t, map[string]fleet.Clients{"north": {}})
	clk := clocktesting.NewFakeClock(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	opts.Clock = clk
	f := fleet.New(opts)
	t.Cleanup(func() { f.Stop(); noneLeft(t) })
	var seen beats
	f.Subscribe(seen.add)
	// next steps the clock and waits until as many heartbeats as told were seen and the next one is planned.
	next := func(step time.Duration, want int) {
		t.Helper()
		before := seen.of("north")
		clk.Step(step)
		eventually(t, "the heartbeats came", func() bool { return seen.of("north") == before+want })
	}
	planned := func() { t.Helper(); eventually(t, "the next is planned", clk.HasWaiters) }

	if clk.HasWaiters() {
		t.Error("something is planned for a member that nobody asked for")
	}
	f.Attend("north")
	eventually(t, "the first came", func() bool { return seen.of("north") == 1 })
	planned()
	next(50*time.Second, 0)
	next(17*time.Second, 1) // 60 s and a tenth
	planned()

	if _, err := f.Open("run", "north", func() {}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "opening checks at once", func() bool { return seen.of("north") == 3 })
	planned()
	next(8*time.Second, 0)
	next(4*time.Second, 1)
	planned()

	members.Connection("north").SetDown(errors.New("connection refused"))
	next(12*time.Second, 1)
	info, _ := f.Info("north")
	if since := clk.Now(); info.Reachability.State != fleet.Unreachable || !info.Reachability.Since.Equal(since) {
		t.Errorf("want Unreachable since %s, got %+v", since, info.Reachability)
	}
	// It is looked for again soon, and then less and less often.
	for _, wait := range []time.Duration{1100 * time.Millisecond, 2200 * time.Millisecond, 4400 * time.Millisecond} {
		planned()
		next(wait*3/4, 0)
		next(wait/4, 1)
	}
	members.Connection("north").SetDown(nil)
	planned()
	next(9*time.Second, 1)
	info, _ = f.Info("north")
	if info.Reachability.State != fleet.Reachable || !info.Reachability.LastContact.Equal(clk.Now()) {
		t.Errorf("want Reachable with contact now, got %+v", info.Reachability)
	}

	// Nobody attends any more, as on a replica that has lost the lead.
	f.Close("run")
	planned()
	next(5*time.Minute, 1)
	eventually(t, "nothing is planned, and nothing is claimed to be known", func() bool {
		info, _ := f.Info("north")
		return !clk.HasWaiters() && info.Reachability.State == fleet.Unknown
	})
}

func TestInformersLingerForHalfAMinute(t *testing.T) {
	opts, _ := fleettest.New(t, map[string]fleet.Clients{"north": {Kube: fake.NewClientset()}})
	clk := clocktesting.NewFakeClock(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	opts.Clock = clk
	f := fleet.New(opts)
	t.Cleanup(func() { f.Stop(); noneLeft(t) })
	s, err := f.Open("first", "north", nil)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "synced", func() bool { return synced(s) })
	inf, _ := s.Informer("pods", makePods)
	var seen beats
	f.Subscribe(seen.add)
	// step goes on in time and waits for a heartbeat, by when all else that was due has begun too.
	step := func(d time.Duration) {
		t.Helper()
		before := seen.of("north")
		eventually(t, "the next heartbeat is planned", clk.HasWaiters)
		clk.Step(d)
		eventually(t, "the heartbeat came", func() bool { return seen.of("north") > before })
	}

	f.Close("first")
	step(29 * time.Second)
	if inf.IsStopped() {
		t.Error("it stopped too early")
	}
	next, err := f.Open("second", "north", nil)
	if err != nil {
		t.Fatal(err)
	}
	if same, ok := next.Informer("pods", makePods); same != inf || !ok {
		t.Errorf("after 29 s the next stage finds another informer, synced %t", ok)
	}
	f.Close("second")
	step(29 * time.Second)
	if inf.IsStopped() {
		t.Error("the half minute was not counted anew")
	}
	clk.Step(time.Second)
	eventually(t, "it has stopped", inf.IsStopped)
}
