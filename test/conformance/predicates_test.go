//go:build conformance

package conformance

import (
	corev1 "k8s.io/api/core/v1"
)

func condition(p *corev1.Pod, kind corev1.PodConditionType) corev1.PodCondition {
	for _, c := range p.Status.Conditions {
		if c.Type == kind {
			return c
		}
	}
	return corev1.PodCondition{}
}

func is(kind corev1.PodConditionType, status corev1.ConditionStatus) func(*corev1.Pod) bool {
	return func(p *corev1.Pod) bool { return condition(p, kind).Status == status }
}

var ready = is(corev1.PodReady, corev1.ConditionTrue)

func status(p *corev1.Pod, name string) corev1.ContainerStatus {
	for _, list := range [][]corev1.ContainerStatus{p.Status.ContainerStatuses, p.Status.InitContainerStatuses} {
		for _, s := range list {
			if s.Name == name {
				return s
			}
		}
	}
	return corev1.ContainerStatus{}
}

func waiting(name, reason string) func(*corev1.Pod) bool {
	return func(p *corev1.Pod) bool {
		w := status(p, name).State.Waiting
		return w != nil && w.Reason == reason
	}
}

// renewed is a ready pod whose container is another than in old.
func renewed(old *corev1.Pod, name string) func(*corev1.Pod) bool {
	return func(p *corev1.Pod) bool {
		return ready(p) && status(p, name).ContainerID != status(old, name).ContainerID
	}
}

func anyOf(versions []*corev1.Pod, is func(*corev1.Pod) bool) bool {
	for _, p := range versions {
		if is(p) {
			return true
		}
	}
	return false
}
