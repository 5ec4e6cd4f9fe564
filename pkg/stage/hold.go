package stage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/fleet"
	"github.com/periplus-dev/periplus/pkg/release"
)

// Unskippable is a stage that no intervention skips.
type Unskippable interface {
	// WhyNotSkipped says what to do instead.
	WhyNotSkipped() string
}

func skippable(t Task) bool {
	_, not := t.(Unskippable)
	return !not
}

// goesBack says whether the run takes a release back: what ends a release does not end that.
func (r *Run) goesBack(t Task) bool {
	return r.back || t.Kind() == "Rollback"
}

// handsOf are the UIDs of the runs that an intervention may name to mean a stage: the root run's, and that of the PipelineRun which made the stage.
func handsOf(run *Run, cr *v1beta1.CustomRun) []types.UID {
	out := []types.UID{run.Root.UID}
	if o := ownerOf(cr); o != nil && o.UID != run.Root.UID {
		out = append(out, o.UID)
	}
	return out
}

// joinedAt is when the PipelineRun that made a stage was created, or the stage itself where there is none. A PipelineRun that is not in the cache yet is young.
func (r *Reconciler) joinedAt(cr *v1beta1.CustomRun) time.Time {
	if o := ownerOf(cr); o != nil {
		if pr, err := r.PipelineRuns.PipelineRuns(cr.Namespace).Get(o.Name); err == nil && pr.UID == o.UID {
			return pr.CreationTimestamp.Time
		}
	}
	return cr.CreationTimestamp.Time
}

// standing is what people's interventions come to for this run.
func (r *Run) standing() (release.Standing, error) {
	all, err := r.frame.Interventions.Interventions(r.Namespace).List(labels.Everything())
	if err != nil {
		return release.Standing{}, fmt.Errorf("listing interventions in namespace %s: %w", r.Namespace, err)
	}
	anew := r.retriedAt()
	all = slices.DeleteFunc(slices.Clone(all), func(i *v1alpha1.Intervention) bool { return i.CreationTimestamp.Time.Before(anew) })
	return release.Stand(all, r.hands...), nil
}

// retriedAt is when the retry was made that carries the release now, zero where none does. What people said of the release before ends there, also where the
// cache does not have the Retry itself yet: a stage of a run that was started to go on must not end by what the run before was ended by.
func (r *Run) retriedAt() time.Time {
	for i := range r.carriers {
		if pr := r.carriers[i].run; pr.Annotations[v1alpha1.AnnotationRetryOf] != "" {
			return pr.CreationTimestamp.Time
		}
	}
	return time.Time{}
}

// StandStill says why a stage may make no move in some members now: somebody paused the run, a freeze covers it, or the release is being taken back. It is nil where
// nothing stands in the way.
func (r *Run) StandStill(members []string) (*Outcome, error) {
	if r.Release != nil && !r.back && release.GoingBack(r.Release) != nil {
		return goingBackOutcome(r.Release), nil
	}
	standing, err := r.standing()
	if err != nil {
		return nil, err
	}
	if p := standing.Paused; p != nil {
		out := Wait(ReasonPaused, release.Words(p, "paused"))
		out.Who, out.Command = "anybody who may create interventions", "periplus resume "+p.Spec.RunRef.Name+" -n "+r.Namespace
		return &out, nil
	}
	known := slices.DeleteFunc(slices.Clone(members), func(m string) bool {
		_, err := r.frame.Fleet.Info(m)
		return errors.Is(err, fleet.ErrUnknownMember) // nothing can be moved where there is no member.
	})
	freezes, err := r.Frozen(known, r.back)
	return FrozenOutcome(freezes), err
}

func goingBackOutcome(rel *v1alpha1.Release) *Outcome {
	out := Wait(ReasonGoingBack, fmt.Sprintf("release %s is being taken back; everything else of it stands still", rel.Name))
	return &out
}

// still stops the stage at once where somebody wants it to stand still: pods that are under way get there, and no other starts. Guards go on watching.
func (p *moving) still(ctx context.Context) (*Outcome, error) {
	stop, err := p.run.StandStill(p.members())
	if err != nil || stop == nil {
		return nil, err
	}
	if p.run.Release != nil {
		if _, _, err := p.run.haltIn(ctx, p.world); err != nil {
			return nil, err
		}
		for _, watch := range []func(context.Context) (*Outcome, error){p.healthy, p.during} {
			if out, err := watch(ctx); err != nil || (out != nil && out.phase == failed) {
				return out, err
			}
		}
	}
	// Time in which the stage had to stand still is none that a guard was given.
	p.state.Settled = nil
	p.run.Status.Guards = slices.DeleteFunc(p.run.Status.Guards, func(g v1alpha1.GuardStatus) bool {
		return g.When == v1alpha1.After && g.Step == p.state.Step+1 && g.Verdict != v1alpha1.VerdictPass
	})
	if p.state.FirstMoved == nil {
		stop.Message += "; nothing was moved by this stage"
	} else {
		stop.Message += "; stands still at " + p.summary()
	}
	return stop, nil
}
