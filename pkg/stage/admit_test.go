package stage_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"knative.dev/pkg/apis"

	fleetv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/fleet/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/fleet"
	"github.com/periplus-dev/periplus/pkg/stage"
	"github.com/periplus-dev/periplus/tasks/canary"
	"github.com/periplus-dev/periplus/tasks/confirm"
	"github.com/periplus-dev/periplus/tasks/partitionbump"
)

// with gives a run params; a value with commas is an array.
func with(params map[string]string) func(*v1beta1.CustomRun) {
	return func(cr *v1beta1.CustomRun) {
		for name, value := range params {
			v := v1beta1.ParamValue{Type: v1beta1.ParamTypeString, StringVal: value}
			if strings.Contains(value, ",") {
				v = v1beta1.ParamValue{Type: v1beta1.ParamTypeArray, ArrayVal: strings.Split(strings.TrimSuffix(value, ","), ",")}
			}
			cr.Spec.Params = append(cr.Spec.Params, v1beta1.Param{Name: name, Value: v})
		}
	}
}

// admitted makes one pass and gives what was admitted, or the message of what was not.
func (v *voyage) admitted() (*v1alpha1.Admitted, string) {
	v.t.Helper()
	v.pass()
	if v.run().Status.CompletionTime == nil && v.status().Admitted == nil {
		v.clock.Step(10 * time.Second) // what is missing may come with the run, but not for long.
		v.pass()
	}
	cr := v.run()
	if cr.IsFailure() {
		return nil, cr.Status.GetCondition(apis.ConditionSucceeded).Message
	}
	return v.status().Admitted, ""
}

