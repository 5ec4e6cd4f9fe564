package stage_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"knative.dev/pkg/apis"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/stage"
	"github.com/periplus-dev/periplus/pkg/workload"
	"github.com/periplus-dev/periplus/tasks/betabatch"
	"github.com/periplus-dev/periplus/tasks/canary"
	"github.com/periplus-dev/periplus/tasks/check"
	"github.com/periplus-dev/periplus/tasks/clusterhop"
	"github.com/periplus-dev/periplus/tasks/confirm"
	"github.com/periplus-dev/periplus/tasks/partitionbump"
	"github.com/periplus-dev/periplus/tasks/soak"
	"github.com/periplus-dev/periplus/tasks/window"
)

func percent(s string) *intstr.IntOrString {
	v := intstr.FromString(s)
	return &v
}

func conflictEvery(n *int, every int, _ *ship) func(*workload.Unit, workload.Write) error {
	return func(u *workload.Unit, _ workload.Write) error {
		*n++
		if *n%every == 0 {
			return apierrors.NewConflict(schema.GroupResource{Resource: "inplacesets"}, u.Workload, errBoom)
		}
		return nil
	}
}

// Trap 1: knative resets conditions when the generation changes, and a cancel patches finished runs too.
func TestAFinishedRunKeepsItsConditionWhateverIsDoneToIt(t *testing.T) {
	s := newSea(t, "m1")
	s.ships.launch("m1", "dca", 4)
	v := s.sail(canary.Task{}, s.pipelineRun("web-1", "canary"), "canary", oneCanary)
	v.until("Succeeded")
	before := len(s.log.all())
	v.edit(func(cr *v1beta1.CustomRun) {
		cr.Generation++
		cr.Spec.Status = v1beta1.CustomRunSpecStatusCancelled
		cr.Status.Conditions[0].Status, cr.Status.Conditions[0].Reason = "Unknown", "NewObservedGenFailure"
	})
	v.pass()
	if cr := v.run(); !cr.IsSuccessful() || cr.Status.GetCondition(apis.ConditionSucceeded).Reason != "Succeeded" {
		t.Errorf("a finished run reads %+v", cr.Status.Conditions)
	}
	if len(s.log.all()) != before {
		t.Error("a finished run moved something")
	}
}

// Trap 3: a result that is missing anywhere turns the whole PipelineRun into a validation failure.
func TestEveryDeclaredResultIsEmittedWhenTheSpecIsWrong(t *testing.T) {
	for _, task := range []stage.Task{betabatch.Task{}, canary.Task{}, confirm.Task{}, partitionbump.Task{}, clusterhop.Task{}, soak.Task{}, window.Task{}, check.Task{}} {
		t.Run(task.Kind(), func(t *testing.T) {
			s := newSea(t, "m1")
			v := s.sail(task, s.pipelineRun("web-1", "x"), "x", `{"nonsense": true}`)
			cr := v.until("InvalidSpec")
			if !cr.IsFailure() {
				t.Fatalf("not failed: %+v", cr.Status.Conditions)
			}
			have := map[string]bool{}
			for _, r := range cr.Status.Results {
				have[r.Name] = true
			}
			for name := range task.Results() {
				if !have[name] {
					t.Errorf("result %s is missing: %v", name, cr.Status.Results)
				}
			}
		})
	}
}

// Trap 7: on promotion knative hands over all CustomRuns there are.
func TestRunsOfOtherKindsAndGroupsAreNeverTouched(t *testing.T) {
	for name, change := range map[string]func(*v1beta1.CustomRun){
		"another group's Canary": func(cr *v1beta1.CustomRun) { cr.Spec.CustomSpec.APIVersion = "example.dev/v1" },
		"another kind of ours":   func(cr *v1beta1.CustomRun) { cr.Spec.CustomSpec.Kind = "Confirm" },
		"a reference to another": func(cr *v1beta1.CustomRun) {
			cr.Spec.CustomSpec, cr.Spec.CustomRef = nil, &v1beta1.TaskRef{APIVersion: "example.dev/v1", Kind: "Canary", Name: "x"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSea(t, "m1")
			v := s.sail(canary.Task{}, s.pipelineRun("web-1", "x"), "x", oneCanary, change)
			v.pass()
			cr := v.run()
			if cr.Status.StartTime != nil || len(cr.Status.Conditions) != 0 {
				t.Errorf("wrote %+v on somebody else's run", cr.Status)
			}
			if err := v.rec.FinalizeKind(context.Background(), cr); err != nil {
				t.Error(err)
			}
		})
	}
}

