package stage_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/plan"
	"github.com/periplus-dev/periplus/tasks/betabatch"
	"github.com/periplus-dev/periplus/tasks/canary"
	"github.com/periplus-dev/periplus/tasks/partitionbump"
)

func cafeGroups(more string, members ...string) string {
	return `{"target":"cafe","members":["` + strings.Join(members, `","`) + `"],"change":{"images":{"app":"shop/web:v2"}},` + more + `}`
}

func yes(v *voyage, id string) { v.saysTo(id, "bob", v1alpha1.Approve, "fine") }

func TestTenPodsOverTwoUnitsByFourAreTwoFourAndFour(t *testing.T) {
	s, c := newCafeSea(t, "m1")
	web := c.launch("m1", "dca:5", "dcb:5")
	v := s.sail(betabatch.Task{}, s.pipelineRun("web-1", "groups"), "groups", cafeGroups(`"batchSize":4,"confirm":{"message":"go on?"}`, "m1"))
	for i, at := range []string{"dca 1, dcb 1", "dca 3, dcb 3"} {
		id := fmt.Sprintf("groups-group-%d", i+2)
		q := c.asks(v, id)
		for range 10 {
			c.turn()
		}
		if got := web.updated(); got != at {
			t.Errorf("before the yes to %s the units have %s", id, got)
		}
		if want := fmt.Sprintf("group %d of 3 (batch %d: 2 in dca, 2 in dcb)", i+2, i+1); q.About != want || q.Message != "go on?" || !strings.Contains(v.message(), want) {
			t.Errorf("it asks about %q, %q; says %q; want %q", q.About, q.Message, v.message(), want)
		}
		yes(v, id)
	}
	c.ends(v, "Succeeded")
	if got := web.updated(); got != "dca 5, dcb 5" {
		t.Errorf("updated %s", got)
	}
	for name, want := range map[string]string{"revision": "rev-v2", "batches": "[2,6,10]", "updated": "10", "skipped": "[]"} {
		if got := v.result(name); got != want {
			t.Errorf("result %s is %s, want %s", name, got, want)
		}
	}
	if q := v.status().Question; len(q.Answers) != 1 || len(q.Ignored) != 0 {
		t.Errorf("the last question is left as %+v", q)
	}
}

func TestARejectAtTheSecondGroupLeavesTwoNewAndTheRestOld(t *testing.T) {
	s, c := newCafeSea(t, "m1")
	web := c.launch("m1", "dca:5", "dcb:5")
	v := s.sail(betabatch.Task{}, s.pipelineRun("web-1", "groups"), "groups", cafeGroups(`"batchSize":4,"confirm":{}`, "m1"))
	c.asks(v, "groups-group-2")
	v.saysTo("groups-group-2", "bob", v1alpha1.Reject, "smoke in dca")
	c.ends(v, "Rejected")
	if !strings.Contains(v.message(), "bob") || !strings.Contains(v.message(), "group 2 of 3") || !strings.Contains(v.message(), "smoke in dca") {
		t.Errorf("the message is %q", v.message())
	}
	for range 20 {
		c.turn()
	}
	if got := web.updated() + "; " + web.partitions(); got != "dca 1, dcb 1; dca 80%, dcb 80%" {
		t.Error(got)
	}
	if v.result("revision") != "rev-v2" || v.result("batches") != "[]" {
		t.Errorf("results %+v", v.run().Status.Results)
	}
}

