package start

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	pipelinev1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"knative.dev/pkg/apis"

	stages "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/cli/clitest"
	"github.com/periplus-dev/periplus/pkg/cli/follow"
)

// A CI job that is run again: its first try began the release of shop:v2 for dave.
func TestAJobThatIsRunAgainFollowsWhatItsFirstTryBegan(t *testing.T) {
	same := []string{"bookshop", "--name", "bookshop-v2", "--param", "image=shop:v2", "--param", "members=m1,m2", "--on-behalf-of", "dave", "--wait"}
	for sentence, c := range map[string]struct {
		args     []string
		failed   bool
		wantCode int
		says     []string
	}{
		"it succeeded meanwhile":           {append(same, "--or-follow"), false, 0, nil},
		"it failed meanwhile":              {append(same, "--or-follow"), true, codeFailed, nil},
		"without --or-follow":              {same, false, 1, []string{"there is a run named bookshop-v2 already", "--name", "get bookshop-v2"}},
		"of another image":                 {append([]string{"bookshop", "--or-follow", "--param", "image=shop:v3"}, remaining(same)...), false, 1, []string{`image="shop:v2"`, `not of`, `image="shop:v3"`}},
		"for somebody else":                {append([]string{"bookshop", "--or-follow", "--on-behalf-of", "erin", "--param", "image=shop:v2"}, without(remaining(same), "--on-behalf-of")...), false, 1, []string{"for dave, not of", "for erin"}},
		"with params in another order":     {append([]string{"bookshop", "--or-follow"}, append(remaining(same), "--param", "image=shop:v2")...), false, 0, nil},
		"with a param that it has not set": {append(same, "--or-follow", "--param", "pace=fast"), false, 1, []string{`pace="fast"`}},
	} {
		t.Run(sentence, func(t *testing.T) {
			there := clitest.PipelineRun("bookshop-v2", "canary:Canary")
			there.Spec.PipelineRef = &pipelinev1.PipelineRef{Name: "bookshop"}
			there.Annotations = map[string]string{stages.AnnotationInitiator: "ci", stages.AnnotationOnBehalfOf: "dave"}
			there.Spec.Params = pipelinev1.Params{
				{Name: "image", Value: *pipelinev1.NewStructuredValues("shop:v2")},
				{Name: "members", Value: pipelinev1.ParamValue{Type: pipelinev1.ParamTypeArray, ArrayVal: []string{"m1", "m2"}}},
			}
			ended := apis.Condition{Type: apis.ConditionSucceeded, Status: "True", Reason: "Succeeded"}
			if c.failed {
				ended.Status, ended.Reason = "False", "Failed"
			}
			there.Status.SetCondition(&ended)
			at := clitest.At(0)
			there.Status.StartTime, there.Status.CompletionTime = at, at
			h := clitest.NewHub(bookshop(), there)
			cmd := newCommand(h.Connect, clocktesting.NewFakeClock(clitest.Began))
			var page bytes.Buffer
			cmd.SetOut(&page)
			cmd.SetErr(&page)
			cmd.SetArgs(c.args)
			cmd.SilenceUsage, cmd.SilenceErrors = true, true
			err := cmd.ExecuteContext(context.Background())
			code := 0
			var e follow.Ended
			switch {
			case errors.As(err, &e):
				code = e.ExitCode()
			case err != nil:
				code = 1
			}
			if code != c.wantCode {
				t.Errorf("exit code %d (%v), want %d\n%s", code, err, c.wantCode, page.String())
			}
			for _, says := range c.says {
				if err == nil || !strings.Contains(err.Error(), says) {
					t.Errorf("got %v, want it to say %q", err, says)
				}
			}
			if all, err := h.Tekton.TektonV1().PipelineRuns("shop").List(t.Context(), metav1.ListOptions{}); err != nil || len(all.Items) != 1 {
				t.Errorf("there are %d runs (%v)", len(all.Items), err)
			}
		})
	}
}

// remaining are the arguments behind the pipeline, less its image.
func remaining(args []string) []string {
	var out []string
	for i := 1; i < len(args); i++ {
		if args[i] == "--param" && strings.HasPrefix(args[i+1], "image=") {
			i++
			continue
		}
		out = append(out, args[i])
	}
	return out
}

func without(args []string, flag string) []string {
	for i, a := range args {
		if a == flag {
			return append(append([]string{}, args[:i]...), args[i+2:]...)
		}
	}
	return args
}
