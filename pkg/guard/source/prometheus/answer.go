package prometheus

import (
	"math"

	"github.com/prometheus/common/model"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/guard"
)

// mostSeries is how many series an answer can have.
const mostSeries = 1000

// seriesOf makes series of an answer; reduce is nil where it is about one time.
func (s *Source) seriesOf(v model.Value, reduce *v1alpha1.Reduction) ([]guard.Series, error) {
	switch v := v.(type) {
	case *model.Scalar:
		return []guard.Series{{Value: float64(v.Value)}}, nil
	case model.Vector:
		return s.ofVector(v)
	case model.Matrix:
		if reduce == nil {
			return nil, s.fail("answered with a range vector: let the query make one number of each range, as with rate(…) or max_over_time(…)")
		}
		return s.ofMatrix(v, *reduce)
	case nil:
		return nil, s.fail("answered without a value")
	}
	return nil, s.fail("answered with a %s: guards need numbers", v.Type())
}

func (s *Source) ofVector(v model.Vector) ([]guard.Series, error) {
	if len(v) > mostSeries {
		return nil, s.tooMany(len(v))
	}
	metrics := make([]model.Metric, len(v))
	out := make([]guard.Series, len(v))
	for i, sample := range v {
		if sample.Histogram != nil {
			return nil, s.histogram(sample.Metric)
		}
		metrics[i], out[i].Value = sample.Metric, float64(sample.Value)
	}
	label(out, metrics)
	return out, nil
}

func (s *Source) ofMatrix(m model.Matrix, reduce v1alpha1.Reduction) ([]guard.Series, error) {
	if len(m) > mostSeries {
		return nil, s.tooMany(len(m))
	}
	var metrics []model.Metric
	var out []guard.Series
	for _, stream := range m {
		if len(stream.Histograms) > 0 {
			return nil, s.histogram(stream.Metric)
		}
		if v, ok := reduced(stream.Values, reduce); ok {
			metrics, out = append(metrics, stream.Metric), append(out, guard.Series{Value: v})
		}
	}
	label(out, metrics)
	return out, nil
}

func (s *Source) tooMany(n int) error {
	return s.fail("answered with %d series, more than %d: let the query aggregate, as with sum(…) or topk(…)", n, mostSeries)
}

func (s *Source) histogram(m model.Metric) error {
	return s.fail("answered with a native histogram (%s): let the query make a number of it, as with histogram_quantile(…) or histogram_count(…)", s.quote(m.String()))
}

// reduced makes one number of the values of a range, NaN left out; false where none is left.
func reduced(values []model.SamplePair, by v1alpha1.Reduction) (float64, bool) {
	n, out := 0.0, 0.0
	for _, p := range values {
		v := float64(p.Value)
		if math.IsNaN(v) {
			continue
		}
		n++
		switch {
		case n == 1 || by == v1alpha1.ReduceLast:
			out = v
		case by == v1alpha1.ReduceMax:
			out = math.Max(out, v)
		case by == v1alpha1.ReduceMin:
			out = math.Min(out, v)
		case by == v1alpha1.ReduceSum || by == v1alpha1.ReduceAvg:
			out += v
		}
	}
	if by == v1alpha1.ReduceAvg {
		out /= n
	}
	return out, n > 0
}

// label tells series by their labels. The metric's name tells nothing where all have the same.
func label(out []guard.Series, metrics []model.Metric) {
	same := true
	for _, m := range metrics {
		same = same && m[model.MetricNameLabel] == metrics[0][model.MetricNameLabel]
	}
	for i, m := range metrics {
		for k, v := range m {
			if k == model.MetricNameLabel && same {
				continue
			}
			if out[i].Labels == nil {
				out[i].Labels = map[string]string{}
			}
			out[i].Labels[string(k)] = string(v)
		}
	}
}
