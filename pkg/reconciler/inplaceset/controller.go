package inplaceset

import (
	"context"
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/utils/clock"
	kubeclient "knative.dev/pkg/client/injection/kube/client"
	"knative.dev/pkg/client/injection/kube/informers/apps/v1/controllerrevision/filtered"
	filteredpod "knative.dev/pkg/client/injection/kube/informers/core/v1/pod/filtered"
	endpointsliceinformer "knative.dev/pkg/client/injection/kube/informers/discovery/v1/endpointslice"
	filteredfactory "knative.dev/pkg/client/injection/kube/informers/factory/filtered"
	"knative.dev/pkg/client/injection/kube/informers/policy/v1/poddisruptionbudget"
	"knative.dev/pkg/configmap"
	"knative.dev/pkg/controller"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/client/clientset/versioned"
	periplusscheme "github.com/periplus-dev/periplus/pkg/client/clientset/versioned/scheme"
	periplusclient "github.com/periplus-dev/periplus/pkg/client/injection/client"
	"github.com/periplus-dev/periplus/pkg/client/injection/informers/apps/v1alpha1/inplaceset"
	listers "github.com/periplus-dev/periplus/pkg/client/listers/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/loop"
	"github.com/periplus-dev/periplus/pkg/overlay"
	"github.com/periplus-dev/periplus/pkg/revision"
	"github.com/periplus-dev/periplus/pkg/taken"
)

const (
	// Name of the work queue.
	Name = "inplacesets"
	// concurrency is how many sets are worked on at once. A pass mostly waits for the API server.
	concurrency = 16
	// byOwner indexes what an InPlaceSet controls by the set's UID.
	byOwner = "owner"
	// Selector is what the controller's informers of pods and ControllerRevisions select by: ours alone. It goes into the context before the informers are made.
	Selector = v1alpha1.LabelInPlaceSet
)

// WithSelector tells injection of Selector, where this controller is the only one.
func WithSelector(ctx context.Context) context.Context {
	return filteredfactory.WithSelectors(ctx, Selector)
}

// Parts are what the controller is made of. Informers are not started yet, and watch objects with LabelInPlaceSet; sets and slices all.
type Parts struct {
	Kube                          kubernetes.Interface
	Periplus                      versioned.Interface
	Sets, Pods, Revisions, Slices cache.SharedIndexInformer
	// Budgets are the PodDisruptionBudgets, all.
	Budgets cache.SharedIndexInformer
	// Carriers are the pods with LabelSidecars, whoever owns them, and Taken is shared with who changes their sidecars. Both may be nil.
	Carriers cache.SharedIndexInformer
	Taken    *taken.Register
	Clock    clock.PassiveClock
	Recorder record.EventRecorder
	// WritesAtOnce is how many pods of one set are written at the same time.
	WritesAtOnce int
	Enqueue      func(types.NamespacedName)
	EnqueueAfter func(types.NamespacedName, time.Duration)
}