func TestAllMistakesOfASpecAreReportedTogether(t *testing.T) {
	for name, tc := range map[string]struct {
		task   stage.Task
		spec   string
		params map[string]string
		want   []string
		// not are words of mistakes that are there only because of another one.
		not []string
	}{
		"of every kind at once": {
			task:   canary.Task{},
			spec:   `{"target":"wbe","members":["$(params.membr)","m7"],"pods":0,"bakee":"1s","onLocked":"Shrug","guards":[{"name":"g","expr":"updated.all(p, p.redy)"}],"pods":0}`,
			params: map[string]string{"member": "m1"},
			want: []string{"8 mistakes", `spec.members[0]: Invalid value: "$(params.membr)"`, "did you mean $(params.member)?", "spec.bakee", "did you mean bake?",
				`duplicate field "pods"`, "spec.pods", "1 or more", "spec.onLocked", `spec.target: Not found: "wbe"`, `spec.members[1]: Not found: "m7"`, "spec.guards[0].expr", "redy"},
		},
		"a name with a reference that stands for nothing is not looked for": {
			task: canary.Task{}, spec: `{"target":"$(params.target)","members":["m1","$(params.a)","$(params.b)"],"pods":1,"guardSets":["$(params.set)"]}`,
			want: []string{"4 mistakes", "spec.target", "spec.members[1]", "spec.members[2]", "spec.guardSets[0]"}, not: []string{"Not found", "RFC 1123", "Duplicate", "Required"},
		},
		"a value that is not known is not said to be missing": {
			task: canary.Task{}, spec: `{"target":"web","members":"$(params.members)","pods":"$(params.pods)","progressDeadline":"$(params.d)","guards":[{"name":"g","expr":"$(params.expr)"}]}`,
			want: []string{"4 mistakes", "spec.members", "spec.pods", "spec.progressDeadline", "spec.guards[0].expr"}, not: []string{"Required", "empty", "1 or more", "longer than"},
		},
		"a list that is none does not count as left out": {
			task: partitionbump.Task{}, spec: `{"target":"web","members":["m1"],"order":"dca","by":"50%"}`,
			want: []string{"spec.order", "must be a list"}, not: []string{"mistakes", "exactly one", "goes with"},
		},
		"approvers that are not known are not counted": {
			task: confirm.Task{}, spec: `{"approvers":{"users":["$(params.sre[*])"]},"required":2}`,
			want: []string{"spec.approvers.users[0]"}, not: []string{"mistakes", "never be reached"},
		},
		"a selector that is not known selects nothing wrong": {
			task: canary.Task{}, spec: `{"target":"web","memberSelector":{"matchLabels":{"ring":"$(params.ring)"}},"pods":1}`,
			want: []string{"spec.memberSelector.matchLabels[ring]"}, not: []string{"mistakes", "selects no member"},
		},
		"a selector that is none is said once": {
			task: canary.Task{}, spec: `{"target":"web","memberSelector":{"matchExpressions":[{"key":"ring","operator":"Near"}]},"pods":1}`,
			want: []string{"spec.memberSelector.matchExpressions[0].operator"}, not: []string{"mistakes"},
		},
		"names that can be no names are not looked for, others are": {
			task: canary.Task{}, spec: `{"target":"../x","members":["m1","m7","a b"],"pods":1,"guardSets":["A/b","none"]}`,
			want: []string{"5 mistakes", "spec.target", "spec.members[2]", `spec.members[1]: Not found: "m7"`, "spec.guardSets[0]", `spec.guardSets[1]: Not found: "none"`},
		},
		"values of other types": {
			task: canary.Task{}, spec: `{"target":3,"members":["m1"],"pods":1.5,"bake":30,"guards":[{"name":"g","expr":"true","limits":{"failures":"three"},"dryRun":"yes"}],"change":{"images":["x"]}}`,
			want: []string{"6 mistakes", "spec.target: Invalid value: 3: must be a string: put it in quotes", "spec.pods: Invalid value: 1.5: must be a whole number, or a percentage",
				"spec.bake: Invalid value: 30: must be a duration", `spec.guards[0].limits.failures: Invalid value: "three": must be a whole number`, "spec.guards[0].dryRun", "spec.change.images"},
		},
		"a duration that is empty": {task: canary.Task{}, spec: `{"target":"web","members":["m1"],"pods":1,"bake":""}`,
			want: []string{`spec.bake: Invalid value: "": must be a duration such as 90s or 5m`}, not: []string{"mistakes"}},
		"a number that is none by a param": {task: confirm.Task{}, spec: `{"required":"$(params.n)"}`, params: map[string]string{"n": "x"},
			want: []string{`spec.required: Invalid value: "x": must be a whole number`}, not: []string{"mistakes"}},
		"a number that is too great":                {task: canary.Task{}, spec: `{"target":"web","members":["m1"],"pods":4294967297}`, want: []string{"spec.pods", "4294967297"}},
		"a guard with a name that is too long":      {task: canary.Task{}, spec: `{"target":"web","members":["m1"],"pods":1,"guards":[{"name":"` + strings.Repeat("g", 64) + `","expr":"true"}]}`, want: []string{"spec.guards[0].name", "63"}},
		"a guard that is named like one of a set's": {task: canary.Task{}, spec: `{"target":"web","members":["m1"],"pods":1,"guards":[{"name":"health/ready","expr":"true"}]}`, want: []string{"spec.guards[0].name", "/"}},
		"a spec that is a list":                     {task: canary.Task{}, spec: `[]`, want: []string{"spec: must be an object"}},
		"two keys that are one with their params": {task: canary.Task{}, spec: `{"target":"web","members":["m1"],"pods":1,"change":{"images":{"$(params.a)":"x:1","app":"x:2"}}}`,
			params: map[string]string{"a": "app"}, want: []string{"spec.change.images", "Duplicate", "app"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSea(t, "m1")
			v := s.sail(tc.task, s.pipelineRun("web-1", "x"), "x", tc.spec, with(tc.params))
			_, message := v.admitted()
			for _, w := range tc.want {
				if !strings.Contains(message, w) {
					t.Errorf("the message does not say %q: %s", w, message)
				}
			}
			for _, w := range tc.not {
				if strings.Contains(message, w) {
					t.Errorf("the message says %q, which follows from another mistake: %s", w, message)
				}
			}
		})
	}
}