// Trap 7, the other way: others may have set conditions on ours before we saw it.
func TestARunWhoseConditionSomebodyElseSetIsStartedAllTheSame(t *testing.T) {
	s := newSea(t, "m1")
	s.ships.launch("m1", "dca", 4)
	v := s.sail(canary.Task{}, s.pipelineRun("web-1", "canary"), "canary", oneCanary, func(cr *v1beta1.CustomRun) {
		cr.Status.Conditions = []apis.Condition{{Type: apis.ConditionSucceeded, Status: "Unknown"}}
	})
	v.until("Succeeded")
}

// Trap 5: a run that is deleted in the middle comes back under the same name with another UID, and answers to the old one do not count.
func TestAnAnswerToTheRunBeforeDoesNotCountForTheOneThatTookItsName(t *testing.T) {
	s := newSea(t)
	pr := s.pipelineRun("web-1", "ask")
	v := s.sail(confirm.Task{}, pr, "ask", `{"approvers":{"groups":["sre"]}}`)
	v.until("AwaitingApproval")
	s.answer("old", v1alpha1.ApprovalSpec{RunRef: v1alpha1.RunRef{Name: "ask", UID: "another-uid"}, Question: "ask", Decision: v1alpha1.Approve, User: "bob", Groups: []string{"sre"}})
	v.pass()
	if cr := v.run(); cr.Status.CompletionTime != nil {
		t.Fatalf("an answer to another run counted: %+v", cr.Status.Conditions)
	}
}

func TestARunThatIsDeletedIsHeldBackFirstAndOneThatNeverBeganIsJustLetGo(t *testing.T) {
	s := newSea(t, "m1")
	dca := s.ships.launch("m1", "dca", 8)
	pr := s.pipelineRun("web-1", "bump", "young")
	deleted := func(v *voyage) *v1beta1.CustomRun {
		cr := v.run()
		now := metav1.NewTime(s.clock.Now())
		cr.DeletionTimestamp = &now
		return cr
	}
	young := s.sail(partitionbump.Task{}, pr, "young", `{}`)
	if err := young.rec.FinalizeKind(context.Background(), deleted(young)); err != nil {
		t.Errorf("a run that never began is not let go: %v", err)
	}
	v := s.sail(partitionbump.Task{}, pr, "bump", `{"target":"web","members":["m1"],"change":{"images":{"app":"shop/web:v2"}},"order":["dca"]}`)
	v.until("UpdatingPods")
	for dca.updated() < 2 {
		s.ships.turn()
	}
	rel, err := s.periplus.StagesV1alpha1().Releases("shop").Get(context.Background(), v.status().Release, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.releases.Add(rel); err != nil {
		t.Fatal(err)
	}
	if err := v.rec.FinalizeKind(context.Background(), deleted(v)); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		s.ships.turn()
	}
	if dca.updated() > 3 {
		t.Errorf("%d pods updated after the run was deleted at 2", dca.updated())
	}
}

func TestOnlyOneConditionIsEverSet(t *testing.T) {
	s := newSea(t, "m1")
	s.ships.launch("m1", "dca", 4)
	v := s.sail(canary.Task{}, s.pipelineRun("web-1", "canary"), "canary", oneCanary)
	for range 30 {
		v.pass()
		if n := len(v.run().Status.Conditions); n > 1 {
			t.Fatalf("%d conditions: tkn and the dashboard read the first", n)
		}
		v.ships.turn()
		s.clock.Step(time.Second)
	}
}

func TestAStatusThatCannotBeReadStartsTheAttemptOverAndNeverSucceedsByItself(t *testing.T) {
	for name, raw := range map[string]string{
		"not JSON":                 `{"attempt":`,
		"of another shape":         `{"attempt":{},"guards":"x"}`,
		"with a wrong admitted":    `{"attempt":1,"admitted":{"kind":"Canary","spec":{"pods":"x"}}}`,
		"with another kind":        `{"attempt":1,"admitted":{"kind":"Confirm","spec":{}}}`,
		"with guards that are not": `{"attempt":1,"admitted":{"kind":"Canary","spec":{"target":"web","pods":1},"guards":[{"name":"x","expr":"(("}]}}`,
	} {
		t.Run(name, func(t *testing.T) {
			s := newSea(t, "m1")
			s.ships.launch("m1", "dca", 4)
			v := s.sail(canary.Task{}, s.pipelineRun("web-1", "canary"), "canary", oneCanary, func(cr *v1beta1.CustomRun) {
				now := metav1.NewTime(s.clock.Now())
				cr.Status.StartTime = &now
				cr.Status.ExtraFields = runtime.RawExtension{Raw: []byte(raw)}
			})
			v.pass()
			if v.run().IsSuccessful() {
				t.Fatal("succeeded out of a damaged status")
			}
			v.until("Succeeded")
			if !s.log.has("m1/dca: lock") {
				t.Error("succeeded without having taken the lock")
			}
		})
	}
}

