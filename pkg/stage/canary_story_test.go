package stage_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clienttesting "k8s.io/client-go/testing"
	"knative.dev/pkg/apis"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/plan"
	"github.com/periplus-dev/periplus/tasks/canary"
	"github.com/periplus-dev/periplus/tasks/partitionbump"
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

func TestCancelHoldsBackEndsWithTektonsReasonAndEmitsResults(t *testing.T) {
	s := newSea(t, "m1")
	dca := s.ships.launch("m1", "dca", 8)
	v := s.sail(partitionbump.Task{}, s.pipelineRun("web-1", "bump"), "bump",
		`{"target":"web","members":["m1"],"change":{"images":{"app":"shop/web:v2"}},"order":["dca"]}`)
	v.until("UpdatingPods")
	for dca.updated() < 3 {
		v.ships.turn()
	}
	v.edit(func(cr *v1beta1.CustomRun) {
		cr.Spec.Status, cr.Spec.StatusMessage = v1beta1.CustomRunSpecStatusCancelled, "stop it"
	})
	cr := v.run()
	for range 10 {
		v.pass()
		if cr = v.run(); cr.Status.CompletionTime != nil {
			break
		}
		v.ships.turn()
	}
	cond := cr.Status.GetCondition(apis.ConditionSucceeded)
	if cond.Reason != "CustomRunCancelled" || !strings.Contains(cond.Message, "stop it") {
		t.Fatalf("a cancelled run ended as %+v", cond)
	}
	seen := dca.updated()
	for range 20 {
		v.ships.turn()
	}
	if dca.updated() != seen {
		t.Errorf("pods went on updating after the cancel: %d, then %d", seen, dca.updated())
	}
	if v.result("revision") != "rev-v2" || v.result("partitions") != "[]" {
		t.Errorf("results of a cancelled run: %v", cr.Status.Results)
	}
}

func TestACancelBeforeTheFirstPassTouchesNothing(t *testing.T) {
	s := newSea(t, "m1")
	s.ships.launch("m1", "dca", 4)
	v := s.sail(canary.Task{}, s.pipelineRun("web-1", "canary"), "canary", oneCanary, func(cr *v1beta1.CustomRun) {
		cr.Spec.Status = v1beta1.CustomRunSpecStatusCancelled
	})
	v.until("CustomRunCancelled")
	if w := s.log.all(); len(w) != 0 {
		t.Errorf("a run that was cancelled before it began wrote %v", w)
	}
	if v.result("revision") != "" || v.result("pods") != "[]" {
		t.Error("a cancelled run must emit every declared result")
	}
}