func TestAnAnswerToOneGroupCountsForNoOther(t *testing.T) {
	s, c := newCafeSea(t, "m1")
	web := c.launch("m1", "dca:5", "dcb:5")
	v := s.sail(betabatch.Task{}, s.pipelineRun("web-1", "groups"), "groups",
		cafeGroups(`"batchSize":4,"confirm":{"approvers":{"users":["bob","dora"]},"required":2,"forbidInitiator":true}`, "m1"))
	c.asks(v, "groups-group-2")
	yes(v, "groups-group-2")
	v.saysTo("groups", "dora", v1alpha1.Approve, "the question of a Confirm")
	v.saysTo("groups-group-2", "alice", v1alpha1.Approve, "the initiator")
	v.saysTo("groups-group-2", "eve", v1alpha1.Approve, "nobody asked her")
	v.pass()
	q := v.status().Question
	if len(q.Answers) != 1 || len(q.Ignored) != 3 {
		t.Fatalf("counted %+v, ignored %q", q.Answers, q.Ignored)
	}
	v.saysTo("groups-group-2", "dora", v1alpha1.Approve, "")
	c.asks(v, "groups-group-3")
	v.passFor(30 * time.Second)
	q = v.status().Question
	if got := web.updated(); got != "dca 3, dcb 3" || len(q.Answers) != 0 {
		t.Errorf("updated %s; answers of the group before count: %+v", got, q.Answers)
	}
	for _, i := range q.Ignored {
		if strings.HasPrefix(i, "groups-group-2-by-bob") || strings.HasPrefix(i, "groups-group-2-by-dora") {
			t.Errorf("an answer that did count is called ignored: %s", i)
		}
	}
	yes(v, "groups-group-3")
	v.saysTo("groups-group-3", "dora", v1alpha1.Approve, "")
	c.ends(v, "Succeeded")
}

func TestAnotherAttemptAsksAnew(t *testing.T) {
	s, c := newCafeSea(t, "m1")
	c.launch("m1", "dca:2", "dcb:2")
	v := s.sail(betabatch.Task{}, s.pipelineRun("web-1", "groups"), "groups", cafeGroups(`"batchSize":4,"confirm":{}`, "m1"),
		func(cr *v1beta1.CustomRun) { cr.Spec.Retries = 1 })
	c.asks(v, "groups-group-2")
	v.saysTo("groups-group-2", "bob", v1alpha1.Reject, "not yet")
	c.asks(v, "groups-group-2-attempt-2")
	if q := v.status().Question; len(q.Answers) != 0 {
		t.Errorf("an answer of the first attempt counts: %+v", q.Answers)
	}
	yes(v, "groups-group-2-attempt-2")
	c.ends(v, "Succeeded")
}

func TestAStageThatKeepsTheInitiatorFromAnsweringMovesNothingWhereItIsNotKnownWhoThatIs(t *testing.T) {
	s, c := newCafeSea(t, "m1")
	c.launch("m1", "dca:2", "dcb:2")
	pr := s.pipelineRun("web-1", "groups")
	pr.Annotations = nil
	v := s.sail(betabatch.Task{}, pr, "groups", cafeGroups(`"batchSize":1,"confirm":{"forbidInitiator":true}`, "m1"))
	c.ends(v, "InitiatorUnknown")
	if len(s.log.all()) != 0 || !strings.Contains(v.message(), "spec.confirm.forbidInitiator") {
		t.Errorf("%s; writes %v", v.message(), s.log.all())
	}
}

// A member whose turn comes later has no pod yet that a During guard could be judged on: that holds nobody.
func TestOnePlanOverTwoMembersGoesWhereverThePodsAre(t *testing.T) {
	s, c := newCafeSea(t, "m1", "m2")
	one, two := c.launch("m1", "dca:3", "dcb:3"), c.launch("m2", "dca:4")
	v := s.sail(betabatch.Task{}, s.pipelineRun("web-1", "groups"), "groups", cafeGroups(
		`"batches":[1,2,2,2,3],"confirm":{},"guards":[{"name":"whole","when":"During","expr":"updated.all(p, p.restarts <= 3)","interval":"1s"}]`, "m1", "m2"))
	for i, want := range []int{1, 3, 5, 7} {
		id := fmt.Sprintf("groups-group-%d", i+2)
		c.asks(v, id)
		n := 0
		for _, u := range slices.Concat(one.ships, two.ships) {
			n += u.updated()
		}
		if n != want {
			t.Errorf("before %s %d pods are updated, want %d", id, n, want)
		}
		yes(v, id)
	}
	c.ends(v, "Succeeded")
	if got := one.updated() + "; " + two.updated(); got != "dca 3, dcb 3; dca 4" {
		t.Error(got)
	}
	if got := v.result("batches"); got != "[1,3,5,7,10]" {
		t.Errorf("batches %s", got)
	}
	if n := len(s.record().Status.Touched); n != 2 {
		t.Errorf("%d workloads are in the record", n)
	}
}

