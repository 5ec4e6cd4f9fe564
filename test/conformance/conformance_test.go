//go:build conformance

package conformance

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestKubelet is what every node does, be it real or simulated.
func TestKubelet(t *testing.T) {
	nodesAre(t)
	c := newCluster(t)
	for name, test := range map[string]func(*testing.T, *cluster){
		"a pod without gates becomes ready with addresses, a start time and phase Running":          plainPod,
		"a container that nothing probes is ready as soon as it runs, first and after a change":     unprobed,
		"a pod is ready only when its containers and every gate are":                                gates,
		"an image change restarts that container in the same pod and no other":                      imageChange,
		"the new observedGeneration is published while the old container is still there":            observedGeneration,
		"a new tag of the same digest restarts the container and keeps the image ID":                sameDigest,
		"an image that cannot be pulled waits with ErrImagePull, then ImagePullBackOff":             badImage,
		"an in-place change to a bad image ends the old container first, and a good image heals it": badImageInPlace,
		"a native sidecar that ended well says nothing of a bad image, and a good one heals it":     badSidecarInPlace,
		"a container that crashes is restarted again and again, and a good image heals it":          crash,
		"a deleted pod shows its deletionTimestamp, ends its containers, and goes":                  deletion,
		"init containers run one after the other before the containers, and a native sidecar stays": initContainers,
		"an in-place change of two containers at once restarts both once":                           twoAtOnce,
		"a change to a change that is under way ends with the last image":                           changeOfMind,
		"a change of cpu is made in the running container, and says so when it is done":             resize,
		"a change of cpu to more than its node has is refused by the API server, and no other is":   resizeRefused,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, c)
		})
	}
}

func plainPod(t *testing.T, c *cluster) {
	l := c.create(t, pod(container("app", image("GOOD"))))
	l.await("it is accepted and its container waits", func(p *corev1.Pod) bool {
		return p.Status.Phase == corev1.PodPending && p.Status.StartTime != nil && waiting("app", "ContainerCreating")(p)
	})
	p := l.await("it is ready", ready)
	s := status(p, "app")
	switch {
	case p.Status.Phase != corev1.PodRunning, p.Status.PodIP == "", p.Status.HostIP == "", p.Status.StartTime == nil:
		t.Errorf("phase %s, podIP %q, hostIP %q, startTime %v: all should say that it runs", p.Status.Phase, p.Status.PodIP, p.Status.HostIP, p.Status.StartTime)
	case s.ContainerID == "", s.ImageID == "", s.State.Running == nil, !s.Ready, s.Started == nil || !*s.Started, s.RestartCount != 0:
		t.Errorf("container status %+v should be that of one that runs since its first start", s)
	}
	for _, kind := range []corev1.PodConditionType{corev1.PodInitialized, corev1.ContainersReady, corev1.PodReady} {
		if got := condition(p, kind); got.Status != corev1.ConditionTrue || got.ObservedGeneration != p.Generation {
			t.Errorf("condition %s is %s of generation %d, want True of %d", kind, got.Status, got.ObservedGeneration, p.Generation)
		}
	}
}

func unprobed(t *testing.T, c *cluster) {
	l := c.create(t, pod(container("app", image("GOOD"))))
	begin := l.await("it is accepted", func(p *corev1.Pod) bool { return p.Status.StartTime != nil })
	old := l.await("it is ready", ready)
	l.setImage("app", image("OTHER"))
	l.await("it is ready with a new container", renewed(old, "app"))
	if anyOf(l.since(begin), runsUnready) {
		t.Error("its container ran and was not ready")
	}
}

func runsUnready(p *corev1.Pod) bool {
	s := status(p, "app")
	return s.State.Running != nil && !s.Ready
}

func gates(t *testing.T, c *cluster) {
	spec := pod(container("app", image("GOOD")))
	spec.Spec.ReadinessGates = []corev1.PodReadinessGate{{ConditionType: "periplus.dev/one"}, {ConditionType: "periplus.dev/two"}}
	l := c.create(t, spec)
	closed := func(p *corev1.Pod) bool {
		r := condition(p, corev1.PodReady)
		return is(corev1.ContainersReady, corev1.ConditionTrue)(p) && r.Status == corev1.ConditionFalse && r.Reason == "ReadinessGatesNotReady"
	}
	l.await("its containers are ready and its gates, which do not exist yet, keep it from being so", closed)
	l.setGate("periplus.dev/one", corev1.ConditionTrue)
	l.await("one open gate of two is not enough", func(p *corev1.Pod) bool { return is("periplus.dev/one", corev1.ConditionTrue)(p) && closed(p) })
	l.setGate("periplus.dev/two", corev1.ConditionTrue)
	p := l.await("it is ready with both gates open", ready)
	if !is("periplus.dev/one", corev1.ConditionTrue)(p) || !is("periplus.dev/two", corev1.ConditionTrue)(p) {
		t.Error("it became ready with a gate closed")
	}
	l.setGate("periplus.dev/one", corev1.ConditionFalse)
	p = l.await("it is not ready with a gate closed again", closed)
	if status(p, "app").RestartCount != 0 {
		t.Error("a gate restarted a container")
	}
	l.setGate("periplus.dev/one", corev1.ConditionTrue)
	l.await("it is ready again", ready)
}

