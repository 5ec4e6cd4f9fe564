package start

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	pipelinev1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clienttesting "k8s.io/client-go/testing"
	clocktesting "k8s.io/utils/clock/testing"

	stages "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/cli/clitest"
	"github.com/periplus-dev/periplus/pkg/cli/follow"
	"github.com/periplus-dev/periplus/pkg/cli/screen"
)

// bookshop is a pipeline with a param of each kind.
func bookshop() *pipelinev1.Pipeline {
	return &pipelinev1.Pipeline{
		ObjectMeta: metav1.ObjectMeta{Name: "bookshop", Namespace: "shop"},
		Spec: pipelinev1.PipelineSpec{Params: pipelinev1.ParamSpecs{
			{Name: "image", Type: pipelinev1.ParamTypeString, Description: "what to release"},
			{Name: "members", Type: pipelinev1.ParamTypeArray, Default: &pipelinev1.ParamValue{Type: pipelinev1.ParamTypeArray, ArrayVal: []string{"m1"}}},
			{Name: "pace", Type: pipelinev1.ParamTypeString, Default: pipelinev1.NewStructuredValues("slow"), Enum: []string{"slow", "fast"}},
			{Name: "more", Type: pipelinev1.ParamTypeObject, Default: pipelinev1.NewObject(map[string]string{"a": "b"})},
		}},
	}
}

// attempt runs the command on a hub with the bookshop's pipeline; the fake API server gives names to runs that want one.
func attempt(t *testing.T, stdin string, args ...string) (out string, made *pipelinev1.PipelineRun, err error) {
	t.Helper()
	h := clitest.NewHub(bookshop())
	h.Tekton.PrependReactor("create", "pipelineruns", func(a clienttesting.Action) (bool, runtime.Object, error) {
		create, ok := a.(clienttesting.CreateAction)
		if !ok {
			return false, nil, nil
		}
		pr, ok := create.GetObject().(*pipelinev1.PipelineRun)
		if !ok {
			return false, nil, nil
		}
		made = pr.DeepCopy()
		if pr.Name == "" {
			pr.Name = pr.GenerateName + "x7k2p"
		}
		return true, pr, nil
	})
	cmd := newCommand(h.Connect, clocktesting.NewFakeClock(clitest.Began))
	var page bytes.Buffer
	cmd.SetOut(&page)
	cmd.SetErr(&page)
	cmd.SetIn(strings.NewReader(stdin))
	cmd.SetArgs(args)
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	err = cmd.ExecuteContext(context.Background())
	return page.String(), made, err
}

func TestARunOfThePipelineIsMadeInTheCallersName(t *testing.T) {
	out, made, err := attempt(t, "", "bookshop", "-p", "image=shop:v2", "-p", "members=m1,m2", "--on-behalf-of", "dave", "-l", "commit=abc")
	if err != nil {
		t.Fatal(err)
	}
	if want := "bookshop-x7k2p is started; follow it: start get bookshop-x7k2p --watch\n"; out != want {
		t.Errorf("got %q, want %q", out, want)
	}
	if made.GenerateName != "bookshop-" || made.Spec.PipelineRef.Name != "bookshop" || made.Labels["commit"] != "abc" {
		t.Errorf("the run is %+v", made)
	}
	if a := made.Annotations; a[stages.AnnotationInitiator] != "bob" || a[stages.AnnotationOnBehalfOf] != "dave" {
		t.Errorf("annotations are %v", a)
	}
	if got := made.Spec.Params; len(got) != 2 || got[0].Value.StringVal != "shop:v2" || strings.Join(got[1].Value.ArrayVal, " ") != "m1 m2" {
		t.Errorf("params are %+v", got)
	}
	if d := made.Spec.Timeouts.Pipeline; d == nil || d.Duration != 0 {
		t.Errorf("the run's timeout is %v, want none", d)
	}
}

func TestOutputNameIsTheNameAlone(t *testing.T) {
	out, _, err := attempt(t, "", "bookshop", "-p", "image=shop:v2", "-o", "name", "--name", "friday")
	if err != nil || out != "friday\n" {
		t.Errorf("got %q, %v", out, err)
	}
}

