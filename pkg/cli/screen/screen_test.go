package screen

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	pipelinev1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	pipelinev1beta1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"

	stages "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

var update = flag.Bool("update", false, "write the golden files anew")

const (
	s = time.Second
	m = time.Minute
)

// The situations that a person meets, each with the screen it gives.
var situations = []struct {
	name string
	look Look
	tell func(*testing.T) *Model
}{
	{"just-submitted", Look{Width: 100}, func(t *testing.T) *Model { return newStory(t).model(2 * s) }},
	{"nobody-takes-it-up", Look{Width: 100}, func(t *testing.T) *Model { return newStory(t).model(5 * m) }},
	{"no-controller-for-the-kind", Look{Width: 100}, func(t *testing.T) *Model {
		st := newStory(t).started()
		run := st.stage("canary-m1", "Canary", s, stages.RunStatus{})
		run.Status = pipelinev1beta1.CustomRunStatus{}
		return st.model(3 * m)
	}},
	{"tekton-begins-no-stage", Look{Width: 100}, func(t *testing.T) *Model {
		st := newStory(t).started()
		st.condition(corev1.ConditionUnknown, "ResolvingPipelineRef", "")
		return st.model(5 * m)
	}},
	{"hub-does-not-answer", Look{Width: 100}, func(t *testing.T) *Model {
		st := canaryRunning(t)
		st.o.Stale = `the hub does not answer since 12:11:00, this is from before: Get "https://127.0.0.1:6443/apis": connect: connection refused`
		return st.model(5 * m)
	}},
	{"just-started", Look{Width: 100}, func(t *testing.T) *Model {
		st := newStory(t).started()
		st.stage("canary-m1", "Canary", s, stages.RunStatus{Waiting: &stages.Waiting{Reason: "Connecting", For: "connecting to member m1", Since: at(s)}})
		return st.model(3 * s)
	}},
	{"canary-running", Look{Width: 100}, func(t *testing.T) *Model { return canaryRunning(t).model(72 * s) }},
	{"canary-in-trouble", Look{Width: 100}, func(t *testing.T) *Model { return canaryInTrouble(t).model(95 * s) }},
	{"group-waiting", Look{Width: 100}, func(t *testing.T) *Model { return groupWaiting(t).model(5*m + 42*s) }},
	{"confirm-waiting", Look{Width: 100}, func(t *testing.T) *Model { return confirmWaiting(t).model(5*m + 42*s) }},
	{"confirm-waiting-on-a-wide-screen", Look{Width: 200}, func(t *testing.T) *Model { return confirmWaiting(t).model(5*m + 42*s) }},
	{"confirm-waiting-in-colour", Look{Width: 100, Colour: true}, func(t *testing.T) *Model { return confirmWaiting(t).model(5*m + 42*s) }},
	{"confirm-waiting-in-40-columns", Look{Width: 40}, func(t *testing.T) *Model { return confirmWaiting(t).model(5*m + 42*s) }},
	{"confirm-waiting-in-70-columns", Look{Width: 70}, func(t *testing.T) *Model { return confirmWaiting(t).model(5*m + 42*s) }},
	{"confirm-waiting-in-ascii", Look{Width: 100, ASCII: true}, func(t *testing.T) *Model { return confirmWaiting(t).model(5*m + 42*s) }},
	{"confirm-waiting-in-12-lines", Look{Width: 100, Height: 12}, func(t *testing.T) *Model { return confirmWaiting(t).model(5*m + 42*s) }},
	{"two-questions-open", Look{Width: 100}, twoQuestions},
	{"guard-failed-and-rollback-runs", Look{Width: 100}, func(t *testing.T) *Model {
		st := guardFailed(t)
		st.stage("rollback", "Rollback", 8*m, stages.RunStatus{Waiting: &stages.Waiting{Reason: "UpdatingPods", For: "m2/dca: 0 of 1 pods back", Since: at(8 * m)}})
		return st.model(8*m + 4*s)
	}},
	{"guard-failed", Look{Width: 100}, func(t *testing.T) *Model {
		return guardFailed(t).ended(8*m+s, corev1.ConditionFalse, "Failed", "Tasks Completed: 6 (Failed: 1, Cancelled 0), Skipped: 1").model(90 * m)
	}},
	{"guards-read-metrics", Look{Width: 100}, func(t *testing.T) *Model { return canaryMeasured(t).model(95 * s) }},
	{"guards-read-metrics-on-a-wide-screen", Look{Width: 160}, func(t *testing.T) *Model { return canaryMeasured(t).model(95 * s) }},
	{"guards-read-metrics-in-60-columns", Look{Width: 60}, func(t *testing.T) *Model { return canaryMeasured(t).model(95 * s) }},
	{"guards-read-metrics-in-ascii", Look{Width: 100, ASCII: true}, func(t *testing.T) *Model { return canaryMeasured(t).model(95 * s) }},
	{"failed-attempt-is-being-held-back", Look{Width: 100}, func(t *testing.T) *Model {
		st := canaryRunning(t)
		st.o.CustomRuns = nil
		run := st.stage("canary-m1", "Canary", s, stages.RunStatus{
			Members: []stages.MemberProgress{member("m1", unit("dca", 1, 1, 4, 1))},
			Ending:  &stages.Ending{Outcome: stages.Outcome{Reason: "GuardFailed", Message: "guard no-restarts: false on m1"}, Since: at(60 * s)},
		})
		run.Spec.Retries = 1
		return st.model(62 * s)
	}},
	{"member-unreachable", Look{Width: 100}, func(t *testing.T) *Model {
		st := canaryRunning(t)
		st.o.CustomRuns = nil
		gone := member("m1", unit("dca", 1, 1, 4, 1), unit("dcb", 0, 0, 4, 1))
		gone.Reachable, gone.Message = false, "member m1 cannot be reached since 12:11:30: the connection was refused"
		st.stage("canary-m1", "Canary", s, stages.RunStatus{
			Members: []stages.MemberProgress{gone},
			Waiting: &stages.Waiting{Reason: "MemberUnreachable", For: gone.Message, Since: at(90 * s), Until: atp(20 * m)},
			Guards:  []stages.GuardStatus{{Name: "canaries-ready", Member: "m1", When: stages.After, Verdict: stages.VerdictInconclusive, Since: atp(92 * s), Message: "m1 cannot be seen"}},
		})
		return st.model(4 * m)
	}},
	{"many-members-at-once", Look{Width: 100}, func(t *testing.T) *Model { return manyMembers(t).model(4 * m) }},
	{"many-members-in-24-lines", Look{Width: 100, Height: 24}, func(t *testing.T) *Model { return manyMembers(t).model(4 * m) }},
	{"second-attempt", Look{Width: 100}, func(t *testing.T) *Model {
		st := newStory(t).started().released("m1")
		run := st.stage("canary-m1", "Canary", 3*m, stages.RunStatus{
			Attempt: 2, Step: &stages.StepStatus{Index: 1, Total: 2, What: "dca: 1 of 4"},
			Waiting: &stages.Waiting{Reason: "UpdatingPods", For: "m1/dca: 0 of 1 pods updated, 0 available", Since: at(3 * m), Until: atp(13 * m)},
			Members: []stages.MemberProgress{member("m1", unit("dca", 0, 0, 4, 1), unit("dcb", 0, 0, 4, 0))},
		})
		run.Spec.Retries = 2
		var first pipelinev1beta1.CustomRun
		first.Status.StartTime = atp(s)
		end(&first, 3*m, corev1.ConditionFalse, "ProgressDeadlineExceeded", "no progress for 2m0s (progressDeadline): m1/dca: 0 of 1 pods updated, 0 available")
		run.Status.RetriesStatus = append(run.Status.RetriesStatus, first.Status)
		return st.model(3*m + 8*s)
	}},
	{"succeeded", Look{Width: 100}, func(t *testing.T) *Model {
		return allDone(t).ended(9*m+12*s, corev1.ConditionTrue, "Completed", "").model(30 * m)
	}},
	{"cancelled", Look{Width: 100}, func(t *testing.T) *Model {
		st := confirmDone(t)
		end(st.stage("bump-m1", "PartitionBump", 6*m, stages.RunStatus{
			Members: []stages.MemberProgress{member("m1", unit("dca", 2, 2, 4, 2), unit("dcb", 1, 1, 4, 1))},
		}), 7*m, corev1.ConditionFalse, "CustomRunCancelled", string(pipelinev1beta1.CustomRunCancelledByPipelineMsg))
		st.o.PipelineRun.Spec.Status = pipelinev1.PipelineRunSpecStatusCancelledRunFinally
		return st.ended(7*m+10*s, corev1.ConditionFalse, "Cancelled", "").model(20 * m)
	}},
	{"cancelled-and-a-stage-still-stops", Look{Width: 100}, func(t *testing.T) *Model {
		st := confirmDone(t)
		run := st.stage("bump-m1", "PartitionBump", 6*m, stages.RunStatus{
			Members: []stages.MemberProgress{member("m1", unit("dca", 2, 1, 3, 2), unit("dcb", 1, 1, 4, 1))},
		})
		run.Spec.Status = pipelinev1beta1.CustomRunSpecStatusCancelled
		st.o.PipelineRun.Spec.Status = pipelinev1.PipelineRunSpecStatusCancelled
		return st.ended(7*m, corev1.ConditionFalse, "Cancelled", "").model(7*m + 2*s)
	}},
	{"pipeline-refused-by-tekton", Look{Width: 100}, func(t *testing.T) *Model {
		st := newStory(t)
		st.o.PipelineRun.Status.StartTime = atp(0)
		return st.ended(s, corev1.ConditionFalse, "PipelineValidationFailed", "invalid result reference in pipeline task \"bump-m1\"").model(m)
	}},
	{"held-back", Look{Width: 100}, func(t *testing.T) *Model {
		st := newStory(t)
		st.o.PipelineRun.Spec.Status = pipelinev1.PipelineRunSpecStatusPending
		st.condition(corev1.ConditionUnknown, "PipelineRunPending", "")
		return st.model(m)
	}},
	{"custom-run-without-a-pipeline", Look{Width: 100}, func(t *testing.T) *Model {
		run := customRun(t, "lone", "canary", "Canary", s, stages.RunStatus{
			Waiting: &stages.Waiting{Reason: "Baking", For: "dca: 1 of 4; bakes for 5m0s", Since: at(20 * s), Until: atp(5*m + 20*s)},
			Members: []stages.MemberProgress{member("m1", unit("dca", 1, 1, 4, 1))},
		})
		run.OwnerReferences = nil
		return Build(Objects{Root: run}, Options{Now: began.Add(m)})
	}},
	{"paused", Look{Width: 100}, func(t *testing.T) *Model { return pausedByBob(t).model(4 * m) }},
	{"paused-in-ascii", Look{Width: 100, ASCII: true}, func(t *testing.T) *Model { return pausedByBob(t).model(4 * m) }},
	{"paused-and-every-stage-stands", Look{Width: 100}, func(t *testing.T) *Model {
		st := pausedByBob(t)
		st.o.CustomRuns = nil
		st.stage("canary-m1", "Canary", s, stages.RunStatus{Waiting: &stages.Waiting{Reason: "Paused", For: "bob paused it", Since: at(3 * m)}})
		return st.model(4 * m)
	}},
	{"frozen", Look{Width: 100}, func(t *testing.T) *Model { return frozen(t).model(4 * m) }},
	{"retried", Look{Width: 100}, func(t *testing.T) *Model {
		st := carriedOn(t)
		return st.ended(8*m+s, corev1.ConditionFalse, "Failed", "Tasks Completed: 6 (Failed: 1, Cancelled 0), Skipped: 1").model(90 * m)
	}},
	{"retry-of-another-run", Look{Width: 100}, retryRuns},
	{"rolling-back-after-the-end", Look{Width: 100}, func(t *testing.T) *Model {
		return goesBack(t, stages.ReleaseRollingBack, nil).model(11 * m)
	}},
	{"rolled-back", Look{Width: 100}, func(t *testing.T) *Model {
		return goesBack(t, stages.ReleaseRolledBack, atp(12*m)).model(20 * m)
	}},
	{"one-member-is-taken-back-while-the-run-stands", Look{Width: 100}, func(t *testing.T) *Model {
		st := canaryRunning(t)
		st.o.Release.Status.Phase = stages.ReleaseRollingBack
		st.o.Release.Status.Rollback = &stages.RollbackRecord{
			Scope: stages.RollbackMember, Members: []string{"m1"}, Initiator: "bob", Since: at(3 * m), Message: "m1/dcb: 0 of 1 pods back",
		}
		return st.model(4 * m)
	}},
}

