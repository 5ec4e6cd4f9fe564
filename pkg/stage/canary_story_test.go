package stage_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"knative.dev/pkg/apis"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/tasks/canary"
)

const oneCanary = `{"target":"web","members":["m1"],"change":{"images":{"app":"shop/web:v2"}},"pods":1,"bake":"5s",

	"guards":[{"name":"ready","expr":"updated.all(p, p.ready) && updated.size() >= want"}]}`

func TestACanaryLocksThenRecordsThenHoldsBackThenMovesOnePod(t *testing.T) {
	s := newSea(t, "m1")
	dca, dcb := s.ships.launch("m1", "dca", 4), s.ships.launch("m1", "dcb", 4)
	pr := s.pipelineRun("web-1", "canary")
	v := s.sail(canary.Task{}, pr, "canary", oneCanary)

	cr := v.until("Succeeded")

	if !cr.IsSuccessful() || cr.Status.CompletionTime == nil {
		t.Fatalf("the run did not end well: %+v", cr.Status)
	}
	if dca.updated() != 1 || dcb.updated() != 1 {
		t.Errorf("updated %d and %d pods, want one canary in each unit", dca.updated(), dcb.updated())
	}
	order := s.log.all()
	want := []string{"m1/dca: lock", "record: m1/dca touched, revision \"\"", "m1/dca: template shop/web:v2, partition 100%",
		"record: m1/dca touched, revision \"rev-v2\"", "m1/dca: partition 75%"}
	at := -1
	for _, w := range want {
		i := slices.Index(order, w)
		if i <= at {
			t.Fatalf("%q is not after what must come before it; writes:\n%s", w, strings.Join(order, "\n"))
		}
		at = i
	}
	if got := v.result("revision"); got != "rev-v2" {
		t.Errorf("result revision is %q", got)
	}
	if got := v.result("pods"); got != `["web-dca-0","web-dcb-0"]` {
		t.Errorf("result pods is %q", got)
	}
	st := v.status()
	if len(st.Guards) != 1 || st.Guards[0].Verdict != v1alpha1.VerdictPass {
		t.Errorf("the guard was not kept as passed: %+v", st.Guards)
	}
}

func TestASecondReplayOfAStageThatIsDoneMovesNothing(t *testing.T) {
	s := newSea(t, "m1")
	s.ships.launch("m1", "dca", 4)
	pr := s.pipelineRun("web-1", "canary", "again")
	s.sail(canary.Task{}, pr, "canary", oneCanary).until("Succeeded")
	before := len(s.log.all())
	// Tekton makes a run that was deleted in the middle anew, under another UID.
	s.sail(canary.Task{}, pr, "again", oneCanary).until("Succeeded")
	for _, e := range s.log.all()[before:] {
		if strings.HasPrefix(e, "m1/") {
			t.Errorf("the replay wrote %q", e)
		}
	}
}

func TestAFailingCanaryIsHeldBackAndSaysThePodsOwnReason(t *testing.T) {
	s := newSea(t, "m1")
	dca := s.ships.launch("m1", "dca", 4)
	dca.broken = true
	v := s.sail(canary.Task{}, s.pipelineRun("web-1", "canary"), "canary", strings.Replace(oneCanary, `"pods":1`, `"pods":3`, 1))

	cr := v.until("PodsFailed")
	for !cr.IsFailure() {
		v.ships.turn()
		v.pass()
		cr = v.run()
	}

	if msg := cr.Status.GetCondition(apis.ConditionSucceeded).Message; !strings.Contains(msg, "ImagePullBackOff") || !strings.Contains(msg, "web-dca-0") {
		t.Errorf("the message does not give the pod's own reason: %q", msg)
	}
	at := dca.updated()
	for range 10 {
		v.ships.turn()
	}
	if dca.updated() != at || at >= 3 {
		t.Errorf("pods went on after one had failed: %d then, %d later", at, dca.updated())
	}
	if got := v.result("revision"); got != "rev-v2" {
		t.Errorf("a failed run must emit its results; revision is %q", got)
	}
	if got := v.result("pods"); got != "[]" {
		t.Errorf("a failed run must emit every result; pods is %q", got)
	}
}

