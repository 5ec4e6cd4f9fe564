package stage_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"knative.dev/pkg/apis"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/workload"
	"github.com/periplus-dev/periplus/tasks/canary"
	"github.com/periplus-dev/periplus/tasks/clusterhop"
	"github.com/periplus-dev/periplus/tasks/partitionbump"
)

const bumpBoth = `{"target":"web","members":["m1"],"change":{"images":{"app":"shop/web:v2"}},"steps":[{"unit":"dca","updated":"100%"},{"unit":"dcb","updated":"100%"}]}`

func (v *voyage) cancel() {
	v.edit(func(cr *v1beta1.CustomRun) { cr.Spec.Status = v1beta1.CustomRunSpecStatusCancelled })
}

// end passes until the run is over, in at most 100 passes of one second each.
func (v *voyage) end() *v1beta1.CustomRun {
	v.t.Helper()
	for range 100 {
		v.pass()
		if cr := v.run(); cr.Status.CompletionTime != nil {
			return cr
		}
		v.clock.Step(1e9)
	}
	v.t.Fatalf("%s never ended: %+v", v.name, v.run().Status.Conditions)
	return nil
}

func TestTroubleWithOneUnitKeepsNoOtherFromBeingHeldBack(t *testing.T) {
	s := newSea(t, "m1")
	dca, dcb := s.ships.launch("m1", "dca", 8), s.ships.launch("m1", "dcb", 8)
	v := s.sail(canary.Task{}, s.pipelineRun("web-1", "canary"), "canary", strings.Replace(oneCanary, `"pods":1`, `"pods":6`, 1))
	v.until("UpdatingPods")
	for dca.updated() < 2 || dcb.updated() < 2 {
		s.ships.turn()
	}
	s.ships.fail = func(u *workload.Unit, _ workload.Write) error {
		if u.Name == "dca" {
			return apierrors.NewForbidden(schema.GroupResource{Resource: "inplacesets"}, u.Workload, errors.New("a policy forbids it"))
		}
		return nil
	}
	v.cancel()
	cr := v.end()
	for range 30 {
		s.ships.turn()
	}
	if dcb.updated() > 3 {
		t.Errorf("%d pods of dcb were updated after a cancel at 2", dcb.updated())
	}
	if msg := cr.Status.GetCondition(apis.ConditionSucceeded).Message; !strings.Contains(msg, "could not be held back") || !strings.Contains(msg, "a policy forbids it") {
		t.Errorf("the message does not say what could not be held back: %q", msg)
	}
}

func TestAUnitWhoseControllerHasNotSeenItIsHeldBackWhole(t *testing.T) {
	s := newSea(t, "m1")
	dca := s.ships.launch("m1", "dca", 8)
	v := s.sail(canary.Task{}, s.pipelineRun("web-1", "canary"), "canary", strings.Replace(oneCanary, `"pods":1`, `"pods":6`, 1))
	v.until("UpdatingPods")
	dca.stopped = true // its controller went away before it saw the partition that lets six go.
	v.cancel()
	v.end()
	if got := dca.Partition.String(); got != "100%" {
		t.Errorf("the partition is left at %s; pods would go on once the controller is back", got)
	}
}

func TestWhatAnEndedStageShowsIsWhatItLeft(t *testing.T) {
	s := newSea(t, "m1")
	dca := s.ships.launch("m1", "dca", 8)
	v := s.sail(partitionbump.Task{}, s.pipelineRun("web-1", "bump"), "bump", strings.Replace(bumpBoth, `,{"unit":"dcb","updated":"100%"}`, "", 1))
	v.until("UpdatingPods")
	for dca.updated() < 3 {
		s.ships.turn()
	}
	v.cancel()
	v.end()
	got := v.status().Members[0].Units[0]
	if got.Partition != dca.Partition.String() || got.Partition == "0" || got.Want != 8 {
		t.Errorf("the status shows partition %s, %d updated, %d wanted; the unit has %s, %d", got.Partition, got.Updated, got.Want, dca.Partition, dca.updated())
	}
}

func TestAStageThatMovesNothingHoldsNothingBack(t *testing.T) {
	s := newSea(t, "m1", "m2")
	dca := s.ships.launch("m1", "dca", 4)
	s.ships.launch("m2", "dca", 4)
	pr := s.pipelineRun("web-1", "bump", "hop")
	bump := s.sail(partitionbump.Task{}, pr, "bump", `{"target":"web","members":["m1"],"change":{"images":{"app":"shop/web:v2"}},"order":["dca"]}`)
	bump.until("UpdatingPods")
	hop := s.sail(clusterhop.Task{}, pr, "hop", `{"target":"web","from":["m1"],"to":["m2"],"silentPeriod":"5m"}`)
	hop.until("SilentPeriod")
	hop.cancel()
	before := len(s.log.all())
	hop.end()
	for _, e := range s.log.all()[before:] {
		if strings.HasPrefix(e, "m1/") {
			t.Errorf("a cancelled hop wrote %q", e)
		}
	}
	if dca.Lock == nil {
		t.Error("the lock is gone")
	}
}

