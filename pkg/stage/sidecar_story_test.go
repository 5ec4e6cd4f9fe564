package stage_test

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/plan"
	"github.com/periplus-dev/periplus/tasks/betabatch"
	"github.com/periplus-dev/periplus/tasks/canary"
	"github.com/periplus-dev/periplus/tasks/rollback"
	"github.com/periplus-dev/periplus/tasks/sidecarupgrade"
)

const meshV2 = `"target":"mesh","members":["m1"],"change":{"images":{"app":"shop/web:v2"}}`

// newMeshSea is a sea whose target mesh is SidecarSet web, which a policy gives, with pods in units such as dca:5.
func newMeshSea(t *testing.T, units ...string) (*sea, *flotillas, *flotilla) {
	t.Helper()
	s, c := newCafeSea(t, "m1")
	s.frame.Kinds["SidecarSet"] = c
	s.store(&v1alpha1.Target{ObjectMeta: metav1.ObjectMeta{Name: "mesh", Namespace: "shop"}, Spec: v1alpha1.TargetSpec{
		Workload: v1alpha1.WorkloadRef{APIVersion: "apps.periplus.dev/v1alpha1", Kind: "SidecarSet", Name: "web"}, MaxUnavailable: percent("50%"),
	}}, &v1alpha1.ReleasePolicy{ObjectMeta: metav1.ObjectMeta{Name: "mesh"}, Spec: v1alpha1.ReleasePolicySpec{SidecarSets: []string{"web"}}})
	web := c.launch("m1", units...)
	web.change(func(u *ship) { u.Kind, u.Namespace = "SidecarSet", "" })
	return s, c, web
}

func TestSidecarsGoUnitAfterUnitAndPeopleAreAskedBetween(t *testing.T) {
	s, c, web := newMeshSea(t, "dca:4", "dcb:4")
	v := s.sail(sidecarupgrade.Task{}, s.pipelineRun("web-1", "up"), "up", `{`+meshV2+`,"order":["dcb","dca"],"confirm":{"approvers":{"users":["bob"]}}}`)
	q := c.asks(v, "up-group-2")
	if got := web.updated(); got != "dca 0, dcb 4" {
		t.Errorf("at the question %s is updated", got)
	}
	v.saysTo(q.ID, "bob", v1alpha1.Approve, "")
	c.ends(v, "Succeeded", web.within(t, 2))
	if got := web.updated(); got != "dca 4, dcb 4" {
		t.Errorf("updated %s", got)
	}
	if v.result("revision") != "rev-v2" || v.result("updated") != "8" || v.result("waiting") != "0" {
		t.Errorf("results: %+v", v.run().Status.Results)
	}
	if touched := s.record().Status.Touched; len(touched) != 1 || touched[0].Kind != "SidecarSet" {
		t.Errorf("the record has %+v", touched)
	}
}

func TestACanaryOfASidecarIsWhatPoliciesAskFor(t *testing.T) {
	s, c, web := newMeshSea(t, "dca:4", "dcb:4")
	v := s.sail(canary.Task{}, s.pipelineRun("web-1", "canary"), "canary", `{`+meshV2+`,"pods":1}`)
	c.ends(v, "Succeeded")
	if got := web.updated(); got != "dca 1, dcb 1" {
		t.Errorf("updated %s", got)
	}
}

func TestASidecarSetThatNoPolicyGivesIsOutOfReach(t *testing.T) {
	s, _, _ := newMeshSea(t, "dca:4")
	s.store(&v1alpha1.Target{ObjectMeta: metav1.ObjectMeta{Name: "logs", Namespace: "shop"}, Spec: v1alpha1.TargetSpec{
		Workload: v1alpha1.WorkloadRef{APIVersion: "apps.periplus.dev/v1alpha1", Kind: "SidecarSet", Name: "logs"},
	}})
	for name, spec := range map[string]struct{ spec, want string }{
		"of another name": {`{"target":"logs","members":["m1"]}`, `spec.target[logs]: Forbidden: no ReleasePolicy gives SidecarSet "logs"`},
		"an application":  {`{"target":"web","members":["m1"]}`, `its workload is a InPlaceSet; a SidecarUpgrade moves a SidecarSet`},
	} {
		if why := s.sail(sidecarupgrade.Task{}, s.pipelineRun("run-"+short(name), short(name)), short(name), spec.spec).refused(); !strings.Contains(why, spec.want) {
			t.Errorf("%s: %q does not say %q", name, why, spec.want)
		}
	}
}

