package stage_test

import (
	"strings"
	"testing"
	"time"

	"github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/tasks/canary"
	"github.com/periplus-dev/periplus/tasks/confirm"
	"github.com/periplus-dev/periplus/tasks/partitionbump"
	"github.com/periplus-dev/periplus/tasks/rollback"
	"github.com/periplus-dev/periplus/tasks/soak"
)

// intervene is what admission lets through of a person's hand in a release.
func (s *sea) intervene(run types.UID, action v1alpha1.Action, stage *v1alpha1.RunRef) {
	s.t.Helper()
	s.clock.Step(time.Second)
	i := &v1alpha1.Intervention{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: strings.ToLower(string(action)) + s.clock.Now().Format("150405"),
			UID: types.UID("hand-" + s.clock.Now().Format("150405")), CreationTimestamp: metav1.NewTime(s.clock.Now())},
		Spec: v1alpha1.InterventionSpec{RunRef: v1alpha1.RootRef{Kind: "PipelineRun", Name: "web-1", UID: run}, Action: action, StageRef: stage,
			Message: "the phones ring", User: "fay"},
	}
	if err := s.hands.Add(i); err != nil {
		s.t.Fatal(err)
	}
}

// voyageUnderWay is a bump of eight pods, the Target letting two be unavailable, with some on the new revision.
func voyageUnderWay(t *testing.T) (*sea, *voyage, *ship, types.UID) {
	t.Helper()
	s := newSea(t, "m1")
	dca := s.ships.launch("m1", "dca", 8)
	pr := s.pipelineRun("web-1", "bump")
	v := s.sail(partitionbump.Task{}, pr, "bump", bumpIn("web", "m1"), func(cr *v1beta1.CustomRun) { cr.Spec.Retries = 2 })
	v.until("UpdatingPods")
	for dca.updated() < 3 {
		s.ships.turn()
	}
	return s, v, dca, pr.UID
}

func TestAPauseStopsAtTheNextSafePointAndAResumeGoesOn(t *testing.T) {
	s, v, dca, run := voyageUnderWay(t)
	s.intervene(run, v1alpha1.ActionPause, nil)
	v.until("Paused")
	at := dca.updated()
	for range 30 {
		v.pass()
		s.ships.turn()
		s.clock.Step(time.Minute)
	}
	if dca.updated() > at || dca.available() != 8 {
		t.Errorf("%d pods were updated when it was paused, %d later, %d available: those under way get there and no other starts", at, dca.updated(), dca.available())
	}
	if m := message(v); !strings.Contains(m, "paused by fay") || !strings.Contains(m, "the phones ring") || !strings.Contains(m, "m1/dca 3/8 updated") {
		t.Errorf("the message says not who, why and where it stands: %s", m)
	}
	if c := v.status().Waiting.Command; c != "periplus resume web-1 -n shop" {
		t.Errorf("the command that unblocks it is %q", c)
	}
	s.intervene(run, v1alpha1.ActionResume, nil)
	v.until("Succeeded")
	if dca.updated() != 8 {
		t.Errorf("%d of 8 pods updated", dca.updated())
	}
}

func TestAPauseBeforeTheFirstMoveTouchesNothing(t *testing.T) {
	s := newSea(t, "m1")
	s.ships.launch("m1", "dca", 8)
	pr := s.pipelineRun("web-1", "canary")
	s.intervene(pr.UID, v1alpha1.ActionPause, nil)
	v := s.sail(canary.Task{}, pr, "canary", oneCanary)
	v.until("Paused")
	if len(s.log.all()) != 0 || !strings.Contains(message(v), "nothing was moved") {
		t.Errorf("writes %v; %s", s.log.all(), message(v))
	}
}

func TestAFreezeStopsEveryStageInItsScopeAndNoOther(t *testing.T) {
	for name, tc := range map[string]struct {
		spec   v1alpha1.FreezeSpec
		frozen bool
	}{
		"of everything":            {v1alpha1.FreezeSpec{}, true},
		"of its member":            {v1alpha1.FreezeSpec{Members: []string{"m1"}}, true},
		"of another member":        {v1alpha1.FreezeSpec{Members: []string{"m2"}}, false},
		"of another namespace":     {v1alpha1.FreezeSpec{Namespaces: []string{"bank"}}, false},
		"that was lifted":          {v1alpha1.FreezeSpec{Lifted: &v1alpha1.Lifting{Message: "over"}}, false},
		"of its namespace":         {v1alpha1.FreezeSpec{Namespaces: []string{"shop"}}, true},
		"of its member, elsewhere": {v1alpha1.FreezeSpec{Members: []string{"m1"}, Namespaces: []string{"bank"}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			s, v, dca, _ := voyageUnderWay(t)
			tc.spec.Message, tc.spec.User = "sale", "gus"
			if err := s.freezes.Add(&v1alpha1.Freeze{ObjectMeta: metav1.ObjectMeta{Name: "f", CreationTimestamp: metav1.NewTime(s.clock.Now())}, Spec: tc.spec}); err != nil {
				t.Fatal(err)
			}
			v.until("Frozen", "Succeeded")
			if frozen := !v.run().IsSuccessful(); frozen != tc.frozen {
				t.Fatalf("frozen: %v", frozen)
			}
			if !tc.frozen {
				return
			}
			at := dca.updated()
			for range 20 {
				v.pass()
				s.ships.turn()
			}
			if dca.updated() != at || !strings.Contains(message(v), "gus: sale") {
				t.Errorf("%d pods, then %d; %s", at, dca.updated(), message(v))
			}
		})
	}
}

