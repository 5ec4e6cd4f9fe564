package member

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	"knative.dev/pkg/configmap"
	"knative.dev/pkg/controller"
	"knative.dev/pkg/injection"

	client "github.com/periplus-dev/periplus/pkg/client/injection/client"
	memberinformer "github.com/periplus-dev/periplus/pkg/client/injection/informers/fleet/v1alpha1/member"
	"github.com/periplus-dev/periplus/pkg/fleet"
	"github.com/periplus-dev/periplus/pkg/loop"
)

// NewController returns the constructor of the controller of Members over the process's Fleet.
func NewController(fleetOf func(context.Context) *fleet.Fleet) injection.ControllerConstructor {
	return func(ctx context.Context, _ configmap.Watcher) *controller.Impl {
		f := fleetOf(ctx)
		informer := memberinformer.Get(ctx)
		r := &reconciler{
			fleet:   f,
			members: informer.Lister(),
			client:  client.Get(ctx).FleetV1alpha1().Members(),
		}
		impl := loop.New(ctx, loop.Config{
			Name:      "members",
			List:      r.keys,
			Reconcile: r.reconcile,
		})
		enqueue := func(name string) { impl.EnqueueKey(types.NamespacedName{Name: name}) }
		_, err := informer.Informer().AddEventHandler(controller.HandleAll(func(obj any) {
			key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(obj)
			if err != nil {
				return
			}
			// In every replica: each has its own connections.
			f.MemberChanged(key)
			enqueue(key)
		}))
		if err != nil {
			panic(fmt.Errorf("watching Members: %w", err)) // the informer was stopped before it started: a mistake in main
		}
		context.AfterFunc(ctx, f.Subscribe(enqueue))
		return impl
	}
}

func (r *reconciler) keys() ([]types.NamespacedName, error) {
	all, err := r.members.List(labels.Everything())
	if err != nil {
		return nil, err
	}
	out := make([]types.NamespacedName, 0, len(all))
	for _, m := range all {
		out = append(out, types.NamespacedName{Name: m.Name})
	}
	return out, nil
}
