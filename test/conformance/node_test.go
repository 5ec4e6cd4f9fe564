//go:build conformance

package conformance

import (
	"context"
	"os"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// failureLabel is what simulated nodes understand; see docs/local-fleet.md.
const failureLabel = "local.periplus.dev/node-failure"

func TestNodeFailure(t *testing.T) {
	if os.Getenv("PERIPLUS_CONFORMANCE_NODE_FAILURE") == "skip" {
		t.Skip("nodes of this cluster cannot be made to fail by a label")
	}
	c := newCluster(t)
	t.Run("pods on a node that fails are not ready, and are again when it comes back", func(t *testing.T) {
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
	})
}
