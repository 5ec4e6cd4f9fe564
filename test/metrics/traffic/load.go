package traffic

import (
	"hash/fnv"
	"math"
	"math/rand/v2"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Behaviour is how the pods of a version are asked and answer.
type Behaviour struct {
	// Rate of requests to one ready pod, per second; they come by a Poisson process.
	Rate float64
	// Errors is the share of requests that are answered 500, from 0 to 1.
	Errors float64
	// Latency is the mean time of an answer; single ones are spread log-normally around it.
	Latency time.Duration
	// Smoothing is how far back the balancer's ratio of errors looks, as smoothed metrics do. Minute where 0.
	Smoothing time.Duration
}

// Healthy is how versions behave of which nothing is said: one error in a thousand.
var Healthy = Behaviour{Rate: 100, Errors: 0.001, Latency: 20 * time.Millisecond, Smoothing: time.Minute}

// spread is the standard deviation of the logarithm of latencies.
const spread = 0.5

// Load is the requests of one pod: its counters begin at 0 with each life of its container, and the balancer's smoothed ratio goes on. It is not safe
// for use by several goroutines. Times that are given to it never go back.
type Load struct {
	rng       *rand.Rand
	behaviour Behaviour
	serving   bool
	next      time.Time
	process   *process
	recent    recent
}

// NewLoad makes the load of a pod that has no running container yet. The same seed and name come to the same requests at the same times.
func NewLoad(seed uint64, name string) *Load {
	h := fnv.New64a()
	h.Write([]byte(name))
	return &Load{rng: rand.New(rand.NewPCG(seed, h.Sum64())), behaviour: Healthy} // #nosec G404 -- to be repeated.
}

// Begin starts a life of the container, on a version.
func (l *Load) Begin(version string, at time.Time) {
	l.Advance(at)
	l.process = newProcess(version)
	l.draw(at)
}

// End has no container run.
func (l *Load) End(at time.Time) {
	l.Advance(at)
	l.process = nil
}

// Serve says whether requests come, which is so while the pod is ready.
func (l *Load) Serve(on bool, at time.Time) {
	if on == l.serving {
		return
	}
	l.Advance(at)
	l.serving = on
	l.draw(at)
}

// Behave says how requests come and are answered from now on.
func (l *Load) Behave(b Behaviour, at time.Time) {
	if b == l.behaviour {
		return
	}
	l.Advance(at)
	l.behaviour = b
	l.draw(at)
}

// draw chooses when the next request comes. A Poisson process remembers nothing, so it may be drawn anew at any time.
func (l *Load) draw(at time.Time) {
	l.next = time.Time{}
	if l.process != nil && l.serving && l.behaviour.Rate > 0 {
		l.next = at.Add(time.Duration(l.rng.ExpFloat64() / l.behaviour.Rate * float64(time.Second)))
	}
}

// Advance lets all requests happen that came until now.
func (l *Load) Advance(at time.Time) {
	for !l.next.IsZero() && !l.next.After(at) {
		came := l.next
		l.request(came)
		l.draw(came)
	}
}

// Request lets one request more happen, and tells how it is answered and after how long; false where no container runs.
func (l *Load) Request(at time.Time) (failed bool, latency time.Duration, ok bool) {
	l.Advance(at)
	if l.process == nil {
		return false, 0, false
	}
	failed, latency = l.request(at)
	return failed, latency, true
}

func (l *Load) request(at time.Time) (failed bool, latency time.Duration) {
	failed = l.rng.Float64() < l.behaviour.Errors
	// The mean of a log-normal is above its median by half its variance.
	latency = time.Duration(float64(l.behaviour.Latency) * math.Exp(spread*l.rng.NormFloat64()-spread*spread/2))
	l.process.count(failed, latency)
	l.recent.count(at, failed)
	return failed, latency
}

// Gather is what the pod shows now; nil where no container runs.
func (l *Load) Gather(at time.Time) prometheus.Gatherer {
	l.Advance(at)
	if l.process == nil {
		return nil
	}
	smoothing := l.behaviour.Smoothing
	if smoothing == 0 {
		smoothing = time.Minute
	}
	ratio, ok := l.recent.ratio(at, smoothing)
	l.process.ratio.show(ratio, ok)
	return l.process.registry
}

// Counts of the container's life: its requests, and how many of them failed.
func (l *Load) Counts() (requests, failed int) {
	if l.process == nil {
		return 0, 0
	}
	return l.process.requests, l.process.failed
}
