package fleet

import (
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"
)

// listed is the registration of a handler that was told of a whole list.
type listed struct{}

func (listed) HasSynced() bool { return true }

// A watch that opens again after a gap goes on where it broke off. Between that moment and the replacement of the run, which needs the member's lock,
// a session may ask.
func TestARunWhoseWatchOpensAgainAfterAGapIsNotSyncedBeforeItIsReplaced(t *testing.T) {
	clock := clocktesting.NewFakeClock(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	for name, tc := range map[string]struct {
		closed time.Duration
		want   bool
	}{
		"closed for less than the gap": {time.Second, true},
		"closed for the gap":           {2 * time.Second, false},
		"closed for longer":            {time.Minute, false},
	} {
		t.Run(name, func(t *testing.T) {
			f := New(Options{Clock: clock})
			t.Cleanup(f.Stop)
			m := newMember(f, "north")
			i, r := &sharedInformer{key: "pods"}, &run{reg: listed{}}
			synced := func() bool { return r.synced(clock.Now(), f.opts.WatchGap) }

			m.watched(i, r, WatchOpened, nil)
			if !synced() {
				t.Fatal("not synced with a complete list and an open watch")
			}
			m.watched(i, r, WatchEnded, nil)
			clock.Step(tc.closed)
			// renew replaces runs that are still the informer's; this one is not, and so stays as it is in between.
			m.watched(i, r, WatchOpened, nil)
			if got := synced(); got != tc.want {
				t.Errorf("synced is %t after a gap of %s, want %t", got, tc.closed, tc.want)
			}
			if err := r.problem(clock.Now(), f.opts.WatchGap); (err == nil) != tc.want {
				t.Errorf("the reason is %v", err)
			}
		})
	}
}
