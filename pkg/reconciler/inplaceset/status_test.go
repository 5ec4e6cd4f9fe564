package inplaceset

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/plan"
)

func TestThePassThatEndsAnUpdateReportsWhatTheNextOneWould(t *testing.T) {
	set := &v1alpha1.InPlaceSet{Spec: v1alpha1.InPlaceSetSpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}}}
	pods := []plan.InPlacePod{{Name: "a", Revision: "r2", Ready: true, Available: true}, {Name: "b", Revision: "r2", Ready: true, Available: true}}
	// All pods are on the update revision, and the partition is back at rest.
	first := &pass{set: set, current: "r1", update: "r2", state: plan.InPlaceSetState{Replicas: 2, Current: "r1", Update: "r2", Pods: pods}, plan: plan.InPlaceSetPlan{Expected: 0}}
	next := &pass{set: set, current: "r2", update: "r2", state: plan.InPlaceSetState{Replicas: 2, Current: "r2", Update: "r2", Pods: pods}, plan: plan.InPlaceSetPlan{Expected: 2}}
	if a, b := first.status(), next.status(); a.ExpectedUpdatedReplicas != b.ExpectedUpdatedReplicas || a.CurrentRevision != b.CurrentRevision {
		t.Errorf("expected %d of revision %s, then %d of %s", a.ExpectedUpdatedReplicas, a.CurrentRevision, b.ExpectedUpdatedReplicas, b.CurrentRevision)
	}
}
