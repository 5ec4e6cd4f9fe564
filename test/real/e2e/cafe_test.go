//go:build e2ereal

package e2e

import (
	"encoding/json"
	"fmt"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	corev1 "k8s.io/api/core/v1"

	appsv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
)

// cafe is one application over both data centres; its pods are asked for as those of a set.
type cafe struct{ *set }

// cafe makes a CafeDeployment of pods that serve on port 8080, half of them in each data centre, that changes them two at a time after one in each.
func (s *site) cafe(name string, replicas int32, tag string) *cafe {
	s.t.Helper()
	labels := map[string]string{"app": "web", "set": name}
	half, two := intstr.FromString("50%"), intstr.FromInt32(4)
	must(s.apps.AppsV1alpha1().CafeDeployments(s.ns).Create(s.t.Context(), &appsv1alpha1.CafeDeployment{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: appsv1alpha1.CafeDeploymentSpec{
			Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: serving(labels, tag), MaxUnavailable: &half,
			Strategy: appsv1alpha1.CafeDeploymentStrategy{UpgradeType: appsv1alpha1.UpgradeBeta, BatchSize: &two},
			Topology: appsv1alpha1.CafeDeploymentTopology{UnitType: appsv1alpha1.UnitDataCenter, NodeLabelKey: corev1.LabelTopologyZone, Values: units},
		},
	}, metav1.CreateOptions{}))(s.t)
	return &cafe{set: &set{site: s, name: name}}
}

func (c *cafe) setImage(tag string) {
	c.t.Helper()
	patch := fmt.Sprintf(`[{"op":"replace","path":"/spec/template/spec/containers/0/image","value":%q}]`, image+tag)
	must(c.apps.AppsV1alpha1().CafeDeployments(c.ns).Patch(c.t.Context(), c.name, types.JSONPatchType, []byte(patch), metav1.PatchOptions{}))(c.t)
}

// awaitAvailable waits until the whole deployment is on its revision and available.
func (c *cafe) awaitAvailable() {
	c.t.Helper()
	c.eventually("all pods of "+c.name+" are updated and available", func() (bool, string) {
		got, err := c.apps.AppsV1alpha1().CafeDeployments(c.ns).Get(c.t.Context(), c.name, metav1.GetOptions{})
		if err != nil {
			return false, err.Error()
		}
		st, n := got.Status, *got.Spec.Replicas
		saw, err := json.MarshalIndent(st, "", "  ")
		if err != nil {
			return false, err.Error()
		}
		return st.ObservedGeneration == got.Generation && st.Replicas == n && st.UpdatedReplicas == n && st.AvailableReplicas == n, string(saw)
	})
}

func TestNoRequestFailsWhileADeploymentOverTwoDataCentresGoesInGroups(t *testing.T) {
	c := newSite(t).cafe("web", replicas, "v1")
	c.awaitAvailable()
	before := c.pods()
	nodes := map[string]int{}
	for _, p := range before {
		nodes[p.Spec.NodeName]++
	}
	for node, n := range nodes {
		if n != replicas/2 {
			t.Fatalf("%d of %d pods are on node %s: %v", n, replicas, node, nodes)
		}
	}
	tr := c.traffic().followSlices().throughHAProxy()
	changes := tr.backAndForth(c, 4*replicas, 1)
	failed := tr.end()
	t.Logf("%d pod changes in place, in groups\n%s", changes, tr)
	if failed != 0 {
		t.Errorf("%d of %d requests failed", failed, tr.sent())
	}
	tr.bothAnswered()
	c.same(before)
}
