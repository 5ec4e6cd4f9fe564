package inplace

import (
	"errors"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
)

// RunsRevision says whether a pod runs a revision: it carries the revision's label, and no change of it is in progress.
func RunsRevision(pod *corev1.Pod, revision string) bool {
	return pod.Labels[v1alpha1.LabelRevision] == revision && !UpdateInProgress(pod)
}

// UpdateInProgress says whether a change in place was patched into the pod, by whomever, and the kubelet has not done it.
func UpdateInProgress(pod *corev1.Pod) bool {
	r, err := recordOf(pod)
	return inProgress(pod, r, err)
}

// inProgress is UpdateInProgress of a pod whose record, or why there is none, is known.
func inProgress(pod *corev1.Pod, r Record, err error) bool {
	if errors.Is(err, errNoRecord) {
		return false
	}
	if err != nil {
		// What ran before is lost. That every container runs the image that the spec names is the next best proof, and it comes by itself.
		for _, name := range restartable(pod) {
			if !ContainerDone(pod, ContainerBefore{Name: name}) {
				return true
			}
		}
		return false
	}
	return !r.Done && (len(r.Next) > 0 || !resized(pod, r) || !patchedDone(pod, r))
}

// patchedDone says whether the containers that a change has patched so far run what they should.
func patchedDone(pod *corev1.Pod, r Record) bool {
	for _, c := range r.Containers {
		if !ContainerDone(pod, c) {
			return false
		}
	}
	return true
}

// restartable are the names of a pod's native sidecars and containers, in the pod's order.
func restartable(pod *corev1.Pod) []string {
	names := make([]string, 0, len(pod.Spec.Containers))
	for i := range pod.Spec.InitContainers {
		if isNativeSidecar(&pod.Spec.InitContainers[i]) {
			names = append(names, pod.Spec.InitContainers[i].Name)
		}
	}
	for i := range pod.Spec.Containers {
		names = append(names, pod.Spec.Containers[i].Name)
	}
	return names
}

// ContainerDone says whether a container runs the image that the pod's spec names, where before is what ran when the change was made. The kubelet must
// have observed the pod's generation, and either
//   - there is a new container, and the image in its status is the one that is wanted. Neither alone proves it: an old image that crash-loops
//     gets new IDs, and a runtime may name the same digest by the new tag while the old container runs. It need not run any more: a new image that
//     crashes is done too, and not ready;
//   - or there is a new container whose image goes by another name, as happens where a digest has several tags on a node: containerd reports
//     any of them (see underAnotherName);
//   - or what is wanted is the very image that ran before, and its container still runs: a change that was taken back before the kubelet acted.
func ContainerDone(pod *corev1.Pod, before ContainerBefore) bool {
	want := specImage(pod, before.Name)
	if want == "" {
		return true // the container is not in the pod: nothing to wait for.
	}
	if pod.Status.ObservedGeneration < pod.Generation {
		return false
	}
	status := containerStatus(pod, before.Name)
	if status.ContainerID == "" {
		return false
	}
	if status.ContainerID != before.ContainerID {
		return sameImage(want, status) || underAnotherName(status, before)
	}
	return want == before.Image && status.State.Running != nil
}

// underAnotherName says whether a new container must be the wanted one though its status does not name it so. With another digest than before it is: only a
// change makes a kubelet take another, and the changes that were given up are known by name. With the digest of before, it might be the old image that
// started again by itself. A container that ran when the change was made did not; one that was stopped may have, once, while the change was on its way to the
// kubelet, and then it is killed at once: a second start, or one that got ready, is the wanted image's.
func underAnotherName(status corev1.ContainerStatus, before ContainerBefore) bool {
	if status.ImageID == "" || slices.ContainsFunc(before.Passed, func(image string) bool { return sameImage(image, status) }) {
		return false
	}
	if before.ContainerID == "" { // nothing had ever run here.
		return status.Ready && !sameImage(before.Image, status)
	}
	if status.ImageID != before.ImageID {
		return before.ImageID != ""
	}
	starts := status.RestartCount - before.RestartCount
	return starts > 1 || starts == 1 && (!before.Stopped || status.Ready)
}
