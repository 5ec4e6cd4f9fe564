package answer

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	pipelinev1beta1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clienttesting "k8s.io/client-go/testing"

	stages "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/cli/clitest"
)

const root = "productpage-v2"

func question(task string, required int32, answers ...stages.Answer) *stages.Question {
	return &stages.Question{ID: task, Message: "go on?", Approvers: stages.Approvers{Groups: []string{"sre"}}, Required: required, Answers: answers}
}

// group is the question before a group of a stage that asks between groups.
func group(n int) *stages.Question {
	q := question(fmt.Sprintf("groups-group-%d", n), 1)
	q.About = fmt.Sprintf("group %d of 3 (batch %d: 2 in dca)", n, n-1)
	return q
}

func asking(t *testing.T, task string, q *stages.Question) *pipelinev1beta1.CustomRun {
	return clitest.Stage(t, root, task, "Confirm", stages.RunStatus{Attempt: 1, Question: q})
}

// stageReacts stands for the stage: it is given the Approval that was created and the status to change, some time after the creation.
func stageReacts(t *testing.T, h *clitest.Hub, name string, react func(*stages.Approval, *pipelinev1beta1.CustomRun)) {
	h.Periplus.PrependReactor("create", "approvals", func(action clienttesting.Action) (bool, runtime.Object, error) {
		a := action.(clienttesting.CreateAction).GetObject().(*stages.Approval).DeepCopy()
		a.Name = a.GenerateName + "x7k2p"
		go func() {
			runs := h.Tekton.TektonV1beta1().CustomRuns("shop")
			run, err := runs.Get(context.Background(), name, metav1.GetOptions{})
			if err != nil {
				t.Error(err)
				return
			}
			react(a, run)
			if _, err := runs.Update(context.Background(), run, metav1.UpdateOptions{}); err != nil {
				t.Error(err)
			}
		}()
		return true, a, nil
	})
}

func countIt(t *testing.T, q *stages.Question) func(*stages.Approval, *pipelinev1beta1.CustomRun) {
	return func(a *stages.Approval, run *pipelinev1beta1.CustomRun) {
		q := q.DeepCopy()
		q.Answers = append(q.Answers, stages.Answer{Approval: a.Name, User: a.Spec.User, Decision: a.Spec.Decision, Message: a.Spec.Message})
		clitest.SetStatus(t, run, stages.RunStatus{Attempt: 1, Question: q})
	}
}

func ignoreIt(t *testing.T, q *stages.Question, why string) func(*stages.Approval, *pipelinev1beta1.CustomRun) {
	return func(a *stages.Approval, run *pipelinev1beta1.CustomRun) {
		q := q.DeepCopy()
		q.Ignored = append(q.Ignored, "another-aaaaa by eve: is not among the approvers", fmt.Sprintf("%s by %s: %s", a.Name, a.Spec.User, why))
		clitest.SetStatus(t, run, stages.RunStatus{Attempt: 1, Question: q})
	}
}