func imageChange(t *testing.T, c *cluster) {
	l := c.create(t, pod(container("app", image("GOOD")), container("log", image("GOOD"))))
	old := l.await("it is ready", ready)
	l.setImage("app", image("OTHER"))
	p := l.await("it is ready with a new container", renewed(old, "app"))
	before, after := status(old, "app"), status(p, "app")
	switch {
	case p.UID != old.UID, p.Status.PodIP != old.Status.PodIP:
		t.Error("it is another pod, or has another address")
	case after.ImageID == before.ImageID:
		t.Errorf("image ID is still %s", after.ImageID)
	case after.RestartCount != before.RestartCount+1:
		t.Errorf("restart count went from %d to %d", before.RestartCount, after.RestartCount)
	case after.LastTerminationState.Terminated == nil || after.LastTerminationState.Terminated.ContainerID != before.ContainerID:
		t.Errorf("last state %+v does not tell how the old container ended", after.LastTerminationState)
	}
	// Whether it is not ready in between is not asked: a kubelet that looks at its containers after both, the end of the old and the start of the
	// new, reports none of it.
	if b, a := status(old, "log"), status(p, "log"); a.ContainerID != b.ContainerID || a.RestartCount != b.RestartCount || a.ImageID != b.ImageID {
		t.Errorf("the unchanged container went from %+v to %+v", b, a)
	}
}

func observedGeneration(t *testing.T, c *cluster) {
	l := c.create(t, pod(container("app", image("GOOD"))))
	old := l.await("it is ready", ready)
	patched := l.setImage("app", image("OTHER"))
	if patched.Generation <= old.Generation {
		t.Fatalf("generation stayed at %d", patched.Generation)
	}
	if patched.Status.ObservedGeneration >= patched.Generation {
		t.Fatalf("observedGeneration %d is of a spec that the node cannot have seen", patched.Status.ObservedGeneration)
	}
	p := l.await("the new generation is observed", func(p *corev1.Pod) bool { return p.Status.ObservedGeneration == patched.Generation })
	if status(p, "app").ContainerID != status(old, "app").ContainerID {
		t.Error("the container was replaced before the new generation was observed")
	}
	p = l.await("the container is replaced", renewed(old, "app"))
	for _, kind := range []corev1.PodConditionType{corev1.ContainersReady, corev1.PodReady} {
		if got := condition(p, kind).ObservedGeneration; got != patched.Generation {
			t.Errorf("condition %s is of generation %d, want %d", kind, got, patched.Generation)
		}
	}
}

func sameDigest(t *testing.T, c *cluster) {
	l := c.create(t, pod(container("app", image("OTHER"))))
	old := l.await("it is ready", ready)
	l.setImage("app", image("SAME"))
	p := l.await("it is ready with a new container", renewed(old, "app"))
	if before, after := status(old, "app"), status(p, "app"); after.ImageID != before.ImageID || after.RestartCount != before.RestartCount+1 {
		t.Errorf("image ID %s and restart count %d became %s and %d, want the same and one more", before.ImageID, before.RestartCount, after.ImageID, after.RestartCount)
	}
}

func badImage(t *testing.T, c *cluster) {
	l := c.create(t, pod(container("app", image("BAD"))))
	l.await("its pull failed", waiting("app", "ErrImagePull"))
	p := l.await("its pull backs off", waiting("app", "ImagePullBackOff"))
	if s := status(p, "app"); p.Status.Phase != corev1.PodPending || s.ContainerID != "" || s.Ready || ready(p) {
		t.Errorf("phase %s, container %+v: nothing should run", p.Status.Phase, s)
	}
	l.setImage("app", image("GOOD"))
	p = l.await("a good image heals it", ready)
	if got := status(p, "app").RestartCount; got != 0 {
		t.Errorf("its first container has restart count %d", got)
	}
}

