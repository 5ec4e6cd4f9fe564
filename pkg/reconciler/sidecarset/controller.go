package sidecarset

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/utils/clock"

	corelisters "k8s.io/client-go/listers/core/v1"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/client/clientset/versioned"
	listers "github.com/periplus-dev/periplus/pkg/client/listers/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/loop"
	"github.com/periplus-dev/periplus/pkg/overlay"
	"github.com/periplus-dev/periplus/pkg/sidecar"
	"github.com/periplus-dev/periplus/pkg/taken"
)

const (
	// Name of the work queue of sets, and GatesName of the one of gates.
	Name      = "sidecarsets"
	GatesName = "sidecargates"
	// writesAtOnce is how many pods of one set are written at the same time.
	writesAtOnce = 16
	// bySet indexes pods and ControllerRevisions by the names of their sets.
	bySet = "sidecarset"
)

// Selectors are the labels by which the controllers' informers watch pods and ControllerRevisions. They go into the context before the informers are made.
var Selectors = []string{v1alpha1.LabelSidecars, v1alpha1.LabelSidecarSet}

// Parts are what the controller is made of. Informers are not started yet.
type Parts struct {
	Kube     kubernetes.Interface
	Periplus versioned.Interface
	// System is Periplus's own namespace.
	System string
	// Pods with LabelSidecars, whole, and Others, without it, as metadata. Begin starts the watch of Others; it is called at every pass.
	Pods, Others                         cache.SharedIndexInformer
	Begin                                func()
	Sets, Revisions, Slices, Budgets, Ns cache.SharedIndexInformer
	// Workloads are ours, whose limits are kept, and Taken is shared with the controller of InPlaceSets. Both may be nil.
	Workloads    *Workloads
	Taken        *taken.Register
	Clock        clock.PassiveClock
	Recorder     record.EventRecorder
	WritesAtOnce int
	Enqueue      func(set string)
	EnqueueAfter func(set string, after time.Duration)
}

// Wire has the events of the informers enqueue sets, and returns one pass over a set.
func Wire(p Parts) func(context.Context, types.NamespacedName) error {
	r := &reconciler{
		kube: p.Kube, periplus: p.Periplus, system: p.System,
		sets: listers.NewSidecarSetLister(p.Sets.GetIndexer()), pods: p.Pods.GetIndexer(), revisions: p.Revisions.GetIndexer(), slices: p.Slices.GetIndexer(),
		budgets: p.Budgets.GetIndexer(), namespaces: corelisters.NewNamespaceLister(p.Ns.GetIndexer()), audited: p.Others.HasSynced, begin: p.Begin,
		clock: p.Clock, recorder: p.Recorder, quiet: &quiet{pods: map[types.UID]*silence{}}, changes: newChanges(),
		contents: map[*appsv1.ControllerRevision]*sidecar.Content{}, refused: map[string]string{}, sees: map[types.UID]*seen{}, unfit: map[types.UID]refusal{},
		held: map[string]bool{}, workloads: p.Workloads, taken: p.Taken,
		reported: map[types.UID]time.Time{}, told: map[types.UID]string{}, rebuilds: map[types.UID]*rebuild{},
		writesAtOnce: p.WritesAtOnce, enqueue: p.Enqueue, enqueueAfter: p.EnqueueAfter,
	}
	if r.taken == nil {
		r.taken = taken.New()
	}
	r.audit = newAudit(p.System, r.labelsOf, p.Pods.GetIndexer(), p.Others.GetIndexer())
	r.writtenPods = overlay.New(r.clock, func(pod *corev1.Pod) string { return pod.Namespace })
	r.writtenRevisions = overlay.New(r.clock, func(revision *appsv1.ControllerRevision) string {
		if owner := metav1.GetControllerOfNoCopy(revision); owner != nil {
			return string(owner.UID)
		}
		return ""
	})
	r.writtenSets = overlay.New(r.clock, func(set *v1alpha1.SidecarSet) string { return string(set.UID) })

	must(p.Pods.SetTransform(loop.WithoutManagedFields))
	must(p.Others.SetTransform(onlyWhatIsMatched))
	must(p.Pods.AddIndexers(cache.Indexers{bySet: indexBySet}))
	must(p.Revisions.AddIndexers(cache.Indexers{bySet: func(object any) ([]string, error) {
		if o, ok := object.(metav1.Object); ok && o.GetNamespace() == p.System {
			return []string{o.GetLabels()[v1alpha1.LabelSidecarSet]}, nil
		}
		return nil, nil
	}}))
	must(p.Slices.AddIndexers(cache.Indexers{byPodAddress: indexByPodAddress}))

	r.listen(p)
	r.taken.OnFreed(kind.Kind, func([]types.NamespacedName) { r.wakeHeld() })
	if p.Workloads != nil {
		p.Workloads.index()
		r.listenTo(p.Workloads)
	}
	return r.reconcile
}

