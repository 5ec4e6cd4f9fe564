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
	// maxWait is the longest that a source can take.
	maxWait = 30 * time.Second
)

// Judged is what came of judging a guard for one member.
type Judged struct {
	Status v1alpha1.GuardStatus
	// WakeAt is when to judge again although nothing happens; zero where only events can change anything.
	WakeAt time.Time
	// Ask is the sample that the guard wants now; nil where it wants none. It is the same at each call until Answers has one that is as new.
	Ask *Ask
}

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
//   - Nothing passes before Limits.MinSamples counted samples in a row were true.
//
// A guard with metrics counts a sample when its sources answered, at the time they were asked. They are first asked once the windows of all its metrics, and their
// sources' lags, lie behind the time at which the new revision was ready: the step's move for After (which is when its pods were up), the first ready pod
// that was seen for During, and for Before the pods' own word. Until a sample is there the verdict is what it was, or Pending.
func (p *Program) Judge(prev v1alpha1.GuardStatus, at Moment, v *View, a Answers) Judged {
	j := p.judge(prev, at, v, a)
	return Judged{Status: j.next, WakeAt: j.wakeAt, Ask: j.ask}
}

// judgement is one call of Judge.
type judgement struct {
	g    *v1alpha1.Guard
	now  time.Time
	prev v1alpha1.GuardStatus
	next v1alpha1.GuardStatus

	// moved is when the move was made that the guard counts from.
	moved, begun, trueSince, lastSample time.Time

	interval time.Duration
	// sampled is when the sample that may be counted was taken: now, or when sources were asked.
	sampled time.Time
	// stepDue is from when on samples are about the pods of the settled step too, which a During guard wants to see before it passes; zero where there is none.
	stepDue       time.Time
	due, counted  bool
	wakes         []time.Time
	wantsSampling bool

	wakeAt time.Time
	ask    *Ask
}

