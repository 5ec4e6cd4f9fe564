package stage

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/validation/field"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/fleet"
	"github.com/periplus-dev/periplus/pkg/plan"
	"github.com/periplus-dev/periplus/pkg/workload"
)

// Mover carries a change through a list of steps, each a number of updated pods by unit. Canary, partition bump and their like differ in
// the list alone.
type Mover struct {
	Rollout *v1alpha1.Rollout
	// Check says what is wrong with the stage in the units there are; it is asked once, before anything is touched.
	Check func(units []plan.Unit, p *field.Path) field.ErrorList
	// Joint is true where that is about all units together: then it is asked once all members are seen, else of those that are seen already, too.
	Joint bool
	// Steps to take, planned anew each time over the units as they are.
	Steps func(units []plan.Unit) []plan.Step
	// Bake is how long a step must stay settled.
	Bake time.Duration
	// MaxUnavailable of each unit while the stage moves it, beside what the target and the workload say. Nil says nothing.
	MaxUnavailable *intstr.IntOrString
	// Confirm is asked after each step but the last. Nil asks nobody.
	Confirm *v1alpha1.ConfirmSpec
	// LeaveWaiting leaves pods that cannot get the change but by being created anew. Else the stage does not begin while there are any.
	LeaveWaiting bool
	// OnUnreachable: Skip leaves out members that do not answer, for the rest of the stage; it waits for them else.
	OnUnreachable v1alpha1.OnUnreachable
	// Results of a stage that is done.
	Results func(units []workload.Unit) map[string]string
}

// Moving is a task that moves pods by a Mover. What it would do is known from that without a step.
type Moving interface {
	Task
	// Mover of a run whose Spec and Admitted are known; nothing else of the run may be asked before Results is.
	Mover(run *Run) (*Mover, error)
}

// StepOf makes one pass of a task that moves pods.
func StepOf(ctx context.Context, t Moving, run *Run) (Outcome, error) {
	mover, err := t.Mover(run)
	if err != nil {
		return Outcome{}, err
	}
	return mover.Step(ctx, run)
}

// BakeOf is how long a spec says that a step must stay settled; 0 where it says nothing.
func BakeOf(d *metav1.Duration) time.Duration {
	if d == nil {
		return 0
	}
	return d.Duration
}

// moverState is what a mover needs to go on after a crash, beside what it observes.
type moverState struct {
	// Checked once Check has passed, Cleared once the Before guards have.
	Checked bool `json:"checked,omitempty"`
	Cleared bool `json:"cleared,omitempty"`
	// Units that the stage began with, by member/unit, and whether each had pods.
	Units map[string]bool `json:"units,omitempty"`
	// Replicas of the units as last seen, by member/unit: what is planned does not hang on which members can be seen.
	Replicas map[string]int32 `json:"replicas,omitempty"`
	// Done is how many updated pods of a unit the steps that are behind wanted, by member/unit.
	Done map[string]int32 `json:"done,omitempty"`
	// Groups is how many steps are behind, however often they were planned anew: it numbers the questions between them.
	Groups int `json:"groups,omitempty"`
	// Silent is since when members do not answer, and Skipped are those that the stage has left out for that, with what was the matter.
	Silent  map[string]metav1.Time `json:"silent,omitempty"`
	Skipped map[string]string      `json:"skipped,omitempty"`
	// Step that is worked on, from 0, when its move was made, and when its pods were first all available.
	Step    int          `json:"step"`
	Moved   *metav1.Time `json:"moved,omitempty"`
	Settled *metav1.Time `json:"settled,omitempty"`
	// FirstMoved is when the first step's move was made.
	FirstMoved *metav1.Time `json:"firstMoved,omitempty"`
}

// moving is one pass of a mover.
type moving struct {
	*Mover
	run   *Run
	state moverState
	// world is what is seen of the members that are not left out.
	world *World
	steps []plan.Step
	// settled is true once this pass has seen every pod of the step available.
	settled bool
}

