package stage_test

import (
	"strings"
	"testing"
	"time"

	pipelinev1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	"github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/tasks/canary"
	"github.com/periplus-dev/periplus/tasks/confirm"
	"github.com/periplus-dev/periplus/tasks/partitionbump"
	"github.com/periplus-dev/periplus/tasks/rollback"
)

// concluded is what the Release controller makes of a release whose run failed.
func (s *sea) concluded() {
	s.t.Helper()
	rel := s.record()
	rel.Status.Phase, rel.Status.Released = v1alpha1.ReleaseFailed, true
	if err := s.periplus.Tracker().Update(v1alpha1.SchemeGroupVersion.WithResource("releases"), rel, "shop"); err != nil {
		s.t.Fatal(err)
	}
	s.see()
	for _, u := range s.ships.units {
		u.Lock, u.Partition = nil, percent("100%")
		u.bump()
	}
	s.ships.turn()
}

// retry is a PipelineRun that retries another one.
func (s *sea) retryOf(old, name string, params ...pipelinev1.Param) *pipelinev1.PipelineRun {
	s.t.Helper()
	pr := s.pipelineRun(name)
	pr.Annotations[v1alpha1.AnnotationRetryOf] = old
	pr.Spec.Params = params
	pr.CreationTimestamp = metav1.NewTime(s.clock.Now())
	return pr
}

// named gives a stage of a retry the pipeline task's name of the first run.
func named(task string) func(*v1beta1.CustomRun) {
	return func(cr *v1beta1.CustomRun) { cr.Labels["tekton.dev/pipelineTask"] = task }
}

// halfWay is a release whose canary succeeded and whose bump was aborted in the middle.
func halfWay(t *testing.T) (*sea, *ship) {
	t.Helper()
	s := newSea(t, "m1")
	dca := s.ships.launch("m1", "dca", 8)
	pr := s.pipelineRun("web-1", "canary", "bump")
	s.sail(canary.Task{}, pr, "canary", oneCanary).until("Succeeded")
	v := s.sail(partitionbump.Task{}, pr, "bump", bumpIn("web", "m1"))
	v.until("UpdatingPods")
	for dca.updated() < 4 {
		s.ships.turn()
	}
	v.cancel()
	v.end()
	s.turns(func() bool { return dca.available() == 8 })
	s.concluded()
	s.clock.Step(time.Minute)
	return s, dca
}

func TestARetryGoesOnAtTheStageThatFailed(t *testing.T) {
	s, dca := halfWay(t)
	pr := s.retryOf("web-1", "web-2")
	before := len(s.log.all())
	first := s.sail(canary.Task{}, pr, "canary2", oneCanary, named("canary"))
	first.until("CarriedOver")
	if first.result("revision") != "rev-v2" || !strings.Contains(message(first), "done by canary at") {
		t.Errorf("%s; results %v", message(first), first.run().Status.Results)
	}
	if w := s.log.all()[before:]; len(w) > 0 && strings.HasPrefix(w[0], "m1/") {
		t.Errorf("what is carried over wrote %v", w)
	}
	second := s.sail(partitionbump.Task{}, pr, "bump2", bumpIn("web", "m1"), named("bump"))
	second.until("Succeeded")
	if dca.updated() != 8 {
		t.Errorf("%d of 8 pods updated", dca.updated())
	}
	rel := s.record()
	if len(rel.Status.Runs) != 2 || rel.Status.Runs[1].Name != "web-2" || rel.Status.Runs[1].Role != v1alpha1.RoleRetry || rel.Status.Phase != v1alpha1.ReleaseRunning {
		t.Errorf("the record does not know the retry: %+v", rel.Status.Runs)
	}
	if len(rel.Status.Touched) != 1 || rel.Status.Touched[0].Previous.Revision != "rev-v1" {
		t.Errorf("what was before the release is not what the record says: %+v", rel.Status.Touched)
	}
	if dca.Lock == nil || dca.Lock.Previous.Revision != "rev-v1" {
		t.Errorf("nor what the lock says: %+v", dca.Lock)
	}
}

