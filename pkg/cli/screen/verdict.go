package screen

import (
	"fmt"
	"strings"
	"time"

	pipelinev1beta1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"

	stages "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

// patience is how long after it was made a run may lie before we say that nobody takes it up.
const patience = 15 * time.Second

// judge says how the run stands. The first line that applies wins: what is over, what was asked of the run, what went wrong, what
// needs a person, what runs.
func judge(r root, m *Model, parts []part) Verdict {
	running := pick(parts, func(p part) bool { return p.running() })
	failed := pick(parts, func(p part) bool { return p.State == StageFailed && !p.MayFail })
	cancelled := pick(parts, func(p part) bool { return p.State == StageCancelled })
	ending := pick(running, func(p part) bool { return p.Ending != nil && !p.MayFail })
	v := Verdict{}
	switch {
	case m.goesBack() && (r.done() || !r.cancelRequested && len(failed)+len(ending) == 0):
		v = wayBackVerdict(StateRollingBack, r, m, failed)
	case r.done() && m.Release != nil && m.Release.Phase == stages.ReleaseRolledBack:
		v = wayBackVerdict(StateRolledBack, r, m, failed)
	case r.succeeded():
		v.State = StateSucceeded
		if n := len(pick(parts, func(p part) bool { return p.State == StageSkipped })); n > 0 {
			v.Message = plural(n, "stage") + " skipped"
		}
	case r.done() && r.cancelled():
		v.State, v.Reason, v.Message = StateCancelled, r.cond.Reason, ""
		if len(cancelled) > 0 {
			v.Stage, v.Message = cancelled[0].Name, cancelled[0].Message
			if strings.Contains(v.Message, string(pipelinev1beta1.CustomRunCancelledByPipelineMsg)) {
				v.Message = "" // says no more than the state does
			}
		}
	case r.done():
		v.State, v.Reason, v.Message = StateFailed, r.cond.Reason, r.cond.Message
		if len(failed) > 0 {
			v.Stage, v.Reason, v.Message = failed[0].Name, failed[0].Reason, failed[0].Message
		}
	case r.cancelRequested:
		v.State = StateCancelling
	case len(failed) > 0:
		v.State, v.Stage, v.Reason, v.Message = StateFailing, failed[0].Name, failed[0].Reason, failed[0].Message
	case len(ending) > 0:
		e := ending[0]
		v.State, v.Stage, v.Reason, v.Message = StateFailing, e.Name, e.Ending.Reason, e.Ending.Message
		if e.Attempts > 1 {
			v.Attempt, v.Attempts = e.Attempt, e.Attempts
		}
	case r.held:
		v.State, v.Message = StateHeldBack, "until its spec.status is cleared"
	case m.paused() != nil:
		return pausedVerdict(r, m, parts, running)
	default:
		return runningVerdict(r, m, parts, running)
	}
	for _, p := range running {
		if p.Name != v.Stage {
			v.Also = append(v.Also, p.Name)
		}
	}
	if m.Kind == "CustomRun" {
		v.Stage, v.Also = "", nil
	}
	return v
}

func runningVerdict(r root, m *Model, parts, running []part) Verdict {
	// What needs a person goes first, then what has been running longest.
	lead := pick(running, func(p part) bool { return p.State == StageAsking })
	v := Verdict{State: StateWaiting}
	if len(lead) == 0 {
		lead = pick(running, func(p part) bool { return p.Waiting != nil && p.Waiting.Who != "" })
	}
	if len(lead) == 0 {
		lead, v.State = running, StateRunning
	}
	if len(lead) == 0 {
		return notRunning(r, m, parts)
	}
	p := lead[0]
	v.Stage, v.Reason = p.Name, p.Reason
	for _, other := range running {
		if other.Run != p.Run {
			v.Also = append(v.Also, other.Name)
		}
	}
	if p.Attempts > 1 {
		v.Attempt, v.Attempts = p.Attempt, p.Attempts
	}
	if p.Step != nil {
		v.Step, v.Steps = p.Step.Index, p.Step.Total
	}
	if w := p.Waiting; w != nil {
		v.Reason, v.For, v.Who, v.Command, v.Until, v.Since = w.Reason, w.For, w.Who, w.Command, w.Until, timeOf(w.Since)
	} else {
		v.Message = p.Message
	}
	for _, q := range m.Questions {
		if q.Run == p.Run {
			v.Command, v.For, v.asked = q.Command, Wants(q.Question)+soFar(q.Question), true
		}
	}
	v.Trouble, v.LastFailure = troubleOf(m, p.Name, v.For), p.LastFailure
	return v
}

// notRunning tells a run that is about to go on from one that nobody takes up.
func notRunning(r root, m *Model, parts []part) Verdict {
	for _, p := range parts {
		if p.State != StagePending || p.Run == "" {
			continue
		}
		v := Verdict{State: StateStarting, Stage: p.Name}
		if lain := m.At.Sub(p.created.Time); lain > patience {
			v.Trouble = fmt.Sprintf("no controller has taken it up since %s; does the hub's Periplus controller run, and does it know the kind %s?",
				clock(p.created.Time, m.At.Time, seconds), p.Kind)
			if p.Kind == "TaskRun" {
				v.Trouble = fmt.Sprintf("its pod has not started since %s", clock(p.created.Time, m.At.Time, seconds))
			}
		}
		return v
	}
	v := Verdict{State: StateStarting}
	if r.started == nil {
		if created := r.meta.CreationTimestamp; !created.IsZero() && m.At.Sub(created.Time) > patience {
			v.Trouble = fmt.Sprintf("Tekton has not taken it up since %s; does the hub's Tekton controller run?", clock(created.Time, m.At.Time, seconds))
		}
		return v
	}
	for _, p := range parts {
		if p.State == StagePending {
			v.Stage = p.Name
			if p.Name != parts[0].Name {
				v.State, v.Message = StateRunning, "about to begin"
			} else if m.At.Sub(r.started.Time) > patience {
				v.Trouble = "Tekton has begun no stage since " + clock(r.started.Time, m.At.Time, seconds)
				if r.cond != nil {
					v.Trouble = reasonAndMessage(v.Trouble+"; it says "+r.cond.Reason, r.cond.Message)
				}
			}
			return v
		}
	}
	v.State, v.Message = StateRunning, "about to end"
	return v
}

// troubleOf finds what keeps a stage from getting on: a member that does not answer, or the first pod that is in trouble.
func troubleOf(m *Model, stage, said string) string {
	for _, u := range m.Unreachable {
		if u.Stage == stage {
			return u.said()
		}
	}
	for _, u := range m.Units {
		if u.Stage == stage && u.Trouble != "" && !strings.Contains(said, u.Trouble) {
			return fmt.Sprintf("%s/%s: %s", u.Member, unitLabel(u.Unit), u.Trouble)
		}
	}
	return ""
}

func pick(parts []part, want func(part) bool) []part {
	var out []part
	for _, p := range parts {
		if want(p) {
			out = append(out, p)
		}
	}
	return out
}

// phrases are the parts of a verdict's line after the run's name, in the order they are read: the state and where, why, until when.
func (m *Model) phrases(countdown bool) []string {
	v, now := m.Verdict, m.At.Time
	var out []string
	say := func(format string, args ...any) { out = append(out, oneLine(fmt.Sprintf(format, args...))) }
	at, after := "", ""
	if v.Stage != "" {
		at = " at " + v.Stage
	}
	if d, ok := between(m.Started, m.Finished, now); ok && m.Finished != nil {
		after = " after " + lasting(d)
	}
	because := func() {
		if why := reasonAndMessage(v.Reason, v.Message); why != "" {
			say("%s", why)
		}
	}
	switch v.State {
	case StateSucceeded:
		d, _ := between(m.Started, m.Finished, now)
		say("Succeeded in %s", lasting(d))
		if v.Message != "" {
			say("%s", v.Message)
		}
	case StateFailed:
		say("Failed%s%s", at, after)
		because()
	case StateCancelled:
		say("Cancelled%s%s", at, after)
		if v.Message != "" {
			say("%s", v.Message)
		}
	case StateRollingBack, StateRolledBack:
		m.wayBack(say)
	case StatePaused:
		m.heldStill(say)
	case StateFailing:
		say("Failing%s%s", at, attempt(v))
		because()
	case StateCancelling:
		say("Cancelling")
	case StateHeldBack:
		say("Held back")
		say("%s", v.Message)
	case StateStarting:
		say("Starting %s", v.Stage)
		if v.Trouble == "" && m.Started == nil {
			say("Tekton is about to take it up")
		}
	case StateWaiting, StateRunning:
		if v.State == StateWaiting {
			say("Waiting%s%s", at, attempt(v))
		} else {
			say("Running %s%s", v.Stage, attempt(v))
		}
		if s := ofTotal("step", v.Step, v.Steps); s != "" {
			say("%s", s)
		}
		switch {
		case v.For != "" && strings.Contains(v.Trouble, v.For):
			// said as trouble
		case v.For != "":
			say("%s", v.For)
		case v.Message != "":
			say("%s", v.Message)
		}
		if v.Until != nil {
			out = append(out, until(*v.Until, now, countdown))
		}
		if v.Who != "" && !v.asked {
			say("%s can unblock it", v.Who)
		}
	}
	if len(v.Also) > 0 {
		switch v.State {
		case StateFailing:
			say("%s %s running", list(v.Also, "and"), are(len(v.Also)))
		case StateRollingBack:
			say("%s %s running", list(v.Also, "and"), are(len(v.Also)))
		case StateCancelling, StateCancelled, StateFailed, StateSucceeded, StateRolledBack:
			say("%s %s still stopping", list(v.Also, "and"), are(len(v.Also)))
		default:
			say("also running %s", list(v.Also, "and"))
		}
	}
	return out
}

func are(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}

func attempt(v Verdict) string {
	if s := ofTotal("attempt", v.Attempt, v.Attempts); s != "" && (v.Attempt > 1 || v.State == StateFailing) {
		return " (" + s + ")"
	}
	return ""
}
