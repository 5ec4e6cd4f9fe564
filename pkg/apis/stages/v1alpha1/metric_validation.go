package v1alpha1

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Bounds of a guard's metrics, the same as in the CRD schema.
const (
	maxMetrics     = 16
	maxQueryLength = 4096
	maxWindow      = 24 * time.Hour
	// maxPoints is how many values a range may have.
	maxPoints = 1000
)

var metricNameRE = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]{0,62}$`)

// unwritable are the names that CEL does not parse behind a dot: its literals and its one operator that is a word.
var unwritable = []string{"in", "true", "false", "null"}

// validateMetrics says all that is wrong with the guard's metrics but for their queries, which their sources know.
func (g *Guard) validateMetrics(p *field.Path) field.ErrorList {
	errs := oneOf(string(g.Against), p.Child("against"), string(AgainstStable), string(AgainstBaseline))
	if len(g.Metrics) > maxMetrics {
		errs = append(errs, field.TooMany(p.Child("metrics"), len(g.Metrics), maxMetrics))
	}
	for _, name := range slices.Sorted(maps.Keys(g.Metrics)) {
		m, at := g.Metrics[name], p.Child("metrics").Key(name)
		if !metricNameRE.MatchString(name) {
			errs = append(errs, field.Invalid(at, name, "a metric's name is made of letters, digits and _, does not begin with a digit, and has 63 characters at most"))
		}
		if slices.Contains(unwritable, name) {
			errs = append(errs, field.Invalid(at, name, "is a word of CEL itself, and no expression can write metrics."+name))
		}
		errs = append(errs, m.validate(at)...)
		if m.Each && g.Against == AgainstBaseline && strings.Contains(m.Query, "$(stable.") {
			errs = append(errs, field.Forbidden(at.Child("each"), "against: Baseline needs one number in the place of the stable pods, and each: true has several"))
		}
	}
	return errs
}

func (m *GuardMetric) validate(p *field.Path) field.ErrorList {
	var errs field.ErrorList
	if m.Source == "" {
		errs = append(errs, field.Required(p.Child("source"), "name a MetricSource, or "+SourcePods))
	}
	switch {
	case strings.TrimSpace(m.Query) == "":
		errs = append(errs, field.Required(p.Child("query"), "a query in the source's language"))
	case len(m.Query) > maxQueryLength:
		errs = append(errs, field.TooLong(p.Child("query"), m.Query, maxQueryLength))
	}
	window := DefaultMetricWindow
	if m.Window != nil {
		window = m.Window.Duration
		if window < time.Second || window > maxWindow {
			errs = append(errs, field.Invalid(p.Child("window"), window.String(), "must be from 1s to 24h"))
			return errs
		}
	}
	if r := m.Range; r != nil {
		at := p.Child("range")
		errs = append(errs, oneOf(string(r.Reduce), at.Child("reduce"), string(ReduceMax), string(ReduceMin), string(ReduceAvg), string(ReduceSum), string(ReduceLast))...)
		if r.Reduce == "" {
			errs = append(errs, field.Required(at.Child("reduce"), "how the values become one number: Max, Min, Avg, Sum or Last"))
		}
		switch step := r.Step.Duration; {
		case step < time.Second:
			errs = append(errs, field.Invalid(at.Child("step"), step.String(), "must be 1s or longer"))
		case step > window:
			errs = append(errs, field.Invalid(at.Child("step"), step.String(), "must not be longer than the window, "+window.String()))
		case window/step > maxPoints:
			errs = append(errs, field.Invalid(at.Child("step"), step.String(), "makes more than 1000 values of the window: take a longer one"))
		}
	}
	return errs
}

// longestWindow is how far the guard's metrics look back; 0 where it has none.
func (g *Guard) longestWindow() time.Duration {
	longest := time.Duration(0)
	for _, m := range g.Metrics {
		window := DefaultMetricWindow
		if m.Window != nil {
			window = m.Window.Duration
		}
		longest = max(longest, window)
	}
	return longest
}
