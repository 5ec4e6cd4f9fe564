package guard

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

const (
	// maxQuery is the greatest length of a query in a status, in runes; maxRecent is how many values are kept.
	maxQuery  = 512
	maxRecent = 20
	// maxNamed is how many series a message names.
	maxNamed = 3
)

// withMetrics gives an environment the guard's metrics as variables.
func withMetrics(env *cel.Env, metrics map[string]v1alpha1.GuardMetric) (*cel.Env, error) {
	if len(metrics) == 0 {
		return env, nil
	}
	var opts []cel.EnvOption
	for name, m := range metrics {
		if m.Each {
			opts = append(opts, cel.Variable(metricVar(name), types.NewMapType(types.StringType, types.DoubleType)))
			continue
		}
		opts = append(opts, cel.Variable(metricVar(name), types.DoubleType), cel.Variable(baselineVar(name), types.DoubleType))
	}
	return env.Extend(opts...)
}

// wrongMetrics finds what an expression says of metrics that the guard does not have, in the expression as it was parsed: the checker would say only
// that it does not know the word before the dot.
func wrongMetrics(a *ast.AST, metrics map[string]v1alpha1.GuardMetric) []Issue {
	var wrong []Issue
	known := slices.Sorted(maps.Keys(metrics))
	report := func(e ast.Expr, format string, args ...any) {
		loc := a.SourceInfo().GetStartLocation(e.ID())
		wrong = append(wrong, Issue{loc.Line(), loc.Column() + 1, fmt.Sprintf(format, args...)})
	}
	whole := func(e ast.Expr) (string, bool) {
		if e.Kind() != ast.IdentKind {
			return "", false
		}
		name := e.AsIdent()
		return name, name == ofMetrics || name == ofBaseline
	}
	selected := map[int64]bool{}
	ast.PreOrderVisit(a.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() == ast.SelectKind {
			s := e.AsSelect()
			of, ours := whole(s.Operand())
			if !ours {
				return
			}
			selected[s.Operand().ID()] = true
			m, has := metrics[s.FieldName()]
			switch {
			case s.IsTestOnly():
				report(e, "has(%s.%s): a metric is always there; where it has no data the guard is Inconclusive", of, s.FieldName())
			case !has:
				report(e, "unknown metric %q%s", s.FieldName(), meant(s.FieldName(), known, true))
			case of == ofBaseline && m.Each:
				report(e, "baseline.%s: a baseline is one number, and each: true has several: add a metric without each for it", s.FieldName())
			}
			return
		}
		if of, ours := whole(e); ours && !selected[e.ID()] {
			report(e, "%s stands alone: write %s.NAME; the guard's metrics are %s", of, of, list(known))
		}
	}))
	return wrong
}

// inspectMetrics finds what the expression wants of the guard's metrics.
func (p *Program) inspectMetrics() {
	p.identities = map[string]string{}
	for name := range p.guard.Metrics {
		m := p.guard.Metrics[name]
		p.metrics, p.sources = append(p.metrics, name), append(p.sources, m.Source)
		used := p.uses[metricVar(name)]
		if used || p.uses[baselineVar(name)] {
			p.decisive = append(p.decisive, name)
		}
		if used {
			p.uses[varUpdated] = p.uses[varUpdated] || refersTo(m.Query, varUpdated)
			p.uses[varPods] = p.uses[varPods] || refersTo(m.Query, varPods) || refersTo(m.Query, varStable)
			p.stable = p.stable || refersTo(m.Query, varStable)
		}
		if p.uses[baselineVar(name)] || used && p.guard.Against == v1alpha1.AgainstBaseline && refersTo(m.Query, varStable) && !m.Each {
			p.baselines = append(p.baselines, name)
			p.identities[name] = identity(m)
		}
	}
	slices.Sort(p.sources)
	p.sources = slices.Compact(p.sources)
	slices.Sort(p.metrics)
	slices.Sort(p.decisive)
	slices.Sort(p.baselines)
}

// Measures says whether the guard asks sources.
func (p *Program) Measures() bool { return len(p.metrics) > 0 }

// Sources are the names of those that the guard asks.
func (p *Program) Sources() []string { return p.sources }

// reach is how far the guard's samples look back, their sources' lags included, and the metric that looks farthest.
func (p *Program) reach(lags map[string]time.Duration) (time.Duration, string) {
	longest, whose := time.Duration(-1), ""
	for _, name := range p.metrics {
		m := p.guard.Metrics[name]
		if d := duration(m.Window) + lags[m.Source]; d > longest {
			longest, whose = d, name
		}
	}
	return max(0, longest), whose
}

// noStable says whether a metric that the expression refers to is about stable pods, and none is left.
func (p *Program) noStable(v *View) bool { return p.stable && v.stable == 0 }

// take puts the numbers of a sample where the expression finds them. What keeps it from being judged comes as a verdict and why.
func (p *Program) take(v *View, a Answers) (v1alpha1.Verdict, string) {
	v.metrics = map[string]ref.Val{}
	var verdict v1alpha1.Verdict
	var why string
	worse := func(found v1alpha1.Verdict, reason string) {
		if verdict == "" || Severity(found) > Severity(verdict) {
			verdict, why = found, reason
		}
	}
	for _, name := range p.decisive {
		m := p.guard.Metrics[name]
		if base, has := a.Baselines[name]; slices.Contains(p.baselines, name) {
			if !has {
				worse(v1alpha1.VerdictInconclusive, fmt.Sprintf("metric %s has no baseline: none was sampled before the first move", name))
				continue
			}
			v.metrics[baselineVar(name)] = types.Double(base)
			if p.noStable(v) && refersTo(m.Query, varStable) {
				v.metrics[metricVar(name)] = types.Double(base)
				continue
			}
		}
		if !p.uses[metricVar(name)] {
			continue
		}
		val, found, reason := read(name, m, a.Sample.Metrics[name])
		if found != "" {
			worse(found, reason)
			continue
		}
		v.metrics[metricVar(name)] = val
	}
	return verdict, why
}

