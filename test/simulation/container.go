package simulation

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"
)

// nextOf is the next move of a container, or none.
func (n *nodes) nextOf(pod *corev1.Pod, c *corev1.Container) (string, func(*corev1.Pod)) {
	status, name := statusOf(pod, c.Name), c.Name
	run := func(pod *corev1.Pod) { n.run(pod, name) }
	switch {
	case status.Image != c.Image:
		return "restarts " + name + " of", run
	case status.State.Running == nil && (n.broken[c.Image] || n.looping[c.Image]):
		return "", nil // it cannot be pulled, or waits to be started again.
	case status.State.Running == nil:
		return "pulls at last " + name + " of", run
	case n.looping[c.Image]:
		return "crashes " + name + " of", func(pod *corev1.Pod) { n.crash(pod, name) }
	case n.sick[c.Image] && !n.crashed[status.ContainerID]:
		return "crashes " + name + " of", func(pod *corev1.Pod) {
			n.run(pod, name)
			n.crashed[statusOf(pod, name).ContainerID] = true
		}
	case !status.Ready:
		return "brings up " + name + " of", func(pod *corev1.Pod) {
			statusOf(pod, name).Ready = true
			ready := true
			for _, c := range living(pod) {
				ready = ready && statusOf(pod, c.Name).Ready
			}
			set(pod, corev1.ContainersReady, ready, n.now())
		}
	}
	return "", nil
}

// living are the native sidecars and containers of a pod.
func living(pod *corev1.Pod) []*corev1.Container {
	var out []*corev1.Container
	for i := range pod.Spec.InitContainers {
		out = append(out, &pod.Spec.InitContainers[i])
	}
	for i := range pod.Spec.Containers {
		out = append(out, &pod.Spec.Containers[i])
	}
	return out
}

// statusOf a container, to be changed where the pod may be.
func statusOf(pod *corev1.Pod, name string) *corev1.ContainerStatus {
	for _, list := range [][]corev1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses} {
		for i := range list {
			if list[i].Name == name {
				return &list[i]
			}
		}
	}
	return &corev1.ContainerStatus{Name: name}
}

// run makes a new container of the image that the spec names, or fails to.
func (n *nodes) run(pod *corev1.Pod, name string) {
	var c *corev1.Container
	for _, of := range living(pod) {
		if of.Name == name {
			c = of
		}
	}
	s, image := statusOf(pod, name), c.Image
	s.Image, s.Ready, s.Started = image, false, ptr.To(true)
	pod.Status.ObservedGeneration = pod.Generation
	set(pod, corev1.ContainersReady, false, n.now())
	set(pod, corev1.PodReady, false, n.now())
	if n.broken[image] {
		s.State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: "Back-off pulling image " + image}}
		return
	}
	n.made++
	s.RestartCount++
	s.ContainerID = fmt.Sprintf("sim://%s-%d", n.c.name, n.made)
	s.ImageID = "sim@" + image[strings.LastIndex(image, ":")+1:]
	s.State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: n.now()}}
	if len(c.Resources.Requests)+len(c.Resources.Limits) > 0 && s.Resources == nil {
		s.Resources = c.Resources.DeepCopy()
	}
	pod.Status.Phase = corev1.PodRunning
}

// mostCrashes is how often a container that crashes is started again before its kubelet waits for minutes.
const mostCrashes = 3

// crash ends a container, which is started again at once, or some time.
func (n *nodes) crash(pod *corev1.Pod, name string) {
	s := statusOf(pod, name)
	if n.crashes[string(pod.UID)+s.Image]++; n.crashes[string(pod.UID)+s.Image]%mostCrashes != 0 {
		n.run(pod, name)
		return
	}
	s.Ready = false
	s.State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff", Message: "back-off restarting failed container"}}
	set(pod, corev1.ContainersReady, false, n.now())
	set(pod, corev1.PodReady, false, n.now())
}

// Amounts of cpu beyond which a node cannot give them.
var mostCPU = resource.MustParse("16")

// observe takes notice of the pod's spec.
func (n *nodes) observe(pod *corev1.Pod) {
	pod.Status.ObservedGeneration = pod.Generation
	drop := func(t corev1.PodConditionType) {
		pod.Status.Conditions = slices.DeleteFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == t })
	}
	drop(corev1.PodResizePending)
	for _, c := range living(pod) {
		s := statusOf(pod, c.Name)
		if s.Resources == nil || equality.Semantic.DeepEqual(*s.Resources, c.Resources) {
			continue
		}
		if c.Resources.Requests.Cpu().Cmp(mostCPU) > 0 {
			drop(corev1.PodResizeInProgress)
			set(pod, corev1.PodResizePending, true, n.now())
			last := &pod.Status.Conditions[len(pod.Status.Conditions)-1]
			last.Reason, last.Message = corev1.PodReasonInfeasible, "Node didn't have enough capacity: cpu"
			return
		}
		set(pod, corev1.PodResizeInProgress, true, n.now())
	}
}

// resize gives the containers what the spec says. Those that ask for it are restarted.
func (n *nodes) resize(pod *corev1.Pod) {
	for _, c := range living(pod) {
		s := statusOf(pod, c.Name)
		if s.Resources == nil || equality.Semantic.DeepEqual(*s.Resources, c.Resources) {
			continue
		}
		s.Resources = c.Resources.DeepCopy()
		if restartsByResize(c) && s.State.Running != nil {
			n.run(pod, c.Name)
		}
	}
	pod.Status.Conditions = slices.DeleteFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == corev1.PodResizeInProgress })
}

func restartsByResize(c *corev1.Container) bool {
	return slices.ContainsFunc(c.ResizePolicy, func(p corev1.ContainerResizePolicy) bool { return p.RestartPolicy == corev1.RestartContainer })
}

// again starts a container that crashes once more: the image that it had, whatever the spec says by now.
func (n *nodes) again(pod *corev1.Pod, name string) {
	s := statusOf(pod, name)
	if name == "" || n.broken[s.Image] {
		return
	}
	n.made++
	s.RestartCount++
	s.ContainerID = fmt.Sprintf("sim://%s-%d", n.c.name, n.made)
	s.State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: n.now()}}
}