func TestAFreezeStopsARollbackUnlessItSaysOtherwise(t *testing.T) {
	for _, allow := range []bool{false, true} {
		s, pr, _, second := underWay(t)
		f := &v1alpha1.Freeze{ObjectMeta: metav1.ObjectMeta{Name: "f"}, Spec: v1alpha1.FreezeSpec{Message: "sale", User: "gus"}}
		if allow {
			f.Spec.Rollbacks = v1alpha1.RollbacksAllow
		}
		if err := s.freezes.Add(f); err != nil {
			t.Fatal(err)
		}
		v := s.sail(rollback.Task{}, pr, "back", `{}`)
		v.until("Frozen", "Succeeded")
		if back := onRevision(second, "rev-v1") == 8; back != allow {
			t.Errorf("allowed: %v; back: %v", allow, back)
		}
	}
}

func TestTimeInWhichAStageStoodStillIsNoneOfAGuards(t *testing.T) {
	s := newSea(t, "m1")
	s.ships.launch("m1", "dca", 8)
	pr := s.pipelineRun("web-1", "canary")
	v := s.sail(canary.Task{}, pr, "canary", `{"target":"web","members":["m1"],"pods":1,"change":{"images":{"app":"shop/web:v2"}},
		"guards":[{"name":"calm","for":"30s","deadline":"1m","interval":"5s","expr":"updated.all(p, p.ready)"}]}`)
	v.until("GuardsPending")
	s.intervene(pr.UID, v1alpha1.ActionPause, nil)
	v.until("Paused")
	for range 5 {
		s.clock.Step(time.Minute)
		v.pass()
	}
	s.intervene(pr.UID, v1alpha1.ActionResume, nil)
	if cr := v.until("Succeeded", "GuardFailed"); !cr.IsSuccessful() {
		t.Errorf("after the pause: %+v", cr.Status.Conditions)
	}
}

func TestAnAbortEndsTheStageAtOnceWhateverRetriesAreLeft(t *testing.T) {
	for _, action := range []v1alpha1.Action{v1alpha1.ActionAbort, v1alpha1.ActionRollback} {
		s, v, dca, run := voyageUnderWay(t)
		s.intervene(run, action, nil)
		cr := v.end()
		if !cr.IsFailure() || len(cr.Status.RetriesStatus) != 0 || !strings.Contains(message(v), "aborted by fay") || v.result("revision") != "rev-v2" {
			t.Errorf("%s: ended as %+v after %d attempts", action, cr.Status.Conditions, len(cr.Status.RetriesStatus))
		}
		at := dca.updated()
		for range 20 {
			s.ships.turn()
		}
		if dca.updated() != at {
			t.Errorf("pods went on after the %s", action)
		}
	}
}

func TestASkipEndsOneStageAsIfItHadSucceededWhereItStands(t *testing.T) {
	s, v, dca, run := voyageUnderWay(t)
	s.intervene(run, v1alpha1.ActionSkip, &v1alpha1.RunRef{Name: "bump", UID: "another"})
	v.pass()
	if v.run().Status.CompletionTime != nil {
		t.Fatal("a skip of another run of the name counted")
	}
	s.intervene(run, v1alpha1.ActionSkip, &v1alpha1.RunRef{Name: "bump", UID: v.run().UID})
	cr := v.end()
	if !cr.IsSuccessful() || !strings.Contains(message(v), "skipped by fay") || v.result("revision") != "rev-v2" {
		t.Errorf("ended as %+v", cr.Status)
	}
	at := dca.updated()
	for range 20 {
		s.ships.turn()
	}
	if dca.updated() != at {
		t.Errorf("pods went on after the skip")
	}
	pr := s.pipelineRun("web-2", "soak", "ask")
	rest := s.sail(soak.Task{}, pr, "soak", `{"duration":"1h"}`)
	rest.pass()
	s.intervene(pr.UID, v1alpha1.ActionSkip, &v1alpha1.RunRef{Name: "soak", UID: rest.run().UID})
	if !rest.end().IsSuccessful() {
		t.Errorf("a soak was not skipped: %s", message(rest))
	}
}

func TestAConfirmIsNotSkipped(t *testing.T) {
	s := newSea(t)
	pr := s.pipelineRun("web-1", "ask")
	v := s.sail(confirm.Task{}, pr, "ask", `{"approvers":{"groups":["sre"]}}`)
	v.until("AwaitingApproval")
	s.intervene(pr.UID, v1alpha1.ActionSkip, &v1alpha1.RunRef{Name: "ask", UID: v.run().UID})
	v.pass()
	if cr := v.run(); cr.Status.CompletionTime != nil {
		t.Errorf("a Confirm was skipped: %+v", cr.Status.Conditions)
	}
}

func TestInterventionsOfOtherRunsSayNothing(t *testing.T) {
	s, v, _, _ := voyageUnderWay(t)
	s.intervene("another-run", v1alpha1.ActionPause, nil)
	s.intervene("another-run", v1alpha1.ActionAbort, nil)
	if cr := v.until("Succeeded", "Paused", "Aborted"); !cr.IsSuccessful() {
		t.Errorf("%+v", cr.Status.Conditions)
	}
}