func TestPodsThatOnlyTheirCreationBringsToASidecarStopTheStageBeforeItMoves(t *testing.T) {
	wait := func(u *ship) {
		if u.Name == "dcb" {
			u.Waiting, u.WaitingFor = 2, "they have no gate"
		}
	}
	s, c, web := newMeshSea(t, "dca:4", "dcb:2")
	web.change(wait)
	v := s.sail(sidecarupgrade.Task{}, s.pipelineRun("web-1", "up"), "up", `{`+meshV2+`}`)
	c.ends(v, "WaitsForCreation")
	if got := web.updated(); got != "dca 0, dcb 0" || !strings.Contains(v.message(), "m1/dcb: 2 pods get revision rev-v2 only when they are created anew: they have no gate") {
		t.Errorf("%s updated; %s", got, v.message())
	}

	s, c, web = newMeshSea(t, "dca:4", "dcb:2")
	web.change(wait)
	v = s.sail(sidecarupgrade.Task{}, s.pipelineRun("web-1", "up"), "up", `{`+meshV2+`,"onWaitingForCreation":"Leave"}`)
	c.ends(v, "Succeeded")
	if got := web.updated(); got != "dca 4, dcb 2" || v.result("waiting") != "2" {
		t.Errorf("%s updated; results %+v", got, v.run().Status.Results)
	}
}

func TestAUnitWithoutAPodToMoveIsLetGoForThoseThatAreCreated(t *testing.T) {
	s, c, web := newMeshSea(t, "dca:4", "dcb:0")
	v := s.sail(sidecarupgrade.Task{}, s.pipelineRun("web-1", "up"), "up", `{`+meshV2+`}`)
	c.ends(v, "Succeeded")
	if got := web.partitions(); got != "dca 0, dcb 0" {
		t.Errorf("partitions %s", got)
	}
}

func TestAChangeThatNoRunningPodGetsIsLetGoForThoseThatAreCreated(t *testing.T) {
	s, c, web := newMeshSea(t, "dca:4", "dcb:2")
	v := s.sail(sidecarupgrade.Task{}, s.pipelineRun("web-1", "up"), "up", `{`+meshV2+`,"onWaitingForCreation":"Leave"}`)
	c.sailUntil(v, 20, func() bool { return web.unit("dca").Template.Spec.Containers[0].Image == "shop/web:v2" })
	web.change(func(u *ship) { u.Waiting, u.Pods, u.Replicas = u.Replicas, nil, 0 })
	c.ends(v, "Succeeded")
	if got := web.partitions(); got != "dca 0, dcb 0" || v.result("waiting") != "6" {
		t.Errorf("partitions %s, results %+v", got, v.run().Status.Results)
	}
}

func TestACanaryLetsNoUnitGoThatHasNoPods(t *testing.T) {
	s, c, web := newMeshSea(t, "dca:4", "dcb:0")
	c.ends(s.sail(canary.Task{}, s.pipelineRun("web-1", "canary"), "canary", `{`+meshV2+`,"pods":"25%"}`), "Succeeded")
	if got := web.partitions(); got != "dca 75%, dcb 100%" {
		t.Errorf("partitions %s: whatever is created in dcb would be of the canary's revision", got)
	}
}

func TestAUnitThatIsScaledToNoneInTheMiddleGoesOnByItsStepsWhenItIsBack(t *testing.T) {
	s, c, web := newMeshSea(t, "dca:4")
	v := s.sail(sidecarupgrade.Task{}, s.pipelineRun("web-1", "up"), "up", `{`+meshV2+`,"by":1,"confirm":{"approvers":{"users":["bob"]}}}`)
	c.asks(v, "up-group-2")
	web.scale("dca", 0)
	c.sailUntil(v, 10, func() bool { return strings.Contains(v.message(), "scaled to none") })
	for range 3 {
		v.pass()
		c.turn()
	}
	if p := web.unit("dca").Partition; !plan.SidecarsHeld(p) {
		t.Errorf("the partition is %s: all that is created gets the new sidecars, and nobody was asked", p)
	}
}

func TestPodsThatComeToWaitForTheirCreationInTheMiddleAreNotTakenForDone(t *testing.T) {
	wait := func(u *ship) { // as when somebody says drain: true, and no pod has the gate.
		u.Waiting, u.WaitingFor, u.Pods, u.Replicas = 4, "they have no gate", nil, 0
	}
	for leave, want := range map[string]string{"Fail": "ProgressDeadlineExceeded", "Leave": "Succeeded"} {
		s, c, web := newMeshSea(t, "dca:4")
		v := s.sail(sidecarupgrade.Task{}, s.pipelineRun("web-1", "up"), "up", `{`+meshV2+`,"by":2,"progressDeadline":"1m","onWaitingForCreation":"`+leave+`"}`)
		c.sailUntil(v, 20, func() bool { return web.updated() == "dca 1" })
		web.change(wait)
		c.ends(v, want)
		if leave == "Fail" && !strings.Contains(v.message(), "m1/dca: 4 pods get revision rev-v2 only when they are created anew: they have no gate") {
			t.Error(v.message())
		}
	}
}

func TestASidecarSetThatIsMadeAnewInTheMiddleIsNotLocked(t *testing.T) {
	s, c, web := newMeshSea(t, "dca:4")
	v := s.sail(sidecarupgrade.Task{}, s.pipelineRun("web-1", "up"), "up", `{`+meshV2+`,"by":1,"confirm":{"approvers":{"users":["bob"]}}}`)
	c.asks(v, "up-group-2")
	web.change(func(u *ship) { u.UID, u.Lock = "another", nil })
	c.ends(v, "ChangedBySomebodyElse")
	if lock := web.unit("dca").Lock; lock != nil {
		t.Errorf("nobody lets go of its lock: %+v", lock)
	}
}

