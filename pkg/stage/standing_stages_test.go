package stage_test

import (
	"strings"
	"testing"
	"time"

	"github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"knative.dev/pkg/apis"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/tasks/check"
	"github.com/periplus-dev/periplus/tasks/soak"
	"github.com/periplus-dev/periplus/tasks/window"
)

// sick makes a pod unready, or ready again.
func (s *ships) sick(u *ship, pod int, sick bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u.Pods[pod].Ready, u.Pods[pod].Available = !sick, !sick
	u.bump()
}

// lost makes a member's caches unsynced, or synced again.
func (s *ships) lost(member string, lost bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone = map[string]bool{member: lost}
}

// passFor passes once a second for a time, with nothing moving in the members.
func (v *voyage) passFor(d time.Duration) {
	v.t.Helper()
	for range int(d / time.Second) {
		v.pass()
		v.clock.Step(time.Second)
	}
	v.pass()
}

func (v *voyage) reason() string {
	v.t.Helper()
	return v.run().Status.GetCondition(apis.ConditionSucceeded).Reason
}

func (v *voyage) message() string {
	v.t.Helper()
	return v.run().Status.GetCondition(apis.ConditionSucceeded).Message
}

func (v *voyage) wantsReason(want string) {
	v.t.Helper()
	if got := v.reason(); got != want {
		v.t.Fatalf("%s is at %s (%s), and should be at %s", v.name, got, v.message(), want)
	}
}

func (v *voyage) says(words ...string) {
	v.t.Helper()
	for _, w := range words {
		if !strings.Contains(v.message(), w) {
			v.t.Errorf("the message must say %q, and is: %s", w, v.message())
		}
	}
}

func (v *voyage) wantsResult(name, want string) {
	v.t.Helper()
	if got := v.result(name); got != want {
		v.t.Errorf("result %s is %s, and should be %s", name, got, want)
	}
}

func TestASoakWithoutATargetIsATime(t *testing.T) {
	s := newSea(t)
	v := s.sail(soak.Task{}, s.pipelineRun("web-1", "soak"), "soak", `{"duration": "20s"}`)
	v.passFor(18 * time.Second)
	v.wantsReason("Soaking")
	if w := v.status().Waiting; w.Until == nil || w.Until.Sub(w.Since.Time) != 20*time.Second {
		t.Errorf("waits %+v", w)
	}
	v.passFor(5 * time.Second)
	v.wantsReason("Succeeded")
	v.wantsResult("verdicts", "[]")
}

const guardedSoak = `{"duration": "20s", "target": "web", "members": ["m1"], "guards": [{"name": "ready", "expr": "pods.all(p, p.ready)", "interval": "1s"}]}`

func TestASoakFailsWhenItsGuardDoes(t *testing.T) {
	s := newSea(t, "m1")
	u := s.ships.launch("m1", "dca", 4)
	v := s.sail(soak.Task{}, s.pipelineRun("web-1", "soak"), "soak", guardedSoak)
	v.passFor(10 * time.Second)
	v.wantsReason("Soaking")
	s.ships.sick(u, 2, true)
	v.until("GuardFailed")
	v.says("guard ready in m1")
	v.wantsResult("verdicts", `["ready@m1=Fail"]`)
	if len(s.log.all()) != 0 {
		t.Errorf("a soak wrote: %v", s.log.all())
	}
}

func TestASoakThatHoldsAtAFailedGuardBeginsAnewOnceItPasses(t *testing.T) {
	s := newSea(t, "m1")
	u := s.ships.launch("m1", "dca", 4)
	v := s.sail(soak.Task{}, s.pipelineRun("web-1", "soak"), "soak", strings.Replace(guardedSoak, "{", `{"onGuardFailure": "Hold", `, 1))
	v.passFor(15 * time.Second)
	s.ships.sick(u, 0, true)
	v.passFor(5 * time.Second)
	v.wantsReason("GuardHolding")
	v.says("soaked for 0s of 20s")
	s.ships.sick(u, 0, false)
	v.passFor(17 * time.Second)
	v.wantsReason("Soaking")
	v.passFor(6 * time.Second)
	v.wantsReason("Succeeded")
	v.wantsResult("verdicts", `["ready@m1=Pass"]`)
}

func TestTheTimeOfASoakStandsStillWhileAMemberIsNotSeen(t *testing.T) {
	s := newSea(t, "m1")
	s.ships.launch("m1", "dca", 4)
	v := s.sail(soak.Task{}, s.pipelineRun("web-1", "soak"), "soak", guardedSoak)
	v.passFor(12 * time.Second)
	s.ships.lost("m1", true)
	v.passFor(time.Minute)
	v.wantsReason("Connecting")
	v.says("of 20s")
	s.ships.lost("m1", false)
	v.passFor(7 * time.Second)
	v.wantsReason("Soaking")
	v.passFor(5 * time.Second)
	v.wantsReason("Succeeded")
}