// The caches of PipelineRuns and of Interventions lag each by itself.
func TestARetryIsNotEndedByWhatEndedTheRunBefore(t *testing.T) {
	s, dca := halfWay(t)
	s.intervene("web-1-uid-0000", v1alpha1.ActionPause, nil)
	s.intervene("web-1-uid-0000", v1alpha1.ActionAbort, nil)
	s.clock.Step(time.Second)
	pr := s.retryOf("web-1", "web-2") // of the Retry itself no cache knows yet.
	v := s.sail(partitionbump.Task{}, pr, "bump2", bumpIn("web", "m1"), named("bump"))
	v.until("UpdatingPods")
	s.intervene("web-1-uid-0000", v1alpha1.ActionAbort, nil)
	v.until("Aborted")
	if dca.updated() == 8 {
		t.Error("what is said after the retry was made does not reach it")
	}
}

func TestAConfirmThatWasAnsweredIsNotAskedAgainByARetry(t *testing.T) {
	const ask = `{"message":"on?"}`
	s := newSea(t, "m1")
	s.ships.launch("m1", "dca", 8)
	pr := s.pipelineRun("web-1", "early", "canary", "ask", "bump")
	early := s.sail(confirm.Task{}, pr, "early", ask)
	early.until("AwaitingApproval")
	early.approve("bob")
	early.until("Succeeded")
	s.sail(canary.Task{}, pr, "canary", oneCanary).until("Succeeded")
	s.see()
	v := s.sail(confirm.Task{}, pr, "ask", ask)
	v.until("AwaitingApproval")
	v.approve("bob")
	v.until("Succeeded")
	s.concluded()
	s.clock.Step(time.Minute)
	retry := s.retryOf("web-1", "web-2")
	again := s.sail(confirm.Task{}, retry, "ask2", ask, named("ask"))
	again.until("CarriedOver", "AwaitingApproval")
	if !again.run().IsSuccessful() || again.result("approvers") != `["bob"]` || again.result("decision") != "Approve" {
		t.Errorf("a question that was answered is at: %s; results %v", message(again), again.run().Status.Results)
	}
	// What was answered before anything was touched stands in no record.
	s.sail(confirm.Task{}, retry, "early2", ask, named("early")).until("AwaitingApproval")
}

func TestAStageThatIsToDoSomethingElseIsDoneAgain(t *testing.T) {
	s, _ := halfWay(t)
	v := s.sail(canary.Task{}, s.retryOf("web-1", "web-2"), "canary2", strings.Replace(oneCanary, `"bake":"5s"`, `"bake":"6s"`, 1), named("canary"))
	v.until("Baking", "CarriedOver")
	if v.run().IsSuccessful() {
		t.Error("a canary with another bake time was carried over")
	}
}

func TestARetryIsRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		prepare func(s *sea) *pipelinev1.PipelineRun
		says    string
	}{
		"of a run that carried no release": {func(s *sea) *pipelinev1.PipelineRun { return s.retryOf("nobody", "web-2") }, "no release was carried"},
		"with other params": {func(s *sea) *pipelinev1.PipelineRun {
			return s.retryOf("web-1", "web-2", pipelinev1.Param{Name: "image", Value: *pipelinev1.NewStructuredValues("v3")})
		}, "another pipeline or other params"},
		"of a release that succeeded": {func(s *sea) *pipelinev1.PipelineRun {
			s.phase(v1alpha1.ReleaseSucceeded)
			return s.retryOf("web-1", "web-2")
		}, "nothing to retry"},
		"of a release that was taken back": {func(s *sea) *pipelinev1.PipelineRun {
			s.phase(v1alpha1.ReleaseRolledBack)
			return s.retryOf("web-1", "web-2")
		}, "was taken back"},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := halfWay(t)
			pr := tc.prepare(s)
			before := len(s.log.all())
			v := s.sail(canary.Task{}, pr, "canary2", oneCanary, named("canary"))
			v.until("InvalidSpec")
			if m := message(v); !strings.Contains(m, tc.says) || !strings.Contains(m, v1alpha1.AnnotationRetryOf) {
				t.Errorf("it says %s", m)
			}
			for _, e := range s.log.all()[before:] {
				if strings.HasPrefix(e, "m1/") {
					t.Errorf("it wrote %s", e)
				}
			}
		})
	}
}

