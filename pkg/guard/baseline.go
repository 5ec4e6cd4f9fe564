package guard

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

// BaselineMetrics are the guard's metrics whose baselines it compares with, by name. The list is the program's own, to be read only.
func (p *Program) BaselineMetrics() []string { return p.baselines }

// Baselines judges the sampling of a guard's baselines for one member, which comes before the first move whatever the guard's When is. found are
// new ones. Once all are there the verdict is Pass. Until then it is Pending, Inconclusive or Error, and with OnNoData or OnError Fail it is Fail
// after Limits.ConsecutiveErrors samples in a row without a number: a guard without its baseline could never be judged.
//
// They are sampled over all pods of the target; once the release has brought its revision to the member, over those that are not on it.
//
// prev is what it returned last; a.Sample is a sample that was asked for here.
func (p *Program) Baselines(prev v1alpha1.GuardStatus, now time.Time, v *View, a Answers) (judged Judged, found []v1alpha1.Baseline) {
	j := begin(p, prev, Moment{Now: now}, v.in)
	j.next.Metrics = nil
	var open []string
	for _, name := range p.baselines {
		if _, has := a.Baselines[name]; !has {
			open = append(open, name)
		}
	}
	done := func() (Judged, []v1alpha1.Baseline) {
		j.end("")
		return Judged{Status: j.next, WakeAt: j.wakeAt, Ask: j.ask}, found
	}
	switch {
	case len(open) == 0:
		j.is(v1alpha1.VerdictPass, "")
		return done()
	case v.in.Missing != "":
		j.is(v1alpha1.VerdictInconclusive, v.in.Missing)
		return done()
	case v.in.Changed && v.stable == 0:
		j.is(v1alpha1.VerdictInconclusive, "no pod is left on the old revision to sample a baseline of, and no stage sampled one before")
		return done()
	case len(v.in.Pods) == 0:
		j.is(v1alpha1.VerdictInconclusive, "no pod is seen to sample a baseline of")
		return done()
	}
	s := a.Sample
	if s != nil && s.At.After(now) {
		s = nil
	}
	if s == nil || j.due && !j.dueAt(s.At) {
		if j.due {
			j.ask = p.ask(v, open, true)
		}
		j.wake(j.lastSample.Add(j.interval))
		if j.prev.Verdict == "" || j.lastSample.IsZero() {
			j.is(v1alpha1.VerdictPending, "the baseline is being sampled")
		} else {
			j.is(j.prev.Verdict, j.prev.Message)
		}
		return done()
	}
	j.sampled = s.At
	j.count(j.dueAt(s.At))
	verdict, why := v1alpha1.VerdictPass, ""
	for _, name := range open {
		val, wrong, reason := read(name, p.guard.Metrics[name], s.Metrics[name])
		if wrong != "" {
			if Severity(wrong) > Severity(verdict) {
				verdict, why = wrong, "baseline of "+reason
			}
			continue
		}
		number, ok := val.Value().(float64)
		if !ok || math.IsInf(number, 0) {
			verdict, why = v1alpha1.VerdictError, fmt.Sprintf("baseline of metric %s is infinite", name)
			continue
		}
		found = append(found, v1alpha1.Baseline{
			Guard: p.guard.Name, Member: v.in.Member, Metric: name, Of: p.identities[name], Query: cut(s.Metrics[name].Query, maxQuery), Value: strconv.FormatFloat(number, 'g', -1, 64), Time: metav1.NewTime(s.At.UTC().Truncate(time.Second)),
		})
	}
	if verdict == v1alpha1.VerdictPass {
		j.is(verdict, "")
		return done()
	}
	j.wake(j.lastSample.Add(j.interval))
	limit, action := j.missed(verdict)
	if action == v1alpha1.Fail && j.next.ConsecutiveErrors >= limit {
		verdict, why = v1alpha1.VerdictFail, fmt.Sprintf("no baseline in %d samples in a row: %s", limit, why)
	}
	j.is(verdict, cut(why, 2*maxValue))
	return done()
}

// identity tells what a metric asks: two guards that ask the same share a baseline.
func identity(m v1alpha1.GuardMetric) string {
	what := []string{m.Source, m.Query, duration(m.Window).String()}
	if m.Range != nil {
		what = append(what, m.Range.Step.Duration.String(), string(m.Range.Reduce))
	}
	sum := sha256.Sum256([]byte(strings.Join(what, "\x00")))
	return hex.EncodeToString(sum[:8])
}

// BaselinesOf are the guard's baselines in a member, out of those that were recorded, by whichever guard that asks the same; the first counts.
func (p *Program) BaselinesOf(all []v1alpha1.Baseline, member string) map[string]float64 {
	var out map[string]float64
	for _, name := range p.baselines {
		of := p.identities[name]
		i := slices.IndexFunc(all, func(b v1alpha1.Baseline) bool { return b.Member == member && b.Of == of })
		if i < 0 {
			continue
		}
		number, err := strconv.ParseFloat(all[i].Value, 64)
		if err != nil || math.IsNaN(number) {
			continue // damaged: as if it was not there.
		}
		if out == nil {
			out = map[string]float64{}
		}
		out[name] = number
	}
	return out
}
