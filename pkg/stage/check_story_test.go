package stage_test

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/periplus-dev/periplus/pkg/guard"
	"github.com/periplus-dev/periplus/pkg/guard/source"
	"github.com/periplus-dev/periplus/tasks/check"
)

// slow is an oracle that says nothing until it is let.
type slow struct {
	*oracle
	silent bool
}

func (o *slow) Sample(key source.Key, ask *guard.Ask, about source.About, wake func()) *guard.Sample {
	if o.silent {
		return nil
	}
	return o.oracle.Sample(key, ask, about, wake)
}

func (o *slow) Forget(types.UID) {}

func TestACheckThatFailsAlreadyTellsAllItsVerdicts(t *testing.T) {
	s, o := measuring(t, func(guard.Query, string) guard.Reading { return is(0.05) }, "m1")
	s.ships.launch("m1", "dca", 4)
	late := &slow{oracle: o, silent: true}
	s.frame.Sources = late
	v := s.sail(check.Task{}, s.pipelineRun("web-1", "check"), "check", `{"target": "web", "members": ["m1"], "guards": [
		{"name": "size", "expr": "pods.size() == 5"},
		{"name": "errors", "expr": "metrics.errors < 0.01", "metrics": {"errors": {"source": "prom", "query": "errors", "window": "3s"}}}]}`)
	v.passFor(5 * time.Second)
	v.wantsReason("GuardHolding")
	v.says("guard size in m1: Fail")
	late.silent = false
	v.passFor(time.Second)
	v.wantsReason("GuardFailed")
	v.wantsResult("verdicts", `["errors@m1=Fail","size@m1=Fail"]`)
}
