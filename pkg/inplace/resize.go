package inplace

import (
	"maps"

	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
)

// resizable says whether a container's resources can go from one to the other through the pod's resize subresource: only cpu and memory differ, and no request
// or limit is added where there was none of its kind in the pod's class of service, or taken away (ValidatePodResize in k8s.io/kubernetes).
func resizable(from, to *corev1.ResourceRequirements) bool {
	if !apiequality.Semantic.DeepEqual(from.Claims, to.Claims) {
		return false
	}
	return resizableList(from.Requests, to.Requests) && resizableList(from.Limits, to.Limits)
}

func resizableList(from, to corev1.ResourceList) bool {
	for name, was := range from {
		is, ok := to[name]
		if !ok || name != corev1.ResourceCPU && name != corev1.ResourceMemory && is.Cmp(was) != 0 {
			return false
		}
	}
	for name := range to {
		if _, ok := from[name]; !ok && name != corev1.ResourceCPU && name != corev1.ResourceMemory {
			return false
		}
	}
	return true
}

// classOf is a pod's class of service, which a resize may not change. It counts containers and init containers alike, as the API server does.
func classOf(spec *corev1.PodSpec) corev1.PodQOSClass {
	none, guaranteed := true, true
	for _, list := range [][]corev1.Container{spec.InitContainers, spec.Containers} {
		for i := range list {
			r := &list[i].Resources
			for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
				request, requested := r.Requests[name]
				limit, limited := r.Limits[name]
				if requested && !request.IsZero() || limited && !limit.IsZero() {
					none = false
				}
				if !limited || limit.IsZero() || requested && request.Cmp(limit) != 0 {
					guaranteed = false
				}
			}
		}
	}
	switch {
	case none:
		return corev1.PodQOSBestEffort
	case guaranteed:
		return corev1.PodQOSGuaranteed
	}
	return corev1.PodQOSBurstable
}

// toResize are the containers whose resources in the pod's spec are not what the change in progress wants.
func toResize(pod *corev1.Pod, r Record) map[string]corev1.ResourceRequirements {
	out := map[string]corev1.ResourceRequirements{}
	for name, want := range r.Resize {
		full := asCreated(&want)
		if c := specContainer(pod, name); c != nil && (!has(c.Resources.Limits, full.Limits) || !has(c.Resources.Requests, full.Requests)) {
			out[name] = full
		}
	}
	return out
}

// asCreated is what the API server makes of resources in a new pod: requests that are not named are the limits. In a pod that is there it would leave the old ones.
func asCreated(want *corev1.ResourceRequirements) corev1.ResourceRequirements {
	out := *want.DeepCopy()
	out.Requests = maps.Clone(out.Limits)
	if out.Requests == nil {
		out.Requests = corev1.ResourceList{}
	}
	maps.Copy(out.Requests, want.Requests)
	return out
}

// has says whether a pod has the amounts that are wanted. Others, such as those of a LimitRange, are none of the template's.
func has(have, want corev1.ResourceList) bool {
	for name, x := range want {
		if y, ok := have[name]; !ok || x.Cmp(y) != 0 {
			return false
		}
	}
	return true
}

func sameAmounts(a, b corev1.ResourceList) bool { return len(a) == len(b) && has(a, b) }

// resized says whether the kubelet made the resizes of a change: it observed the pod, has none pending or in progress, and reports the containers with the cpu and
// memory of the spec.
func resized(pod *corev1.Pod, r Record) bool {
	if len(r.Resize) == 0 {
		return true
	}
	if len(toResize(pod, r)) > 0 || pod.Status.ObservedGeneration < pod.Generation {
		return false
	}
	if resizeStands(pod) {
		return false
	}
	for name := range r.Resize {
		c, status := specContainer(pod, name), containerStatus(pod, name)
		if c == nil || status.ContainerID == "" {
			continue // not there, or it starts with what the spec says.
		}
		if status.Resources == nil || !sameAmounts(status.Resources.Requests, c.Resources.Requests) || !sameAmounts(status.Resources.Limits, c.Resources.Limits) {
			return false
		}
	}
	return true
}

func resizeStands(pod *corev1.Pod) bool {
	for _, t := range []corev1.PodConditionType{corev1.PodResizePending, corev1.PodResizeInProgress} {
		if condition(pod, t).Status == corev1.ConditionTrue {
			return true
		}
	}
	return false
}

// infeasible is in which words the kubelet says that the pod's node can never give what a change under way wants, and so that the pod has to be rebuilt; empty if it
// does not say so.
func infeasible(pod *corev1.Pod, r Record) string {
	c := condition(pod, corev1.PodResizePending)
	if len(r.Resize) == 0 || c.Status != corev1.ConditionTrue || c.Reason != corev1.PodReasonInfeasible {
		return ""
	}
	return c.Message
}