func TestACanaryOfAllPodsThatThereAreIsNoneOfThoseThatAreCreated(t *testing.T) {
	s, c, web := newMeshSea(t, "dca:4", "dcb:1")
	pr := s.pipelineRun("web-1", "canary", "rest")
	v := s.sail(canary.Task{}, pr, "canary", `{`+meshV2+`,"pods":1,"bake":"1m"}`)
	c.sailUntil(v, 30, func() bool { return v.reason() == "Baking" })
	web.scale("dca", 1)
	for range 5 {
		v.pass()
		c.turn()
	}
	if got := web.updated() + "; " + web.partitions(); got != "dca 1, dcb 1; dca 75%, dcb 100%" {
		t.Errorf("%s: what is created in such a unit would be of the canary's revision", got)
	}
	web.scale("dca", 5)
	web.scale("dcb", 5)
	c.ends(v, "Succeeded")
	if got := web.updated(); got != "dca 1, dcb 1" {
		t.Errorf("updated %s", got)
	}
	c.ends(s.sail(betabatch.Task{}, pr, "rest", `{"target":"mesh","members":["m1"],"batchSize":4,"change":{"images":{"app":"shop/web:v2"}}}`), "Succeeded")
	if got := web.updated() + "; " + web.partitions(); got != "dca 5, dcb 5; dca 0, dcb 0" {
		t.Errorf("at the end %s", got)
	}
}

func TestAReleaseLetsGoOnlyOnceNewPodsGetItsSidecarsForGood(t *testing.T) {
	s, c, web := newMeshSea(t, "dca:2", "dcb:2")
	web.change(func(u *ship) { u.Proves = true })
	v := s.sail(sidecarupgrade.Task{}, s.pipelineRun("web-1", "up"), "up", `{`+meshV2+`}`)
	c.sailUntil(v, 30, func() bool { return strings.Contains(v.message(), "is to see all pods on revision rev-v2 at one time") })
	if got := web.updated(); got != "dca 2, dcb 2" {
		t.Errorf("it is waited for at %s", got)
	}
	web.change(func(u *ship) { u.Revision = "rev-v2" })
	c.ends(v, "Succeeded")
}

func TestAPatchOfWhatASidecarSetCannotHoldIsRefused(t *testing.T) {
	for name, spec := range map[string]struct{ change, reason, want string }{
		"the network of the host":      {`{"patch":{"spec":{"hostNetwork":true}}}`, "InvalidSpec", "hostNetwork"},
		"what running pods do not get": {`{"patch":{"spec":{"containers":[{"name":"app","env":[{"name":"A","value":"b"}]}]}}}`, "WaitsForCreation", "spec.containers[app].env"},
	} {
		s, c, web := newMeshSea(t, "dca:2")
		v := s.sail(sidecarupgrade.Task{}, s.pipelineRun("web-1", "up"), "up", `{"target":"mesh","members":["m1"],"change":`+spec.change+`}`)
		c.ends(v, spec.reason)
		if !strings.Contains(v.message(), spec.want) || web.unit("dca").Template.Spec.HostNetwork || len(web.unit("dca").Template.Spec.Containers[0].Env) > 0 {
			t.Errorf("%s: %s; template %+v", name, v.message(), web.unit("dca").Template.Spec)
		}
	}
}

func TestARollbackNamesPodsThatKeepTheSidecarUntilTheyAreCreatedAnew(t *testing.T) {
	s, c, web := newMeshSea(t, "dca:4")
	pr := s.pipelineRun("web-1", "up", "back")
	c.ends(s.sail(sidecarupgrade.Task{}, pr, "up", `{`+meshV2+`}`), "Succeeded")
	web.change(func(u *ship) {
		u.Waiting, u.WaitingOn, u.WaitingFor = 3, map[string]int32{"rev-v2": 2, "rev-v0": 1}, "they have no gate"
	})
	back := s.sail(rollback.Task{}, pr, "back", `{}`)
	c.ends(back, "LeftBehind")
	if !strings.Contains(back.message(), "m1/dca: 2 pods keep revision rev-v2 until they are created anew: they have no gate") {
		t.Error(back.message())
	}
}

func TestASidecarIsTakenBack(t *testing.T) {
	s, c, web := newMeshSea(t, "dca:4", "dcb:4")
	pr := s.pipelineRun("web-1", "up", "back")
	v := s.sail(sidecarupgrade.Task{}, pr, "up", `{`+meshV2+`}`)
	c.ends(v, "Succeeded")
	back := s.sail(rollback.Task{}, pr, "back", `{}`)
	c.ends(back, "Succeeded", web.within(t, 2))
	for _, unit := range []string{"dca", "dcb"} {
		if image := web.unit(unit).Template.Spec.Containers[0].Image; image != "shop/web:v1" {
			t.Errorf("%s has %s", unit, image)
		}
	}
	if rel := s.record(); rel.Status.Phase != v1alpha1.ReleaseRolledBack {
		t.Errorf("the record: %+v", rel.Status)
	}
}