func TestATimedOutAttemptIsRetriedAndTheSecondTimeoutFails(t *testing.T) {
	s := newSea(t, "m1")
	s.ships.launch("m1", "dca", 4).stopped = true
	v := s.sail(canary.Task{}, s.pipelineRun("web-1", "canary"), "canary", oneCanary, func(cr *v1beta1.CustomRun) {
		cr.Spec.Retries, cr.Spec.Timeout = 1, &metav1.Duration{Duration: 10 * time.Second}
	})
	saw := false
	for range 200 {
		v.pass()
		cr := v.run()
		if cr.Status.CompletionTime != nil {
			break
		}
		if cr.IsFailure() {
			t.Fatal("False was set while an attempt was left")
		}
		saw = saw || len(cr.Status.RetriesStatus) == 1
		s.clock.Step(time.Second)
	}
	cr := v.run()
	if !saw || len(cr.Status.RetriesStatus) != 1 {
		t.Errorf("the first attempt was not kept in retriesStatus: %d", len(cr.Status.RetriesStatus))
	}
	if first := cr.Status.RetriesStatus[0].GetCondition(apis.ConditionSucceeded); first.Reason != "CustomRunTimedOut" {
		t.Errorf("the first attempt ended as %+v", first)
	}
	if c := cr.Status.GetCondition(apis.ConditionSucceeded); c.Reason != "CustomRunTimedOut" || !strings.Contains(c.Message, "controller") {
		t.Errorf("the second attempt ended as %+v; want the timeout, with what it waited for", c)
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

func TestALaterStageRefusesATemplateThatSomebodyElseChanged(t *testing.T) {
	s := newSea(t, "m1")
	dca := s.ships.launch("m1", "dca", 4)
	pr := s.pipelineRun("web-1", "canary", "bump")
	s.sail(canary.Task{}, pr, "canary", oneCanary).until("Succeeded")
	dca.Template.Spec.Containers[0].Image = "shop/web:v9"
	dca.Observed = false
	dca.bump()
	v := s.sail(partitionbump.Task{}, pr, "bump", `{"target":"web","members":["m1"],"order":["dca"]}`)
	cr := v.until("ChangedBySomebodyElse")
	for cr.Status.CompletionTime == nil {
		v.ships.turn()
		v.pass()
		cr = v.run()
	}
	// The one pod that the canary's partition let go may have been taken by the other change before anybody could know.
	if n := onRevision(dca, "rev-v9"); n > 1 {
		t.Errorf("%d pods went to a revision that the release does not carry", n)
	}
	if msg := cr.Status.GetCondition(apis.ConditionSucceeded).Message; !strings.Contains(msg, "rev-v9") || !strings.Contains(msg, "rev-v2") {
		t.Errorf("the message names not both revisions: %q", msg)
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

func TestAGuardThatFailsInTheMiddleEndsTheStageAndHoldsPodsBack(t *testing.T) {
	s := newSea(t, "m1")
	dca := s.ships.launch("m1", "dca", 6)
	v := s.sail(partitionbump.Task{}, s.pipelineRun("web-1", "bump"), "bump", `{"target":"web","members":["m1"],"order":["dca"],
		"change":{"images":{"app":"shop/web:v2"}},"guards":[{"name":"calm","when":"During","interval":"1s","expr":"pods.all(p, p.restarts == 0)"}]}`)
	v.until("UpdatingPods")
	for dca.updated() < 2 {
		v.ships.turn()
	}
	dca.Pods[0].Restarts = 1
	dca.bump()
	cr := v.until("GuardFailed")
	for cr.Status.CompletionTime == nil {
		v.ships.turn()
		v.pass()
		cr = v.run()
	}
	at := dca.updated()
	for range 20 {
		v.ships.turn()
	}
	if dca.updated() != at || at >= 6 {
		t.Errorf("%d pods updated when the guard failed, %d later", at, dca.updated())
	}
}

func TestTheTargetsLimitHoldsAtEveryMoment(t *testing.T) {
	s := newSea(t, "m1")
	s.store(&v1alpha1.Target{ObjectMeta: metav1.ObjectMeta{Name: "strict", Namespace: "shop"}, Spec: v1alpha1.TargetSpec{
		Workload:       v1alpha1.WorkloadRef{APIVersion: "apps.periplus.dev/v1alpha1", Kind: "InPlaceSet", Selector: map[string]string{"app": "web"}},
		MaxUnavailable: percent("25%"),
	}})
	dca := s.ships.launch("m1", "dca", 8)
	v := s.sail(partitionbump.Task{}, s.pipelineRun("web-1", "bump"), "bump",
		`{"target":"strict","members":["m1"],"order":["dca"],"change":{"images":{"app":"shop/web:v2"}}}`)
	for range 80 {
		v.pass()
		v.ships.turn()
		out := int32(0)
		for _, p := range dca.Pods {
			if !p.Available {
				out++
			}
		}
		hold, err := plan.Partition(dca.Partition, 8)
		if err != nil {
			t.Fatal(err)
		}
		started := int32(dca.updated())
		if dca.Observed && dca.UpdateRevision != "rev-v1" {
			if loose := out + max(0, (8-hold)-started); loose > 2 {
				t.Fatalf("%d pods are unavailable or let go at once; the limit is 2", loose)
			}
		}
		if v.run().IsSuccessful() {
			return
		}
		s.clock.Step(time.Second)
	}
	t.Fatal("the bump never ended")
}

func TestAUnitThatIsScaledDownInTheMiddleOfABumpStillGetsAllOfItsPods(t *testing.T) {
	s := newSea(t, "m1")
	dca := s.ships.launch("m1", "dca", 8)
	v := s.sail(partitionbump.Task{}, s.pipelineRun("web-1", "bump"), "bump",
		`{"target":"web","members":["m1"],"order":["dca"],"by":1,"change":{"images":{"app":"shop/web:v2"}}}`)
	for range 60 {
		v.pass()
		v.ships.turn()
		s.clock.Step(time.Second)
		if st := v.status(); st.Step != nil && st.Step.Index == 5 {
			break
		}
	}
	// The controller takes the newest away: three of those that are updated.
	dca.Replicas, dca.Pods = 3, append(dca.Pods[:1:1], dca.Pods[6:]...)
	dca.bump()
	v.until("Succeeded")
	if dca.updated() != 3 {
		t.Errorf("the bump ended with %d of 3 pods updated", dca.updated())
	}
}

func TestAUnitThatIsScaledToNoneOrDeletedInTheMiddleDoesNotPass(t *testing.T) {
	for name, tc := range map[string]struct {
		happens func(*sea, *ship)
		reason  string
	}{
		"scaled to none": {func(_ *sea, u *ship) { u.Replicas, u.Pods = 0, nil; u.bump() }, "ProgressDeadlineExceeded"},
		"deleted":        {func(s *sea, _ *ship) { delete(s.ships.units, "m1/dca") }, "ChangedBySomebodyElse"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSea(t, "m1")
			dca := s.ships.launch("m1", "dca", 4)
			s.ships.launch("m1", "dcb", 4)
			v := s.sail(canary.Task{}, s.pipelineRun("web-1", "canary"), "canary", strings.Replace(oneCanary, `"pods":1`, `"pods":1,"progressDeadline":"9s"`, 1))
			v.until("UpdatingPods")
			tc.happens(s, dca)
			if cr := v.until(tc.reason); cr.IsSuccessful() {
				t.Error("passed")
			}
		})
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

func TestAStageThatFindsItsPodsUpdatedIsJudgedByItsDuringGuardsAllTheSame(t *testing.T) {
	s := newSea(t, "m1")
	s.ships.launch("m1", "dca", 4)
	pr := s.pipelineRun("web-1", "canary", "again")
	s.sail(canary.Task{}, pr, "canary", oneCanary).until("Succeeded")
	v := s.sail(canary.Task{}, pr, "again", `{"target":"web","members":["m1"],"change":{"images":{"app":"shop/web:v2"}},"pods":1,
		"guards":[{"name":"calm","when":"During","expr":"updated.all(p, p.restarts < 0)"}]}`)
	if cr := v.until("GuardFailed", "Succeeded"); cr.IsSuccessful() {
		t.Fatal("passed without having been judged")
	}
}

func TestACrashBeforeTheStatusIsWrittenAndThenACancelStillHoldsPodsBack(t *testing.T) {
	s := newSea(t, "m1")
	dca := s.ships.launch("m1", "dca", 8)
	v := s.sail(partitionbump.Task{}, s.pipelineRun("web-1", "bump"), "bump",
		`{"target":"web","members":["m1"],"order":["dca"],"change":{"images":{"app":"shop/web:v2"}}}`)
	v.pass()
	v.pass()
	lost := true
	s.tekton.PrependReactor("update", "customruns", func(clienttesting.Action) (bool, runtime.Object, error) {
		return lost, nil, apierrors.NewConflict(schema.GroupResource{Resource: "customruns"}, "bump", errBoom)
	})
	for range 20 {
		v.pass()
		if s.log.has("partition 0") {
			break
		}
		s.ships.turn()
		s.clock.Step(time.Second)
	}
	for dca.updated() < 2 {
		s.ships.turn()
	}
	lost = false
	v.edit(func(cr *v1beta1.CustomRun) { cr.Spec.Status = v1beta1.CustomRunSpecStatusCancelled })
	for range 10 {
		v.pass()
		if v.run().Status.CompletionTime != nil {
			break
		}
		s.clock.Step(time.Second)
	}
	at := dca.updated()
	for range 20 {
		s.ships.turn()
	}
	if dca.updated() != at || v.run().Status.CompletionTime == nil {
		t.Errorf("%d pods were updated at the end of the run, %d later", at, dca.updated())
	}
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
