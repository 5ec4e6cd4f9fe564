//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	appsv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
)

const tenInGroups = `
replicas: 10
maxUnavailable: 2
strategy: {upgradeType: Beta, batchSize: 4}` + twoCentres

func both(dca, dcb int) map[string]int { return map[string]int{"dca": dca, "dcb": dcb} }

func TestCafeDeploymentComesAndChangesByTwoFourFour(t *testing.T) {
	t.Parallel()
	forAllTypes(t, func(t *testing.T, of appsv1alpha1.PodSetType) {
		c := withCafe(t, of, tenInGroups, func(c *cafe) { c.inGroups("web:v1", 2, 6, 10) })
		c.complete()
		if units, n := c.live("v1"); units != "map[dca:5 dcb:5]" || n != 10 {
			t.Fatalf("pods are %s, %d of them v1", units, n)
		}
		c.inGroups("web:v2", 2, 6, 10)
		c.keeps(both(3, 3), both(5, 5))
		before := c.uids()
		c.template("v2")
		c.complete()
		c.differs(before)
		if units, n := c.live("v2"); units != "map[dca:5 dcb:5]" || n != 10 {
			t.Fatalf("pods are %s, %d of them v2", units, n)
		}
		if st := c.get().Status; st.CurrentRevision != st.UpdateRevision || st.Group != nil || st.Scaling != nil || st.UpdatedAvailableReplicas != 10 {
			t.Errorf("status is %+v", st)
		}
		c.noFaults()
	})
}

func TestCafeDeploymentStopsAtABadImageAndTheNewestWins(t *testing.T) {
	t.Parallel()
	forAllTypes(t, func(t *testing.T, of appsv1alpha1.PodSetType) {
		c := withCafe(t, of, tenInGroups)
		c.complete()
		c.keeps(both(3, 3), both(5, 5))
		c.inGroups("web:bad", 2)
		c.template("bad")
		if message := c.says("PodsFailing"); !strings.Contains(message, "Pull") {
			t.Errorf("Progressing says %q; want the pods' own reason", message)
		}
		c.inGroups("web:v3", 2, 6, 10)
		c.template("v3")
		c.complete()
		if units, n := c.live("v3"); units != "map[dca:5 dcb:5]" || n != 10 {
			t.Errorf("pods are %s, %d of them v3", units, n)
		}
		c.noFaults()
	})
}

func TestCafeDeploymentGoesBackFromABadImage(t *testing.T) {
	t.Parallel()
	forAllTypes(t, func(t *testing.T, of appsv1alpha1.PodSetType) {
		c := withCafe(t, of, tenInGroups)
		c.complete()
		c.keeps(both(3, 3), both(5, 5))
		c.template("bad")
		c.says("PodsFailing")
		c.template("v1")
		c.complete()
		if _, n := c.live("v1"); n != 10 {
			t.Errorf("%d pods run v1", n)
		}
		c.noFaults()
	})
}

func TestCafeDeploymentSpreadsAsItIsTold(t *testing.T) {
	t.Parallel()
	cells := threeCells(t)
	t.Run("7 over 3 units", func(t *testing.T) {
		forAllTypes(t, func(t *testing.T, of appsv1alpha1.PodSetType) {
			c := withCafe(t, of, "replicas: 7"+cells)
			c.complete()
			if units, _ := c.live("v1"); units != "map[cell-a:3 cell-b:2 cell-c:2]" {
				t.Errorf("pods are %s", units)
			}
			pods := must(c.kube[cafeMember].CoreV1().Pods(c.ns).List(context.Background(), metav1.ListOptions{}))(t)
			for i := range pods.Items {
				pod := &pods.Items[i]
				node := must(c.kube[cafeMember].CoreV1().Nodes().Get(context.Background(), pod.Spec.NodeName, metav1.GetOptions{}))(t)
				if node.Labels[cellKey] != pod.Labels[appsv1alpha1.LabelUnit] {
					t.Errorf("%s of %s is on %s", pod.Name, pod.Labels[appsv1alpha1.LabelUnit], node.Name)
				}
			}
		})
	})
	t.Run("4 and 60 percent", func(t *testing.T) {
		c := withCafe(t, appsv1alpha1.PodSetInPlaceSet, "replicas: 10"+strings.TrimSuffix(twoCentres, "}")+", unitReplicas: {dca: 4, dcb: 60%}}")
		c.complete()
		if units, _ := c.live("v1"); units != "map[dca:4 dcb:6]" {
			t.Errorf("pods are %s", units)
		}
	})
}

