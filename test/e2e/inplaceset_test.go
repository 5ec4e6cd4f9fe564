//go:build e2e

package e2e

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	appsv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
)

var ipsSeed = flag.Uint64("ips-seed", uint64(time.Now().UnixNano()), "seed of the moments at which the controller is killed")

func TestInPlaceSetChangesPodsWhereTheyAre(t *testing.T) {
	s := newPort(t).withSet(4, "v1", `{maxUnavailable: 1, gracePeriodSeconds: 1}`)
	for _, pod := range s.live() {
		if pod.Labels[appsv1alpha1.LabelUnit] != "dca" || pod.Labels[appsv1alpha1.LabelRevision] != s.get().Status.UpdateRevision {
			t.Errorf("labels of %s are %v", pod.Name, pod.Labels)
		}
	}
	before := s.identities(ipsMember)
	s.keeps(3)
	s.image("v2")
	s.done()
	s.keeps(-1)
	if got := s.identities(ipsMember); fmt.Sprint(got) != fmt.Sprint(before) {
		t.Errorf("pods are %v; want the same UIDs, nodes and IPs as before: %v", got, before)
	}
	for _, pod := range s.live() {
		if c := pod.Status.ContainerStatuses[0]; c.RestartCount != 1 || c.Image != "web:v2" {
			t.Errorf("%s runs %s after %d restarts; want web:v2 after one", pod.Name, c.Image, c.RestartCount)
		}
	}
	if st := s.get().Status; st.CurrentRevision != st.UpdateRevision || st.UpdatedAvailableReplicas != 4 {
		t.Errorf("status is %+v", st)
	}
	s.noFaults()
}

func TestInPlaceSetKeepsToItsPartition(t *testing.T) {
	s := newPort(t).withSet(4, "v1", `{maxUnavailable: 4, gracePeriodSeconds: 0, partition: "100%"}`)
	s.image("v2")
	s.progressing("HeldBack")
	if n := s.run("v2"); n != 0 {
		t.Errorf("%d pods run v2 at 100 percent", n)
	}
	s.spec(`{"updateStrategy":{"partition":"99%"}}`)
	s.progressing("HeldBack")
	s.untilStatus("one is updated", func(st *appsv1alpha1.InPlaceSetStatus) bool { return st.UpdatedAvailableReplicas == 1 })
	if n := s.run("v2"); n != 1 {
		t.Errorf("%d pods run v2 at 99 percent of 4; want 1", n)
	}
	// Scaling out under the partition makes pods of both revisions: 3 of 6 stay at 50 percent.
	s.spec(`{"replicas":6,"updateStrategy":{"partition":"50%"}}`)
	s.untilStatus("six are available, three of them updated", func(st *appsv1alpha1.InPlaceSetStatus) bool {
		return st.AvailableReplicas == 6 && st.UpdatedAvailableReplicas == 3
	})
	if old, updated := s.run("v1"), s.run("v2"); old != 3 || updated != 3 {
		t.Errorf("%d run v1 and %d v2; want 3 and 3", old, updated)
	}
	s.spec(`{"updateStrategy":{"partition":0}}`)
	s.progressing("Complete")
	s.noFaults()
}

func TestInPlaceSetStopsAtABadImage(t *testing.T) {
	for _, r := range []struct{ name, repair string }{
		{name: "repaired by another", repair: "v3"},
		{name: "repaired by going back", repair: "v1"},
	} {
		t.Run(r.name, func(t *testing.T) {
			s := newPort(t).withSet(6, "v1", `{maxUnavailable: 2, gracePeriodSeconds: 0}`)
			s.keeps(4)
			s.image("bad")
			message := s.progressing("PodsFailing")
			if !strings.Contains(message, "2 pods fail") || !strings.Contains(message, "Pull") || !strings.Contains(message, "web:bad") {
				t.Errorf("the condition says %q; want the pods' own reason and the image", message)
			}
			if bad, old := s.run("bad"), s.run("v1"); bad != 2 || old != 4 {
				t.Errorf("%d pods have the bad image and %d the old; want 2 and 4", bad, old)
			}
			before := s.identities(ipsMember)
			s.image(r.repair)
			s.done()
			if n := s.run(r.repair); n != 6 || fmt.Sprint(s.identities(ipsMember)) != fmt.Sprint(before) {
				t.Errorf("%d pods run %s, %v; want all, in place", n, r.repair, s.identities(ipsMember))
			}
			s.noFaults()
		})
	}
}

