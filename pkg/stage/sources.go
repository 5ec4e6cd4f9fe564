package stage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/guard"
	"github.com/periplus-dev/periplus/pkg/guard/source"
	"github.com/periplus-dev/periplus/pkg/policy"
)

// Sources is what stages need of metric sources. The methods and what they promise are described at source.Sampler.
type Sources interface {
	Sample(key source.Key, ask *guard.Ask, about source.About, wake func()) *guard.Sample
	Lags(sources []string) map[string]time.Duration
	Observe(at time.Time, namespace string, in *guard.Input)
	Check(q guard.Query, member string, labels map[string]string) error
	Forget(run types.UID)
}

// measurable says what is wrong with the metrics of guards: a source that is not there or not given to the namespace, a query that its source cannot read. Guards stand at p.
// free is true where any source may be asked.
func (a *admitter) measurable(ctx context.Context, guards []v1alpha1.Guard, members []string, free bool, p *field.Path) (field.ErrorList, error) {
	var errs field.ErrorList
	for i := range guards {
		for _, q := range guard.Example(guards[i]) {
			at := p.Index(i).Child("metrics").Key(q.Metric)
			if a.sources == nil {
				errs = append(errs, field.Forbidden(at.Child("source"), "this hub asks no metric sources"))
				continue
			}
			if q.Source != v1alpha1.SourcePods && !free {
				wrong, err := a.lent(ctx, q.Source, at.Child("source"))
				if err != nil {
					return nil, err
				}
				if wrong != nil {
					errs = append(errs, wrong)
					continue
				}
			}
			if late := a.late(guards[i], q, at.Child("window")); late != nil {
				errs = append(errs, late)
			}
			wrong, err := a.answerable(q, members, at)
			if err != nil {
				return nil, err
			}
			errs = append(errs, wrong...)
		}
	}
	return errs, nil
}

// late says that no sample of an After guard could count before its deadline; nil where one can. What the deadline must be without the source's lag is checked
// with the guard itself.
func (a *admitter) late(g v1alpha1.Guard, q guard.Query, at *field.Path) *field.Error {
	lag := a.sources.Lags([]string{q.Source})[q.Source]
	if g.When != v1alpha1.After || g.Deadline == nil || lag == 0 {
		return nil
	}
	least := q.Window + lag
	together := fmt.Sprintf("window %s and the source's lag %s", q.Window, lag)
	if g.For != nil && g.For.Duration > 0 {
		least += g.For.Duration
		together = fmt.Sprintf("window %s, the source's lag %s and for %s", q.Window, lag, g.For.Duration)
	}
	if least < g.Deadline.Duration {
		return nil
	}
	return field.Invalid(at, q.Window.String(), fmt.Sprintf("%s together are not shorter than the guard's deadline %s: no sample would count in time", together, g.Deadline.Duration))
}

// lent says why the run's namespace may not ask a source; nil where it may.
func (a *admitter) lent(ctx context.Context, name string, at *field.Path) (*field.Error, error) {
	if !nameable(name) {
		return field.Invalid(at, name, "must be the name of a MetricSource, or "+v1alpha1.SourcePods), nil
	}
	src, err := a.client.FleetV1alpha1().MetricSources().Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		missing := field.NotFound(at, name)
		missing.Detail = "there is no such MetricSource; kubectl get metricsources lists them, and " + v1alpha1.SourcePods + " is always there"
		return missing, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading MetricSource %s: %w", name, err)
	}
	book, err := a.policies(ctx)
	if err != nil {
		return nil, err
	}
	if !book.Lends(policy.Object{Name: name, Labels: src.Labels}) {
		return forbidden(at, fmt.Sprintf("no ReleasePolicy gives MetricSource %s to namespace %s: ask those who keep the policies", name, a.run.Namespace)), nil
	}
	return nil, nil
}

// answerable says what is wrong with a query, in whichever member it is asked for.
func (a *admitter) answerable(q guard.Query, members []string, at *field.Path) (field.ErrorList, error) {
	seen := map[string]bool{}
	var errs field.ErrorList
	if len(members) == 0 {
		members = []string{""} // which members it will be is known later.
	}
	for _, m := range members {
		var labels map[string]string
		if m != "" {
			info, err := a.fleet.Info(m)
			if err != nil {
				continue // its absence is reported where members are chosen.
			}
			labels = info.Labels
		}
		err := a.sources.Check(q, m, labels)
		if err == nil || seen[err.Error()] {
			continue
		}
		seen[err.Error()] = true
		var wrong *source.QueryError
		var passing *source.UnavailableError
		switch {
		case errors.As(err, &passing):
			return nil, fmt.Errorf("looking at %s: %w", at, err)
		case errors.Is(err, source.ErrUnknown):
			errs = append(errs, field.NotFound(at.Child("source"), q.Source))
		case errors.As(err, &wrong):
			errs = append(errs, field.Invalid(at.Child("query"), q.Query, wrong.Error()))
		default:
			errs = append(errs, field.Invalid(at.Child("source"), q.Source, err.Error()))
		}
	}
	return errs, nil
}

// show lets sources that live on what stages see have what this pass sees.
func (r *Run) show(w *World, members []string) {
	if r.frame.Sources == nil || r.guards == nil {
		return
	}
	if !slices.ContainsFunc(r.guards.Programs(), func(p *guard.Program) bool { return slices.Contains(p.Sources(), v1alpha1.SourcePods) }) {
		return
	}
	for _, m := range members {
		in := r.guardInput(m, Judging{World: w})
		r.frame.Sources.Observe(r.Now, r.Namespace, &in)
	}
}
