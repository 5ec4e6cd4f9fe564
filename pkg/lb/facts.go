package lb

import (
	"net/netip"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
)

// factsOf reads a pod. The gate counts only where the pod has it; it is open where its condition is True, which is the engine's word alone.
func factsOf(pod *corev1.Pod, port uint16, finalizer string) *Pod {
	p := &Pod{Held: slices.Contains(pod.Finalizers, finalizer)}
	if ip, err := netip.ParseAddr(pod.Status.PodIP); err == nil {
		p.Address = netip.AddrPortFrom(ip, port)
	}
	gated := slices.ContainsFunc(pod.Spec.ReadinessGates, func(g corev1.PodReadinessGate) bool { return g.ConditionType == v1alpha1.ReadinessGateInService })
	ended := pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
	p.Leaving = pod.DeletionTimestamp != nil || ended || gated && !isTrue(pod, v1alpha1.ReadinessGateInService)
	p.Serves = !p.Leaving && p.Address.IsValid() && isTrue(pod, corev1.PodReady)
	return p
}

func isTrue(pod *corev1.Pod, condition corev1.PodConditionType) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == condition {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// uidLength of the beginning of a UID that is in a server's name: a pod that was rebuilt under the same name is another server.
const uidLength = 8

// serverOf is the name of a pod's server: its own name, which has no '_', and the beginning of its UID.
func serverOf(name string, uid types.UID) string {
	return name + "_" + string(uid[:min(len(uid), uidLength)])
}

var ours = regexp.MustCompile(`^[a-z0-9.-]+_[0-9a-f]{8}$`)

// podOf returns the name of the pod that a server was made for. A server with a name of another form is the user's, from HAProxy's configuration, and left alone.
func podOf(server string) (string, bool) {
	if !ours.MatchString(server) {
		return "", false
	}
	name, _, _ := strings.Cut(server, "_")
	return name, true
}

// slim keeps of a pod what factsOf and the patches need. It is the informer's transform.
func slim(object any) (any, error) {
	pod, ok := object.(*corev1.Pod)
	if !ok {
		return object, nil
	}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID, ResourceVersion: pod.ResourceVersion,
			Finalizers: pod.Finalizers, DeletionTimestamp: pod.DeletionTimestamp,
		},
		Spec:   corev1.PodSpec{ReadinessGates: pod.Spec.ReadinessGates},
		Status: corev1.PodStatus{Phase: pod.Status.Phase, PodIP: pod.Status.PodIP, Conditions: pod.Status.Conditions},
	}, nil
}
