package stage_test

import (
	"strings"
	"testing"
	"time"

	"github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/periplus-dev/periplus/tasks/partitionbump"
)

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
