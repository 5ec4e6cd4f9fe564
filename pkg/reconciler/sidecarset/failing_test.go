package sidecarset

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/sidecar"
)

func TestWhichSidecarsFail(t *testing.T) {
	now := noon
	waits := func(reason string) corev1.ContainerState {
		return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: "words"}}
	}
	ended := func(ago time.Duration, code int32) corev1.ContainerState {
		return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "Ended", ContainerID: "M1", ExitCode: code, FinishedAt: metav1.NewTime(now.Add(-ago))}}
	}
	runs := corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
	for _, tc := range []struct {
		name        string
		mesh, setup corev1.ContainerState
		changing    bool
		want        string
		in          time.Duration
	}{
		{name: "it runs", mesh: runs},
		{name: "it is being created", mesh: waits("ContainerCreating")},
		{name: "its image cannot be pulled", mesh: waits("ErrImagePull"), changing: true, want: "ErrImagePull container mesh: words"},
		{name: "it crashed", mesh: ended(time.Second, 1), want: "Ended container mesh: ended with exit code 1"},
		{name: "it ended a moment ago to be changed", mesh: ended(10*time.Second, 0), changing: true, in: 50 * time.Second},
		{name: "it ended a moment ago to be changed, by a signal that it does not know", mesh: ended(10*time.Second, 143), changing: true, in: 50 * time.Second},
		{name: "it ended long ago to be changed and was not started again", mesh: ended(time.Minute, 0), changing: true,
			want: "NotStarted container mesh: ended at 11:59:00 to be changed and was not started again; the pod's Events say why"},
		{name: "it ended well without a change", mesh: ended(time.Hour, 0)},
		{name: "an init container ended well, as it should", mesh: runs, setup: ended(time.Hour, 0), changing: true},
		{name: "an init container failed", mesh: runs, setup: ended(time.Hour, 2), changing: true, want: "Ended container setup: ended with exit code 2"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			pod := &corev1.Pod{}
			pod.Spec.InitContainers = []corev1.Container{{Name: "setup"}, {Name: "mesh", RestartPolicy: ptr.To(corev1.ContainerRestartPolicyAlways)}}
			if tc.changing {
				pod.Annotations = map[string]string{v1alpha1.AnnotationUpdate: `{"holder":"SidecarSet/mesh","revision":"r2","containers":[{"name":"mesh","image":"mesh:v1","containerID":"M1"}]}`}
			}
			pod.Status.InitContainerStatuses = []corev1.ContainerStatus{{Name: "setup", State: tc.setup}, {Name: "mesh", State: tc.mesh}}
			pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "app", State: waits("CrashLoopBackOff")}} // the application's is not the set's concern.
			reason, message, in := whyFailing(pod, sidecar.Part{InitContainers: []string{"setup", "mesh"}}, now)
			if got := reason + " " + message; (got != tc.want && got != tc.want+" ") || in != tc.in {
				t.Errorf("got %q in %s; want %q in %s", got, in, tc.want, tc.in)
			}
		})
	}
}
