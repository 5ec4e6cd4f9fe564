package plan

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/utils/clock"

	stages "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/cli/clitest"
)

var update = flag.Bool("update", false, "write the golden files anew")

const runYAML = `apiVersion: stages.periplus.dev/v1alpha1
kind: Target
metadata: {name: web}
---
apiVersion: tekton.dev/v1
kind: PipelineRun
metadata: {generateName: web-}
spec: {pipelineRef: {name: web}, params: [{name: image, value: "shop/web:v2"}]}
`

// answering is a hub that answers every plan with a status; the last RunPlan that was asked for is kept.
type answering struct {
	*clitest.Hub
	asked *stages.RunPlan
}

func answers(t *testing.T, status stages.RunPlanStatus) *answering {
	t.Helper()
	h := &answering{Hub: clitest.NewHub()}
	h.Periplus.PrependReactor("create", "runplans", func(a clienttesting.Action) (bool, runtime.Object, error) {
		p := a.(clienttesting.CreateAction).GetObject().(*stages.RunPlan)
		h.asked = p.DeepCopy()
		p.Status = status
		return false, nil, nil
	})
	return h
}

// typed runs the command without a terminal.
func typed(t *testing.T, h *clitest.Hub, in string, args ...string) (string, error) {
	t.Helper()
	t.Setenv("LC_ALL", "C.UTF-8")
	t.Setenv("COLUMNS", "130")
	cmd := newCommand(h.Connect, clock.RealClock{})
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SetIn(strings.NewReader(in))
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs(append([]string{}, args...))
	err := cmd.ExecuteContext(context.Background())
	return out.String(), err
}

func code(err error) int {
	var coded interface{ ExitCode() int }
	if errors.As(err, &coded) {
		return coded.ExitCode()
	}
	if err != nil {
		return 1
	}
	return 0
}

// release is a plan with everything in it.
func release() stages.RunPlanStatus {
	hour := stages.PlannedTimeout{Limit: "1h0m0s", Default: true}
	return stages.RunPlanStatus{
		Phase: stages.PlanReady, Initiator: "bob", Pipeline: "web", Timeout: hour,
		Stages: []stages.PlannedStage{
			{
				Name: "canary", Kind: "Canary", Target: "web", Workload: "CafeDeployment web", Members: []string{"m1", "m2"}, Timeout: hour, Bake: "5m0s",
				Groups: []stages.PlannedGroup{{What: "1 canary pods in each unit", Units: []stages.PlannedUnit{
					{Member: "m1", Unit: "dca", From: 0, To: 1, Replicas: 4}, {Member: "m2", Unit: "dca", From: 0, To: 1, Replicas: 6}}}},
				Changes: []stages.PlannedChange{
					{Members: []string{"m1"}, Kind: "CafeDeployment", Workload: "web", Units: []string{"dca", "dcb"}, How: stages.ChangeInPlace, What: []string{"image of app: shop/web:v2"},
						Diff: "--- revision abc\n+++ this run\n@@ -1,3 +1,3 @@\n spec:\n   containers:\n-  - image: shop/web:v1\n+  - image: shop/web:v2\n"},
					{Members: []string{"m2"}, Kind: "CafeDeployment", Workload: "web", Units: []string{"dca"}, How: stages.ChangeRebuild, What: []string{"image of app: shop/web:v2"}, Because: []string{"spec.podSetType: ReplicaSet"}},
				},
				Guards: []stages.PlannedGuard{
					{Name: "ready", When: stages.After, Expr: "updated.all(p, p.ready)", Deadline: "10m0s"},
					{Name: "policy/prod/slo/errors", When: stages.During, Expr: "metrics.errors < 0.01", For: "1m30s", Sources: []string{"prom"}, Members: []string{"m2"}},
				},
				Demands: []string{"canaries in m2 bake for 5m0s or longer (ReleasePolicy prod)"},
				Facts:   []string{"at most 25% of each unit unavailable, for any reason (Target web)"},
				Notes:   []string{"now: freeze cables (fay: cut)"},
			},
			{Name: "confirm", Kind: "Confirm", After: []string{"canary"}, Timeout: stages.PlannedTimeout{Limit: "24h0m0s"}, Retries: 1,
				Question: &stages.PlannedQuestion{Message: "all well?", Approvers: stages.Approvers{Groups: []string{"sre"}}, Required: 2, Excluded: []string{"bob"}, Times: 1}},
			{Name: "hop", Kind: "ClusterHop", After: []string{"confirm"}, Timeout: stages.PlannedTimeout{Limit: "none"}, Members: []string{"m3", "m4"},
				Waves: []stages.PlannedWave{{Members: []string{"m3"}, MaxParallel: 1}, {Name: "rest", Members: []string{"m4"}, MaxParallel: 10}}, Facts: []string{"runs Pipeline web-one once for each of 2 members, in 2 waves"}},
			{Name: "hop/bump", Kind: "PartitionBump", KnownAfter: []string{"canary"}, Timeout: stages.PlannedTimeout{Limit: "none"}, Notes: []string{"spec.order[0]: $(params.unit) is known only then"}},
			{Name: "mail", Kind: "Task", Foreign: true, Skipped: true, When: []string{"no in [yes]"}},
			{Name: "back", Kind: "Rollback", Finally: true, When: []string{"$(tasks.status) notin [Succeeded]"}, Timeout: stages.PlannedTimeout{Limit: "none"},
				Facts: []string{"takes m1/dca back: CafeDeployment web to revision abc"}},
		},
	}
}

