package guard

import (
	"fmt"
	"time"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

// sample says whether there is a sample to judge on. Where one is due it asks for it. settled is when the step's pods were up; zero before that.
func (j *judgement) sample(p *Program, settled time.Time, v *View, a Answers) bool {
	if j.g.When == v1alpha1.During && j.next.ReadySince == nil && v.in.Workload.UpdatedReady > 0 {
		j.next.ReadySince = stamp(whole(j.now))
	}
	reach, whose := p.reach(a.Lags)
	ready, known := v.readySince(j, reach)
	if !known {
		j.is(v1alpha1.VerdictPending, "waits for the first ready pod on the new revision")
		return false
	}
	var first time.Time
	if !ready.IsZero() {
		first = whole(ready).Add(reach)
		if j.now.Before(first) {
			j.is(v1alpha1.VerdictPending, fmt.Sprintf("the first sample is due at %s: what metric %s looks back on, %s, must have begun after the new revision was ready", clockTime(first), whose, reach))
			j.wake(first)
			return false
		}
	}
	s := a.Sample
	old := max(gapIntervals*j.interval, minGap) + maxWait
	if s != nil && (s.At.Before(first) || s.At.After(j.now) || j.now.Sub(s.At) > old) {
		s = nil // of an earlier step, of a clock that was set back, or of a time when somebody looked last.
	}
	if last := j.lastSample; s == nil && !last.IsZero() && j.now.Sub(last) > old {
		j.ask, j.trueSince, j.next.Passes = p.ask(v, p.metrics, false), time.Time{}, 0
		j.is(v1alpha1.VerdictPending, fmt.Sprintf("the last sample, of %s, is too old; another is being taken", clockTime(last)))
		return false
	}
	if j.due && (s == nil || !j.dueAt(s.At)) {
		j.ask = p.ask(v, p.metrics, false)
	}
	if s == nil {
		if !j.lastSample.IsZero() {
			j.wake(j.lastSample.Add(j.interval))
		}
		j.keep()
		return false
	}
	if j.g.When == v1alpha1.During && !settled.IsZero() {
		j.stepDue = whole(settled).Add(reach)
	}
	j.sampled, j.due = s.At, j.dueAt(s.At)
	return true
}

// readySince is when the new revision was ready in the member, as far as the guard is concerned: zero where it is not about a new revision. known is false until
// it is.
func (v *View) readySince(j *judgement, reach time.Duration) (ready time.Time, known bool) {
	switch {
	case j.g.When == v1alpha1.After:
		return j.moved, true
	case j.g.When == v1alpha1.During && j.next.ReadySince != nil:
		return timeOf(j.next.ReadySince), true
	case j.g.When == v1alpha1.During:
		return j.moved, v.in.Want == 0 // with no pod of a new revision, and none wanted, it is about the move alone.
	}
	none := true
	for i := range v.in.Pods {
		p := &v.in.Pods[i]
		if !p.Updated {
			continue
		}
		since := p.Begun
		if since.IsZero() || j.now.Sub(since) < reach && p.ReadyChanged.After(since) {
			since = p.ReadyChanged // A pod that has been what it is for longer than anybody looks back may come and go.
		}
		if p.Ready {
			none = false
			if since.After(ready) {
				ready = since
			}
		}
	}
	return ready, !none || v.updated == 0
}

// keep leaves the verdict what it was while a sample is waited for: what was true or false a moment ago is the best that is known, and the source's timeout bounds
// the wait. A deadline is kept all the same.
func (j *judgement) keep() {
	verdict, message := j.prev.Verdict, j.prev.Message
	if verdict == "" || j.lastSample.IsZero() {
		verdict, message = v1alpha1.VerdictPending, "the first sample is being taken"
	}
	if j.g.When == v1alpha1.After && verdict != v1alpha1.VerdictPass && verdict != v1alpha1.VerdictNotApplicable {
		if deadline := j.deadline(); !j.now.Before(deadline) {
			verdict, message = v1alpha1.VerdictFail, fmt.Sprintf("could not be judged by the deadline, %s: no sample was taken", clockTime(deadline))
		} else {
			j.wake(deadline)
		}
	}
	j.is(verdict, message)
}
