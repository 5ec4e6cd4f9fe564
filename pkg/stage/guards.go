package stage

import (
	"context"
	"slices"
	"time"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/guard"
	"github.com/periplus-dev/periplus/pkg/guard/source"
	"github.com/periplus-dev/periplus/pkg/release"
	"github.com/periplus-dev/periplus/pkg/workload"
)

// Judging is what guards are judged on.
type Judging struct {
	World   *World
	Members []string
	// FirstMoved is when the stage made its first move, Moved when the step's move was made; zero before it.
	FirstMoved time.Time
	Moved      time.Time
	// Step that After guards belong to.
	Step int
	// Want pods updated in a unit.
	Want func(u *workload.Unit) int32
}

// Judge judges the guards of one time for each member, notes the verdicts in the run's status, and returns what they come to, with the
// time at which they want to be judged again. Before the first move it samples the baselines of all guards, whatever their time.
func (r *Run) Judge(when v1alpha1.GuardWhen, j Judging) (guard.Summary, time.Time) {
	at := &sitting{run: r, judging: j, views: map[viewKey]*guard.View{}, moment: guard.Moment{Now: r.Now, Step: j.Step, FirstMove: j.FirstMoved, Move: j.Moved}}
	for _, p := range r.guards.Programs() {
		g := p.Guard()
		for _, m := range j.Members {
			if !r.judgedIn(g.Name, m) {
				continue
			}
			// What moves something has the baselines of all its guards before that. So has what carries others, in members where they moved nothing yet.
			timely := g.When == when && (!r.moves || when == v1alpha1.Before) || when == v1alpha1.Before && (r.moves || !r.changed(m))
			if timely && !at.baselines(p, m) {
				continue
			}
			if g.When == when {
				at.judge(p, m, when)
			}
		}
	}
	return guard.Worst(at.judged), at.wake
}

// sitting is the judging of the guards of one time in one pass.
type sitting struct {
	run     *Run
	judging Judging
	moment  guard.Moment
	views   map[viewKey]*guard.View
	judged  []v1alpha1.GuardStatus
	wake    time.Time
}

// viewKey tells views apart. A run has no say in what is demanded of it: its params are not seen there.
type viewKey struct {
	member   string
	demanded bool
}

func (b *sitting) view(member string, demanded bool) *guard.View {
	key := viewKey{member, demanded}
	v, ok := b.views[key]
	if !ok {
		in := b.run.guardInput(member, b.judging)
		if demanded {
			in.Params = nil
		}
		v = guard.NewView(&in, b.run.Now)
		b.views[key] = v
	}
	return v
}

func (b *sitting) judge(p *guard.Program, member string, when v1alpha1.GuardWhen) {
	r, g := b.run, p.Guard()
	prev, v := r.guardStatus(g.Name, member, when, b.judging.Step), b.view(member, r.demanded(g.Name))
	judged := b.answered(p, v, false, func(a guard.Answers) guard.Judged { return p.Judge(prev, b.moment, v, a) })
	b.note(prev, judged)
}

// baselines samples those baselines of a guard that are not there yet, and says whether all are.
func (b *sitting) baselines(p *guard.Program, member string) bool {
	r, g := b.run, p.Guard()
	if len(p.BaselineMetrics()) == 0 || len(p.BaselinesOf(r.baselines(), member)) == len(p.BaselineMetrics()) {
		return true
	}
	prev, v := r.guardStatus(g.Name, member, g.When, 0), b.view(member, r.demanded(g.Name))
	var found []v1alpha1.Baseline
	judged := b.answered(p, v, true, func(a guard.Answers) guard.Judged {
		var judged guard.Judged
		judged, found = p.Baselines(prev, r.Now, v, a)
		return judged
	})
	r.Status.Baselines = append(r.Status.Baselines, found...)
	if judged.Status.Verdict == v1alpha1.VerdictPass {
		return true
	}
	b.note(prev, judged)
	return false
}

// answered judges on what sources have said, and asks them for what is wanted then.
func (b *sitting) answered(p *guard.Program, v *guard.View, baseline bool, judge func(guard.Answers) guard.Judged) guard.Judged {
	r, g := b.run, p.Guard()
	if !p.Measures() {
		return judge(guard.Answers{})
	}
	in := v.Input()
	var answers guard.Answers
	if len(p.BaselineMetrics()) > 0 {
		answers.Baselines = p.BaselinesOf(r.baselines(), in.Member)
	}
	if r.frame.Sources == nil {
		return judge(answers)
	}
	key := source.Key{Run: r.UID, Attempt: r.Status.Attempt, Guard: g.Name, Member: in.Member, Baseline: baseline}
	about := source.About{Namespace: r.Namespace, Labels: in.MemberLabels, Seen: in}
	answers.Lags = r.frame.Sources.Lags(p.Sources())
	answers.Sample = r.frame.Sources.Sample(key, nil, about, r.wake)
	judged := judge(answers)
	if judged.Ask == nil {
		return judged
	}
	// Some answer at once.
	if s := r.frame.Sources.Sample(key, judged.Ask, about, r.wake); s != answers.Sample {
		answers.Sample = s
		judged = judge(answers)
	}
	r.asking = r.asking || judged.Ask != nil && judged.Status.LastSample == nil
	return judged
}

// Asking says whether a guard that was judged in this pass waits for its sources' first answer. It does not for longer than their timeouts.
func (r *Run) Asking() bool { return r.asking }

// baselines are those of the release and those that this stage sampled itself.
func (r *Run) baselines() []v1alpha1.Baseline {
	if r.Release == nil {
		return r.Status.Baselines
	}
	return slices.Concat(r.Release.Status.Baselines, r.Status.Baselines)
}