func TestASoakJudgesBeforeGuardsFirstAndAfterGuardsLast(t *testing.T) {
	const spec = `{"duration": "5s", "target": "web", "members": ["m1"], "guards": [
		{"name": "whole", "when": "Before", "expr": "pods.size() == 4"}, {"name": "later", "when": "After", "expr": "units.all(u, u.ready == u.replicas)", "for": "3s", "interval": "1s"}]}`
	s := newSea(t, "m1")
	u := s.ships.launch("m1", "dca", 4)
	s.ships.sick(u, 1, true) // the After guard is false for now, and nobody asks it yet.
	v := s.sail(soak.Task{}, s.pipelineRun("web-1", "soak"), "soak", spec)
	v.passFor(4 * time.Second)
	v.wantsReason("Soaking")
	v.passFor(6 * time.Second)
	v.wantsReason("GuardsPending")
	s.ships.sick(u, 1, false)
	v.until("Succeeded")
	v.wantsResult("verdicts", `["later@m1=Pass","whole@m1=Pass"]`)

	few := s.sail(soak.Task{}, s.pipelineRun("web-2", "soak-2"), "soak-2", strings.Replace(spec, "== 4", "== 5", 1))
	few.until("GuardFailed")
	few.says("guard whole in m1")
}

func TestASoakDoesNotEndBeforeItsGuardWasJudged(t *testing.T) {
	s := newSea(t, "m1")
	s.ships.launch("m1", "dca", 4)
	v := s.sail(soak.Task{}, s.pipelineRun("web-1", "soak"), "soak", strings.Replace(guardedSoak, `"interval": "1s"`, `"interval": "1s", "initialDelay": "30s"`, 1))
	v.passFor(25 * time.Second)
	v.wantsReason("GuardsPending")
	v.says("the first sample is due")
	v.until("Succeeded")
}

func TestASoakSurvivesADamagedState(t *testing.T) {
	s := newSea(t, "m1")
	s.ships.launch("m1", "dca", 4)
	v := s.sail(soak.Task{}, s.pipelineRun("web-1", "soak"), "soak", guardedSoak)
	v.passFor(5 * time.Second)
	v.edit(func(cr *v1beta1.CustomRun) {
		raw := string(cr.Status.ExtraFields.Raw)
		cr.Status.ExtraFields.Raw = []byte(strings.Replace(raw, `"soaked":"0s"`, `"soaked":7`, 1))
		if string(cr.Status.ExtraFields.Raw) == raw {
			t.Fatalf("the state is not as this test knows it: %s", raw)
		}
	})
	v.until("Succeeded")
}

func TestACheckJudgesEveryGuardOnceWheneverItIsJudgedElsewhere(t *testing.T) {
	s := newSea(t, "m1", "m2")
	s.ships.launch("m1", "dca", 4)
	sick := s.ships.launch("m2", "dca", 4)
	s.store(&v1alpha1.GuardSet{ObjectMeta: metav1.ObjectMeta{Name: "health", Namespace: "shop"}, Spec: v1alpha1.GuardSetSpec{Guards: []v1alpha1.Guard{
		{Name: "ready", Expr: "pods.all(p, p.ready)", For: &metav1.Duration{Duration: time.Minute}}, {Name: "calm", Expr: "pods.all(p, p.restarts == 0)", When: v1alpha1.During},
	}}})
	const spec = `{"target": "web", "members": ["m1", "m2"], "guardSets": ["health"], "guards": [{"name": "size", "expr": "pods.size() == 4"}]}`
	v := s.sail(check.Task{}, s.pipelineRun("web-1", "check"), "check", spec)
	v.passFor(2 * time.Second)
	v.wantsReason("Succeeded")
	v.wantsResult("verdicts", `["health/calm@m1=Pass","health/calm@m2=Pass","health/ready@m1=Pass","health/ready@m2=Pass","size@m1=Pass","size@m2=Pass"]`)

	s.ships.sick(sick, 3, true)
	w := s.sail(check.Task{}, s.pipelineRun("web-2", "check-2"), "check-2", spec)
	w.passFor(2 * time.Second)
	w.wantsReason("GuardFailed")
	w.says("guard health/ready in m2")
	if got := w.result("verdicts"); !strings.HasPrefix(got, `["health/ready@m2=Fail",`) {
		t.Errorf("what is no pass comes first: %s", got)
	}
}

