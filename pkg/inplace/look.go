package inplace

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
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
	// closedBy is who closed the gate, as its annotation has it; empty where it is open, was never open, or somebody closed it by hand.
	closedBy string
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
	if l.ClosedFor != "" && hasGate(pod) {
		l.closedBy = pod.Annotations[v1alpha1.AnnotationHolder]
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

// Holder of the pod is who closed its gate, or patched a change into it that is not done, as <kind>/<name>; empty where nobody did. While there is one, nobody else
// changes the pod.
func (l *Look) Holder() string {
	switch {
	case l.closedBy != "":
		return l.closedBy
	case l.recorded && l.Changing:
		return l.record.Holder
	}
	return ""
}

// HeldByAnother returns who else holds the pod. One who waits for nothing but its containers does not hold it from who has one there that is failing.
func (l *Look) HeldByAnother(holder string, failing bool) (string, bool) {
	other := l.Holder()
	if failing && l.closedBy != "" && !l.Changing && !l.unfinished && !l.Ready {
		return "", false
	}
	return other, other != "" && other != holder
}

// ChangingFor says whether a change in place that the holder patched into the pod is not done.
func (l *Look) ChangingFor(holder string) bool {
	return l.Changing && l.underWay && l.record.Holder == holder
}

// HasBegun says whether the holder has something to bring to its end on the pod: a gate to open, or a change whose end is not written.
func (l *Look) HasBegun(holder string) bool {
	return l.closedBy == holder || l.underWay && l.record.Holder == holder
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