func TestWhatAStageLeavesIsCarriedOnByAnother(t *testing.T) {
	s, c := newCafeSea(t, "m1")
	web := c.launch("m1", "dca:5", "dcb:5")
	pr := s.pipelineRun("web-1", "groups", "bump")
	v := s.sail(betabatch.Task{}, pr, "groups", cafeGroups(`"batchSize":4,"upTo":"60%"`, "m1"))
	c.ends(v, "Succeeded")
	for range 20 {
		c.turn()
	}
	if got := web.updated(); got != "dca 3, dcb 3" || v.result("batches") != "[2,6]" || v.result("updated") != "6" {
		t.Errorf("%s; batches %s", got, v.result("batches"))
	}
	c.ends(s.sail(partitionbump.Task{}, pr, "bump", cafeByUnits), "Succeeded")
	if got := web.updated(); got != "dca 5, dcb 5" {
		t.Error(got)
	}
}

func TestTheSmallestOfTheLimitsHoldsInEachUnit(t *testing.T) {
	for _, tc := range []struct {
		name, more string
		most       int32
	}{
		{"the target's", `"batchSize":"100%","upgradeType":"Batch","maxUnavailable":"100%"`, 3},
		{"the stage's", `"batchSize":"100%","upgradeType":"Batch","maxUnavailable":1`, 1},
		{"the target's, where the stage says nothing", `"batchSize":"100%","upgradeType":"Batch"`, 3},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, c := newCafeSea(t, "m1")
			web := c.launch("m1", "dca:6", "dcb:6")
			v := s.sail(betabatch.Task{}, s.pipelineRun("web-1", "groups"), "groups", cafeGroups(tc.more, "m1"))
			most := int32(0)
			c.ends(v, "Succeeded", func() {
				for _, u := range web.ships {
					hold, err := plan.Partition(u.Partition, u.Replicas)
					if err != nil {
						t.Fatal(err)
					}
					// Pods that the partition lets go and that are not available on the new revision yet: so many could be missing.
					if open := u.Replicas - hold - u.Unit.Count().UpdatedAvailable; u.UpdateRevision == "rev-v2" {
						most = max(most, open)
					}
				}
			})
			if most != tc.most {
				t.Errorf("up to %d pods of a unit were let go at once, want %d", most, tc.most)
			}
		})
	}
}

func TestAScaleInTheMiddleNeitherSkipsAGroupNorAsksAQuestionTwice(t *testing.T) {
	for _, tc := range []struct {
		name     string
		replicas int32
		answered bool
	}{
		{"up, while a question is open", 12, false}, {"down, while a question is open", 3, false}, {"up by one, while a question is open", 6, false},
		{"up, once the next group has begun", 12, true}, {"down, once the next group has begun", 3, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			replicas := tc.replicas
			s, c := newCafeSea(t, "m1")
			web := c.launch("m1", "dca:5", "dcb:5")
			v := s.sail(betabatch.Task{}, s.pipelineRun("web-1", "groups"), "groups", cafeGroups(`"batchSize":"40%","confirm":{}`, "m1"))
			c.asks(v, "groups-group-2")
			yes(v, "groups-group-2")
			c.asks(v, "groups-group-3")
			total := func() int { return web.unit("dca").updated() + web.unit("dcb").updated() }
			asked, was, base := map[string]bool{}, "groups-group-2", 2
			if tc.answered {
				asked["groups-group-3"], was, base = true, "groups-group-3", total()
				yes(v, "groups-group-3")
				c.sailUntil(v, 20, func() bool { return v.reason() == "UpdatingPods" && total() > base })
			}
			web.scale("dca", replicas)
			aGroup := func() {
				t.Helper()
				group := (2*(int(replicas)+5) + 4) / 5
				if n := total() - base; n > group+1 { // cut anew, one of the group may be in another unit than the pod that went already.
					t.Fatalf("%d pods went on one yes, to %s; a group is %d", n, was, group)
				}
			}
			for range 200 {
				v.pass()
				if v.run().Status.CompletionTime != nil {
					break
				}
				if q := v.status().Question; v.reason() == "AwaitingApproval" && q.ID != was {
					if asked[q.ID] {
						t.Fatalf("%s is asked again", q.ID)
					}
					aGroup()
					asked[q.ID], was, base = true, q.ID, total()
					yes(v, q.ID)
				}
				c.turn()
				s.clock.Step(time.Second)
			}
			c.ends(v, "Succeeded")
			aGroup()
			if n, m := web.unit("dca").updated(), web.unit("dcb").updated(); n != int(replicas) || m != 5 {
				t.Errorf("dca %d of %d, dcb %d of 5 updated", n, replicas, m)
			}
		})
	}
}

