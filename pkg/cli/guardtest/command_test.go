package guardtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/cobra"
	pipelinev1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	pipelinev1beta1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	clienttesting "k8s.io/client-go/testing"
	clocktesting "k8s.io/utils/clock/testing"
	"knative.dev/pkg/apis"

	stages "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/cli/clitest"
	"github.com/periplus-dev/periplus/pkg/cli/screen"
)

// paper can be written and read at once, and waited on.
type paper struct {
	mu   sync.Mutex
	text bytes.Buffer
	grew chan struct{}
}

func (p *paper) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case p.grew <- struct{}{}:
	default:
	}
	return p.text.Write(b)
}

func (p *paper) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

func (p *paper) await(t *testing.T, want string) {
	t.Helper()
	limit := time.After(20 * time.Second)
	for !strings.Contains(p.String(), want) {
		select {
		case <-p.grew:
		case <-limit:
			t.Errorf("%q did not come; there is:\n%s", want, p.String())
			return
		}
	}
}

// bench is a hub whose controller answers each run with a stage.
type bench struct {
	t     *testing.T
	hub   *clitest.Hub
	clock *clocktesting.FakeClock
	// stage of a run that was made; nil where no controller takes it up.
	stage       func(root string) *pipelinev1beta1.CustomRun
	made        chan *pipelinev1.PipelineRun
	out, asides *paper
	file        string
	ctx         context.Context
	interrupt   func()
	stdin       string
}

func newBench(t *testing.T, stage func(root string) *pipelinev1beta1.CustomRun) *bench {
	b := &bench{t: t, hub: clitest.NewHub(), clock: clocktesting.NewFakeClock(clitest.Began), stage: stage, made: make(chan *pipelinev1.PipelineRun, 1),
		out: &paper{grew: make(chan struct{}, 1)}, asides: &paper{grew: make(chan struct{}, 1)}}
	b.ctx, b.interrupt = context.WithCancel(context.Background())
	t.Cleanup(b.interrupt)
	b.write("- {name: ready, expr: 'pods.all(p, p.ready)', for: 2m}\n- {name: size, expr: 'pods.size() == 4', when: During, dryRun: true}\n")
	b.hub.Tekton.PrependReactor("create", "pipelineruns", func(a clienttesting.Action) (bool, runtime.Object, error) {
		pr := a.(clienttesting.CreateAction).GetObject().(*pipelinev1.PipelineRun)
		pr.UID = types.UID("uid-" + pr.Name)
		b.made <- pr.DeepCopy()
		if b.stage != nil {
			// Before anything is listed: the fakes' watches tell nothing that came before them.
			if err := b.hub.Tekton.Tracker().Add(b.stage(pr.Name)); err != nil {
				t.Error(err)
			}
		}
		return false, nil, nil
	})
	return b
}