func TestCafeDeploymentPausesInTheMiddleOfAGroup(t *testing.T) {
	t.Parallel()
	forAllTypes(t, func(t *testing.T, of appsv1alpha1.PodSetType) {
		c := withCafe(t, of, tenInGroups)
		c.complete()
		c.keeps(both(3, 3), both(5, 5))
		c.template("slow-v2") // its pods take five seconds.
		c.until("the second group has begun", func(*appsv1alpha1.CafeDeployment) bool { _, n := c.live("slow-v2"); return n >= 3 })
		c.spec(`{"strategy":{"pause":true}}`)
		c.says("Paused")
		_, before := c.live("slow-v2")
		if before < 3 || before > 6 {
			t.Errorf("%d pods run v2 in the pause; want those of the second group that had begun", before)
		}
		// A pod that is lost is made again, and no other goes.
		c.keeps(nil, both(5, 5))
		var lost string
		c.mu.Lock()
		for name, pod := range c.pods {
			if pod.Spec.Containers[0].Image == "web:v1" {
				lost = name
			}
		}
		uid := c.pods[lost].UID
		c.mu.Unlock()
		c.kubectl(cafeMember, "", "delete", "pod", lost, "-n", c.ns, "--wait=false")
		c.until("the lost pod is made again", func(d *appsv1alpha1.CafeDeployment) bool {
			pod, err := c.kube[cafeMember].CoreV1().Pods(c.ns).Get(context.Background(), lost, metav1.GetOptions{})
			return d.Status.AvailableReplicas == 10 && (err != nil || pod.UID != uid)
		})
		if _, n := c.live("slow-v2"); n != before {
			t.Errorf("%d pods run v2 in the pause; want %d as before", n, before)
		}
		c.spec(`{"strategy":{"pause":false}}`)
		c.complete()
		c.noFaults()
	})
}

func TestCafeDeploymentScalesInTheMiddleOfAnUpdate(t *testing.T) {
	t.Parallel()
	forAllTypes(t, func(t *testing.T, of appsv1alpha1.PodSetType) {
		c := withCafe(t, of, strings.TrimSuffix(tenInGroups, "}")+", unitReplicas: {dca: 4}}")
		c.complete()
		c.template("v2")
		c.until("two are updated", func(d *appsv1alpha1.CafeDeployment) bool { return d.Status.UpdatedReplicas >= 2 })
		c.spec(`{"replicas":14}`)
		c.until("there are fourteen", func(d *appsv1alpha1.CafeDeployment) bool { return d.Status.Replicas == 14 })
		// Fewer than the fixed number of dca: what does not fit is said.
		c.spec(`{"replicas":3}`)
		c.complete()
		d := c.get()
		if allocated := meta.FindStatusCondition(d.Status.Conditions, appsv1alpha1.ConditionAllocated); allocated == nil || allocated.Reason != "Clamped" || !strings.Contains(allocated.Message, "dca gets 3 of the 4") {
			t.Errorf("Allocated is %+v", allocated)
		}
		if units, n := c.live("v2"); units != "map[dca:3]" || n != 3 {
			t.Errorf("pods are %s, %d of them v2", units, n)
		}
		c.spec(`{"replicas":10}`)
		c.complete()
		if units, n := c.live("v2"); units != "map[dca:4 dcb:6]" || n != 10 {
			t.Errorf("pods are %s, %d of them v2", units, n)
		}
	})
}

func TestCafeDeploymentLosesAUnitInTheMiddleOfAnUpdate(t *testing.T) {
	t.Parallel()
	cells := threeCells(t)
	forAllTypes(t, func(t *testing.T, of appsv1alpha1.PodSetType) {
		c := withCafe(t, of, "replicas: 9\nmaxUnavailable: 1\nstrategy: {upgradeType: Beta, batchSize: 3}"+cells)
		c.complete()
		c.template("v2")
		c.until("two are updated", func(d *appsv1alpha1.CafeDeployment) bool { return d.Status.UpdatedReplicas >= 2 })
		c.spec(`{"topology":{"values":["cell-a","cell-b"]}}`)
		c.complete()
		if units, n := c.live("v2"); units != "map[cell-a:5 cell-b:4]" || n != 9 {
			t.Errorf("pods are %s, %d of them v2", units, n)
		}
		c.until("the drained unit's sets are gone", func(d *appsv1alpha1.CafeDeployment) bool { return len(d.Status.Units) == 2 })
		// It comes back on the revision that all run.
		c.spec(`{"topology":{"values":["cell-a","cell-b","cell-c"]}}`)
		c.complete()
		if units, n := c.live("v2"); units != "map[cell-a:3 cell-b:3 cell-c:3]" || n != 9 {
			t.Errorf("pods are %s, %d of them v2", units, n)
		}
	})
}