func TestInPlaceSetTakesBackABadImageBeforeTheKubeletActed(t *testing.T) {
	s := newPort(t).withSet(2, "v1", `{maxUnavailable: 2, gracePeriodSeconds: 0}`)
	// Pods at slow… images keep their old container for five seconds.
	s.image("slow-v2")
	s.eventually("the pods are patched", func() (bool, string) { n := s.run("slow-v2"); return n == 2, fmt.Sprint(n) })
	s.image("v1")
	s.done()
	for _, pod := range s.live() {
		if c := pod.Status.ContainerStatuses[0]; c.Image != "web:v1" || pod.Spec.Containers[0].Image != "web:v1" {
			t.Errorf("%s runs %s; want web:v1", pod.Name, c.Image)
		}
	}
	s.noFaults()
}

func TestInPlaceSetScalesWhilePodsDoNotComeUp(t *testing.T) {
	s := newPort(t).withSet(3, "v1", `{maxUnavailable: 1, gracePeriodSeconds: 0}`)
	s.image("bad")
	s.progressing("PodsFailing")
	s.spec(`{"replicas":10}`)
	s.eventually("there are ten pods", func() (bool, string) { n := len(s.live()); return n == 10, fmt.Sprint(n) })
	s.image("v2")
	s.done()
	if n := s.run("v2"); n != 10 {
		t.Errorf("%d pods run v2; want 10", n)
	}
	s.spec(`{"replicas":2}`)
	s.eventually("there are two pods", func() (bool, string) { n := len(s.live()); return n == 2, fmt.Sprint(n) })
	s.done()
	s.noFaults()
}

func TestInPlaceSetPausedCreatesAndReopensButDoesNotUpdate(t *testing.T) {
	s := newPort(t).withSet(3, "v1", `{maxUnavailable: 1, gracePeriodSeconds: 3600}`)
	s.image("v2")
	s.eventually("a pod is in its grace period", func() (bool, string) { return !allInService(s.live()), "" })
	s.spec(`{"replicas":4,"updateStrategy":{"paused":true}}`)
	s.eventually("four pods are in service", func() (bool, string) {
		return len(s.live()) == 4 && allInService(s.live()), fmt.Sprint(len(s.live()))
	})
	s.progressing("Paused")
	if n := s.run("v1"); n != 3 {
		t.Errorf("%d pods run v1; want the 3 that did", n)
	}
	s.spec(`{"updateStrategy":{"paused":false,"gracePeriodSeconds":0}}`)
	s.done()
	if n := s.run("v2"); n != 4 {
		t.Errorf("%d pods run v2 after the pause; want 4", n)
	}
	s.noFaults()
}

func allInService(pods []corev1.Pod) bool {
	for i := range pods {
		if gate(&pods[i]) != corev1.ConditionTrue || !ready(&pods[i]) {
			return false
		}
	}
	return true
}

