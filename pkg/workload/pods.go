package workload

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	appsv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/inplace"
)

// byOwner indexes pods by the namespace and name of the object that controls them.
const byOwner = "periplus-owner"

// byDeployment indexes pods by the namespace and name of the CafeDeployment that their label names.
const byDeployment = "periplus-deployment"

// newPodInformer watches the pods of a namespace that carry label, without what stages never look at.
func newPodInformer(kube kubernetes.Interface, namespace, label string) cache.SharedIndexInformer {
	inf := cache.NewSharedIndexInformer(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.LabelSelector = label
			return kube.CoreV1().Pods(namespace).List(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.LabelSelector = label
			return kube.CoreV1().Pods(namespace).Watch(ctx, o)
		},
	}, &corev1.Pod{}, 0, cache.Indexers{byOwner: func(obj any) ([]string, error) {
		pod, ok := obj.(*corev1.Pod)
		if !ok {
			return nil, nil
		}
		if owner := metav1.GetControllerOf(pod); owner != nil {
			return []string{ownerKey(pod.Namespace, owner.Name)}, nil
		}
		return nil, nil
	}, byDeployment: func(obj any) ([]string, error) {
		if pod, ok := obj.(*corev1.Pod); ok && pod.Labels[appsv1alpha1.LabelCafeDeployment] != "" {
			return []string{ownerKey(pod.Namespace, pod.Labels[appsv1alpha1.LabelCafeDeployment])}, nil
		}
		return nil, nil
	}})
	// An informer that was just made takes a transform: the error says otherwise.
	_ = inf.SetTransform(slim)
	return inf
}

// slim drops what stages never look at: most of a pod's size.
func slim(obj any) (any, error) {
	pod, ok := obj.(*corev1.Pod)
	if !ok {
		return obj, nil
	}
	pod.ManagedFields = nil
	pod.Spec.Volumes = nil
	pod.Spec.Tolerations = nil
	pod.Spec.Affinity = nil
	for _, cs := range [][]corev1.Container{pod.Spec.Containers, pod.Spec.InitContainers} {
		for i := range cs {
			cs[i] = corev1.Container{Name: cs[i].Name, Image: cs[i].Image, RestartPolicy: cs[i].RestartPolicy}
		}
	}
	return pod, nil
}

func ownerKey(namespace, name string) string { return namespace + "/" + name }

func podsOf(inf cache.SharedIndexInformer, namespace, owner string, uid types.UID) ([]*corev1.Pod, error) {
	objs, err := inf.GetIndexer().ByIndex(byOwner, ownerKey(namespace, owner))
	if err != nil {
		return nil, fmt.Errorf("listing the pods of %s: %w", owner, err)
	}
	out := make([]*corev1.Pod, 0, len(objs))
	for _, o := range objs {
		pod, ok := o.(*corev1.Pod)
		if !ok || pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
			continue
		}
		if ref := metav1.GetControllerOf(pod); ref != nil && ref.UID == uid {
			out = append(out, pod)
		}
	}
	return out, nil
}

// podsLabelled are the pods that a label names as those of a CafeDeployment, and that have not ended.
func podsLabelled(inf cache.SharedIndexInformer, namespace, deployment string) ([]*corev1.Pod, error) {
	objs, err := inf.GetIndexer().ByIndex(byDeployment, ownerKey(namespace, deployment))
	if err != nil {
		return nil, fmt.Errorf("listing the pods of CafeDeployment %s: %w", deployment, err)
	}
	out := make([]*corev1.Pod, 0, len(objs))
	for _, o := range objs {
		if pod, ok := o.(*corev1.Pod); ok && pod.Status.Phase != corev1.PodSucceeded && pod.Status.Phase != corev1.PodFailed {
			out = append(out, pod)
		}
	}
	return out, nil
}

