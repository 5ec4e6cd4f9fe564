package cafedeployment

import (
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
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
	filteredrevision "knative.dev/pkg/client/injection/kube/informers/apps/v1/controllerrevision/filtered"
	filteredreplicaset "knative.dev/pkg/client/injection/kube/informers/apps/v1/replicaset/filtered"
	filteredstatefulset "knative.dev/pkg/client/injection/kube/informers/apps/v1/statefulset/filtered"
	filteredpod "knative.dev/pkg/client/injection/kube/informers/core/v1/pod/filtered"
	"knative.dev/pkg/configmap"
	"knative.dev/pkg/controller"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/client/clientset/versioned"
	periplusscheme "github.com/periplus-dev/periplus/pkg/client/clientset/versioned/scheme"
	periplusclient "github.com/periplus-dev/periplus/pkg/client/injection/client"
	"github.com/periplus-dev/periplus/pkg/client/injection/informers/apps/v1alpha1/cafedeployment"
	"github.com/periplus-dev/periplus/pkg/client/injection/informers/apps/v1alpha1/inplaceset"
	listers "github.com/periplus-dev/periplus/pkg/client/listers/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/loop"
	"github.com/periplus-dev/periplus/pkg/overlay"
	"github.com/periplus-dev/periplus/pkg/revision"
)

const (
	// Name of the work queue.
	Name = "cafedeployments"
	// Selector is what the controller's informers of ReplicaSets, StatefulSets, ControllerRevisions and of these sets' pods select by.
	Selector = v1alpha1.OfCafeDeployments

	// concurrency is how many deployments are worked on at once. A pass mostly waits for the API server.
	concurrency = 16
	// byOwner indexes what a CafeDeployment controls by the deployment's UID.
	byOwner = "cafedeployment"
	// byController indexes pods by the UID of whatever controls them.
	byController = "controller"
)

// Parts are what the controller is made of. Informers are not started yet.
type Parts struct {
	Kube     kubernetes.Interface
	Periplus versioned.Interface
	// Deployments and InPlaceSets are all; the others carry LabelCafeDeployment.
	Deployments, InPlaceSets, ReplicaSets, StatefulSets, Revisions cache.SharedIndexInformer
	// Pods of all deployments, each in one of these informers.
	Pods         []cache.SharedIndexInformer
	Clock        clock.PassiveClock
	Recorder     record.EventRecorder
	Enqueue      func(types.NamespacedName)
	EnqueueAfter func(types.NamespacedName, time.Duration)
}

// Wire has the events of the informers enqueue deployments, and returns one pass over a deployment.
func Wire(p Parts) func(context.Context, types.NamespacedName) error {
	r := &reconciler{
		kube: p.Kube, periplus: p.Periplus, deployments: listers.NewCafeDeploymentLister(p.Deployments.GetIndexer()),
		clock: p.Clock, recorder: p.Recorder, memory: newMemory(), enqueue: p.Enqueue, enqueueAfter: p.EnqueueAfter,
	}
	for _, informer := range []cache.SharedIndexInformer{p.InPlaceSets, p.ReplicaSets, p.StatefulSets, p.Revisions} {
		must(informer.AddIndexers(cache.Indexers{byOwner: indexByOwner}))
	}
	// InPlaceSets and their pods are another controller's informers, which has said what it drops of them.
	for _, informer := range []cache.SharedIndexInformer{p.Deployments, p.ReplicaSets, p.StatefulSets} {
		must(informer.SetTransform(loop.WithoutManagedFields))
	}
	inPlace := newShelf("InPlaceSet", p.InPlaceSets, p.Clock, func(ns string) client[*v1alpha1.InPlaceSet] { return p.Periplus.AppsV1alpha1().InPlaceSets(ns) })
	replica := newShelf("ReplicaSet", p.ReplicaSets, p.Clock, func(ns string) client[*appsv1.ReplicaSet] { return p.Kube.AppsV1().ReplicaSets(ns) })
	stateful := newShelf("StatefulSet", p.StatefulSets, p.Clock, func(ns string) client[*appsv1.StatefulSet] { return p.Kube.AppsV1().StatefulSets(ns) })
	r.sets = map[v1alpha1.PodSetType]podSets{
		v1alpha1.PodSetInPlaceSet: inPlaceSets{inPlace}, v1alpha1.PodSetReplicaSet: replicaSets{replica}, v1alpha1.PodSetStatefulSet: statefulSets{stateful, p.Kube},
	}
	r.written = overlay.New(p.Clock, func(d *v1alpha1.CafeDeployment) string { return string(d.UID) })
	r.book = &revision.Book{
		Kube: p.Kube, Known: p.Revisions.GetIndexer(), ByOwner: byOwner, Written: overlay.New(p.Clock, ownerUID[*appsv1.ControllerRevision]),
		Kind: kind, Label: v1alpha1.LabelCafeDeployment,
	}
	must(loop.Handle(p.Deployments, r.deploymentChanged, func(d *v1alpha1.CafeDeployment) { r.enqueue(keyOf(d)) }))
	follow(r, p.InPlaceSets, inPlace.written)
	follow(r, p.ReplicaSets, replica.written)
	follow(r, p.StatefulSets, stateful.written)
	follow(r, p.Revisions, r.book.Written)
	for _, informer := range p.Pods {
		must(informer.AddIndexers(cache.Indexers{byController: indexByController}))
		r.pods = append(r.pods, informer.GetIndexer())
		must(loop.Handle(informer, func(before, now *corev1.Pod) {
			if before != nil {
				r.enqueueNamed(before)
			}
			r.enqueueNamed(now)
		}, r.enqueueNamed))
	}
	return r.reconcile
}