func TestInPlaceSetReplacesAPodThatSomebodyDeletesInTheMiddle(t *testing.T) {
	s := newPort(t).withSet(4, "v1", `{maxUnavailable: 1, gracePeriodSeconds: 1, partition: 1}`)
	s.image("v2")
	s.eventually("a pod is on its way", func() (bool, string) { return !allInService(s.live()), "" })
	for i, pod := range s.live() {
		if i%2 == 0 {
			if err := s.kube[ipsMember].CoreV1().Pods(s.ns).Delete(context.Background(), pod.Name, metav1.DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.untilStatus("all are available again", func(st *appsv1alpha1.InPlaceSetStatus) bool {
		return st.AvailableReplicas == 4 && st.UpdatedAvailableReplicas == 3
	})
	if old, updated := s.run("v1"), s.run("v2"); old != 1 || updated != 3 {
		t.Errorf("%d run v1 and %d v2; want 1 and 3", old, updated)
	}
	s.noFaults()
}

func TestInPlaceSetRebuildsWhatDoesNotFit(t *testing.T) {
	s := newPort(t).withSet(3, "v1", `{maxUnavailable: 1, gracePeriodSeconds: 1, type: InPlaceOnly}`)
	before := s.identities(ipsMember)
	s.spec(`{"template":{"spec":{"containers":[{"name":"app","image":"web:v2","env":[{"name":"LEVEL","value":"2"}]}]}}}`)
	if message := s.progressing("NotInPlace"); !strings.Contains(message, "spec.template.spec.containers[app].env") {
		t.Errorf("the refusal says %q; want the field", message)
	}
	if fmt.Sprint(s.identities(ipsMember)) != fmt.Sprint(before) || s.run("v1") != 3 {
		t.Error("a refused change moved pods")
	}
	s.keeps(2)
	s.spec(`{"updateStrategy":{"type":"InPlaceIfPossible"}}`)
	s.done()
	s.keeps(-1)
	for _, pod := range s.live() {
		if id := fmt.Sprintf("%s %s %s", pod.UID, pod.Spec.NodeName, pod.Status.PodIP); before[pod.Name] == id || len(pod.Spec.Containers[0].Env) != 1 {
			t.Errorf("%s is %s with env %v; want another pod, with the new env", pod.Name, id, pod.Spec.Containers[0].Env)
		}
	}
	s.noFaults()
}

func TestInPlaceSetWaitsForMinReadySeconds(t *testing.T) {
	s := newPort(t).withSet(2, "v1", `{maxUnavailable: 1, gracePeriodSeconds: 0}`)
	s.spec(`{"minReadySeconds":2}`)
	s.keeps(1)
	start := time.Now()
	s.image("v2")
	s.done()
	if took := time.Since(start); took < 3*time.Second { // two pods, one after the other; the API keeps whole seconds.
		t.Errorf("two pods, one at a time, each ready for 2 s, took %s", took)
	}
	s.noFaults()
}

func TestInPlaceSetSurvivesItsControllerBeingKilledAtAnyMoment(t *testing.T) {
	t.Logf("seed %d (-ips-seed)", *ipsSeed)
	rng := rand.New(rand.NewPCG(*ipsSeed, 0)) // #nosec G404 -- a replayable test.
	s := newPort(t).withSet(8, "v1", `{maxUnavailable: 2, gracePeriodSeconds: 1}`)
	before := s.identities(ipsMember)
	s.keeps(6)
	for i, tag := range []string{"v2", "v3"} {
		s.image(tag)
		for range 5 {
			time.Sleep(time.Duration(rng.IntN(1200)) * time.Millisecond) // the moment is what is tried; nothing is waited for.
			s.killController()
		}
		s.done()
		if n := s.run(tag); n != 8 {
			t.Errorf("change %d: %d pods run %s; want 8", i+1, n, tag)
		}
	}
	if got := s.identities(ipsMember); fmt.Sprint(got) != fmt.Sprint(before) {
		t.Errorf("pods are %v; want them as before: %v", got, before)
	}
	for _, pod := range s.live() {
		if c := pod.Status.ContainerStatuses[0]; c.RestartCount != 2 {
			t.Errorf("%s was restarted %d times by two changes", pod.Name, c.RestartCount)
		}
	}
	s.noFaults()
}