func TestAnOldCacheIsNotActedOn(t *testing.T) {
	s := newSea(t, "m1")
	s.ships.launch("m1", "dca", 4)
	v := s.sail(canary.Task{}, s.pipelineRun("web-1", "canary"), "canary", oneCanary)
	v.edit(func(cr *v1beta1.CustomRun) { cr.ResourceVersion = "5" })
	old := v.run()
	s.tekton.PrependReactor("update", "customruns", countVersions())
	v.pass()
	if err := v.rec.ReconcileKind(context.Background(), old.DeepCopy()); err != nil {
		t.Fatalf("a version older than the last write was acted on: %v", err)
	}
	if len(s.log.all()) != 0 {
		t.Errorf("writes on an old cache: %v", s.log.all())
	}
}

func TestAnErrorThatStandsInTheWayIsShownAndEndsByItself(t *testing.T) {
	s := newSea(t, "m1")
	s.ships.launch("m1", "dca", 4)
	refuse := true
	s.ships.fail = func(*workload.Unit, workload.Write) error {
		if refuse {
			return apierrors.NewForbidden(schema.GroupResource{Resource: "inplacesets"}, "web-dca", errBoom)
		}
		return nil
	}
	v := s.sail(canary.Task{}, s.pipelineRun("web-1", "canary"), "canary", oneCanary)
	cr := v.until("WriteRefused")
	if msg := cr.Status.GetCondition(apis.ConditionSucceeded).Message; !strings.Contains(msg, "boom") {
		t.Errorf("the message hides what stands in the way: %s", msg)
	}
	refuse = false
	v.until("Succeeded")
}