func (b *bench) write(guards string) {
	b.t.Helper()
	b.file = filepath.Join(b.t.TempDir(), "guard.yaml")
	if err := os.WriteFile(b.file, []byte(guards), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// run ends as the process would.
func (b *bench) run(args ...string) (code int, said string) {
	b.t.Helper()
	top := &cobra.Command{Use: "periplus", SilenceErrors: true, SilenceUsage: true}
	of := &cobra.Command{Use: "guard"}
	of.AddCommand(newTest(&command{connect: b.hub.Connect, clock: b.clock}))
	top.AddCommand(of)
	top.SetArgs(append([]string{"guard", "test"}, args...))
	top.SetIn(strings.NewReader(b.stdin))
	top.SetOut(b.out)
	top.SetErr(b.asides)
	err := top.ExecuteContext(b.ctx)
	if err == nil {
		return 0, ""
	}
	var coded interface{ ExitCode() int }
	if errors.As(err, &coded) {
		return coded.ExitCode(), err.Error()
	}
	return 1, err.Error()
}

func (b *bench) tests(more ...string) (int, string) {
	return b.run(append([]string{"-f", b.file, "--target", "productpage"}, more...)...)
}

// bothTimers waits until the command waits for the end of its silence and of its patience.
func (b *bench) bothTimers() {
	tick, limit := time.NewTicker(time.Millisecond), time.After(20*time.Second)
	defer tick.Stop()
	for b.clock.Waiters() < 2 {
		select {
		case <-tick.C:
		case <-limit:
			b.t.Error("nothing is waited for")
			return
		}
	}
}

// left are the runs that are still there.
func (b *bench) left() []string {
	b.t.Helper()
	l, err := b.hub.Tekton.TektonV1().PipelineRuns("shop").List(context.Background(), metav1.ListOptions{})
	if err != nil {
		b.t.Fatal(err)
	}
	var names []string
	for _, pr := range l.Items {
		names = append(names, pr.Name)
	}
	return names
}

// judged is a stage whose guards have these verdicts in m1.
func judged(t *testing.T, verdicts map[string]stages.Verdict) func(string) *pipelinev1beta1.CustomRun {
	return func(root string) *pipelinev1beta1.CustomRun {
		status := stages.RunStatus{Attempt: 1, Admitted: &stages.Admitted{Kind: "Check", Members: []string{"m1"}}}
		for _, name := range []string{"ready", "size", "health/other"} {
			if v, ok := verdicts[name]; ok {
				st := stages.GuardStatus{Name: name, Member: "m1", Verdict: v, Expr: name + "()", Value: name + "() = 1", Since: clitest.At(time.Second)}
				if v != stages.VerdictPass {
					st.Message = "because"
				}
				status.Guards = append(status.Guards, st)
			}
		}
		return clitest.Stage(t, root, taskName, "Check", status)
	}
}

func TestGuardsThatPassEndWithZeroAndLeaveNothingBehind(t *testing.T) {
	b := newBench(t, judged(t, map[string]stages.Verdict{"ready": stages.VerdictPass, "size": stages.VerdictNotApplicable, "health/other": stages.VerdictFail}))
	code, said := b.tests("--member", "m1", "--param", "most=3")
	if code != 0 || said != "" {
		t.Fatalf("ended with %d: %s\n%s", code, said, b.asides)
	}
	shown := strings.NewReplacer("[ok]", "✔", "[--]", "–").Replace(b.out.String()) // whatever the locale is.
	for _, want := range []string{"✔ ready in m1: Pass\n", "– size (dry run) in m1: NotApplicable: because\n", "value  ready() = 1", "2 of 2 pass or do not apply"} {
		if !strings.Contains(shown, want) {
			t.Errorf("%q is missing:\n%s", want, b.out)
		}
	}
	if strings.Contains(b.out.String(), "health") {
		t.Errorf("a guard of the target's sets is shown:\n%s", b.out)
	}
	if left := b.left(); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	pr := <-b.made
	if !strings.HasPrefix(pr.Name, "guard-test-") || pr.Annotations[stages.AnnotationInitiator] != "bob" {
		t.Errorf("made %s by %v", pr.Name, pr.Annotations)
	}
	if errs := pr.Validate(context.Background()); errs != nil {
		t.Errorf("Tekton refuses it: %v", errs)
	}
	if d := pr.Spec.Timeouts.Pipeline.Duration; d != 2*time.Minute {
		t.Errorf("a run that nobody deletes lasts %s", d)
	}
	task := pr.Spec.PipelineSpec.Tasks[0]
	var spec stages.CheckSpec
	if err := json.Unmarshal(task.TaskSpec.Spec.Raw, &spec); err != nil {
		t.Fatal(err)
	}
	if task.TaskSpec.Kind != "Check" || spec.Target != "productpage" || !slices.Equal(spec.Members, []string{"m1"}) || spec.MemberSelector != nil || len(spec.Guards) != 2 ||
		len(task.Params) != 1 || task.Params[0].Name != "most" || task.Params[0].Value.StringVal != "3" {
		t.Errorf("asks for %+v with %+v", spec, task.Params)
	}
	for _, g := range spec.Guards {
		if g.When != stages.Before || g.For != nil || g.Deadline != nil || g.DryRun {
			t.Errorf("guard %s is not judged once: %+v", g.Name, g)
		}
	}
}

func TestWithoutMembersAllAreAsked(t *testing.T) {
	b := newBench(t, judged(t, map[string]stages.Verdict{"ready": stages.VerdictPass, "size": stages.VerdictPass}))
	b.stdin = "{name: ready, expr: 'true'}"
	if code, said := b.run("-f", "-", "--target", "productpage"); code != 0 {
		t.Fatalf("ended with %d: %s", code, said)
	}
	if spec := (<-b.made).Spec.PipelineSpec.Tasks[0].TaskSpec.Spec.Raw; !strings.Contains(string(spec), `"memberSelector":{}`) {
		t.Errorf("asks for %s", spec)
	}
}

func TestAGuardThatDoesNotPassEndsWithOne(t *testing.T) {
	for _, v := range []stages.Verdict{stages.VerdictFail, stages.VerdictError, stages.VerdictInconclusive} {
		b := newBench(t, judged(t, map[string]stages.Verdict{"ready": v, "size": stages.VerdictPass}))
		code, said := b.tests()
		if code != 1 || said != "" || !strings.Contains(b.out.String(), "ready in m1: "+string(v)+": because") || !strings.Contains(b.out.String(), "1 of 2 pass") {
			t.Errorf("%s ended with %d: %s\n%s", v, code, said, b.out)
		}
		if left := b.left(); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
}

func TestWhatWasNotJudgedBeforeTheCheckEndedIsShownSo(t *testing.T) {
	b := newBench(t, func(root string) *pipelinev1beta1.CustomRun {
		run := judged(t, map[string]stages.Verdict{"ready": stages.VerdictFail, "size": stages.VerdictPending})(root)
		clitest.End(run, 2*time.Second, false, "GuardFailed", "guard ready in m1: Fail")
		return run
	})
	code, _ := b.tests("-o", "json")
	var got screen.GuardTest
	if err := json.Unmarshal([]byte(b.out.String()), &got); err != nil {
		t.Fatalf("%v in %s", err, b.out)
	}
	if code != 1 || got.Format != "periplus.dev/guard-test/v1" || got.Passed || got.Message != "guard ready in m1: Fail" || len(got.Guards) != 2 ||
		got.Guards[1].Verdict != stages.VerdictPending || !got.Guards[1].DryRun || got.Target != "productpage" || got.Members[0] != "m1" {
		t.Errorf("ended with %d: %+v", code, got)
	}
}

func TestAnInterruptDeletesTheRun(t *testing.T) {
	b := newBench(t, judged(t, map[string]stages.Verdict{"ready": stages.VerdictPending}))
	go func() {
		b.bothTimers()
		b.clock.Step(silence)
		b.asides.await(t, "waits: guard ready in m1: because\n")
		b.interrupt()
	}()
	code, said := b.tests()
	if code != 130 || said != "" {
		t.Errorf("ended with %d: %s", code, said)
	}
	if left := b.left(); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestTheTimeoutShowsWhatIsKnown(t *testing.T) {
	b := newBench(t, judged(t, map[string]stages.Verdict{"ready": stages.VerdictPass, "size": stages.VerdictPending}))
	go func() {
		b.bothTimers()
		b.clock.Step(silence)
		b.asides.await(t, "waits: guard size in m1: because")
		b.clock.Step(30 * time.Second)
	}()
	code, said := b.tests("--timeout", "30s")
	if code != 1 || said != "" {
		t.Errorf("ended with %d: %s", code, said)
	}
	for _, want := range []string{"ready in m1: Pass", "size (dry run) in m1: Pending", "not all was judged within 30s; --timeout waits longer: guard size in m1: because"} {
		if !strings.Contains(b.out.String(), want) {
			t.Errorf("%q is missing:\n%s", want, b.out)
		}
	}
	if left := b.left(); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestARunThatNobodyTakesUpIsSaidToBe(t *testing.T) {
	b := newBench(t, nil)
	go func() {
		b.bothTimers()
		b.clock.Step(silence)
		b.asides.await(t, "waits: ")
		b.clock.Step(time.Minute)
	}()
	if code, _ := b.tests(); code != 1 || !strings.Contains(b.out.String(), "not all was judged within 1m0s") || !strings.Contains(b.out.String(), "nothing was judged") {
		t.Errorf("ended with %d:\n%s", code, b.out)
	}
}

func TestAKeptRunStays(t *testing.T) {
	b := newBench(t, judged(t, map[string]stages.Verdict{"ready": stages.VerdictPass, "size": stages.VerdictPass}))
	if code, said := b.tests("--keep"); code != 0 {
		t.Fatalf("ended with %d: %s", code, said)
	}
	left := b.left()
	if len(left) != 1 || !strings.Contains(b.asides.String(), "the run "+left[0]+" is kept: periplus get "+left[0]) {
		t.Errorf("left are %v; said %s", left, b.asides)
	}
}

func TestGuardsThatTheHubRefusesEndWithTwoAndTheField(t *testing.T) {
	b := newBench(t, func(root string) *pipelinev1beta1.CustomRun {
		run := clitest.Stage(t, root, taskName, "Check", stages.RunStatus{Attempt: 1})
		clitest.End(run, time.Second, false, "InvalidSpec", `spec.guards[1].metrics[errors].source: Not found: "promm"`)
		return run
	})
	code, said := b.tests()
	if code != 2 || said != `[1].metrics[errors].source: Not found: "promm"` {
		t.Errorf("ended with %d: %s", code, said)
	}
	if left := b.left(); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestAWrongUseEndsWithTwoAndSendsNothing(t *testing.T) {
	for _, tc := range []struct {
		name string
		args []string
		want string
	}{
		{"no file", []string{"--target", "x"}, "-f guard.yaml"},
		{"no target", []string{"-f", "-"}, "--target NAME"},
		{"a file that is not there", []string{"-f", "/nowhere/guard.yaml", "--target", "x"}, "no such file"},
		{"a wrong file", []string{"-f", "-", "--target", "x"}, "the standard input: expr: Invalid value"},
		{"an argument", []string{"-f", "-", "--target", "x", "y"}, "unknown command"},
		{"a flag that is not there", []string{"--targt", "x"}, "unknown flag"},
		{"a target that can be no name", []string{"-f", "good", "--target", "No_Name"}, "spec.target"},
		{"a member twice", []string{"-f", "good", "--target", "x", "--member", "m1,m1"}, "spec.members[1]: Duplicate"},
		{"no time", []string{"-f", "-", "--target", "x", "--timeout", "0s"}, "--timeout"},
		{"a param without a value", []string{"-f", "-", "--target", "x", "--param", "a"}, "name=value"},
		{"another format", []string{"-f", "-", "--target", "x", "-o", "xml"}, "json or yaml"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t, nil)
			b.stdin = "{name: a, expr: 'nonsense'}"
			for i := range tc.args {
				if tc.args[i] == "good" {
					tc.args[i] = b.file
				}
			}
			code, said := b.run(tc.args...)
			if code != 2 || !strings.Contains(said, tc.want) {
				t.Errorf("ended with %d: %s; want %q", code, said, tc.want)
			}
			if n := len(b.hub.Tekton.Actions()) + len(b.hub.Kube.Actions()); n > 0 {
				t.Errorf("%d requests were sent", n)
			}
		})
	}
}

func TestWithoutPermissionItSaysWhatIsLacking(t *testing.T) {
	denied := apierrors.NewForbidden(schema.GroupResource{Group: "tekton.dev", Resource: "pipelineruns"}, "", nil)
	t.Run("to create", func(t *testing.T) {
		b := newBench(t, nil)
		b.hub.Tekton.PrependReactor("create", "pipelineruns", func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, denied })
		if code, said := b.tests(); code != 2 || !strings.Contains(said, "you lack a permission: create on pipelineruns.tekton.dev") {
			t.Errorf("ended with %d: %s", code, said)
		}
	})
	t.Run("to delete", func(t *testing.T) {
		b := newBench(t, judged(t, map[string]stages.Verdict{"ready": stages.VerdictPass, "size": stages.VerdictPass}))
		b.hub.Tekton.PrependReactor("delete", "pipelineruns", func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, denied })
		if code, said := b.tests(); code != 0 || !strings.Contains(b.asides.String(), "is left behind; it moves nothing, and can be deleted: you lack a permission: delete") {
			t.Errorf("ended with %d: %s; %s", code, said, b.asides)
		}
	})
}

func TestTheEndOfTheRunIsNotTheEndOfItsStage(t *testing.T) {
	f := &file{name: "guard.yaml", guards: []stages.Guard{{Name: "ready", Expr: "true"}}, at: []string{""}}
	run := func(made bool) screen.Objects {
		pr := clitest.PipelineRun("guard-test-x", taskName+":Check")
		pr.Status.CompletionTime = clitest.At(time.Second)
		pr.Status.SetCondition(&apis.Condition{Type: apis.ConditionSucceeded, Status: corev1.ConditionTrue, Reason: "Succeeded"})
		if made {
			pr.Status.ChildReferences = []pipelinev1.ChildStatusReference{{Name: "guard-test-x-guards"}}
		}
		return screen.Objects{PipelineRun: pr}
	}
	c := &command{clock: clocktesting.NewFakeClock(clitest.Began), target: "productpage"}
	if s, err := c.look(run(true), f); err != nil || s.settled {
		t.Errorf("the stage is not seen yet: %+v, %v", s, err)
	}
	behind := run(true)
	behind.CustomRuns = []*pipelinev1beta1.CustomRun{judged(t, nil)("guard-test-x")}
	if s, err := c.look(behind, f); err != nil || s.settled {
		t.Errorf("the stage is seen as it was before it ended: %+v, %v", s, err)
	}
	if _, err := c.look(run(false), f); err == nil || !strings.Contains(err.Error(), "ended before the hub judged anything") {
		t.Errorf("no stage was ever made: %v", err)
	}
}
