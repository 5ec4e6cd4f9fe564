package stage_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	pipelinev1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/plan"
	"github.com/periplus-dev/periplus/pkg/stage"
)

const canaryThenBump = `
params: [{name: image}, {name: pods, default: "1"}]
tasks:
- name: bump
  runAfter: [confirm]
  timeout: "0"
  params: [{name: image, value: $(params.image)}]
  taskSpec: {apiVersion: stages.periplus.dev/v1alpha1, kind: PartitionBump, spec: {target: web, members: [m1], change: {images: {app: $(params.image)}}, order: [dca, dcb], by: 50%}}
- name: canary
  params: [{name: image, value: $(params.image)}, {name: pods, value: $(params.pods)}]
  taskSpec: {apiVersion: stages.periplus.dev/v1alpha1, kind: Canary, spec: {target: web, members: [m1], change: {images: {app: $(params.image)}}, pods: $(params.pods), bake: 5m,
    guards: [{name: ready, expr: "updated.all(p, p.ready)"}]}}
- name: confirm
  runAfter: [canary]
  timeout: 24h
  retries: 1
  taskSpec: {apiVersion: stages.periplus.dev/v1alpha1, kind: Confirm, spec: {approvers: {groups: [sre]}, required: 2, forbidInitiator: true, message: "all well?"}}
finally:
- name: back
  when: [{input: $(tasks.status), operator: notin, values: [Succeeded]}]
  taskSpec: {apiVersion: stages.periplus.dev/v1alpha1, kind: Rollback, spec: {}}
`

func TestAPlanTellsEachStageAsIfThoseBeforeItHadDoneTheirWork(t *testing.T) {
	s := newSea(t, "m1")
	s.ships.launch("m1", "dca", 4)
	s.ships.launch("m1", "dcb", 2)

	a := s.ask(canaryThenBump, param("image", "shop/web:v2"))
	a.plan.Spec.Diff = true
	st := a.ready()

	var names []string
	for _, x := range st.Stages {
		names = append(names, x.Name)
	}
	if want := []string{"canary", "confirm", "bump", "back"}; !slices.Equal(names, want) {
		t.Errorf("stages %v, want %v", names, want)
	}
	if st.Initiator != "alice" || !st.Timeout.Default || st.Timeout.Limit != "1h0m0s" {
		t.Errorf("initiator %q, timeout %+v", st.Initiator, st.Timeout)
	}
	canary := planned(t, st, "canary")
	if diff := cmp.Diff([]string{"1 canary pods in each unit: m1/dca 0-1/4, m1/dcb 0-1/2"}, groupsOf(canary)); diff != "" {
		t.Error(diff)
	}
	if canary.Bake != "5m0s" || canary.Timeout != (v1alpha1.PlannedTimeout{Limit: "1h0m0s", Default: true}) || len(canary.Guards) != 1 || canary.Guards[0].Deadline != "10m0s" {
		t.Errorf("canary %+v", canary)
	}
	if len(canary.Changes) != 2 || canary.Changes[0].How != v1alpha1.ChangeInPlace || canary.Changes[0].What[0] != "image of app: shop/web:v2" ||
		!strings.Contains(canary.Changes[0].Diff, "-  - image: shop/web:v1\n+  - image: shop/web:v2\n") {
		t.Errorf("changes %+v", canary.Changes)
	}
	confirm := planned(t, st, "confirm")
	if q := confirm.Question; q == nil || q.Required != 2 || !slices.Equal(q.Excluded, []string{"alice"}) || confirm.Timeout.Limit != "24h0m0s" || confirm.Retries != 1 {
		t.Errorf("confirm %+v", confirm)
	}
	bump := planned(t, st, "bump")
	want := []string{"unit dca updated by 50%, 1 of 2: m1/dca 1-2/4", "unit dca updated by 50%, 2 of 2: m1/dca 2-4/4",
		"unit dcb updated by 50%, 1 of 2: m1/dcb 1-1/2", "unit dcb updated by 50%, 2 of 2: m1/dcb 1-2/2"}
	if diff := cmp.Diff(want, groupsOf(bump)); diff != "" {
		t.Error(diff)
	}
	if bump.Timeout.Limit != "none" || len(bump.Changes) != 0 {
		t.Errorf("bump %+v", bump)
	}
	back := planned(t, st, "back")
	if !back.Finally || back.When[0] != "$(tasks.status) notin [Succeeded]" || back.Skipped || !strings.Contains(back.Facts[0], "takes m1/dcb back") || !strings.Contains(back.Facts[1], "to revision rev-v1") {
		t.Errorf("back %+v", back)
	}
}

