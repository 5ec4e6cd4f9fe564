// Command controller is the hub's binary: the stage controllers, the record of releases and the members.
package main

import (
	"context"
	"flag"
	"sync"
	"time"

	tektonclient "github.com/tektoncd/pipeline/pkg/client/injection/client"
	pipelineruninformer "github.com/tektoncd/pipeline/pkg/client/injection/informers/pipeline/v1/pipelinerun"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	kubeclient "knative.dev/pkg/client/injection/kube/client"
	"knative.dev/pkg/injection"
	"knative.dev/pkg/logging"
	"knative.dev/pkg/system"

	"github.com/periplus-dev/periplus/pkg/boot"
	periplusclient "github.com/periplus-dev/periplus/pkg/client/injection/client"
	memberinformer "github.com/periplus-dev/periplus/pkg/client/injection/informers/fleet/v1alpha1/member"
	metricsourceinformer "github.com/periplus-dev/periplus/pkg/client/injection/informers/fleet/v1alpha1/metricsource"
	approvalinformer "github.com/periplus-dev/periplus/pkg/client/injection/informers/stages/v1alpha1/approval"
	freezeinformer "github.com/periplus-dev/periplus/pkg/client/injection/informers/stages/v1alpha1/freeze"
	interventioninformer "github.com/periplus-dev/periplus/pkg/client/injection/informers/stages/v1alpha1/intervention"
	releaseinformer "github.com/periplus-dev/periplus/pkg/client/injection/informers/stages/v1alpha1/release"
	"github.com/periplus-dev/periplus/pkg/fleet"
	"github.com/periplus-dev/periplus/pkg/guard/source"
	"github.com/periplus-dev/periplus/pkg/guard/source/book"
	"github.com/periplus-dev/periplus/pkg/guard/source/pods"
	memberreconciler "github.com/periplus-dev/periplus/pkg/reconciler/member"
	metricsourcereconciler "github.com/periplus-dev/periplus/pkg/reconciler/metricsource"
	releasereconciler "github.com/periplus-dev/periplus/pkg/reconciler/release"
	runplanreconciler "github.com/periplus-dev/periplus/pkg/reconciler/runplan"
	"github.com/periplus-dev/periplus/pkg/release"
	"github.com/periplus-dev/periplus/pkg/stage"
	"github.com/periplus-dev/periplus/pkg/workload"
	"github.com/periplus-dev/periplus/tasks/betabatch"
	"github.com/periplus-dev/periplus/tasks/canary"
	"github.com/periplus-dev/periplus/tasks/check"
	"github.com/periplus-dev/periplus/tasks/clusterhop"
	"github.com/periplus-dev/periplus/tasks/confirm"
	"github.com/periplus-dev/periplus/tasks/partitionbump"
	"github.com/periplus-dev/periplus/tasks/rollback"
	"github.com/periplus-dev/periplus/tasks/sidecarupgrade"
	"github.com/periplus-dev/periplus/tasks/soak"
	"github.com/periplus-dev/periplus/tasks/window"
)

// tasks are the kinds of stages that the hub runs.
var tasks = []stage.Task{
	betabatch.Task{}, canary.Task{}, confirm.Task{}, partitionbump.Task{}, sidecarupgrade.Task{}, clusterhop.Task{}, rollback.Task{}, soak.Task{}, window.Task{}, check.Task{},
}

func main() {
	hub := &hub{}
	flag.DurationVar(&hub.retention, "release-retention", releasereconciler.DefaultRetention, "how long records of releases, answers and interventions are kept after a release's end; 0 for ever")
	ctors := []injection.ControllerConstructor{
		memberreconciler.NewController(hub.fleetOf),
		metricsourcereconciler.NewController(hub.bookOf),
		releasereconciler.NewController(hub.frameOf),
		runplanreconciler.NewController(hub.frameOf),
	}
	for _, task := range tasks {
		ctors = append(ctors, stage.NewController(hub.frameOf, task))
	}
	boot.Run("periplus-controller", ctors...)
}

// hub makes once what all controllers share, when the first of them asks for it.
type hub struct {
	once  sync.Once
	fleet *fleet.Fleet
	frame *stage.Frame
	// book is where guards find their sources.
	book *book.Book
	// retention of records.
	retention time.Duration
}

func (h *hub) fleetOf(ctx context.Context) *fleet.Fleet {
	h.make(ctx)
	return h.fleet
}

func (h *hub) bookOf(ctx context.Context) *book.Book {
	h.make(ctx)
	return h.book
}

func (h *hub) frameOf(ctx context.Context) *stage.Frame {
	h.make(ctx)
	return h.frame
}

func (h *hub) make(ctx context.Context) {
	h.once.Do(func() {
		logger := logging.FromContext(ctx)
		kube, client := kubeclient.Get(ctx), periplusclient.Get(ctx)
		itself, err := kube.CoreV1().Namespaces().Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{})
		if err != nil {
			logger.Fatalw("Cannot tell this hub from others: reading namespace kube-system", "error", err)
		}
		h.fleet = fleet.New(fleet.Options{Members: memberinformer.Get(ctx).Lister(), Hub: kube, SecretNamespace: system.Namespace()})
		boot.AtEnd(ctx, h.fleet.Stop)
		seen := pods.NewRecorder()
		h.book = book.New(book.Options{
			Sources: metricsourceinformer.Get(ctx).Lister(), Secrets: kube.CoreV1().Secrets(system.Namespace()), Namespace: system.Namespace(),
			Pods: pods.New(seen, clock.RealClock{}), Clock: clock.RealClock{},
		})
		h.frame, err = stage.NewFrame(stage.Config{
			Tekton: tektonclient.Get(ctx), Periplus: client, PipelineRuns: pipelineruninformer.Get(ctx).Lister(),
			Approvals: approvalinformer.Get(ctx).Lister(), Releases: releaseinformer.Get(ctx).Lister(),
			Interventions: interventioninformer.Get(ctx).Lister(), Freezes: freezeinformer.Get(ctx).Lister(),
			Namespaces: kube.CoreV1().Namespaces(), Tasks: tasks,
			Fleet: stage.OverFleet(h.fleet), Kinds: workload.NewKinds(clock.RealClock{}), Clock: clock.RealClock{},
			Records: &release.Records{Client: client}, Retention: h.retention,
			Locks:   &release.Locks{Hub: string(itself.UID), Client: client},
			Sources: source.NewSampler(ctx, h.book, clock.RealClock{}, seen),
		})
		if err != nil {
			logger.Fatalw("Cannot make the frame of the stages", "error", err)
		}
	})
}
