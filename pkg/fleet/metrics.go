package fleet

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
)

const scope = "github.com/periplus-dev/periplus/pkg/fleet"

// metrics of a Fleet:
//
//	periplus.fleet.sessions             sessions open, by member
//	periplus.fleet.member.reachable     1 or 0, by member; none while Unknown
//	periplus.fleet.call.duration        seconds of calls to members, by member and outcome
type metrics struct {
	duration metric.Float64Histogram
	reg      metric.Registration
}

func newMetrics(f *Fleet) *metrics {
	out := &metrics{}
	if err := out.register(f, f.opts.MeterProvider.Meter(scope)); err != nil {
		// The names are constants: an error means that the provider refuses them, and then there are no metrics but all else works.
		_ = out.register(f, noop.Meter{})
	}
	return out
}

func (t *metrics) register(f *Fleet, meter metric.Meter) error {
	var err error
	t.duration, err = meter.Float64Histogram("periplus.fleet.call.duration", metric.WithUnit("s"),
		metric.WithDescription("Time of calls to members, those refused without a call included"),
		metric.WithExplicitBucketBoundaries(.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5))
	if err != nil {
		return err
	}
	sessions, err := meter.Int64ObservableGauge("periplus.fleet.sessions", metric.WithUnit("{session}"),
		metric.WithDescription("Sessions open with the member"))
	if err != nil {
		return err
	}
	reachable, err := meter.Int64ObservableGauge("periplus.fleet.member.reachable",
		metric.WithDescription("1 while the member answers, 0 while it cannot be worked with"))
	if err != nil {
		return err
	}
	t.reg, err = meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		for _, m := range f.all() {
			m.mu.Lock()
			state, open := m.reach.State, len(m.sessions)
			m.mu.Unlock()
			attrs := metric.WithAttributes(attribute.String("member", m.name))
			o.ObserveInt64(sessions, int64(open), attrs)
			switch state {
			case Reachable:
				o.ObserveInt64(reachable, 1, attrs)
			case Unreachable:
				o.ObserveInt64(reachable, 0, attrs)
			}
		}
		return nil
	}, sessions, reachable)
	return err
}

func (t *metrics) call(ctx context.Context, member string, o outcome, took time.Duration) {
	t.duration.Record(ctx, took.Seconds(), metric.WithAttributes(
		attribute.String("member", member), attribute.String("outcome", string(o))))
}

func (t *metrics) stop() {
	if t.reg != nil {
		_ = t.reg.Unregister()
	}
}