func TestAPlanSaysNoToWhatTheRunWouldBeRefusedFor(t *testing.T) {
	one := func(kind, spec string) string {
		return "tasks: [{name: x, taskSpec: {apiVersion: stages.periplus.dev/v1alpha1, kind: " + kind + ", spec: " + spec + "}}]"
	}
	canary := func(fields string) string { return one("Canary", "{target: web, members: [m1], "+fields+"}") }
	for name, tc := range map[string]struct {
		pipeline string
		change   func(*pipelinev1.PipelineRun)
		world    func(*sea)
		nobody   bool
		way      stage.Way
		want     []string
	}{
		"several mistakes at once, with their fields": {pipeline: canary(`pods: 9, unit: dcx, change: {images: {ap: x}}`),
			want: []string{"x: spec.unit: ", "x: spec.change.images[ap]: Not found"}},
		"mistakes of a spec before the fleet is looked at": {pipeline: canary(`pods: 0, bakee: 1s`), want: []string{"x: spec.pods: ", "x: spec.bakee: Forbidden: there is no such field; did you mean bake?"}},
		"a unit that has fewer pods":                       {pipeline: canary(`pods: 9, change: {images: {app: x}}`), want: []string{"x: spec.pods: Invalid value: \"9\": unit dca in member m1 has only 4 pods"}},
		"a target that is not there":                       {pipeline: one("Canary", `{target: wbe, members: [m1], pods: 1}`), want: []string{"x: spec.target: Not found"}},
		"a workload that is not there": {pipeline: canary(`pods: 1, change: {images: {app: x}}`), world: func(s *sea) { delete(s.ships.units, "m1/dca") },
			want: []string{"x: spec.target: workload not found"}},
		"nothing to release":         {pipeline: canary(`pods: 1`), want: []string{"x: spec.change: m1/dca: is empty, and no change is held back on InPlaceSet web-dca"}},
		"a kind that there is not":   {pipeline: one("Canry", `{}`), want: []string{`x: taskSpec.kind: "Canry": there is no stage of this kind; did you mean Canary?`}},
		"a param that is not given":  {pipeline: "params: [{name: image}]\n" + canary(`pods: 1, change: {images: {app: x}}`), want: []string{": spec.params: the pipeline wants the param image (string), which is not given"}},
		"a param that nobody passes": {pipeline: canary(`pods: $(params.n)`), want: []string{"x: spec.pods: Invalid value: \"$(params.n)\": the run has no such param"}},
		"what Tekton itself would refuse": {pipeline: `tasks: [{name: x, runAfter: [gone], taskSpec: {apiVersion: stages.periplus.dev/v1alpha1, kind: Confirm, spec: {}}}]`,
			want: []string{": spec.pipelineSpec.tasks: ", "gone wasn't present in Pipeline"}},
		"a pipeline that is not there": {pipeline: "{}", change: func(pr *pipelinev1.PipelineRun) {
			pr.Spec.PipelineSpec, pr.Spec.PipelineRef = nil, &pipelinev1.PipelineRef{Name: "web"}
		}, want: []string{`: spec.pipelineRef.name: there is no Pipeline "web" in namespace shop`}},
		"a pipeline that only a resolver finds": {pipeline: "{}", change: func(pr *pipelinev1.PipelineRun) {
			pr.Spec.PipelineSpec, pr.Spec.PipelineRef = nil, &pipelinev1.PipelineRef{ResolverRef: pipelinev1.ResolverRef{Resolver: "git"}}
		}, want: []string{": spec.pipelineRef.resolver: "}},
		"a run that says that it belongs to a release": {pipeline: canary(`pods: 1, change: {images: {app: x}}`), change: func(pr *pipelinev1.PipelineRun) {
			pr.Annotations = map[string]string{v1alpha1.AnnotationRelease: "theirs"}
		}, want: []string{"stages.periplus.dev/release]: is set by the controller only"}},
		"somebody that nobody believes": {pipeline: canary(`pods: 1, change: {images: {app: x}}`), change: func(pr *pipelinev1.PipelineRun) {
			pr.Annotations = map[string]string{v1alpha1.AnnotationOnBehalfOf: "bob"}
		}, want: []string{`x: metadata.annotations[stages.periplus.dev/on-behalf-of]: Forbidden`, `believes "alice"`}},
		"a retry of nothing": {pipeline: canary(`pods: 1, change: {images: {app: x}}`), change: func(pr *pipelinev1.PipelineRun) {
			pr.Annotations = map[string]string{v1alpha1.AnnotationRetryOf: "web-0"}
		}, want: []string{`no release was carried by a PipelineRun "web-0"`}},
		"a change that does not fit in place where nothing else is wanted": {pipeline: canary(`pods: 1, change: {patch: {spec: {hostNetwork: true}}}`), way: stage.Way{Type: "InPlaceOnly"},
			want: []string{"x: spec.change: m1/dca: InPlaceSet web-dca changes pods in place only (InPlaceOnly), and these cannot: spec.template.spec.hostNetwork"}},
		"another change than the stage before brings": {pipeline: canary(`pods: 1, change: {images: {app: x}}`) + "\nfinally: [{name: z, taskSpec: {apiVersion: stages.periplus.dev/v1alpha1, kind: Canary, spec: {target: web, members: [m1], pods: 2, change: {images: {app: z}}}}}]",
			want: []string{"z: spec.change: m1/dca: stage x brings another template"}},
		"a lock of another release, where that is not waited for": {pipeline: canary(`pods: 1, onLocked: Fail, change: {images: {app: x}}`), world: func(s *sea) {
			s.ships.units["m1/dca"].Lock = &v1alpha1.Lock{Hub: "another", Namespace: "shop", Release: "web-0-abc", Root: "web-0"}
		}, want: []string{"x: spec.onLocked: m1/dca is held by release shop/web-0-abc (run web-0)"}},
		"a rollback of a release that is not there": {pipeline: one("Rollback", "{release: web-0}"), want: []string{"x: spec.release: there is no Release web-0"}},
		"an approver who is not known to be another": {pipeline: one("Confirm", "{forbidInitiator: true}"), nobody: true,
			want: []string{"x: spec.forbidInitiator: "}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSea(t, "m1")
			s.ships.launch("m1", "dca", 4)
			if tc.world != nil {
				tc.world(s)
			}
			var changes []func(*pipelinev1.PipelineRun)
			if tc.change != nil {
				changes = append(changes, tc.change)
			}
			a := s.ask(tc.pipeline, changes...)
			if tc.nobody {
				a.plan.Annotations = nil
			}
			if tc.way.Type != "" {
				a.way = tc.way
			}
			st := a.told()
			if st.Phase != v1alpha1.PlanRefused || int(st.ProblemCount) != len(st.Problems) {
				t.Errorf("phase %s with %d of %d problems", st.Phase, st.ProblemCount, len(st.Problems))
			}
			all := strings.Join(problems(st), "\n")
			for _, w := range tc.want {
				if !strings.Contains(all, w) {
					t.Errorf("no problem says %q:\n%s", w, all)
				}
			}
		})
	}
}