func TestParamsStandForWhateverAFieldIsMadeOf(t *testing.T) {
	params := map[string]string{"n": "3", "share": "25", "yes": "true", "time": "90s", "who": "m1", "order": "dca,dcb", "text": "$(params.n)"}
	for name, tc := range map[string]struct {
		task stage.Task
		spec string
		want func(spec []byte) (got, want any)
	}{
		"a number of pods": {canary.Task{}, `{"target":"web","members":["$(params.who)"],"pods":"$(params.n)"}`, func(raw []byte) (any, any) {
			return into[v1alpha1.CanarySpec](raw).Pods, intstr.FromInt32(3)
		}},
		"a percentage": {canary.Task{}, `{"target":"web","members":["m1"],"pods":"$(params.share)%"}`, func(raw []byte) (any, any) {
			return into[v1alpha1.CanarySpec](raw).Pods, intstr.FromString("25%")
		}},
		"a number in quotes": {canary.Task{}, `{"target":"web","members":["m1"],"pods":"2"}`, func(raw []byte) (any, any) {
			return into[v1alpha1.CanarySpec](raw).Pods, intstr.FromInt32(2)
		}},
		"a duration": {canary.Task{}, `{"target":"web","members":["m1"],"pods":1,"bake":"$(params.time)"}`, func(raw []byte) (any, any) {
			return into[v1alpha1.CanarySpec](raw).Bake.Duration, 90 * time.Second
		}},
		"a step, and the pods of a bump": {partitionbump.Task{}, `{"target":"web","members":["m1"],"order":["$(params.order[*])"],"by":"$(params.n)"}`, func(raw []byte) (any, any) {
			b := into[v1alpha1.PartitionBumpSpec](raw)
			return fmt.Sprint(b.Order, b.By.IntValue(), b.By.Type), fmt.Sprint([]string{"dca", "dcb"}, 3, intstr.Int)
		}},
		"pods updated by a step": {partitionbump.Task{}, `{"target":"web","members":["m1"],"steps":[{"unit":"dca","updated":"$(params.n)"}]}`, func(raw []byte) (any, any) {
			return into[v1alpha1.PartitionBumpSpec](raw).Steps[0].Updated, intstr.FromInt32(3)
		}},
		"how many must agree, and whether one may not": {confirm.Task{}, `{"required":"$(params.n)","forbidInitiator":"$(params.yes)","message":"$(params.n)"}`, func(raw []byte) (any, any) {
			c := into[v1alpha1.ConfirmSpec](raw)
			return fmt.Sprintf("%d %t %s", c.Required, c.ForbidInitiator, c.Message), "3 true 3"
		}},
		"limits of a guard": {canary.Task{}, `{"target":"web","members":["m1"],"pods":1,"guards":[{"name":"g","expr":"updated.size() >= $(params.n)","dryRun":"$(params.yes)","limits":{"failures":"$(params.n)"}}]}`,
			func(raw []byte) (any, any) {
				g := into[v1alpha1.CanarySpec](raw).Guards[0]
				return fmt.Sprintf("%s %t %d", g.Expr, g.DryRun, g.Limits.Failures), "updated.size() >= 3 true 3"
			}},
		"a value that looks like a reference is text": {confirm.Task{}, `{"message":"$(params.text)"}`, func(raw []byte) (any, any) {
			return into[v1alpha1.ConfirmSpec](raw).Message, "$(params.n)"
		}},
		"text that looks like a number stays text in a patch": {canary.Task{}, `{"target":"web","members":["m1"],"pods":1,"change":{"patch":{"metadata":{"annotations":{"n":"$(params.n)"}}}}}`, func(raw []byte) (any, any) {
			return string(into[v1alpha1.CanarySpec](raw).Change.Patch.Raw), `{"metadata":{"annotations":{"n":"3"}}}`
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSea(t, "m1")
			v := s.sail(tc.task, s.pipelineRun("web-1", "x"), "x", tc.spec, with(params))
			out, message := v.admitted()
			if out == nil {
				t.Fatalf("not admitted: %s", message)
			}
			if got, want := tc.want(out.Spec.Raw); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("admitted %v, want %v in %s", got, want, out.Spec.Raw)
			}
		})
	}
}

