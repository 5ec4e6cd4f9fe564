package inplaceset

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
	testclock "k8s.io/utils/clock/testing"
)

// What pods tell starts a pass at once after a rest, and is gathered for a moment after a pass.
func TestGathering(t *testing.T) {
	const atOnce = time.Duration(0)
	key := types.NamespacedName{Namespace: "shop", Name: "web"}
	for _, r := range []struct {
		name string
		do   func(r *reconciler, after func(time.Duration))
		// passes are after how long each pass that was asked for begins.
		passes []time.Duration
	}{
		{
			name:   "the first event starts a pass at once",
			do:     func(r *reconciler, _ func(time.Duration)) { r.hear(key) },
			passes: []time.Duration{atOnce},
		},
		{
			name: "one right after a pass waits, and no longer than the moment after that pass",
			do: func(r *reconciler, after func(time.Duration)) {
				r.passes(key)
				r.passed(key, 100)
				after(4 * time.Millisecond)
				r.hear(key)
			},
			passes: []time.Duration{6 * time.Millisecond},
		},
		{
			name: "one a while after a pass does not wait",
			do: func(r *reconciler, after func(time.Duration)) {
				r.passes(key)
				r.passed(key, 100)
				after(10 * time.Millisecond)
				r.hear(key)
			},
			passes: []time.Duration{atOnce},
		},
		{
			name: "many while a pass is under way are one pass after it",
			do: func(r *reconciler, after func(time.Duration)) {
				r.passes(key)
				r.hear(key)
				r.hear(key)
				after(time.Second)
				r.passed(key, 100)
			},
			passes: []time.Duration{10 * time.Millisecond},
		},
		{
			name: "a pass during which nothing was told is followed by none",
			do: func(r *reconciler, _ func(time.Duration)) {
				r.passes(key)
				r.hear(key)
				r.passed(key, 100)
				r.passes(key)
				r.passed(key, 100)
			},
			passes: []time.Duration{10 * time.Millisecond},
		},
		{
			name: "a large set waits for no longer than a step may be late",
			do: func(r *reconciler, _ func(time.Duration)) {
				r.passes(key)
				r.passed(key, 5000)
				r.hear(key)
			},
			passes: []time.Duration{gatherAtMost},
		},
		{
			name: "a set without pods does not wait",
			do: func(r *reconciler, _ func(time.Duration)) {
				r.passes(key)
				r.hear(key)
				r.passed(key, 0)
			},
			passes: []time.Duration{atOnce},
		},
		{
			name: "another set by the name of one that is gone begins anew",
			do: func(r *reconciler, _ func(time.Duration)) {
				r.passes(key)
				r.memory.know(key, "another")
				r.hear(key)
			},
			passes: []time.Duration{atOnce},
		},
		{
			name: "a set that nothing is known of does not wait",
			do: func(r *reconciler, _ func(time.Duration)) {
				r.passes(key)
				r.memory.forget(key)
				r.hear(key)
				r.passed(key, 100)
			},
			passes: []time.Duration{atOnce},
		},
	} {
		t.Run(r.name, func(t *testing.T) {
			var passes []time.Duration
			clock := testclock.NewFakePassiveClock(noon)
			of := &reconciler{
				clock: clock, memory: newMemory(), enqueue: func(types.NamespacedName) { passes = append(passes, atOnce) },
				enqueueAfter: func(_ types.NamespacedName, after time.Duration) { passes = append(passes, after) },
			}
			of.memory.know(key, "u1")
			r.do(of, func(d time.Duration) { clock.SetTime(clock.Now().Add(d)) })
			if diff := cmp.Diff(r.passes, passes); diff != "" {
				t.Errorf("passes asked for (-want +got):\n%s", diff)
			}
		})
	}
}