func badImageInPlace(t *testing.T, c *cluster) {
	l := c.create(t, pod(container("app", image("GOOD")), container("log", image("GOOD"))))
	old := l.await("it is ready", ready)
	l.setImage("app", image("BAD"))
	p := l.await("its pull failed", waiting("app", "ErrImagePull"))
	s := status(p, "app")
	if s.LastTerminationState.Terminated == nil || s.LastTerminationState.Terminated.ContainerID != status(old, "app").ContainerID {
		t.Errorf("last state %+v does not tell how the old container ended", s.LastTerminationState)
	}
	if s.Ready || ready(p) || s.RestartCount != status(old, "app").RestartCount {
		t.Errorf("container %+v should be down, with no new start counted", s)
	}
	l.await("its pull backs off", waiting("app", "ImagePullBackOff"))
	// Back to the image it had: a new container all the same.
	l.setImage("app", image("GOOD"))
	p = l.await("the old image heals it", renewed(old, "app"))
	if b, a := status(old, "app"), status(p, "app"); a.RestartCount != b.RestartCount+1 || a.ImageID != b.ImageID {
		t.Errorf("container went from %+v to %+v, want the same image and one more start", b, a)
	}
	if b, a := status(old, "log"), status(p, "log"); a.ContainerID != b.ContainerID {
		t.Error("the other container was restarted")
	}
}

func badSidecarInPlace(t *testing.T, c *cluster) {
	always := corev1.ContainerRestartPolicyAlways
	sidecar := container("mesh", image("POLITE"))
	sidecar.RestartPolicy = &always
	spec := pod(container("app", image("GOOD")))
	spec.Spec.InitContainers = []corev1.Container{sidecar}
	l := c.create(t, spec)
	old := l.await("it is ready", ready)
	change := func(to string) *corev1.Pod {
		return l.patch(fmt.Sprintf(`{"spec":{"initContainers":[{"name":"mesh","image":%q}]}}`, to))
	}
	began := change(image("BAD"))
	l.await("the sidecar has ended, and the pod is not ready", func(p *corev1.Pod) bool {
		s := status(p, "mesh").State.Terminated
		return s != nil && s.ExitCode == 0 && s.ContainerID == status(old, "mesh").ContainerID && !status(p, "mesh").Ready && !ready(p)
	})
	<-time.After(3 * time.Second) // of containers it is told in less that their pull failed.
	change(image("OTHER"))
	p := l.await("a good image heals it", func(p *corev1.Pod) bool { return renewed(old, "mesh")(p) && ready(p) })
	for _, v := range l.since(began) {
		if status(v, "mesh").State.Waiting != nil {
			t.Errorf("the sidecar waits: %+v; controllers could count on that", status(v, "mesh").State.Waiting)
		}
		if b, a := status(old, "app"), status(v, "app"); a.ContainerID != b.ContainerID || a.State.Running == nil || a.RestartCount != b.RestartCount {
			t.Errorf("the application's container went from %+v to %+v", b, a)
		}
	}
	if b, a := status(old, "mesh"), status(p, "mesh"); a.RestartCount != b.RestartCount+1 || a.LastTerminationState.Terminated == nil || a.LastTerminationState.Terminated.ContainerID != b.ContainerID {
		t.Errorf("the sidecar went from %+v to %+v; want one more start, after the end of the first", b, a)
	}
}

func crash(t *testing.T, c *cluster) {
	l := c.create(t, pod(container("app", image("CRASH"))))
	crashing := func(restarts int32) func(*corev1.Pod) bool {
		return func(p *corev1.Pod) bool {
			s := status(p, "app")
			return waiting("app", "CrashLoopBackOff")(p) && s.RestartCount >= restarts &&
				s.LastTerminationState.Terminated != nil && s.LastTerminationState.Terminated.ExitCode != 0
		}
	}
	first := l.await("it backs off", crashing(0))
	second := l.await("it crashed again", crashing(status(first, "app").RestartCount+1))
	if status(first, "app").ContainerID == status(second, "app").ContainerID {
		t.Error("its second start has the container ID of the first")
	}
	if second.Status.Phase != corev1.PodRunning {
		t.Errorf("phase is %s, want Running as for every pod that restarts its containers", second.Status.Phase)
	}
	l.setImage("app", image("GOOD"))
	p := l.await("a good image heals it", ready)
	if status(p, "app").RestartCount <= status(second, "app").RestartCount {
		t.Error("its restart count did not grow")
	}
}