// Wire has the events of the informers enqueue sets, and returns one pass over a set.
func Wire(p Parts) func(context.Context, types.NamespacedName) error {
	r := &reconciler{
		kube: p.Kube, periplus: p.Periplus,
		sets: listers.NewInPlaceSetLister(p.Sets.GetIndexer()), pods: p.Pods.GetIndexer(), slices: p.Slices.GetIndexer(),
		budgets: p.Budgets.GetIndexer(), ledger: newLedger(p.Taken),
		clock: p.Clock, recorder: p.Recorder, drains: newDrains(), memory: newMemory(),
		writesAtOnce: p.WritesAtOnce, enqueue: p.Enqueue, enqueueAfter: p.EnqueueAfter,
	}
	if p.Carriers != nil {
		r.carriers = p.Carriers.GetIndexer()
	}
	r.ledger.OnFreed(kind.Kind, func(sets []types.NamespacedName) {
		for _, key := range sets {
			r.wake(append(r.ledger.waitingIn(key.Namespace, key), key))
		}
	})
	r.writtenPods = overlay.New(r.clock, ownerUID[*corev1.Pod])
	r.book = &revision.Book{
		Kube: p.Kube, Known: p.Revisions.GetIndexer(), ByOwner: byOwner, Written: overlay.New(r.clock, ownerUID[*appsv1.ControllerRevision]), Kind: kind, Label: v1alpha1.LabelInPlaceSet,
	}
	r.writtenSets = overlay.New(r.clock, func(set *v1alpha1.InPlaceSet) string { return string(set.UID) })

	must(p.Sets.SetTransform(loop.WithoutManagedFields))
	must(p.Pods.SetTransform(loop.WithoutManagedFields))
	must(p.Revisions.SetTransform(loop.WithoutManagedFields))
	must(p.Slices.SetTransform(onlyAddresses))
	must(p.Budgets.SetTransform(onlyCounts))
	must(p.Pods.AddIndexers(cache.Indexers{byOwner: indexByOwner, byHeld: indexHeld}))
	must(p.Revisions.AddIndexers(cache.Indexers{byOwner: indexByOwner}))
	must(p.Slices.AddIndexers(cache.Indexers{byAddress: indexByAddress}))

	must(loop.Handle(p.Sets, r.setChanged, func(set *v1alpha1.InPlaceSet) { r.enqueue(keyOf(set)) }))
	must(loop.Handle(p.Pods, r.podChanged, r.podGone))
	must(loop.Handle(p.Revisions, func(_, now *appsv1.ControllerRevision) { r.book.Written.Observed(now) }, r.revisionGone))
	must(loop.Handle(p.Slices,
		func(before, now *discoveryv1.EndpointSlice) { r.hearAll(r.drains.sliceChanged(before, now)) },
		func(slice *discoveryv1.EndpointSlice) { r.hearAll(r.drains.sliceChanged(slice, nil)) }))
	must(loop.Handle(p.Budgets, r.budgetChanged, func(budget *policyv1.PodDisruptionBudget) {
		r.wake(r.ledger.budgetChanged(types.NamespacedName{Namespace: budget.Namespace, Name: budget.Name}))
	}))
	return r.reconcile
}

// NewController wires the controller. The informers' selectors in the context must have Selector among them.
func NewController(ctx context.Context, _ configmap.Watcher) *controller.Impl {
	sets, pods := inplaceset.Get(ctx), filteredpod.Get(ctx, Selector).Informer()
	var impl *controller.Impl
	reconcile := Wire(Parts{
		Kube: kubeclient.Get(ctx), Periplus: periplusclient.Get(ctx),
		Sets: sets.Informer(), Pods: pods,
		Revisions: filtered.Get(ctx, Selector).Informer(), Slices: endpointsliceinformer.Get(ctx).Informer(), Budgets: poddisruptionbudget.Get(ctx).Informer(),
		Carriers: carriersOf(ctx), Taken: taken.From(ctx),
		Clock: clock.RealClock{}, Recorder: newRecorder(ctx), WritesAtOnce: writesAtOnce,
		Enqueue:      func(key types.NamespacedName) { impl.EnqueueKey(key) },
		EnqueueAfter: func(key types.NamespacedName, after time.Duration) { impl.EnqueueKeyAfter(key, after) },
	})
	impl = loop.New(ctx, loop.Config{
		Name: Name, Concurrency: concurrency, Reconcile: reconcile, Together: true,
		List: func() ([]types.NamespacedName, error) {
			all, err := sets.Lister().List(labels.Everything())
			if err != nil {
				return nil, fmt.Errorf("listing InPlaceSets: %w", err)
			}
			keys, err := heldKeys(pods.GetIndexer())
			if err != nil {
				return nil, err
			}
			for _, set := range all {
				keys = append(keys, keyOf(set))
			}
			return keys, nil
		},
	})
	return impl
}

