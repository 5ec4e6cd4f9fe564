package guard

import (
	"fmt"
	"math"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

// The truth of an After guard counts as unbroken while it was looked at. While `for` runs, samples are wanted at every interval; when none
// was taken for gapIntervals of them, and for minGap, nobody looked and `for` begins again. minGap bears a restart of the controller.
const (
	gapIntervals = 3
	minGap       = 30 * time.Second
)

// Judge judges a guard for one member, and says when to judge again although nothing happens: zero where only events can change anything.
// It is to be called whenever the input changes, and at wakeAt; calls in between change nothing. prev is what Judge returned last for the
// guard and member, or zero. A prev of another guard, expression or step, and times in it that cannot be, are forgotten.
//
// A sample is counted at most once per interval, on the first call that is due; that is what Samples, Failures and ConsecutiveErrors mean.
// The expression is evaluated on every call from InitialDelay after the move, counted or not:
//
//   - Before: true passes, false fails. Judge it until the first move is made, not after.
//   - During: false counts at once, and then not again for an interval; it fails at Limits.Failures of them. After a false that was borne it
//     is Pending until a counted sample is true. It goes from Fail back to Pass, failures forgotten, when a counted sample is true: whether
//     a Fail ends the stage is the stage's to say.
//   - After: true at any call begins TrueSince, anything else at any call breaks it. True for For passes. What is not passed by Deadline
//     after the move fails, for whatever reason, and can pass still if the stage holds. Once passed and lost, it has a new deadline.
//   - What cannot be judged (Error) or has nothing to be judged on (Inconclusive) holds; with OnError or OnNoData Fail it fails once
//     Limits.ConsecutiveErrors counted samples in a row were of either kind.
func Judge(p *Program, prev v1alpha1.GuardStatus, at Moment, in Input) (next v1alpha1.GuardStatus, wakeAt time.Time) {
	return p.judge(prev, at, newView(&in, at.Now))
}

// judgement is one call of Judge.
type judgement struct {
	g    *v1alpha1.Guard
	now  time.Time
	prev v1alpha1.GuardStatus
	next v1alpha1.GuardStatus

	begun, trueSince, lastSample time.Time

	interval      time.Duration
	due, counted  bool
	wakes         []time.Time
	wantsSampling bool
}

func (p *Program) judge(prev v1alpha1.GuardStatus, at Moment, v *view) (v1alpha1.GuardStatus, time.Time) {
	j := begin(p, prev, at, v.in)
	move := moveOf(p.guard.When, at)
	if p.guard.When != v1alpha1.Before {
		if move.IsZero() {
			j.is(v1alpha1.VerdictPending, "waits for the move")
			return j.end("")
		}
		if first := whole(move).Add(duration(p.guard.InitialDelay)); at.Now.Before(first) {
			j.is(v1alpha1.VerdictPending, "the first sample is due at "+clockTime(first))
			j.wake(first)
			return j.end("")
		}
	}
	v.elapsed = 0
	if !move.IsZero() {
		v.elapsed = max(0, at.Now.Sub(move))
	}

	found, reason := p.find(v)
	j.count(j.due)
	switch found {
	case v1alpha1.VerdictPass, v1alpha1.VerdictFail:
		j.next.ConsecutiveErrors = 0
		switch p.guard.When {
		case v1alpha1.Before:
			j.before(found)
		case v1alpha1.During:
			j.during(found)
		default:
			j.after(found)
		}
	case v1alpha1.VerdictNotApplicable:
		j.next.ConsecutiveErrors, j.trueSince = 0, time.Time{}
		j.is(found, reason)
	default:
		j.troubled(found, reason)
	}
	if j.wantsSampling || p.timed {
		j.wake(j.lastSample.Add(j.interval))
	}
	// A value that moves with the clock is only shown as of counted samples: a status that changed on every call would be written on every
	// call, and each write is an event that calls again.
	if p.timed && !j.counted && j.next.Verdict == j.prev.Verdict && j.prev.Value != "" {
		return j.end(cut(j.prev.Value, maxValue))
	}
	if found == v1alpha1.VerdictInconclusive || found == v1alpha1.VerdictNotApplicable {
		return j.end("")
	}
	return j.end(p.render(v))
}

// find evaluates the expression: Pass for true, Fail for false, else what it is instead and why.
func (p *Program) find(v *view) (v1alpha1.Verdict, string) {
	if verdict, why := v.missing(p.uses, p.guard.When); verdict != "" {
		return verdict, why
	}
	result, err := p.evaluate(v)
	switch {
	case err != nil:
		return v1alpha1.VerdictError, cut(oneLine(err.Error()), maxValue)
	case result:
		return v1alpha1.VerdictPass, ""
	}
	return v1alpha1.VerdictFail, ""
}

// begin carries over what is good of prev.
func begin(p *Program, prev v1alpha1.GuardStatus, at Moment, in *Input) *judgement {
	g := &p.guard
	j := &judgement{g: g, now: at.Now, interval: max(duration(g.Interval), time.Second)}
	j.next = v1alpha1.GuardStatus{Name: g.Name, Member: in.Member, When: g.When, Expr: g.Expr, DryRun: g.DryRun}
	if g.When == v1alpha1.After {
		j.next.Step = at.Step
	}
	move := whole(moveOf(g.When, at))
	same := prev.Name == g.Name && prev.Member == in.Member && prev.When == g.When && prev.Expr == g.Expr && prev.Step == j.next.Step
	if begun := timeOf(prev.Begun); same && !begun.IsZero() && begun.Before(move) {
		same = false
	}
	j.begun = move
	if same {
		j.prev = prev
		j.next.Samples, j.next.Failures, j.next.ConsecutiveErrors = max(0, prev.Samples), max(0, prev.Failures), max(0, prev.ConsecutiveErrors)
		possible := func(t *metav1.Time) time.Time {
			if got := timeOf(t); !got.Before(move) && !got.After(whole(at.Now)) {
				return got
			}
			return time.Time{}
		}
		if begun := possible(prev.Begun); !begun.IsZero() {
			j.begun = begun
		}
		j.lastSample = possible(prev.LastSample)
		// Only a guard that waited, passed or was late can have been true, and only a sample can have seen it.
		if seen := possible(prev.TrueSince); !j.lastSample.IsZero() && !seen.Before(move.Add(duration(g.InitialDelay))) {
			switch prev.Verdict {
			case v1alpha1.VerdictPass, v1alpha1.VerdictPending, v1alpha1.VerdictFail:
				j.trueSince = seen
			}
		}
	}
	j.due = j.lastSample.IsZero() || !at.Now.Before(j.lastSample.Add(j.interval))
	return j
}

func (j *judgement) before(found v1alpha1.Verdict) {
	if found == v1alpha1.VerdictPass {
		j.is(found, "")
		return
	}
	j.is(v1alpha1.VerdictFail, "false before the first move")
}

func (j *judgement) during(found v1alpha1.Verdict) {
	limit := max(1, j.g.Limits.Failures)
	if found == v1alpha1.VerdictPass {
		switch {
		case j.counted:
			if j.prev.Verdict == v1alpha1.VerdictFail {
				j.next.Failures = 0
			}
			j.is(found, "")
		case j.prev.Verdict == v1alpha1.VerdictPass:
			j.is(found, "")
		case j.prev.Verdict == v1alpha1.VerdictFail:
			j.is(v1alpha1.VerdictFail, fmt.Sprintf("true again, and not yet at a counted sample, after %d false", j.next.Failures))
			j.wantsSampling = true
		case j.next.Failures == 0:
			j.is(found, "")
		default:
			j.is(v1alpha1.VerdictPending, fmt.Sprintf("true again, and not yet at a counted sample, after %d false", j.next.Failures))
			j.wantsSampling = true
		}
		return
	}
	j.count(j.prev.Verdict == v1alpha1.VerdictPass || j.next.Failures == 0 && limit == 1)
	if j.counted {
		j.next.Failures = more(j.next.Failures)
	}
	if j.next.Failures >= limit {
		j.is(v1alpha1.VerdictFail, fmt.Sprintf("false in %d samples of %d; the limit is %d", j.next.Failures, j.next.Samples, limit))
		return
	}
	j.is(v1alpha1.VerdictPending, fmt.Sprintf("false; %d false samples counted, it fails at %d", j.next.Failures, limit))
	j.wantsSampling = true
}

func (j *judgement) after(found v1alpha1.Verdict) {
	if found == v1alpha1.VerdictFail {
		j.lose()
		if deadline := j.deadline(); !j.now.Before(deadline) {
			j.is(v1alpha1.VerdictFail, "not true by the deadline, "+clockTime(deadline))
		} else {
			j.is(v1alpha1.VerdictPending, "not true yet; it fails at "+clockTime(deadline))
			j.wake(deadline)
		}
		return
	}
	long := duration(j.g.For)
	if !j.trueSince.IsZero() && j.prev.Verdict != v1alpha1.VerdictPass && j.unseen() {
		j.trueSince = time.Time{}
	}
	if j.trueSince.IsZero() {
		j.trueSince = whole(j.now)
	}
	until := j.trueSince.Add(long)
	if long <= 0 || !j.now.Before(until) {
		j.is(v1alpha1.VerdictPass, "")
		return
	}
	j.wake(until)
	j.wantsSampling = true
	if deadline := j.deadline(); !j.now.Before(deadline) {
		j.is(v1alpha1.VerdictFail, fmt.Sprintf("not true for %s by the deadline, %s; true since %s", long, clockTime(deadline), clockTime(j.trueSince)))
	} else {
		j.is(v1alpha1.VerdictPending, fmt.Sprintf("true since %s, and must stay so until %s", clockTime(j.trueSince), clockTime(until)))
		j.wake(deadline)
	}
}

// troubled is a sample that is neither true nor false.
func (j *judgement) troubled(found v1alpha1.Verdict, reason string) {
	j.lose()
	limit, action := max(1, j.g.Limits.ConsecutiveErrors), j.g.OnError
	if found == v1alpha1.VerdictInconclusive {
		action = j.g.OnNoData
	}
	if j.counted && j.next.ConsecutiveErrors < limit {
		j.next.ConsecutiveErrors++
	}
	if j.g.When == v1alpha1.After {
		deadline := j.deadline()
		if !j.now.Before(deadline) {
			j.is(v1alpha1.VerdictFail, fmt.Sprintf("could not be judged by the deadline, %s: %s", clockTime(deadline), reason))
			return
		}
		j.wake(deadline)
	}
	if action == v1alpha1.Fail {
		if j.next.ConsecutiveErrors >= limit {
			j.is(v1alpha1.VerdictFail, fmt.Sprintf("could not be judged in %d samples in a row: %s", limit, reason))
			return
		}
		j.wantsSampling = true
	}
	j.is(found, reason)
}

// lose breaks what was true. A guard that had passed, or did not apply, is waited for anew from now.
func (j *judgement) lose() {
	j.trueSince = time.Time{}
	if j.g.When == v1alpha1.After && (j.prev.Verdict == v1alpha1.VerdictPass || j.prev.Verdict == v1alpha1.VerdictNotApplicable) {
		j.begun = whole(j.now)
	}
}

// unseen is true when nobody looked for so long that unbroken truth cannot be claimed.
func (j *judgement) unseen() bool {
	last := timeOf(j.prev.LastSample)
	return j.now.Sub(last) > max(gapIntervals*j.interval, minGap)
}

func (j *judgement) deadline() time.Time { return j.begun.Add(duration(j.g.Deadline)) }

// count counts this call as a sample, once.
func (j *judgement) count(really bool) {
	if !really || j.counted {
		return
	}
	j.counted = true
	j.next.Samples = more(j.next.Samples)
	j.lastSample = whole(j.now)
}

func (j *judgement) is(verdict v1alpha1.Verdict, message string) {
	j.next.Verdict, j.next.Message = verdict, message
}

func (j *judgement) wake(t time.Time) { j.wakes = append(j.wakes, t) }

// end makes the status and the earliest time to wake at.
func (j *judgement) end(shown string) (v1alpha1.GuardStatus, time.Time) {
	j.next.Value = shown
	j.next.Begun, j.next.TrueSince, j.next.LastSample = stamp(j.begun), stamp(j.trueSince), stamp(j.lastSample)
	j.next.Since = stamp(j.now.Truncate(time.Second))
	if since := timeOf(j.prev.Since); j.prev.Verdict == j.next.Verdict && !since.IsZero() && !since.After(whole(j.now)) {
		j.next.Since = stamp(since)
	}
	var wakeAt time.Time
	for _, t := range j.wakes {
		if t.After(j.now) && (wakeAt.IsZero() || t.Before(wakeAt)) {
			wakeAt = t
		}
	}
	return j.next, wakeAt
}

// moveOf is the move that a guard counts from.
func moveOf(when v1alpha1.GuardWhen, at Moment) time.Time {
	switch when {
	case v1alpha1.Before:
		return time.Time{}
	case v1alpha1.During:
		return at.FirstMove
	}
	return at.Move
}

// whole rounds up to a second, which is as exact as times in the API are: what is measured from a time that was rounded up ends late by less
// than a second, and never early.
func whole(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	if cut := t.Truncate(time.Second); cut.Before(t) {
		return cut.Add(time.Second)
	}
	return t
}

func timeOf(t *metav1.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.Time
}

func stamp(t time.Time) *metav1.Time {
	if t.IsZero() {
		return nil
	}
	return &metav1.Time{Time: t.UTC()}
}

func duration(d *metav1.Duration) time.Duration {
	if d == nil {
		return 0
	}
	return max(0, d.Duration)
}

func more(n int32) int32 {
	if n == math.MaxInt32 {
		return n
	}
	return n + 1
}
