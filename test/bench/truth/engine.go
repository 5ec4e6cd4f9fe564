package truth

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/periplus-dev/periplus/pkg/guard"
)

// engine is Prometheus's own, as its server sets it up.
var engine = promql.NewEngine(promql.EngineOpts{MaxSamples: 50_000_000, Timeout: 2 * time.Minute, LookbackDelta: 5 * time.Minute, EnableAtModifier: true, EnableNegativeOffset: true})

// answers of the engine for one canary. A query is asked for all the moments of the canary at once, which says the same as asking it at each.
type answers struct {
	stored []series
	end    time.Time
	every  time.Duration
	known  map[string]*answer
}

// answer to one query, from its first moment on.
type answer struct {
	begin time.Time
	at    [][]guard.Series
}

// ask gives what Prometheus would answer at a moment.
func (a *answers) ask(query string, at time.Time) ([]guard.Series, error) {
	known := a.known[query]
	if known == nil {
		var err error
		if known, err = a.query(query, at); err != nil {
			return nil, fmt.Errorf("asking %s: %w", query, err)
		}
		a.known[query] = known
	}
	since := at.Sub(known.begin)
	if since < 0 || since%a.every != 0 || int(since/a.every) >= len(known.at) {
		return nil, fmt.Errorf("asking %s: %s is not a moment of its samples, which are every %s from %s to %s", query, at, a.every, known.begin, a.end)
	}
	return known.at[since/a.every], nil
}

func (a *answers) query(query string, begin time.Time) (*answer, error) {
	q, err := engine.NewRangeQuery(context.Background(), a, nil, query, begin, a.end, a.every)
	if err != nil {
		return nil, err
	}
	defer q.Close()
	matrix, err := q.Exec(context.Background()).Matrix()
	if err != nil {
		return nil, err
	}
	out := &answer{begin: begin, at: make([][]guard.Series, a.end.Sub(begin)/a.every+1)}
	for _, s := range matrix {
		for _, p := range s.Floats {
			i := (p.T - begin.UnixMilli()) / a.every.Milliseconds()
			out.at[i] = append(out.at[i], guard.Series{Labels: s.Metric.Map(), Value: p.F})
		}
	}
	return out, nil
}

// Querier implements storage.Queryable.
func (a *answers) Querier(int64, int64) (storage.Querier, error) { return a, nil }

// Select implements storage.Querier.
func (a *answers) Select(_ context.Context, _ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	set := &selected{}
next:
	for _, s := range a.stored {
		for _, m := range matchers {
			if !m.Matches(s.labels.Get(m.Name)) {
				continue next
			}
		}
		set.series = append(set.series, s)
	}
	return set
}

// LabelValues implements storage.Querier. The engine does not ask for them.
func (*answers) LabelValues(context.Context, string, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

// LabelNames implements storage.Querier. The engine does not ask for them.
func (*answers) LabelNames(context.Context, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

// Close implements storage.Querier.
func (*answers) Close() error { return nil }

// selected implements storage.SeriesSet.
type selected struct {
	series []series
	next   int
}

func (s *selected) Next() bool {
	s.next++
	return s.next <= len(s.series)
}

func (s *selected) At() storage.Series { return s.series[s.next-1] }

func (*selected) Err() error { return nil }

func (*selected) Warnings() annotations.Annotations { return nil }

// Labels implements storage.Series.
func (s series) Labels() labels.Labels { return s.labels }

// Iterator implements storage.Series.
func (s series) Iterator(chunkenc.Iterator) chunkenc.Iterator {
	return storage.NewListSeriesIterator(s.samples)
}

// sample of a counter: milliseconds since 1970, and what it had counted.
type sample struct {
	t int64
	f float64
}

func (s sample) T() int64 { return s.t }

func (s sample) F() float64 { return s.f }

func (sample) H() *histogram.Histogram { return nil }

func (sample) FH() *histogram.FloatHistogram { return nil }

func (sample) Type() chunkenc.ValueType { return chunkenc.ValFloat }

func (s sample) Copy() chunks.Sample { return s }