func canaryRunning(t *testing.T) *story {
	st := newStory(t).started().released("m1")
	st.stage("canary-m1", "Canary", s, stages.RunStatus{
		Release: "productpage-v2-8xk2p", Step: &stages.StepStatus{Index: 1, Total: 1, What: "1 of 4 in each unit"},
		Waiting: &stages.Waiting{Reason: "UpdatingPods", For: "m1/dcb: 0 of 1 pods updated, 0 available", Since: at(5 * s), Until: atp(15 * m)},
		Members: []stages.MemberProgress{member("m1", unit("dca", 1, 1, 4, 1), unit("dcb", 1, 0, 3, 1))},
		Guards:  canaryGuards("m1", stages.VerdictPending, 40*s),
	})
	return st
}

func canaryInTrouble(t *testing.T) *story {
	st := newStory(t).started().released("m1")
	sick := unit("dcb", 1, 0, 3, 1)
	sick.Trouble = `pod productpage-dcb-2: ErrImagePull: failed to pull and unpack image "registry.example/productpage:bad": not found, and the registry says that no such tag was ever pushed`
	st.stage("canary-m1", "Canary", s, stages.RunStatus{
		Step:    &stages.StepStatus{Index: 1, Total: 1},
		Waiting: &stages.Waiting{Reason: "UpdatingPods", For: "m1/dcb: 1 of 1 pods updated, 0 available", Since: at(5 * s), Until: atp(15 * m)},
		Members: []stages.MemberProgress{member("m1", unit("dca", 1, 1, 4, 1), sick)},
		Guards:  canaryGuards("m1", stages.VerdictPending, 40*s),
	})
	return st
}

