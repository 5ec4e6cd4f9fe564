package stage_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	pipelinev1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	"github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/stage"
	"github.com/periplus-dev/periplus/tasks/canary"
	"github.com/periplus-dev/periplus/tasks/clusterhop"
	"github.com/periplus-dev/periplus/tasks/partitionbump"
)

const (
	devOnly = `{members: {names: [d1]}}`
	twoSRE  = `{members: {selector: {matchLabels: {ring: prod}}}, require: {confirms: [{approvers: {groups: [sre]}, required: 2, forbidInitiator: true}]}}`
)

func TestAStageActsOnlyInMembersGivenToItsNamespace(t *testing.T) {
	for name, tc := range map[string]struct {
		task     stage.Task
		spec     string
		params   map[string]string
		policies map[string]string
		want     []string
	}{
		"without any policy nothing is given": {task: canary.Task{}, spec: `{"target":"web","members":["d1"],"pods":1}`,
			want: []string{"spec.members[0]: Forbidden", `"d1"`, `"shop"`, "no ReleasePolicy", "periplus-platform"}},
		"another's member by name": {task: canary.Task{}, spec: `{"target":"web","members":["d1","p1"],"pods":1}`, policies: map[string]string{"dev": devOnly},
			want: []string{"spec.members[1]: Forbidden", `"p1"`, `"shop"`}},
		"another's member by a param": {task: canary.Task{}, spec: `{"target":"web","members":["$(params.member)"],"pods":1}`, params: map[string]string{"member": "p1"}, policies: map[string]string{"dev": devOnly},
			want: []string{"spec.members[0]: Forbidden", `"p1"`}},
		"another's members by a list of a param": {task: canary.Task{}, spec: `{"target":"web","members":["$(params.m[*])"],"pods":1}`, params: map[string]string{"m": "d1,p1"}, policies: map[string]string{"dev": devOnly},
			want: []string{"spec.members[1]: Forbidden", `"p1"`}},
		"another's member by a selector": {task: canary.Task{}, spec: `{"target":"web","memberSelector":{"matchLabels":{"ring":"prod"}},"pods":1}`, policies: map[string]string{"dev": devOnly},
			want: []string{"spec.memberSelector: Forbidden: selects p1", `"shop"`}},
		"another's member to look at": {task: clusterhop.Task{}, spec: `{"target":"web","from":["d1"],"to":["p1"]}`, policies: map[string]string{"dev": devOnly},
			want: []string{"spec.to[0]: Forbidden", `"p1"`}},
		"a member that is given to others": {task: canary.Task{}, spec: `{"target":"web","members":["p1"],"pods":1}`, policies: map[string]string{"dev": devOnly, "theirs": `{namespaces: {names: [shop2]}}`},
			want: []string{"spec.members[0]: Forbidden"}},
		"a member that is given to other teams": {task: canary.Task{}, spec: `{"target":"web","members":["p1"],"pods":1}`, policies: map[string]string{"theirs": `{namespaces: {selector: {matchLabels: {team: db}}}}`},
			want: []string{"spec.members[0]: Forbidden"}},
		"a policy that cannot be read": {task: canary.Task{}, spec: `{"target":"web","members":["p1"],"pods":1}`, policies: map[string]string{"open": `{}`, "prod": `{members: {selector: {matchExpressions: [{key: ring, operator: Among}]}}, require: {minBake: 1h}}`},
			want: []string{`ReleasePolicy "prod"`, "cannot be read", "spec.members.selector"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := guarded(t, tc.policies)
			message := s.sail(tc.task, s.pipelineRun("web-1", "x"), "x", tc.spec, with(tc.params)).refused()
			for _, w := range tc.want {
				if !strings.Contains(message, w) {
					t.Errorf("the refusal does not say %q: %s", w, message)
				}
			}
			s.untouched()
		})
	}
}

func TestWhatIsGivenIsAdmitted(t *testing.T) {
	for name, tc := range map[string]struct {
		spec     string
		policies map[string]string
		members  string
		leftOut  string
	}{
		"by name":                              {`{"target":"web","members":["d1"],"pods":1}`, map[string]string{"dev": devOnly}, "[d1]", "[]"},
		"to the team that the namespace is of": {`{"target":"web","members":["d1"],"pods":1}`, map[string]string{"web": `{namespaces: {selector: {matchLabels: {team: web}}}}`}, "[d1]", "[]"},
		"of those that a selector matches":     {`{"target":"web","memberSelector":{},"pods":1}`, map[string]string{"dev": devOnly}, "[d1]", "[p1]"},
		"beside one that is given by name":     {`{"target":"web","members":["d1"],"memberSelector":{"matchLabels":{"ring":"prod"}},"pods":1}`, map[string]string{"dev": devOnly}, "[d1]", "[p1]"},
	} {
		t.Run(name, func(t *testing.T) {
			s := guarded(t, tc.policies)
			out, message := s.sail(canary.Task{}, s.pipelineRun("web-1", "x"), "x", tc.spec).admitted()
			if out == nil {
				t.Fatal(message)
			}
			if fmt.Sprint(out.Members) != tc.members || fmt.Sprint(out.LeftOut) != tc.leftOut {
				t.Errorf("acts in %v and leaves out %v, want %s and %s", out.Members, out.LeftOut, tc.members, tc.leftOut)
			}
		})
	}
}

