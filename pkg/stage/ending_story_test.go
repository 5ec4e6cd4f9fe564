package stage_test

import (
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

	"github.com/periplus-dev/periplus/tasks/canary"
	"github.com/periplus-dev/periplus/tasks/partitionbump"
)

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
