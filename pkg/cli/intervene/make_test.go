package intervene

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/tektoncd/pipeline/pkg/apis/pipeline"
	pipelinev1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clienttesting "k8s.io/client-go/testing"
	clocktesting "k8s.io/utils/clock/testing"

	fleet "github.com/periplus-dev/periplus/pkg/apis/fleet/v1alpha1"
	stages "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/cli/clitest"
)

// aFullRun is a failed run with everything that a retry takes over or leaves.
func aFullRun(t *testing.T) *world {
	w := releasing(t).stop(false, "Failed")
	w.pr.Labels = map[string]string{"team": "shop", "tekton.dev/pipeline": "release", "stages.periplus.dev/release": "x", "triggers.tekton.dev/trigger": "y"}
	w.pr.Annotations = map[string]string{
		stages.AnnotationInitiator: "alice", stages.AnnotationOnBehalfOf: "dave", "chains.tekton.dev/signed": "true", "ticket": "REL-1",
		"kubectl.kubernetes.io/last-applied-configuration": "{}",
	}
	w.pr.ResourceVersion, w.pr.Finalizers = "7", []string{"x"}
	w.pr.Spec.Status = pipelinev1.PipelineRunSpecStatusCancelledRunFinally
	w.pr.Spec.Params = pipelinev1.Params{{Name: "image", Value: *pipelinev1.NewStructuredValues("shop:v2")}}
	w.pr.Spec.Timeouts = &pipelinev1.TimeoutFields{Pipeline: &metav1.Duration{}, Tasks: &metav1.Duration{Duration: time.Hour}}
	w.pr.Spec.TaskRunTemplate = pipelinev1.PipelineTaskRunTemplate{ServiceAccountName: "releaser"}
	w.pr.Spec.Workspaces = []pipelinev1.WorkspaceBinding{{Name: "source", SubPath: "a"}}
	return w
}

func TestARetryDoesTheSameAndCarriesNothingElseOver(t *testing.T) {
	w := aFullRun(t)
	out, err := w.run(stages.ActionRetry, root, "-m", "why", "--yes")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out, "recorded: bob retries productpage-v2 by the run productpage-v2-retry-1; follow it: ") {
		t.Errorf("got\n%s", out)
	}
	did, runs, _ := w.made()
	if len(did) != 1 || did[0].Spec.Action != stages.ActionRetry || len(runs) != 1 {
		t.Fatalf("got %d interventions, %d runs", len(did), len(runs))
	}
	want := &pipelinev1.PipelineRun{
		ObjectMeta: metav1.ObjectMeta{
			Name: root + "-retry-1", Namespace: "shop", Labels: map[string]string{"team": "shop"},
			Annotations: map[string]string{stages.AnnotationInitiator: "bob", stages.AnnotationRetryOf: root, "ticket": "REL-1"},
		},
		Spec: *w.pr.Spec.DeepCopy(),
	}
	want.Spec.Status = ""
	if diff := cmp.Diff(want, runs[0]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestARetryIsNumberedAndItsNameFits(t *testing.T) {
	t.Run("the second carries on the first, under the root's name", func(t *testing.T) {
		w := releasing(t).stop(false, "Failed").retried(root+"-retry-1", true)
		if _, err := w.run(stages.ActionRetry, root, "-m", "why", "--yes"); err != nil {
			t.Fatal(err)
		}
		did, runs, _ := w.made()
		if runs[0].Name != root+"-retry-2" || runs[0].Annotations[stages.AnnotationRetryOf] != root+"-retry-1" || did[0].Spec.RunRef.Name != root {
			t.Errorf("got %s of %s, recorded for %s", runs[0].Name, runs[0].Annotations[stages.AnnotationRetryOf], did[0].Spec.RunRef.Name)
		}
	})
	t.Run("a long name is cut, because Tekton writes it into labels", func(t *testing.T) {
		w := releasing(t).stop(false, "Failed")
		long := strings.Repeat("a", 53) + "-bcdefgh" // 61
		w.pr.Name, w.release.Spec.Root.Name = long, long
		for _, c := range w.stages {
			c.Labels[pipeline.PipelineRunLabelKey] = long
		}
		if _, err := w.run(stages.ActionRetry, long, "-m", "why", "--yes"); err != nil {
			t.Fatal(err)
		}
		_, runs, _ := w.made()
		if got := runs[0].Name; len(got) > longestName || got != strings.Repeat("a", 53)+"-b-retry-1" && got != strings.Repeat("a", 53)+"-retry-1" {
			t.Errorf("got %s, %d letters", got, len(got))
		}
	})
}

func TestOfTwoWhoRetryAtOnceOneIsTold(t *testing.T) {
	w := releasing(t).stop(false, "Failed")
	w.open().Tekton.PrependReactor("create", "pipelineruns", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewAlreadyExists(schema.GroupResource{Group: "tekton.dev", Resource: "pipelineruns"}, root+"-retry-1")
	})
	_, err := w.run(stages.ActionRetry, root, "-m", "why", "--yes")
	if err == nil || !strings.Contains(err.Error(), "somebody else made productpage-v2-retry-1 in the same moment") {
		t.Errorf("got %v", err)
	}
}