// podOf reads what all kinds of workload have in common.
func podOf(pod *corev1.Pod) Pod {
	p := Pod{
		Name: pod.Name, Namespace: pod.Namespace, Node: pod.Spec.NodeName, Created: pod.CreationTimestamp.Time, Begun: pod.CreationTimestamp.Time, Phase: string(pod.Status.Phase),
		Terminating: pod.DeletionTimestamp != nil, Reason: pod.Status.Reason, Message: pod.Status.Message,
	}
	for _, c := range pod.Status.Conditions {
		switch c.Type {
		case corev1.PodReady:
			p.Ready, p.ReadyChanged = c.Status == corev1.ConditionTrue, c.LastTransitionTime.Time
		case corev1.PodScheduled:
			if c.Status == corev1.ConditionFalse && p.Reason == "" {
				p.Reason, p.Message = c.Reason, c.Message
			}
		}
	}
	found := false
	for _, list := range [][]corev1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses} {
		for i := range list {
			if found {
				continue
			}
			if w := list[i].State.Waiting; w != nil && w.Reason != "" && w.Reason != "PodInitializing" && w.Reason != "ContainerCreating" {
				p.Reason, p.Message, found = w.Reason, "container "+list[i].Name+": "+w.Message, true
			} else if t := list[i].State.Terminated; t != nil && t.ExitCode != 0 {
				p.Reason, p.Message, found = t.Reason, fmt.Sprintf("container %s: exit code %d", list[i].Name, t.ExitCode), true
			}
		}
	}
	return p
}

// Reasons of a container that does not get up by waiting. Those of the first kind are about a container that ran, those of the second about an
// image that could not be had; the kubelet names the image in the message of these.
var (
	crashes = map[string]bool{"CrashLoopBackOff": true, "CreateContainerConfigError": true, "CreateContainerError": true, "RunContainerError": true}
	unpulls = map[string]bool{"ImagePullBackOff": true, "InvalidImageName": true, "ErrImageNeverPull": true}
)

// fill adds what is to be said of a pod that may be changed in place, once it is known whether it is updated. A pod that is only ever rebuilt has neither gate nor
// record, and of such a one it comes to what the cluster itself says.
func (p *Pod) fill(pod *corev1.Pod, minReadySeconds int32, now time.Time) {
	p.Available = inplace.Available(pod, minReadySeconds, now)
	p.Restarts, p.Begun = inplace.RestartsSince(pod), inplace.Begun(pod)
	p.TakenOut = inplace.ClosedFor(pod) != ""
	p.fails(pod, nil, now)
	if p.Ready && !p.Available {
		if at := availableAt(pod, minReadySeconds); at.After(now) {
			p.LookAgainAt = at
		}
	}
}

// fails finds out whether a pod will not get up by waiting. Where containers are named, those alone count.
func (p *Pod) fails(pod *corev1.Pod, containers []string, now time.Time) {
	p.Failing = isFailing(pod, p.Updated, containers)
	if p.Failing || !p.Started {
		return
	}
	reason, message, in := inplace.NotStarted(pod, containers, now)
	if reason != "" {
		p.Failing, p.Reason, p.Message = true, reason, message
	}
	if in > 0 && p.LookAgainAt.IsZero() {
		p.LookAgainAt = now.Add(in)
	}
}

// isFailing says whether a container of a pod will not get up by waiting. For a moment after a change in place the kubelet still says what was the
// matter with the image before: a crash counts only once the pod runs what it wants (updated), a failed pull only where it is of the image wanted.
// Where containers are named, those alone count.
func isFailing(pod *corev1.Pod, updated bool, containers []string) bool {
	if pod.Status.ObservedGeneration < pod.Generation {
		return false
	}
	images := map[string]string{}
	for _, cs := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range cs {
			images[cs[i].Name] = cs[i].Image
		}
	}
	for _, list := range [][]corev1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses} {
		for i := range list {
			w := list[i].State.Waiting
			if w == nil || containers != nil && !slices.Contains(containers, list[i].Name) {
				continue
			}
			if updated && crashes[w.Reason] || unpulls[w.Reason] && strings.Contains(w.Message, images[list[i].Name]) {
				return true
			}
		}
	}
	return false
}

// availableAt is when a ready pod has been ready for minReadySeconds.
func availableAt(pod *corev1.Pod, minReadySeconds int32) time.Time {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.LastTransitionTime.Add(time.Duration(minReadySeconds) * time.Second)
		}
	}
	return time.Time{}
}
