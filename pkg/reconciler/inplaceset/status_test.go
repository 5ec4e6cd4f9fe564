package inplaceset

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
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

func TestAvailableIsJudgedByMaxUnavailableWhereTheSpecHasProblems(t *testing.T) {
	for _, r := range []struct {
		name           string
		maxUnavailable string
		want           metav1.ConditionStatus
	}{
		{"as many as may be are unavailable", "50%", metav1.ConditionTrue},
		{"more than may be are unavailable", "25%", metav1.ConditionFalse},
		{"a limit that cannot be read is one pod", "half", metav1.ConditionFalse},
	} {
		t.Run(r.name, func(t *testing.T) {
			var pods []*corev1.Pod
			for _, name := range []string{"web-a", "web-b"} {
				pods = append(pods, shopPod(name, "r1", "web:v1"))
			}
			s := newShop(t, 4, func(set *v1alpha1.InPlaceSet) {
				set.Spec.UpdateStrategy.MaxUnavailable = percent(r.maxUnavailable)
				set.Spec.UpdateStrategy.Scatter = "not a key"
			}, []corev1.PodTemplateSpec{shopTemplate("web:v1")}, pods...)
			s.run()
			if c := s.condition(v1alpha1.ConditionProgressing); c.Reason != ReasonInvalidSpec {
				t.Errorf("%s: %s; want %s", c.Reason, c.Message, ReasonInvalidSpec)
			}
			if c := s.condition(v1alpha1.ConditionAvailable); c.Status != r.want {
				t.Errorf("Available is %s: %s; want %s", c.Status, c.Message, r.want)
			}
		})
	}
}