// carriersOf is the informer of pods with sidecars, where the context's selectors have it: another controller of the binary changes them.
func carriersOf(ctx context.Context) cache.SharedIndexInformer {
	if selectors, ok := ctx.Value(filteredfactory.LabelKey{}).([]string); !ok || !slices.Contains(selectors, v1alpha1.LabelSidecars) {
		return nil
	}
	return filteredpod.Get(ctx, v1alpha1.LabelSidecars).Informer()
}

// newRecorder uses the recorder in the context, as tests put it there, or makes one that writes to the API server until the context ends.
func newRecorder(ctx context.Context) record.EventRecorder {
	if recorder := controller.GetEventRecorder(ctx); recorder != nil {
		return recorder
	}
	must(periplusscheme.AddToScheme(scheme.Scheme)) // the recorder names kinds by the scheme.
	broadcaster := record.NewBroadcaster(record.WithContext(ctx))
	broadcaster.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: kubeclient.Get(ctx).CoreV1().Events("")})
	go func() {
		<-ctx.Done()
		broadcaster.Shutdown()
	}()
	return broadcaster.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "inplaceset-controller"})
}

// setChanged leaves out what the controller wrote itself: the status.
func (r *reconciler) setChanged(before, now *v1alpha1.InPlaceSet) {
	r.writtenSets.Observed(now)
	if before != nil && before.ResourceVersion != now.ResourceVersion && before.UID == now.UID && before.Generation == now.Generation &&
		(before.DeletionTimestamp == nil) == (now.DeletionTimestamp == nil) {
		return
	}
	r.enqueue(keyOf(now))
}

func (r *reconciler) podChanged(before, now *corev1.Pod) {
	r.writtenPods.Observed(now)
	r.wake(r.ledger.podChanged(before, now))
	for _, pod := range []*corev1.Pod{before, now} {
		if pod != nil {
			r.tellOwner(pod, r.hear)
		}
	}
}

func (r *reconciler) podGone(pod *corev1.Pod) {
	r.writtenPods.Removed(pod)
	r.drains.forget(pod.UID)
	r.ledger.Gone(pod.UID)
	r.tellOwner(pod, r.hear)
}

func (r *reconciler) revisionGone(gone *appsv1.ControllerRevision) {
	r.book.Written.Removed(gone)
	r.tellOwner(gone, r.enqueue)
}

func (r *reconciler) tellOwner(object metav1.Object, tell func(types.NamespacedName)) {
	if owner := ownerOf(object); owner != nil {
		tell(types.NamespacedName{Namespace: object.GetNamespace(), Name: owner.Name})
	}
}

func (r *reconciler) wake(keys []types.NamespacedName) {
	for _, key := range keys {
		r.enqueue(key)
	}
}

func (r *reconciler) hearAll(keys []types.NamespacedName) {
	for _, key := range keys {
		r.hear(key)
	}
}

// ownerOf returns the InPlaceSet that controls an object, or nil.
func ownerOf(object metav1.Object) *metav1.OwnerReference {
	ref := metav1.GetControllerOfNoCopy(object)
	if ref == nil || ref.Kind != kind.Kind || ref.APIVersion != kind.GroupVersion().String() {
		return nil
	}
	return ref
}

func ownerUID[T metav1.Object](object T) string {
	if owner := ownerOf(object); owner != nil {
		return string(owner.UID)
	}
	return ""
}

func indexByOwner(object any) ([]string, error) {
	if o, ok := object.(metav1.Object); ok {
		if owner := ownerOf(o); owner != nil {
			return []string{string(owner.UID)}, nil
		}
	}
	return nil, nil
}

func keyOf(set *v1alpha1.InPlaceSet) types.NamespacedName {
	return types.NamespacedName{Namespace: set.Namespace, Name: set.Name}
}

// must stops the start: informers refuse transforms, indexers and handlers only after they were started.
func must(err error) {
	if err != nil {
		panic(fmt.Errorf("wiring the controller of InPlaceSets: %w", err))
	}
}
