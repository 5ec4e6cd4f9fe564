package stage_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	pipelinev1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	"github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/tasks/partitionbump"
)

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