func TestACanaryBeforeItIsPartOfTheFirstGroup(t *testing.T) {
	s, c := newCafeSea(t, "m1")
	web := c.launch("m1", "dca:5", "dcb:5")
	pr := s.pipelineRun("web-1", "canary", "groups")
	c.ends(s.sail(canary.Task{}, pr, "canary", cafeCanary), "Succeeded")
	before := len(s.log.all())
	v := s.sail(betabatch.Task{}, pr, "groups", cafeGroups(`"batchSize":4,"confirm":{}`, "m1"))
	c.asks(v, "groups-group-2")
	for _, e := range s.log.all()[before:] {
		if strings.HasPrefix(e, "m1/") {
			t.Errorf("what was there already was written again: %s", e)
		}
	}
	if got := web.updated(); got != "dca 1, dcb 1" {
		t.Error(got)
	}
}

func TestMistakesOfABetaBatchAreSaidWithTheirFields(t *testing.T) {
	for name, tc := range map[string]struct {
		more string
		want []string
	}{
		"batches of fewer pods than there are":   {`"batches":[1,2,2]`, []string{"spec.batches", "5 pods", "10 to update"}},
		"more than there are":                    {`"batchSize":1,"upTo":11`, []string{"spec.upTo", "only 10 pods"}},
		"Beta of more pods than are to be moved": {`"batchSize":1,"upTo":1`, []string{"spec.upTo", "one in each of the 2 units", "upgradeType: Batch"}},
		"no size at all":                         {`"upTo":1`, []string{"spec.batchSize", "exactly one"}},
		"two kinds of sizes":                     {`"batchSize":1,"batches":[10]`, []string{"spec.batchSize", "exactly one"}},
		"a batch of nothing":                     {`"batchSize":0`, []string{"spec.batchSize", "1 or more"}},
		"a batch of the list of nothing":         {`"batches":[1,0,9]`, []string{"spec.batches[1]", "1 or more"}},
		"a question that nobody can answer":      {`"batchSize":1,"confirm":{"approvers":{"users":["bob"]},"required":2}`, []string{"spec.confirm.required"}},
		"a limit of nothing":                     {`"batchSize":1,"maxUnavailable":0`, []string{"spec.maxUnavailable"}},
	} {
		t.Run(name, func(t *testing.T) {
			s, c := newCafeSea(t, "m1")
			c.launch("m1", "dca:5", "dcb:5")
			v := s.sail(betabatch.Task{}, s.pipelineRun("web-1", "groups"), "groups", cafeGroups(tc.more, "m1"))
			c.ends(v, "InvalidSpec")
			for _, w := range tc.want {
				if !strings.Contains(v.message(), w) {
					t.Errorf("the message does not say %q: %s", w, v.message())
				}
			}
			if len(s.log.all()) != 0 {
				t.Errorf("it wrote %v", s.log.all())
			}
		})
	}
}
