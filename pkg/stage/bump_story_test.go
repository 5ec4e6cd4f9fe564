package stage_test

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"knative.dev/pkg/apis"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/plan"
	"github.com/periplus-dev/periplus/tasks/canary"
	"github.com/periplus-dev/periplus/tasks/partitionbump"
)

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
