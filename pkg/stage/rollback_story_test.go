package stage_test

import (
	"context"
	"strings"
	"testing"
	"time"

	pipelinev1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"knative.dev/pkg/apis"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/tasks/canary"
	"github.com/periplus-dev/periplus/tasks/partitionbump"
	"github.com/periplus-dev/periplus/tasks/rollback"
)

const bumpV2 = `{"target":"%","members":["M"],"change":{"images":{"app":"shop/web:v2"}},"order":["dca"]}`

func bumpIn(target string, members ...string) string {
	return strings.Replace(strings.Replace(bumpV2, "%", target, 1), `"M"`, `"`+strings.Join(members, `","`)+`"`, 1)
}

// record reads the one release there is.
func (s *sea) record() *v1alpha1.Release {
	s.t.Helper()
	all, err := s.periplus.StagesV1alpha1().Releases("shop").List(context.Background(), metav1.ListOptions{})
	if err != nil || len(all.Items) != 1 {
		s.t.Fatalf("%d releases: %v", len(all.Items), err)
	}
	return &all.Items[0]
}

// see puts the release into the cache, as it is.
func (s *sea) see() {
	s.t.Helper()
	if err := s.releases.Add(s.record()); err != nil {
		s.t.Fatal(err)
	}
}

// turns lets workloads move until a condition holds, at most 60 times.
func (s *sea) turns(until func() bool) {
	s.t.Helper()
	for range 60 {
		if until() {
			return
		}
		s.ships.turn()
	}
	s.t.Fatal("the workloads never came there")
}

func message(v *voyage) string { return v.run().Status.GetCondition(apis.ConditionSucceeded).Message }

// underWay is a release in which dca of two members is partly on v2.
func underWay(t *testing.T) (s *sea, pr *pipelinev1.PipelineRun, first, second *ship) {
	t.Helper()
	s = newSea(t, "m1", "m2")
	s.store(&v1alpha1.Target{ObjectMeta: metav1.ObjectMeta{Name: "strict", Namespace: "shop"}, Spec: v1alpha1.TargetSpec{
		Workload:       v1alpha1.WorkloadRef{APIVersion: "apps.periplus.dev/v1alpha1", Kind: "InPlaceSet", Selector: map[string]string{"app": "web"}},
		MaxUnavailable: percent("25%"),
	}})
	first, second = s.ships.launch("m1", "dca", 8), s.ships.launch("m2", "dca", 8)
	pr = s.pipelineRun("web-1", "bump1", "bump2", "back")
	s.sail(partitionbump.Task{}, pr, "bump1", bumpIn("strict", "m1")).until("Succeeded")
	s.clock.Step(time.Minute)
	v := s.sail(partitionbump.Task{}, pr, "bump2", bumpIn("strict", "m2"))
	for range 20 {
		v.pass()
		if second.updated() >= 3 {
			break
		}
		s.ships.turn()
		s.clock.Step(time.Second)
	}
	v.cancel()
	v.end()
	s.turns(func() bool { return second.available() == 8 })
	s.see()
	return s, pr, first, second
}

func (u *ship) available() int {
	n := 0
	for _, p := range u.Pods {
		if p.Available {
			n++
		}
	}
	return n
}

func TestAReleaseGoesBackWhollyNewestFirstAndUnderItsLimits(t *testing.T) {
	s, pr, first, second := underWay(t)
	before := len(s.log.all())
	v := s.sail(rollback.Task{}, pr, "back", `{}`)
	for range 80 {
		v.pass()
		if v.run().Status.CompletionTime != nil {
			break
		}
		s.ships.turn()
		s.clock.Step(time.Second)
		for _, u := range []*ship{first, second} {
			if u.available() < 6 {
				t.Fatalf("only %d of 8 pods of %s are available; the limit is 25%%", u.available(), u.Ref())
			}
		}
	}
	if cr := v.run(); !cr.IsSuccessful() {
		t.Fatalf("the rollback ended as %+v", cr.Status.Conditions)
	}
	for _, u := range []*ship{first, second} {
		if n := onRevision(u, "rev-v1"); n != 8 {
			t.Errorf("%d of 8 pods of %s are back", n, u.Ref())
		}
	}
	var templates []string
	for _, e := range s.log.all()[before:] {
		if strings.Contains(e, "template shop/web:v1") {
			templates = append(templates, e[:6])
		}
	}
	if got := strings.Join(templates, " "); got != "m2/dca m1/dca" {
		t.Errorf("templates went back in the order %s; want the newest first, each once", got)
	}
	rel := s.record()
	if rel.Status.Phase != v1alpha1.ReleaseRolledBack || rel.Status.Rollback.CompletionTime == nil || rel.Status.Touched[0].Back == nil {
		t.Errorf("the record does not say so: %+v", rel.Status)
	}
	if v.result("members") != `["m2","m1"]` || v.result("revision") != "rev-v1" {
		t.Errorf("results: %v", v.run().Status.Results)
	}
}

