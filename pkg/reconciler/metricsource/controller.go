package metricsource

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
	"knative.dev/pkg/configmap"
	"knative.dev/pkg/controller"
	"knative.dev/pkg/injection"

	fleetv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/fleet/v1alpha1"
	client "github.com/periplus-dev/periplus/pkg/client/injection/client"
	sourceinformer "github.com/periplus-dev/periplus/pkg/client/injection/informers/fleet/v1alpha1/metricsource"
	"github.com/periplus-dev/periplus/pkg/guard/source/book"
	"github.com/periplus-dev/periplus/pkg/loop"
)

// NewController returns the constructor of the controller of MetricSources over the process's Book.
func NewController(bookOf func(context.Context) *book.Book) injection.ControllerConstructor {
	return func(ctx context.Context, _ configmap.Watcher) *controller.Impl {
		b := bookOf(ctx)
		informer := sourceinformer.Get(ctx)
		r := &reconciler{prober: b, sources: informer.Lister(), client: client.Get(ctx).FleetV1alpha1().MetricSources(), clock: clock.RealClock{}}
		impl := loop.New(ctx, loop.Config{Name: "metricsources", List: r.keys, Reconcile: r.reconcile})
		_, err := informer.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc: impl.Enqueue,
			UpdateFunc: func(before, after any) {
				// What we write into the status is no news.
				if generation(before) != generation(after) {
					impl.Enqueue(after)
				}
			},
			DeleteFunc: func(obj any) {
				// In every replica: each has its own clients.
				if key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(obj); err == nil {
					b.Forget(key)
				}
			},
		})
		if err != nil {
			panic(fmt.Errorf("watching MetricSources: %w", err)) // the informer was stopped before it started: a mistake in main
		}
		return impl
	}
}

// generation tells specs apart, also those of an object that was made anew under its name.
func generation(obj any) string {
	s, ok := obj.(*fleetv1alpha1.MetricSource)
	if !ok {
		return ""
	}
	return fmt.Sprintf("%s/%d", s.UID, s.Generation)
}

func (r *reconciler) keys() ([]types.NamespacedName, error) {
	all, err := r.sources.List(labels.Everything())
	if err != nil {
		return nil, err
	}
	out := make([]types.NamespacedName, 0, len(all))
	for _, s := range all {
		out = append(out, types.NamespacedName{Name: s.Name})
	}
	return out, nil
}