func afterCanary(t *testing.T) *story {
	return newStory(t).started().released("m1").done("canary-m1", "Canary", s, 3*m+13*s, stages.RunStatus{
		Members: []stages.MemberProgress{member("m1", unit("dca", 1, 1, 4, 1), unit("dcb", 1, 1, 4, 1))},
		Guards:  canaryGuards("m1", stages.VerdictPass, 70*s),
	})
}

func question(task string, answers ...stages.Answer) *stages.Question {
	return &stages.Question{
		ID: task, Message: "go on?", Approvers: stages.Approvers{Groups: []string{"sre"}}, Required: 2, ForbidInitiator: true, Initiator: "alice",
		Answers: answers,
	}
}

func confirmWaiting(t *testing.T) *story {
	st := afterCanary(t)
	q := question("confirm-m1", stages.Answer{Approval: "productpage-v2-aaaaa", User: "bob", Decision: stages.Approve, Message: "graphs look fine", Time: at(4*m + 3*s)})
	q.Ignored = []string{"productpage-v2-bbbbb by alice: who started the release may not answer"}
	st.stage("confirm-m1", "Confirm", 3*m+14*s, stages.RunStatus{
		Question: q,
		Waiting: &stages.Waiting{
			Reason: "AwaitingApproval", For: "1 of 2 approvals: go on?", Since: at(3*m + 14*s), Until: atp(20 * m), Who: "anybody of sre, but not alice who started it",
			Command: "periplus confirm productpage-v2 -n shop --message '...'",
		},
	})
	return st
}

