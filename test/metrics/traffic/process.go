package traffic

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// process is one life of a container: what it counts begins at 0.
type process struct {
	registry         *prometheus.Registry
	well, ill        prometheus.Counter
	duration         prometheus.Histogram
	ratio            *smoothed
	requests, failed int
}

// newProcess has a registry of its own. The version is told by the process itself and not by service discovery, which hears of a new one seconds later.
func newProcess(version string) *process {
	of := prometheus.Labels{"version": version}
	total := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "http_requests_total", Help: "Requests by the code they were answered with.",
		ConstLabels: of}, []string{"code"})
	duration := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "http_request_duration_seconds", Help: "Time of an answer.", ConstLabels: of,
		Buckets: []float64{.005, .01, .02, .03, .05, .075, .1, .15, .2, .3, .5, .75, 1, 2, 5, 10}})
	p := &process{registry: prometheus.NewRegistry(), duration: duration, ratio: &smoothed{desc: prometheus.NewDesc("http_error_ratio",
		"Share of failed requests to this pod as its load balancer smooths it; restarts of the pod do not change it.", nil, nil)}}
	p.registry.MustRegister(total, duration, p.ratio)
	p.well, p.ill = total.WithLabelValues("200"), total.WithLabelValues("500")
	return p
}

func (p *process) count(failed bool, latency time.Duration) {
	p.requests++
	if failed {
		p.failed++
		p.ill.Inc()
	} else {
		p.well.Inc()
	}
	p.duration.Observe(latency.Seconds())
}

// smoothed shows a ratio, and nothing while there were no requests.
type smoothed struct {
	desc  *prometheus.Desc
	mu    sync.Mutex
	value float64
	known bool
}

func (s *smoothed) show(value float64, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.value, s.known = value, known
}

func (s *smoothed) Describe(out chan<- *prometheus.Desc) { out <- s.desc }

func (s *smoothed) Collect(out chan<- prometheus.Metric) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known {
		out <- prometheus.MustNewConstMetric(s.desc, prometheus.GaugeValue, s.value)
	}
}

// grain of what is remembered of the past.
const grain = 100 * time.Millisecond

// remembered is how much of the past is kept at most.
const remembered = 10 * time.Minute

// recent are the requests of the last minutes, by grains of time, oldest first.
type recent struct{ grains []grainCount }

type grainCount struct {
	at               time.Time
	requests, failed int
}

func (r *recent) count(at time.Time, failed bool) {
	at = at.Truncate(grain)
	if n := len(r.grains); n == 0 || !r.grains[n-1].at.Equal(at) {
		if len(r.grains) > 0 && at.Sub(r.grains[0].at) > 2*remembered {
			r.forget(at.Add(-remembered))
		}
		r.grains = append(r.grains, grainCount{at: at})
	}
	last := &r.grains[len(r.grains)-1]
	last.requests++
	if failed {
		last.failed++
	}
}

func (r *recent) forget(before time.Time) {
	i := 0
	for i < len(r.grains) && r.grains[i].at.Before(before) {
		i++
	}
	r.grains = append([]grainCount(nil), r.grains[i:]...)
}

// ratio of failed requests within the time before now; false where there was none.
func (r *recent) ratio(now time.Time, within time.Duration) (float64, bool) {
	from, requests, failed := now.Add(-within), 0, 0
	for i := len(r.grains) - 1; i >= 0 && !r.grains[i].at.Before(from); i-- {
		requests, failed = requests+r.grains[i].requests, failed+r.grains[i].failed
	}
	if requests == 0 {
		return 0, false
	}
	return float64(failed) / float64(requests), true
}