func TestAPlanSaysWhatPoliciesWant(t *testing.T) {
	bump := `tasks:
- name: bump
  taskSpec: {apiVersion: stages.periplus.dev/v1alpha1, kind: PartitionBump, spec: {target: web, members: [p1], change: {images: {app: "shop/web:v2"}}, order: [dca]}}
`
	yes := `- name: ask
  taskSpec: {apiVersion: stages.periplus.dev/v1alpha1, kind: Confirm, spec: {approvers: {groups: [sre]}, required: 2, forbidInitiator: true}}
`
	s := guarded(t, map[string]string{"prod": twoSRE})
	if all := strings.Join(problems(s.ask(bump).told()), "\n"); all != `bump: spec: Forbidden: ReleasePolicy "prod" demands that before anything moves in member "p1" 2 of group sre must say yes, not counting who started the run: put a Confirm of these approvers before it` {
		t.Errorf("without a Confirm: %s", all)
	}
	with := strings.Replace(bump, "- name: bump", "- name: bump\n  runAfter: [ask]", 1) + yes
	st := s.ask(with).ready()
	if d := planned(t, st, "bump").Demands; len(d) != 1 || !strings.Contains(d[0], "before anything moves in p1, 2 of group sre must say yes") {
		t.Errorf("demands %q", d)
	}
	all := strings.Join(problems(s.ask(strings.Replace(with, "[p1]", "[p1, d1]", 1)).told()), "\n")
	if strings.Count(all, "\n") != 0 || !strings.Contains(all, "bump: spec.members[1]: Forbidden: no ReleasePolicy gives member \"d1\"") {
		t.Errorf("a member that is not given: %s", all)
	}
}

