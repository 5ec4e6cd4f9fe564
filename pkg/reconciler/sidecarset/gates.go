package sidecarset

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	listers "github.com/periplus-dev/periplus/pkg/client/listers/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/inplace"
	"github.com/periplus-dev/periplus/pkg/loop"
	"github.com/periplus-dev/periplus/pkg/sidecar"
)

// gates opens the readiness gates that came with sidecars: from the first time that a pod's containers are ready on, and again where a set that closed one is gone. It
// knows nothing of sets but whether there are any, so that a gate is opened whatever became of the set that wanted it.
type gates struct {
	kube  kubernetes.Interface
	pods  cache.Indexer
	sets  listers.SidecarSetLister
	clock clock.PassiveClock
}

// WireGates has the events of the informers of pods with LabelSidecars and of SidecarSets enqueue pods, and returns one pass over a pod, and the keys of those that have
// something to be done.
func WireGates(kube kubernetes.Interface, pods, sets cache.SharedIndexInformer, c clock.PassiveClock, enqueue func(types.NamespacedName)) (pass func(context.Context, types.NamespacedName) error, keys func() []types.NamespacedName) {
	g := &gates{kube: kube, pods: pods.GetIndexer(), sets: listers.NewSidecarSetLister(sets.GetIndexer()), clock: c}
	must(loop.Handle(pods, func(_, pod *corev1.Pod) {
		if g.mine(pod) {
			enqueue(types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name})
		}
	}, func(*corev1.Pod) {}))
	must(loop.Handle(sets, func(_, _ *v1alpha1.SidecarSet) {}, func(*v1alpha1.SidecarSet) {
		for _, key := range g.keys() {
			enqueue(key)
		}
	}))
	return g.open, g.keys
}

// open the gate of one pod, if it is to be.
func (g *gates) open(ctx context.Context, key types.NamespacedName) error {
	object, there, err := g.pods.GetByKey(key.String())
	if err != nil {
		return fmt.Errorf("reading pod %s: %w", key, err)
	}
	pod, ok := object.(*corev1.Pod)
	if !ok || !there || !g.mine(pod) {
		return nil
	}
	holder := pod.Annotations[v1alpha1.AnnotationHolder]
	step, err := inplace.Next(inplace.Input{Pod: pod, Wish: inplace.Serve, Holder: holder, Now: g.clock.Now()})
	if err != nil {
		return fmt.Errorf("deciding the next step of pod %s: %w", key, err)
	}
	if step.Act != inplace.WriteGate {
		return nil // its event comes.
	}
	_, err = g.kube.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.StrategicMergePatchType, step.Patch, metav1.PatchOptions{}, "status")
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("opening the readiness gate of pod %s: %w", key, err)
	}
	return nil
}

// mine says whether a pod's gate is closed, could be opened, and is not kept so by a set that there is.
func (g *gates) mine(pod *corev1.Pod) bool {
	if pod.DeletionTimestamp != nil || !sidecar.HasGate(pod) || !sidecar.HasReadinessGate(pod) {
		return false
	}
	ready := false
	for i := range pod.Status.Conditions {
		switch c := &pod.Status.Conditions[i]; c.Type {
		case v1alpha1.ReadinessGateInService:
			if c.Status == corev1.ConditionTrue {
				return false
			}
		case corev1.ContainersReady:
			ready = c.Status == corev1.ConditionTrue
		}
	}
	if !ready {
		return false
	}
	look := inplace.LookAt(pod)
	of, name, _ := strings.Cut(look.Holder(), "/")
	if of == "" {
		return true
	}
	_, err := g.sets.Get(name)
	return of == kind.Kind && apierrors.IsNotFound(err)
}

// keys of the pods whose gates are to be opened.
func (g *gates) keys() []types.NamespacedName {
	var out []types.NamespacedName
	for _, pod := range podsOf(g.pods.List()) {
		if g.mine(pod) {
			out = append(out, types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name})
		}
	}
	return out
}
