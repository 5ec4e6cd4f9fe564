package sidecarset

import (
	"fmt"
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/inplace"
	"github.com/periplus-dev/periplus/pkg/loop"
	"github.com/periplus-dev/periplus/pkg/overlay"
	"github.com/periplus-dev/periplus/pkg/plan"
	"github.com/periplus-dev/periplus/pkg/sidecar"
)

// Workloads are the informers of our own workloads, whose limits SidecarSets keep. They are those of the workloads' controllers.
type Workloads struct {
	// InPlaceSets and CafeDeployments are all. InPlaceSetPods carry LabelInPlaceSet.
	InPlaceSets, CafeDeployments, InPlaceSetPods cache.SharedIndexInformer
	// ReplicaSets, StatefulSets and their Pods are those of CafeDeployments.
	ReplicaSets, StatefulSets, Pods cache.SharedIndexInformer
}

// Indexes of these informers, which are shared: the names are ours.
const (
	// byControllerUID has pods by the UID of what controls them.
	byControllerUID = "controller-of-a-sidecar's-pod"
	// byItsUID has workloads by their own UID.
	byItsUID = "workload-of-a-sidecar's-pod"
	// byUnit has ReplicaSets, StatefulSets and pods by their CafeDeployment and unit.
	byUnit = "unit-of-a-sidecar's-pod"
)

// application is a workload with a limit of its own, as one pass sees it.
type application struct {
	// name for people.
	name string
	plan.SidecarApplication
	// pods of it that are there.
	pods            []*corev1.Pod
	minReadySeconds int32
}

// String says which limit of it holds pods back.
func (a *application) String() string {
	if a.Unknown {
		return a.name + ", which was not seen yet"
	}
	return fmt.Sprintf("the limit of %s: %d of its %d pods are unavailable, and at most %d may be", a.name, max(a.Replicas-a.Available, 0), a.Replicas, a.Limit())
}

// index the informers, and have their events wake the sets that wait for a workload.
func (w *Workloads) index() {
	for _, informer := range []cache.SharedIndexInformer{w.InPlaceSetPods, w.Pods} {
		must(informer.AddIndexers(cache.Indexers{byControllerUID: func(object any) ([]string, error) {
			if o, ok := object.(metav1.Object); ok {
				if ref := metav1.GetControllerOfNoCopy(o); ref != nil {
					return []string{string(ref.UID)}, nil
				}
			}
			return nil, nil
		}}))
	}
	for _, informer := range []cache.SharedIndexInformer{w.InPlaceSets, w.CafeDeployments, w.ReplicaSets, w.StatefulSets} {
		must(informer.AddIndexers(cache.Indexers{byItsUID: func(object any) ([]string, error) {
			if o, ok := object.(metav1.Object); ok {
				return []string{string(o.GetUID())}, nil
			}
			return nil, nil
		}}))
	}
	for _, informer := range []cache.SharedIndexInformer{w.ReplicaSets, w.StatefulSets, w.Pods} {
		must(informer.AddIndexers(cache.Indexers{byUnit: func(object any) ([]string, error) {
			if o, ok := object.(metav1.Object); ok && o.GetLabels()[v1alpha1.LabelCafeDeployment] != "" {
				return []string{unitKey(o)}, nil
			}
			return nil, nil
		}}))
	}
}

func unitKey(o metav1.Object) string {
	return o.GetNamespace() + "/" + o.GetLabels()[v1alpha1.LabelCafeDeployment] + "/" + o.GetLabels()[v1alpha1.LabelUnit]
}

