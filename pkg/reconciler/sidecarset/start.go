package sidecarset

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/utils/clock"
	kubeclient "knative.dev/pkg/client/injection/kube/client"
	"knative.dev/pkg/client/injection/kube/informers/apps/v1/controllerrevision/filtered"
	filteredreplicaset "knative.dev/pkg/client/injection/kube/informers/apps/v1/replicaset/filtered"
	filteredstatefulset "knative.dev/pkg/client/injection/kube/informers/apps/v1/statefulset/filtered"
	namespaceinformer "knative.dev/pkg/client/injection/kube/informers/core/v1/namespace"
	filteredpod "knative.dev/pkg/client/injection/kube/informers/core/v1/pod/filtered"
	endpointsliceinformer "knative.dev/pkg/client/injection/kube/informers/discovery/v1/endpointslice"
	"knative.dev/pkg/client/injection/kube/informers/policy/v1/poddisruptionbudget"
	"knative.dev/pkg/configmap"
	"knative.dev/pkg/controller"
	"knative.dev/pkg/injection"
	"knative.dev/pkg/system"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	periplusscheme "github.com/periplus-dev/periplus/pkg/client/clientset/versioned/scheme"
	periplusclient "github.com/periplus-dev/periplus/pkg/client/injection/client"
	"github.com/periplus-dev/periplus/pkg/client/injection/informers/apps/v1alpha1/cafedeployment"
	"github.com/periplus-dev/periplus/pkg/client/injection/informers/apps/v1alpha1/inplaceset"
	"github.com/periplus-dev/periplus/pkg/client/injection/informers/apps/v1alpha1/sidecarset"
	"github.com/periplus-dev/periplus/pkg/loop"
	"github.com/periplus-dev/periplus/pkg/taken"
)

// NewController wires the controller of sets. The context must know Selectors.
func NewController(ctx context.Context, _ configmap.Watcher) *controller.Impl {
	sets := sidecarset.Get(ctx)
	must(observeSets(sets.Lister()))
	meta, err := metadata.NewForConfig(injection.GetConfig(ctx))
	must(err)
	others := metadatainformer.NewFilteredMetadataInformer(meta, corev1.SchemeGroupVersion.WithResource("pods"), metav1.NamespaceAll, 0,
		cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc}, func(o *metav1.ListOptions) {
			o.LabelSelector, o.FieldSelector = "!"+v1alpha1.LabelSidecars, "status.phase!=Succeeded,status.phase!=Failed"
		}).Informer()
	var impl *controller.Impl
	var once sync.Once
	key := func(set string) types.NamespacedName { return types.NamespacedName{Name: set} }
	wakeAll := func() {
		all, _ := sets.Lister().List(labels.Everything())
		for _, set := range all {
			impl.EnqueueKey(key(set.Name))
		}
	}
	reconcile := Wire(Parts{
		Kube: kubeclient.Get(ctx), Periplus: periplusclient.Get(ctx), System: system.Namespace(),
		Pods: filteredpod.Get(ctx, v1alpha1.LabelSidecars).Informer(), Others: others,
		// A member without SidecarSets does not watch pods that are none of ours.
		Begin: func() {
			once.Do(func() {
				go others.Run(ctx.Done())
				go func() {
					if cache.WaitForCacheSync(ctx.Done(), others.HasSynced) {
						wakeAll()
					}
				}()
			})
		},
		Sets: sets.Informer(), Revisions: filtered.Get(ctx, v1alpha1.LabelSidecarSet).Informer(), Slices: endpointsliceinformer.Get(ctx).Informer(),
		Budgets: poddisruptionbudget.Get(ctx).Informer(), Ns: namespaceinformer.Get(ctx).Informer(), Workloads: workloadsOf(ctx), Taken: taken.From(ctx),
		Clock: clock.RealClock{}, Recorder: newRecorder(ctx), WritesAtOnce: writesAtOnce,
		Enqueue:      func(set string) { impl.EnqueueKey(key(set)) },
		EnqueueAfter: func(set string, after time.Duration) { impl.EnqueueKeyAfter(key(set), after) },
	})
	impl = loop.New(ctx, loop.Config{
		// One set at a time: they share pods and disruption budgets.
		Name: Name, Concurrency: 1, Reconcile: reconcile, Together: true,
		List: func() ([]types.NamespacedName, error) {
			all, err := sets.Lister().List(labels.Everything())
			if err != nil {
				return nil, fmt.Errorf("listing SidecarSets: %w", err)
			}
			keys := make([]types.NamespacedName, 0, len(all))
			for _, set := range all {
				keys = append(keys, key(set.Name))
			}
			return keys, nil
		},
	})
	return impl
}

// NewGates wires the controller of the readiness gates that came with sidecars.
func NewGates(ctx context.Context, _ configmap.Watcher) *controller.Impl {
	var impl *controller.Impl
	open, keys := WireGates(kubeclient.Get(ctx), filteredpod.Get(ctx, v1alpha1.LabelSidecars).Informer(), sidecarset.Get(ctx).Informer(), clock.RealClock{},
		func(key types.NamespacedName) { impl.EnqueueKey(key) })
	impl = loop.New(ctx, loop.Config{
		Name: GatesName, Concurrency: writesAtOnce, Reconcile: open, List: func() ([]types.NamespacedName, error) { return keys(), nil },
	})
	return impl
}

// workloadsOf the binary: the informers that their own controllers have.
func workloadsOf(ctx context.Context) *Workloads {
	return &Workloads{
		InPlaceSets: inplaceset.Get(ctx).Informer(), CafeDeployments: cafedeployment.Get(ctx).Informer(), InPlaceSetPods: filteredpod.Get(ctx, v1alpha1.LabelInPlaceSet).Informer(),
		ReplicaSets: filteredreplicaset.Get(ctx, v1alpha1.OfCafeDeployments).Informer(), StatefulSets: filteredstatefulset.Get(ctx, v1alpha1.OfCafeDeployments).Informer(),
		Pods: filteredpod.Get(ctx, v1alpha1.OfCafeDeployments).Informer(),
	}
}

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
	return broadcaster.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "sidecarset-controller"})
}
