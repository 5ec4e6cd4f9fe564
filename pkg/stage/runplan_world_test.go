package stage_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	pipelinev1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	appsv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/stage"
	"github.com/periplus-dev/periplus/pkg/workload"
)

// asking is a RunPlan of alice's, and how workloads change their pods.
type asking struct {
	*sea
	way  stage.Way
	plan *v1alpha1.RunPlan
	// last is true where nothing is waited for any more.
	last bool
}

// ask makes a RunPlan of a run whose pipeline is embedded; change edits it.
func (s *sea) ask(pipeline string, change ...func(*pipelinev1.PipelineRun)) *asking {
	s.t.Helper()
	run := &pipelinev1.PipelineRun{TypeMeta: metav1.TypeMeta{APIVersion: "tekton.dev/v1", Kind: "PipelineRun"}, ObjectMeta: metav1.ObjectMeta{Name: "web-1"}}
	run.Spec.PipelineSpec = pipelineSpec(s.t, pipeline)
	for _, c := range change {
		c(run)
	}
	s.tekton.ClearActions()
	s.periplus.ClearActions()
	p := &v1alpha1.RunPlan{ObjectMeta: metav1.ObjectMeta{Name: "web-1-x", Namespace: "shop", UID: "plan-uid", Annotations: map[string]string{v1alpha1.AnnotationInitiator: "alice"}}}
	p.Spec.Run = runtime.RawExtension{Raw: encoded(run)}
	return &asking{sea: s, plan: p, way: stage.Way{Type: appsv1alpha1.InPlaceIfPossible}}
}

func pipelineSpec(t *testing.T, text string) *pipelinev1.PipelineSpec {
	t.Helper()
	spec := &pipelinev1.PipelineSpec{}
	if err := yaml.UnmarshalStrict([]byte(text), spec); err != nil {
		t.Fatal(err)
	}
	return spec
}

func param(name, value string) func(*pipelinev1.PipelineRun) {
	return func(pr *pipelinev1.PipelineRun) {
		pr.Spec.Params = append(pr.Spec.Params, pipelinev1.Param{Name: name, Value: *pipelinev1.NewStructuredValues(value)})
	}
}

// told makes one pass.
func (a *asking) told() *v1alpha1.RunPlanStatus {
	a.t.Helper()
	pl := &stage.Planner{Frame: a.frame, Ways: func(context.Context, workload.Session, *workload.Unit) (stage.Way, error) { return a.way, nil }}
	st, err := pl.Plan(context.Background(), a.plan, a.last, func() {})
	if err != nil {
		a.t.Fatal(err)
	}
	if w := a.log.all(); len(w) > 0 {
		a.t.Fatalf("a plan wrote %v", w)
	}
	for _, action := range append(a.tekton.Actions(), a.periplus.Actions()...) {
		if v := action.GetVerb(); v != "get" && v != "list" && v != "watch" {
			a.t.Fatalf("a plan made a %s of %s", v, action.GetResource().Resource)
		}
	}
	return st
}

// ready fails the test where something would be refused.
func (a *asking) ready() *v1alpha1.RunPlanStatus {
	a.t.Helper()
	st := a.told()
	if st.Phase != v1alpha1.PlanReady {
		a.t.Fatalf("phase %s (%s), problems:\n%s", st.Phase, st.Message, strings.Join(problems(st), "\n"))
	}
	return st
}

func problems(st *v1alpha1.RunPlanStatus) []string {
	var out []string
	for _, p := range st.Problems {
		out = append(out, fmt.Sprintf("%s: %s: %s", p.Stage, p.Field, p.Message))
	}
	return out
}

func planned(t *testing.T, st *v1alpha1.RunPlanStatus, name string) *v1alpha1.PlannedStage {
	t.Helper()
	for i := range st.Stages {
		if st.Stages[i].Name == name {
			return &st.Stages[i]
		}
	}
	t.Fatalf("no stage %s is planned", name)
	return nil
}

// groupsOf are a stage's groups, each as "what: m1/dca 0-1/4, …".
func groupsOf(s *v1alpha1.PlannedStage) []string {
	var out []string
	for _, g := range s.Groups {
		var units []string
		for _, u := range g.Units {
			units = append(units, fmt.Sprintf("%s/%s %d-%d/%d", u.Member, u.Unit, u.From, u.To, u.Replicas))
		}
		out = append(out, g.What+": "+strings.Join(units, ", "))
	}
	return out
}
