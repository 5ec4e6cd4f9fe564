package clusterhop

import (
	"context"
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/stage"
	"github.com/periplus-dev/periplus/pkg/workload"
)

// state of the gate.
type state struct {
	// Cleared once the members left behind passed their Before guards.
	Cleared bool `json:"cleared,omitempty"`
	// SilentSince is when the silent period began; it begins anew when a member left behind is not whole.
	SilentSince *metav1.Time `json:"silentSince,omitempty"`
	// Over once the silent period has passed.
	Over bool `json:"over,omitempty"`
	// Next is since when the next members are checked.
	Next *metav1.Time `json:"next,omitempty"`
}

// gate is one pass.
type gate struct {
	run   *stage.Run
	spec  *v1alpha1.ClusterHopSpec
	state state
	from  *stage.World
	to    *stage.World
}

// open is one step of a gate.
func open(ctx context.Context, run *stage.Run, spec *v1alpha1.ClusterHopSpec) (stage.Outcome, error) {
	g := &gate{run: run, spec: spec}
	if err := run.LoadState(&g.state); err != nil {
		g.state = state{} // damaged: the gate begins anew.
	}
	if err := run.SeeRelease(ctx); err != nil {
		return stage.Outcome{}, err
	}
	all, err := run.Observe(append(append([]string{}, spec.From...), spec.To...))
	if err != nil {
		return stage.Outcome{}, err
	}
	run.Progress(all, run.Admitted.Members, nil)
	g.from, g.to = all.Only(spec.From), all.Only(spec.To)

	for _, link := range []func(context.Context) (*stage.Outcome, error){
		g.leftBehind, // whole, and as the release left them
		g.clear,      // Before guards on them
		g.silent,     // silent period, under During guards on them
		g.next,       // the next members: reachable, whole, free
		g.after,      // After guards on them
	} {
		out, err := link(ctx)
		if serr := run.SaveState(g.state); serr != nil {
			return stage.Outcome{}, serr
		}
		if err != nil {
			return stage.Outcome{}, err
		}
		if out != nil {
			return *out, nil
		}
	}
	return stage.Done("open to "+strings.Join(spec.To, ", "), map[string]string{"members": stage.JSONList(spec.To)}), nil
}

// leftBehind checks the members left behind, until the silent period is over.
func (g *gate) leftBehind(context.Context) (*stage.Outcome, error) {
	if g.state.Over {
		return nil, nil
	}
	for i := range g.from.Units {
		u := &g.from.Units[i]
		if t := g.run.Touched(u); t != nil && t.Revision != "" && u.Observed && u.UpdateRevision != t.Revision {
			out := stage.Fail(stage.ReasonChanged, fmt.Sprintf("%s: the template of %s %s was changed by somebody else since: it is revision %s, the release carries %s",
				u.Ref(), u.Kind, u.Workload, u.UpdateRevision, t.Revision))
			return &out, nil
		}
	}
	if out := whole(g.from, "left behind"); out != nil {
		g.state.SilentSince = nil
		return out, nil
	}
	return nil, nil
}

func (g *gate) clear(context.Context) (*stage.Outcome, error) {
	if g.state.Cleared {
		return nil, nil
	}
	sum, wake := g.run.Judge(v1alpha1.Before, stage.Judging{World: g.from, Members: g.spec.From})
	if out := stage.GuardOutcome(sum, g.spec.OnGuardFailure, wake); out != nil {
		return out, nil
	}
	g.state.Cleared = true
	return nil, nil
}

func (g *gate) silent(context.Context) (*stage.Outcome, error) {
	if g.state.Over {
		return nil, nil
	}
	if g.state.SilentSince == nil {
		at := g.run.Stamp()
		g.state.SilentSince = &at
	}
	sum, wake := g.run.Judge(v1alpha1.During, stage.Judging{World: g.from, Members: g.spec.From, FirstMoved: g.state.SilentSince.Time, Moved: g.state.SilentSince.Time, Step: 1})
	held := stage.GuardOutcome(sum, g.spec.OnGuardFailure, wake)
	if held != nil && stage.Stops(sum) {
		return held, nil
	}
	period := time.Duration(0)
	if g.spec.SilentPeriod != nil {
		period = g.spec.SilentPeriod.Duration
	}
	if until := g.state.SilentSince.Add(period); g.run.Now.Before(until) {
		out := stage.Wait(stage.ReasonSilentPeriod, fmt.Sprintf("silent for %s before going on to %s", period, strings.Join(g.spec.To, ", "))).LimitedBy(until).WakeAt(wake)
		return &out, nil
	}
	if held != nil {
		return held, nil // a guard that has not passed yet: it was not silent for long enough to know.
	}
	g.state.Over = true
	return nil, nil
}

// next checks the members that come next.
func (g *gate) next(ctx context.Context) (*stage.Outcome, error) {
	if g.state.Next == nil {
		at := g.run.Stamp()
		g.state.Next = &at
	}
	if out := whole(g.to, "next"); out != nil {
		return out, nil
	}
	for i := range g.to.Units {
		held, err := g.run.LockedByAnother(ctx, &g.to.Units[i])
		if err != nil {
			return nil, err
		}
		if held != nil {
			out := stage.Wait(stage.ReasonLocked, held.Error()+"; waits until it is over").WakeAt(g.run.LockRecheck())
			return &out, nil
		}
	}
	return nil, nil
}

func (g *gate) after(context.Context) (*stage.Outcome, error) {
	sum, wake := g.run.Judge(v1alpha1.After, stage.Judging{World: g.to, Members: g.spec.To, FirstMoved: g.state.Next.Time, Moved: g.state.Next.Time, Step: 1})
	return stage.GuardOutcome(sum, g.spec.OnGuardFailure, wake), nil
}

// whole says what is missing until every member is seen, its workloads were observed by their controllers, and all pods are available.
func whole(w *stage.World, which string) *stage.Outcome {
	for _, m := range w.Missing {
		if m.NotFound {
			out := stage.Fail(stage.ReasonInvalid, m.Message)
			return &out
		}
	}
	var open []string
	reason := stage.ReasonChecking
	for _, m := range w.Missing {
		reason = m.Reason
		open = append(open, m.Message)
	}
	var wake time.Time
	for i := range w.Units {
		u := &w.Units[i]
		switch c := u.Count(); {
		case u.Deleting:
			open = append(open, fmt.Sprintf("%s: %s %s is being deleted", u.Ref(), u.Kind, u.Workload))
		case !u.Observed:
			open = append(open, fmt.Sprintf("%s: %s %s is not yet observed by its controller", u.Ref(), u.Kind, u.Workload))
		case c.Available < u.Replicas:
			open = append(open, fmt.Sprintf("%s: %d of %d pods available", u.Ref(), c.Available, u.Replicas))
			wake = soonest(u, wake)
		}
	}
	if len(open) == 0 {
		return nil
	}
	out := stage.Wait(reason, "members "+which+": "+strings.Join(open, "; ")).WakeAt(wake)
	return &out
}

// soonest is when time alone makes a pod available.
func soonest(u *workload.Unit, at time.Time) time.Time {
	for i := range u.Pods {
		if t := u.Pods[i].LookAgainAt; !t.IsZero() && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	return at
}
