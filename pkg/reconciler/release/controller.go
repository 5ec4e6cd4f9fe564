// Package release is the controller of Releases: it watches the run that carries each, and when that is over lets go of the locks, puts
// partitions back to rest, and closes the record. It never changes a template.
package release

import (
	"context"
	"fmt"

	pipelinev1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	"github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	pipelineruninformer "github.com/tektoncd/pipeline/pkg/client/injection/informers/pipeline/v1/pipelinerun"
	customruninformer "github.com/tektoncd/pipeline/pkg/client/injection/informers/pipeline/v1beta1/customrun"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	"knative.dev/pkg/configmap"
	"knative.dev/pkg/controller"
	"knative.dev/pkg/injection"
	"knative.dev/pkg/kmeta"
	"knative.dev/pkg/logging"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	interventioninformer "github.com/periplus-dev/periplus/pkg/client/injection/informers/stages/v1alpha1/intervention"
	releaseinformer "github.com/periplus-dev/periplus/pkg/client/injection/informers/stages/v1alpha1/release"
	"github.com/periplus-dev/periplus/pkg/loop"
	record "github.com/periplus-dev/periplus/pkg/release"
	"github.com/periplus-dev/periplus/pkg/stage"
)

// concurrency is how many releases are closed at once.
const concurrency = 8

// NewController returns the controller's constructor.
func NewController(frame func(context.Context) *stage.Frame) injection.ControllerConstructor {
	return func(ctx context.Context, _ configmap.Watcher) *controller.Impl {
		releases := releaseinformer.Get(ctx)
		f := frame(ctx)
		c := &closer{
			releases: releases.Lister(), pipelineRuns: pipelineruninformer.Get(ctx).Lister(), customRuns: customruninformer.Get(ctx).Lister(),
			interventions: interventioninformer.Get(ctx).Lister(), approvals: f.Approvals, client: f.Periplus, retention: f.Retention,
			tekton: f.Tekton, fleet: f.Fleet, kinds: f.Kinds, records: f.Records, locks: f.Locks, clock: f.Clock,
		}
		impl := loop.New(ctx, loop.Config{
			Name: "release", Concurrency: concurrency, Reconcile: c.reconcile,
			List: func() ([]types.NamespacedName, error) {
				all, err := releases.Lister().List(labels.Everything())
				if err != nil {
					return nil, fmt.Errorf("listing releases: %w", err)
				}
				keys := make([]types.NamespacedName, 0, len(all))
				for _, r := range all {
					keys = append(keys, types.NamespacedName{Namespace: r.Namespace, Name: r.Name})
				}
				return keys, nil
			},
		})
		c.enqueue = impl.EnqueueKey
		watch := func(inf cache.SharedIndexInformer, h cache.ResourceEventHandler) {
			if _, err := inf.AddEventHandler(h); err != nil {
				logging.FromContext(ctx).Fatalw("Cannot watch", "error", fmt.Errorf("adding an event handler: %w", err))
			}
		}
		watch(releases.Informer(), controller.HandleAll(impl.Enqueue))
		watch(pipelineruninformer.Get(ctx).Informer(), controller.HandleAll(func(obj any) {
			if pr, ok := unwrap(obj).(*pipelinev1.PipelineRun); ok {
				c.wakeCarried(pr.Namespace, pr.UID)
				impl.EnqueueKey(keyOf(pr, v1alpha1.RootRef{Kind: "PipelineRun", Name: pr.Name, UID: pr.UID}))
			}
		}))
		watch(customruninformer.Get(ctx).Informer(), controller.HandleAll(func(obj any) {
			cr, ok := unwrap(obj).(*v1beta1.CustomRun)
			if !ok {
				return
			}
			impl.EnqueueKey(keyOf(cr, v1alpha1.RootRef{Kind: "CustomRun", Name: cr.Name, UID: cr.UID}))
			c.wakeFor(cr)
			for _, o := range cr.OwnerReferences {
				if o.Kind == "PipelineRun" {
					impl.EnqueueKey(keyOf(cr, v1alpha1.RootRef{Kind: o.Kind, Name: o.Name, UID: o.UID}))
				}
			}
		}))
		watch(interventioninformer.Get(ctx).Informer(), controller.HandleAll(func(obj any) {
			i, ok := unwrap(obj).(*v1alpha1.Intervention)
			if !ok {
				return
			}
			impl.EnqueueKey(keyOf(i, i.Spec.RunRef))
			c.wakeCarried(i.Namespace, i.Spec.RunRef.UID)
		}))
		return impl
	}
}

func unwrap(obj any) any {
	if d, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		return d.Obj
	}
	return obj
}

func keyOf(obj kmeta.Accessor, root v1alpha1.RootRef) types.NamespacedName {
	return types.NamespacedName{Namespace: obj.GetNamespace(), Name: record.Name(root)}
}