func TestAPlanWaitsForMembersToBeSeenAndThenSaysWhichAreNot(t *testing.T) {
	s := newSea(t, "m1", "m2")
	s.ships.launch("m1", "dca", 4)
	s.ships.launch("m2", "dca", 4)
	s.ships.gone = map[string]bool{"m2": true}
	a := s.ask(`tasks: [{name: x, taskSpec: {apiVersion: stages.periplus.dev/v1alpha1, kind: Canary, spec: {target: web, members: [m1, m2], pods: 1, change: {images: {app: x}}}}}]`)
	if st := a.told(); st.Phase != v1alpha1.PlanPending || !strings.Contains(st.Message, "connecting to member m2") {
		t.Errorf("phase %s: %s", st.Phase, st.Message)
	}
	a.last = true
	if all := problems(a.told()); len(all) != 1 || !strings.Contains(all[0], "member m2 cannot be seen") {
		t.Errorf("problems %q", all)
	}
	s.ships.gone, s.cables.cut["m2"] = nil, true
	if all := problems(a.told()); len(all) != 1 || !strings.Contains(all[0], "member m2 cannot be reached since") {
		t.Errorf("problems %q", all)
	}
}

func TestAMemberThatAStageWouldLeaveOutIsANoteAndNoRefusal(t *testing.T) {
	s := newSea(t, "m1", "m2")
	s.ships.launch("m1", "dca", 4)
	s.ships.launch("m2", "dca", 4)
	s.cables.cut["m2"] = true
	const batch = `tasks: [{name: x, taskSpec: {apiVersion: stages.periplus.dev/v1alpha1, kind: BetaBatch,
	  spec: {target: web, members: [m1, m2], batchSize: 2, onUnreachable: %s, change: {images: {app: x}}}}}]`
	st := s.ask(fmt.Sprintf(batch, "Skip")).ready()
	if g := st.Stages[0].Groups; len(g) != 3 || len(g[2].Units) != 1 || g[2].Units[0].To != 4 {
		t.Errorf("groups %+v", g)
	}
	if notes := strings.Join(st.Stages[0].Notes, "; "); !strings.Contains(notes, "now: member m2 cannot be reached since") || !strings.Contains(notes, "it would be left out") {
		t.Errorf("notes %s", notes)
	}
	if all := problems(s.ask(fmt.Sprintf(batch, "Hold")).told()); len(all) != 1 || !strings.Contains(all[0], "member m2 cannot be reached since") {
		t.Errorf("where it is to be waited for: %q", all)
	}
	s.cables.cut["m1"] = true
	if all := problems(s.ask(fmt.Sprintf(batch, "Skip")).told()); len(all) != 1 || !strings.Contains(all[0], "no member is left to act in") {
		t.Errorf("with no member left: %q", all)
	}
}

