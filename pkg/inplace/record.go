package inplace

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
)

// Record is the annotation apps.periplus.dev/update: the change of a pod that is in progress or was done last, written in the same patch as the
// change itself. Fields may be added; a reader ignores what it does not know.
type Record struct {
	// Holder of the change, as <kind>/<name>. While it is in progress nobody else changes the pod.
	Holder string `json:"holder"`
	// Revision that the holder changed the pod to.
	Revision string `json:"revision"`
	// Time of the patch. For people, and for those who measure; no change is decided by it.
	Time metav1.Time `json:"time"`
	// Containers that the change restarts, as they were before. Empty where only labels or annotations changed.
	Containers []ContainerBefore `json:"containers,omitempty"`
	// Next are images that wait for their turn, by container: they are patched once the containers before them run what they should and are ready.
	Next map[string]string `json:"next,omitempty"`
	// Restarts are how often containers that the change does not restart had restarted before, and what of that is not held against them: see RestartsSince.
	Restarts map[string]int32 `json:"restarts,omitempty"`
	// Resize is the cpu and memory that containers are to have, by container. It is written through the pod's resize subresource, by itself, before any image.
	Resize map[string]corev1.ResourceRequirements `json:"resize,omitempty"`
	// Done is written with the gate that is opened after the change. What happens to the pod from then on is not the change's: somebody else resizes it, or the
	// runtime reports its image by another tag.
	Done bool `json:"done,omitempty"`
}

// ContainerBefore is what ran before a change.
type ContainerBefore struct {
	Name string `json:"name"`
	// Image as the pod's spec named it if the container ran that, else as its status did.
	Image string `json:"image"`
	// ImageID that the runtime resolved it to; empty if the container never ran.
	ImageID string `json:"imageID,omitempty"`
	// ContainerID of the container; empty if it never ran.
	ContainerID string `json:"containerID,omitempty"`
	// RestartCount that the kubelet had counted.
	RestartCount int32 `json:"restartCount,omitempty"`
	// Stopped: it did not run, but waited to be started again, or for its image.
	Stopped bool `json:"stopped,omitempty"`
	// Passed are images that earlier changes wanted and that were given up before they were seen to run. The kubelet may still be at one of them.
	Passed []string `json:"passed,omitempty"`
}

// errNoRecord says that a pod was never changed in place.
var errNoRecord = errors.New("the pod was never changed in place")

// recordOf returns the record on a pod: errNoRecord if there is none, another error if somebody damaged it.
func recordOf(pod *corev1.Pod) (Record, error) {
	text, ok := pod.Annotations[v1alpha1.AnnotationUpdate]
	if !ok {
		return Record{}, errNoRecord
	}
	var r Record
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return Record{}, fmt.Errorf("annotation %s of pod %s/%s: %w", v1alpha1.AnnotationUpdate, pod.Namespace, pod.Name, err)
	}
	return r, nil
}

// RestartsSince is how often the pod's containers restarted by themselves since the pod's owner last changed it in place. The restart that a change makes is none of
// them, whoever makes it; what a container did by itself before counts on over the change of a sidecar, which says nothing of the application.
func RestartsSince(pod *corev1.Pod) int32 {
	r, err := recordOf(pod)
	var n int32
	for _, list := range [][]corev1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses} {
		for i := range list {
			count := list[i].RestartCount
			if err == nil {
				count = max(count-r.excused(list[i].Name), 0)
			}
			n += count
		}
	}
	return n
}

// excused are the restarts of a container that are not held against it.
func (r Record) excused(container string) int32 {
	if b, ok := r.before(container); ok {
		return b.RestartCount + 1
	}
	return r.Restarts[container]
}