func TestACheckWaitsForAMemberThatIsNotSeenAndRefusesToCheckNothing(t *testing.T) {
	s := newSea(t, "m1")
	s.ships.launch("m1", "dca", 4)
	s.ships.lost("m1", true)
	v := s.sail(check.Task{}, s.pipelineRun("web-1", "check"), "check", `{"target": "web", "members": ["m1"], "guards": [{"name": "size", "expr": "pods.size() == 4"}]}`)
	v.passFor(10 * time.Second)
	v.wantsReason("Connecting")
	s.ships.lost("m1", false)
	v.until("Succeeded")

	none := s.sail(check.Task{}, s.pipelineRun("web-2", "check-2"), "check-2", `{"target": "web", "members": ["m1"]}`)
	none.until("InvalidSpec")
	none.says("nothing to check")
}

// The sea's clock begins at 12:00 UTC on Sunday 2026-03-01.
func TestAWindowIsWaitedFor(t *testing.T) {
	s := newSea(t)
	open := s.sail(window.Task{}, s.pipelineRun("web-1", "open"), "open", `{"timeZone": "Europe/Berlin", "windows": [{"schedule": "0 13 * * SUN", "duration": "1h"}]}`)
	open.passFor(time.Second)
	open.wantsReason("Succeeded")
	open.wantsResult("opened", "2026-03-01T12:00:01Z")

	v := s.sail(window.Task{}, s.pipelineRun("web-2", "closed"), "closed", `{"timeZone": "Europe/Berlin", "windows": [{"schedule": "0 9 * * MON-THU", "duration": "8h"}]}`,
		func(cr *v1beta1.CustomRun) { cr.Spec.Timeout = &metav1.Duration{} })
	v.passFor(2 * time.Second)
	v.wantsReason("WindowClosed")
	v.says("the next window opens on Mon 2026-03-02 at 09:00 CET")
	v.clock.SetTime(time.Date(2026, 3, 2, 7, 59, 59, 0, time.UTC))
	v.pass()
	v.wantsReason("WindowClosed")
	v.clock.Step(time.Second)
	v.pass()
	v.wantsReason("Succeeded")
	v.wantsResult("opened", "2026-03-02T08:00:00Z")
}

func TestAWindowWaitsWhileWhatItNamesIsFrozen(t *testing.T) {
	s := newSea(t, "m1", "m2")
	freeze := func(name string, spec v1alpha1.FreezeSpec) *v1alpha1.Freeze {
		f := &v1alpha1.Freeze{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: spec}
		if err := s.freezes.Add(f); err != nil {
			t.Fatal(err)
		}
		return f
	}
	freeze("others", v1alpha1.FreezeSpec{Message: "not ours", Namespaces: []string{"bank"}})
	freeze("elsewhere", v1alpha1.FreezeSpec{Message: "not here", Members: []string{"m2"}})
	v := s.sail(window.Task{}, s.pipelineRun("web-1", "window"), "window", `{"members": ["m1"]}`)
	cables := freeze("cables", v1alpha1.FreezeSpec{Message: "the cables are cut", Members: []string{"m1"}, User: "fay"})
	until := metav1.NewTime(s.clock.Now().Add(30 * time.Second))
	freeze("sale", v1alpha1.FreezeSpec{Message: "sale", Until: &until})
	v.passFor(3 * time.Second)
	v.wantsReason("Frozen")
	v.says("freeze cables (fay: the cables are cut), and 1 more")
	if w := v.status().Waiting; !strings.Contains(w.Who, "cables") || !strings.Contains(w.Command, "freeze cables") {
		t.Errorf("waits %+v", w)
	}

	cables.Spec.Lifted = &v1alpha1.Lifting{Message: "mended", User: "gus"}
	v.pass()
	v.wantsReason("Frozen")
	v.says("freeze sale (sale; until")
	v.passFor(30 * time.Second)
	v.wantsReason("Succeeded")
}

func TestAWindowOfAMemberThatNobodyKnowsIsWaitedForAMomentAndThenRefused(t *testing.T) {
	s := newSea(t, "m1")
	v := s.sail(window.Task{}, s.pipelineRun("web-1", "window"), "window", `{"members": ["m1", "m9"]}`)
	v.passFor(2 * time.Second)
	v.wantsReason("Connecting")
	v.passFor(5 * time.Second)
	v.wantsReason("InvalidSpec")
	v.says("spec.members", "m9")
	v.wantsResult("opened", "")
}
