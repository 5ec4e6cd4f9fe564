package runplan

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

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	client "github.com/periplus-dev/periplus/pkg/client/injection/client"
	planinformer "github.com/periplus-dev/periplus/pkg/client/injection/informers/stages/v1alpha1/runplan"
	"github.com/periplus-dev/periplus/pkg/loop"
	"github.com/periplus-dev/periplus/pkg/stage"
)

// NewController returns the constructor of the controller of RunPlans.
func NewController(frameOf func(context.Context) *stage.Frame) injection.ControllerConstructor {
	return func(ctx context.Context, _ configmap.Watcher) *controller.Impl {
		frame := frameOf(ctx)
		informer := planinformer.Get(ctx)
		r := &reconciler{planner: &stage.Planner{Frame: frame}, close: frame.Fleet.Close, plans: informer.Lister(), client: client.Get(ctx).StagesV1alpha1(), clock: clock.RealClock{}}
		impl := loop.New(ctx, loop.Config{Name: "runplans", Concurrency: concurrency, List: r.keys, Reconcile: r.reconcile})
		r.enqueue = impl.EnqueueKey
		_, err := informer.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    impl.Enqueue,
			UpdateFunc: func(_, after any) { impl.Enqueue(after) },
			DeleteFunc: func(obj any) {
				if gone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
					obj = gone.Obj
				}
				if p, ok := obj.(*v1alpha1.RunPlan); ok {
					r.close(p.UID) // whoever asked is gone: its members are let go of.
				}
			},
		})
		if err != nil {
			panic(fmt.Errorf("watching RunPlans: %w", err)) // the informer was stopped before it started: a mistake in main
		}
		return impl
	}
}

// concurrency is how many plans are made at once. Each may ask the API server a few times for each of its stages.
const concurrency = 4

func (r *reconciler) keys() ([]types.NamespacedName, error) {
	all, err := r.plans.List(labels.Everything())
	if err != nil {
		return nil, err
	}
	out := make([]types.NamespacedName, 0, len(all))
	for _, p := range all {
		out = append(out, types.NamespacedName{Namespace: p.Namespace, Name: p.Name})
	}
	return out, nil
}
