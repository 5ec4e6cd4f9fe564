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
	pipelinev1listers "github.com/tektoncd/pipeline/pkg/client/listers/pipeline/v1"
	pipelinev1beta1listers "github.com/tektoncd/pipeline/pkg/client/listers/pipeline/v1beta1"
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
	stageslisters "github.com/periplus-dev/periplus/pkg/client/listers/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/loop"
	record "github.com/periplus-dev/periplus/pkg/release"
	"github.com/periplus-dev/periplus/pkg/stage"
)

// concurrency is how many releases are closed at once.
const concurrency = 8

// Parts are what the controller is made of. Informers are not started yet.
type Parts struct {
	Frame                              *stage.Frame
	Releases, PipelineRuns, CustomRuns cache.SharedIndexInformer
	Interventions                      cache.SharedIndexInformer
	Enqueue                            func(types.NamespacedName)
}

// Wire has the events of the informers enqueue releases, and returns one pass over a release.
func Wire(p Parts) (func(context.Context, types.NamespacedName) error, error) {
	f := p.Frame
	c := &closer{
		releases: stageslisters.NewReleaseLister(p.Releases.GetIndexer()), pipelineRuns: pipelinev1listers.NewPipelineRunLister(p.PipelineRuns.GetIndexer()),
		customRuns:    pipelinev1beta1listers.NewCustomRunLister(p.CustomRuns.GetIndexer()),
		interventions: stageslisters.NewInterventionLister(p.Interventions.GetIndexer()), approvals: f.Approvals, client: f.Periplus, retention: f.Retention,
		tekton: f.Tekton, fleet: f.Fleet, kinds: f.Kinds, records: f.Records, locks: f.Locks, clock: f.Clock, enqueue: p.Enqueue,
	}
	for inf, handle := range map[cache.SharedIndexInformer]func(any){
		p.Releases: func(obj any) {
			if rel, ok := unwrap(obj).(*v1alpha1.Release); ok {
				p.Enqueue(types.NamespacedName{Namespace: rel.Namespace, Name: rel.Name})
			}
		},
		p.PipelineRuns: func(obj any) {
			if pr, ok := unwrap(obj).(*pipelinev1.PipelineRun); ok {
				if rel := pr.Annotations[v1alpha1.AnnotationRelease]; rel != "" {
					p.Enqueue(types.NamespacedName{Namespace: pr.Namespace, Name: rel})
				}
				c.wakeCarried(pr.Namespace, pr.UID)
				p.Enqueue(keyOf(pr, v1alpha1.RootRef{Kind: "PipelineRun", Name: pr.Name, UID: pr.UID}))
			}
		},
		p.CustomRuns: func(obj any) {
			cr, ok := unwrap(obj).(*v1beta1.CustomRun)
			if !ok {
				return
			}
			p.Enqueue(keyOf(cr, v1alpha1.RootRef{Kind: "CustomRun", Name: cr.Name, UID: cr.UID}))
			if rel := releaseOf(cr); rel != "" {
				p.Enqueue(types.NamespacedName{Namespace: cr.Namespace, Name: rel})
			}
			for _, o := range cr.OwnerReferences {
				if o.Kind == "PipelineRun" {
					p.Enqueue(keyOf(cr, v1alpha1.RootRef{Kind: o.Kind, Name: o.Name, UID: o.UID}))
				}
			}
		},
		p.Interventions: func(obj any) {
			if i, ok := unwrap(obj).(*v1alpha1.Intervention); ok {
				p.Enqueue(keyOf(i, i.Spec.RunRef))
				c.wakeCarried(i.Namespace, i.Spec.RunRef.UID)
			}
		},
	} {
		if _, err := inf.AddEventHandler(controller.HandleAll(handle)); err != nil {
			return nil, fmt.Errorf("adding an event handler: %w", err)
		}
	}
	return c.reconcile, nil
}

// NewController returns the controller's constructor.
func NewController(frame func(context.Context) *stage.Frame) injection.ControllerConstructor {
	return func(ctx context.Context, _ configmap.Watcher) *controller.Impl {
		releases := releaseinformer.Get(ctx)
		var impl *controller.Impl
		reconcile, err := Wire(Parts{
			Frame: frame(ctx), Releases: releases.Informer(), PipelineRuns: pipelineruninformer.Get(ctx).Informer(), CustomRuns: customruninformer.Get(ctx).Informer(),
			Interventions: interventioninformer.Get(ctx).Informer(),
			Enqueue:       func(key types.NamespacedName) { impl.EnqueueKey(key) },
		})
		if err != nil {
			logging.FromContext(ctx).Fatalw("Cannot watch", "error", err)
		}
		impl = loop.New(ctx, loop.Config{
			Name: "release", Concurrency: concurrency, Reconcile: reconcile,
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