func into[T any](raw []byte) T {
	var out T
	if err := json.Unmarshal(raw, &out); err != nil {
		panic(err)
	}
	return out
}

func TestAMistakeInAGuardSetNamesTheSetAndTheGuard(t *testing.T) {
	for name, tc := range map[string]struct {
		spec string
		want []string
	}{
		"one that the stage names": {`{"target":"web","members":["m1"],"pods":1,"guards":[{"name":"own","expr":"true"}],"guardSets":["health"]}`,
			[]string{"2 mistakes", "spec.guardSets[health].guards[1].expr", `guard "health/sick"`, "redy", "spec.guardSets[health].guards[0].interval"}},
		"one that the target names": {`{"target":"guarded","members":["m1"],"pods":1}`,
			[]string{"2 mistakes", "spec.target[guarded].guardSets[health].guards[1].expr", `guard "health/sick"`}},
		"one that is not there and the target names": {`{"target":"lost","members":["m1"],"pods":1}`,
			[]string{`spec.target[lost].guardSets[0]: Not found: "nowhere"`}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSea(t, "m1")
			s.store(&v1alpha1.GuardSet{ObjectMeta: metav1.ObjectMeta{Name: "health", Namespace: "shop"}, Spec: v1alpha1.GuardSetSpec{Guards: []v1alpha1.Guard{
				{Name: "fine", Expr: "true", Interval: &metav1.Duration{Duration: time.Millisecond}}, {Name: "sick", Expr: "updated.all(p, p.redy)"},
			}}})
			for target, set := range map[string]string{"guarded": "health", "lost": "nowhere"} {
				s.store(&v1alpha1.Target{ObjectMeta: metav1.ObjectMeta{Name: target, Namespace: "shop"}, Spec: v1alpha1.TargetSpec{
					Workload: v1alpha1.WorkloadRef{APIVersion: "apps.periplus.dev/v1alpha1", Kind: "InPlaceSet", Name: "web"}, GuardSets: []string{set},
				}})
			}
			_, message := s.sail(canary.Task{}, s.pipelineRun("web-1", "x"), "x", tc.spec).admitted()
			for _, w := range tc.want {
				if !strings.Contains(message, w) {
					t.Errorf("the message does not say %q: %s", w, message)
				}
			}
		})
	}
}

func TestWhatIsAdmittedIsBounded(t *testing.T) {
	long := strings.Repeat("x", 40<<10)
	guards := func(n int) (out []v1alpha1.Guard) {
		for i := range n {
			out = append(out, v1alpha1.Guard{Name: fmt.Sprintf("g%d", i), Expr: "workload.kind != '" + strings.Repeat("x", 3000) + "'"})
		}
		return out
	}
	for name, tc := range map[string]struct {
		spec   string
		params map[string]string
		want   []string
	}{
		"one param in many places":  {`{"message":"` + strings.Repeat("$(params.long)", 3000) + `"}`, map[string]string{"long": long}, []string{"spec: its params make it", "65536"}},
		"params that nobody names":  {`{}`, map[string]string{"a": long, "b": long}, []string{"bytes long as it is admitted", "params 8", "65536"}},
		"guards of many guard sets": {`{"target":"web","members":["m1"],"pods":1,"guardSets":["big"]}`, nil, []string{"bytes long as it is admitted", "guard sets", "65536"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSea(t, "m1")
			s.store(&v1alpha1.GuardSet{ObjectMeta: metav1.ObjectMeta{Name: "big", Namespace: "shop"}, Spec: v1alpha1.GuardSetSpec{Guards: guards(30)}})
			var task stage.Task = confirm.Task{}
			if strings.Contains(tc.spec, "target") {
				task = canary.Task{}
			}
			_, message := s.sail(task, s.pipelineRun("web-1", "x"), "x", tc.spec, with(tc.params)).admitted()
			for _, w := range tc.want {
				if !strings.Contains(message, w) {
					t.Errorf("the message does not say %q: %s", w, message)
				}
			}
		})
	}
}

