package inplace

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
)

// hopeless are the reasons of waiting containers that do not go away by waiting a little.
var hopeless = map[string]bool{
	"ErrImagePull": true, "ImagePullBackOff": true, "InvalidImageName": true, "ErrImageNeverPull": true, "ImageInspectError": true, "RegistryUnavailable": true,
	"CrashLoopBackOff": true, "CreateContainerConfigError": true, "CreateContainerError": true, "RunContainerError": true, "PostStartHookError": true,
}

// Failing returns a pod's own reason why it does not come up, and why in words; empty if it may just be starting. changing says that a change in place was
// patched into it and is not done.
func Failing(pod *corev1.Pod, changing bool) (reason, message string) {
	if reason, message = whyFailing(pod); reason == "" && !changing {
		reason, message = whyRestarted(pod)
	}
	return reason, message
}

func whyFailing(pod *corev1.Pod) (reason, message string) {
	for _, statuses := range [][]corev1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses} {
		for i := range statuses {
			if w := statuses[i].State.Waiting; w != nil && hopeless[w.Reason] {
				return w.Reason, fmt.Sprintf("container %s: %s", statuses[i].Name, w.Message)
			}
		}
	}
	if c, is := Unschedulable(pod); is {
		return c.Reason, c.Message
	}
	return "", ""
}

// Unschedulable says whether the scheduler found no room for a pod, and returns its words; the condition's transition is when it first said so.
func Unschedulable(pod *corev1.Pod) (corev1.PodCondition, bool) {
	c := condition(pod, corev1.PodScheduled)
	return c, c.Status == corev1.ConditionFalse && c.Reason == corev1.PodReasonUnschedulable
}

// whyRestarted returns how a container ended that runs again and is not ready: between two crashes a pod fails no less. The end that a change in place made of a
// container is none of these; the pod's record names that container.
func whyRestarted(pod *corev1.Pod) (reason, message string) {
	for _, statuses := range [][]corev1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses} {
		for i := range statuses {
			s := &statuses[i]
			last := s.LastTerminationState.Terminated
			if s.State.Running == nil || s.Ready || last == nil || s.RestartCount == 0 ||
				last.ContainerID != "" && strings.Contains(pod.Annotations[v1alpha1.AnnotationUpdate], strconv.Quote(last.ContainerID)) {
				continue
			}
			r, err := recordOf(pod)
			if _, own := r.before(s.Name); err == nil && !own && s.RestartCount <= r.excused(s.Name) {
				continue // a change before that one made it.
			}
			return cmp.Or(last.Reason, "Restarted"), fmt.Sprintf("container %s: ended with exit code %d, runs again and is not ready", s.Name, last.ExitCode)
		}
	}
	return "", ""
}

// Failures are failing pods, by their own reasons.
type Failures struct {
	Pods    int
	reasons map[string]failure
}

// failure names the first of the pods that fail for one reason.
type failure struct {
	pods         int
	pod, message string
}

// Add a pod that fails.
func (f *Failures) Add(pod, reason, message string) {
	if f.reasons == nil {
		f.reasons = map[string]failure{}
	}
	f.Pods++
	of, known := f.reasons[reason]
	if !known || pod < of.pod {
		of.pod, of.message = pod, message
	}
	of.pods++
	f.reasons[reason] = of
}

// String says how many pods fail and why, with one pod for each reason.
func (f *Failures) String() string {
	var parts []string
	for _, reason := range slices.Sorted(maps.Keys(f.reasons)) {
		of := f.reasons[reason]
		parts = append(parts, fmt.Sprintf("%d: %s (%s: %s)", of.pods, reason, of.pod, of.message))
	}
	return fmt.Sprintf("%d pods fail: %s", f.Pods, strings.Join(parts, "; "))
}
