package taken

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
)

func pod(version string, ready bool) *corev1.Pod {
	c := corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionFalse}
	if ready {
		c.Status = corev1.ConditionTrue
	}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "web-1", Namespace: "shop", UID: "u1", ResourceVersion: version, Labels: map[string]string{v1alpha1.LabelInPlaceSet: "web"}},
		Status:     corev1.PodStatus{Conditions: []corev1.PodCondition{c}},
	}
}

func TestWhoIsTakingAPod(t *testing.T) {
	web, mesh := By{"InPlaceSet", types.NamespacedName{Namespace: "shop", Name: "web"}}, By{"SidecarSet", types.NamespacedName{Name: "mesh"}}
	r := New()
	var told []types.NamespacedName
	last := ""
	r.OnFreed("InPlaceSet", func(sets []types.NamespacedName) { told = append(told, sets...) })
	r.OnFreed("SidecarSet", func([]types.NamespacedName) {
		if last != "9" { // the other one's.
			t.Error("a kind is told what it gave back itself")
		}
	})
	take := func(by By, p *corev1.Pod) {
		last = p.ResourceVersion
		r.Decide(by, func(View) []*corev1.Pod { return []*corev1.Pod{p} })
	}
	takenBy := func() (by By) {
		r.Decide(web, func(see View) []*corev1.Pod {
			if see("u1", web) {
				by = mesh
			} else if see("u1", By{}) {
				by = web
			}
			return nil
		})
		return by
	}
	take(mesh, pod("5", true))
	if takenBy() != mesh || !r.Takes(mesh) || r.Takes(web) {
		t.Errorf("taken by %v; want the SidecarSet", takenBy())
	}
	r.Seen(pod("6", true))
	r.Seen(pod("4", false))
	r.Seen(pod("5", false))
	if takenBy() != mesh {
		t.Error("a watch that is behind, or shows the pod in service, ends the taking")
	}
	r.Seen(pod("6", false))
	if r.Takes(mesh) {
		t.Error("the pod is being taken though the watch shows it out of service")
	}
	take(mesh, pod("7", true))
	if r.Keep(mesh, func(types.UID) bool { return true }) || r.Keep(web, func(types.UID) bool { return false }) || !r.Takes(mesh) {
		t.Error("what is still being taken was given back")
	}
	if !r.Keep(mesh, func(types.UID) bool { return false }) || r.Takes(mesh) || !slices.Equal(told, []types.NamespacedName{web.NamespacedName}) {
		t.Errorf("given back, the other kind was told %v; want the pod's set", told)
	}
	take(mesh, pod("8", true))
	take(web, pod("8", true))
	take(web, pod("9", true))
	r.Keep(web, func(types.UID) bool { return false })
	if r.Takes(web) || takenBy() != mesh {
		t.Error("of two that take a pod, one gave it back, and so did the other")
	}
	if r.Gone("u1"); r.Takes(mesh) {
		t.Error("a pod that is gone is being taken")
	}
}

func TestAPodWhoseSidecarIsBeingChangedIsNotHealthy(t *testing.T) {
	p := pod("1", true)
	p.Spec.Containers = []corev1.Container{{Name: "mesh", Image: "mesh:v2"}}
	p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "mesh", Image: "mesh:v1", ContainerID: "a"}}
	p.Annotations = map[string]string{v1alpha1.AnnotationUpdate: `{"holder":"SidecarSet/mesh","revision":"r2","time":null,"containers":[{"name":"mesh","image":"mesh:v1","containerID":"a"}]}`}
	p.Labels[v1alpha1.LabelSidecars] = "injected"
	if Healthy(p) {
		t.Error("it is healthy")
	}
	p.Status.ContainerStatuses[0] = corev1.ContainerStatus{Name: "mesh", Image: "mesh:v2", ContainerID: "b"}
	if !Healthy(p) {
		t.Error("it is not healthy though the change is made")
	}
}
