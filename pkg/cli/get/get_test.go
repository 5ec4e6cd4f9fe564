package get

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	pipelinev1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clienttesting "k8s.io/client-go/testing"
	clocktesting "k8s.io/utils/clock/testing"
	"knative.dev/pkg/apis"

	stages "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/cli/clitest"
	"github.com/periplus-dev/periplus/pkg/cli/follow"
	"github.com/periplus-dev/periplus/pkg/cli/hub"
	"github.com/periplus-dev/periplus/pkg/cli/screen"
	"github.com/periplus-dev/periplus/pkg/cli/terminal"
)

const name = "productpage-v2"

// page is where a command writes in a test; it can be waited on.
type page struct {
	mu   sync.Mutex
	text bytes.Buffer
	grew chan struct{}
}

func newPage() *page { return &page{grew: make(chan struct{}, 1)} }

func (p *page) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n, err := p.text.Write(b)
	select {
	case p.grew <- struct{}{}:
	default:
	}
	return n, err
}

func (p *page) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

// await waits until the page holds a text.
func (p *page) await(t *testing.T, want string) {
	t.Helper()
	limit := time.After(20 * time.Second)
	for !strings.Contains(p.String(), want) {
		select {
		case <-p.grew:
		case <-limit:
			t.Fatalf("%q did not come; there is:\n%s", want, p.String())
		}
	}
}

func testCommand(h *clitest.Hub, out terminal.Terminal, now time.Duration) *command {
	return &command{
		connect: h.Connect, clock: clocktesting.NewFakeClock(clitest.Began.Add(now)), program: "periplus", out: out,
	}
}

func plainTerminal(p *page) terminal.Terminal {
	return terminal.Terminal{Writer: p, Size: func() (int, int) { return 100, 0 }}
}

func canary(t *testing.T, updated int32) stages.RunStatus {
	return stages.RunStatus{
		Attempt: 1, Waiting: &stages.Waiting{Reason: "UpdatingPods", For: "m1/dca: pods update"},
		Members: []stages.MemberProgress{{Name: "m1", Reachable: true, Units: []stages.UnitProgress{{
			Unit: "dca", Workload: "productpage", Replicas: 4, Updated: updated, UpdatedAvailable: updated, UpdatedReady: updated, Ready: 4, Available: 4, Want: 2,
		}}}},
	}
}