func TestAWorkloadWhoseControllerIsNotThereIsNotPlannedAsNothingToDo(t *testing.T) {
	s, c := newCafeSea(t, "m1")
	c.launch("m1", "dca:4").change(func(u *ship) { u.Observed = false })
	a := s.ask(`tasks: [{name: x, taskSpec: {apiVersion: stages.periplus.dev/v1alpha1, kind: BetaBatch, spec: {target: cafe, members: [m1], batchSize: 2, change: {images: {app: x}}}}}]`)
	if st := a.told(); st.Phase != v1alpha1.PlanPending || !strings.Contains(st.Message, "is to observe it") {
		t.Errorf("phase %s: %s", st.Phase, st.Message)
	}
	a.last = true
	if all := problems(a.told()); len(all) != 1 || !strings.Contains(all[0], "x: spec.target: m1/web: CafeDeployment web is not yet observed by its controller") {
		t.Errorf("problems %q", all)
	}
}

func TestWhatHangsOnResultsIsKnownOnlyLater(t *testing.T) {
	s := newSea(t, "m1")
	s.ships.launch("m1", "dca", 4)
	st := s.ask(`tasks:
- name: pick
  taskRef: {name: pick}
- name: x
  params: [{name: who, value: $(tasks.pick.results.member)}]
  taskSpec: {apiVersion: stages.periplus.dev/v1alpha1, kind: Canary, spec: {target: web, members: [$(params.who)], pods: 1}}
- name: z
  when: [{input: "no", operator: in, values: ["yes"]}]
  taskSpec: {apiVersion: stages.periplus.dev/v1alpha1, kind: Canary, spec: {target: nowhere, pods: 1}}
`).ready()
	if x := planned(t, st, "x"); !slices.Equal(x.KnownAfter, []string{"pick"}) || !strings.Contains(x.Notes[0], "spec.members[0]: $(params.who) is known only then") {
		t.Errorf("x %+v", x)
	}
	if pick := planned(t, st, "pick"); !pick.Foreign || pick.Kind != "Task" {
		t.Errorf("pick %+v", pick)
	}
	if !planned(t, st, "z").Skipped {
		t.Error("z is not skipped")
	}
}

func TestAChangeThatIsHeldBackIsToldAgainstWhatPodsAreOn(t *testing.T) {
	s := newSea(t, "m1")
	u := s.ships.launch("m1", "dca", 4)
	u.Template.Spec.Containers[0].Image, u.UpdateRevision = "shop/web:v2", "rev-v2"
	for i := range u.Pods {
		u.Pods[i].Started, u.Pods[i].Updated = i == 0, i == 0
	}
	u.Pods[0].Revision = "rev-v2"
	u.Partition = ptr.To(plan.PartitionFor(1, 4))
	held := s.ask(`tasks: [{name: x, taskSpec: {apiVersion: stages.periplus.dev/v1alpha1, kind: Canary, spec: {target: web, members: [m1], pods: 3}}}]`)
	held.way = stage.Way{Because: "spec.podSetType: ReplicaSet"}
	x := planned(t, held.ready(), "x")
	if diff := cmp.Diff([]string{"3 canary pods in each unit: m1/dca 1-3/4"}, groupsOf(x)); diff != "" {
		t.Error(diff)
	}
	if c := x.Changes[0]; c.How != v1alpha1.ChangeRebuild || c.Because[0] != "spec.podSetType: ReplicaSet" || c.What[0] != "image of app: shop/web:v2" {
		t.Errorf("change %+v", c)
	}
	back := s.ask(`tasks: [{name: x, taskSpec: {apiVersion: stages.periplus.dev/v1alpha1, kind: Canary, spec: {target: web, members: [m1], pods: 4, change: {images: {app: "shop/web:v1"}}}}}]`)
	x = planned(t, back.ready(), "x")
	if diff := cmp.Diff([]string{"4 canary pods in each unit: m1/dca 3-4/4"}, groupsOf(x)); diff != "" {
		t.Errorf("going back to what most pods are on: %s", diff)
	}
}