func TestAnswering(t *testing.T) {
	one, two := question("confirm-m1", 1), question("confirm-m1", 2)
	alice := stages.Answer{Approval: "a", User: "alice", Decision: stages.Approve}
	for _, tc := range []struct {
		name     string
		decision stages.Decision
		args     []string
		runs     func(*testing.T) []runtime.Object
		prepare  func(*testing.T, *clitest.Hub)
		want     string
		wantErr  string
	}{
		{
			name: "the only approval that is needed lets the run go on", args: []string{root, "--message", "fine"},
			runs:    func(t *testing.T) []runtime.Object { return []runtime.Object{asking(t, "confirm-m1", one)} },
			prepare: func(t *testing.T, h *clitest.Hub) { stageReacts(t, h, root+"-confirm-m1", countIt(t, one)) },
			want:    "recorded: bob approved confirm-m1 (1 of 1); productpage-v2 goes on",
		},
		{
			name: "of a stage that asks between groups it is said which group that was", args: []string{root},
			runs:    func(t *testing.T) []runtime.Object { return []runtime.Object{asking(t, "groups", group(2))} },
			prepare: func(t *testing.T, h *clitest.Hub) { stageReacts(t, h, root+"-groups", countIt(t, group(2))) },
			want:    "recorded: bob approved group 2 of 3 (batch 1: 2 in dca) of groups (1 of 1); productpage-v2 goes on",
		},
		{
			name: "a stage that is at the next group already says so", args: []string{root},
			runs: func(t *testing.T) []runtime.Object { return []runtime.Object{asking(t, "groups", group(2))} },
			prepare: func(t *testing.T, h *clitest.Hub) {
				stageReacts(t, h, root+"-groups", func(_ *stages.Approval, run *pipelinev1beta1.CustomRun) {
					clitest.SetStatus(t, run, stages.RunStatus{Attempt: 1, Question: group(3)})
				})
			},
			wantErr: "stage groups does not ask this any more (it asks about group 3 of 3 (batch 2: 2 in dca)); answer again if it still asks",
		},
		{
			name: "the first of two says who is still wanted", args: []string{root},
			runs:    func(t *testing.T) []runtime.Object { return []runtime.Object{asking(t, "confirm-m1", two)} },
			prepare: func(t *testing.T, h *clitest.Hub) { stageReacts(t, h, root+"-confirm-m1", countIt(t, two)) },
			want:    `recorded: bob approved confirm-m1 (1 of 2); still wants 1 more of sre to approve "go on?"`,
		},
		{
			name: "the second of two lets the run go on", args: []string{root},
			runs: func(t *testing.T) []runtime.Object {
				return []runtime.Object{asking(t, "confirm-m1", question("confirm-m1", 2, alice))}
			},
			prepare: func(t *testing.T, h *clitest.Hub) {
				stageReacts(t, h, root+"-confirm-m1", countIt(t, question("confirm-m1", 2, alice)))
			},
			want: "recorded: bob approved confirm-m1 (2 of 2); productpage-v2 goes on",
		},
		{
			name: "a reject ends the stage", decision: stages.Reject, args: []string{root, "-m", "errors in dca"},
			runs:    func(t *testing.T) []runtime.Object { return []runtime.Object{asking(t, "confirm-m1", one)} },
			prepare: func(t *testing.T, h *clitest.Hub) { stageReacts(t, h, root+"-confirm-m1", countIt(t, one)) },
			want:    "recorded: bob rejected confirm-m1; the stage ends",
		},
		{
			name: "a reject needs a reason", decision: stages.Reject, args: []string{root, "--message", "  "},
			wantErr: `a reject needs a reason for the others: --message "…"`,
		},
		{
			name: "who is not among the approvers is told so", args: []string{root},
			runs: func(t *testing.T) []runtime.Object { return []runtime.Object{asking(t, "confirm-m1", one)} },
			prepare: func(t *testing.T, h *clitest.Hub) {
				stageReacts(t, h, root+"-confirm-m1", ignoreIt(t, one, "is not among the approvers"))
			},
			wantErr: "the answer does not count: by bob: is not among the approvers",
		},
		{
			name: "the initiator is told that he may not answer", args: []string{root},
			runs: func(t *testing.T) []runtime.Object { return []runtime.Object{asking(t, "confirm-m1", one)} },
			prepare: func(t *testing.T, h *clitest.Hub) {
				stageReacts(t, h, root+"-confirm-m1", ignoreIt(t, one, "who started the release may not answer"))
			},
			wantErr: "the answer does not count: by bob: who started the release may not answer",
		},
		{
			name: "a stage that is cancelled meanwhile says so", args: []string{root},
			runs: func(t *testing.T) []runtime.Object { return []runtime.Object{asking(t, "confirm-m1", one)} },
			prepare: func(t *testing.T, h *clitest.Hub) {
				stageReacts(t, h, root+"-confirm-m1", func(_ *stages.Approval, run *pipelinev1beta1.CustomRun) {
					clitest.End(run, time.Minute, false, "CustomRunCancelled", "by alice")
				})
			},
			wantErr: "stage confirm-m1 ended before it counted the answer: CustomRunCancelled: by alice",
		},
		{
			name: "an answer that nobody counts is not passed off as one that counts", args: []string{root},
			runs:    func(t *testing.T) []runtime.Object { return []runtime.Object{asking(t, "confirm-m1", one)} },
			wantErr: "but stage confirm-m1 has not counted it within 150ms",
		},
		{
			name: "of several questions one must be named", args: []string{root},
			runs: func(t *testing.T) []runtime.Object {
				return []runtime.Object{asking(t, "confirm-m2", question("confirm-m2", 1)), asking(t, "confirm-m1", one)}
			},
			wantErr: "2 stages of run productpage-v2 ask: say which with --stage: confirm-m1, confirm-m2",
		},
		{
			name: "one of several is named by its stage", args: []string{root, "--stage", "confirm-m1"},
			runs: func(t *testing.T) []runtime.Object {
				return []runtime.Object{asking(t, "confirm-m2", question("confirm-m2", 1)), asking(t, "confirm-m1", one)}
			},
			prepare: func(t *testing.T, h *clitest.Hub) { stageReacts(t, h, root+"-confirm-m1", countIt(t, one)) },
			want:    "recorded: bob approved confirm-m1 (1 of 1); productpage-v2 goes on",
		},
		{
			name: "one of several is named by its CustomRun", args: []string{root + "-confirm-m1"},
			runs: func(t *testing.T) []runtime.Object {
				return []runtime.Object{asking(t, "confirm-m2", question("confirm-m2", 1)), asking(t, "confirm-m1", one)}
			},
			prepare: func(t *testing.T, h *clitest.Hub) { stageReacts(t, h, root+"-confirm-m1", countIt(t, one)) },
			want:    "recorded: bob approved confirm-m1 (1 of 1); productpage-v2 goes on",
		},
		{
			name: "the CustomRun of another stage does not answer for the one that asks", args: []string{root + "-canary-m1"},
			runs: func(t *testing.T) []runtime.Object {
				return []runtime.Object{asking(t, "confirm-m1", one), clitest.Stage(t, root, "canary-m1", "Canary", stages.RunStatus{})}
			},
			wantErr: "productpage-v2-canary-m1, a stage of run productpage-v2, asks nothing now; asking: confirm-m1",
		},
		{
			name: "a stage that does not ask", args: []string{root, "--stage", "canary-m1"},
			runs:    func(t *testing.T) []runtime.Object { return []runtime.Object{asking(t, "confirm-m1", one)} },
			wantErr: "stage canary-m1 of run productpage-v2 asks nothing now; asking: confirm-m1",
		},
		{
			name: "without a question the run says what it does", args: []string{root},
			runs: func(t *testing.T) []runtime.Object {
				return []runtime.Object{clitest.Stage(t, root, "canary-m1", "Canary", stages.RunStatus{
					Waiting: &stages.Waiting{Reason: "UpdatingPods", For: "m1/dca: 1 of 2 pods updated"},
				})}
			},
			wantErr: "run productpage-v2 asks nothing now: Running canary-m1 · m1/dca: 1 of 2 pods updated",
		},
		{
			name: "a question that was answered is not asked any more", args: []string{root},
			runs: func(t *testing.T) []runtime.Object {
				return []runtime.Object{asking(t, "confirm-m1", question("confirm-m1", 1, alice))}
			},
			wantErr: "run productpage-v2 asks nothing now: ",
		},
		{
			name: "a name with a slip gets the right one", args: []string{"produktpage-v2"},
			wantErr: "there is no run produktpage-v2 in namespace shop; did you mean productpage-v2?",
		},
		{
			name: "a name like no other gets the newest", args: []string{"x"},
			wantErr: "there is no run x in namespace shop; the newest are productpage-v2; another namespace is given with -n",
		},
		{
			name: "a missing permission is named", args: []string{root},
			runs: func(t *testing.T) []runtime.Object { return []runtime.Object{asking(t, "confirm-m1", one)} },
			prepare: func(_ *testing.T, h *clitest.Hub) {
				h.Periplus.PrependReactor("create", "approvals", func(clienttesting.Action) (bool, runtime.Object, error) {
					return true, nil, apierrors.NewForbidden(schema.GroupResource{Group: "stages.periplus.dev", Resource: "approvals"}, "", nil)
				})
			},
			wantErr: "you lack a permission: create on approvals.stages.periplus.dev in namespace shop",
		},
		{
			name: "a refusal by policy is passed on with its reason", args: []string{root},
			runs: func(t *testing.T) []runtime.Object { return []runtime.Object{asking(t, "confirm-m1", one)} },
			prepare: func(_ *testing.T, h *clitest.Hub) {
				h.Periplus.PrependReactor("create", "approvals", func(clienttesting.Action) (bool, runtime.Object, error) {
					return true, nil, apierrors.NewForbidden(schema.GroupResource{Group: "stages.periplus.dev", Resource: "approvals"}, "",
						fmt.Errorf("ValidatingAdmissionPolicy 'approvals' denied request: spec.user: must be your own name"))
				})
			},
			wantErr: "the hub refuses to create approvals.stages.periplus.dev: ",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			objects := []runtime.Object{clitest.PipelineRun(root, "canary-m1:Canary", "confirm-m1:Confirm", "confirm-m2:Confirm")}
			if tc.runs != nil {
				objects = append(objects, tc.runs(t)...)
			}
			h := clitest.NewHub(objects...)
			if tc.prepare != nil {
				tc.prepare(t, h)
			}
			a := &command{decision: tc.decision, connect: h.Connect, counting: 20 * time.Second}
			if tc.decision == "" {
				a.decision = stages.Approve
			}
			if strings.Contains(tc.wantErr, "150ms") {
				a.counting = 150 * time.Millisecond
			}
			cmd := newCommand(a)
			var out bytes.Buffer
			cmd.SetOut(&out)
			cmd.SetErr(&out)
			cmd.SilenceErrors, cmd.SilenceUsage = true, true
			cmd.SetArgs(tc.args)
			err := cmd.ExecuteContext(context.Background())
			switch {
			case tc.wantErr == "" && err != nil:
				t.Fatal(err)
			case tc.wantErr != "" && (err == nil || !strings.Contains(err.Error(), tc.wantErr)):
				t.Fatalf("got error %v, want %q", err, tc.wantErr)
			}
			if got := strings.TrimSpace(out.String()); got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}

func TestTheApprovalIsTheCallersOwnForTheOneQuestion(t *testing.T) {
	q := question("confirm-m1", 1)
	h := clitest.NewHub(clitest.PipelineRun(root, "confirm-m1:Confirm"), asking(t, "confirm-m1", q))
	stageReacts(t, h, root+"-confirm-m1", countIt(t, q))
	a := &command{decision: stages.Approve, connect: h.Connect, counting: 20 * time.Second, message: "fine"}
	if _, err := a.answer(context.Background(), root); err != nil {
		t.Fatal(err)
	}
	var made *stages.Approval
	for _, action := range h.Periplus.Actions() {
		if create, ok := action.(clienttesting.CreateAction); ok {
			made = create.GetObject().(*stages.Approval)
		}
	}
	want := &stages.Approval{
		ObjectMeta: metav1.ObjectMeta{GenerateName: root + "-", Namespace: "shop"},
		Spec: stages.ApprovalSpec{
			RunRef: stages.RunRef{Name: root + "-confirm-m1", UID: "uid-productpage-v2-confirm-m1"}, Question: "confirm-m1", Decision: stages.Approve,
			Message: "fine", User: "bob", Groups: []string{"sre", "system:authenticated"},
		},
	}
	if diff := cmp.Diff(want, made); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