func TestWhatAPolicyTakesAwayCountsForTheNextStage(t *testing.T) {
	s := guarded(t, map[string]string{"dev": devOnly})
	pr := s.pipelineRun("web-1", "x", "y")
	s.sail(canary.Task{}, pr, "x", `{"target":"web","members":["d1"],"pods":1,"change":{"images":{"app":"shop/web:v2"}}}`).until("Succeeded")
	if err := s.periplus.StagesV1alpha1().ReleasePolicies().Delete(context.Background(), "dev", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if why := s.sail(partitionbump.Task{}, pr, "y", `{"target":"web","members":["d1"],"order":["dca","dcb"]}`).refused(); !strings.Contains(why, "no ReleasePolicy") {
		t.Errorf("let through: %q", why)
	}
}

func TestAnAttackerWhoMayOnlyCreatePipelineRunsDoesNotGetRoundADemandedConfirm(t *testing.T) {
	task := func(name, kind, spec, rest string) string {
		return fmt.Sprintf("- {name: %s, taskSpec: {apiVersion: stages.periplus.dev/v1alpha1, kind: %s, spec: %s}%s}\n", name, kind, spec, rest)
	}
	const good = `{approvers: {groups: [sre]}, required: 2, forbidInitiator: true}`
	bump := func(rest string) string {
		return task("bump", "PartitionBump", `{target: web, members: [p1], order: [dca, dcb]}`, rest)
	}
	for name, tc := range map[string]struct {
		tasks string
		want  []string
	}{
		"dropped":                                    {bump(""), []string{`spec: Forbidden: ReleasePolicy "prod"`, `"p1"`, "2 of group sre must say yes", "put a Confirm"}},
		"after the stage":                            {bump("") + task("ask", "Confirm", good, ", runAfter: [bump]"), []string{"put a Confirm"}},
		"beside the stage":                           {bump("") + task("ask", "Confirm", good, ""), []string{"put a Confirm"}},
		"in finally":                                 {bump("") + "finally:\n" + task("ask", "Confirm", good, ""), []string{"put a Confirm"}},
		"of anybody":                                 {task("ask", "Confirm", `{required: 2, forbidInitiator: true}`, "") + bump(", runAfter: [ask]"), []string{`Confirm "ask" before it asks others, or fewer`}},
		"of other groups":                            {task("ask", "Confirm", `{approvers: {groups: [friends]}, required: 2, forbidInitiator: true}`, "") + bump(", runAfter: [ask]"), []string{"asks others"}},
		"of more groups":                             {task("ask", "Confirm", `{approvers: {groups: [sre, friends]}, required: 2, forbidInitiator: true}`, "") + bump(", runAfter: [ask]"), []string{"asks others"}},
		"of the attacker himself":                    {task("ask", "Confirm", `{approvers: {users: [alice], groups: [sre]}, required: 2, forbidInitiator: true}`, "") + bump(", runAfter: [ask]"), []string{"asks others"}},
		"of fewer people":                            {task("ask", "Confirm", `{approvers: {groups: [sre]}, forbidInitiator: true}`, "") + bump(", runAfter: [ask]"), []string{"or fewer"}},
		"where the attacker may answer":              {task("ask", "Confirm", `{approvers: {groups: [sre]}, required: 2}`, "") + bump(", runAfter: [ask]"), []string{"asks others"}},
		"of a look-alike":                            {"- {name: ask, taskSpec: {apiVersion: evil.example/v1alpha1, kind: Confirm, spec: " + good + "}}\n" + bump(", runAfter: [ask]"), []string{"put a Confirm"}},
		"of another version":                         {"- {name: ask, taskSpec: {apiVersion: stages.periplus.dev/v1, kind: Confirm, spec: " + good + "}}\n" + bump(", runAfter: [ask]"), []string{"put a Confirm"}},
		"stored, of others":                          {"- {name: ask, taskRef: {apiVersion: stages.periplus.dev/v1alpha1, kind: Confirm, name: friends}}\n" + bump(", runAfter: [ask]"), []string{"asks others"}},
		"by a param, of others":                      {`- {name: ask, params: [{name: g, value: friends}], taskSpec: {apiVersion: stages.periplus.dev/v1alpha1, kind: Confirm, spec: {approvers: {groups: [$(params.g)]}, required: 2, forbidInitiator: true}}}` + "\n" + bump(", runAfter: [ask]"), []string{"asks others"}},
		"skipped, so that it never was":              {task("ask", "Confirm", good, `, when: [{input: a, operator: in, values: [b]}]`) + bump(", runAfter: [ask]"), []string{"no Confirm of this run got that"}},
		"hidden behind a result":                     {`- {name: ask, params: [{name: g, value: $(tasks.pick.results.group)}], taskSpec: {apiVersion: stages.periplus.dev/v1alpha1, kind: Confirm, spec: {approvers: {groups: [$(params.g)]}}}}` + "\n" + bump(", runAfter: [ask]"), []string{"no Confirm of this run got that"}},
		"there, but for another member's stage only": {task("ask", "Confirm", good, "") + task("other", "PartitionBump", `{target: web, members: [p1], order: [dca, dcb]}`, ", runAfter: [ask]") + bump(""), []string{"put a Confirm"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := guarded(t, map[string]string{"prod": twoSRE})
			s.store(&v1alpha1.Confirm{ObjectMeta: metav1.ObjectMeta{Name: "friends", Namespace: "shop"}, Spec: v1alpha1.ConfirmSpec{
				Approvers: v1alpha1.Approvers{Groups: []string{"friends"}}, Required: 2, ForbidInitiator: true}})
			message := s.begin(s.resolved("web-1", "tasks:\n"+tc.tasks), "bump").refused()
			for _, w := range tc.want {
				if !strings.Contains(message, w) {
					t.Errorf("the refusal does not say %q: %s", w, message)
				}
			}
			s.untouched()
		})
	}
}

const askThenBump = `tasks:
- {name: ask, taskSpec: {apiVersion: stages.periplus.dev/v1alpha1, kind: Confirm, spec: {approvers: {groups: [sre]}, required: 2, forbidInitiator: true}}}
- {name: bump, runAfter: [ask], taskSpec: {apiVersion: stages.periplus.dev/v1alpha1, kind: PartitionBump, spec: {target: web, members: [p1], order: [dca, dcb], change: {images: {app: "shop/web:v2"}}}}}
`

func TestAYesOfTheRightPeopleInTheRunLetsItGoOn(t *testing.T) {
	s := guarded(t, map[string]string{"prod": twoSRE})
	pr := s.resolved("web-1", askThenBump)
	ask := s.begin(pr, "ask")
	ask.approve("bob", "devs", "sre")
	ask.approve("carol", "sre")
	ask.until("Succeeded")
	if got := fmt.Sprint(ask.status().Question.Answers[0].Groups); got != "[sre]" {
		t.Errorf("the answer keeps groups %s", got)
	}
	s.begin(pr, "bump").until("Succeeded")
}

func TestOnlyTheRunsOwnConfirmCountsAndOnlyIfItGotItsYes(t *testing.T) {
	said := func(s *sea, pr *pipelinev1.PipelineRun, change ...func(*v1beta1.CustomRun)) {
		ask := s.begin(pr, "ask")
		ask.approve("bob", "sre")
		ask.approve("carol", "sre")
		ask.until("Succeeded")
		for _, c := range change {
			ask.edit(c)
		}
	}
	for name, prepare := range map[string]func(s *sea, pr *pipelinev1.PipelineRun){
		"nobody asked": func(*sea, *pipelinev1.PipelineRun) {},
		"the Confirm of another run": func(s *sea, _ *pipelinev1.PipelineRun) {
			said(s, s.resolved("web-0", askThenBump))
		},
		"that of a run that had the same name": func(s *sea, pr *pipelinev1.PipelineRun) {
			said(s, pr, func(cr *v1beta1.CustomRun) { cr.OwnerReferences[0].UID = "an-older-run" })
		},
		"one that is made by hand and belongs to no run": func(s *sea, pr *pipelinev1.PipelineRun) {
			said(s, pr, func(cr *v1beta1.CustomRun) { cr.OwnerReferences = nil })
		},
		"one that names the run as its owner, not as its controller": func(s *sea, pr *pipelinev1.PipelineRun) {
			said(s, pr, func(cr *v1beta1.CustomRun) { cr.OwnerReferences[0].Controller = nil })
		},
		"one that still waits for an answer": func(s *sea, pr *pipelinev1.PipelineRun) {
			ask := s.begin(pr, "ask")
			ask.approve("bob", "sre")
			ask.pass()
		},
		"one that was rejected": func(s *sea, pr *pipelinev1.PipelineRun) {
			ask := s.begin(pr, "ask")
			ask.until("AwaitingApproval")
			ask.answer("no", v1alpha1.ApprovalSpec{RunRef: v1alpha1.RunRef{Name: ask.name, UID: ask.run().UID}, Question: "ask", Decision: v1alpha1.Reject, User: "bob", Groups: []string{"sre"}})
			ask.until("Rejected")
		},
		"one that somebody skipped": func(s *sea, pr *pipelinev1.PipelineRun) {
			said(s, pr)
			ask := &voyage{sea: s, name: pr.Name + "-ask"}
			ask.edit(func(cr *v1beta1.CustomRun) {
				st := ask.status()
				st.Outcome.Reason = "Skipped"
				cr.Status.ExtraFields.Raw = encoded(st)
			})
		},
		"one whose answers are gone from its status": func(s *sea, pr *pipelinev1.PipelineRun) {
			said(s, pr)
			ask := &voyage{sea: s, name: pr.Name + "-ask"}
			ask.edit(func(cr *v1beta1.CustomRun) {
				st := ask.status()
				st.Question.Answers = st.Question.Answers[:1]
				cr.Status.ExtraFields.Raw = encoded(st)
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := guarded(t, map[string]string{"prod": twoSRE})
			pr := s.resolved("web-1", askThenBump)
			prepare(s, pr)
			if why := s.begin(pr, "bump").refused(); !strings.Contains(why, "no Confirm of this run got that") {
				t.Errorf("let through: %q", why)
			}
			s.untouched()
		})
	}
}

func TestARunThatClaimsToBelongToAnothersReleaseDoesNothing(t *testing.T) {
	for name, claim := range map[string]map[string]string{
		"as its child": {v1alpha1.AnnotationRelease: "web-0-web-0-ui", v1alpha1.AnnotationParent: "web-0-ask/web-0-ask-uid"},
		"as its retry": {v1alpha1.AnnotationRetryOf: "web-0"},
	} {
		t.Run(name, func(t *testing.T) {
			s := guarded(t, map[string]string{"prod": twoSRE})
			other := s.resolved("web-0", askThenBump)
			ask := s.begin(other, "ask")
			ask.approve("bob", "sre")
			ask.approve("carol", "sre")
			ask.until("Succeeded")
			pr := s.resolved("web-1", askThenBump)
			for k, v := range claim {
				pr.Annotations[k] = v
			}
			bump := s.begin(pr, "bump")
			for range 10 {
				bump.pass()
				s.ships.turn()
				s.clock.Step(time.Second)
			}
			if bump.run().IsSuccessful() || bump.status().Admitted != nil {
				t.Errorf("it was let through: %+v", bump.run().Status.Conditions)
			}
			s.untouched()
		})
	}
}

func TestTheFirstStageThatMovesIsRefusedForWhatALaterOneLacks(t *testing.T) {
	s := guarded(t, map[string]string{"dev": devOnly, "prod": twoSRE})
	pr := s.resolved("web-1", `tasks:
- {name: canary, taskSpec: {apiVersion: stages.periplus.dev/v1alpha1, kind: Canary, spec: {target: web, members: [d1], pods: 1, change: {images: {app: "shop/web:v2"}}}}}
- {name: bump, runAfter: [canary], params: [{name: m, value: p1}], taskRef: {apiVersion: stages.periplus.dev/v1alpha1, kind: PartitionBump, name: all}}
`)
	s.store(&v1alpha1.PartitionBump{ObjectMeta: metav1.ObjectMeta{Name: "all", Namespace: "shop"}, Spec: v1alpha1.PartitionBumpSpec{
		Rollout: v1alpha1.Rollout{Target: "web", Members: []string{"$(params.m)"}}, Order: []string{"dca", "dcb"}}})
	why := s.begin(pr, "canary").refused()
	if !strings.Contains(why, "tasks[bump]: Forbidden: ReleasePolicy \"prod\"") {
		t.Errorf("refused with %q", why)
	}
	s.untouched()
}

func TestNobodyIsAskedToLetSomethingGoOnThatCannot(t *testing.T) {
	s := guarded(t, map[string]string{"prod": twoSRE})
	pr := s.resolved("web-1", strings.Replace(askThenBump, "required: 2, ", "", 1))
	if why := s.begin(pr, "ask").refused(); !strings.Contains(why, `tasks[bump]: Forbidden: ReleasePolicy "prod"`) {
		t.Errorf("asked all the same: %q", why)
	}
}

func TestTheFirstStageWaitsUntilTektonSaysWhatTheRunIs(t *testing.T) {
	s := guarded(t, map[string]string{"dev": devOnly, "prod": twoSRE})
	pr := s.resolved("web-1", askThenBump)
	spec := pr.Status.PipelineSpec
	v := s.begin(pr, "bump")
	pr.Status.PipelineSpec = nil
	if err := s.tekton.Tracker().Update(pipelinev1.SchemeGroupVersion.WithResource("pipelineruns"), pr, "shop"); err != nil {
		t.Fatal(err)
	}
	v.pass()
	if c := v.run().Status.GetCondition("Succeeded"); c.Reason != "Retrying" || !strings.Contains(c.Message, "which stages it has") {
		t.Fatalf("it is at %+v", c)
	}
	later := pr.DeepCopy()
	later.Status.PipelineSpec = spec
	if err := s.tekton.Tracker().Update(pipelinev1.SchemeGroupVersion.WithResource("pipelineruns"), later, "shop"); err != nil {
		t.Fatal(err)
	}
	v.clock.Step(time.Second)
	if why := v.refused(); !strings.Contains(why, "no Confirm of this run got that") {
		t.Errorf("%q", why)
	}
}

func TestAStageThatNoPipelineMadeHasNoConfirm(t *testing.T) {
	s := guarded(t, map[string]string{"prod": twoSRE})
	v := s.sail(partitionbump.Task{}, s.pipelineRun("web-1"), "byhand", `{"target":"web","members":["p1"],"order":["dca","dcb"]}`, func(cr *v1beta1.CustomRun) {
		cr.OwnerReferences, cr.Labels = nil, map[string]string{}
	})
	if why := v.refused(); !strings.Contains(why, "put a Confirm") {
		t.Errorf("let through: %q", why)
	}
}

func TestCanariesBakeAsLongAsIsDemanded(t *testing.T) {
	const bake = `{require: {minBake: 10s}}`
	canaryOf := func(rest string) string {
		return `- {name: canary, taskSpec: {apiVersion: stages.periplus.dev/v1alpha1, kind: Canary, spec: {target: web, pods: 1, change: {images: {app: "shop/web:v2"}}, ` + rest + `}}}` + "\n"
	}
	const bump = `- {name: bump, runAfter: [canary], taskSpec: {apiVersion: stages.periplus.dev/v1alpha1, kind: PartitionBump, spec: {target: web, members: [p1], order: [dca, dcb]}}}` + "\n"
	t.Run("a shorter one is refused", func(t *testing.T) {
		s := guarded(t, map[string]string{"slow": bake})
		why := s.begin(s.resolved("web-1", "tasks:\n"+canaryOf("members: [p1], bake: 9s")), "canary").refused()
		if !strings.Contains(why, `ReleasePolicy "slow" demands that canaries in member "p1" bake for 10s or longer; this one bakes for 9s`) {
			t.Errorf("%q", why)
		}
	})
	t.Run("a bump without a canary in the run is refused", func(t *testing.T) {
		s := guarded(t, map[string]string{"slow": bake})
		why := s.begin(s.resolved("web-1", "tasks:\n"+strings.Replace(bump, "runAfter: [canary], ", "", 1)), "bump").refused()
		if !strings.Contains(why, "put such a Canary of target") {
			t.Errorf("%q", why)
		}
	})
	t.Run("a bump after a canary elsewhere is refused", func(t *testing.T) {
		s := guarded(t, map[string]string{"slow": bake})
		why := s.begin(s.resolved("web-1", "tasks:\n"+canaryOf("members: [d1], bake: 1h")+bump), "canary").refused()
		if !strings.Contains(why, "tasks[bump]") {
			t.Errorf("%q", why)
		}
	})
	t.Run("a bump whose canary was skipped is refused", func(t *testing.T) {
		s := guarded(t, map[string]string{"slow": bake})
		why := s.begin(s.resolved("web-1", "tasks:\n"+canaryOf("members: [p1], bake: 10s")+bump), "bump").refused()
		if !strings.Contains(why, "no Canary of this target did so in this run") {
			t.Errorf("%q", why)
		}
	})
	t.Run("a bump after a canary that baked goes on", func(t *testing.T) {
		s := guarded(t, map[string]string{"slow": bake})
		pr := s.resolved("web-1", "tasks:\n"+canaryOf("members: [p1], bake: 10s")+bump)
		s.begin(pr, "canary").until("Succeeded")
		s.begin(pr, "bump").until("Succeeded")
	})
	for what, came := range map[string]map[string]string{"another member": {"where": "d1", "long": "10s"}, "a shorter bake": {"where": "p1", "long": "9s"}} {
		t.Run("a bump whose canary came to have "+what+" by a result is refused", func(t *testing.T) {
			s := guarded(t, map[string]string{"open": `{}`})
			pr := s.resolved("web-1", "tasks:\n"+strings.Replace(canaryOf("members: [$(params.where)], bake: $(params.long)"), "name: canary,",
				"name: canary, params: [{name: where, value: $(tasks.pick.results.where)}, {name: long, value: $(tasks.pick.results.long)}],", 1)+bump)
			resolved := pr.DeepCopy() // what Tekton passes on once the results are there.
			for i := range resolved.Status.PipelineSpec.Tasks[0].Params {
				p := &resolved.Status.PipelineSpec.Tasks[0].Params[i]
				p.Value.StringVal = came[p.Name]
			}
			s.begin(resolved, "canary").until("Succeeded")
			s.policy("slow", `{members: {names: [p1]}, require: {minBake: 10s}}`)
			if why := s.begin(pr, "bump").refused(); !strings.Contains(why, "no Canary of this target did so in this run") {
				t.Errorf("let through: %q", why)
			}
		})
	}
	t.Run("a bump of a target that names another workload by now is refused", func(t *testing.T) {
		s := guarded(t, map[string]string{"slow": bake})
		pr := s.resolved("web-1", "tasks:\n"+canaryOf("members: [p1], bake: 10s")+bump)
		s.begin(pr, "canary").until("Succeeded")
		target, err := s.periplus.StagesV1alpha1().Targets("shop").Get(context.Background(), "web", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		target.Spec.Workload = v1alpha1.WorkloadRef{APIVersion: "apps.periplus.dev/v1alpha1", Kind: "InPlaceSet", Name: "payments"}
		if _, err := s.periplus.StagesV1alpha1().Targets("shop").Update(context.Background(), target, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		if why := s.begin(pr, "bump").refused(); !strings.Contains(why, "no Canary of this target did so in this run") {
			t.Errorf("%q", why)
		}
	})
}

func TestDemandedGuardsAreThePlatformsAndAreJudgedWhereTheyAreDemanded(t *testing.T) {
	const prodHealth = `{members: {selector: {matchLabels: {ring: prod}}}, require: {guardSets: [{namespace: platform, name: health}]}}`
	set := func(expr string) *v1alpha1.GuardSet {
		return &v1alpha1.GuardSet{ObjectMeta: metav1.ObjectMeta{Name: "health", Namespace: "platform"}, Spec: v1alpha1.GuardSetSpec{Guards: []v1alpha1.Guard{{Name: "ok", Expr: expr}}}}
	}
	const both = `{"target":"web","members":["p1","d1"],"pods":1,"change":{"images":{"app":"shop/web:v2"}}}`
	policies := map[string]string{"dev": devOnly, "prod": prodHealth}
	t.Run("each in its members", func(t *testing.T) {
		s := guarded(t, policies)
		s.store(set(`updated.all(p, p.ready)`))
		// The namespace's own set of the same name is another one.
		s.store(&v1alpha1.GuardSet{ObjectMeta: metav1.ObjectMeta{Name: "health", Namespace: "shop"}, Spec: v1alpha1.GuardSetSpec{Guards: []v1alpha1.Guard{{Name: "ok", Expr: "true"}}}})
		v := s.sail(canary.Task{}, s.pipelineRun("web-1", "x"), "x", strings.Replace(both, `"pods":1`, `"pods":1,"guardSets":["health"]`, 1))
		v.until("Succeeded")
		var judged []string
		for _, g := range v.status().Guards {
			judged = append(judged, g.Name+"@"+g.Member)
		}
		if got := strings.Join(judged, " "); got != "policy/prod/health/ok@p1 health/ok@p1 health/ok@d1" && got != "health/ok@p1 health/ok@d1 policy/prod/health/ok@p1" {
			t.Errorf("judged were %s", got)
		}
	})
	t.Run("and stop the stage", func(t *testing.T) {
		s := guarded(t, policies)
		g := set(`false`)
		g.Spec.Guards[0].When = v1alpha1.Before
		s.store(g)
		v := s.sail(canary.Task{}, s.pipelineRun("web-1", "x"), "x", both)
		c := v.until("GuardFailed").Status.GetCondition("Succeeded")
		if !strings.Contains(c.Message, "policy/prod/health/ok") {
			t.Errorf("the failure does not name the guard: %s", c.Message)
		}
	})
	t.Run("one that is not there refuses", func(t *testing.T) {
		s := guarded(t, policies)
		why := s.sail(canary.Task{}, s.pipelineRun("web-1", "x"), "x", both).refused()
		if !strings.Contains(why, `ReleasePolicy "prod" demands GuardSet platform/health, which is not there`) {
			t.Errorf("%q", why)
		}
	})
	t.Run("one that hangs on what the run says refuses", func(t *testing.T) {
		s := guarded(t, policies)
		s.store(set(`params.strict != "yes"`))
		why := s.sail(canary.Task{}, s.pipelineRun("web-1", "x"), "x", both, with(map[string]string{"strict": "no"})).refused()
		if !strings.Contains(why, "in which something is wrong that those who keep it must mend") {
			t.Errorf("%q", why)
		}
	})
	t.Run("nor does one hear of params by another way", func(t *testing.T) {
		s := guarded(t, policies)
		g := set(`size(params) == 0`)
		g.Spec.Guards[0].When = v1alpha1.Before
		s.store(g)
		s.sail(canary.Task{}, s.pipelineRun("web-1", "x"), "x", both, with(map[string]string{"strict": "no"})).until("Succeeded")
	})
	t.Run("names stay short", func(t *testing.T) {
		long := strings.Repeat("a", 240)
		s := guarded(t, map[string]string{"dev": devOnly, long: strings.Replace(prodHealth, "name: health", "name: "+long, 1)})
		g := set("true")
		g.Name = long
		s.store(g)
		out, message := s.sail(canary.Task{}, s.pipelineRun("web-1", "x"), "x", both).admitted()
		if out == nil || len(out.Guards) != 1 || len(out.Guards[0].Name) > 140 {
			t.Errorf("%s %+v", message, out)
		}
	})
}

func TestAStoredStageOrATargetOfAnotherNamespaceIsOutOfReach(t *testing.T) {
	s := guarded(t, map[string]string{"open": `{}`})
	s.store(&v1alpha1.Target{ObjectMeta: metav1.ObjectMeta{Name: "ledger", Namespace: "payments"}, Spec: v1alpha1.TargetSpec{Workload: v1alpha1.WorkloadRef{APIVersion: "apps.periplus.dev/v1alpha1", Kind: "InPlaceSet", Name: "ledger"}}})
	s.store(&v1alpha1.Canary{ObjectMeta: metav1.ObjectMeta{Name: "theirs", Namespace: "payments"}})
	if _, err := s.kube.CoreV1().Namespaces().Create(context.Background(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "payments"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		spec   string
		change func(*v1beta1.CustomRun)
		want   string
	}{
		"a target by a path":             {spec: `{"target":"../payments/ledger","members":["p1"],"pods":1}`, want: "spec.target"},
		"a target by namespace and name": {spec: `{"target":"payments/ledger","members":["p1"],"pods":1}`, want: "spec.target"},
		"a target by name":               {spec: `{"target":"ledger","members":["p1"],"pods":1}`, want: `spec.target: Not found: "ledger"`},
		"a namespace in the spec":        {spec: `{"target":"ledger","namespace":"payments","members":["p1"],"pods":1}`, want: "spec.namespace"},
		"a guard set by a path":          {spec: `{"target":"web","members":["p1"],"pods":1,"guardSets":["../payments/x"]}`, want: "spec.guardSets[0]"},
		"a stored stage by a path": {change: func(cr *v1beta1.CustomRun) {
			cr.Spec.CustomRef, cr.Spec.CustomSpec = &v1beta1.TaskRef{APIVersion: "stages.periplus.dev/v1alpha1", Kind: "Canary", Name: "../../payments/canaries/theirs"}, nil
		}, want: "taskRef.name"},
	} {
		t.Run(name, func(t *testing.T) {
			var changes []func(*v1beta1.CustomRun)
			if tc.change != nil {
				changes = append(changes, tc.change)
			}
			run := short(name)
			_, message := s.sail(canary.Task{}, s.pipelineRun("run-"+run), run, tc.spec, changes...).admitted()
			if !strings.Contains(message, tc.want) {
				t.Errorf("%q does not say %q", message, tc.want)
			}
			s.untouched()
		})
	}
}

func TestWhoStartedARunForSomebodyIsBelievedOnlyByPolicy(t *testing.T) {
	const ci = "system:serviceaccount:ci:releaser"
	start := func(s *sea, account, who string) *voyage {
		pr := s.resolved("web-1", `tasks:
- {name: ask, taskSpec: {apiVersion: stages.periplus.dev/v1alpha1, kind: Confirm, spec: {approvers: {groups: [sre]}, forbidInitiator: true}}}
`)
		pr.Annotations = map[string]string{v1alpha1.AnnotationOnBehalfOf: who}
		if account != "" {
			pr.Annotations[v1alpha1.AnnotationInitiator] = account
		}
		return s.begin(pr, "ask")
	}
	t.Run("an account that no policy names is refused", func(t *testing.T) {
		s := guarded(t, map[string]string{"dev": devOnly})
		if why := start(s, "mallory", "bob").refused(); !strings.Contains(why, `on behalf of "bob"`) || !strings.Contains(why, `believes "mallory"`) {
			t.Errorf("%q", why)
		}
	})
	t.Run("nor is one that is not known", func(t *testing.T) {
		s := guarded(t, map[string]string{"ci": `{onBehalfOf: ["` + ci + `"]}`})
		if why := start(s, "", "bob").refused(); !strings.Contains(why, "it is not known who says so") {
			t.Errorf("%q", why)
		}
	})
	t.Run("neither the person nor the account may answer", func(t *testing.T) {
		s := guarded(t, map[string]string{"ci": `{onBehalfOf: ["` + ci + `"]}`})
		v := start(s, ci, "alice")
		v.approve("alice", "sre")
		v.approve(ci, "sre")
		v.pass()
		q := v.status().Question
		if len(q.Answers) != 0 || len(q.Ignored) != 2 || q.Initiator != "alice" || q.Account != ci {
			t.Errorf("%+v", q)
		}
		v.approve("bob", "sre")
		v.until("Succeeded")
	})
	t.Run("the record names the person", func(t *testing.T) {
		s := guarded(t, map[string]string{"ci": `{onBehalfOf: ["` + ci + `"]}`})
		pr := s.pipelineRun("web-1")
		pr.Annotations = map[string]string{v1alpha1.AnnotationOnBehalfOf: "alice", v1alpha1.AnnotationInitiator: ci}
		v := s.sail(canary.Task{}, pr, "x", `{"target":"web","members":["d1"],"pods":1,"change":{"images":{"app":"shop/web:v2"}}}`)
		v.until("Succeeded")
		rel, err := s.periplus.StagesV1alpha1().Releases("shop").Get(context.Background(), v.status().Release, metav1.GetOptions{})
		if err != nil || rel.Spec.Initiator != "alice" {
			t.Errorf("%+v %v", rel, err)
		}
	})
	t.Run("a Tekton copy of the annotation on a stage says nothing", func(t *testing.T) {
		s := guarded(t, map[string]string{"dev": devOnly})
		v := s.sail(canary.Task{}, s.pipelineRun("web-1"), "x", `{"target":"web","members":["d1"],"pods":1}`, func(cr *v1beta1.CustomRun) {
			cr.Annotations = map[string]string{v1alpha1.AnnotationOnBehalfOf: "bob"}
		})
		if out, message := v.admitted(); out == nil || out.OnBehalfOf != "" {
			t.Errorf("%+v %s", out, message)
		}
	})
}

func TestAStageMovesInDemandedWindowsOnly(t *testing.T) {
	// It is 12:00 on a Sunday.
	const office = `{require: {windows: [{schedule: "1 12 * * *", duration: 1m}]}}`
	s := guarded(t, map[string]string{"office": office})
	v := s.sail(partitionbump.Task{}, s.pipelineRun("web-1"), "x", `{"target":"web","members":["d1"],"order":["dca"],"by":1,"change":{"images":{"app":"shop/web:v2"}}}`, func(cr *v1beta1.CustomRun) {
		cr.Spec.Timeout = &metav1.Duration{}
	})
	c := v.until("OutsideWindow").Status.GetCondition("Succeeded")
	if !strings.Contains(c.Message, `ReleasePolicy "office" open at 2026-03-01 12:01 UTC`) {
		t.Errorf("it says %q", c.Message)
	}
	s.untouched()
	if wake := v.status().Waiting.Until; wake == nil || wake.Sub(s.clock.Now()) > time.Minute {
		t.Errorf("it waits until %v", wake)
	}
	s.clock.SetTime(time.Date(2026, 3, 1, 12, 1, 0, 0, time.UTC))
	v.until("UpdatingPods")
	for s.ships.units["d1/dca"].updated() == 0 {
		v.pass()
		s.ships.turn()
	}
	// The window closes in the middle of a step: the step is brought to its end, and the next waits.
	s.clock.SetTime(time.Date(2026, 3, 1, 12, 2, 0, 0, time.UTC))
	v.until("OutsideWindow")
	if got := s.ships.units["d1/dca"].updated(); got != 1 {
		t.Errorf("%d pods were updated", got)
	}
	s.clock.SetTime(time.Date(2026, 3, 2, 12, 1, 0, 0, time.UTC))
	v.until("Succeeded")
}
