package inplace

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// changeStep begins a change: labels, annotations and the record, with the images whose turn it is first. Where cpu or memory change that is none of a container that
// runs: a resize is a write of its own, and one that the node cannot give means a rebuild, for which nothing should have been restarted.
func changeStep(in Input) (Step, error) {
	images, resize := wanted(in)
	var turn []string
	if len(toResize(in.Pod, Record{Resize: resize})) == 0 {
		turn = firstTurn(in.Pod, images, in.Order)
	}
	// Containers that an earlier change has touched and that are not done wait for nobody: what they were given may never run.
	earlier := in.Look.earlier()
	for _, name := range restarted(in.Pod, earlier, turn) {
		if _, ok := images[name]; ok && !slices.Contains(turn, name) {
			turn = append(turn, name)
		}
	}
	record := Record{
		Holder: in.Holder, Revision: in.Revision, Time: metav1.NewTime(in.Now), Resize: resize,
		Containers: earlier.beforeAll(in.Pod, restarted(in.Pod, earlier, turn)),
	}
	record.Restarts = restartsSoFar(in, record.Containers)
	now := only(images, turn)
	for _, name := range turn {
		delete(images, name)
	}
	if len(images) > 0 {
		record.Next = images
	}
	patch, err := changePatch(in, now, in.Change, record)
	return Step{Act: WriteChange, Patch: patch}, err
}

// wanted are the images and resources that the pod is to get and does not have: those of the change, and what an earlier change of the same holder has left to do
// where this one says nothing else. Revisions are compared with each other, so what both want and the pod does not have is in no change.
func wanted(in Input) (images map[string]string, resize map[string]corev1.ResourceRequirements) {
	images, resize = map[string]string{}, map[string]corev1.ResourceRequirements{}
	if earlier := in.Look.earlier(); earlier.Holder == in.Holder {
		maps.Copy(images, earlier.Next)
		if !resized(in.Pod, earlier) {
			maps.Copy(resize, earlier.Resize)
		}
	}
	maps.Copy(images, in.Change.Images)
	maps.Copy(resize, in.Change.Resources)
	maps.DeleteFunc(images, func(name, image string) bool {
		c := specContainer(in.Pod, name)
		return c == nil || c.Image == image
	})
	if len(resize) == 0 {
		resize = nil
	}
	return images, resize
}

// firstTurn returns the containers to patch now: the first of the order that has something to get, or all of those that are not in it.
func firstTurn(pod *corev1.Pod, images map[string]string, order []string) []string {
	for _, name := range order {
		if _, ok := images[name]; ok {
			return []string{name}
		}
	}
	return slices.DeleteFunc(restartable(pod), func(name string) bool { _, ok := images[name]; return !ok })
}

// restarted are the containers that a patch restarts: those whose turn it is, and those that a change in progress has patched and the kubelet not done.
func restarted(pod *corev1.Pod, earlier Record, turn []string) []string {
	return slices.DeleteFunc(restartable(pod), func(name string) bool {
		if slices.Contains(turn, name) {
			return false
		}
		before, ok := earlier.before(name)
		return !ok || ContainerDone(pod, before)
	})
}

// goOn makes the next write of a change that is Unfinished. No container of it waits for its turn that was patched before: changeStep sees to that.
func goOn(in Input) (Step, error) {
	r := in.Look.earlier()
	if resize := toResize(in.Pod, r); len(resize) > 0 {
		patch, err := resizePatch(in.Pod, resize)
		return Step{Act: WriteResize, Patch: patch}, err
	}
	if !patchedDone(in.Pod, r) || !resized(in.Pod, r) {
		return Step{Wait: waitOfKubelet(in)}, nil
	}
	for _, c := range r.Containers {
		if !containerStatus(in.Pod, c.Name).Ready {
			return Step{Wait: WaitContainers}, nil
		}
	}
	turn := firstTurn(in.Pod, r.Next, in.Order)
	now := only(r.Next, turn)
	if len(turn) == 0 {
		r.Next = nil // somebody took those containers out of the pod's record.
	}
	patch, err := changePatch(in, now, Change{}, r.begun(in.Pod, turn))
	return Step{Act: WriteChange, Patch: patch}, err
}

// only the images of these containers.
func only(images map[string]string, names []string) map[string]string {
	out := make(map[string]string, len(names))
	for _, name := range names {
		out[name] = images[name]
	}
	return out
}

// waitOfKubelet says what of a change the kubelet has to do.
func waitOfKubelet(in Input) Wait {
	if r := in.Look.earlier(); patchedDone(in.Pod, r) && !resized(in.Pod, r) {
		return WaitResize
	}
	return WaitKubelet
}
