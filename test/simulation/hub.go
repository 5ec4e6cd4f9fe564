package simulation

import (
	"context"
	"fmt"

	customrunreconciler "github.com/tektoncd/pipeline/pkg/client/injection/reconciler/pipeline/v1beta1/customrun"
	pipelinev1listers "github.com/tektoncd/pipeline/pkg/client/listers/pipeline/v1"
	pipelinev1beta1listers "github.com/tektoncd/pipeline/pkg/client/listers/pipeline/v1beta1"
	"go.uber.org/zap"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apitypes "k8s.io/apimachinery/pkg/types"
	"knative.dev/pkg/controller"
	"knative.dev/pkg/logging"
	knative "knative.dev/pkg/reconciler"

	appsv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	stageslisters "github.com/periplus-dev/periplus/pkg/client/listers/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/reconciler/cafedeployment"
	"github.com/periplus-dev/periplus/pkg/reconciler/inplaceset"
	releasereconciler "github.com/periplus-dev/periplus/pkg/reconciler/release"
	"github.com/periplus-dev/periplus/pkg/release"
	"github.com/periplus-dev/periplus/pkg/stage"
	"github.com/periplus-dev/periplus/pkg/taken"
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

// tasks are the stages that the hub runs, as cmd/controller has them.
func tasks() []stage.Task {
	return []stage.Task{
		betabatch.Task{}, canary.Task{}, confirm.Task{}, partitionbump.Task{}, sidecarupgrade.Task{}, clusterhop.Task{}, rollback.Task{}, soak.Task{}, check.Task{}, window.Task{},
	}
}

// startHub makes what cmd/controller makes.
func startHub(p *process) {
	w := p.w
	c := clientsFor(p.home.api.Config(p.through(p.home)))
	p.fleet = newFleet(p)
	runs, prs := p.inform("tekton.dev", "customruns", ""), p.inform("tekton.dev", "pipelineruns", "")
	approvals, releases := p.inform("stages.periplus.dev", "approvals", ""), p.inform("stages.periplus.dev", "releases", "")
	interventions, freezes := p.inform("stages.periplus.dev", "interventions", ""), p.inform("stages.periplus.dev", "freezes", "")
	frame, err := stage.NewFrame(stage.Config{
		Tekton: c.tekton, Periplus: c.periplus, PipelineRuns: pipelinev1listers.NewPipelineRunLister(prs.GetIndexer()),
		Approvals: stageslisters.NewApprovalLister(approvals.GetIndexer()), Releases: stageslisters.NewReleaseLister(releases.GetIndexer()),
		Interventions: stageslisters.NewInterventionLister(interventions.GetIndexer()), Freezes: stageslisters.NewFreezeLister(freezes.GetIndexer()),
		Namespaces: c.kube.CoreV1().Namespaces(), Tasks: tasks(),
		Fleet: p.fleet, Kinds: workload.NewKinds(w.clock), Clock: w.clock,
		Records: &release.Records{Client: c.periplus}, Locks: &release.Locks{Hub: w.hubUID, Client: c.periplus},
	})
	w.must("making the frame", err)
	ctx := logging.WithLogger(context.Background(), zap.NewNop().Sugar())
	for _, t := range tasks() {
		if w.plant.Task != nil {
			t = w.plant.Task(t)
		}
		q := p.newQueue(t.Kind())
		r := customrunreconciler.NewReconciler(ctx, zap.NewNop().Sugar(), c.tekton, pipelinev1beta1listers.NewCustomRunLister(runs.GetIndexer()),
			quiet{}, stage.NewReconciler(frame, t, q.add), controller.Options{FinalizerName: stage.FinalizerName, SkipStatusUpdates: true})
		leader, ok := r.(knative.LeaderAware)
		if !ok {
			panic(fmt.Errorf("a %T cannot lead", r))
		}
		w.must("leading", leader.Promote(knative.UniversalBucket(), func(knative.Bucket, apitypes.NamespacedName) {}))
		q.reconcile = func(ctx context.Context, key apitypes.NamespacedName) error { return r.Reconcile(ctx, key.String()) }
		from := stage.Informers{Runs: runs, Approvals: approvals, Interventions: interventions, Freezes: freezes, Releases: releases}
		if _, ok := t.(stage.Carrier); ok {
			from.PipelineRuns = prs
		}
		w.must("watching", stage.Watch(t.Kind(), from, q.add))
	}
	q := p.newQueue("Release")
	q.reconcile, err = releasereconciler.Wire(releasereconciler.Parts{Frame: frame, Releases: releases, PipelineRuns: prs, CustomRuns: runs,
		Interventions: interventions, Enqueue: q.add})
	w.must("watching", err)
}

// startMember makes what cmd/workloads makes.
func startMember(p *process) {
	c := clientsFor(p.home.api.Config(p.through(p.home)))
	q := p.newQueue("InPlaceSet")
	sets, pods := p.inform(appsv1alpha1.SchemeGroupVersion.Group, "inplacesets", ""), p.inform("", "pods", appsv1alpha1.LabelInPlaceSet)
	parts := inplaceset.Parts{
		Kube: c.kube, Periplus: c.periplus, Sets: sets, Pods: pods,
		Revisions: p.inform("apps", "controllerrevisions", appsv1alpha1.LabelInPlaceSet), Slices: p.inform("discovery.k8s.io", "endpointslices", ""),
		Budgets: p.inform("policy", "poddisruptionbudgets", ""), Taken: taken.New(),
		Clock: p.w.clock, Recorder: quiet{}, WritesAtOnce: 1, Enqueue: q.add, EnqueueAfter: q.addAfter,
	}
	var carriers *informer
	if p.w.story.sidecars != nil {
		carriers = p.inform("", "pods", appsv1alpha1.LabelSidecars)
		carriers.lie = p.w.plant.Lies["sidecars/pods"]
		parts.Carriers = carriers
	}
	register := parts.Taken
	if p.w.plant.Apart {
		parts.Taken = nil
	}
	q.reconcile = inplaceset.Wire(parts)
	var cafes *cafedeployment.Parts
	if p.w.story.hasCafes() { // elsewhere its controller has nothing to do, and its caches nothing to see.
		cafes = startCafes(p, c, sets, pods)
	}
	if carriers != nil {
		startSidecars(p, c, workloadsOf(p, sets, pods, cafes), register, carriers)
	}
}

// hubUID is how locks name the hub.
func hubUID(c *cluster) string {
	ns, err := c.admin.kube.CoreV1().Namespaces().Get(context.Background(), metav1.NamespaceSystem, metav1.GetOptions{})
	if err != nil {
		panic(fmt.Errorf("reading namespace kube-system: %w", err)) // every store has it.
	}
	return string(ns.UID)
}
