package stage

import (
	"context"
	"fmt"

	"github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	customruninformer "github.com/tektoncd/pipeline/pkg/client/injection/informers/pipeline/v1beta1/customrun"
	customrunreconciler "github.com/tektoncd/pipeline/pkg/client/injection/reconciler/pipeline/v1beta1/customrun"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	"knative.dev/pkg/configmap"
	"knative.dev/pkg/controller"
	"knative.dev/pkg/injection"
	"knative.dev/pkg/logging"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	approvalinformer "github.com/periplus-dev/periplus/pkg/client/injection/informers/stages/v1alpha1/approval"
	freezeinformer "github.com/periplus-dev/periplus/pkg/client/injection/informers/stages/v1alpha1/freeze"
	interventioninformer "github.com/periplus-dev/periplus/pkg/client/injection/informers/stages/v1alpha1/intervention"
	releaseinformer "github.com/periplus-dev/periplus/pkg/client/injection/informers/stages/v1alpha1/release"
)

// FinalizerName is our own: knative's default is shared by all CustomRun controllers, who would take each other's away.
const FinalizerName = "stages.periplus.dev/stage"

// concurrency is how many runs of one kind are worked on at once. Steps never wait for a member longer than one call's timeout.
const concurrency = 16

// NewReconciler returns the reconciler of one kind; enqueue asks for a pass over a run, and may be called from any goroutine.
func NewReconciler(f *Frame, task Task, enqueue func(types.NamespacedName)) *Reconciler {
	return &Reconciler{Frame: f, Task: task, enqueue: enqueue}
}

// NewController returns the constructor of one kind's controller.
func NewController(frame func(context.Context) *Frame, task Task) injection.ControllerConstructor {
	return func(ctx context.Context, _ configmap.Watcher) *controller.Impl {
		runs := customruninformer.Get(ctx)
		r := NewReconciler(frame(ctx), task, nil)
		ours := func(obj any) bool {
			if d, ok := obj.(cache.DeletedFinalStateUnknown); ok {
				obj = d.Obj
			}
			cr, ok := obj.(*v1beta1.CustomRun)
			return ok && Ours(cr, task.Kind())
		}
		impl := customrunreconciler.NewImpl(ctx, r, func(*controller.Impl) controller.Options {
			return controller.Options{
				AgentName:     "periplus-" + task.Kind(),
				FinalizerName: FinalizerName,
				// On promotion knative enqueues every CustomRun there is, other people's too.
				PromoteFilterFunc: ours,
				SkipStatusUpdates: true,
			}
		})
		impl.Concurrency = concurrency
		r.enqueue = func(key types.NamespacedName) { impl.EnqueueKey(key) }
		must(ctx, runs.Informer(), cache.FilteringResourceEventHandler{FilterFunc: ours, Handler: controller.HandleAll(impl.Enqueue)})
		must(ctx, approvalinformer.Get(ctx).Informer(), controller.HandleAll(func(obj any) {
			if d, ok := obj.(cache.DeletedFinalStateUnknown); ok {
				obj = d.Obj
			}
			a, ok := obj.(*v1alpha1.Approval)
			if !ok {
				return
			}
			// Only runs of this kind are enqueued: knative puts a finalizer on whatever it is given.
			if cr, err := runs.Lister().CustomRuns(a.Namespace).Get(a.Spec.RunRef.Name); err == nil && ours(cr) {
				impl.Enqueue(cr)
			}
		}))
		wake := func(namespace string, mine func(*v1beta1.CustomRun) bool) {
			all, err := runs.Lister().CustomRuns(namespace).List(labels.Everything())
			if err != nil {
				logging.FromContext(ctx).Errorw("Cannot tell runs what happened", "error", err)
			}
			for _, cr := range all {
				if ours(cr) && cr.Status.CompletionTime == nil && mine(cr) {
					impl.Enqueue(cr)
				}
			}
		}
		every := func(*v1beta1.CustomRun) bool { return true }
		// A Freeze may stop, or let go on, any run that is not over; an intervention those of its namespace.
		must(ctx, freezeinformer.Get(ctx).Informer(), controller.HandleAll(func(any) { wake(metav1.NamespaceAll, every) }))
		must(ctx, interventioninformer.Get(ctx).Informer(), controller.HandleAll(func(obj any) {
			if d, ok := obj.(cache.DeletedFinalStateUnknown); ok {
				obj = d.Obj
			}
			if i, ok := obj.(*v1alpha1.Intervention); ok {
				wake(i.Namespace, every)
			}
		}))
		// Everything else of a release that is being taken back stands still.
		must(ctx, releaseinformer.Get(ctx).Informer(), cache.ResourceEventHandlerFuncs{UpdateFunc: func(before, after any) {
			old, ok := before.(*v1alpha1.Release)
			rel, ok2 := after.(*v1alpha1.Release)
			if !ok || !ok2 || old.Status.Phase == rel.Status.Phase {
				return
			}
			wake(rel.Namespace, func(cr *v1beta1.CustomRun) bool {
				st, err := statusOf(cr)
				return err != nil || st.Release == rel.Name
			})
		}})
		return impl
	}
}

func must(ctx context.Context, inf cache.SharedIndexInformer, h cache.ResourceEventHandler) {
	if _, err := inf.AddEventHandler(h); err != nil {
		logging.FromContext(ctx).Fatalw("Cannot watch", "error", fmt.Errorf("adding an event handler: %w", err))
	}
}
