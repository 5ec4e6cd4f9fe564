package inplace

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
)

func TestAContainerThatIsNotStartedAgain(t *testing.T) {
	const words = "container mesh: ended at 11:59:00 to be changed and was not started again; the pod's Events say why"
	for _, tc := range []struct {
		name  string
		ended string
		ago   time.Duration
		names []string
		want  string
		in    time.Duration
	}{
		{name: "it ended a moment ago", ended: "M1", ago: 10 * time.Second, in: 50 * time.Second},
		{name: "it ended long ago", ended: "M1", ago: time.Minute, want: words},
		{name: "it is one of those that are asked for", ended: "M1", ago: time.Minute, names: []string{"mesh"}, want: words},
		{name: "it is none of them", ended: "M1", ago: time.Minute, names: []string{"app"}},
		{name: "it ended by itself after the change", ended: "M2", ago: time.Hour},
	} {
		t.Run(tc.name, func(t *testing.T) {
			now := time.Date(2025, 3, 1, 12, 0, 0, 0, time.UTC)
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{
				v1alpha1.AnnotationUpdate: `{"holder":"SidecarSet/mesh","revision":"r2","containers":[{"name":"mesh","image":"mesh:v1","containerID":"M1"}]}`,
			}}}
			pod.Status.InitContainerStatuses = []corev1.ContainerStatus{{Name: "mesh", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
				ContainerID: tc.ended, FinishedAt: metav1.NewTime(now.Add(-tc.ago)),
			}}}}
			reason, message, in := NotStarted(pod, tc.names, now)
			if message != tc.want || (reason == ReasonNotStarted) != (tc.want != "") || in != tc.in {
				t.Errorf("got %q, %q in %s; want %q in %s", reason, message, in, tc.want, tc.in)
			}
			if is := EndedForChange(pod, "mesh", pod.Status.InitContainerStatuses[0].State.Terminated); is != (tc.ended == "M1") {
				t.Errorf("its end counts as the change's: %t", is)
			}
		})
	}
}
