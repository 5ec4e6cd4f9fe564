package webhook

import (
	"context"
	"crypto/x509"
	"fmt"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"k8s.io/utils/clock"
)

// result of a request, for metrics.
type result string

const (
	// resultInjected: something was put in.
	resultInjected result = "injected"
	// resultLeftOut: a set that means the pod was left out of it, others perhaps not.
	resultLeftOut result = "left_out"
	// resultNotMeant: no set means the pod, or all that do are in it already.
	resultNotMeant result = "not_meant"
	// resultFailed: the pod was let through without sidecars because something could not be read.
	resultFailed result = "failed"
	// resultRefused: the request could not be read, or came before the caches were filled; the API server goes on without us.
	resultRefused result = "refused"
)

// metrics of the webhook.
type metrics struct {
	requests metric.Int64Counter
	duration metric.Float64Histogram
}

func newMetrics(meter metric.Meter) (*metrics, error) {
	m := &metrics{}
	var err error
	if m.requests, err = meter.Int64Counter("periplus_webhook_requests", metric.WithDescription("Requests about new pods, by result.")); err != nil {
		return nil, fmt.Errorf("making a metric: %w", err)
	}
	if m.duration, err = meter.Float64Histogram("periplus_webhook_request_duration", metric.WithUnit("s"), metric.WithDescription("How long a request about a new pod takes in the webhook."),
		metric.WithExplicitBucketBoundaries(.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2)); err != nil {
		return nil, fmt.Errorf("making a metric: %w", err)
	}
	return m, nil
}

func (m *metrics) request(ctx context.Context, of result, took time.Duration) {
	m.requests.Add(ctx, 1, metric.WithAttributes(attribute.String("result", string(of))))
	m.duration.Record(ctx, took.Seconds())
}

// observe, each time somebody asks, when the certificate that is served ends, and how long ago each cache last heard of the API server.
func observe(meter metric.Meter, s *serving, ages *ages) error {
	expiry, err := meter.Int64ObservableGauge("periplus_webhook_certificate_expiry", metric.WithUnit("s"),
		metric.WithDescription("When the certificate that this replica serves ends, in seconds since 1970; none while it has none."))
	if err != nil {
		return fmt.Errorf("making a metric: %w", err)
	}
	age, err := meter.Float64ObservableGauge("periplus_webhook_cache_age", metric.WithUnit("s"),
		metric.WithDescription("For how long a cache has heard nothing of the API server, at least; it says something about every minute."))
	if err != nil {
		return fmt.Errorf("making a metric: %w", err)
	}
	_, err = meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		if leaf := s.leaf(); leaf != nil {
			o.ObserveInt64(expiry, leaf.NotAfter.Unix())
		}
		ages.look(func(cache string, of time.Duration) {
			o.ObserveFloat64(age, of.Seconds(), metric.WithAttributes(attribute.String("cache", cache)))
		})
		return nil
	}, expiry, age)
	if err != nil {
		return fmt.Errorf("making metrics: %w", err)
	}
	return nil
}

// leaf of the certificate that is served; nil while there is none.
func (s *serving) leaf() *x509.Certificate {
	if pair := s.pair.Load(); pair != nil {
		return pair.Leaf
	}
	return nil
}

// ages of caches. A cache follows the API server's bookmarks, which come about every minute, so its version stands still only if its watch does.
type ages struct {
	clock clock.PassiveClock
	// versions say up to where each cache has heard; empty before it is filled.
	versions map[string]func() string

	mu   sync.Mutex
	seen map[string]heard
}

type heard struct {
	version string
	at      time.Time
}

func (a *ages) look(tell func(cache string, age time.Duration)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.clock.Now()
	for cache, version := range a.versions {
		v := version()
		if v == "" {
			continue
		}
		if a.seen[cache].version != v {
			a.seen[cache] = heard{v, now}
		}
		tell(cache, now.Sub(a.seen[cache].at))
	}
}