func deletion(t *testing.T, c *cluster) {
	l := c.create(t, pod(container("app", image("GOOD"))))
	l.await("it is ready", ready)
	if err := c.client.CoreV1().Pods(c.namespace).Delete(t.Context(), l.name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	p := l.await("its deletionTimestamp is seen", func(p *corev1.Pod) bool { return p.DeletionTimestamp != nil })
	if status(p, "app").State.Running == nil {
		t.Error("its container ended before the pod was seen to be deleted")
	}
	l.await("its container ended and it is not ready", func(p *corev1.Pod) bool {
		return status(p, "app").State.Terminated != nil && is(corev1.PodReady, corev1.ConditionFalse)(p)
	})
	l.awaitGone()
}

func initContainers(t *testing.T, c *cluster) {
	always := corev1.ContainerRestartPolicyAlways
	sidecar := container("mesh", image("GOOD"))
	sidecar.RestartPolicy = &always
	spec := pod(container("app", image("GOOD")))
	spec.Spec.InitContainers = []corev1.Container{container("first", image("INIT")), sidecar, container("second", image("INIT"))}
	l := c.create(t, spec)
	p := l.await("it is ready", ready)
	done := func(p *corev1.Pod, name string) bool {
		s := status(p, name).State.Terminated
		return s != nil && s.ExitCode == 0
	}
	if !done(p, "first") || !done(p, "second") || status(p, "mesh").State.Running == nil || !status(p, "mesh").Ready {
		t.Errorf("init containers are %+v", p.Status.InitContainerStatuses)
	}
	for _, v := range l.since(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{ResourceVersion: l.versions[0].ResourceVersion}}) {
		if status(v, "second").State.Running != nil && (!done(v, "first") || status(v, "mesh").State.Running == nil) {
			t.Error("the second init container ran before the first ended and the sidecar ran")
		}
		if status(v, "app").State.Running != nil && !done(v, "second") {
			t.Error("the container ran before the init containers ended")
		}
	}
	old := p
	l.patch(fmt.Sprintf(`{"spec":{"initContainers":[{"name":"mesh","image":%q}]}}`, image("OTHER")))
	p = l.await("the sidecar is replaced in place", renewed(old, "mesh"))
	if status(p, "app").ContainerID != status(old, "app").ContainerID || status(p, "mesh").RestartCount != 1 {
		t.Errorf("containers are %+v and %+v: only the sidecar should be new", p.Status.InitContainerStatuses, p.Status.ContainerStatuses)
	}
}

func twoAtOnce(t *testing.T, c *cluster) {
	l := c.create(t, pod(container("app", image("GOOD")), container("log", image("GOOD"))))
	old := l.await("it is ready", ready)
	l.patch(fmt.Sprintf(`{"spec":{"containers":[{"name":"app","image":%[1]q},{"name":"log","image":%[1]q}]}}`, image("OTHER")))
	p := l.await("both are replaced", func(p *corev1.Pod) bool { return renewed(old, "app")(p) && renewed(old, "log")(p) })
	for _, name := range []string{"app", "log"} {
		if got := status(p, name).RestartCount; got != 1 {
			t.Errorf("%s has restart count %d, want 1", name, got)
		}
	}
}

func changeOfMind(t *testing.T, c *cluster) {
	l := c.create(t, pod(container("app", image("GOOD"))))
	old := l.await("it is ready", ready)
	l.setImage("app", image("BAD"))
	patched := l.setImage("app", image("OTHER"))
	p := l.await("it is ready with the last image", func(p *corev1.Pod) bool {
		return renewed(old, "app")(p) && p.Status.ObservedGeneration == patched.Generation
	})
	if status(p, "app").ImageID == status(old, "app").ImageID {
		t.Error("it has the image it had")
	}
}

func sized(cpu string) *corev1.Pod {
	app := container("app", image("GOOD"))
	app.Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu)}
	return pod(app)
}

func resize(t *testing.T, c *cluster) {
	l := c.create(t, sized("10m"))
	old := l.await("it is ready", ready)
	patched := l.resize("app", "20m")
	p := l.await("its container has what it wants", func(p *corev1.Pod) bool {
		r := status(p, "app").Resources
		return p.Status.ObservedGeneration == patched.Generation && r != nil && r.Requests.Cpu().String() == "20m" && !stands(p)
	})
	if b, a := status(old, "app"), status(p, "app"); a.ContainerID != b.ContainerID || a.RestartCount != b.RestartCount {
		t.Errorf("container went from %+v to %+v: nothing should have been restarted", b, a)
	}
	if anyOf(l.since(old), is(corev1.PodReady, corev1.ConditionFalse)) {
		t.Error("it was not ready while it was resized")
	}
}

func resizeRefused(t *testing.T, c *cluster) {
	l := c.create(t, sized("10m"))
	l.await("it is ready", ready)
	_, err := l.tryPatch(`{"spec":{"containers":[{"name":"app","resources":{"requests":{"cpu":"100k"}}}]}}`, "resize")
	if !apierrors.IsForbidden(err) || !apierrors.HasStatusCause(err, "NodeCapacity") {
		t.Errorf("the answer is %v, want one that forbids it for want of NodeCapacity", err)
	}
	l.resize("app", "20m")
	l.await("a smaller change is made", func(p *corev1.Pod) bool {
		r := status(p, "app").Resources
		return r != nil && r.Requests.Cpu().String() == "20m" && !stands(p)
	})
}

// stands says whether a resize is pending or in progress.
func stands(p *corev1.Pod) bool {
	return is(corev1.PodResizePending, corev1.ConditionTrue)(p) || is(corev1.PodResizeInProgress, corev1.ConditionTrue)(p)
}