// listen to the informers.
func (r *reconciler) listen(p Parts) {
	must(loop.Handle(p.Sets, func(before, now *v1alpha1.SidecarSet) {
		r.writtenSets.Observed(now)
		// What the controller wrote itself, the status, wakes nobody.
		if before == nil || before.Generation != now.Generation || before.UID != now.UID || (before.DeletionTimestamp == nil) != (now.DeletionTimestamp == nil) {
			r.wakeAll() // names that sets claim together are said by each.
		}
	}, func(*v1alpha1.SidecarSet) { r.wakeAll() }))
	must(loop.Handle(p.Pods, func(before, now *corev1.Pod) {
		r.writtenPods.Observed(now)
		if now.Labels[v1alpha1.LabelInPlaceSet] == "" { // of others, that controller's informer has to show it.
			r.taken.Seen(now)
		}
		r.wake(setsOf(now))
		if before != nil {
			r.wake(setsOf(before))
		}
		r.wake(r.audit.podChanged(0, now))
	}, func(pod *corev1.Pod) {
		r.writtenPods.Removed(pod)
		if pod.Labels[v1alpha1.LabelInPlaceSet] == "" {
			r.taken.Gone(pod.UID)
		}
		r.quiet.forget(pod.UID)
		r.wake(setsOf(pod))
		r.wake(r.audit.podGone(0, pod))
	}))
	must(loop.Handle(p.Others, func(_, now *metav1.PartialObjectMetadata) {
		r.wake(r.audit.podChanged(1, now))
		r.wakeLeaving()
	}, func(pod *metav1.PartialObjectMetadata) { r.wake(r.audit.podGone(1, pod)) }))
	must(loop.Handle(p.Ns, func(before, now *corev1.Namespace) {
		if before == nil || !labels.Equals(before.Labels, now.Labels) {
			r.wake(r.audit.namespaceChanged(now.Name)) // its pods may have been seen first.
			r.wakeIn(now.Name)
		}
	}, func(*corev1.Namespace) {}))
	must(loop.Handle(p.Revisions, func(_, revision *appsv1.ControllerRevision) { r.writtenRevisions.Observed(revision) }, func(revision *appsv1.ControllerRevision) {
		r.writtenRevisions.Removed(revision)
		r.enqueue(revision.Labels[v1alpha1.LabelSidecarSet])
	}))
	must(loop.Handle(p.Slices, func(before, now *discoveryv1.EndpointSlice) {
		if before != nil {
			r.wake(r.quiet.sliceChanged(before))
		}
		r.wake(r.quiet.sliceChanged(now))
	}, func(slice *discoveryv1.EndpointSlice) { r.wake(r.quiet.sliceChanged(slice)) }))
	must(loop.Handle(p.Budgets, func(_, budget *policyv1.PodDisruptionBudget) { r.wakeIn(budget.Namespace) }, func(budget *policyv1.PodDisruptionBudget) { r.wakeIn(budget.Namespace) }))
}

func (r *reconciler) wake(sets []string) {
	for _, set := range sets {
		r.enqueue(set)
	}
}

func (r *reconciler) wakeAll() {
	sets, err := r.sets.List(labels.Everything())
	if err != nil {
		return // a lister of a cache fails at nothing.
	}
	for _, set := range sets {
		r.enqueue(set.Name)
	}
}

// wakeLeaving wakes the sets that are being deleted: pods that replace those with their sidecars carry none.
func (r *reconciler) wakeLeaving() {
	sets, err := r.sets.List(labels.Everything())
	if err != nil {
		return
	}
	for _, set := range sets {
		if set.DeletionTimestamp != nil {
			r.enqueue(set.Name)
		}
	}
}

// wakeIn wakes the sets with pods in a namespace.
func (r *reconciler) wakeIn(namespace string) {
	found, err := r.pods.ByIndex(cache.NamespaceIndex, namespace)
	if err != nil {
		return
	}
	woken := map[string]bool{}
	for _, pod := range podsOf(found) {
		for _, set := range setsOf(pod) {
			woken[set] = true
		}
	}
	for set := range woken {
		r.enqueue(set)
	}
}

// setsOf a pod, by its labels and its record: one that was left out is in the record alone.
func setsOf(pod *corev1.Pod) []string {
	var out []string
	for key := range pod.Labels {
		if set, ok := strings.CutPrefix(key, v1alpha1.SidecarSetPrefix); ok {
			out = append(out, set)
		}
	}
	slices.Sort(out)
	return out
}

func indexBySet(object any) ([]string, error) {
	if pod, ok := object.(*corev1.Pod); ok {
		return setsOf(pod), nil
	}
	return nil, nil
}

// onlyWhatIsMatched keeps of a pod that is none of ours what sets match by.
func onlyWhatIsMatched(object any) (any, error) {
	pod, ok := object.(*metav1.PartialObjectMetadata)
	if !ok {
		return object, nil
	}
	kept := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		Name: pod.Name, Namespace: pod.Namespace, UID: pod.UID, ResourceVersion: pod.ResourceVersion, Labels: pod.Labels,
		CreationTimestamp: pod.CreationTimestamp, DeletionTimestamp: pod.DeletionTimestamp,
	}}
	if mirrored, ok := pod.Annotations[corev1.MirrorPodAnnotationKey]; ok {
		kept.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: mirrored}
	}
	return kept, nil
}

// must stops the start: informers refuse transforms, indexers and handlers only after they were started.
func must(err error) {
	if err != nil {
		panic(fmt.Errorf("wiring the controller of SidecarSets: %w", err))
	}
}