// restartsSoFar are what a change that begins now excuses of the containers that it does not restart: all, where the pod's owner makes it; else what was excused before.
func restartsSoFar(in Input, restarts []ContainerBefore) map[string]int32 {
	var out map[string]int32
	for _, list := range [][]corev1.ContainerStatus{in.Pod.Status.InitContainerStatuses, in.Pod.Status.ContainerStatuses} {
		for i := range list {
			name, n := list[i].Name, list[i].RestartCount
			if slices.ContainsFunc(restarts, func(b ContainerBefore) bool { return b.Name == name }) {
				continue
			}
			if in.RevisionLabel != "" {
				n = min(n, in.Look.record.excused(name))
			}
			if n == 0 {
				continue
			}
			if out == nil {
				out = map[string]int32{}
			}
			out[name] = n
		}
	}
	return out
}

// Begun is when the pod began to become what it is: when it was last changed in place, by whomever, or when it was made.
func Begun(pod *corev1.Pod) time.Time {
	if r, err := recordOf(pod); err == nil && r.Time.After(pod.CreationTimestamp.Time) {
		return r.Time.Time
	}
	return pod.CreationTimestamp.Time
}

func (r Record) before(container string) (ContainerBefore, bool) {
	for _, c := range r.Containers {
		if c.Name == container {
			return c, true
		}
	}
	return ContainerBefore{}, false
}

// begun returns a record with the named containers added, which are patched now.
func (r Record) begun(pod *corev1.Pod, containers []string) Record {
	r.Next = maps.Clone(r.Next)
	r.Containers = slices.Clone(r.Containers)
	for _, name := range containers {
		delete(r.Next, name)
		r.Containers = append(r.Containers, beforeOf(pod, name))
	}
	return r
}

// doneNow is the record of a holder's change that is under way as it is when the gate is opened after it; false if there is none to close.
func (r Record) doneNow(holder string) (string, bool) {
	if r.Holder != holder {
		return "", false
	}
	r.Done = true
	text, err := json.Marshal(r)
	return string(text), err == nil
}

func beforeOf(pod *corev1.Pod, name string) ContainerBefore {
	status := containerStatus(pod, name)
	return ContainerBefore{
		Name: name, Image: specImage(pod, name), ImageID: status.ImageID, ContainerID: status.ContainerID, RestartCount: status.RestartCount,
		Stopped: status.State.Running == nil,
	}
}

// beforeAll is what ran in the named containers before a change that restarts them now, where r is the record that the pod has until then. A container that an earlier
// change in progress has not touched yet keeps what that change recorded: it still runs what ran before both.
func (r Record) beforeAll(pod *corev1.Pod, containers []string) []ContainerBefore {
	var out []ContainerBefore
	for _, name := range containers {
		out = append(out, r.beforeNow(pod, name))
	}
	return out
}

// beforeNow is what ran in a container before a change that is patched now, where r is the record that the pod has until then.
func (r Record) beforeNow(pod *corev1.Pod, name string) ContainerBefore {
	status := containerStatus(pod, name)
	before := beforeOf(pod, name)
	if e, ok := r.before(name); ok && !ContainerDone(pod, e) {
		if e.ContainerID == status.ContainerID {
			before = e
		} else {
			before.Image = status.Image
		}
		before.Passed = append(slices.Clone(e.Passed), specImage(pod, name))
	}
	return before
}

// containerStatus of a container or native sidecar.
func containerStatus(pod *corev1.Pod, name string) corev1.ContainerStatus {
	for _, list := range [][]corev1.ContainerStatus{pod.Status.ContainerStatuses, pod.Status.InitContainerStatuses} {
		for i := range list {
			if list[i].Name == name {
				return list[i]
			}
		}
	}
	return corev1.ContainerStatus{Name: name}
}

// specContainer is a container or native sidecar of a pod; nil if it has none of that name.
func specContainer(pod *corev1.Pod, name string) *corev1.Container {
	for i := range pod.Spec.Containers {
		if pod.Spec.Containers[i].Name == name {
			return &pod.Spec.Containers[i]
		}
	}
	for i := range pod.Spec.InitContainers {
		if c := &pod.Spec.InitContainers[i]; c.Name == name && isNativeSidecar(c) {
			return c
		}
	}
	return nil
}

func specImage(pod *corev1.Pod, name string) string {
	if c := specContainer(pod, name); c != nil {
		return c.Image
	}
	return ""
}
