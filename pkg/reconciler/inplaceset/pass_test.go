package inplaceset

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
)

// BenchmarkPass is one pass over a set of 5,000 pods, all changed in place before, after one of them changed: what a controller does each time that a pod gets one
// step on. `go test ./pkg/reconciler/inplaceset -run xxx -bench Pass`.
func BenchmarkPass(b *testing.B) {
	const n = 5000
	pods := make([]*corev1.Pod, 0, n)
	for i := range n {
		pods = append(pods, shopPod(fmt.Sprintf("web-%05d", i), "r2", "web:v2", withLog, changedInPlace))
	}
	templates := []corev1.PodTemplateSpec{shopTemplate("web:v1"), shopTemplate("web:v2")}
	for i := range templates {
		templates[i].Spec.Containers = append(templates[i].Spec.Containers, corev1.Container{Name: "log", Image: "log:v1"})
	}
	s := newShop(b, n, nil, templates, pods...)
	for range 3 { // the first passes write what the set lacks.
		s.run()
	}
	writes := s.writes()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		s.put(pods[i%n])
		s.ok(s.pass(b.Context(), keyOf(s.set)))
	}
	if got := s.writes(); got != writes {
		b.Fatalf("%d writes at rest", got-writes)
	}
	if c := s.condition(v1alpha1.ConditionProgressing); c.Reason != ReasonComplete {
		b.Fatalf("the set is not at rest: %s: %s", c.Reason, c.Message)
	}
}

// withLog gives a pod a second container, log, that runs.
func withLog(pod *corev1.Pod) {
	pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{Name: "log", Image: "log:v1"})
	status := *pod.Status.ContainerStatuses[0].DeepCopy()
	status.Name, status.Image, status.ImageID, status.ContainerID = "log", "log:v1", "log:v1@sha256:1", status.ContainerID+"-log"
	pod.Status.ContainerStatuses = append(pod.Status.ContainerStatuses, status)
}

// changedInPlace: its container app ran web:v1 before, and the change is done.
func changedInPlace(pod *corev1.Pod) {
	pod.Annotations = map[string]string{v1alpha1.AnnotationUpdate: `{"holder":"InPlaceSet/web","revision":"r2","time":"2025-03-01T11:00:00Z","containers":[` +
		`{"name":"app","image":"web:v1","imageID":"web@sha256:fc48b863d71bf3b88a487165ca3252ec5ad0cae31dfb8cc8f9bb1ca6f574f19b","containerID":"sim://before"}],"done":true}`}
	pod.Status.PodIP, pod.Status.PodIPs = "10.0.0.1", []corev1.PodIP{{IP: "10.0.0.1"}}
	pod.Status.ContainerStatuses[0].RestartCount = 1
}