func TestMistakesAreReportedTogetherWithTheirFields(t *testing.T) {
	s := newSea(t, "m1")
	s.ships.launch("m1", "dca", 4)
	for name, tc := range map[string]struct {
		spec string
		want []string
	}{
		"an unknown param": {`{"target":"web","members":["$(params.membr)"],"pods":1}`, []string{"spec.members[0]", "$(params.membr)", "no such param"}},
		"an unknown name":  {`{"target":"web","members":["m1"],"pods":"$(tasks.x.results.y)"}`, []string{"spec.pods", "$(tasks.x.results.y)"}},
		"an unknown field": {`{"target":"web","members":["m1"],"pods":1,"bakee":"1s"}`, []string{"bakee"}},
		"an unknown member, an unknown target and a bad count at once": {`{"target":"wbe","members":["m7"],"pods":0}`,
			[]string{"3 mistakes", "spec.target", "wbe", "spec.members[0]", "m7", "spec.pods"}},
		"names that can be no names":              {`{"target":"../x","members":["a b"],"pods":1,"guardSets":["A/b"]}`, []string{"spec.target", "spec.members[0]", "spec.guardSets[0]"}},
		"an expression that does not compile":     {`{"target":"web","members":["m1"],"pods":1,"guards":[{"name":"g","expr":"updated.all(p, p.redy)"}]}`, []string{"guards", "redy"}},
		"an expression of another type than bool": {`{"target":"web","members":["m1"],"pods":1,"guards":[{"name":"g","expr":"updated.size()"}]}`, []string{"guards", "bool"}},
		"an expression that costs too much": {`{"target":"web","members":["m1"],"pods":1,"guards":[{"name":"g","expr":"pods.all(a, pods.all(b, pods.all(c, a.name != b.name || b.name != c.name)))"}]}`,
			[]string{"guards", "cost", "limit"}},
		"more canaries than pods":                  {`{"target":"web","members":["m1"],"pods":9}`, []string{"spec.pods", "9", "only 4 pods"}},
		"a unit that is not there":                 {`{"target":"web","members":["m1"],"pods":1,"unit":"dcx"}`, []string{"spec.unit", "dcx", "dca"}},
		"a container that is not there":            {`{"target":"web","members":["m1"],"pods":1,"change":{"images":{"sidecar":"x:1"}}}`, []string{"spec.change.images", "sidecar", "app"}},
		"a patch that is none":                     {`{"target":"web","members":["m1"],"pods":1,"change":{"patch":{"spec":{"containers":{}}}}}`, []string{"spec.change.patch"}},
		"a patch of a field that does not exist":   {`{"target":"web","members":["m1"],"pods":1,"change":{"patch":{"spec":{"nodeSelektor":{"a":"b"}}}}}`, []string{"spec.change.patch", "nodeSelektor"}},
		"values for a member that is not acted in": {`{"target":"web","members":["m1"],"pods":1,"change":{"perMember":{"m9":{"images":{"app":"x:1"}}}}}`, []string{"perMember", "m9"}},
		"an interval under a second":               {`{"target":"web","members":["m1"],"pods":1,"guards":[{"name":"g","expr":"true","interval":"10ms"}]}`, []string{"spec.guards[0].interval"}},
		"a negative limit":                         {`{"target":"web","members":["m1"],"pods":1,"guards":[{"name":"g","expr":"true","limits":{"failures":-1}}]}`, []string{"spec.guards[0].limits.failures"}},
		"a spec that is too long":                  {`{"target":"web","members":["m1"],"pods":1,"guards":[{"name":"g","expr":"` + strings.Repeat("x", 1<<20) + `"}]}`, []string{"bytes long", "65536"}},
		"no change at all":                         {`{"target":"web","members":["m1"],"pods":1}`, []string{"spec.change is empty"}},
	} {
		t.Run(name, func(t *testing.T) {
			s.ships.log.entries = nil
			pr := s.pipelineRun("bad-"+short(name), "x-"+short(name))
			v := s.sail(canary.Task{}, pr, "x-"+short(name), tc.spec)
			v.until("InvalidSpec", "NothingToRelease")
			for range 5 {
				v.pass()
			}
			cr := v.run()
			msg := cr.Status.GetCondition(apis.ConditionSucceeded).Message
			for _, w := range tc.want {
				if !strings.Contains(msg, w) {
					t.Errorf("the message does not say %q: %s", w, msg)
				}
			}
			if strings.Contains(msg, "\n") {
				t.Errorf("the message has more than one line: %q", msg)
			}
			if !cr.IsFailure() {
				t.Errorf("not failed: %+v", cr.Status.Conditions)
			}
			for _, e := range s.log.all() {
				if strings.Contains(e, "partition") || strings.Contains(e, "template") {
					t.Errorf("moved something: %q", e)
				}
			}
			// Locks of a run that ended are let go of by the Release controller; here the next case needs the workload.
			for _, u := range s.ships.units {
				u.Lock = nil
				u.bump()
			}
		})
	}
}

func short(name string) string {
	var b strings.Builder
	for _, w := range strings.Fields(name) {
		b.WriteString(w[:1])
	}
	return strings.ToLower(strings.Trim(b.String(), "-")) + string(rune('a'+len(name)%26))
}

func (s *sea) answer(name string, spec v1alpha1.ApprovalSpec) {
	s.t.Helper()
	a := &v1alpha1.Approval{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "shop", CreationTimestamp: metav1.NewTime(s.clock.Now())}, Spec: spec}
	if err := s.answers.Add(a); err != nil {
		s.t.Fatal(err)
	}
}