func TestARunOutOfAFileKeepsWhatItSays(t *testing.T) {
	_, made, err := attempt(t, `{apiVersion: tekton.dev/v1, kind: PipelineRun, metadata: {generateName: mine-}, spec: {pipelineRef: {name: other}, timeouts: {pipeline: 2h0m0s}}}`, "-f", "-")
	if err != nil {
		t.Fatal(err)
	}
	if made.GenerateName != "mine-" || made.Spec.PipelineRef.Name != "other" || made.Spec.Timeouts.Pipeline.Duration != 2*time.Hour {
		t.Errorf("the run is %+v", made)
	}
}

func TestWhatCannotBeStartedIsSaidBeforeAnythingIsMade(t *testing.T) {
	for sentence, c := range map[string]struct {
		args  []string
		stdin string
		says  []string
	}{
		"neither a pipeline nor a file":         {nil, "", []string{"PIPELINE", "--file"}},
		"both":                                  {[]string{"bookshop", "-f", "-"}, "", []string{"PIPELINE", "--file"}},
		"a pipeline that is not there":          {[]string{"bokshop"}, "", []string{"no pipeline bokshop in namespace shop"}},
		"a param that is needed":                {[]string{"bookshop"}, "", []string{"--param image: the pipeline needs it (what to release)"}},
		"a param that is misspelt":              {[]string{"bookshop", "-p", "imag=x"}, "", []string{"--param imag: the pipeline has no such param; is image meant?", "--param image: the pipeline needs it"}},
		"a param given twice":                   {[]string{"bookshop", "-p", "image=a", "-p", "image=b"}, "", []string{"--param image: was given twice"}},
		"a param without a value":               {[]string{"bookshop", "-p", "image"}, "", []string{`--param "image": write it as name=value`}},
		"an object on one line":                 {[]string{"bookshop", "-p", "image=a", "-p", "more=b"}, "", []string{"--param more: is an object"}},
		"a value that is not among those":       {[]string{"bookshop", "-p", "image=a", "-p", "pace=quick"}, "", []string{`--param pace: is "quick", and the pipeline takes slow, fast`}},
		"params beside a file":                  {[]string{"-f", "-", "-p", "a=b"}, "", []string{"--param", "--file"}},
		"a file with another kind":              {[]string{"-f", "-"}, "{apiVersion: v1, kind: Pod}", []string{"- holds a Pod of v1, and must hold one PipelineRun"}},
		"a file with a field that is not there": {[]string{"-f", "-"}, "{apiVersion: tekton.dev/v1, kind: PipelineRun, spek: {}}", []string{"spek"}},
		"a file for another namespace":          {[]string{"-f", "-"}, "{apiVersion: tekton.dev/v1, kind: PipelineRun, metadata: {namespace: prod}}", []string{"give -n prod"}},
		"held-after without wait":               {[]string{"bookshop", "--held-after", "1m"}, "", []string{"--held-after goes with --wait"}},
		"or-follow without a name":              {[]string{"bookshop", "-p", "image=a", "--wait", "--or-follow"}, "", []string{"--or-follow goes with PIPELINE, --name and --wait"}},
		"or-follow without wait":                {[]string{"bookshop", "-p", "image=a", "--name", "a", "--or-follow"}, "", []string{"--or-follow goes with"}},
		"or-follow of what a file says":         {[]string{"-f", "-", "--name", "a", "--wait", "--or-follow"}, "", []string{"--or-follow goes with"}},
		"a negative timeout":                    {[]string{"bookshop", "--timeout", "-1s"}, "", []string{"--timeout is -1s"}},
		"an unknown output":                     {[]string{"bookshop", "-o", "xml"}, "", []string{`--output is "xml"`}},
	} {
		t.Run(sentence, func(t *testing.T) {
			_, made, err := attempt(t, c.stdin, c.args...)
			if err == nil || made != nil {
				t.Fatalf("got %v, and the run %v", err, made)
			}
			for _, says := range c.says {
				if !strings.Contains(err.Error(), says) {
					t.Errorf("got %q, want it to say %q", err, says)
				}
			}
		})
	}
}