// Step makes one pass: a chain of checks and moves, the first that has something to say ends it.
func (m *Mover) Step(ctx context.Context, run *Run) (Outcome, error) {
	p := &moving{Mover: m, run: run}
	if err := run.LoadState(&p.state); err != nil {
		p.state = moverState{} // damaged: the stage finds in the record and the members how far it was.
	}
	seen, err := run.Observe(run.Admitted.Members)
	if err != nil {
		return Outcome{}, err
	}
	p.leaveOut(seen)
	p.plan()
	run.Progress(seen, run.Admitted.Members, p.want)
	defer func() { p.describeStep() }()

	for _, link := range []func(context.Context) (*Outcome, error){
		p.anyLeft,       // members that are not left out
		p.allThere,      // every unit that the stage began with
		p.seeAllMembers, // before anything is touched every member must be seen and fit
		p.still,         // people who stop it: pauses, freezes, a rollback of the release
		p.opened,        // the windows that policies demand, before the first move
		p.lock,          // one release on a workload
		p.touch,         // the record, before the first move
		p.holdBack,      // what somebody else began
		p.clear,         // Before guards
		p.change,        // the new template, held back on every pod
		p.revision,      // which revision the release brings, and that it still is the one
		p.fits,          // pods that only their creation brings to it
		p.healthy,       // a pod that will not get up
		p.during,        // During guards
		p.reopened,      // the same windows, before each further step
		p.advance,       // partitions, under the limit
		p.settle,        // pods available, for as long as they must bake
		p.after,         // After guards
		p.ask,           // people, before the next step
		p.goOn,          // the next step
	} {
		out, err := link(ctx)
		if serr := run.SaveState(p.state); serr != nil {
			return Outcome{}, serr
		}
		if (err != nil || out != nil) && !p.settled && run.Status.Step != nil {
			run.Status.Step.SettledSince = nil // what is not seen whole does not bake.
		}
		if err != nil {
			return p.trouble(err)
		}
		if out != nil {
			return p.ended(p.timed(*out)), nil
		}
	}
	return p.ended(Done(p.summary(), m.Results(p.world.Units))), nil
}

// trouble turns errors that pass by themselves into a wait: a conflict means that the cache is behind, and the event that mends it wakes us.
func (p *moving) trouble(err error) (Outcome, error) {
	out, err := p.run.passing(err)
	if err != nil {
		return out, err
	}
	return p.timed(out), nil
}

// passing is the wait for an error that passes by itself, or the error.
func (r *Run) passing(err error) (Outcome, error) {
	var gone *fleet.UnreachableError
	switch {
	case apierrors.IsConflict(err):
		return Wait(ReasonPreparing, "seeing what changed meanwhile").WakeAt(r.Now.Add(time.Second)), nil
	case errors.Is(err, fleet.ErrBusy):
		return Wait(ReasonConnecting, err.Error()).WakeAt(r.Now.Add(time.Second)), nil
	case errors.As(err, &gone):
		return Wait(ReasonUnreachable, err.Error()), nil
	case apierrors.IsForbidden(err), apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
		// A policy, a webhook or a missing permission there: somebody may mend it, until the progress deadline.
		return Wait(ReasonRefused, err.Error()).WakeAt(r.Now.Add(5 * time.Second)), nil
	}
	return Outcome{}, err
}

// timed adds the progress deadline to a wait for pods or members, and fails the stage when it has passed.
func (p *moving) timed(o Outcome) Outcome {
	return p.run.inTime(o, p.world, p.Rollout.ProgressDeadline.Duration)
}

// inTime fails a wait for pods or members once the number of available updated pods has not grown for as long as the deadline.
func (r *Run) inTime(o Outcome, w *World, deadline time.Duration) Outcome {
	if o.phase != waiting {
		return o
	}
	switch o.Reason {
	case ReasonUpdatingPods, ReasonConnecting, ReasonUnreachable, ReasonPreparing, ReasonRefused:
	default:
		r.Status.Best = nil
		return o
	}
	available := int32(0)
	for i := range w.Units {
		available += w.Units[i].Count().UpdatedAvailable
	}
	if best := r.Status.Best; best == nil || available > best.Available {
		r.Status.Best = &v1alpha1.Best{Available: available, At: r.Stamp()}
	}
	limit := r.Status.Best.At.Add(deadline)
	if r.Now.Before(limit) {
		return o.LimitedBy(limit)
	}
	reason := ReasonNoProgress
	if o.Reason == ReasonUnreachable || o.Reason == ReasonRefused {
		reason = o.Reason
	}
	return Fail(reason, fmt.Sprintf("no progress for %s (progressDeadline): %s", deadline, o.Message))
}

