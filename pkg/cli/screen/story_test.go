package screen

import (
	"encoding/json"
	"strconv"
	"testing"
	"time"

	"github.com/tektoncd/pipeline/pkg/apis/pipeline"
	pipelinev1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	pipelinev1beta1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"knative.dev/pkg/apis"

	stages "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

// began is when the release of every story begins.
var began = time.Date(2026, 11, 21, 12, 10, 0, 0, time.UTC)

// at is a time in the story.
func at(after time.Duration) metav1.Time { return metav1.NewTime(began.Add(after)) }

func atp(after time.Duration) *metav1.Time { t := at(after); return &t }

// story is a release of productpage over two members, told by what happened.
type story struct {
	t *testing.T
	o Objects
}

func newStory(t *testing.T) *story {
	t.Helper()
	ours := func(name, kind string, after ...string) pipelinev1.PipelineTask {
		return pipelinev1.PipelineTask{
			Name: name, RunAfter: after,
			TaskRef: &pipelinev1.TaskRef{APIVersion: "stages.periplus.dev/v1alpha1", Kind: pipelinev1.TaskKind(kind), Name: "careful"},
		}
	}
	// The tasks stand in another order than they run in.
	spec := &pipelinev1.PipelineSpec{
		Tasks: []pipelinev1.PipelineTask{
			ours("canary-m1", "Canary"), ours("confirm-m1", "Confirm", "canary-m1"),
			ours("canary-m2", "Canary", "hop-m2"), ours("bump-m2", "PartitionBump", "canary-m2"),
			ours("bump-m1", "PartitionBump", "confirm-m1"), ours("hop-m2", "ClusterHop", "bump-m1"),
		},
		Finally: []pipelinev1.PipelineTask{ours("rollback", "Rollback")},
	}
	pr := &pipelinev1.PipelineRun{
		ObjectMeta: metav1.ObjectMeta{
			Name: "productpage-v2", Namespace: "shop", UID: "pr-uid", CreationTimestamp: at(0),
			Annotations: map[string]string{stages.AnnotationInitiator: "alice"},
		},
		Spec: pipelinev1.PipelineRunSpec{PipelineSpec: spec},
	}
	return &story{t: t, o: Objects{PipelineRun: pr}}
}

// started is the moment Tekton takes the run up.
func (s *story) started() *story {
	st := &s.o.PipelineRun.Status
	st.StartTime = atp(0)
	st.PipelineSpec = s.o.PipelineRun.Spec.PipelineSpec
	s.condition(corev1.ConditionUnknown, "Running", "")
	return s
}

func (s *story) condition(status corev1.ConditionStatus, reason, message string) {
	s.o.PipelineRun.Status.SetCondition(&apis.Condition{Type: apis.ConditionSucceeded, Status: status, Reason: reason, Message: message})
}

func (s *story) ended(after time.Duration, status corev1.ConditionStatus, reason, message string) *story {
	s.o.PipelineRun.Status.CompletionTime = atp(after)
	s.condition(status, reason, message)
	return s
}

// stage adds the CustomRun of a task.
func (s *story) stage(task, kind string, start time.Duration, status stages.RunStatus) *pipelinev1beta1.CustomRun {
	s.t.Helper()
	run := customRun(s.t, s.o.PipelineRun.Name, task, kind, start, status)
	s.o.CustomRuns = append(s.o.CustomRuns, run)
	return run
}

func customRun(t *testing.T, root, task, kind string, start time.Duration, status stages.RunStatus) *pipelinev1beta1.CustomRun {
	t.Helper()
	if status.Attempt == 0 {
		status.Attempt = 1
	}
	raw, err := json.Marshal(status)
	if err != nil {
		t.Fatal(err)
	}
	run := &pipelinev1beta1.CustomRun{
		ObjectMeta: metav1.ObjectMeta{
			Name: root + "-" + task, Namespace: "shop", UID: types.UID("uid-" + task), CreationTimestamp: at(start),
			Labels:          map[string]string{pipeline.PipelineRunLabelKey: root, pipeline.PipelineTaskLabelKey: task},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "tekton.dev/v1", Kind: "PipelineRun", Name: root, UID: "pr-uid"}},
		},
		Spec: pipelinev1beta1.CustomRunSpec{CustomRef: &pipelinev1beta1.TaskRef{APIVersion: "stages.periplus.dev/v1alpha1", Kind: pipelinev1beta1.TaskKind(kind), Name: "careful"}},
	}
	run.Status.StartTime = atp(start)
	run.Status.ExtraFields = runtime.RawExtension{Raw: raw}
	runCondition(run, corev1.ConditionUnknown, "Running", "")
	return run
}

func runCondition(run *pipelinev1beta1.CustomRun, status corev1.ConditionStatus, reason, message string) {
	run.Status.SetCondition(&apis.Condition{Type: apis.ConditionSucceeded, Status: status, Reason: reason, Message: message})
}

func end(run *pipelinev1beta1.CustomRun, after time.Duration, status corev1.ConditionStatus, reason, message string) {
	run.Status.CompletionTime = atp(after)
	runCondition(run, status, reason, message)
}

func (s *story) done(task, kind string, start, finish time.Duration, status stages.RunStatus) *story {
	s.t.Helper()
	end(s.stage(task, kind, start, status), finish, corev1.ConditionTrue, "Succeeded", "")
	return s
}

// released is the record, with what was touched in m1.
func (s *story) released(members ...string) *story {
	r := &stages.Release{ObjectMeta: metav1.ObjectMeta{Name: "productpage-v2-8xk2p", Namespace: "shop"}}
	r.Spec = stages.ReleaseSpec{Root: stages.RootRef{Kind: "PipelineRun", Name: "productpage-v2", UID: "pr-uid"}, Initiator: "alice"}
	r.Status.Phase = stages.ReleaseRunning
	for _, m := range members {
		for _, u := range []string{"dca", "dcb"} {
			w := "productpage-" + u
			r.Status.Touched = append(r.Status.Touched, stages.Touched{
				Member: m, Kind: "InPlaceSet", Workload: w, Unit: u, Time: at(3 * time.Second), Revision: w + "-84fb96d4c7",
				Previous: stages.Previous{Revision: w + "-6c7d5f9b8d"},
			})
			r.Status.Moves = append(r.Status.Moves, stages.Move{
				Member: m, Workload: w, Run: "productpage-v2-canary-" + m, What: "1 of 4 updated (step 1 of 1)", Time: at(5 * time.Second),
			})
		}
	}
	s.o.Release = r
	return s
}

func (s *story) model(now time.Duration) *Model {
	return Build(s.o, Options{Now: began.Add(now)})
}

// unit of four pods.
func unit(name string, updated, available, ready, want int32) stages.UnitProgress {
	return stages.UnitProgress{
		Unit: name, Workload: "productpage-" + name, Replicas: 4, Updated: updated, UpdatedReady: available, UpdatedAvailable: available,
		Ready: ready, Available: ready, Want: want, Partition: strconv.Itoa(int(4 - want)),
	}
}

func member(name string, units ...stages.UnitProgress) stages.MemberProgress {
	return stages.MemberProgress{Name: name, Reachable: true, Units: units}
}

func canaryGuards(member string, verdict stages.Verdict, since time.Duration) []stages.GuardStatus {
	return []stages.GuardStatus{
		{Name: "canaries-ready", Member: member, When: stages.After, Verdict: verdict, Since: atp(since), Value: "updated.size()=2, ready=2"},
		{Name: "no-restarts", Member: member, When: stages.During, Verdict: stages.VerdictPass, Since: atp(since), Value: "0"},
	}
}
