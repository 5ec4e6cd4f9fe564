package pods

import (
	"sync"
	"time"

	"github.com/periplus-dev/periplus/pkg/guard"
)

// forgetAfter is how long what is known of a pod is good without it being seen again. Passes come with each event of a stage's pods, and each judgement of its guards.
const forgetAfter = 10 * time.Minute

// sweepEvery is how often what is not good any more is dropped.
const sweepEvery = time.Minute

// Recorder keeps what passes saw of pods, for as long as it can matter. It is safe for use by many goroutines.
type Recorder struct {
	mu     sync.Mutex
	pods   map[podKey]*history
	groups map[groupKey]time.Time // when each was seen last
	swept  time.Time
}

type podKey struct{ namespace, member, name string }

// groupKey is one workload, whose pods are all seen in the same passes.
type groupKey struct{ namespace, member, kind, workload string }

// NewRecorder returns a Recorder that knows nothing.
func NewRecorder() *Recorder {
	return &Recorder{pods: map[podKey]*history{}, groups: map[groupKey]time.Time{}}
}

// Observe notes what a pass at a time saw of a target in one member, for a run in a namespace. It keeps nothing of in itself.
func (r *Recorder) Observe(at time.Time, namespace string, in *guard.Input) {
	if in.Missing != "" {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	before := map[groupKey]bool{}
	for i := range in.Pods {
		p := &in.Pods[i]
		group := groupKey{namespace, in.Member, in.Workload.Kind, p.Workload}
		watched, looked := before[group]
		if !looked {
			last, ok := r.groups[group]
			watched = ok && at.Sub(last) <= forgetAfter
			before[group] = watched
			if at.After(last) {
				r.groups[group] = at
			}
		}
		key := podKey{namespace, in.Member, nameOf(p)}
		h := r.pods[key]
		switch {
		case h == nil || !h.created.Equal(p.Created) || at.Sub(h.seen) > forgetAfter:
			// A workload that was looked at a moment ago, without the pod, got the pod since; one that is old, or was changed, all the same was adopted.
			r.pods[key] = firstSeen(at, p, watched && begun(p).Equal(p.Created) && at.Sub(p.Created) <= 2*forgetAfter)
		case at.After(h.seen):
			h.see(at, p)
		}
	}
	r.sweep(at)
}

func (r *Recorder) sweep(at time.Time) {
	if d := at.Sub(r.swept); d >= 0 && d < sweepEvery {
		return
	}
	r.swept = at
	for k, h := range r.pods {
		if at.Sub(h.seen) > forgetAfter {
			delete(r.pods, k)
		}
	}
	for k, seen := range r.groups {
		if at.Sub(seen) > forgetAfter {
			delete(r.groups, k)
		}
	}
}

// value is what a measure says of a pod in a window; false where nothing can be said.
func (r *Recorder) value(now time.Time, namespace, member string, p *guard.Pod, m measure, from time.Time) (float64, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.pods[podKey{namespace, member, nameOf(p)}]
	if h != nil && (!h.created.Equal(p.Created) || !h.begun.Equal(begun(p)) || now.Sub(h.seen) > forgetAfter) {
		h = nil
	}
	if m == timeToReady {
		if h == nil {
			h = firstSeen(now, p, false)
		}
		return h.timeToReady(now)
	}
	if h == nil {
		return 0, false
	}
	if m == restarts {
		return h.restarts.within(from, h.begun)
	}
	return h.flaps.within(from, h.begun)
}

// nameOf is how a pod is told from those of other namespaces in which a target has pods, too.
func nameOf(p *guard.Pod) string { return p.Namespace + "/" + p.Name }
