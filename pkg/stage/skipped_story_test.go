package stage_test

import (
	"strings"
	"testing"
	"time"

	"github.com/periplus-dev/periplus/tasks/betabatch"
)

func TestAMemberThatCannotBeReachedWhenTheStageBegins(t *testing.T) {
	const groups = `"batchSize":"50%","upgradeType":"Batch","progressDeadline":"2m"`
	t.Run("is waited for, until the progress deadline", func(t *testing.T) {
		s, c := newCafeSea(t, "m1", "m2")
		one := c.launch("m1", "dca:4")
		c.launch("m2", "dca:4")
		s.cables.cut["m2"] = true
		v := s.sail(betabatch.Task{}, s.pipelineRun("web-1", "groups"), "groups", cafeGroups(groups, "m1", "m2"))
		c.sailUntil(v, 40, func() bool { return v.reason() == "MemberUnreachable" })
		v.passFor(time.Minute)
		if v.run().Status.CompletionTime != nil || one.updated() != "dca 0" {
			t.Fatalf("it is at %s: %s", v.reason(), v.message())
		}
		c.ends(v, "MemberUnreachable")
		if len(s.log.all()) != 0 {
			t.Errorf("it wrote %v", s.log.all())
		}
	})
	t.Run("is waited for, and carried on once it answers", func(t *testing.T) {
		s, c := newCafeSea(t, "m1", "m2")
		one, two := c.launch("m1", "dca:4"), c.launch("m2", "dca:4")
		s.cables.cut["m2"] = true
		v := s.sail(betabatch.Task{}, s.pipelineRun("web-1", "groups"), "groups", cafeGroups(groups, "m1", "m2"))
		c.sailUntil(v, 40, func() bool { return v.reason() == "MemberUnreachable" })
		s.cables.cut["m2"] = false
		c.ends(v, "Succeeded")
		if got := one.updated() + "; " + two.updated(); got != "dca 4; dca 4" {
			t.Error(got)
		}
	})
	t.Run("is left out where the stage says so, and named", func(t *testing.T) {
		s, c := newCafeSea(t, "m1", "m2")
		one, two := c.launch("m1", "dca:4"), c.launch("m2", "dca:4")
		s.cables.cut["m2"] = true
		v := s.sail(betabatch.Task{}, s.pipelineRun("web-1", "groups"), "groups", cafeGroups(groups+`,"onUnreachable":"Skip"`, "m1", "m2"))
		since := s.clock.Now()
		c.sailUntil(v, 60, func() bool { return len(s.log.all()) > 0 })
		if took := s.clock.Since(since); took < 15*time.Second {
			t.Errorf("the member was left out after %s: one answer that is lost does not make it gone", took)
		}
		c.ends(v, "Succeeded")
		if got := one.updated() + "; " + two.updated(); got != "dca 4; dca 0" {
			t.Error(got)
		}
		if v.result("skipped") != `["m2"]` || !strings.Contains(v.message(), "left out: member m2 cannot be reached") || v.result("batches") != "[2,4]" {
			t.Errorf("skipped %s, batches %s; %s", v.result("skipped"), v.result("batches"), v.message())
		}
		if n := len(s.record().Status.Touched); n != 1 {
			t.Errorf("%d workloads are in the record", n)
		}
	})
	t.Run("and is the only one fails the stage", func(t *testing.T) {
		s, c := newCafeSea(t, "m1")
		c.launch("m1", "dca:4")
		s.cables.cut["m1"] = true
		v := s.sail(betabatch.Task{}, s.pipelineRun("web-1", "groups"), "groups", cafeGroups(groups+`,"onUnreachable":"Skip"`, "m1"))
		c.ends(v, "MemberUnreachable")
		if v.result("skipped") != `["m1"]` || !strings.Contains(v.message(), "no member is left") {
			t.Errorf("skipped %s; %s", v.result("skipped"), v.message())
		}
	})
}

func TestAMemberThatIsLostInTheMiddle(t *testing.T) {
	begun := func(t *testing.T, more string) (*sea, *flotillas, *flotilla, *flotilla, *voyage) {
		s, c := newCafeSea(t, "m1", "m2")
		one, two := c.launch("m1", "dca:4"), c.launch("m2", "dca:4")
		v := s.sail(betabatch.Task{}, s.pipelineRun("web-1", "groups"), "groups",
			cafeGroups(`"batchSize":"50%","upgradeType":"Batch","progressDeadline":"2m","confirm":{}`+more, "m1", "m2"))
		c.asks(v, "groups-group-2")
		s.cables.cut["m2"] = true
		two.change(func(u *ship) { u.stopped = true })
		return s, c, one, two, v
	}
	t.Run("holds the stage", func(t *testing.T) {
		_, c, one, _, v := begun(t, "")
		yes(v, "groups-group-2")
		c.sailUntil(v, 60, func() bool { return v.reason() == "MemberUnreachable" })
		c.ends(v, "MemberUnreachable")
		if got := one.updated(); got != "dca 2" {
			t.Errorf("a group went on without a member that it waits for: %s", got)
		}
	})
	t.Run("is left out where the stage says so; what of it was touched stays in the record", func(t *testing.T) {
		s, c, one, two, v := begun(t, `,"onUnreachable":"Skip"`)
		v.passFor(30 * time.Second)
		yes(v, "groups-group-2")
		c.ends(v, "Succeeded")
		if got := one.updated() + "; " + two.updated(); got != "dca 4; dca 2" {
			t.Error(got)
		}
		if v.result("skipped") != `["m2"]` || !strings.Contains(v.message(), "left out: member m2") {
			t.Errorf("skipped %s; %s", v.result("skipped"), v.message())
		}
		rel := s.record()
		if len(rel.Status.Touched) != 2 || rel.Status.Touched[1].Member != "m2" || rel.Status.Touched[1].Revision != "rev-v2" {
			t.Errorf("the record says %+v", rel.Status.Touched)
		}
	})
	t.Run("is not taken in again when it comes back", func(t *testing.T) {
		s, c, _, two, v := begun(t, `,"onUnreachable":"Skip"`)
		v.passFor(30 * time.Second)
		s.cables.cut["m2"] = false
		two.change(func(u *ship) { u.stopped = false })
		yes(v, "groups-group-2")
		c.ends(v, "Succeeded")
		if got := two.updated(); got != "dca 2" || v.result("skipped") != `["m2"]` {
			t.Errorf("%s; skipped %s", got, v.result("skipped"))
		}
	})
}
