//go:build conformance

package conformance

import (
	"context"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// failureLabel is what simulated nodes understand; see docs/local-fleet.md.
const failureLabel = "local.periplus.dev/node-failure"

// TestSimulation is what simulated nodes promise beside being like real ones: how long an image takes is said by its tag, a node fails by a
// label, and more cpu than 64 is infeasible, as kubelets say whose API server lets such a resize through. Real nodes do not, so there is nothing of it to run on
// them.
func TestSimulation(t *testing.T) {
	if nodesAre(t) == realNodes {
		return
	}
	c := newCluster(t)
	for name, test := range map[string]func(*testing.T, *cluster){
		"a change of cpu to more than 64 is infeasible, until it is taken back":     resizeInfeasible,
		"a slow image keeps its pod waiting and then runs":                          slow,
		"a container with a readiness probe runs for a moment before it is ready":   probed,
		"pods on a node that fails are not ready, and are again when it comes back": nodeFailure,
	} {
		t.Run(name, func(t *testing.T) { test(t, c) })
	}
}

func slow(t *testing.T, c *cluster) {
	l := c.create(t, pod(container("app", image("SLOW"))))
	begin := l.await("it is accepted", func(p *corev1.Pod) bool { return p.Status.StartTime != nil })
	p := l.await("it is ready", ready)
	// Times in a status are whole seconds.
	if took := condition(p, corev1.PodReady).LastTransitionTime.Sub(begin.Status.StartTime.Time); took < 3*time.Second {
		t.Errorf("it took %s, which is not slow", took)
	}
}

func probed(t *testing.T, c *cluster) {
	app := container("app", image("GOOD"))
	app.ReadinessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(80)}}}
	l := c.create(t, pod(app))
	l.await("its container runs and is not ready", runsUnready)
	l.await("it is ready", ready)
}

func nodeFailure(t *testing.T, c *cluster) {
	l := c.create(t, pod(container("app", image("GOOD"))))
	old := l.await("it is ready", ready)
	node := old.Spec.NodeName
	label := func(value string) {
		t.Helper()
		patch := []byte(`{"metadata":{"labels":{"` + failureLabel + `":` + value + `}}}`)
		if _, err := c.client.CoreV1().Nodes().Patch(context.Background(), node, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
			t.Fatalf("labelling node %s: %v", node, err)
		}
	}
	t.Cleanup(func() { label("null") })
	label(`"true"`)
	l.await("it is not ready", is(corev1.PodReady, corev1.ConditionFalse))
	n, err := c.client.CoreV1().Nodes().Get(t.Context(), node, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, cond := range n.Status.Conditions {
		if cond.Type == corev1.NodeReady && cond.Status == corev1.ConditionTrue {
			t.Error("its node is Ready")
		}
	}
	label("null")
	p := l.await("it is ready again", ready)
	if status(p, "app").ContainerID != status(old, "app").ContainerID {
		t.Error("its container was restarted")
	}
}

func resizeInfeasible(t *testing.T, c *cluster) {
	l := c.create(t, sized("10m"))
	l.await("it is ready", ready)
	l.resize("app", "1000")
	p := l.await("the kubelet says that it cannot be", func(p *corev1.Pod) bool {
		r := condition(p, corev1.PodResizePending)
		return r.Status == corev1.ConditionTrue && r.Reason == corev1.PodReasonInfeasible && r.Message != ""
	})
	if r := status(p, "app").Resources; r == nil || r.Requests.Cpu().String() != "10m" || !ready(p) {
		t.Errorf("resources %+v, ready %t: it should run on with what it had", r, ready(p))
	}
	l.resize("app", "10m")
	l.await("taken back, nothing is pending", func(p *corev1.Pod) bool { return !stands(p) })
}
