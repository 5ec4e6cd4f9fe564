package truth

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb/chunks"
)

// Conditions that canaries are played under.
type Conditions struct {
	// Rate of requests to all canaries together, per second; each stable pod gets as many as each canary.
	Rate float64
	// Errors is the share of requests that fail at the old version, and Times how many times as many fail at the new one: 1 for a good version.
	Errors, Times float64
	// Clump is how many errors come together, 1 where 0: with more they are not independent of each other, as when each failure is retried.
	Clump int
	// Canaries of so many Pods run the new version.
	Canaries, Pods int
	// Scrape is how often each pod is scraped.
	Scrape time.Duration
	// Bake is how long the canary is looked at once it is ready.
	Bake time.Duration
}

// Noise that hits both versions alike, as what is behind them or in front of them makes it.
const (
	// swing of the rate of requests, up and down, as a share of it; drift is that of the share of errors.
	swing, drift = 0.2, 0.25
	// In one canary of three something behind both versions is ill for a minute, at any time of the bake: twice the errors.
	brownOuts, brownOut = 1.0 / 3, time.Minute
	// late is how far from its time a scrape can come, as a share of the scrape interval.
	late = 0.05
)

// A canary's pods are restarted in place at the beginning of time: their new containers run after booting, and are ready after readying.
const (
	past     = 2 * time.Minute
	booting  = 4 * time.Second
	readying = 9 * time.Second
)

var (
	restarted = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	ready     = restarted.Add(readying)
)

// series of one canary, as Prometheus stores them.
type series struct {
	labels  labels.Labels
	samples samples
}

// podName of a pod by its number; the first ones are the canaries.
func podName(i int) string { return fmt.Sprintf("web-%d", i) }

// play makes what was scraped of all pods of one canary.
func (c Conditions) play(rng *rand.Rand) []series {
	load := c.weather(rng)
	var out []series
	for pod := range c.Pods {
		updated := pod < c.Canaries
		well := series{labels: labels.FromStrings("__name__", "http_requests_total", "code", "200", "pod", podName(pod))}
		ill := series{labels: labels.FromStrings("__name__", "http_requests_total", "code", "500", "pod", podName(pod))}
		// The old version has run for an hour and more: few of its counters are not there yet.
		usual := c.Rate / float64(c.Canaries) * 3600
		answered, failed := poisson(rng, usual), poisson(rng, usual*c.Errors)
		phase := time.Duration(rng.Float64() * float64(c.Scrape))
		last, began := restarted.Add(-past), false
		for tick := last.Add(phase); tick.Before(ready.Add(c.Bake)); tick = tick.Add(c.Scrape) {
			at := tick.Add(time.Duration((rng.Float64() - 0.5) * 2 * late * float64(c.Scrape)))
			times := 1.0
			if updated && at.After(restarted) {
				if at.Before(restarted.Add(booting)) {
					continue // nobody answers.
				}
				if !began {
					answered, failed, last, began = 0, 0, ready, true
				}
				times = c.Times
			}
			if at.After(last) {
				requests, errors := load.between(last, at)
				share := c.Rate / float64(c.Canaries)
				bad := errors * c.Errors * times * share
				clump := float64(max(1, c.Clump))
				answered += poisson(rng, requests*share-bad)
				failed += clump * poisson(rng, bad/clump)
				last = at
			}
			well.samples = append(well.samples, sample{at.UnixMilli(), answered})
			// As in most libraries, a counter is there once there was something to count. One that went back to nothing is not.
			if failed > 0 {
				ill.samples = append(ill.samples, sample{at.UnixMilli(), failed})
			}
		}
		out = append(out, well)
		if len(ill.samples) > 0 {
			out = append(out, ill)
		}
	}
	return out
}

// weather is what was expected by each second, summed up from the beginning: of requests where one a second is usual, and of those each as likely to fail as all
// others together make it.
type weather struct{ requests, errors []float64 }

func (c Conditions) weather(rng *rand.Rand) weather {
	wave := func(size float64) func(second float64) float64 {
		long, short := 300+600*rng.Float64(), 60+120*rng.Float64()
		a, b := 2*math.Pi*rng.Float64(), 2*math.Pi*rng.Float64()
		return func(s float64) float64 {
			return 1 + size*(2*math.Sin(2*math.Pi*s/long+a)+math.Sin(2*math.Pi*s/short+b))/3
		}
	}
	rate, ratio := wave(swing), wave(drift)
	ill := math.Inf(1)
	if rng.Float64() < brownOuts {
		ill = (past + readying).Seconds() + rng.Float64()*c.Bake.Seconds()
	}
	seconds := int((past + readying + c.Bake + c.Scrape).Seconds()) + 2
	w := weather{requests: make([]float64, 1, seconds+1), errors: make([]float64, 1, seconds+1)}
	for s := range seconds {
		requests := rate(float64(s))
		errors := requests * ratio(float64(s))
		if since := float64(s) - ill; since >= 0 && since < brownOut.Seconds() {
			errors *= 2
		}
		w.requests = append(w.requests, w.requests[s]+requests)
		w.errors = append(w.errors, w.errors[s]+errors)
	}
	return w
}

// between two times.
func (w weather) between(from, to time.Time) (requests, errors float64) {
	sum := func(of []float64, at time.Time) float64 {
		s := min(max(0, at.Sub(restarted.Add(-past)).Seconds()), float64(len(of)-2))
		i := int(s)
		return of[i] + (s-float64(i))*(of[i+1]-of[i])
	}
	return sum(w.requests, to) - sum(w.requests, from), sum(w.errors, to) - sum(w.errors, from)
}

// samples are in order of time.
type samples []sample

// Get implements storage.Samples.
func (s samples) Get(i int) chunks.Sample { return s[i] }

// Len implements storage.Samples.
func (s samples) Len() int { return len(s) }
