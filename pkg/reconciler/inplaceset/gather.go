package inplaceset

import (
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// A pass looks at every pod of its set, and while hundreds of them change there is an event of one every few milliseconds. So what pods tell right after a pass is
// gathered for a moment, and one pass answers it all. The first event after a rest starts a pass at once, and so does every change of the set itself.
const (
	// gatherEach is how long that is for each pod that the set has: about a hundred times what a pass takes. A set of ten does not notice.
	gatherEach = 100 * time.Microsecond
	// gatherAtMost bounds it, and with it how late a step of a pod can be for this.
	gatherAtMost = 50 * time.Millisecond
)

// gathering of one set's events. Lost with the process, whose successor starts with a pass over every set.
type gathering struct {
	// passing: a pass is under way; told: a pod told something meanwhile.
	passing, told bool
	// until is when what pods tell starts a pass at once again.
	until time.Time
}

// hear that something befell a pod of a set, or what is said of it.
func (r *reconciler) hear(key types.NamespacedName) {
	var wait time.Duration
	later := false
	r.memory.of(key, func(known *remembered) {
		g := &known.gathering
		if later = g.passing; later {
			g.told = true
			return
		}
		wait = g.until.Sub(r.clock.Now())
	})
	switch {
	case later: // passed sees to it.
	case wait > 0:
		r.enqueueAfter(key, wait)
	default:
		r.enqueue(key)
	}
}

// passes says that a pass over a set begins.
func (r *reconciler) passes(key types.NamespacedName) {
	r.memory.of(key, func(known *remembered) { known.gathering = gathering{passing: true} })
}

// passed says that a pass over a set of so many pods is over.
func (r *reconciler) passed(key types.NamespacedName, pods int) {
	wait := min(time.Duration(pods)*gatherEach, gatherAtMost)
	told := false
	r.memory.of(key, func(known *remembered) {
		told = known.gathering.told
		known.gathering = gathering{until: r.clock.Now().Add(wait)}
	})
	switch {
	case told && wait > 0:
		r.enqueueAfter(key, wait)
	case told:
		r.enqueue(key)
	}
}