func TestCafeDeploymentWaitsForConfirmations(t *testing.T) {
	t.Parallel()
	c := withCafe(t, appsv1alpha1.PodSetInPlaceSet, tenInGroups)
	c.complete()
	c.spec(`{"strategy":{"needWaitingForConfirm":true}}`)
	c.template("v2")
	c.says("AwaitingConfirmation")
	if _, n := c.live("v2"); n != 2 {
		t.Fatalf("%d pods run v2 before the first confirmation", n)
	}
	c.inGroups("web:v2", 6)
	c.confirm()
	c.confirm() // twice lets one group go.
	c.until("the second question is asked", func(d *appsv1alpha1.CafeDeployment) bool {
		return strings.HasSuffix(d.Status.Asked, "/2") && d.Annotations[appsv1alpha1.AnnotationConfirmed] == "false"
	})
	c.says("AwaitingConfirmation")
	if _, n := c.live("v2"); n != 6 {
		t.Fatalf("%d pods run v2 after one confirmation", n)
	}
	c.noFaults()
	c.confirm()
	c.says("Complete")
}

func TestCafeDeploymentGivesThePlaceOfPodsWithoutRoomToOtherUnits(t *testing.T) {
	t.Parallel()
	for _, of := range podSetTypes {
		t.Run(string(of), func(t *testing.T) {
			p := newPort(t)
			// Only this test's pods ask for it: dca has room for three, dcb for nine.
			room := "e2e.periplus.dev/" + p.ns
			for i := range 3 {
				for dc, n := range map[string]int{"dca": 1, "dcb": 3} {
					patch := fmt.Sprintf(`{"status":{"capacity":{%q:"%d"},"allocatable":{%q:"%d"}}}`, room, n, room, n)
					must(p.kube[cafeMember].CoreV1().Nodes().Patch(context.Background(), fmt.Sprintf("%s-%s-%d", cafeMember, dc, i), types.MergePatchType, []byte(patch), metav1.PatchOptions{}, "status"))(t)
				}
			}
			c := withCafe(t, of, "replicas: 10\nstrategy: {upgradeType: Batch}"+strings.TrimSuffix(twoCentres, "}")+", autoReschedule: {enable: true, initialDelaySeconds: 2}}")
			c.spec(fmt.Sprintf(`{"template":{"spec":{"containers":[{"name":"app","image":"web:v1","resources":{"limits":{%q:"1"},"requests":{%q:"1"}}}]}}}`, room, room))
			c.complete()
			if units, _ := c.live("v1"); units != "map[dca:3 dcb:7]" {
				t.Errorf("pods are %s", units)
			}
			if allocated := meta.FindStatusCondition(c.get().Status.Conditions, appsv1alpha1.ConditionAllocated); allocated == nil || allocated.Reason != "Rescheduled" {
				t.Errorf("Allocated is %+v", allocated)
			}
		})
	}
}

// Not parallel: other deployments' controller would be killed too. It is killed in creation, in an update, in a move between units and in a way back.
func TestCafeDeploymentIsKilledInEachPhase(t *testing.T) {
	seed := uint64(time.Now().UnixNano()) // #nosec G115 -- a seed.
	if s := os.Getenv("PERIPLUS_SEED"); s != "" {
		seed = must(strconv.ParseUint(s, 10, 64))(t)
	}
	t.Logf("seed %d: set PERIPLUS_SEED to it to kill at the same times", seed)
	rng := rand.New(rand.NewPCG(seed, 7)) // #nosec G404 -- a test's dice.
	cells := threeCells(t)
	var all []*cafe
	for _, of := range podSetTypes {
		c := withCafe(t, of, "replicas: 9\nmaxUnavailable: 1\nstrategy: {upgradeType: Beta, batchSize: 3}"+cells, func(c *cafe) { c.inGroups("web:v1", 3, 6, 9) })
		all = append(all, c)
	}
	three := func(n int) map[string]int { return map[string]int{"cell-a": n, "cell-b": n, "cell-c": n} }
	phase := func(name string, begin func(*cafe)) {
		for _, c := range all {
			begin(c)
		}
		for range 3 {
			timer := time.NewTimer(time.Duration(200+rng.IntN(2500)) * time.Millisecond)
			<-timer.C
			all[0].killController()
		}
		for _, c := range all {
			c.complete()
			c.noFaults()
		}
		if t.Failed() {
			t.Fatalf("in phase %s", name)
		}
	}
	phase("creation", func(*cafe) {})
	phase("update", func(c *cafe) {
		c.keeps(three(2), three(3))
		c.inGroups("web:v2", 3, 6, 9)
		c.template("v2")
	})
	phase("back in the middle of another", func(c *cafe) {
		c.inGroups("web:v3", 3, 6, 9)
		c.template("v3")
		c.until("one is updated", func(d *appsv1alpha1.CafeDeployment) bool { return d.Status.UpdatedReplicas >= 1 })
		c.inGroups("") // going back knows no groups.
		c.template("v2")
	})
	phase("a unit is drained", func(c *cafe) {
		c.keeps(nil, nil)
		c.spec(`{"topology":{"values":["cell-a","cell-b"]}}`)
	})
	for _, c := range all {
		if units, n := c.live("v2"); units != "map[cell-a:5 cell-b:4]" || n != 9 {
			t.Errorf("%s: pods are %s, %d of them v2", c.of, units, n)
		}
	}
}
