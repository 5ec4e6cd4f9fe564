package sidecarset

import (
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/periplus-dev/periplus/pkg/inplace"
	"github.com/periplus-dev/periplus/pkg/sidecar"
)

// whyFailing returns the reason why a sidecar does not come up; empty if it may just be starting. in is how long until it counts as failing if nothing happens; 0 where
// time alone does not tell.
func whyFailing(pod *corev1.Pod, part sidecar.Part, now time.Time) (reason, message string, in time.Duration) {
	check := func(statuses []corev1.ContainerStatus, names []string) {
		for i := range statuses {
			s := &statuses[i]
			if reason != "" || !slices.Contains(names, s.Name) {
				continue
			}
			if w := s.State.Waiting; w != nil && w.Reason != "" && w.Reason != "ContainerCreating" && w.Reason != "PodInitializing" {
				reason, message = w.Reason, fmt.Sprintf("container %s: %s", s.Name, w.Message)
			} else if t := s.State.Terminated; t != nil && t.ExitCode != 0 && !inplace.EndedForChange(pod, s.Name, t) {
				reason, message = t.Reason, fmt.Sprintf("container %s: ended with exit code %d", s.Name, t.ExitCode)
			}
		}
	}
	check(pod.Status.InitContainerStatuses, part.InitContainers)
	check(pod.Status.ContainerStatuses, part.Containers)
	if reason == "" {
		return inplace.NotStarted(pod, part.Names(), now)
	}
	return reason, message, 0
}