// clear judges the Before guards once, before the first move of this stage. What the baselines are is kept in the record.
func (p *moving) clear(ctx context.Context) (*Outcome, error) {
	if p.state.Cleared {
		return nil, nil
	}
	sum, wake := p.run.Judge(v1alpha1.Before, Judging{World: p.world, Members: p.members(), Want: p.want})
	if out := GuardOutcome(sum, p.Rollout.OnGuardFailure, wake); out != nil {
		return out, nil
	}
	if p.run.Asking() {
		out := Wait(ReasonGuardsPending, "sources are asked for the first time, also for guards on trial").WakeAt(wake)
		return &out, nil
	}
	if err := p.run.KeepBaselines(ctx); err != nil {
		return nil, err
	}
	p.state.Cleared = true
	return nil, nil
}

// during judges the During guards from the first move of this stage on.
func (p *moving) during(context.Context) (*Outcome, error) {
	if p.state.FirstMoved == nil {
		return nil, nil
	}
	sum, wake := p.run.Judge(v1alpha1.During, p.judging())
	// Before there is a pod on the new revision in a member, guards on such pods have nothing to be judged on there, and holding the stage for it would keep the
	// first of them from coming up; nothing passes meanwhile, as a step settles on updated pods only.
	sum = sum.Spare(func(g v1alpha1.GuardStatus) bool { return !p.anyUpdated(g.Member) })
	if out := GuardOutcome(sum, p.Rollout.OnGuardFailure, wake); out != nil && Stops(sum) {
		return out, nil
	}
	p.wake(wake)
	return nil, nil
}

// anyUpdated says whether there is a pod on the new revision in a member.
func (p *moving) anyUpdated(member string) bool {
	for i := range p.world.Units {
		if u := &p.world.Units[i]; u.Member == member && u.Count().Updated > 0 {
			return true
		}
	}
	return false
}

// judging is what guards are judged on. After guards count from when the step's pods were first all available: how long that takes is none of theirs.
func (p *moving) judging() Judging {
	j := Judging{World: p.world, Members: p.members(), Step: p.state.Step + 1, Want: p.want}
	if p.state.Settled != nil {
		j.Moved = p.state.Settled.Time
	}
	if p.state.FirstMoved != nil {
		j.FirstMoved = p.state.FirstMoved.Time
	}
	return j
}

// wake asks for a pass at a time, whatever the outcome of this one.
func (p *moving) wake(at time.Time) { p.run.wakeAt = earlier(p.run.wakeAt, at) }

// after judges the After guards of the step.
func (p *moving) after(context.Context) (*Outcome, error) {
	// During guards too: a stage that settles at once, as a second attempt does, would else never have been judged by them.
	for _, when := range []v1alpha1.GuardWhen{v1alpha1.During, v1alpha1.After} {
		sum, wake := p.run.Judge(when, p.judging())
		if out := GuardOutcome(sum, p.Rollout.OnGuardFailure, wake); out != nil {
			return out, nil
		}
	}
	return nil, nil
}

// ask asks people whether to go on with the next step, where there is one. Each step's question has a number of its own, which counts what is behind: a plan that is
// made anew after a scale neither asks a question again nor takes an answer for another.
func (p *moving) ask(context.Context) (*Outcome, error) {
	next := p.following()
	if p.Confirm == nil || next < 0 {
		return nil, nil
	}
	n := p.state.Groups + 2
	about := fmt.Sprintf("group %d of %d (%s)", n, n+len(p.steps)-1-next, p.steps[next].What)
	_, _, out := p.run.Confirmed(p.Confirm, fmt.Sprintf("%s%d", groupCheckpoint, n), about)
	return out, nil
}

// goOn begins the next step, where there is one.
func (p *moving) goOn(context.Context) (*Outcome, error) {
	if !p.next() {
		return nil, nil
	}
	out := Wait(ReasonUpdatingPods, "next: "+p.steps[p.state.Step].What).WakeAt(p.run.Now)
	return &out, nil
}

func (p *moving) describeStep() {
	if p.state.Step >= len(p.steps) {
		return
	}
	since := (*metav1.Time)(nil)
	if p.run.Status.Step != nil {
		since = p.run.Status.Step.SettledSince
	}
	p.run.Status.Step = &v1alpha1.StepStatus{Index: p.state.Step + 1, Total: len(p.steps), What: p.steps[p.state.Step].What, SettledSince: since}
}

func (p *moving) summary() string {
	parts := make([]string, 0, len(p.world.Units))
	for i := range p.world.Units {
		u := &p.world.Units[i]
		parts = append(parts, fmt.Sprintf("%s %d/%d updated", u.Ref(), u.Count().Updated, u.Replicas))
	}
	return shorten(strings.Join(parts, ", ")+p.leftOut(), 900)
}