func conclude(t *testing.T, h *clitest.Hub, status corev1.ConditionStatus, reason string) {
	t.Helper()
	prs := h.Tekton.TektonV1().PipelineRuns("shop")
	pr, err := prs.Get(context.Background(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	pr.Status.CompletionTime = clitest.At(2 * time.Minute)
	pr.Status.SetCondition(&apis.Condition{Type: apis.ConditionSucceeded, Status: status, Reason: reason, Message: "over"})
	if _, err := prs.Update(context.Background(), pr, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func report(t *testing.T, h *clitest.Hub, change func(*stages.RunStatus), updated int32) {
	t.Helper()
	runs := h.Tekton.TektonV1beta1().CustomRuns("shop")
	c, err := runs.Get(context.Background(), name+"-canary-m1", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s := canary(t, updated)
	if change != nil {
		change(&s)
	}
	clitest.SetStatus(t, c, s)
	if _, err := runs.Update(context.Background(), c, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func endCanary(t *testing.T, h *clitest.Hub, ok bool, reason string) {
	t.Helper()
	runs := h.Tekton.TektonV1beta1().CustomRuns("shop")
	c, err := runs.Get(context.Background(), name+"-canary-m1", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	clitest.End(c, time.Minute+time.Second, ok, reason, "because")
	if _, err := runs.Update(context.Background(), c, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func oneCanary(t *testing.T) *clitest.Hub {
	return clitest.NewHub(clitest.PipelineRun(name, "canary-m1:Canary"), clitest.Stage(t, name, "canary-m1", "Canary", canary(t, 0)))
}

// start watches in the background and gives the page and how it ended.
func start(ctx context.Context, g *command) chan error {
	g.watch = true
	over := make(chan error, 1)
	go func() { over <- g.run(ctx, []string{name}) }()
	return over
}

func exitCode(err error) int {
	var e follow.Ended
	if errors.As(err, &e) {
		return e.ExitCode()
	}
	if err != nil {
		return -1
	}
	return 0
}

func TestWatchingWithoutATerminalSaysEachChangeOnce(t *testing.T) {
	h, p := oneCanary(t), newPage()
	over := start(context.Background(), testCommand(h, plainTerminal(p), time.Minute))
	p.await(t, "Running canary-m1")
	report(t, h, nil, 1)
	p.await(t, "new 1 (1 available)")
	report(t, h, nil, 1) // says nothing new
	report(t, h, nil, 2)
	p.await(t, "new 2 (2 available)")
	endCanary(t, h, true, "Succeeded")
	p.await(t, "canary-m1: done")
	conclude(t, h, corev1.ConditionTrue, "Succeeded")
	if err := <-over; err != nil {
		t.Fatal(err)
	}
	want := `12:11:00  productpage-v2 in shop: Running canary-m1 · m1/dca: pods update
12:11:00  m1/dca: old 3, new 1 (1 available), ready 4/4, want 2
12:11:00  m1/dca: old 2, new 2 (2 available), ready 4/4, want 2
12:11:00  canary-m1: done after 1m00s: because
12:11:00  productpage-v2: Running · about to end
12:11:00  productpage-v2: Succeeded in 2m00s
`
	if diff := cmp.Diff(want, p.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWatchingEndsWithTheRunsExitCode(t *testing.T) {
	for _, tc := range []struct {
		name string
		end  func(*testing.T, *clitest.Hub, context.CancelFunc)
		want int
	}{
		{"0 when it succeeded", func(t *testing.T, h *clitest.Hub, _ context.CancelFunc) {
			endCanary(t, h, true, "Succeeded")
			conclude(t, h, corev1.ConditionTrue, "Succeeded")
		}, 0},
		{"1 when it failed", func(t *testing.T, h *clitest.Hub, _ context.CancelFunc) {
			endCanary(t, h, false, "GuardFailed")
			conclude(t, h, corev1.ConditionFalse, "Failed")
		}, notSucceeded},
		{"1 when it was cancelled", func(t *testing.T, h *clitest.Hub, _ context.CancelFunc) {
			endCanary(t, h, false, "CustomRunCancelled")
			conclude(t, h, corev1.ConditionFalse, "Cancelled")
		}, notSucceeded},
		{"1 when it was deleted", func(t *testing.T, h *clitest.Hub, _ context.CancelFunc) {
			if err := h.Tekton.TektonV1().PipelineRuns("shop").Delete(context.Background(), name, metav1.DeleteOptions{}); err != nil {
				t.Error(err)
			}
		}, notSucceeded},
		{"130 when it is interrupted", func(_ *testing.T, _ *clitest.Hub, interrupt context.CancelFunc) { interrupt() }, follow.Interrupted},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ctx, interrupt := context.WithCancel(context.Background())
			defer interrupt()
			h, p := oneCanary(t), newPage()
			over := start(ctx, testCommand(h, plainTerminal(p), time.Minute))
			p.await(t, "Running canary-m1")
			tc.end(t, h, interrupt)
			if got := exitCode(<-over); got != tc.want {
				t.Errorf("got exit code %d, want %d; the page:\n%s", got, tc.want, p)
			}
		})
	}
}

func TestWatchingUntilHeldEndsAtTheQuestion(t *testing.T) {
	asking := func(s *stages.RunStatus) {
		s.Question = &stages.Question{ID: "canary-m1", Message: "go on?", Required: 1}
	}
	h, p := oneCanary(t), newPage()
	g := testCommand(h, plainTerminal(p), time.Minute)
	g.untilHeld = true
	over := start(context.Background(), g)
	p.await(t, "Running canary-m1")
	report(t, h, asking, 1)
	if err := <-over; err != nil {
		t.Fatalf("%v; the page:\n%s", err, p)
	}
	if !strings.Contains(p.String(), "Waiting at canary-m1") {
		t.Errorf("it ended before the question:\n%s", p)
	}
}

func TestWatchingUntilHeldEndsWithTheExitCodeOfARunThatIsOverBefore(t *testing.T) {
	h, p := oneCanary(t), newPage()
	g := testCommand(h, plainTerminal(p), time.Minute)
	g.untilHeld = true
	over := start(context.Background(), g)
	p.await(t, "Running canary-m1")
	endCanary(t, h, false, "GuardFailed")
	conclude(t, h, corev1.ConditionFalse, "Failed")
	if got := exitCode(<-over); got != notSucceeded {
		t.Errorf("got exit code %d, want %d; the page:\n%s", got, notSucceeded, p)
	}
}

func TestACancelledRunIsWatchedUntilItsStagesHaveStopped(t *testing.T) {
	h, p := oneCanary(t), newPage()
	over := start(context.Background(), testCommand(h, plainTerminal(p), time.Minute))
	p.await(t, "Running canary-m1")
	conclude(t, h, corev1.ConditionFalse, "Cancelled")
	p.await(t, "Cancelled after 2m00s · canary-m1 is still stopping")
	endCanary(t, h, false, "CustomRunCancelled")
	if got := exitCode(<-over); got != notSucceeded {
		t.Errorf("got exit code %d, want %d", got, notSucceeded)
	}
	p.await(t, "Cancelled at canary-m1")
}

// What a terminal is told: its second screen, and where a frame that is shown at once begins and ends.
const (
	open, shut           = "\x1b[?1049h", "\x1b[?1049l"
	frameBegin, frameEnd = "\x1b[?2026h", "\x1b[J\x1b[?2026l"
)

func TestWatchingOnATerminalRedrawsInPlaceAndRestoresIt(t *testing.T) {
	h, p := oneCanary(t), newPage()
	ctx, interrupt := context.WithCancel(context.Background())
	defer interrupt()
	var mu sync.Mutex
	width := 100
	out := terminal.Terminal{Writer: p, Drawable: true, Colour: true, Size: func() (int, int) {
		mu.Lock()
		defer mu.Unlock()
		return width, 30
	}}
	g := testCommand(h, out, time.Minute)
	over := start(ctx, g)
	p.await(t, "Running canary-m1")
	if !strings.HasPrefix(p.String(), open) {
		t.Errorf("the second screen was not opened first: %q", p)
	}
	mu.Lock()
	width = 41
	mu.Unlock()
	clock := g.clock.(*clocktesting.FakeClock)
	clock.Step(time.Second) // the redraw of each second follows the size and the time
	p.await(t, "1m01s ago")
	interrupt()
	if got := exitCode(<-over); got != follow.Interrupted {
		t.Errorf("got exit code %d, want %d", got, follow.Interrupted)
	}
	text := p.String()
	if strings.Count(text, open) != 1 || strings.Count(text, shut) != 1 {
		t.Errorf("the screen was not opened and shut once: %q", text)
	}
	_, left, _ := strings.Cut(text, shut)
	if !strings.Contains(left, "Running canary-m1") {
		t.Errorf("the last screen is not left behind: %q", left)
	}
	if frame, _, _ := strings.Cut(text[strings.Index(text, frameBegin):], frameEnd); strings.HasSuffix(frame, "\n") {
		t.Error("a frame ends with a newline, so that a full screen scrolls")
	}
}

func TestAHubThatStopsAnsweringIsSaidOnTheScreen(t *testing.T) {
	h, p := oneCanary(t), newPage()
	down := make(chan struct{})
	var refuse atomic.Bool
	h.Tekton.PrependWatchReactor("customruns", func(clienttesting.Action) (bool, watchInterface, error) {
		if refuse.Load() {
			return true, nil, errors.New("connection refused")
		}
		return true, newEndingWatch(down), nil
	})
	h.Tekton.PrependReactor("list", "customruns", func(clienttesting.Action) (bool, runtime.Object, error) {
		return refuse.Load(), nil, errors.New("connection refused")
	})
	ctx, interrupt := context.WithCancel(context.Background())
	defer interrupt()
	over := start(ctx, testCommand(h, plainTerminal(p), time.Minute))
	p.await(t, "Running canary-m1")
	refuse.Store(true)
	close(down)
	p.await(t, "the hub does not answer since 12:11:00, this is from before: connection refused")
	refuse.Store(false)
	p.await(t, "the hub answers again")
	interrupt()
	if got := exitCode(<-over); got != follow.Interrupted {
		t.Errorf("got exit code %d, want %d", got, follow.Interrupted)
	}
}

func TestOneRun(t *testing.T) {
	p := newPage()
	g := testCommand(oneCanary(t), plainTerminal(p), time.Minute)
	if err := g.run(context.Background(), []string{name}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"productpage-v2 · Running canary-m1", "m1      dca   productpage"} {
		if !strings.Contains(p.String(), want) {
			t.Errorf("%q is missing in\n%s", want, p)
		}
	}
}

func TestJSONIsTheModel(t *testing.T) {
	p := newPage()
	g := testCommand(oneCanary(t), plainTerminal(p), time.Minute)
	g.output = "json"
	if err := g.run(context.Background(), []string{name}); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Format  string
		Verdict struct{ State, Text, Stage string }
		Stages  []struct{ Name, Kind, State string }
		Units   []struct {
			Member, Unit string
			Replicas     int
		}
	}
	if err := json.Unmarshal([]byte(p.String()), &got); err != nil {
		t.Fatal(err)
	}
	if got.Format != screen.Format || got.Verdict.State != "Running" || got.Stages[0].Kind != "Canary" || got.Units[0].Replicas != 4 {
		t.Errorf("got %+v", got)
	}
}

func TestTheListHasRunsOfOursOnlyWithTheirVerdicts(t *testing.T) {
	foreign := clitest.PipelineRun("build-and-push", "compile:")
	foreign.Spec.PipelineSpec.Tasks[0].TaskRef = &pipelinev1.TaskRef{Name: "golang-build"}
	foreign.Status.PipelineSpec = foreign.Spec.PipelineSpec
	later := clitest.PipelineRun("reviews-v3", "canary-m1:Canary", "confirm:Confirm")
	later.CreationTimestamp = *clitest.At(time.Minute)
	later.Status.StartTime = clitest.At(time.Minute)
	lone := clitest.Stage(t, "lone", "canary", "Canary", canary(t, 1))
	lone.OwnerReferences, lone.Labels = nil, nil
	h := clitest.NewHub(clitest.PipelineRun(name, "canary-m1:Canary"), clitest.Stage(t, name, "canary-m1", "Canary", canary(t, 0)), foreign, later,
		clitest.Stage(t, "reviews-v3", "confirm", "Confirm", stages.RunStatus{Question: &stages.Question{ID: "confirm", Required: 1}}), lone)
	p := newPage()
	if err := testCommand(h, plainTerminal(p), 2*time.Minute).run(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	want := `RUN               STAGES  STARTED    VERDICT
? reviews-v3         0/2  1m00s ago  Waiting at confirm · wants 1 person to approve
● lone-canary        0/1  1m59s ago  Running lone-canary · m1/dca: pods update
● productpage-v2     0/1  2m00s ago  Running canary-m1 · m1/dca: pods update
`
	if diff := cmp.Diff(want, p.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestBadUse(t *testing.T) {
	for _, tc := range []struct {
		name string
		set  func(*command)
		args []string
		want string
	}{
		{"an output that is not known", func(g *command) { g.output = "wide" }, []string{name}, `--output is "wide", and must be json or yaml`},
		{"held of what is not watched", func(g *command) { g.untilHeld = true }, []string{name}, "--until-held goes with --watch"},
		{"a watch of nothing", func(g *command) { g.watch = true }, nil, "--watch needs the name of a run"},
		{"a run in all namespaces", func(g *command) { g.allNamespaces = true }, []string{name}, "--all-namespaces lists runs"},
		{"a run that is not there", nil, []string{"productpage-v3"}, "did you mean productpage-v2?"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := testCommand(oneCanary(t), plainTerminal(newPage()), 0)
			if tc.set != nil {
				tc.set(g)
			}
			if err := g.run(context.Background(), tc.args); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func TestWhatMayNotBeReadIsNotedAndTheRestShown(t *testing.T) {
	h := oneCanary(t)
	deny := func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: "x"}, "", nil)
	}
	h.Tekton.PrependReactor("list", "taskruns", deny)
	h.Periplus.PrependReactor("list", "releases", deny)
	p := newPage()
	if err := testCommand(h, plainTerminal(p), time.Minute).run(context.Background(), []string{name}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(p.String(), "note: you may not read releases.stages.periplus.dev in namespace shop") {
		t.Errorf("the note is missing:\n%s", p)
	}
	if strings.Contains(p.String(), "taskruns") {
		t.Errorf("a run without TaskRuns needs no permission for them:\n%s", p)
	}
	over := start(context.Background(), testCommand(h, plainTerminal(p), time.Minute))
	p.await(t, "Running canary-m1")
	endCanary(t, h, true, "Succeeded")
	conclude(t, h, corev1.ConditionTrue, "Succeeded")
	if err := <-over; err != nil {
		t.Error(err)
	}
}

func TestAPauseAndAFreezeAreSeenWhileWatching(t *testing.T) {
	h, p := oneCanary(t), newPage()
	ctx, interrupt := context.WithCancel(context.Background())
	defer interrupt()
	over := start(ctx, testCommand(h, plainTerminal(p), time.Minute))
	p.await(t, "Running canary-m1")
	pause := &stages.Intervention{
		ObjectMeta: metav1.ObjectMeta{Name: "a", Namespace: "shop", CreationTimestamp: *clitest.At(time.Minute)},
		Spec: stages.InterventionSpec{
			RunRef: stages.RootRef{Kind: "PipelineRun", Name: name, UID: "uid-" + name}, Action: stages.ActionPause, User: "bob", Message: "errors in dca",
		},
	}
	if _, err := h.Periplus.StagesV1alpha1().Interventions("shop").Create(ctx, pause, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	p.await(t, "bob paused it: errors in dca")
	p.await(t, "Paused by bob since 12:11:00")
	freeze := &stages.Freeze{ObjectMeta: metav1.ObjectMeta{Name: "freeze-a"}, Spec: stages.FreezeSpec{User: "erin", Message: "network"}}
	if _, err := h.Periplus.StagesV1alpha1().Freezes().Create(ctx, freeze, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	p.await(t, "network (everything)")
	interrupt()
	if got := exitCode(<-over); got != follow.Interrupted {
		t.Errorf("got exit code %d, want %d", got, follow.Interrupted)
	}
	list := newPage()
	if err := testCommand(h, plainTerminal(list), time.Minute).run(context.Background(), nil); err != nil || !strings.Contains(list.String(), "Paused by bob") {
		t.Errorf("got %v and\n%s", err, list)
	}
}

func TestARunThatIsTakenBackIsWatchedUntilItIs(t *testing.T) {
	h, p := oneCanary(t), newPage()
	release := &stages.Release{
		ObjectMeta: metav1.ObjectMeta{Name: "r", Namespace: "shop", Labels: map[string]string{stages.LabelRootUID: "uid-" + name}},
		Spec:       stages.ReleaseSpec{Root: stages.RootRef{Kind: "PipelineRun", Name: name, UID: "uid-" + name}},
		Status: stages.ReleaseStatus{
			Phase: stages.ReleaseRollingBack, Rollback: &stages.RollbackRecord{Scope: stages.RollbackRelease, Initiator: "bob", Since: *clitest.At(time.Minute), Message: "0 of 1 back"},
		},
	}
	if err := h.Periplus.Tracker().Add(release); err != nil {
		t.Fatal(err)
	}
	over := start(context.Background(), testCommand(h, plainTerminal(p), time.Minute))
	p.await(t, "Rolling back since 12:11:00 by bob")
	endCanary(t, h, true, "Succeeded")
	conclude(t, h, corev1.ConditionTrue, "Succeeded")
	release.Status.Phase, release.Status.Rollback.Message = stages.ReleaseRolledBack, "1 of 1 back"
	if _, err := h.Periplus.StagesV1alpha1().Releases("shop").Update(context.Background(), release, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := exitCode(<-over); got != notSucceeded {
		t.Errorf("got exit code %d, want %d", got, notSucceeded)
	}
	p.await(t, "Rolled back by bob · 1 of 1 back")
}

var _ Connect = (*hub.Flags).Connect