func confirmDone(t *testing.T) *story {
	st := afterCanary(t)
	yes := stages.Answer{Approval: "a", User: "bob", Decision: stages.Approve, Time: at(4 * m)}
	q := question("confirm-m1", yes)
	q.Required = 1
	return st.done("confirm-m1", "Confirm", 3*m+14*s, 4*m+s, stages.RunStatus{Question: q})
}

func twoQuestions(t *testing.T) *Model {
	st := confirmWaiting(t)
	q := question("confirm-m2")
	q.Message, q.ForbidInitiator, q.Required = "", false, 1
	q.Approvers = stages.Approvers{Users: []string{"carol", "dave"}, Groups: []string{"sre"}}
	spec := st.o.PipelineRun.Status.PipelineSpec
	spec.Tasks = append(spec.Tasks, pipelinev1.PipelineTask{
		Name: "confirm-m2", TaskRef: &pipelinev1.TaskRef{APIVersion: "stages.periplus.dev/v1alpha1", Kind: "Confirm", Name: "two"},
	})
	st.stage("confirm-m2", "Confirm", 4*m, stages.RunStatus{Question: q, Waiting: &stages.Waiting{Reason: "AwaitingApproval", Since: at(4 * m)}})
	return Build(st.o, Options{Now: began.Add(5 * m), Program: "kubectl periplus", Namespace: "-n shop", Flags: "--context hub"})
}

