package pods

import (
	"time"

	"github.com/periplus-dev/periplus/pkg/guard"
)

// mostEvents is how many events of a kind are kept of a pod. The oldest are joined where there are more: a restart then counts a little longer than it should.
const mostEvents = 64

// longestWindow that a metric can have.
const longestWindow = 24 * time.Hour

// history is what is known of a pod since it began to become what it is.
type history struct {
	created, begun time.Time
	// seen is when the pod was seen last, and the next fields how.
	seen            time.Time
	ready, takenOut bool
	changed         time.Time
	count           int64
	// firstReady is when the pod was ready for the first time since it began; zero while it was not.
	firstReady time.Time

	restarts, flaps events
}

// events of one kind.
type events struct {
	// since is from when on all of them are known; zero where all are since the pod began.
	since time.Time
	// before is how many there were between the pod's beginning and since, where that is known.
	before      int64
	beforeKnown bool
	list        []event
}

type event struct {
	at time.Time
	n  int64
}

func begun(p *guard.Pod) time.Time {
	if p.Begun.IsZero() {
		return p.Created
	}
	return p.Begun
}

// firstSeen begins a history. whole says that nothing since the pod began went unseen. The count of a pod that was changed in place has restarts in it, from
// before, of containers that the change left alone: it says what happened since the pod began only where it is 0.
func firstSeen(at time.Time, p *guard.Pod, whole bool) *history {
	h := &history{created: p.Created, begun: begun(p)}
	neverChanged := h.begun.Equal(p.Created)
	switch {
	case whole && neverChanged:
		h.restarts.add(at, p.Restarts)
	case !whole && p.Restarts > 0:
		h.restarts.since, h.restarts.before, h.restarts.beforeKnown = at, p.Restarts, neverChanged
	}
	if !whole {
		h.flaps.since = at
		if p.Ready && !p.ReadyChanged.IsZero() && p.ReadyChanged.Before(at) {
			h.flaps.since = p.ReadyChanged
		}
	}
	h.keep(at, p)
	return h
}

// see goes on with a history, by what is there now: events that came and went between two passes show in the restart count, and in the time of the Ready condition.
func (h *history) see(at time.Time, p *guard.Pod) {
	if b := begun(p); !b.Equal(h.begun) {
		// Changed in place. What happened before is not the pod's any more; while the change is under way nothing can have happened since.
		*h = *firstSeen(at, p, p.Moving)
		return
	}
	switch {
	case p.Restarts > h.count:
		h.restarts.add(at, p.Restarts-h.count)
	case p.Restarts < h.count:
		h.restarts.add(at, p.Restarts)
	}
	lost := h.ready && !p.Ready
	cameAndWent := h.ready == p.Ready && !p.ReadyChanged.Equal(h.changed) && !h.changed.IsZero()
	if (lost || cameAndWent) && !h.takenOut && !p.TakenOut {
		h.flaps.add(lostAt(at, p), 1)
	}
	h.keep(at, p)
}

// lostAt is when readiness was lost: what the cluster says, as long as it is not ahead of us.
func lostAt(at time.Time, p *guard.Pod) time.Time {
	if p.ReadyChanged.IsZero() || p.ReadyChanged.After(at) {
		return at
	}
	return p.ReadyChanged
}

func (h *history) keep(at time.Time, p *guard.Pod) {
	h.seen, h.ready, h.takenOut, h.changed, h.count = at, p.Ready, p.TakenOut, p.ReadyChanged, p.Restarts
	// While a pod is being changed its Ready may still be about what it was.
	if p.Ready && !p.Moving && !p.TakenOut && h.firstReady.IsZero() {
		h.firstReady = p.ReadyChanged
		if h.firstReady.Before(h.begun) {
			h.firstReady = h.begun
		}
	}
	h.restarts.trim(at)
	h.flaps.trim(at)
}

func (h *history) timeToReady(now time.Time) (float64, bool) {
	if h.begun.IsZero() {
		return 0, false
	}
	end := h.firstReady
	if end.IsZero() {
		end = now
	}
	return max(end.Sub(h.begun).Seconds(), 0), true
}

func (e *events) add(at time.Time, n int64) {
	if n > 0 {
		e.list = append(e.list, event{at: at, n: n})
	}
}

func (e *events) trim(now time.Time) {
	for len(e.list) > 0 && now.Sub(e.list[0].at) > longestWindow {
		e.list = e.list[1:]
	}
	for len(e.list) > mostEvents {
		e.list[1].n += e.list[0].n
		e.list = e.list[1:]
	}
}

// within counts the events after a time; false where some of them may not be known.
func (e *events) within(from, begun time.Time) (float64, bool) {
	var n int64
	if !e.since.IsZero() && from.Before(e.since) {
		if from.After(begun) || !e.beforeKnown {
			return 0, false
		}
		n = e.before
	}
	for _, ev := range e.list {
		if ev.at.After(from) {
			n += ev.n
		}
	}
	return float64(n), true
}