func TestAWorkloadThatIsInTheMiddleOfSomethingIsHeldBackBeforeTheBeforeGuards(t *testing.T) {
	s := newSea(t, "m1")
	dca := s.ships.launch("m1", "dca", 8)
	dca.Partition = percent("0%")
	dca.Template.Spec.Containers[0].Image = "shop/web:v2" // as Git brought it.
	dca.Observed = false
	dca.bump()
	for dca.updated() < 2 {
		s.ships.turn()
	}
	v := s.sail(canary.Task{}, s.pipelineRun("web-1", "canary"), "canary", `{"target":"web","members":["m1"],"pods":3,"onGuardFailure":"Hold",
		"guards":[{"name":"green","when":"Before","expr":"1 > 2"}]}`)
	v.until("GuardHolding")
	at := dca.updated()
	for range 30 {
		v.pass()
		s.ships.turn()
	}
	if dca.updated() != at || at > 4 {
		t.Errorf("%d pods were updated when the stage held, %d later", at, dca.updated())
	}
}

func TestAStaleRecordLetsNobodysTemplateBeWrittenOver(t *testing.T) {
	s := newSea(t, "m1")
	dca := s.ships.launch("m1", "dca", 4)
	pr := s.pipelineRun("web-1", "canary", "bump")
	first := s.sail(canary.Task{}, pr, "canary", oneCanary)
	first.until("UpdatingPods")
	rel, err := s.periplus.StagesV1alpha1().Releases("shop").Get(context.Background(), first.status().Release, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	stale := rel.DeepCopy()
	stale.Status.Touched[0].Revision = "" // the cache is from before the revision was recorded.
	if err := s.releases.Add(stale); err != nil {
		t.Fatal(err)
	}
	first.until("Succeeded")
	dca.Template.Spec.Containers[0].Image = "shop/web:v9"
	dca.Observed = false
	dca.bump()
	for _, stage := range []struct{ name, change string }{{"bump", `,"change":{"images":{"app":"shop/web:v2"}}`}, {"again", ""}} {
		v := s.sail(partitionbump.Task{}, pr, stage.name, `{"target":"web","members":["m1"],"order":["dca"]`+stage.change+`}`)
		cr := v.until("ChangedBySomebodyElse")
		if msg := cr.Status.GetCondition(apis.ConditionSucceeded).Message; !strings.Contains(msg, "rev-v9") {
			t.Errorf("%s: the message names not the other revision: %q", stage.name, msg)
		}
		if got := dca.Template.Spec.Containers[0].Image; got != "shop/web:v9" {
			t.Fatalf("%s wrote %s over somebody else's template", stage.name, got)
		}
		v.end()
	}
}

func TestLocksAreTakenInTheOrderOfMembersWhateverTheSpecSays(t *testing.T) {
	s := newSea(t, "m1", "m2")
	s.ships.launch("m1", "dca", 4)
	s.ships.launch("m2", "dca", 4)
	s.sail(canary.Task{}, s.pipelineRun("web-1", "canary"), "canary", strings.Replace(oneCanary, `["m1"]`, `["m2","m1"]`, 1)).until("UpdatingPods")
	var locks []string
	for _, e := range s.log.all() {
		if strings.HasSuffix(e, ": lock") {
			locks = append(locks, e)
		}
	}
	if got := strings.Join(locks, "; "); got != "m1/dca: lock; m2/dca: lock" {
		t.Errorf("locks were taken as %s", got)
	}
}

func TestARecordThatRefusesVerdictsKeepsNoRunFromEnding(t *testing.T) {
	s := newSea(t, "m1")
	s.ships.launch("m1", "dca", 4)
	v := s.sail(canary.Task{}, s.pipelineRun("web-1", "canary"), "canary", oneCanary)
	v.until("Baking")
	s.refuse("releases", func(rel *v1alpha1.Release) bool { return len(rel.Status.Verdicts) > 0 })
	if cr := v.until("Succeeded"); !cr.IsSuccessful() {
		t.Errorf("ended as %+v", cr.Status.Conditions)
	}
}