// read makes a value of what a source said.
func read(name string, m v1alpha1.GuardMetric, r Reading) (ref.Val, v1alpha1.Verdict, string) {
	switch {
	case r.Err != "":
		return nil, v1alpha1.VerdictError, fmt.Sprintf("metric %s: source %s: %s", name, m.Source, r.Err)
	case len(r.Series) == 0:
		return nil, v1alpha1.VerdictInconclusive, fmt.Sprintf("metric %s has no data: source %s returned nothing", name, m.Source)
	case len(r.Series) > 1 && !m.Each:
		return nil, v1alpha1.VerdictError, fmt.Sprintf("metric %s has %d series, and is one number: %s; aggregate them in the query, or set each: true", name, len(r.Series), named(r.Series))
	}
	if !m.Each {
		if math.IsNaN(r.Series[0].Value) {
			return nil, v1alpha1.VerdictInconclusive, fmt.Sprintf("metric %s is NaN", name)
		}
		return types.Double(r.Series[0].Value), "", ""
	}
	numbers := make(map[string]float64, len(r.Series))
	for _, s := range r.Series {
		key := keyOf(s.Labels)
		if _, twice := numbers[key]; twice {
			return nil, v1alpha1.VerdictError, fmt.Sprintf("metric %s has two series that are both called %q", name, cut(key, maxPart))
		}
		if math.IsNaN(s.Value) {
			return nil, v1alpha1.VerdictInconclusive, fmt.Sprintf("metric %s is NaN for %q", name, cut(key, maxPart))
		}
		numbers[key] = s.Value
	}
	return types.NewDynamicMap(types.DefaultTypeAdapter, numbers), "", ""
}

// keyOf is how an expression names a series: by the value of its label where there is one, else as Prometheus writes all of them.
func keyOf(labels map[string]string) string {
	names := slices.Sorted(maps.Keys(labels))
	switch len(names) {
	case 0:
		return ""
	case 1:
		return cut(labels[names[0]], maxSeriesKey)
	}
	var b strings.Builder
	for i, n := range names {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(n + "=" + strconv.Quote(labels[n]))
	}
	return cut(b.String(), maxSeriesKey)
}

// named names some series.
func named(series []Series) string {
	var words []string
	for _, s := range series {
		words = append(words, "{"+labelled(s.Labels)+"}")
	}
	slices.Sort(words)
	if len(words) > maxNamed {
		words = append(words[:maxNamed], "…")
	}
	return strings.Join(words, ", ")
}

func labelled(labels map[string]string) string {
	var words []string
	for _, n := range slices.Sorted(maps.Keys(labels)) {
		words = append(words, n+"="+strconv.Quote(cut(labels[n], maxPart)))
	}
	return strings.Join(words, ", ")
}

// Number is how a metric's value stands in statuses.
func Number(f float64) string { return strconv.FormatFloat(f, 'g', 4, 64) }

// metricStatuses are what is kept of a sample that was counted.
func (p *Program) metricStatuses(prev []v1alpha1.MetricStatus, a Answers) []v1alpha1.MetricStatus {
	out := make([]v1alpha1.MetricStatus, 0, len(p.metrics))
	for _, name := range p.metrics {
		m, r := p.guard.Metrics[name], a.Sample.Metrics[name]
		st := v1alpha1.MetricStatus{Name: name, Source: m.Source, Query: cut(r.Query, maxQuery), Sampled: stamp(a.Sample.At.Truncate(time.Second))}
		if i := slices.IndexFunc(prev, func(s v1alpha1.MetricStatus) bool { return s.Name == name }); i >= 0 {
			st.Recent = slices.Clone(prev[i].Recent)
		}
		if _, found, why := read(name, m, r); found != "" {
			st.Message = cut(why, maxValue)
		} else {
			st.Value = shownSeries(m, r)
		}
		recent := "-"
		if st.Value != "" {
			recent = Number(worstOf(r.Series))
		}
		st.Recent = append(st.Recent, recent)
		st.Recent = st.Recent[max(0, len(st.Recent)-maxRecent):]
		if base, has := a.Baselines[name]; has {
			st.Baseline = Number(base)
		}
		out = append(out, st)
	}
	return out
}

// shownSeries is the value of a metric for people: the number, or the greatest few by name.
func shownSeries(m v1alpha1.GuardMetric, r Reading) string {
	if !m.Each {
		return Number(r.Series[0].Value)
	}
	series := slices.Clone(r.Series)
	slices.SortFunc(series, func(a, b Series) int {
		if a.Value != b.Value {
			if a.Value > b.Value {
				return -1
			}
			return 1
		}
		return strings.Compare(keyOf(a.Labels), keyOf(b.Labels))
	})
	var words []string
	for i, s := range series {
		if i == maxNamed {
			words = append(words, fmt.Sprintf("… %d in all", len(series)))
			break
		}
		words = append(words, cut(keyOf(s.Labels), maxPart)+"="+Number(s.Value))
	}
	return strings.Join(words, ", ")
}

// worstOf is the greatest of several numbers, which stands for them where there is room for one.
func worstOf(series []Series) float64 {
	out := series[0].Value
	for _, s := range series[1:] {
		out = max(out, s.Value)
	}
	return out
}