func groupWaiting(t *testing.T) *story {
	st := afterCanary(t)
	q := question("confirm-m1")
	q.ID, q.About, q.Required = "confirm-m1-group-3", "group 3 of 4 (batch 2: 2 in m1/dca, 2 in m1/dcb)", 1
	st.stage("confirm-m1", "BetaBatch", 3*m+14*s, stages.RunStatus{
		Question: q, Members: []stages.MemberProgress{member("m1", unit("dca", 2, 2, 4, 2), unit("dcb", 2, 2, 4, 2))},
		Step: &stages.StepStatus{Index: 2, Total: 4, What: "batch 1: 1 in m1/dca, 1 in m1/dcb"},
		Waiting: &stages.Waiting{
			Reason: "AwaitingApproval", For: "0 of 1 approvals: " + q.About + ": go on?", Since: at(3*m + 14*s), Until: atp(20 * m), Who: "anybody of sre, but not alice who started it",
			Command: "periplus confirm productpage-v2 -n shop --message '...'",
		},
	})
	return st
}

func firstMemberDone(t *testing.T) *story {
	full := []stages.MemberProgress{member("m1", unit("dca", 4, 4, 4, 4), unit("dcb", 4, 4, 4, 4))}
	return confirmDone(t).released("m1", "m2").
		done("bump-m1", "PartitionBump", 4*m+2*s, 6*m, stages.RunStatus{Members: full}).
		done("hop-m2", "ClusterHop", 6*m+s, 6*m+31*s, stages.RunStatus{})
}

func guardFailed(t *testing.T) *story {
	st := firstMemberDone(t)
	run := st.stage("canary-m2", "Canary", 6*m+32*s, stages.RunStatus{
		Members: []stages.MemberProgress{member("m2", unit("dca", 1, 1, 4, 1), unit("dcb", 1, 1, 4, 1))},
		Guards: []stages.GuardStatus{
			{Name: "canaries-ready", Member: "m2", When: stages.After, Verdict: stages.VerdictPending, Since: atp(7 * m), Value: "updated.size()=2, ready=2"},
			{Name: "errors", Member: "m2", When: stages.During, Verdict: stages.VerdictFail, Since: atp(8 * m), Value: "errors=0.31, base=0.02", Message: "false in 1 of 1 samples: metrics.errors <= 1.1 * metrics.base + 0.01"},
			{Name: "latency", Member: "m2", When: stages.During, Verdict: stages.VerdictFail, Since: atp(8 * m), Value: "p99=1.2", DryRun: true},
		},
	})
	end(run, 8*m, corev1.ConditionFalse, "GuardFailed", "guard errors: on m2 errors=0.31, base=0.02: metrics.errors <= 1.1 * metrics.base + 0.01 is false")
	st.o.PipelineRun.Status.SkippedTasks = []pipelinev1.SkippedTask{{Name: "bump-m2", Reason: pipelinev1.StoppingSkip}}
	return st
}

