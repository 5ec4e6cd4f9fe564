package stage_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clienttesting "k8s.io/client-go/testing"
	"knative.dev/pkg/controller"

	"github.com/periplus-dev/periplus/tasks/canary"
	"github.com/periplus-dev/periplus/tasks/partitionbump"
)

func TestAUnitThatIsScaledInTheMiddleMakesNoOtherUnitSkipAStep(t *testing.T) {
	for name, scale := range map[string]func(u *ship){
		"down": func(u *ship) { u.Replicas, u.Pods = 2, u.Pods[:2] },
		"up": func(u *ship) {
			u.Replicas = 6
			for _, n := range []string{"web-dca-4", "web-dca-5"} {
				p := u.Pods[0]
				p.Name = n
				u.Pods = append(u.Pods, p)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSea(t, "m1")
			dca, dcb := s.ships.launch("m1", "dca", 4), s.ships.launch("m1", "dcb", 4)
			v := s.sail(partitionbump.Task{}, s.pipelineRun("web-1", "bump"), "bump", `{"target":"web","members":["m1"],"order":["dca","dcb"],"by":2,
				"change":{"images":{"app":"shop/web:v2"}},"guards":[{"name":"not-two","expr":"!units.exists(u, u.name == 'dcb' && u.updated == 2)"}]}`)
			v.until("GuardsPending")
			if dcb.updated() != 2 {
				t.Fatalf("dcb has %d pods updated where the guard holds it at 2", dcb.updated())
			}
			scale(dca)
			dca.bump()
			for range 60 {
				v.pass()
				s.ships.turn()
				s.clock.Step(time.Second)
				if dcb.updated() > 2 {
					t.Fatalf("dcb went on to %d pods past a guard that is false", dcb.updated())
				}
			}
		})
	}
}

func TestAMemberThatIsNotSeenDoesNotLetTheOthersRunAhead(t *testing.T) {
	s := newSea(t, "m1", "m2")
	s.ships.launch("m1", "dca", 2)
	far := s.ships.launch("m1", "dcb", 2)
	slow := s.ships.launch("m2", "dca", 8)
	s.ships.launch("m2", "dcb", 2)
	v := s.sail(partitionbump.Task{}, s.pipelineRun("web-1", "bump"), "bump",
		`{"target":"web","members":["m1","m2"],"order":["dca","dcb"],"by":2,"change":{"images":{"app":"shop/web:v2"}}}`)
	for range 80 {
		v.pass()
		if slow.updated() >= 4 {
			break
		}
		s.ships.turn()
		s.clock.Step(time.Second)
	}
	s.ships.gone = map[string]bool{"m2": true}
	for range 30 {
		v.pass()
		s.ships.turn()
		s.clock.Step(time.Second)
	}
	if far.updated() > 0 {
		t.Errorf("unit dcb of m1 began while dca of m2, which comes before it, was not done")
	}
	s.ships.gone = nil
	for range 3 {
		v.until("Succeeded", "UpdatingPods")
		if v.run().IsSuccessful() {
			break
		}
	}
}

func TestADeadlineOfAnAfterGuardCountsFromWhenThePodsWereUp(t *testing.T) {
	s := newSea(t, "m1")
	dca := s.ships.launch("m1", "dca", 4)
	v := s.sail(canary.Task{}, s.pipelineRun("web-1", "canary"), "canary", `{"target":"web","members":["m1"],"pods":1,"progressDeadline":"1h",
		"change":{"images":{"app":"shop/web:v2"}},"guards":[{"name":"calm","for":"20s","deadline":"1m","interval":"5s","expr":"updated.all(p, p.ready)"}]}`)
	v.until("UpdatingPods")
	dca.stopped = true
	for range 12 {
		v.pass()
		s.clock.Step(10 * time.Second) // twice the deadline, until the pod comes up.
	}
	dca.stopped = false
	if cr := v.until("Succeeded", "GuardFailed"); !cr.IsSuccessful() {
		t.Errorf("the stage failed though the guard was true from the first: %+v", cr.Status.Conditions)
	}
}

func TestCountsAloneAreWrittenOnceASecond(t *testing.T) {
	s := newSea(t, "m1")
	dca := s.ships.launch("m1", "dca", 40)
	v := s.sail(partitionbump.Task{}, s.pipelineRun("web-1", "bump"), "bump",
		`{"target":"web","members":["m1"],"order":["dca"],"change":{"images":{"app":"shop/web:v2"}}}`)
	v.until("UpdatingPods")
	for dca.updated() < 2 {
		s.ships.turn()
	}
	v.pass()
	writes := 0
	s.tekton.PrependReactor("update", "customruns", func(clienttesting.Action) (bool, runtime.Object, error) { writes++; return false, nil, nil })
	s.clock.Step(2 * time.Second)
	for range 20 {
		s.ships.turn()
		v.pass()
	}
	if writes == 0 || writes > 2 {
		t.Errorf("20 changes of counts within one second were written %d times; want once, or twice with what else changed", writes)
	}
}

func TestTroubleThatNobodyForesawIsTriedAgainInTimeToSeeTheTimeout(t *testing.T) {
	s := newSea(t, "m1")
	s.ships.launch("m1", "dca", 4)
	v := s.sail(canary.Task{}, s.pipelineRun("web-1", "canary"), "canary", oneCanary, func(cr *v1beta1.CustomRun) {
		cr.Spec.Timeout = &metav1.Duration{Duration: 100 * time.Second}
	})
	v.until("UpdatingPods")
	s.periplus.PrependReactor("*", "releases", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, errors.New("etcd is on fire")
	})
	began := s.clock.Now()
	longest := time.Duration(0)
	for range 200 {
		err := v.rec.ReconcileKind(context.Background(), v.run())
		ok, again := controller.IsRequeueKey(err)
		if !ok {
			t.Fatalf("the queue's own back-off is left to decide: %v", err)
		}
		longest = max(longest, again)
		s.clock.Step(again)
		if s.clock.Since(began) > 95*time.Second {
			break
		}
	}
	if longest > 30*time.Second || longest < 5*time.Second {
		t.Errorf("the longest wait between two tries was %s", longest)
	}
}
