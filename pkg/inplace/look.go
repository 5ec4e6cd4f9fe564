package inplace

import (
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Look is what a pod says by itself. Whoever looks at many pods often keeps it for as long as the pod is the same object: most of what it costs is reading
// the record.
type Look struct {
	// Ready is its Ready condition, ClosedFor the reason for which its gate was closed.
	Ready     bool
	ClosedFor string
	// Changing: a change in place was patched into it and is not done.
	Changing bool
	// Infeasible is why its node can never give what a change in place of it wants; empty if it can.
	Infeasible string
	// Idle: a pod that is to Serve has nothing to do and nothing to wait for.
	Idle bool

	// serves: nothing but minReadySeconds, since then, is between the pod and available.
	serves bool
	since  time.Time
}

// LookAt a pod.
func LookAt(pod *corev1.Pod) Look {
	l := Look{Ready: Ready(pod), ClosedFor: ClosedFor(pod), Changing: UpdateInProgress(pod)}
	if l.Changing {
		l.Infeasible, _ = infeasible(pod)
	}
	complete := len(Missing(pod)) == 0
	l.Idle = !l.Changing && gateOpen(pod) && complete
	l.serves = l.Idle && l.Ready && pod.DeletionTimestamp == nil
	if l.serves {
		l.since = condition(pod, corev1.PodReady).LastTransitionTime.Time
	}
	return l
}

// AvailableIn returns how long until a pod is available if nothing changes; false if it will not be without a change.
func (l *Look) AvailableIn(minReadySeconds int32, now time.Time) (time.Duration, bool) {
	if !l.serves {
		return 0, false
	}
	if minReadySeconds <= 0 {
		return 0, true
	}
	return l.since.Add(time.Duration(minReadySeconds) * time.Second).Sub(now), true
}
