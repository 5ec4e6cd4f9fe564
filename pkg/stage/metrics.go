package stage

import (
	"context"
	"fmt"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

// metrics of all stages: runs by kind and how they ended, how long a step takes, verdicts of guards.
type metrics struct {
	runs     metric.Int64Counter
	steps    metric.Float64Histogram
	verdicts metric.Int64Counter
}

func newMetrics() (*metrics, error) {
	meter := otel.Meter("periplus.dev/stage")
	m := &metrics{}
	var err error
	if m.runs, err = meter.Int64Counter("periplus_stage_runs", metric.WithDescription("Stage runs that ended, by kind and reason.")); err != nil {
		return nil, fmt.Errorf("making a metric: %w", err)
	}
	if m.steps, err = meter.Float64Histogram("periplus_stage_step_duration", metric.WithUnit("s"), metric.WithDescription("How long one step of a stage takes, by kind."),
		metric.WithExplicitBucketBoundaries(.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10)); err != nil {
		return nil, fmt.Errorf("making a metric: %w", err)
	}
	if m.verdicts, err = meter.Int64Counter("periplus_guard_verdicts", metric.WithDescription("Verdicts of guards that changed, by kind of stage and verdict.")); err != nil {
		return nil, fmt.Errorf("making a metric: %w", err)
	}
	return m, nil
}

func (m *metrics) run(kind, reason string) {
	m.runs.Add(context.Background(), 1, metric.WithAttributes(attribute.String("kind", kind), attribute.String("outcome", reason)))
}

func (m *metrics) step(kind string, d time.Duration) {
	m.steps.Record(context.Background(), d.Seconds(), metric.WithAttributes(attribute.String("kind", kind)))
}

func (m *metrics) verdict(kind string, v v1alpha1.Verdict) {
	m.verdicts.Add(context.Background(), 1, metric.WithAttributes(attribute.String("kind", kind), attribute.String("verdict", string(v))))
}