func TestAPlanOnTheScreen(t *testing.T) {
	refused := release()
	refused.Phase, refused.Message, refused.ProblemCount = stages.PlanRefused, "3 reasons for which the run would be refused", 3
	refused.Stages = refused.Stages[1:2]
	refused.Problems = []stages.PlanProblem{
		{Field: "spec.params", Message: "the pipeline wants the param image (string), which is not given"},
		{Stage: "confirm", Field: "spec.forbidInitiator", Message: "is set, and it is not known who starts the run"},
		{Stage: "confirm", Message: "something"},
	}
	for _, tc := range []struct {
		name   string
		status stages.RunPlanStatus
		args   []string
		code   int
	}{
		{"ready", release(), []string{"-f", "-", "--diff"}, 0},
		{"refused", refused, []string{"web", "--param", "image=shop/web:v2"}, 1},
		{"refused-as-yaml", refused, []string{"-f", "-", "-o", "yaml"}, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := answers(t, tc.status)
			got, err := typed(t, h.Hub, runYAML, tc.args...)
			if code(err) != tc.code || err != nil && err.Error() != "" {
				t.Errorf("ended with %d: %v", code(err), err)
			}
			file := filepath.Join("testdata", tc.name+".golden")
			if *update {
				if err := os.MkdirAll("testdata", 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("the screen is another one than in %s (write it anew with -update once it is as wanted):\n%s", file, got)
			}
		})
	}
}

func TestAPlanIsAskedForInTheCallersNameAndDeletedAgain(t *testing.T) {
	h := answers(t, stages.RunPlanStatus{Phase: stages.PlanReady})
	if _, err := typed(t, h.Hub, runYAML, "-f", "-", "--diff"); err != nil {
		t.Fatal(err)
	}
	if h.asked.Annotations[stages.AnnotationInitiator] != "bob" || h.asked.Namespace != "shop" || !h.asked.Spec.Diff || !strings.Contains(string(h.asked.Spec.Run.Raw), `"generateName":"web-"`) {
		t.Errorf("asked for %+v", h.asked)
	}
	left, err := h.Periplus.StagesV1alpha1().RunPlans("shop").List(context.Background(), metav1.ListOptions{})
	if err != nil || len(left.Items) != 0 {
		t.Errorf("left behind: %v %v", left.Items, err)
	}
	for _, a := range h.Tekton.Actions() {
		if c, ok := a.(clienttesting.CreateActionImpl); ok && (len(c.CreateOptions.DryRun) != 1 || c.CreateOptions.DryRun[0] != metav1.DryRunAll) {
			t.Errorf("a %s was created, and not as a dry run", a.GetResource().Resource)
		}
	}
}

func TestWhatTheServerWouldRefuseIsInThePlan(t *testing.T) {
	tekton := apierrors.NewBadRequest(`admission webhook "validation.webhook.pipeline.tekton.dev" denied the request: validation failed`)
	forbidden := apierrors.NewForbidden(schema.GroupResource{Group: "tekton.dev", Resource: "pipelineruns"}, "", errors.New("no"))
	taken := apierrors.NewAlreadyExists(schema.GroupResource{Group: "tekton.dev", Resource: "pipelineruns"}, "web-1")
	run := stages.PlanProblem{Field: "spec.pipelineSpec.tasks", Message: "said already"}
	for name, tc := range map[string]struct {
		err     error
		problem *stages.PlanProblem
		want    string
		count   int
	}{
		"what Tekton says": {err: tekton, want: "denied the request", count: 1},
		"what Tekton says and the hub said is not told twice": {err: tekton, problem: &run, want: "said already", count: 1},
		"a permission that is lacking":                        {err: forbidden, problem: &run, want: "you lack a permission: create on pipelineruns.tekton.dev", count: 2},
		"a name that is taken":                                {err: taken, want: "metadata.name: there is a PipelineRun", count: 1},
	} {
		t.Run(name, func(t *testing.T) {
			status := stages.RunPlanStatus{Phase: stages.PlanReady}
			if tc.problem != nil {
				status = stages.RunPlanStatus{Phase: stages.PlanRefused, Problems: []stages.PlanProblem{*tc.problem}, Message: "1 reason"}
			}
			h := answers(t, status)
			h.Tekton.PrependReactor("create", "pipelineruns", func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, tc.err })
			out, err := typed(t, h.Hub, runYAML, "-f", "-")
			if code(err) != refused || !strings.Contains(strings.Join(strings.Fields(out), " "), tc.want) {
				t.Errorf("ended with %d:\n%s", code(err), out)
			}
			asYAML, _ := typed(t, h.Hub, runYAML, "-f", "-", "-o", "json")
			if n := strings.Count(asYAML, `"message": `) - 1; n != tc.count {
				t.Errorf("%d problems, want %d:\n%s", n, tc.count, asYAML)
			}
		})
	}
}