func TestAConfirmCountsPeopleNotAnswers(t *testing.T) {
	yes := func(user string, groups ...string) v1alpha1.ApprovalSpec {
		return v1alpha1.ApprovalSpec{Decision: v1alpha1.Approve, User: user, Groups: groups}
	}
	no := func(user string, groups ...string) v1alpha1.ApprovalSpec {
		return v1alpha1.ApprovalSpec{Decision: v1alpha1.Reject, User: user, Groups: groups, Message: "smoke"}
	}
	const two = `{"approvers":{"groups":["sre"],"users":["dora"]},"required":2,"forbidInitiator":true}`
	for name, tc := range map[string]struct {
		answers []v1alpha1.ApprovalSpec
		want    string
		ignored string
	}{
		"one yes of two waits on":                            {[]v1alpha1.ApprovalSpec{yes("bob", "sre")}, "AwaitingApproval", ""},
		"two people said yes":                                {[]v1alpha1.ApprovalSpec{yes("bob", "sre"), yes("dora")}, "Succeeded", ""},
		"one person twice is one person":                     {[]v1alpha1.ApprovalSpec{yes("bob", "sre"), yes("bob", "sre")}, "AwaitingApproval", "has answered already"},
		"one no ends it":                                     {[]v1alpha1.ApprovalSpec{yes("bob", "sre"), no("carol", "sre")}, "Rejected", ""},
		"a no by somebody who may not answer counts nothing": {[]v1alpha1.ApprovalSpec{no("eve", "dev")}, "AwaitingApproval", "not among the approvers"},
		"who started it may not answer":                      {[]v1alpha1.ApprovalSpec{yes("alice", "sre"), yes("bob", "sre")}, "AwaitingApproval", "who started the release may not answer"},
		"somebody who may not answer does not count":         {[]v1alpha1.ApprovalSpec{yes("bob", "sre"), yes("eve", "dev")}, "AwaitingApproval", "not among the approvers"},
		"a yes then a no of the same person is a no":         {[]v1alpha1.ApprovalSpec{yes("bob", "sre"), no("bob", "sre")}, "Rejected", ""},
		"an answer to another question does not count":       {[]v1alpha1.ApprovalSpec{{Decision: v1alpha1.Approve, User: "bob", Groups: []string{"sre"}, Question: "other"}}, "AwaitingApproval", "asked is"},
		"an answer without a name does not count":            {[]v1alpha1.ApprovalSpec{yes("", "sre"), yes("", "sre")}, "AwaitingApproval", "who answers"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSea(t)
			v := s.sail(confirm.Task{}, s.pipelineRun("web-1", "ask"), "ask", two)
			v.until("AwaitingApproval")
			for i, a := range tc.answers {
				a.RunRef = v1alpha1.RunRef{Name: "ask", UID: types.UID("ask-uid")}
				if a.Question == "" {
					a.Question = v.status().Question.ID
				}
				s.clock.Step(time.Second)
				s.answer("a"+string(rune('0'+i)), a)
			}
			v.pass()
			v.pass()
			cr := v.run()
			if got := cr.Status.GetCondition(apis.ConditionSucceeded).Reason; got != tc.want {
				t.Fatalf("reason %s, want %s; question %+v", got, tc.want, v.status().Question)
			}
			if tc.want != "AwaitingApproval" && v.result("decision") == "" {
				t.Error("the decision is not a result")
			}
			if raw, _ := json.Marshal(v.status().Question.Ignored); tc.ignored != "" && !strings.Contains(string(raw), tc.ignored) {
				t.Errorf("ignored %s does not say %q", raw, tc.ignored)
			}
		})
	}
}

func TestAConfirmThatForbidsTheInitiatorRefusesWhereNobodyKnowsWhoThatIs(t *testing.T) {
	s := newSea(t)
	pr := s.pipelineRun("web-1")
	v := s.sail(confirm.Task{}, pr, "ask", `{"forbidInitiator":true}`)
	pr.UID = "another-run-of-that-name" // the run that the stage belongs to is gone
	v.until("InitiatorUnknown")
}

func TestARetriedConfirmAsksAnew(t *testing.T) {
	s := newSea(t)
	v := s.sail(confirm.Task{}, s.pipelineRun("web-1", "ask"), "ask", `{}`, func(cr *v1beta1.CustomRun) {
		cr.Spec.Retries, cr.Spec.Timeout = 1, &metav1.Duration{Duration: 5 * time.Second}
	})
	v.until("AwaitingApproval")
	first := v.status().Question.ID
	for range 20 {
		v.pass()
		s.clock.Step(time.Second)
		if v.status().Attempt == 2 && v.status().Question != nil {
			break
		}
	}
	if again := v.status().Question.ID; again == first {
		t.Fatalf("the second attempt asks the same question %q: an answer to the first would count for it", again)
	}
	s.answer("late", v1alpha1.ApprovalSpec{RunRef: v1alpha1.RunRef{Name: "ask", UID: "ask-uid"}, Question: first, Decision: v1alpha1.Approve, User: "bob"})
	v.pass()
	if v.run().Status.CompletionTime != nil && v.run().IsSuccessful() {
		t.Fatal("an answer to the first attempt counted for the second")
	}
}
