package inplace

import (
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// NotStartedAfter is how long a container that was ended for a change may take to be started again before its pod counts as failing.
const NotStartedAfter = time.Minute

// ReasonNotStarted is a pod's own reason where the kubelet has none.
const ReasonNotStarted = "NotStarted"

// NotStarted returns a reason, and words, where a container that was ended for a change in place is not started again. The kubelet does not say why of a native sidecar
// that ended well, such as that its new image cannot be pulled: it reports it as completed for ever (convertToAPIContainerStatuses, as of 1.36; test/conformance asks it).
// A pull that takes longer than NotStartedAfter looks the same. Of these containers, or of all where names is nil. in is how long until there is a reason if nothing
// happens; 0 where time alone brings none.
func NotStarted(pod *corev1.Pod, names []string, now time.Time) (reason, message string, in time.Duration) {
	r, err := recordOf(pod)
	if err != nil {
		return "", "", 0
	}
	for _, list := range [][]corev1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses} {
		for i := range list {
			s := &list[i]
			ended := s.State.Terminated
			if ended == nil || !r.ended(s.Name, ended) || names != nil && !slices.Contains(names, s.Name) {
				continue
			}
			if left := ended.FinishedAt.Add(NotStartedAfter).Sub(now); left > 0 {
				in = max(in, left)
				continue
			}
			message = fmt.Sprintf("container %s: ended at %s to be changed and was not started again; the pod's Events say why", s.Name, ended.FinishedAt.UTC().Format(time.TimeOnly))
			return ReasonNotStarted, message, 0
		}
	}
	return "", "", in
}

// EndedForChange says whether a container's end is the one that a change in place made of it, which is no failure.
func EndedForChange(pod *corev1.Pod, name string, ended *corev1.ContainerStateTerminated) bool {
	r, err := recordOf(pod)
	return err == nil && r.ended(name, ended)
}

func (r Record) ended(name string, ended *corev1.ContainerStateTerminated) bool {
	b, ok := r.before(name)
	return ok && b.ContainerID != "" && b.ContainerID == ended.ContainerID
}