func TestAnotherReleaseOnTheSameWorkload(t *testing.T) {
	for name, tc := range map[string]struct{ onLocked, reason string }{
		"waits by default and names the first": {"", "LockedByAnotherRelease"},
		"fails at once where told to":          {`,"onLocked":"Fail"`, "LockedByAnotherRelease"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSea(t, "m1")
			s.ships.launch("m1", "dca", 4)
			s.sail(canary.Task{}, s.pipelineRun("first", "canary"), "canary", oneCanary).until("Succeeded")
			second := s.sail(canary.Task{}, s.pipelineRun("second", "other"), "other",
				strings.Replace(strings.Replace(oneCanary, ":v2", ":v3", 1), `"pods":1`, `"pods":1`+tc.onLocked, 1))
			before := len(s.log.all())
			cr := second.until(tc.reason)
			for tc.onLocked != "" && cr.Status.CompletionTime == nil {
				second.pass()
				cr = second.run()
			}
			if msg := cr.Status.GetCondition(apis.ConditionSucceeded).Message; !strings.Contains(msg, "run first") {
				t.Errorf("the message does not name the first release's run: %q", msg)
			}
			if cr.IsFailure() != (tc.onLocked != "") {
				t.Errorf("ended: %v", cr.IsFailure())
			}
			for _, e := range s.log.all()[before:] {
				t.Errorf("the second release wrote %q", e)
			}
		})
	}
}

func TestMissingDataNeverPasses(t *testing.T) {
	s := newSea(t, "m1")
	s.ships.launch("m1", "dca", 4)
	v := s.sail(canary.Task{}, s.pipelineRun("web-1", "canary"), "canary",
		strings.Replace(oneCanary, "updated.all(p, p.ready) && updated.size() >= want", "updated.all(p, p.restarts < 0)", 1))
	cr := v.until("GuardsPending")
	if cr.IsSuccessful() {
		t.Fatal("passed a guard that is false")
	}
}

func TestBakingBeginsAnewAfterTimeInWhichAMemberWasNotSeen(t *testing.T) {
	s := newSea(t, "m1", "m2")
	s.ships.launch("m1", "dca", 4)
	s.ships.launch("m2", "dca", 4)
	v := s.sail(canary.Task{}, s.pipelineRun("web-1", "canary"), "canary",
		strings.NewReplacer(`["m1"]`, `["m1","m2"]`, `"5s"`, `"20s"`, `"guards":[`, `"guards":[{"name":"calm","when":"During","expr":"updated.all(p, p.restarts < 3)"},`).Replace(oneCanary))
	v.until("Baking")
	s.ships.gone = map[string]bool{"m2": true}
	v.pass()
	s.clock.Step(30 * time.Second)
	s.ships.gone = nil
	v.pass()
	if v.run().IsSuccessful() {
		t.Fatal("the time in which m2 was not seen counted as baked")
	}
	v.until("Succeeded")
}

func TestAWriteThatMeetsAConflictIsTriedAgainOnWhatIsThereThen(t *testing.T) {
	s := newSea(t, "m1")
	dca := s.ships.launch("m1", "dca", 4)
	v := s.sail(canary.Task{}, s.pipelineRun("web-1", "canary"), "canary", oneCanary)
	n := 0
	s.ships.fail = conflictEvery(&n, 2, dca)
	v.until("Succeeded")
	if n < 3 {
		t.Fatalf("only %d writes were tried: no conflict happened", n)
	}
	if dca.updated() != 1 {
		t.Errorf("%d pods updated, want 1", dca.updated())
	}
}

func TestAMemberThatCannotBeSeenStopsTheStageWithAMessageAndInTime(t *testing.T) {
	s := newSea(t, "m1", "m2")
	s.ships.launch("m1", "dca", 4)
	s.ships.launch("m2", "dca", 4)
	s.ships.gone = map[string]bool{"m2": true}
	v := s.sail(canary.Task{}, s.pipelineRun("web-1", "canary"), "canary",
		strings.Replace(strings.Replace(oneCanary, `["m1"]`, `["m1","m2"]`, 1), `"pods":1`, `"pods":1,"progressDeadline":"8s"`, 1))
	cr := v.until("ProgressDeadlineExceeded", "MemberUnreachable")
	for cr.Status.CompletionTime == nil {
		v.pass()
		cr = v.run()
	}
	if msg := cr.Status.GetCondition(apis.ConditionSucceeded).Message; !strings.Contains(msg, "m2") {
		t.Errorf("the message does not name the member: %q", msg)
	}
	if w := s.log.all(); len(w) != 0 {
		t.Errorf("something was written though a member was not seen: %v", w)
	}
}

func onRevision(u *ship, revision string) int {
	n := 0
	for _, p := range u.Pods {
		if p.Revision == revision {
			n++
		}
	}
	return n
}

var errBoom = errors.New("boom")
