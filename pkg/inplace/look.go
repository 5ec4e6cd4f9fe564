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

	// record is the pod's. recorded: there is one that can be read; underWay: and its change is not Done; unfinished: and has writes left to make.
	record                         Record
	recorded, underWay, unfinished bool
}

// LookAt a pod.
func LookAt(pod *corev1.Pod) Look {
	r, err := recordOf(pod)
	l := Look{
		Ready: Ready(pod), ClosedFor: ClosedFor(pod), Changing: inProgress(pod, r, err),
		record: r, recorded: err == nil, underWay: err == nil && !r.Done,
	}
	if l.underWay {
		l.unfinished = len(r.Next) > 0 || len(toResize(pod, r)) > 0
		l.Infeasible = infeasible(pod, r)
	}
	complete := len(Missing(pod)) == 0
	l.Idle = !l.Changing && gateOpen(pod) && complete
	l.serves = l.Idle && l.Ready && pod.DeletionTimestamp == nil
	if l.serves {
		l.since = condition(pod, corev1.PodReady).LastTransitionTime.Time
	}
	return l
}

// Unfinished says whether a change that the holder began has writes left to make: a pod on which it has must stay out of service meanwhile.
func (l *Look) Unfinished(holder string) bool { return l.unfinished && l.record.Holder == holder }

// heldByAnother returns who else changes the pod.
func (l *Look) heldByAnother(holder string) (string, bool) {
	return l.record.Holder, l.recorded && l.record.Holder != holder && l.Changing
}

// earlier is the change that is under way, or an empty one.
func (l *Look) earlier() Record {
	if !l.underWay {
		return Record{}
	}
	return l.record
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