func TestAPlanIsWaitedFor(t *testing.T) {
	h := clitest.NewHub()
	go func() {
		api := h.Periplus.StagesV1alpha1().RunPlans("shop")
		for range 1000 {
			all, err := api.List(context.Background(), metav1.ListOptions{})
			if err == nil && len(all.Items) == 1 {
				p := all.Items[0]
				p.Status = stages.RunPlanStatus{Phase: stages.PlanPending, Message: "connecting to member m1"}
				_, _ = api.UpdateStatus(context.Background(), &p, metav1.UpdateOptions{})
				p.Status = stages.RunPlanStatus{Phase: stages.PlanReady}
				_, _ = api.UpdateStatus(context.Background(), &p, metav1.UpdateOptions{})
				return
			}
			time.Sleep(time.Millisecond) // there is nothing else to wait on: the command makes the plan by itself.
		}
	}()
	if out, err := typed(t, h, runYAML, "-f", "-"); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestAHubThatDoesNotAnswer(t *testing.T) {
	h := clitest.NewHub()
	_, err := typed(t, h, runYAML, "-f", "-", "--timeout", "50ms")
	if code(err) != wrongUse || !strings.Contains(err.Error(), "did not answer it within 50ms: does periplus-controller run there") {
		t.Errorf("ended with %d: %v", code(err), err)
	}
	left, err := h.Periplus.StagesV1alpha1().RunPlans("shop").List(context.Background(), metav1.ListOptions{})
	if err != nil || len(left.Items) != 0 {
		t.Errorf("left behind: %v %v", left.Items, err)
	}
}

func TestWrongUseIsSaid(t *testing.T) {
	for name, tc := range map[string]struct {
		in   string
		args []string
		want string
	}{
		"nothing":                   {args: nil, want: "say what would be run: -f run.yaml, or the name of a Pipeline"},
		"a file and a name":         {args: []string{"web", "-f", "-"}, want: "leave web out, or leave -f out"},
		"params of a file":          {args: []string{"-f", "-", "--param", "a=b"}, want: "--param goes with the name of a Pipeline"},
		"a param without a value":   {args: []string{"web", "--param", "a"}, want: `--param is "a"`},
		"another output":            {args: []string{"web", "-o", "toml"}, want: "must be json or yaml"},
		"a file that is not there":  {args: []string{"-f", "nowhere.yaml"}, want: "reading the run"},
		"a file without a run":      {in: "kind: Pipeline\napiVersion: tekton.dev/v1\n", args: []string{"-f", "-"}, want: "holds no PipelineRun (tekton.dev/v1), but Pipeline"},
		"an empty file":             {args: []string{"-f", "-"}, want: "the standard input holds no PipelineRun"},
		"two runs":                  {in: runYAML + "---\n" + runYAML, args: []string{"-f", "-"}, want: "more than one PipelineRun"},
		"a field that there is not": {in: strings.Replace(runYAML, "pipelineRef", "pipelineReff", 1), args: []string{"-f", "-"}, want: `unknown field "spec.pipelineReff"`},
		"an older form of a run":    {in: strings.Replace(runYAML, "tekton.dev/v1\n", "tekton.dev/v1beta1\n", 1), args: []string{"-f", "-"}, want: "apiVersion: is tekton.dev/v1beta1; write tekton.dev/v1"},
		"another namespace":         {in: strings.Replace(runYAML, "generateName: web-", "generateName: web-, namespace: till", 1), args: []string{"-f", "-", "-n", "shop"}, want: "the run is in namespace till, and -n says shop"},
	} {
		t.Run(name, func(t *testing.T) {
			h := answers(t, stages.RunPlanStatus{Phase: stages.PlanReady})
			h.NamespaceFlag = "-n shop"
			_, err := typed(t, h.Hub, tc.in, tc.args...)
			if code(err) != wrongUse || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("ended with %d: %v", code(err), err)
			}
			if h.asked != nil {
				t.Error("the hub was asked")
			}
		})
	}
}