// KeepBaselines enters the baselines that the stage sampled in the record, for later stages and retries.
func (r *Run) KeepBaselines(ctx context.Context) error {
	if r.Release == nil || r.back || len(r.Status.Baselines) == 0 {
		return nil
	}
	if kept := r.Release.Status.DeepCopy(); !release.AddBaselines(kept, r.Status.Baselines) {
		return nil
	}
	return r.record(ctx, func(st *v1alpha1.ReleaseStatus) bool { return release.AddBaselines(st, r.Status.Baselines) })
}

// changed says whether the release has brought its revision to a member.
func (r *Run) changed(member string) bool {
	return r.Release != nil && slices.ContainsFunc(r.Release.Status.Touched, func(t v1alpha1.Touched) bool {
		return t.Member == member && t.Revision != "" && t.Back == nil
	})
}

// note keeps a judgement.
func (b *sitting) note(prev v1alpha1.GuardStatus, judged guard.Judged) {
	b.run.setGuardStatus(judged.Status)
	if judged.Status.Verdict != prev.Verdict {
		b.run.frame.metrics.verdict(b.run.Admitted.Kind, judged.Status.Verdict)
	}
	b.judged = append(b.judged, judged.Status)
	b.wake = earlier(b.wake, judged.WakeAt)
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
	in := guard.Input{Params: r.Admitted.Params, Member: member, Changed: r.changed(member)}
	if info, err := r.frame.Fleet.Info(member); err == nil {
		in.MemberLabels = info.Labels
	}
	for _, m := range j.World.Missing {
		if m.Member == member {
			in.Missing = m.Message
		}
	}
	if t := r.Admitted.Target; t != nil {
		in.Workload.Kind, in.Workload.Name = t.Workload.Kind, t.Workload.Name
	}
	for _, u := range j.World.UnitsOf(member) {
		// Before the release has brought its revision all pods are on the old one, although the workload runs the newest that it knows.
		old := r.moves && !r.back && j.FirstMoved.IsZero() && !r.brought(&u)
		unit := guardUnit(&u, j.Want)
		if old {
			unit.Updated, unit.UpdatedReady, unit.UpdatedAvailable = 0, 0, 0
		}
		in.Units = append(in.Units, unit)
		for _, p := range u.Pods {
			if p.Terminating {
				continue
			}
			if old {
				p.Updated, p.Started = false, false
			}
			in.Pods = append(in.Pods, guard.Pod{
				Name: p.Name, Namespace: p.Namespace, Member: member, Unit: u.Name, Node: p.Node, Revision: p.Revision, Updated: p.Updated, Moving: p.Started && !p.Updated,
				Ready: p.Ready, Available: p.Available, Restarts: int64(p.Restarts), Created: p.Created, Phase: p.Phase, Reason: p.Reason,
				Workload: u.Workload, Begun: p.Begun, ReadyChanged: p.ReadyChanged, TakenOut: p.TakenOut,
			})
		}
	}
	w := &in.Workload
	for _, u := range in.Units {
		w.Replicas += u.Replicas
		w.Updated += u.Updated
		w.UpdatedReady += u.UpdatedReady
		w.UpdatedAvailable += u.UpdatedAvailable
		w.Ready += u.Ready
		w.Available += u.Available
		w.Want += u.Want
	}
	in.Want = w.Want
	return in
}

// brought says whether the release has brought its revision to a unit.
func (r *Run) brought(u *workload.Unit) bool {
	t := r.Touched(u)
	return t != nil && t.Revision != "" && t.Back == nil
}

func guardUnit(u *workload.Unit, want func(*workload.Unit) int32) guard.Unit {
	c := u.Count()
	out := guard.Unit{
		Name: u.Name, Member: u.Member, Replicas: int64(u.Replicas), Updated: int64(c.Updated), UpdatedReady: int64(c.UpdatedReady),
		UpdatedAvailable: int64(c.UpdatedAvailable), Ready: int64(c.Ready), Available: int64(c.Available),
	}
	if want != nil {
		out.Want = int64(want(u))
	}
	return out
}

// GuardOutcome turns a summary into an outcome, or nil when the stage may go on.
func GuardOutcome(s guard.Summary, onFailure v1alpha1.OnTrouble, wake time.Time) *Outcome {
	if s.GoOn {
		return nil
	}
	out := Wait(ReasonGuardsPending, s.Message())
	switch {
	case len(s.Failed) > 0 && onFailure == v1alpha1.Hold:
		out = Wait(ReasonGuardHolding, s.Message())
	case len(s.Failed) > 0:
		out = Fail(ReasonGuardFailed, s.Message())
	case s.Worst != v1alpha1.VerdictPending:
		out = Wait(ReasonGuardHolding, s.Message())
	}
	out = out.WakeAt(wake)
	return &out
}

// Stops says whether a summary stops a stage in the middle of a step: a guard failed, or cannot be judged.
func Stops(s guard.Summary) bool {
	return len(s.Failed) > 0 || (len(s.Holding) > 0 && s.Worst != v1alpha1.VerdictPending)
}

// verdictsOf are the judgements of a run as its release keeps them.
func verdictsOf(task string, guards []v1alpha1.GuardStatus) []v1alpha1.RecordedVerdict {
	var out []v1alpha1.RecordedVerdict
	for _, g := range guards {
		t := g.LastSample
		if t == nil {
			continue
		}
		out = append(out, v1alpha1.RecordedVerdict{
			Run: shorten(task, 253), Guard: shorten(g.Name, 253), Member: g.Member, Verdict: g.Verdict, Value: shorten(g.Value, 512), Time: *t,
		})
	}
	return out
}