func (s *sea) phase(p v1alpha1.ReleasePhase) {
	s.t.Helper()
	rel := s.record()
	rel.Status.Phase = p
	if err := s.periplus.Tracker().Update(v1alpha1.SchemeGroupVersion.WithResource("releases"), rel, "shop"); err != nil {
		s.t.Fatal(err)
	}
	s.see()
}

func TestASecondRetryWaitsForTheFirst(t *testing.T) {
	s, dca := halfWay(t)
	s.sail(partitionbump.Task{}, s.retryOf("web-1", "web-2"), "bump2", bumpIn("web", "m1"), named("bump")).until("UpdatingPods", "Preparing")
	v := s.sail(partitionbump.Task{}, s.retryOf("web-1", "web-3"), "bump3", bumpIn("web", "m1"), named("bump"))
	v.until("Retrying")
	if !strings.Contains(message(v), "web-2") {
		t.Errorf("the message does not name the run that is at it: %s", message(v))
	}
	_ = dca
}

func TestARetryThatWaitsHearsACancelAndATimeout(t *testing.T) {
	for reason, end := range map[string]func(v *voyage){
		"CustomRunCancelled": func(v *voyage) { v.cancel() },
		"CustomRunTimedOut":  func(v *voyage) { v.clock.Step(2 * time.Hour) },
	} {
		s, _ := halfWay(t)
		s.sail(partitionbump.Task{}, s.retryOf("web-1", "web-2"), "bump2", bumpIn("web", "m1"), named("bump")).until("UpdatingPods", "Preparing")
		v := s.sail(partitionbump.Task{}, s.retryOf("web-1", "web-3"), "bump3", bumpIn("web", "m1"), named("bump"))
		v.until("Retrying")
		end(v)
		v.until(reason)
		if v.run().Status.CompletionTime == nil || v.result("partitions") != "[]" {
			t.Errorf("%s: %+v", reason, v.run().Status)
		}
	}
}

func TestTheRecordNamesTheFirstRunFirstThoughAHopsChildrenWereEnteredBefore(t *testing.T) {
	s, _ := halfWay(t)
	rel := s.record()
	rel.Status.Runs = []v1alpha1.ReleaseRun{{Kind: "PipelineRun", Name: "child", UID: "child", Role: v1alpha1.RoleChild}}
	if err := s.periplus.Tracker().Update(v1alpha1.SchemeGroupVersion.WithResource("releases"), rel, "shop"); err != nil {
		t.Fatal(err)
	}
	s.see()
	s.sail(partitionbump.Task{}, s.retryOf("web-1", "web-2"), "bump2", bumpIn("web", "m1"), named("bump")).until("UpdatingPods", "Preparing")
	roles := map[string]v1alpha1.RunRole{}
	for _, r := range s.record().Status.Runs {
		roles[r.Name] = r.Role
	}
	if roles["web-1"] != v1alpha1.RoleRoot || roles["web-2"] != v1alpha1.RoleRetry {
		t.Errorf("the record knows %v: who started the first run would be forgotten", roles)
	}
}

func TestAMemberThatWentBackIsCarriedOnAgainByARetry(t *testing.T) {
	s, dca := halfWay(t)
	s.sail(rollback.Task{}, s.pipelineRun("undo", "back"), "back", `{"scope":"Member","members":["m1"],"release":"`+s.record().Name+`"}`).until("Succeeded")
	if n := onRevision(dca, "rev-v1"); n != 8 {
		t.Fatalf("%d of 8 pods are back", n)
	}
	s.phase(v1alpha1.ReleaseFailed) // other members still carry it.
	s.clock.Step(time.Minute)
	pr := s.retryOf("web-1", "web-2")
	first := s.sail(canary.Task{}, pr, "canary2", oneCanary, named("canary"))
	first.until("Succeeded", "CarriedOver")
	if strings.Contains(message(first), "done by") {
		t.Error("a canary that was taken back was carried over")
	}
	s.see()
	s.sail(partitionbump.Task{}, pr, "bump2", bumpIn("web", "m1"), named("bump")).until("Succeeded")
	if n := onRevision(dca, "rev-v2"); n != 8 {
		t.Errorf("%d of 8 pods carry the release again", n)
	}
	if rel := s.record(); rel.Status.Touched[0].Back != nil {
		t.Error("the record still says that it is back")
	}
}