// NewController wires the controller. The informers' selectors in the context must be Selector and that of inplaceset.WithSelector.
func NewController(ctx context.Context, _ configmap.Watcher) *controller.Impl {
	deployments, pods := cafedeployment.Get(ctx), filteredpod.Get(ctx, Selector).Informer()
	must(pods.SetTransform(loop.WithoutManagedFields))
	var impl *controller.Impl
	reconcile := Wire(Parts{
		Kube: kubeclient.Get(ctx), Periplus: periplusclient.Get(ctx),
		Deployments: deployments.Informer(), InPlaceSets: inplaceset.Get(ctx).Informer(), ReplicaSets: filteredreplicaset.Get(ctx, Selector).Informer(),
		StatefulSets: filteredstatefulset.Get(ctx, Selector).Informer(), Revisions: filteredrevision.Get(ctx, Selector).Informer(),
		Pods:  []cache.SharedIndexInformer{filteredpod.Get(ctx, v1alpha1.LabelInPlaceSet).Informer(), pods},
		Clock: clock.RealClock{}, Recorder: newRecorder(ctx),
		Enqueue:      func(key types.NamespacedName) { impl.EnqueueKey(key) },
		EnqueueAfter: func(key types.NamespacedName, after time.Duration) { impl.EnqueueKeyAfter(key, after) },
	})
	impl = loop.New(ctx, loop.Config{
		Name: Name, Concurrency: concurrency, Reconcile: reconcile,
		List: func() ([]types.NamespacedName, error) {
			all, err := deployments.Lister().List(labels.Everything())
			if err != nil {
				return nil, fmt.Errorf("listing CafeDeployments: %w", err)
			}
			keys := make([]types.NamespacedName, 0, len(all))
			for _, d := range all {
				keys = append(keys, keyOf(d))
			}
			return keys, nil
		},
	})
	return impl
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
	return broadcaster.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "cafedeployment-controller"})
}

// deploymentChanged leaves out what the controller wrote itself: the status.
func (r *reconciler) deploymentChanged(before, now *v1alpha1.CafeDeployment) {
	r.written.Observed(now)
	if before != nil && before.ResourceVersion != now.ResourceVersion && before.UID == now.UID && before.Generation == now.Generation &&
		(before.DeletionTimestamp == nil) == (now.DeletionTimestamp == nil) &&
		before.Annotations[v1alpha1.AnnotationConfirmed] == now.Annotations[v1alpha1.AnnotationConfirmed] {
		return
	}
	r.enqueue(keyOf(now))
}

// follow what deployments control: what is remembered of writes, and the deployment's next pass.
func follow[T object](r *reconciler, informer cache.SharedIndexInformer, written *overlay.Store[T]) {
	must(loop.Handle(informer,
		func(_, now T) { written.Observed(now); r.enqueueOwner(now) },
		func(last T) { written.Removed(last); r.enqueueOwner(last) }))
}

func (r *reconciler) enqueueOwner(o metav1.Object) {
	if owner := ownerOf(o); owner != nil {
		r.enqueue(types.NamespacedName{Namespace: o.GetNamespace(), Name: owner.Name})
	}
}

// enqueueNamed is for pods, which belong to a pod set: their label names the deployment.
func (r *reconciler) enqueueNamed(pod *corev1.Pod) {
	if name := pod.Labels[v1alpha1.LabelCafeDeployment]; name != "" {
		r.enqueue(types.NamespacedName{Namespace: pod.Namespace, Name: name})
	}
}

// ownerOf returns the CafeDeployment that controls an object, or nil.
func ownerOf(o metav1.Object) *metav1.OwnerReference {
	ref := metav1.GetControllerOfNoCopy(o)
	if ref == nil || ref.Kind != kind.Kind || ref.APIVersion != kind.GroupVersion().String() {
		return nil
	}
	return ref
}

func ownerUID[T metav1.Object](o T) string {
	if owner := ownerOf(o); owner != nil {
		return string(owner.UID)
	}
	return ""
}

func indexByOwner(o any) ([]string, error) {
	if of, ok := o.(metav1.Object); ok {
		if owner := ownerOf(of); owner != nil {
			return []string{string(owner.UID)}, nil
		}
	}
	return nil, nil
}

func indexByController(o any) ([]string, error) {
	of, ok := o.(metav1.Object)
	if !ok || of.GetLabels()[v1alpha1.LabelCafeDeployment] == "" {
		return nil, nil
	}
	if ref := metav1.GetControllerOfNoCopy(of); ref != nil {
		return []string{string(ref.UID)}, nil
	}
	return nil, nil
}

func keyOf(d *v1alpha1.CafeDeployment) types.NamespacedName {
	return types.NamespacedName{Namespace: d.Namespace, Name: d.Name}
}

// must stops the start: informers refuse transforms, indexers and handlers only after they were started.
func must(err error) {
	if err != nil {
		panic(fmt.Errorf("wiring the controller of CafeDeployments: %w", err))
	}
}