func TestAReleaseThatTouchedNothingGoesBackNowhereAndSaysSo(t *testing.T) {
	s := newSea(t, "m1")
	s.ships.launch("m1", "dca", 4)
	v := s.sail(rollback.Task{}, s.pipelineRun("web-1", "back"), "back", `{}`)
	v.until("Succeeded")
	if !strings.Contains(message(v), "nothing was touched") || len(s.log.all()) != 0 || v.result("members") != "[]" {
		t.Errorf("%s; writes %v", message(v), s.log.all())
	}
}

func TestAMemberThatIsGoneIsNamedAndGoesBackWhenItReturnsIfAsked(t *testing.T) {
	for name, tc := range map[string]struct {
		spec string
		wait bool
	}{"skipped where nothing is said": {`{}`, false}, "waited for where asked": {`{"onUnreachable":"Wait"}`, true}} {
		t.Run(name, func(t *testing.T) {
			s, pr, first, second := underWay(t)
			s.cables.cut["m1"] = true
			v := s.sail(rollback.Task{}, pr, "back", tc.spec)
			cr := v.until("LeftBehind", "MemberUnreachable")
			if n := onRevision(second, "rev-v1"); n != 8 {
				t.Errorf("%d of 8 pods of the member that answers are back", n)
			}
			if !strings.Contains(message(v), "m1 cannot be reached") {
				t.Errorf("the message does not name the member: %s", message(v))
			}
			if !tc.wait {
				v.end()
				if rel := s.record(); rel.Status.Phase == v1alpha1.ReleaseRolledBack {
					t.Error("the record says that all is back")
				}
				return
			}
			if cr.Status.CompletionTime != nil {
				t.Fatal("it did not wait")
			}
			s.cables.cut["m1"] = false
			v.until("Succeeded")
			if n := onRevision(first, "rev-v1"); n != 8 {
				t.Errorf("%d of 8 pods are back once the member has returned", n)
			}
		})
	}
}

func TestWhatSomebodyElseChangedSinceIsLeftAsItIs(t *testing.T) {
	s, pr, first, second := underWay(t)
	first.Template.Spec.Containers[0].Image = "shop/web:v9"
	first.Observed = false
	first.bump()
	s.turns(func() bool { return onRevision(first, "rev-v9") == 8 || first.Observed })
	v := s.sail(rollback.Task{}, pr, "back", `{}`)
	v.until("LeftBehind")
	v.end()
	if got := first.Template.Spec.Containers[0].Image; got != "shop/web:v9" {
		t.Errorf("the rollback wrote %s over somebody else's template", got)
	}
	if onRevision(second, "rev-v1") != 8 || !strings.Contains(message(v), "m1/dca: InPlaceSet web-dca was changed by somebody else since") {
		t.Errorf("%d pods of m2 are back; %s", onRevision(second, "rev-v1"), message(v))
	}
}

func TestARollbackThatIsCutOffIsCarriedOnByTheNext(t *testing.T) {
	s, pr, first, second := underWay(t)
	v := s.sail(rollback.Task{}, pr, "back", `{}`)
	v.until("UpdatingPods")
	for range 20 {
		if onRevision(second, "rev-v1") > 5 {
			break
		}
		v.pass()
		s.ships.turn()
	}
	v.cancel()
	v.end()
	again := s.sail(rollback.Task{}, pr, "again", `{}`)
	again.until("Succeeded")
	if a, b := onRevision(first, "rev-v1"), onRevision(second, "rev-v1"); a != 8 || b != 8 {
		t.Errorf("%d and %d of 8 pods are back", a, b)
	}
}