func TestAHopIsToldWithItsWavesAndItsPipelineOnce(t *testing.T) {
	members := []string{"m1", "m2", "m3"}
	s := newSea(t, members...)
	s.answersReach(members)
	for _, m := range members {
		s.ships.launch(m, "dca", 4)
	}
	one := &pipelinev1.Pipeline{ObjectMeta: metav1.ObjectMeta{Name: "web-one", Namespace: "shop"}}
	one.Spec = *pipelineSpec(t, `
params: [{name: member}]
tasks:
- name: canary
  params: [{name: member, value: $(params.member)}]
  taskSpec: {apiVersion: stages.periplus.dev/v1alpha1, kind: Canary, spec: {target: web, members: [$(params.member)], pods: 1, change: {images: {app: "shop/web:v2"}}}}
`)
	if err := s.tekton.Tracker().Add(one); err != nil {
		t.Fatal(err)
	}
	hop := `tasks: [{name: hop, taskSpec: {apiVersion: stages.periplus.dev/v1alpha1, kind: ClusterHop, spec: {pipelineRef: {name: web-one}, waves: [{members: [m2]}, {memberSelector: {}, maxParallel: 5}], silentPeriod: 10m}}}]`
	st := s.ask(hop).ready()
	h := planned(t, st, "hop")
	want := []v1alpha1.PlannedWave{{Members: []string{"m2"}, MaxParallel: 1}, {Members: []string{"m1", "m3"}, MaxParallel: 5}}
	if diff := cmp.Diff(want, h.Waves); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"1 canary pods in each unit: m2/dca 0-1/4"}, groupsOf(planned(t, st, "hop/canary"))); diff != "" {
		t.Error(diff)
	}
	s.policy("m3", `{members: {names: [m3]}, require: {minBake: 1h}}`)
	if all := problems(s.ask(hop).told()); len(all) != 1 || !strings.Contains(all[0], "hop/canary: spec: in the run of ") || !strings.Contains(all[0], "m3") {
		t.Errorf("a policy of the last member: %q", all)
	}
	if all := problems(s.ask(strings.Replace(hop, "web-one", "web-two", 1)).told()); len(all) != 1 || !strings.Contains(all[0], `there is no Pipeline "web-two"`) {
		t.Errorf("a pipeline that is not there: %q", all)
	}
}

func TestAFreezeAndALockOfAnotherReleaseAreNotesAndNoRefusals(t *testing.T) {
	s := newSea(t, "m1")
	s.ships.launch("m1", "dca", 4).Lock = &v1alpha1.Lock{Hub: "another", Namespace: "shop", Release: "web-0-abc", Root: "web-0", Since: metav1.NewTime(s.clock.Now())}
	if err := s.freezes.Add(&v1alpha1.Freeze{ObjectMeta: metav1.ObjectMeta{Name: "cables", CreationTimestamp: metav1.NewTime(s.clock.Now().Add(-time.Minute))},
		Spec: v1alpha1.FreezeSpec{Members: []string{"m1"}, User: "fay", Message: "cut"}}); err != nil {
		t.Fatal(err)
	}
	st := s.ask(`tasks: [{name: x, taskSpec: {apiVersion: stages.periplus.dev/v1alpha1, kind: Canary, spec: {target: web, members: [m1], pods: 1, change: {images: {app: x}}}}}]`).ready()
	if n := planned(t, st, "x").Notes; len(n) != 2 || !strings.Contains(n[0], "freeze cables (fay: cut") || !strings.Contains(n[1], "held by release shop/web-0-abc") {
		t.Errorf("notes %q", n)
	}
}