func (p *Program) judge(prev v1alpha1.GuardStatus, at Moment, v *View, a Answers) *judgement {
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
	found, reason := v.missing(p.uses, p.guard.When)
	sampled := false
	if p.Measures() {
		if found == "" && p.noStable(v) && p.guard.Against != v1alpha1.AgainstBaseline {
			found, reason = v1alpha1.VerdictNotApplicable, "no stable pod is left to compare with (against: Stable)"
		}
		if found == "" && !j.sample(p, at.Move, v, a) {
			return j.end(j.prev.Value)
		}
		if found == "" {
			sampled = true
			found, reason = p.take(v, a)
		}
	}
	if found == "" {
		found, reason = p.find(v)
	}
	j.count(j.due)
	if j.counted && found == v1alpha1.VerdictPass {
		j.next.Passes = more(j.next.Passes)
	} else if found != v1alpha1.VerdictPass {
		j.next.Passes = 0
	}
	if sampled && j.counted {
		j.next.Metrics = p.metricStatuses(j.next.Metrics, a)
	}
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
	if j.wantsSampling || p.timed || p.Measures() {
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
func (p *Program) find(v *View) (v1alpha1.Verdict, string) {
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
	if begun := timeOf(prev.Begun); same && begun.Before(move) {
		same = false // of before the move.
	}
	j.moved, j.begun = move, move
	if same {
		j.prev = prev
		j.next.Samples, j.next.Failures, j.next.ConsecutiveErrors = max(0, prev.Samples), max(0, prev.Failures), max(0, prev.ConsecutiveErrors)
		j.next.Passes, j.next.Metrics = max(0, prev.Passes), prev.Metrics
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
		j.next.ReadySince = stamp(possible(prev.ReadySince))
		// Only a guard that waited, passed or was late can have been true, and only a sample can have seen it.
		if seen := possible(prev.TrueSince); !j.lastSample.IsZero() && !seen.Before(move.Add(duration(g.InitialDelay))) {
			switch prev.Verdict {
			case v1alpha1.VerdictPass, v1alpha1.VerdictPending, v1alpha1.VerdictFail:
				j.trueSince = seen
			}
		}
	}
	j.sampled = at.Now
	j.due = j.dueAt(at.Now)
	return j
}

// dueAt says whether a sample of a time counts: the first does, and then one an interval.
func (j *judgement) dueAt(at time.Time) bool {
	return j.lastSample.IsZero() || !at.Before(j.lastSample.Add(j.interval))
}

// short says how many samples are missing before a guard may pass.
func (j *judgement) short() (string, bool) {
	least := max(1, j.g.Limits.MinSamples)
	if j.next.Passes >= least || least == 1 {
		return "", false
	}
	j.wantsSampling = true
	return fmt.Sprintf("true in %d samples in a row, and must be so in %d (limits.minSamples)", j.next.Passes, least), true
}

func (j *judgement) before(found v1alpha1.Verdict) {
	if found == v1alpha1.VerdictPass {
		if why, short := j.short(); short {
			j.is(v1alpha1.VerdictPending, why)
			return
		}
		j.is(found, "")
		return
	}
	j.is(v1alpha1.VerdictFail, "false before the first move")
}

func (j *judgement) during(found v1alpha1.Verdict) {
	limit := max(1, j.g.Limits.Failures)
	if found == v1alpha1.VerdictPass {
		why, short := j.short()
		switch {
		case j.sampled.Before(j.stepDue) && j.prev.Verdict != v1alpha1.VerdictFail:
			j.is(v1alpha1.VerdictPending, "true; waits for a sample of the pods of this step, due at "+clockTime(j.stepDue))
		case short && (j.counted || j.prev.Verdict != v1alpha1.VerdictFail):
			if j.prev.Verdict == v1alpha1.VerdictFail {
				j.next.Failures = 0
			}
			j.is(v1alpha1.VerdictPending, why)
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
	// What sources said is counted once; of anything else a false counts at once.
	j.count(len(j.g.Metrics) == 0 && (j.prev.Verdict == v1alpha1.VerdictPass || j.next.Failures == 0 && limit == 1))
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
	why, short := j.short()
	// What sources said is true as of when they were asked: two samples so far apart make it long enough.
	seen := j.now
	if len(j.g.Metrics) > 0 {
		seen = j.sampled
	}
	if long <= 0 || !seen.Before(until) {
		if !short {
			j.is(v1alpha1.VerdictPass, "")
			return
		}
		if deadline := j.deadline(); !j.now.Before(deadline) {
			j.is(v1alpha1.VerdictFail, "not passed by the deadline, "+clockTime(deadline)+": "+why)
		} else {
			j.is(v1alpha1.VerdictPending, why)
			j.wake(deadline)
		}
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
	limit, action := j.missed(found)
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

// missed counts a sample that is neither true nor false, and says at how many in a row what is done.
func (j *judgement) missed(found v1alpha1.Verdict) (limit int32, action v1alpha1.OnTrouble) {
	limit, action = max(1, j.g.Limits.ConsecutiveErrors), j.g.OnError
	if found == v1alpha1.VerdictInconclusive {
		action = j.g.OnNoData
	}
	if j.counted && j.next.ConsecutiveErrors < limit {
		j.next.ConsecutiveErrors++
	}
	return limit, action
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
	j.lastSample = whole(j.sampled)
}

func (j *judgement) is(verdict v1alpha1.Verdict, message string) {
	j.next.Verdict, j.next.Message = verdict, message
}

func (j *judgement) wake(t time.Time) { j.wakes = append(j.wakes, t) }

// end makes the status and the earliest time to wake at.
func (j *judgement) end(shown string) *judgement {
	j.next.Value = shown
	j.next.Begun, j.next.TrueSince, j.next.LastSample = stamp(j.begun), stamp(j.trueSince), stamp(j.lastSample)
	j.next.Since = stamp(j.now.Truncate(time.Second))
	if since := timeOf(j.prev.Since); j.prev.Verdict == j.next.Verdict && !since.IsZero() && !since.After(whole(j.now)) {
		j.next.Since = stamp(since)
	}
	for _, t := range j.wakes {
		if t.After(j.now) && (j.wakeAt.IsZero() || t.Before(j.wakeAt)) {
			j.wakeAt = t
		}
	}
	return j
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
