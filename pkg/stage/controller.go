package stage

import (
	"context"
	"fmt"

	pipelinev1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	"github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	pipelineruninformer "github.com/tektoncd/pipeline/pkg/client/injection/informers/pipeline/v1/pipelinerun"
	customruninformer "github.com/tektoncd/pipeline/pkg/client/injection/informers/pipeline/v1beta1/customrun"
	customrunreconciler "github.com/tektoncd/pipeline/pkg/client/injection/reconciler/pipeline/v1beta1/customrun"
	pipelinev1beta1listers "github.com/tektoncd/pipeline/pkg/client/listers/pipeline/v1beta1"
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
			cr, ok := unwrapped(obj).(*v1beta1.CustomRun)
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
		from := Informers{
			Runs: runs.Informer(), Approvals: approvalinformer.Get(ctx).Informer(), Interventions: interventioninformer.Get(ctx).Informer(),
			Freezes: freezeinformer.Get(ctx).Informer(), Releases: releaseinformer.Get(ctx).Informer(),
		}
		if _, ok := task.(Carrier); ok {
			from.PipelineRuns = pipelineruninformer.Get(ctx).Informer()
		}
		if err := Watch(task.Kind(), from, r.enqueue); err != nil {
			logging.FromContext(ctx).Fatalw("Cannot watch", "error", err)
		}
		return impl
	}
}

// Informers are the caches whose events wake stages. They are not started yet.
type Informers struct {
	Runs, Approvals, Interventions, Freezes, Releases cache.SharedIndexInformer
	// PipelineRuns of a kind that carries others; nil for those that do not.
	PipelineRuns cache.SharedIndexInformer
}

// Watch has events enqueue the runs of a kind that they concern, and no other: knative puts a finalizer on whatever it is given.
func Watch(kind string, from Informers, enqueue func(types.NamespacedName)) error {
	lister := pipelinev1beta1listers.NewCustomRunLister(from.Runs.GetIndexer())
	wake := func(cr *v1beta1.CustomRun) {
		if Ours(cr, kind) {
			enqueue(types.NamespacedName{Namespace: cr.Namespace, Name: cr.Name})
		}
	}
	wakeAll := func(namespace string, concerned func(*v1beta1.CustomRun) bool) {
		all, err := lister.CustomRuns(namespace).List(labels.Everything())
		if err != nil {
			return // a lister of a cache knows no error but a selector's.
		}
		for _, cr := range all {
			if cr.Status.CompletionTime == nil && concerned(cr) {
				wake(cr)
			}
		}
	}
	every := func(*v1beta1.CustomRun) bool { return true }
	handlers := map[cache.SharedIndexInformer]cache.ResourceEventHandler{
		from.Runs: controller.HandleAll(func(obj any) {
			if cr, ok := unwrapped(obj).(*v1beta1.CustomRun); ok {
				wake(cr)
			}
		}),
		from.Approvals: controller.HandleAll(func(obj any) {
			a, ok := unwrapped(obj).(*v1alpha1.Approval)
			if !ok {
				return
			}
			if cr, err := lister.CustomRuns(a.Namespace).Get(a.Spec.RunRef.Name); err == nil {
				wake(cr)
			}
		}),
		// A Freeze may stop, or let go on, any run that is not over; an intervention those of its namespace.
		from.Freezes: controller.HandleAll(func(any) { wakeAll(metav1.NamespaceAll, every) }),
		from.Interventions: controller.HandleAll(func(obj any) {
			if i, ok := unwrapped(obj).(*v1alpha1.Intervention); ok {
				wakeAll(i.Namespace, every)
			}
		}),
		// Everything else of a release that is being taken back stands still.
		from.Releases: cache.ResourceEventHandlerFuncs{UpdateFunc: func(before, after any) {
			old, was := before.(*v1alpha1.Release)
			rel, is := after.(*v1alpha1.Release)
			if was && is && old.Status.Phase != rel.Status.Phase {
				wakeAll(rel.Namespace, func(cr *v1beta1.CustomRun) bool { return ReleaseOf(cr) == rel.Name })
			}
		}},
	}
	if from.PipelineRuns != nil {
		// All that are not over in a child's namespace are woken: one that carries a release on goes by children that another run made.
		handlers[from.PipelineRuns] = controller.HandleAll(func(obj any) {
			if pr, ok := unwrapped(obj).(*pipelinev1.PipelineRun); ok && pr.Annotations[v1alpha1.AnnotationParent] != "" {
				wakeAll(pr.Namespace, every)
			}
		})
	}
	for inf, handler := range handlers {
		if _, err := inf.AddEventHandler(handler); err != nil {
			return fmt.Errorf("adding an event handler: %w", err)
		}
	}
	return nil
}

func unwrapped(obj any) any {
	if d, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		return d.Obj
	}
	return obj
}
