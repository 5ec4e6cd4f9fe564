package inplaceset

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/record"

	"github.com/periplus-dev/periplus/pkg/plan"
)

func TestAKindOfWaitIsToldOnceWhenItBegins(t *testing.T) {
	set := setOf("web", "u1")
	events := record.NewFakeRecorder(20)
	r := &reconciler{memory: newMemory(), recorder: events}
	r.memory.know(keyOf(set), "u1")
	told := func(after time.Duration, change func(*pass)) (out []string) {
		p := &pass{set: set, now: noon.Add(after), waits: newWaits()}
		change(p)
		r.tellWaits(p)
		for {
			select {
			case e := <-events.Events:
				out = append(out, e)
			default:
				return out
			}
		}
	}
	budget := func(n int32) func(*pass) {
		return func(p *pass) { p.plan = plan.InPlaceSetPlan{WaitingFor: map[string]int32{"web": n}} }
	}
	if got := told(0, budget(3)); len(got) != 1 || !strings.Contains(got[0], EventWaitsForBudget) || !strings.Contains(got[0], "3 wait for PodDisruptionBudget web") {
		t.Errorf("the beginning is told as %q", got)
	}
	if got := told(time.Second, budget(2)); len(got) != 0 {
		t.Errorf("the wait of more pods is told again: %q", got)
	}
	if got := told(50*time.Second, func(p *pass) { budget(1)(p); p.forNode = 1; p.plan.Waiting, p.plan.Later = 4, 5 }); len(got) != 3 {
		t.Errorf("three other kinds are told as %q", got)
	}
	if got := told(100*time.Second, budget(2)); len(got) != 0 {
		t.Errorf("a wait that was over for less than a minute is told again: %q", got)
	}
	if got := told(time.Hour, budget(2)); len(got) != 1 {
		t.Errorf("a wait that begins after an hour is told as %q", got)
	}
}

func TestPodsThatCrashByTurnsAreReportedOnceASecondAndToldOnce(t *testing.T) {
	var pods []*corev1.Pod
	for i := range 20 {
		pods = append(pods, shopPod(fmt.Sprintf("web-%02d", i), "r2", "web:v2", inBackOff))
	}
	s := newShop(t, 20, nil, []corev1.PodTemplateSpec{shopTemplate("web:v1"), shopTemplate("web:v2")}, pods...)
	s.run()
	before := s.written()
	for range 5 {
		for _, pod := range pods { // one after the other runs for a moment, with no restart counted yet.
			s.put(pod, up)
			s.run()
			s.put(pod)
			s.run()
		}
		s.after(statusEvery)
		s.put(pods[0], up)
		s.run()
	}
	if n := s.written() - before; n == 0 || n > 10 {
		t.Errorf("%d statuses in five seconds; want one or two a second", n)
	}
	turns := 0
	for len(s.events.Events) > 0 {
		if e := <-s.events.Events; strings.Contains(e, ReasonPodsFailing) || strings.Contains(e, ReasonMoving) {
			turns++
		}
	}
	if turns == 0 || turns > 2 {
		t.Errorf("%d Events tell of it; want one for each turn", turns)
	}
}