func TestTheExitCodeSaysHowTheRunWent(t *testing.T) {
	failed := func(reason string) []screen.Stage {
		return []screen.Stage{{Name: "canary", State: screen.StageFailed, Reason: reason}}
	}
	for sentence, c := range map[string]struct {
		m    screen.Model
		held bool
		want int
	}{
		"succeeded":                           {screen.Model{Verdict: screen.Verdict{State: screen.StateSucceeded}}, false, 0},
		"failed":                              {screen.Model{Verdict: screen.Verdict{State: screen.StateFailed}, Stages: failed("GuardFailed")}, false, 1},
		"cancelled":                           {screen.Model{Verdict: screen.Verdict{State: screen.StateCancelled}}, false, 1},
		"failed and rolled back":              {screen.Model{Verdict: screen.Verdict{State: screen.StateRolledBack}, Stages: failed("GuardFailed")}, false, 3},
		"rejected":                            {screen.Model{Verdict: screen.Verdict{State: screen.StateFailed}, Stages: failed("Rejected")}, false, 4},
		"rejected and rolled back after that": {screen.Model{Verdict: screen.Verdict{State: screen.StateRolledBack}, Stages: failed("Rejected")}, false, 4},
		"held, whatever else there is to be said": {screen.Model{Verdict: screen.Verdict{State: screen.StateWaiting}}, true, 5},
	} {
		t.Run(sentence, func(t *testing.T) {
			if got := codeOf(&c.m, c.held); got != c.want {
				t.Errorf("got %d, want %d", got, c.want)
			}
		})
	}
}

func TestARunIsHeldOnceItWaitedForPeopleForLongEnoughWithoutABreak(t *testing.T) {
	h := holding{after: time.Minute}
	for i, c := range []struct {
		at    time.Duration
		state screen.State
		want  bool
	}{
		{0, screen.StateRunning, false},
		{10 * time.Second, screen.StateWaiting, false},
		{60 * time.Second, screen.StateWaiting, false},
		{65 * time.Second, screen.StateRunning, false}, // somebody answered
		{70 * time.Second, screen.StatePaused, false},
		{129 * time.Second, screen.StatePaused, false},
		{130 * time.Second, screen.StatePaused, true},
	} {
		if got := h.tooLong(&screen.Model{At: *clitest.At(c.at), Verdict: screen.Verdict{State: c.state}}); got != c.want {
			t.Errorf("%d: after %s, %s: got %v", i, c.at, c.state, got)
		}
	}
}

// The run asks a question that nobody answers: the command leaves it, and says so.
func TestWaitingEndsWhereTheRunIsHeld(t *testing.T) {
	root := clitest.PipelineRun("bookshop-1", "confirm:Confirm")
	h := clitest.NewHub(bookshop(), root, clitest.Stage(t, "bookshop-1", "confirm", "Confirm",
		stages.RunStatus{Attempt: 1, Question: &stages.Question{ID: "confirm", Required: 1}, Waiting: &stages.Waiting{Reason: "AwaitingApproval", For: "0 of 1 approvals", Who: "sre"}}))
	clock := clocktesting.NewFakeClock(clitest.Began.Add(time.Minute))
	s := &command{connect: h.Connect, clock: clock, program: "periplus", heldAfter: 30 * time.Second, wait: true}
	var page bytes.Buffer
	s.out.Writer, s.out.Size = &page, func() (int, int) { return 100, 0 }
	over := make(chan error, 1)
	go func() { over <- s.follow(context.Background(), h.Hub, root) }()
	var err error
	for waiting := true; waiting; {
		select {
		case err = <-over:
			waiting = false
		default:
			if clock.HasWaiters() {
				clock.Step(time.Second)
			}
		}
	}
	var ended follow.Ended
	if !errors.As(err, &ended) || ended.ExitCode() != codeHeld || !strings.Contains(err.Error(), "held for 30s") || !strings.Contains(err.Error(), "confirm") {
		t.Errorf("got %v", err)
	}
	if !strings.Contains(page.String(), "Waiting at confirm") {
		t.Errorf("the lines are\n%s", page.String())
	}
}