// canaryMeasured runs a canary under guards with one metric, with two, and with one that says nothing.
func canaryMeasured(t *testing.T) *story {
	st := newStory(t).started().released("m1")
	st.stage("canary-m1", "Canary", s, stages.RunStatus{
		Members: []stages.MemberProgress{member("m1", unit("dca", 1, 1, 4, 1), unit("dcb", 1, 1, 4, 1))},
		Guards: []stages.GuardStatus{
			{Name: "canaries-ready", Member: "m1", When: stages.After, Verdict: stages.VerdictPass, Since: atp(m), Value: "updated.size() = 2, want = 2"},
			{Name: "errors", Member: "m1", When: stages.During, Verdict: stages.VerdictPending, Since: atp(m), Value: "metrics.errors = 0.05, baseline.errors * 2.0 = 0.02",
				Message: "false; 1 false samples counted, it fails at 3", Metrics: []stages.MetricStatus{
					{Name: "errors", Source: "prom", Query: "sum(rate(errors[1m]))", Value: "0.05", Baseline: "0.01", Recent: []string{"0.01", "0.012", "-", "0.011", "0.05"}},
				}},
			{Name: "latency", Member: "m1", When: stages.During, Verdict: stages.VerdictPass, Since: atp(m), Value: "metrics.p99 = 0.2, metrics.p50 * 5.0 = 0.25", Metrics: []stages.MetricStatus{
				{Name: "p50", Source: "prom", Value: "0.05", Recent: []string{"0.05", "0.05"}}, {Name: "p99", Source: "prom", Value: "0.2", Recent: []string{"0.15", "0.2"}},
			}},
			{Name: "saturation", Member: "m1", When: stages.During, Verdict: stages.VerdictInconclusive, Since: atp(m), Message: "metric load has no data: source prom returned nothing",
				Metrics: []stages.MetricStatus{{Name: "load", Source: "prom", Message: "no data", Recent: []string{"-", "-"}}}},
		},
	})
	return st
}

func manyMembers(t *testing.T) *story {
	st := newStory(t).started().released("m1", "m2", "m3", "m4", "m5")
	status := stages.RunStatus{
		Waiting: &stages.Waiting{Reason: "UpdatingPods", For: "m4/dcb: 3 of 4 pods updated, 2 available; m5/dca: 0 of 4 pods updated, 0 available", Since: at(m), Until: atp(59 * m)},
		Step:    &stages.StepStatus{Index: 2, Total: 3},
	}
	for _, name := range []string{"m1", "m2", "m3", "m4", "m5"} {
		status.Members = append(status.Members, member(name, unit("dca", 4, 4, 4, 4), unit("dcb", 4, 4, 4, 4)))
		status.Guards = append(status.Guards, canaryGuards(name, stages.VerdictPass, 2*m)...)
	}
	status.Members[3].Units[1] = unit("dcb", 3, 2, 3, 4)
	status.Members[4].Units[0] = unit("dca", 0, 0, 4, 4)
	status.Guards[6].Verdict, status.Guards[6].Message = stages.VerdictPending, "3 of 4 new pods are ready"
	st.stage("canary-m1", "BetaBatch", s, status)
	return st
}

func allDone(t *testing.T) *story {
	st := firstMemberDone(t).
		done("canary-m2", "Canary", 6*m+32*s, 7*m+40*s, stages.RunStatus{Guards: canaryGuards("m2", stages.VerdictPass, 7*m)}).
		done("bump-m2", "PartitionBump", 7*m+41*s, 9*m+11*s, stages.RunStatus{
			Members: []stages.MemberProgress{member("m2", unit("dca", 4, 4, 4, 4), unit("dcb", 4, 4, 4, 4))},
		})
	st.o.PipelineRun.Status.SkippedTasks = []pipelinev1.SkippedTask{{Name: "rollback", Reason: pipelinev1.WhenExpressionsSkip}}
	return st
}

func TestEachSituationGivesItsScreen(t *testing.T) {
	for _, tc := range situations {
		t.Run(tc.name, func(t *testing.T) {
			got := Render(tc.tell(t), tc.look)
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
			for _, l := range strings.Split(got, "\n") {
				if w := columns(stripColour(l)); tc.look.Width > 0 && w > tc.look.Width {
					t.Errorf("a line has %d columns, more than %d: %q", w, tc.look.Width, l)
				}
				if tc.look.ASCII && strings.ContainsFunc(l, func(r rune) bool { return r > 126 }) {
					t.Errorf("not ASCII: %q", l)
				}
			}
			if n := strings.Count(got, "\n"); tc.look.Height > 0 && n > tc.look.Height {
				t.Errorf("%d lines do not fit into %d", n, tc.look.Height)
			}
		})
	}
}

func stripColour(l string) string {
	for {
		from := strings.IndexByte(l, 0x1b)
		if from < 0 {
			return l
		}
		l = l[:from] + l[from+strings.IndexByte(l[from:], 'm')+1:]
	}
}
