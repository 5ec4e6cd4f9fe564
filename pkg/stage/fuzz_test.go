package stage_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"knative.dev/pkg/apis"

	"github.com/periplus-dev/periplus/pkg/stage"
	"github.com/periplus-dev/periplus/tasks/canary"
	"github.com/periplus-dev/periplus/tasks/clusterhop"
	"github.com/periplus-dev/periplus/tasks/confirm"
	"github.com/periplus-dev/periplus/tasks/partitionbump"
)

var fuzzed = []stage.Task{canary.Task{}, partitionbump.Task{}, confirm.Task{}, clusterhop.Task{}}

// unsettled makes a few passes over a run whose workloads never move, of which nobody answers a question: whatever it says, it has not succeeded.
func unsettled(t *testing.T, v *voyage) *v1beta1.CustomRun {
	t.Helper()
	for range 4 {
		_ = v.rec.ReconcileKind(context.Background(), v.run()) // what it returns asks for another pass, or says what stands in the way.
		cr := v.run()
		if c := cr.Status.GetCondition(apis.ConditionSucceeded); c.IsTrue() {
			t.Fatalf("it succeeded, and nothing was done: %s: %s\nwrites: %v", c.Reason, c.Message, v.log.all())
		}
		if cr.Status.CompletionTime != nil {
			return cr
		}
		v.clock.Step(2 * time.Second)
	}
	return v.run()
}

func still(t *testing.T) *sea {
	t.Helper()
	s := newSea(t, "m1")
	for _, unit := range []string{"dca", "dcb"} {
		s.ships.launch("m1", unit, 3).stopped = true
	}
	return s
}

// Whatever a stage's spec says, it is refused or carried out; nothing panics, and nothing succeeds that was not done.
func FuzzSpec(f *testing.F) {
	for i, spec := range []string{
		oneCanary, `{"target":"web","members":["m1"],"order":["dca","dcb"],"by":"50%"}`, `{"required":1}`, `{"target":"web","from":["m1"],"to":["m1"]}`,
		`{}`, `null`, `[]`, `"x"`, `{"target":"$(params.nothing)"}`, `{"pods":-1}`, `{"pods":"0%","target":"web","members":["m1"]}`,
		`{"target":"web","members":["m1","m1"],"pods":1}`, `{"target":"web","memberSelector":{},"pods":1}`, `{"required":-1}`, `{"bake":"-5s"}`,
		`{"target":"web","members":["m1"],"pods":1,"guards":[{"name":"g","expr":"updated.all(p, p.redy)"}]}`,
		`{"target":"web","members":["m1"],"steps":[{"unit":"dca","updated":"200%"}]}`, `{"target":"web","members":["m1"],"order":[],"steps":[]}`,
		`{"target":"web","members":["m1"],"pods":9223372036854775807}`, `{"target":"web","members":["m1"],"pods":1,"progressDeadline":"99999999h"}`,
	} {
		f.Add(uint8(i), spec) // #nosec G115 -- a small number.
	}
	f.Fuzz(func(t *testing.T, kind uint8, spec string) {
		if !json.Valid([]byte(spec)) {
			return // the API server stores JSON alone.
		}
		s := still(t)
		task := fuzzed[int(kind)%len(fuzzed)]
		if task.Kind() == "ClusterHop" {
			s.ships.units["m1/dca"].Pods = nil // else a hop over whole members has nothing to wait for.
		}
		unsettled(t, s.sail(task, s.pipelineRun("web-1", "run"), "run", spec))
	})
}

// Whatever params say, a spec that names them is expanded or refused.
func FuzzParams(f *testing.F) {
	f.Add("target", "web", "pods", "1", `{"target":"$(params.target)","members":["m1"],"pods":"$(params.pods)"}`)
	f.Add("a", "$(params.a)", "b", "$(params.b)", `{"target":"$(params.a)","members":["$(params.b)"],"pods":1}`)
	f.Add("", "", "\x00", "\xff", `{"target":"$(params.)","members":["$(params.\u0000)"]}`)
	f.Add("x", `"},"pods":1,"target":"`, "y", `\`, `{"target":"$(params.x)","members":["$(params.y)"]}`)
	f.Add("x[0]", "a", "x", "b", `{"members":["$(params.x[0])","$(params.x[*])"],"$(params.x)":1}`)
	f.Fuzz(func(t *testing.T, name, value, other, more, spec string) {
		if !json.Valid([]byte(spec)) {
			return
		}
		s := still(t)
		unsettled(t, s.sail(canary.Task{}, s.pipelineRun("web-1", "run"), "run", spec, func(cr *v1beta1.CustomRun) {
			cr.Spec.Params = v1beta1.Params{
				{Name: name, Value: *v1beta1.NewStructuredValues(value)}, {Name: other, Value: *v1beta1.NewStructuredValues(more, value)},
			}
		}))
	})
}

// Whatever an older Periplus, or a hand, left in a run's status: the stage takes up from what is true, or starts over.
func FuzzStatus(f *testing.F) {
	const admitted = `"admitted":{"kind":"Canary","spec":{"target":"web","members":["m1"],"pods":1,"progressDeadline":"10m"},` +
		`"target":{"workload":{"apiVersion":"apps.periplus.dev/v1alpha1","kind":"InPlaceSet","selector":{"app":"web"}}},"members":["m1"]}`
	for i, extra := range []string{
		`{}`, `null`, `[]`, `7`, `{"attempt":-1}`, `{"attempt":2,` + admitted + `}`, `{` + admitted + `,"state":{"step":7,"checked":true,"cleared":true}}`,
		`{` + admitted + `,"state":{"step":-7,"moved":"2026-03-01T12:00:00Z"}}`, `{` + admitted + `,"state":"x"}`,
		`{"outcome":{"succeeded":true,"reason":"Succeeded"},` + admitted + `}`, `{"ending":{"succeeded":true,"reason":"Succeeded","since":"2026-03-01T12:00:00Z"},` + admitted + `}`,
		`{"release":"another",` + admitted + `}`, `{"admitted":{"kind":"Confirm","spec":{}}}`, `{"admitted":{"kind":"Canary","spec":{"pods":0}}}`,
		`{"admitted":{"kind":"Canary","spec":null,"target":{},"members":["m1"]}}`, `{"guards":[{"name":"g","verdict":"Pass"}],` + admitted + `}`,
		`{"question":{"id":"run","answers":[{"approval":"a","user":"carol","decision":"Approve","time":null}]}}`,
		`{"step":{"index":9,"total":1,"settledSince":"2020-01-01T00:00:00Z"},` + admitted + `}`, `{"members":[{"name":"m1","units":[{"unit":"dca","updated":-3}]}],` + admitted + `}`,
	} {
		f.Add(uint8(i%2), extra, i%3 == 0) // #nosec G115 -- a small number.
	}
	f.Fuzz(func(t *testing.T, retries uint8, extra string, begun bool) {
		if !json.Valid([]byte(extra)) {
			return
		}
		s := still(t)
		v := s.sail(canary.Task{}, s.pipelineRun("web-1", "run"), "run", oneCanary, func(cr *v1beta1.CustomRun) {
			cr.Spec.Retries = int(retries % 4)
			cr.Status.ExtraFields.Raw = []byte(extra)
			if begun {
				at := metav1.NewTime(s.clock.Now().Add(-time.Minute))
				cr.Status.StartTime = &at
			}
		})
		unsettled(t, v)
	})
}
