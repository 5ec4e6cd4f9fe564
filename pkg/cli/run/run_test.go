package run_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime"

	pipelinev1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	stages "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/cli/clitest"
	"github.com/periplus-dev/periplus/pkg/cli/run"
)

func TestARunIsFoundByItsName(t *testing.T) {
	lone := clitest.Stage(t, "lone", "canary", "Canary", stages.RunStatus{})
	lone.OwnerReferences, lone.Labels = nil, nil
	h := clitest.NewHub(clitest.PipelineRun("v2", "canary:Canary"), clitest.Stage(t, "v2", "canary", "Canary", stages.RunStatus{}), lone)
	for _, tc := range []struct{ name, ask, want string }{
		{"a PipelineRun", "v2", "v2"},
		{"a CustomRun that no pipeline made", "lone-canary", "lone-canary"},
		{"a CustomRun of a PipelineRun stands for all of it", "v2-canary", "v2"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, err := run.Read(context.Background(), h.Hub, tc.ask)
			if err != nil {
				t.Fatal(err)
			}
			if r.Name() != tc.want {
				t.Errorf("got %s, want %s", r.Name(), tc.want)
			}
		})
	}
	if _, err := run.Read(context.Background(), h.Hub, "v3"); !run.IsNotFound(err) {
		t.Errorf("got %v, want that it is not found", err)
	}
}

func TestStagesOfARunThatHasNotBegunComeFromThePipelineItNames(t *testing.T) {
	pr := clitest.PipelineRun("v2")
	pr.Spec.PipelineSpec, pr.Status = nil, pipelinev1.PipelineRunStatus{}
	pr.Spec.PipelineRef = &pipelinev1.PipelineRef{Name: "release"}
	p := &pipelinev1.Pipeline{
		ObjectMeta: metav1.ObjectMeta{Name: "release", Namespace: "shop"},
		Spec:       *clitest.PipelineRun("x", "canary:Canary", "confirm:Confirm").Spec.PipelineSpec,
	}
	for _, tc := range []struct {
		name    string
		objects []runtime.Object
		tasks   int
		notes   int
	}{
		{"it is there", []runtime.Object{pr, p}, 2, 0},
		{"it is not there, which is noted", []runtime.Object{pr}, 0, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, err := run.Read(context.Background(), clitest.NewHub(tc.objects...).Hub, "v2")
			if err != nil {
				t.Fatal(err)
			}
			tasks := 0
			if r.Pipeline != nil {
				tasks = len(r.Pipeline.Spec.Tasks)
			}
			if tasks != tc.tasks || len(r.Notes) != tc.notes {
				t.Errorf("got %d tasks and notes %q", tasks, r.Notes)
			}
		})
	}
}

func TestNamesAreNewestFirst(t *testing.T) {
	young := clitest.PipelineRun("v3", "canary:Canary")
	young.CreationTimestamp = *clitest.At(time.Hour)
	h := clitest.NewHub(clitest.PipelineRun("v2", "canary:Canary"), young, clitest.Stage(t, "v2", "canary", "Canary", stages.RunStatus{}))
	names, err := run.Names(context.Background(), h.Hub)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"v3", "v2"}; !slices.Equal(names, want) {
		t.Errorf("got %v, want %v", names, want)
	}
}

func TestTheReleaseOfARunIsTheOneItCarries(t *testing.T) {
	release := &stages.Release{
		ObjectMeta: metav1.ObjectMeta{Name: "v2-1a2b", Namespace: "shop", Labels: map[string]string{stages.LabelRootUID: "uid-v2"}},
		Spec:       stages.ReleaseSpec{Root: stages.RootRef{Kind: "PipelineRun", Name: "v2", UID: "uid-v2"}},
		Status:     stages.ReleaseStatus{Runs: []stages.ReleaseRun{{Kind: "PipelineRun", Name: "v2-retry-1", UID: "uid-v2-retry-1", Role: stages.RoleRetry}}},
	}
	annotated := func(name, annotation, value string) *pipelinev1.PipelineRun {
		pr := clitest.PipelineRun(name, "canary:Canary")
		pr.Annotations = map[string]string{annotation: value}
		return pr
	}
	h := clitest.NewHub(
		clitest.PipelineRun("v2", "canary:Canary"), annotated("v2-retry-1", stages.AnnotationRetryOf, "v2"), annotated("v2-claims", stages.AnnotationRetryOf, "v2"),
		annotated("v2-hop-m3", stages.AnnotationRelease, "v2-1a2b"), clitest.PipelineRun("v3", "canary:Canary"),
	)
	if err := h.Periplus.Tracker().Add(release); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{
		"v2": true, "v2-retry-1": true, "v2-hop-m3": true,
		"v2-claims": false, // what it says of itself counts once the record says it too
		"v3":        false,
	} {
		r, err := run.Read(context.Background(), h.Hub, name)
		if err != nil {
			t.Fatal(err)
		}
		if (r.Release != nil) != want {
			t.Errorf("%s: got release %v, want one: %t", name, r.Release, want)
		}
	}
}
