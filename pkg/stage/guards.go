package stage

import (
	"fmt"
	"time"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/guard"
	"github.com/periplus-dev/periplus/pkg/workload"
)

// Judging is what guards are judged on.
type Judging struct {
	World   *World
	Members []string
	// Moved is when the move was made; zero before it.
	Moved time.Time
	// Step that After guards belong to.
	Step int
	// Want pods updated in a unit.
	Want func(u *workload.Unit) int32
}

// Judge judges the guards of one time for each member, notes the verdicts in the run's status, and returns what they come to, with the
// time at which they want to be judged again.
func (r *Run) Judge(when v1alpha1.GuardWhen, j Judging) (guard.Summary, time.Time) {
	var mine []v1alpha1.GuardStatus
	var wake time.Time
	for _, p := range r.guards.Programs() {
		if p.Guard().When != when {
			continue
		}
		for _, m := range j.Members {
			prev := r.guardStatus(p.Guard().Name, m, when, j.Step)
			next, at := guard.Judge(p, prev, r.guardInput(m, j))
			next.Member, next.Step = m, prev.Step
			r.setGuardStatus(next)
			if next.Verdict != prev.Verdict {
				r.frame.metrics.verdict(r.Admitted.Kind, next.Verdict)
			}
			mine = append(mine, next)
			wake = earlier(wake, at)
		}
	}
	return guard.Worst(mine), wake
}

// guardStatus is what is known of a guard; an After guard is judged anew for each step.
func (r *Run) guardStatus(name, member string, when v1alpha1.GuardWhen, step int) v1alpha1.GuardStatus {
	if when != v1alpha1.After {
		step = 0
	}
	for _, s := range r.Status.Guards {
		if s.Name == name && s.Member == member && s.Step == step {
			return s
		}
	}
	return v1alpha1.GuardStatus{Name: name, Member: member, When: when, Step: step}
}

func (r *Run) setGuardStatus(next v1alpha1.GuardStatus) {
	for i := range r.Status.Guards {
		s := &r.Status.Guards[i]
		if s.Name == next.Name && s.Member == next.Member {
			*s = next
			return
		}
	}
	r.Status.Guards = append(r.Status.Guards, next)
}

func (r *Run) guardInput(member string, j Judging) guard.Input {
	in := guard.Input{Now: r.Now, MoveTime: j.Moved, Params: r.Admitted.Params, Member: member}
	if info, err := r.frame.Fleet.Info(member); err == nil {
		in.MemberLabels = info.Labels
	}
	in.Workload.Kind = r.Admitted.Target.Workload.Kind
	in.Workload.Name = r.Admitted.Target.Workload.Name
	for _, u := range j.World.UnitsOf(member) {
		c := u.Count()
		gu := guard.Unit{
			Name: u.Name, Member: member, Replicas: u.Replicas, Updated: c.Updated, UpdatedReady: c.UpdatedReady,
			UpdatedAvailable: c.UpdatedAvailable, Ready: c.Ready, Available: c.Available,
		}
		if j.Want != nil {
			gu.Want = j.Want(&u)
			in.Want += gu.Want
		}
		in.Units = append(in.Units, gu)
		for _, p := range u.Pods {
			if p.Terminating {
				continue
			}
			in.Pods = append(in.Pods, guard.Pod{
				Name: p.Name, Member: member, Unit: u.Name, Node: p.Node, Revision: p.Revision, Updated: p.Updated, Ready: p.Ready,
				Available: p.Available, Restarts: p.Restarts, Created: p.Created, Phase: p.Phase, Reason: p.Reason,
			})
		}
	}
	return in
}

// GuardOutcome turns a summary into an outcome, or nil when the stage may go on.
func GuardOutcome(s guard.Summary, onFailure v1alpha1.OnTrouble, wake time.Time) *Outcome {
	var o Outcome
	switch {
	case s.Failed && onFailure == v1alpha1.Hold:
		o = Wait(ReasonGuardHolding, s.Message)
	case s.Failed:
		o = Fail(ReasonGuardFailed, s.Message)
	case s.Holding:
		o = Wait(ReasonGuardHolding, s.Message)
	case !s.Passed:
		o = Wait(ReasonGuardsPending, s.Message)
	default:
		return nil
	}
	o = o.WakeAt(wake)
	return &o
}

// verdicts of a run, as its release keeps them.
func verdictsOf(task string, guards []v1alpha1.GuardStatus, now time.Time) []v1alpha1.RecordedVerdict {
	var out []v1alpha1.RecordedVerdict
	for _, g := range guards {
		t := g.LastSample
		if t == nil {
			continue
		}
		out = append(out, v1alpha1.RecordedVerdict{
			Run: task, Guard: g.Name, Member: g.Member, Verdict: g.Verdict, Value: cutTo(g.Value, 512), Time: *t,
		})
	}
	return out
}
