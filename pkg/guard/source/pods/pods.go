package pods

import (
	"context"
	"errors"
	"time"

	"k8s.io/utils/clock"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/guard"
	"github.com/periplus-dev/periplus/pkg/guard/source"
)

// Source answers questions by what a Recorder was told, and by what was seen when the question was asked.
type Source struct {
	recorder *Recorder
	clock    clock.PassiveClock
}

var _ source.Source = (*Source)(nil)

// New returns a Source over a Recorder. Its clock must be the one that passes are timed by.
func New(r *Recorder, c clock.PassiveClock) *Source { return &Source{recorder: r, clock: c} }

// Check implements source.Source. No query can say how far it looks back: the window does.
func (s *Source) Check(text string, _ time.Duration, ranged *v1alpha1.MetricRange) error {
	if ranged != nil {
		return errors.New("source pods has no values over a range: leave range out, what it counts it counts over the whole window")
	}
	_, err := parse(text)
	return err
}

// Ask implements source.Source.
func (s *Source) Ask(_ context.Context, q source.Question) ([]guard.Series, error) {
	if err := s.Check(q.Query, q.Window, q.Range); err != nil {
		return nil, err
	}
	parsed, err := parse(q.Query)
	if err != nil {
		return nil, err
	}
	if q.Seen == nil || q.Seen.Missing != "" {
		return nil, nil
	}
	if q.Baseline {
		parsed.list = all
	}
	now := s.clock.Now()
	var out []guard.Series
	var values []float64
	for i := range q.Seen.Pods {
		p := &q.Seen.Pods[i]
		if !parsed.list.has(p) {
			continue
		}
		v, ok := s.recorder.value(now, q.Namespace, q.Seen.Member, p, parsed.measure, now.Add(-q.Window))
		if !ok {
			return nil, nil
		}
		values = append(values, v)
		out = append(out, guard.Series{Labels: map[string]string{"pod": p.Name}, Value: v})
	}
	if parsed.reduction != "" && len(values) > 0 {
		out = []guard.Series{{Value: reductions[parsed.reduction](values)}}
	}
	return out, nil
}