// listenTo the workloads. Pods that carry a set's sidecars wake it anyway.
func (r *reconciler) listenTo(w *Workloads) {
	for _, informer := range []cache.SharedIndexInformer{w.InPlaceSetPods, w.Pods} {
		must(loop.Handle(informer, func(before, now *corev1.Pod) {
			if now.Labels[v1alpha1.LabelInPlaceSet] != "" {
				r.taken.Seen(now)
			}
			if before == nil || inplace.Ready(before) != inplace.Ready(now) || inplace.ClosedFor(before) != inplace.ClosedFor(now) || before.DeletionTimestamp != now.DeletionTimestamp {
				r.wakeHeld()
			}
		}, func(pod *corev1.Pod) {
			r.taken.Gone(pod.UID)
			r.wakeHeld()
		}))
	}
	hear[*v1alpha1.InPlaceSet](r, w.InPlaceSets)
	hear[*v1alpha1.CafeDeployment](r, w.CafeDeployments)
	hear[*appsv1.ReplicaSet](r, w.ReplicaSets)
	hear[*appsv1.StatefulSet](r, w.StatefulSets)
}

// hear when a workload wants something else.
func hear[T metav1.Object](r *reconciler, informer cache.SharedIndexInformer) {
	must(loop.Handle(informer, func(before, now T) {
		if any(before) == any(*new(T)) || before.GetGeneration() != now.GetGeneration() {
			r.wakeHeld()
		}
	}, func(T) { r.wakeHeld() }))
}

// wakeHeld wakes the sets that wait for a limit of others.
func (r *reconciler) wakeHeld() {
	r.mu.Lock()
	held := make([]string, 0, len(r.held))
	for set := range r.held {
		held = append(held, set)
	}
	r.mu.Unlock()
	r.wake(held)
}

// holds notes whether a set waits for a limit of others.
func (r *reconciler) holds(p *pass) {
	r.holdsBack(p.set.Name, p.plan.Waiting > 0 || len(p.plan.WaitingFor)+len(p.plan.WaitingForApplication) > 0)
}

func (r *reconciler) holdsBack(set string, held bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if held {
		r.held[set] = true
		return
	}
	delete(r.held, set)
}

// workloadOf a pod: its unit where a CafeDeployment has one set for each revision, else its controller. A workload with a limit of its own is looked at once in a pass.
func (r *reconciler) workloadOf(p *pass, pod *corev1.Pod) string {
	ref := metav1.GetControllerOfNoCopy(pod)
	if ref == nil {
		return ""
	}
	key := pod.Namespace + "/" + string(ref.UID)
	if r.workloads == nil {
		return key
	}
	if of, known := p.workloads[ref.UID]; known {
		return of
	}
	a := r.applicationOf(pod, ref)
	if a != nil {
		if ref.Kind != "InPlaceSet" {
			key = unitKey(pod)
		}
		if p.applications[key] == nil {
			r.count(p, a)
			p.applications[key] = a
		}
	}
	p.workloads[ref.UID] = key
	return key
}

// applicationOf a pod, or nil where its workload is none of ours.
func (r *reconciler) applicationOf(pod *corev1.Pod, ref *metav1.OwnerReference) *application {
	switch {
	case ref.Kind == "InPlaceSet" && ref.APIVersion == v1alpha1.SchemeGroupVersion.String():
		return r.inPlaceSet(pod, ref)
	case ref.Kind == "ReplicaSet" && ref.APIVersion == appsv1.SchemeGroupVersion.String() && pod.Labels[v1alpha1.LabelCafeDeployment] != "":
		return r.unitOf(pod, r.workloads.ReplicaSets, func(o any) int32 {
			set, ok := o.(*appsv1.ReplicaSet)
			if !ok {
				return 0
			}
			if n, err := strconv.ParseInt(set.Annotations[v1alpha1.AnnotationUnitReplicas], 10, 32); err == nil {
				return int32(n)
			}
			return ptr.Deref(set.Spec.Replicas, 1)
		})
	case ref.Kind == "StatefulSet" && ref.APIVersion == appsv1.SchemeGroupVersion.String() && pod.Labels[v1alpha1.LabelCafeDeployment] != "":
		return r.unitOf(pod, r.workloads.StatefulSets, func(o any) int32 {
			if set, ok := o.(*appsv1.StatefulSet); ok {
				return ptr.Deref(set.Spec.Replicas, 1)
			}
			return 0
		})
	}
	return nil
}

