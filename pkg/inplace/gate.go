package inplace

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
)

// Reasons that the gate's condition carries.
const (
	// GateChanging: the gate is closed for a change in place.
	GateChanging = "Changing"
	// GateLeaving: the gate is closed because the pod is to be deleted.
	GateLeaving = "Leaving"
	// GateInService: the gate is open.
	GateInService = "InService"
)

// Available says whether a pod serves and has done so for minReadySeconds. A pod whose gate we closed is not available from that write on,
// even while its Ready condition lags; and not again before the load balancers and hooks that let go of it took it back.
func Available(pod *corev1.Pod, minReadySeconds int32, now time.Time) bool {
	l := LookAt(pod)
	left, ok := l.AvailableIn(minReadySeconds, now)
	return ok && left <= 0
}

// Ready says what the pod's Ready condition says.
func Ready(pod *corev1.Pod) bool {
	return condition(pod, corev1.PodReady).Status == corev1.ConditionTrue
}

// ClosedFor returns the reason for which the gate was closed; empty if it is open, or was never open.
func ClosedFor(pod *corev1.Pod) string {
	if c := condition(pod, v1alpha1.ReadinessGateInService); c.Status == corev1.ConditionFalse {
		return c.Reason
	}
	return ""
}

// gateOpen is true for pods without our gate, such as those that somebody else made: nothing of ours holds them back.
func gateOpen(pod *corev1.Pod) bool {
	for _, g := range pod.Spec.ReadinessGates {
		if g.ConditionType == v1alpha1.ReadinessGateInService {
			return condition(pod, v1alpha1.ReadinessGateInService).Status == corev1.ConditionTrue
		}
	}
	return true
}

func hasGate(pod *corev1.Pod) bool {
	for _, g := range pod.Spec.ReadinessGates {
		if g.ConditionType == v1alpha1.ReadinessGateInService {
			return true
		}
	}
	return false
}

func condition(pod *corev1.Pod, t corev1.PodConditionType) corev1.PodCondition {
	for i := range pod.Status.Conditions {
		if pod.Status.Conditions[i].Type == t {
			return pod.Status.Conditions[i]
		}
	}
	return corev1.PodCondition{Type: t, Status: corev1.ConditionUnknown}
}

func gateCondition(pod *corev1.Pod, open bool, reason, message string, now time.Time) corev1.PodCondition {
	status := corev1.ConditionFalse
	if open {
		status = corev1.ConditionTrue
	}
	return corev1.PodCondition{
		Type: v1alpha1.ReadinessGateInService, Status: status, Reason: reason, Message: message,
		LastTransitionTime: metav1.NewTime(now), ObservedGeneration: pod.Generation,
	}
}