func TestARetryWhoseRunIsRefusedSaysThatNoRunWasMade(t *testing.T) {
	w := releasing(t).stop(false, "Failed")
	w.open().Tekton.PrependReactor("create", "pipelineruns", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewForbidden(schema.GroupResource{Group: "tekton.dev", Resource: "pipelineruns"}, "", nil)
	})
	_, err := w.run(stages.ActionRetry, root, "-m", "why", "--yes")
	if err == nil || !strings.Contains(err.Error(), "no run was made") || !strings.Contains(err.Error(), "you lack a permission: create on pipelineruns.tekton.dev") {
		t.Errorf("got %v", err)
	}
}

func TestARollbackThatNoInterventionCanAskForIsARunThatReleaseEngineersMayStart(t *testing.T) {
	for _, tc := range []struct {
		name string
		args []string
		want stages.RollbackSpec
	}{
		{"of a member", []string{root, "--member", "m1"}, stages.RollbackSpec{Scope: stages.RollbackMember, Members: []string{"m1"}, Release: root + "-8xk2p"}},
		{"from all members", []string{"--from-members", "--release", "lost-1a2b"}, stages.RollbackSpec{FromMembers: &stages.FromMembers{Release: "lost-1a2b"}}},
		{
			"from some members, of another hub", []string{"--from-members", "--release", "lost-1a2b", "--members", "m1,m2", "--hub", "uid"},
			stages.RollbackSpec{Scope: stages.RollbackMember, Members: []string{"m1", "m2"}, FromMembers: &stages.FromMembers{Release: "lost-1a2b", Hub: "uid"}},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := releasing(t).stop(false, "Failed")
			for _, m := range []string{"m1", "m2"} {
				w.kinds = append(w.kinds, &fleet.Member{ObjectMeta: metav1.ObjectMeta{Name: m}})
			}
			answer := "y\n"
			out, err := w.runAt(stages.ActionRollback, &answer, append(tc.args, "-m", "why")...)
			if err != nil {
				t.Fatal(err)
			}
			did, runs, customs := w.made()
			if len(did)+len(customs) > 0 || len(runs) != 1 {
				t.Fatalf("got %d interventions, %d runs, %d stages", len(did), len(runs), len(customs))
			}
			pr := runs[0]
			if strings.Count(out, pr.Name) < 2 {
				t.Errorf("the run that was made, %s, is not the one that was shown:\n%s", pr.Name, out)
			}
			if pr.Annotations[stages.AnnotationInitiator] != "bob" || pr.Annotations[annotationMessage] != "why" || len(pr.Labels)+len(pr.OwnerReferences) > 0 {
				t.Errorf("got annotations %v, labels %v, owners %v", pr.Annotations, pr.Labels, pr.OwnerReferences)
			}
			if errs := pr.Validate(context.Background()); errs != nil {
				t.Errorf("Tekton refuses it: %v", errs)
			}
			if len(pr.Spec.PipelineSpec.Tasks) != 1 || pr.Spec.Timeouts.Pipeline.Duration != 0 || pr.Spec.PipelineSpec.Tasks[0].Timeout.Duration != 0 {
				t.Fatalf("got %+v", pr.Spec)
			}
			task := pr.Spec.PipelineSpec.Tasks[0].TaskSpec
			var got stages.RollbackSpec
			if err := json.Unmarshal(task.Spec.Raw, &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" || task.Kind != "Rollback" {
				t.Errorf("kind %s (-want +got):\n%s", task.Kind, diff)
			}
		})
	}
	t.Run("a member with a slip", func(t *testing.T) {
		w := releasing(t)
		w.kinds = append(w.kinds, &fleet.Member{ObjectMeta: metav1.ObjectMeta{Name: "member1"}})
		_, err := w.run(stages.ActionRollback, "--from-members", "--release", "x", "--member", "membr1", "-m", "why", "--yes")
		if err == nil || !strings.Contains(err.Error(), "there is no member membr1; did you mean member1?") {
			t.Errorf("got %v", err)
		}
	})
}

func TestCompletionOffersRunsStagesThatRunAndMembersThatWereTouched(t *testing.T) {
	w := releasing(t)
	h := w.open()
	for _, tc := range []struct {
		args []string
		want string
	}{
		{[]string{"pause", ""}, root + "\n:36"},
		{[]string{"pause", root, ""}, ":4"},
		{[]string{"skip", root, "--stage", ""}, "bump-m1\n:4"},
		{[]string{"rollback", root, "--member", ""}, "m1\n:4"},
	} {
		top := &cobra.Command{Use: "periplus"}
		for _, a := range []stages.Action{stages.ActionPause, stages.ActionSkip, stages.ActionRollback} {
			top.AddCommand(newCommand(&command{action: a, connect: h.Connect, clock: clocktesting.NewFakePassiveClock(clitest.Began)}))
		}
		var out bytes.Buffer
		top.SetOut(&out)
		top.SetErr(&bytes.Buffer{})
		top.SetArgs(append([]string{"__complete"}, tc.args...))
		if err := top.ExecuteContext(context.Background()); err != nil {
			t.Fatal(err)
		}
		if got := strings.TrimSpace(out.String()); got != tc.want {
			t.Errorf("%v: got %q, want %q", tc.args, got, tc.want)
		}
	}
}
