package stage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	pipelinev1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	"github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/fleet"
	"github.com/periplus-dev/periplus/pkg/plan"
	"github.com/periplus-dev/periplus/pkg/release"
)

// endChildren has a carrier end its children before anything else of its run ends. It returns when to look again, zero where the run may go on to end: nobody
// runs any more, or they were waited for long enough; then the message names them.
func (r *Reconciler) endChildren(ctx context.Context, cr *v1beta1.CustomRun, run *Run, o *v1alpha1.Outcome) (time.Time, error) {
	carrier, ok := r.Task.(Carrier)
	if !ok || run.Admitted == nil {
		return time.Time{}, nil
	}
	running, results, err := carrier.End(ctx, run)
	if len(results) > 0 {
		setResults(cr, results)
	}
	patience := run.Status.Ending.Since.Add(childrenPatience)
	switch {
	case run.Now.Before(patience) && err != nil:
		return time.Time{}, err
	case run.Now.Before(patience) && len(running) > 0:
		out := Wait(ReasonEndingChildren, fmt.Sprintf("ending: %s; waits for %s", shorten(o.Message, 500), listed(running, 10))).LimitedBy(patience)
		r.wait(ctx, cr, run, out)
		return patience, nil
	case err != nil:
		o.Message += "; its children may still run: " + err.Error()
	case len(running) > 0:
		o.Message += fmt.Sprintf("; still running after %s: %s", childrenPatience, listed(running, 20))
	}
	return time.Time{}, nil
}

// listed names some of many.
func listed(names []string, most int) string {
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

// choose fixes the members of a stage.
func (a *admitter) choose(ctx context.Context, scope *Scope, out *v1alpha1.Admitted, p *field.Path) ([]string, field.ErrorList, error) {
	if scope.Waves == nil {
		return a.members(ctx, scope, out, p)
	}
	if _, err := a.selected(ctx, labels.Everything()); err != nil {
		return nil, nil, err
	}
	all, err := candidates(a.fleet)
	if err != nil {
		return nil, nil, err
	}
	waves, errs := scope.Waves(all, p)
	out.Waves = nil
	for i := range waves {
		given, leftOut, err := a.given(ctx, waves[i])
		if err != nil {
			return nil, nil, err
		}
		for _, m := range leftOut {
			why, err := a.refusal(ctx, m)
			if err != nil {
				return nil, nil, err
			}
			// A selector that goes too far is as much of a mistake here as a name: a release that should reach everybody would not, and nobody would see it.
			errs = append(errs, forbidden(p.Child("waves").Index(i), why))
		}
		waves[i] = given
		out.Waves = append(out.Waves, len(given))
	}
	return slices.Concat(waves...), errs, nil
}

// candidates are all members there are, as waves choose them.
func candidates(f Fleet) ([]plan.Candidate, error) {
	infos, err := f.List(labels.Everything())
	if err != nil {
		return nil, fmt.Errorf("listing members: %w", err)
	}
	out := make([]plan.Candidate, 0, len(infos))
	for _, in := range infos {
		out = append(out, plan.Candidate{Name: in.Name, Labels: in.Labels, Importance: in.Importance})
	}
	return out, nil
}

// Candidates are all members that the fleet has now.
func (r *Run) Candidates() ([]plan.Candidate, error) { return candidates(r.frame.Fleet) }

// Reach says whether a member answers, and wakes the run when that changes; known is false where there is no such member any more.
func (r *Run) Reach(member string) (reach fleet.Reachability, known bool, err error) {
	s, err := r.frame.Fleet.Open(r.UID, member, r.wake)
	if errors.Is(err, fleet.ErrUnknownMember) {
		return reach, false, nil
	}
	if err != nil {
		return reach, false, fmt.Errorf("opening member %s: %w", member, err)
	}
	return s.Reachability(), true, nil
}

// LetGo closes all members that the run looks at. Those that it looks at again are opened again, and found warm.
func (r *Run) LetGo() { r.frame.Fleet.Close(r.UID) }

// SettleGuards enters the verdicts on one member in the release's record, and drops them and the member's baselines from the run's status, which has no place for those
// of hundreds.
func (r *Run) SettleGuards(ctx context.Context, member string) error {
	var mine, others []v1alpha1.GuardStatus
	for _, g := range r.Status.Guards {
		if g.Member == member {
			mine = append(mine, g)
		} else {
			others = append(others, g)
		}
	}
	if len(mine) > 0 {
		name := shorten(r.Task+"/"+member, 253)
		err := r.record(ctx, func(st *v1alpha1.ReleaseStatus) bool { return release.AddVerdicts(st, name, verdictsOf(name, mine)) })
		if err != nil && !apierrors.IsInvalid(err) && !apierrors.IsNotFound(err) {
			return err
		}
	}
	r.Status.Guards = others
	r.Status.Baselines = slices.DeleteFunc(r.Status.Baselines, func(b v1alpha1.Baseline) bool { return b.Member == member })
	return nil
}

// Pipeline reads a Pipeline of the run's namespace; nil where there is none.
func (r *Run) Pipeline(ctx context.Context, name string) (*pipelinev1.Pipeline, error) {
	p, err := r.frame.Tekton.TektonV1().Pipelines(r.Namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading Pipeline %s/%s: %w", r.Namespace, name, err)
	}
	return p, nil
}

// Hand is what people did last to one member of a hop; zero times where they did nothing.
type Hand struct {
	Retried, Skipped time.Time
	// Words say who skipped it and why.
	Words string
}

// Hands are the interventions in this very run's members.
func (r *Run) Hands() (map[string]Hand, error) {
	out := map[string]Hand{}
	if r.frame.Interventions == nil {
		return out, nil
	}
	all, err := r.frame.Interventions.Interventions(r.Namespace).List(labels.Everything())
	if err != nil {
		return nil, fmt.Errorf("listing interventions: %w", err)
	}
	for _, in := range all {
		s := &in.Spec
		if s.Member == "" || s.StageRef == nil || s.StageRef.UID != r.UID {
			continue
		}
		h, at := out[s.Member], in.CreationTimestamp.Time
		switch {
		case s.Action == v1alpha1.ActionRetry && at.After(h.Retried):
			h.Retried = at
		case s.Action == v1alpha1.ActionSkip && at.After(h.Skipped):
			h.Skipped, h.Words = at, fmt.Sprintf("by %s: %s", s.User, s.Message)
		}
		out[s.Member] = h
	}
	return out, nil
}
