package stage_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/tasks/canary"
	"github.com/periplus-dev/periplus/tasks/partitionbump"
	"github.com/periplus-dev/periplus/tasks/rollback"
)

const (
	cafeV2      = `"target":"cafe","members":["m1"],"change":{"images":{"app":"shop/web:v2"}}`
	cafeCanary  = `{` + cafeV2 + `,"pods":1}`
	cafeByUnits = `{` + cafeV2 + `,"order":["dcb","dca"],"by":"50%"}`
)

func TestACafeDeploymentIsLockedRecordedAndHeldBackAsAWholeAndMovedByUnit(t *testing.T) {
	s, c := newCafeSea(t, "m1")
	web := c.launch("m1", "dca:4", "dcb:4")
	v := s.sail(canary.Task{}, s.pipelineRun("web-1", "canary"), "canary", cafeCanary)
	c.ends(v, "Succeeded")
	if got := web.updated(); got != "dca 1, dcb 1" {
		t.Errorf("updated %s", got)
	}
	want := []string{
		"m1/web: lock", `record: m1/ touched, revision ""`, "m1/web: dca 100%, dcb 100%, template shop/web:v2", `record: m1/ touched, revision "rev-v2"`,
		"m1/web: dca 75%, dcb 75%",
	}
	if got := slices.Compact(slices.Clone(s.log.all())); strings.Join(got[:len(want)], "\n") != strings.Join(want, "\n") {
		t.Errorf("the writes are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	touched := s.record().Status.Touched
	if len(touched) != 1 || touched[0].Workload != "web" || touched[0].Kind != "CafeDeployment" || len(touched[0].Previous.Partitions) != 2 {
		t.Errorf("the record has %+v", touched)
	}
	if v.result("revision") != "rev-v2" || v.result("pods") != `["web-dca-0","web-dcb-0"]` {
		t.Errorf("results: %+v", v.run().Status.Results)
	}
}

func TestABumpTakesTheUnitsOfACafeDeploymentInTheOrderGiven(t *testing.T) {
	s, c := newCafeSea(t, "m1")
	web := c.launch("m1", "dca:4", "dcb:4")
	v := s.sail(partitionbump.Task{}, s.pipelineRun("web-1", "bump"), "bump", cafeByUnits)
	c.ends(v, "Succeeded", web.within(t, 2), func() {
		if web.unit("dca").updated() > 0 && web.unit("dcb").updated() < 4 {
			t.Fatalf("dca began before dcb was done: %s", web.updated())
		}
	})
	if got := web.updated() + "; " + web.partitions(); got != "dca 4, dcb 4; dca 0, dcb 0" {
		t.Error(got)
	}
	var moves []string
	for _, m := range s.record().Status.Moves {
		moves = append(moves, m.What)
	}
	for _, want := range []string{"dcb: 2 of 4 updated (step 1 of 4)", "dca: 4 of 4 updated (step 4 of 4)"} {
		if !slices.Contains(moves, want) {
			t.Errorf("the record does not say %q: %q", want, moves)
		}
	}
}

func TestADeploymentThatRollsByItselfIsTakenOverWhereItsPodsAre(t *testing.T) {
	s, c := newCafeSea(t, "m1")
	web := c.launch("m1", "dca:4", "dcb:4")
	// Somebody changed the template, and the deployment's own groups are at one pod in dca.
	web.change(func(u *ship) {
		u.Own, u.UpdateRevision, u.Partition = true, "rev-v2", number(4)
		u.Template.Spec.Containers[0].Image = "shop/web:v2"
		for i := range u.Pods {
			u.Pods[i].Started, u.Pods[i].Updated = false, false
		}
		if u.Name == "dca" {
			u.Partition = number(3)
			u.Pods[0].Started, u.Pods[0].Updated, u.Pods[0].Revision = true, true, "rev-v2"
		}
	})
	v := s.sail(partitionbump.Task{}, s.pipelineRun("web-1", "bump"), "bump", `{"target":"cafe","members":["m1"],"order":["dca","dcb"]}`)
	c.sailUntil(v, 20, func() bool { return !web.ships[0].Own })
	if got := web.partitions(); got != "dca 75%, dcb 100%" {
		t.Errorf("it was taken over at %s", got)
	}
	if p := s.record().Status.Touched[0].Previous; p.Partitions != nil || p.Revision != "rev-v1" || p.UpdateRevision != "rev-v2" {
		t.Errorf("the record says of the time before: %+v", p)
	}
	c.ends(v, "Succeeded")
	if got := web.updated(); got != "dca 4, dcb 4" {
		t.Errorf("updated %s", got)
	}
}

func TestAHaltOfOneUnitKeepsAllUnitsOfADeploymentThatRollsByItself(t *testing.T) {
	s, c := newCafeSea(t, "m1")
	web := c.launch("m1", "dca:4", "dcb:4")
	web.change(func(u *ship) { u.Own, u.Partition = true, number(0) })
	v := s.sail(canary.Task{}, s.pipelineRun("web-1", "canary"), "canary", cafeCanary)
	c.sailUntil(v, 20, func() bool { return web.unit("dca").updated() == 1 })
	v.cancel()
	c.ends(v, "CustomRunCancelled")
	for range 10 {
		c.turn()
	}
	if got := web.updated() + "; " + web.partitions(); got != "dca 1, dcb 1; dca 75%, dcb 75%" {
		t.Error(got)
	}
}

func TestADeploymentGoesBackByUnitUnderTheSameLimit(t *testing.T) {
	s, c := newCafeSea(t, "m1")
	web := c.launch("m1", "dca:6", "dcb:4")
	pr := s.pipelineRun("web-1", "bump", "back")
	c.ends(s.sail(partitionbump.Task{}, pr, "bump", cafeByUnits), "Succeeded")
	s.see()
	before := len(s.log.all())
	v := s.sail(rollback.Task{}, pr, "back", `{}`)
	limit := func() {
		t.Helper()
		for _, u := range web.ships {
			if n := int32(u.available()); n < u.Replicas/2 { // #nosec G115 -- a few pods.
				t.Fatalf("%d of %d pods of %s are available; the limit is 50%%", n, u.Replicas, u.Ref())
			}
		}
	}
	c.ends(v, "Succeeded", limit)
	if a, b := onRevision(web.unit("dca"), "rev-v1"), onRevision(web.unit("dcb"), "rev-v1"); a != 6 || b != 4 {
		t.Errorf("%d of 6 and %d of 4 pods are back", a, b)
	}
	first := slices.DeleteFunc(s.log.all()[before:], func(e string) bool { return strings.HasPrefix(e, "record") })[0]
	if first != "m1/web: dca 100%, dcb 100%, template shop/web:v1" {
		t.Errorf("it began with %q", first)
	}
	if got := v.result("revision"); got != "rev-v1" {
		t.Errorf("back at %q", got)
	}
	if rel := s.record(); rel.Status.Phase != v1alpha1.ReleaseRolledBack || rel.Status.Touched[0].Back == nil {
		t.Errorf("the record says %+v", rel.Status)
	}
}

func TestALostReleaseOfADeploymentGoesBackByItsLock(t *testing.T) {
	s, c := newCafeSea(t, "m1")
	web := c.launch("m1", "dca:4", "dcb:4")
	pr := s.pipelineRun("web-1", "canary")
	c.ends(s.sail(canary.Task{}, pr, "canary", cafeCanary), "Succeeded")
	s.see()
	lost := s.record().Name
	s.loseRecords()
	if err := s.prs.Delete(pr); err != nil {
		t.Fatal(err)
	}
	v := s.undo("undo", fromMembers(lost, ""))
	c.ends(v, "Succeeded")
	if a, b := onRevision(web.unit("dca"), "rev-v1"), onRevision(web.unit("dcb"), "rev-v1"); a != 4 || b != 4 {
		t.Errorf("%d and %d of 4 pods are back", a, b)
	}
	if rel := s.record(); len(rel.Status.Touched) != 1 || len(rel.Status.Touched[0].Previous.Partitions) != 2 {
		t.Errorf("the record says %+v", rel.Status.Touched)
	}
}

func TestADeploymentThatSomebodyElseChangedIsLeftAlone(t *testing.T) {
	s, c := newCafeSea(t, "m1")
	web := c.launch("m1", "dca:4", "dcb:4")
	pr := s.pipelineRun("web-1", "canary", "bump")
	c.ends(s.sail(canary.Task{}, pr, "canary", cafeCanary), "Succeeded")
	web.change(func(u *ship) {
		u.Template.Spec.Containers[0].Image, u.Observed = "shop/web:hotfix", false
	})
	v := s.sail(partitionbump.Task{}, pr, "bump", cafeByUnits)
	before := len(s.log.all())
	c.ends(v, "ChangedBySomebodyElse")
	if !strings.Contains(v.message(), "m1/web") || !strings.Contains(v.message(), "CafeDeployment web") {
		t.Errorf("the message does not name the deployment: %s", v.message())
	}
	for _, e := range s.log.all()[before:] {
		if strings.Contains(e, "template") {
			t.Errorf("it wrote %s", e)
		}
	}
}

func TestTwoReleasesNeverMoveOneDeployment(t *testing.T) {
	s, c := newCafeSea(t, "m1")
	web := c.launch("m1", "dca:4", "dcb:4")
	c.ends(s.sail(canary.Task{}, s.pipelineRun("web-1", "canary"), "canary", cafeCanary), "Succeeded")
	second := s.sail(canary.Task{}, s.pipelineRun("web-2", "other"), "other", strings.Replace(cafeCanary, "web:v2", "web:v3", 1))
	c.sailUntil(second, 20, func() bool { return second.reason() == "LockedByAnotherRelease" })
	if !strings.Contains(second.message(), "web-1") {
		t.Errorf("the message does not name the holder: %s", second.message())
	}
	s.clock.Step(time.Minute)
	second.pass()
	if got := web.unit("dca").Template.Spec.Containers[0].Image; got != "shop/web:v2" {
		t.Errorf("the template is %s", got)
	}
}

func TestADeploymentThatItsControllerHasNotSeenYetIsWaitedForAndNotRefused(t *testing.T) {
	s, c := newCafeSea(t, "m1")
	web := c.launch("m1", "dca:4", "dcb:4")
	web.change(func(u *ship) { u.Observed, u.stopped, u.Replicas = false, true, 0 })
	v := s.sail(canary.Task{}, s.pipelineRun("web-1", "canary"), "canary", cafeCanary)
	c.sailUntil(v, 10, func() bool { return v.reason() == "Preparing" })
	if len(s.log.all()) != 0 {
		t.Errorf("it wrote %v", s.log.all())
	}
	web.change(func(u *ship) { u.stopped, u.Replicas = false, 4 })
	c.ends(v, "Succeeded")
}

func TestAReleaseOfADeploymentIsRecordedUnderItsTarget(t *testing.T) {
	s, c := newCafeSea(t, "m1")
	c.launch("m1", "dca:4", "dcb:4")
	v := s.sail(canary.Task{}, s.pipelineRun("web-1", "canary"), "canary", cafeCanary)
	c.ends(v, "Succeeded")
	touched := s.record().Status.Touched[0]
	if touched.Target != "cafe" || touched.MaxUnavailable.String() != "50%" || touched.UID != "m1-web" || touched.Time == (metav1.Time{}) {
		t.Errorf("%+v", touched)
	}
}