func TestOnlyTheNamedMembersGoBackInScopeMember(t *testing.T) {
	s, pr, first, second := underWay(t)
	v := s.sail(rollback.Task{}, pr, "back", `{"scope":"Member","members":["m2"]}`)
	v.until("Succeeded")
	if a, b := onRevision(first, "rev-v1"), onRevision(second, "rev-v1"); a != 0 || b != 8 {
		t.Errorf("%d pods of m1 and %d of m2 are back; want 0 and 8", a, b)
	}
	if rel := s.record(); rel.Status.Phase != v1alpha1.ReleaseRunning {
		t.Errorf("the release is %s though a member still carries it", rel.Status.Phase)
	}
}

func TestSiblingsStandStillWhileAPartGoesBack(t *testing.T) {
	s, pr, _, second := underWay(t)
	back := s.sail(rollback.Task{}, pr, "back", `{"scope":"Member","members":["m1"]}`)
	back.until("UpdatingPods", "Preparing")
	s.see()
	at := onRevision(second, "rev-v2")
	other := s.sail(partitionbump.Task{}, pr, "other", bumpIn("strict", "m2"))
	other.until("GoingBack")
	for range 20 {
		other.pass()
		s.ships.turn()
	}
	if n := onRevision(second, "rev-v2"); n != at {
		t.Errorf("a sibling moved from %d to %d pods while a part went back", at, n)
	}
	back.until("Succeeded")
	s.see()
	other.until("Succeeded")
}

func TestWithoutTheOldTemplateAUnitIsNamedAndTheOthersGoBack(t *testing.T) {
	s, pr, _, _ := underWay(t)
	s.ships.forgotten = true
	v := s.sail(rollback.Task{}, pr, "back", `{}`)
	v.until("LeftBehind")
	if !strings.Contains(message(v), "rev-v1") {
		t.Errorf("the message does not say what is missing: %s", message(v))
	}
}

func TestAReleaseOfAnotherRunIsTakenBackByName(t *testing.T) {
	s, _, first, second := underWay(t)
	v := s.sail(rollback.Task{}, s.pipelineRun("undo", "back"), "back", `{"release":"`+s.record().Name+`"}`)
	v.until("Succeeded")
	if a, b := onRevision(first, "rev-v1"), onRevision(second, "rev-v1"); a != 8 || b != 8 {
		t.Errorf("%d and %d of 8 pods are back", a, b)
	}
	wrong := s.sail(rollback.Task{}, s.pipelineRun("typo", "x"), "x", `{"release":"nobodys"}`)
	wrong.until("InvalidSpec")
	if !strings.Contains(message(wrong), "spec.release") {
		t.Error(message(wrong))
	}
}

func TestALaterStageOfTheSameRunDoesNotCarryOnWhatWasTakenBack(t *testing.T) {
	s, pr, first, _ := underWay(t)
	s.sail(rollback.Task{}, pr, "back", `{"scope":"Member","members":["m1"]}`).until("Succeeded")
	s.see()
	v := s.sail(canary.Task{}, pr, "more", strings.Replace(oneCanary, `"web"`, `"strict"`, 1))
	v.until("ReleaseOver")
	v.end()
	if n := onRevision(first, "rev-v1"); n != 8 {
		t.Errorf("%d of 8 pods stayed back", n)
	}
}

func TestAChangeThatWasHeldBackAndNeverCarriedStaysHeldBack(t *testing.T) {
	s := newSea(t, "m1")
	dca := s.ships.launch("m1", "dca", 4)
	dca.Template.Spec.Containers[0].Image = "shop/web:v2" // as Git brought it, with the partition at rest.
	dca.Observed = false
	dca.bump()
	s.ships.turn()
	pr := s.pipelineRun("web-1", "canary", "back")
	v := s.sail(canary.Task{}, pr, "canary", `{"target":"web","members":["m1"],"pods":1,"guards":[{"name":"never","when":"Before","expr":"1 > 2"}]}`)
	v.until("GuardFailed")
	v.end()
	s.see()
	s.sail(rollback.Task{}, pr, "back", `{}`).until("Succeeded")
	if got := dca.Template.Spec.Containers[0].Image; got != "shop/web:v2" || onRevision(dca, "rev-v1") != 4 {
		t.Errorf("the template is %s, %d of 4 pods are on v1: the release had moved nothing", got, onRevision(dca, "rev-v1"))
	}
}