func TestManyAndLongMistakesMakeAShortMessage(t *testing.T) {
	var guards []string
	for i := range 32 {
		guards = append(guards, fmt.Sprintf(`{"name":"g%d","expr":"pods.all(p, p.redy) && '%s' == ''"}`, i, strings.Repeat("ü", 700)))
	}
	s := newSea(t, "m1")
	_, message := s.sail(canary.Task{}, s.pipelineRun("web-1", "x"), "x",
		`{"target":"web","members":["m1"],"pods":1,"guards":[`+strings.Join(guards, ",")+`]}`).admitted()
	if len(message) > 2000 || !strings.HasPrefix(message, "32 mistakes: ") || !strings.Contains(message, "did you mean \"ready\"?") || !strings.HasSuffix(message, "more") ||
		strings.ContainsRune(message, '\uFFFD') {
		t.Errorf("%d bytes: %s", len(message), message)
	}
}

func TestAMemberThatWasAppliedWithTheRunIsWaitedFor(t *testing.T) {
	for name, spec := range map[string]string{
		"named":    `{"target":"web","members":["m1","m2"],"pods":1}`,
		"selected": `{"target":"web","members":["m1"],"memberSelector":{"matchLabels":{"ring":"2"}},"pods":1}`,
	} {
		t.Run(name, func(t *testing.T) {
			s := newSea(t, "m1")
			obj := &fleetv1alpha1.Member{ObjectMeta: metav1.ObjectMeta{Name: "m2", Labels: map[string]string{"ring": "2"}}}
			s.store(obj)
			v := s.sail(canary.Task{}, s.pipelineRun("web-1", "x"), "x", spec)
			v.pass()
			cond := v.run().Status.GetCondition(apis.ConditionSucceeded)
			if !cond.IsUnknown() || cond.Reason != "Retrying" || !strings.Contains(cond.Message, `"m2" was just made`) {
				t.Fatalf("the run is %+v", cond)
			}
			known := s.members.Add(t, "m2", fleet.Clients{})
			known.Labels = obj.Labels
			out, message := v.admitted()
			if out == nil || fmt.Sprint(out.Members) != "[m1 m2]" {
				t.Errorf("admitted %+v: %s", out, message)
			}
		})
	}
}

func TestATargetThatIsAppliedJustAfterTheRunIsWaitedFor(t *testing.T) {
	s := newSea(t, "m1")
	s.ships.launch("m1", "dca", 4)
	v := s.sail(canary.Task{}, s.pipelineRun("web-1", "x"), "x", `{"target":"late","members":["m1"],"pods":1,"change":{"images":{"app":"shop/web:v2"}}}`)
	v.pass()
	s.clock.Step(2 * time.Second)
	s.store(&v1alpha1.Target{ObjectMeta: metav1.ObjectMeta{Name: "late", Namespace: "shop"}, Spec: v1alpha1.TargetSpec{
		Workload: v1alpha1.WorkloadRef{APIVersion: "apps.periplus.dev/v1alpha1", Kind: "InPlaceSet", Selector: map[string]string{"app": "web"}},
	}})
	if cr := v.until("Succeeded", "InvalidSpec"); !cr.IsSuccessful() {
		t.Errorf("the run ended as %+v", cr.Status.Conditions)
	}
}