func (r *reconciler) inPlaceSet(pod *corev1.Pod, ref *metav1.OwnerReference) *application {
	a := &application{name: fmt.Sprintf("InPlaceSet %s/%s", pod.Namespace, ref.Name)}
	set := the[*v1alpha1.InPlaceSet](r.workloads.InPlaceSets, ref.UID)
	if set == nil {
		a.Unknown = true
		return a
	}
	of := &set.Spec.UpdateStrategy
	a.Replicas, a.MaxUnavailable, a.MaxSurge, a.minReadySeconds = ptr.Deref(set.Spec.Replicas, 1), of.MaxUnavailable, of.MaxSurge, set.Spec.MinReadySeconds
	a.pods = podsBy(r.workloads.InPlaceSetPods, byControllerUID, string(ref.UID))
	return a
}

// unitOf the CafeDeployment that a pod belongs to, by way of its pod set; nil where that is somebody else's.
func (r *reconciler) unitOf(pod *corev1.Pod, sets cache.SharedIndexInformer, keeps func(any) int32) *application {
	a := &application{name: fmt.Sprintf("unit %s of CafeDeployment %s/%s", pod.Labels[v1alpha1.LabelUnit], pod.Namespace, pod.Labels[v1alpha1.LabelCafeDeployment]), SidecarApplication: plan.SidecarApplication{Unknown: true}}
	found, err := sets.GetIndexer().ByIndex(byUnit, unitKey(pod))
	if err != nil || len(found) == 0 {
		return a
	}
	var d *v1alpha1.CafeDeployment
	for _, o := range found {
		set, ok := o.(metav1.Object)
		if !ok {
			continue
		}
		ref := metav1.GetControllerOfNoCopy(set)
		if ref == nil {
			continue
		}
		if d = the[*v1alpha1.CafeDeployment](r.workloads.CafeDeployments, ref.UID); d == nil {
			return a
		}
		if set.GetDeletionTimestamp() == nil {
			a.Replicas = max(a.Replicas, keeps(o))
		}
	}
	if d == nil {
		return nil // it only has the labels.
	}
	a.Unknown = false
	// As the deployment's own controller reads it.
	a.MaxUnavailable, a.minReadySeconds = ptr.To(ptr.Deref(d.Spec.MaxUnavailable, intstr.FromString("25%"))), d.Spec.MinReadySeconds
	a.pods = podsBy(r.workloads.Pods, byUnit, unitKey(pod))
	return a
}

// the object of a UID; nil where there is none.
func the[T any](informer cache.SharedIndexInformer, uid types.UID) (none T) {
	found, err := informer.GetIndexer().ByIndex(byItsUID, string(uid))
	if err != nil || len(found) == 0 {
		return none
	}
	if o, ok := found[0].(T); ok {
		return o
	}
	return none
}

func podsBy(informer cache.SharedIndexInformer, index, key string) []*corev1.Pod {
	found, err := informer.GetIndexer().ByIndex(index, key)
	if err != nil {
		return nil
	}
	return podsOf(found)
}

// count the pods of a workload that are available by its own terms, each as it is known newest.
func (r *reconciler) count(p *pass, a *application) {
	for _, pod := range a.pods {
		if carries := p.newest[pod.UID]; carries != nil && overlay.Older(pod, carries) {
			pod = carries
		}
		if sidecar.Ended(pod) || p.taken(pod.UID) {
			continue
		}
		left, comes := r.sight(pod).AvailableIn(a.minReadySeconds, p.now)
		switch {
		case !comes:
		case left > 0:
			p.soonest(left)
		default:
			a.Available++
		}
	}
}

// soonest is when a workload may have one more available pod, by time alone.
func (p *pass) soonest(in time.Duration) {
	if p.comes == 0 || in < p.comes {
		p.comes = in
	}
}
