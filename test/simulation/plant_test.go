package simulation

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	appsv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	stagesv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/stage"
)

// TestEachRuleCanFail plants a bug for each rule, and looks for a seed in which the rule's check finds it.
func TestEachRuleCanFail(t *testing.T) {
	for _, r := range []struct {
		name  string
		rule  int
		plant Plant
		says  string
	}{
		{"a controller that takes every maxUnavailable for 100%", 1, Plant{Story: unlimited, Lies: map[string]func(runtime.Object){"member/inplacesets": func(o runtime.Object) {
			o.(*appsv1alpha1.InPlaceSet).Spec.UpdateStrategy.MaxUnavailable = ptr.To(intstr.FromString("100%"))
		}}}, "maxUnavailable is"},
		{"a stage without the target's limit", 1, Plant{Task: noLimit}, "the target's maxUnavailable"},
		{"a stage that forgets its guards", 2, Plant{Task: noGuards}, "goes on past guard"},
		{"a hub that does not see restarts", 2, Plant{Story: sickly, Lies: map[string]func(runtime.Object){"hub/pods": func(o runtime.Object) {
			pod := o.(*corev1.Pod)
			for i := range pod.Status.ContainerStatuses {
				pod.Status.ContainerStatuses[i].RestartCount = 0
			}
		}}}, "restarted on the new revision"},
		{"a hub that sees no locks", 3, Plant{Story: rivalry, Lies: map[string]func(runtime.Object){"hub/inplacesets": func(o runtime.Object) {
			delete(o.(*appsv1alpha1.InPlaceSet).Annotations, stagesv1alpha1.AnnotationLock)
		}}}, "which is not over"},
		{"a controller that neither looks at EndpointSlices nor waits", 4, Plant{Lies: map[string]func(runtime.Object){"member/endpointslices": func(o runtime.Object) {
			o.(*discoveryv1.EndpointSlice).Endpoints = nil
		}, "member/inplacesets": func(o runtime.Object) {
			o.(*appsv1alpha1.InPlaceSet).Spec.UpdateStrategy.GracePeriodSeconds = ptr.To(int32(0))
		}}}, "an EndpointSlice list"},
		{"a controller that does not wait for the grace period", 4, Plant{Lies: map[string]func(runtime.Object){"member/inplacesets": func(o runtime.Object) {
			o.(*appsv1alpha1.InPlaceSet).Spec.UpdateStrategy.GracePeriodSeconds = ptr.To(int32(0))
		}}}, "the grace period is"},
		{"a hub that takes anybody for the approver", 5, Plant{Lies: map[string]func(runtime.Object){"hub/approvals": func(o runtime.Object) {
			o.(*stagesv1alpha1.Approval).Spec.User = approver
		}}}, "nobody who may"},
		{"a hub that takes any answer for one to this question", 5, Plant{Task: anyQuestion}, "nobody who may"},
		{"a record that loses what is touched", 6, Plant{Wire: dropTouched}, "not in the record"},
		{"a hub that never lets go of its locks", 6, Plant{Wire: dropUnlocks}, ""},
		{"a controller that makes its pods twice", 7, Plant{Wire: twice("member", "/pods")}, "pods of"},
		{"a hub that records each move again", 7, Plant{Wire: repeatMoves}, "twice"},
		{"a hub that sees no freezes", 9, Plant{Story: frozen, Lies: map[string]func(runtime.Object){"hub/freezes": func(o runtime.Object) {
			o.(*stagesv1alpha1.Freeze).Spec.Lifted = &stagesv1alpha1.Lifting{Message: "nobody did"}
		}}}, "it sees freeze"},
		{"a hub that hears a pause as a resume", 9, Plant{Story: paused, Lies: map[string]func(runtime.Object){"hub/interventions": func(o runtime.Object) {
			o.(*stagesv1alpha1.Intervention).Spec.Action = stagesv1alpha1.ActionResume
		}}}, "it sees pause"},
		{"a hop that begins members though it sees a freeze", 9, Plant{Story: frozenHop, Lies: map[string]func(runtime.Object){"hub/freezes": func(o runtime.Object) {
			o.(*stagesv1alpha1.Freeze).Spec.Namespaces = []string{"elsewhere"}
		}}}, "begins member"},
		{"a stage that skips itself", 5, Plant{Task: skipsItself}, "nobody asked for that"},
		{"a hub that does not see that a release is being taken back", 6, Plant{Story: siblings, Lies: map[string]func(runtime.Object){"hub/releases": func(o runtime.Object) {
			if st := &o.(*stagesv1alpha1.Release).Status; st.Phase == stagesv1alpha1.ReleaseRollingBack {
				st.Phase = stagesv1alpha1.ReleaseRunning
			}
		}}}, "is being taken back"},
		{"a retry that does everything again", 7, Plant{Story: retried, Lies: map[string]func(runtime.Object){"hub/releases": func(o runtime.Object) {
			o.(*stagesv1alpha1.Release).Status.Stages = nil
		}}}, "which an earlier run"},
		{"a hop that makes its runs twice", 7, Plant{Story: carried, Wire: twice("hub", "/pipelineruns")}, "in the same member"},
		{"a hub that is told of another policy", 5, Plant{Story: lacking, Wire: openPolicies}, "the yes that a policy demands"},
		{"a hub that is given every member", 5, Plant{Story: part, Wire: openPolicies}, "which no policy gives"},
		{"a hub that does not look for lost locks", 6, Plant{Story: lost, Task: notBack}, "which was not taken back"},
		{"a hub that leaves what it was to take back", 6, Plant{Story: onEnd, Lies: map[string]func(runtime.Object){"hub/releases": func(o runtime.Object) {
			for i := range o.(*stagesv1alpha1.Release).Status.Touched {
				o.(*stagesv1alpha1.Release).Status.Touched[i].OnEnd = stagesv1alpha1.OnEndLeave
			}
		}}}, "was to be taken back"},
		{"a hub that takes every member for reachable", 8, Plant{Story: cutOff, AlwaysReachable: true}, "cannot be reached since"},
	} {
		t.Run(strings.ReplaceAll(r.name, " ", "_"), func(t *testing.T) {
			t.Parallel()
			if r.plant.Story == nil {
				r.plant.Story = plainly
			}
			lookFor(t, r.rule, r.plant, r.says, 60)
		})
	}
}

// lookFor a seed, among the first, in which the check of a rule finds the bug that is planted.
func lookFor(t *testing.T, rule int, plant Plant, says string, seeds uint64) {
	t.Helper()
	var found []string
	for seed := uint64(1); seed <= seeds; seed++ {
		res := Simulate(seed, plant, newSites(), false)
		if res.Err == nil {
			continue
		}
		if (res.Rule == rule || (res.Rule == 0 && says == "")) && strings.Contains(res.Err.Error(), says) {
			t.Logf("seed %d, step %d: %v", seed, res.Steps, res.Err)
			return
		}
		found = append(found, res.Err.Error())
	}
	t.Fatalf("rule %d never failed; what failed: %v", rule, found)
}

// The stories in which bugs matter.
func plainly(s *story) {
	*s = story{name: "a release", image: imageNew, limit: 1, members: []string{"m1", "m2", "m3"}, faulty: faultySteps, most: mostSteps, replicas: map[string]int32{"dca": 3, "dcb": 2}}
}

func unlimited(s *story) {
	plainly(s)
	s.limit = 3
}

func sickly(s *story) {
	plainly(s)
	s.image, s.sick = imageSick, true
}

func rivalry(s *story) {
	plainly(s)
	s.rival = true
}

func cutOff(s *story) {
	plainly(s)
	s.cuts = true
}

func frozen(s *story) {
	plainly(s)
	s.hands = []*hand{{does: doFreeze, at: 100, lasts: 2000}}
}

func paused(s *story) {
	plainly(s)
	s.hands = []*hand{{does: doPause, at: 100, lasts: 2000}}
}

func frozenHop(s *story) {
	carried(s)
	s.hands = []*hand{{does: doFreeze, at: 100, lasts: 3000, members: []string{"m3"}}}
}

func carried(s *story) {
	plainly(s)
	s.carries = true
}

func siblings(s *story) {
	carried(s)
	s.image, s.sick, s.sickIn = imageSick, true, "m3"
}

func retried(s *story) {
	plainly(s)
	s.noFinally = true
	s.hands = []*hand{{does: doAbort, at: 800}, {does: doRetry, afterEnd: true}}
}

func lacking(s *story) {
	plainly(s)
	s.law = lawLacking
}

func part(s *story) {
	plainly(s)
	s.law = lawPart
}

func lost(s *story) {
	plainly(s)
	s.hands = []*hand{{does: doLose, at: 600}}
}

func onEnd(s *story) {
	plainly(s)
	s.onEnd, s.act, s.actAfter = true, actCancel, 600
}

// wrapped is a stage with a bug.
type wrapped struct {
	stage.Task
	step  func(context.Context, stage.Task, *stage.Run) (stage.Outcome, error)
	scope func(stage.Task, stage.Spec) *stage.Scope
}

func (x wrapped) Step(ctx context.Context, run *stage.Run) (stage.Outcome, error) {
	if x.step != nil {
		return x.step(ctx, x.Task, run)
	}
	return x.Task.Step(ctx, run)
}

func (x wrapped) Scope(spec stage.Spec) *stage.Scope {
	if x.scope != nil {
		return x.scope(x.Task, spec)
	}
	return x.Task.Scope(spec)
}

func noLimit(t stage.Task) stage.Task {
	return wrapped{Task: t, step: func(ctx context.Context, t stage.Task, run *stage.Run) (stage.Outcome, error) {
		if run.Admitted.Target != nil {
			run.Admitted.Target.MaxUnavailable = nil
		}
		return t.Step(ctx, run)
	}}
}

func noGuards(t stage.Task) stage.Task {
	return wrapped{Task: t, scope: func(t stage.Task, spec stage.Spec) *stage.Scope {
		scope := t.Scope(spec)
		if scope != nil {
			scope.Guards, scope.GuardSets = nil, nil
		}
		return scope
	}}
}

// notBack has rollbacks say that they are done, and do nothing.
func notBack(t stage.Task) stage.Task {
	return wrapped{Task: t, step: func(ctx context.Context, t stage.Task, run *stage.Run) (stage.Outcome, error) {
		if t.Kind() == "Rollback" {
			return stage.Done("all is back", nil), nil
		}
		return t.Step(ctx, run)
	}}
}

func skipsItself(t stage.Task) stage.Task {
	return wrapped{Task: t, step: func(ctx context.Context, t stage.Task, run *stage.Run) (stage.Outcome, error) {
		out, err := t.Step(ctx, run)
		if t.Kind() == "Canary" && err == nil {
			out = stage.Done("nothing to see here", nil)
			out.Reason = stage.ReasonSkipped
		}
		return out, err
	}}
}

func anyQuestion(t stage.Task) stage.Task {
	return wrapped{Task: t, step: func(ctx context.Context, t stage.Task, run *stage.Run) (stage.Outcome, error) {
		for i, a := range run.Approvals {
			a = a.DeepCopy()
			a.Spec.Question, a.Spec.RunRef.UID = run.Task, run.UID
			run.Approvals[i] = a
		}
		return t.Step(ctx, run)
	}}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// rewrite has the bodies of some requests of a process changed on their way out, and the answers on their way back; either may be nil.
func rewrite(process string, next http.RoundTripper, of string, method, path string, request, answer func(string) string) http.RoundTripper {
	if process != of && (of != "member" || process == "hub") {
		return next
	}
	change := func(body io.ReadCloser, by func(string) string) (io.ReadCloser, int64, error) {
		raw, err := io.ReadAll(body)
		out := by(string(raw))
		return io.NopCloser(strings.NewReader(out)), int64(len(out)), err
	}
	return roundTripper(func(r *http.Request) (resp *http.Response, err error) {
		if r.Method != method || !strings.Contains(r.URL.Path, path) {
			return next.RoundTrip(r)
		}
		if request != nil {
			if r.Body, r.ContentLength, err = change(r.Body, request); err != nil {
				return nil, err
			}
		}
		resp, err = next.RoundTrip(r)
		if err == nil && answer != nil {
			resp.Body, resp.ContentLength, err = change(resp.Body, answer)
		}
		return resp, err
	})
}

// edit changes a JSON object.
func edit(body string, change func(map[string]any)) string {
	var m map[string]any
	if json.Unmarshal([]byte(body), &m) != nil {
		return body
	}
	change(m)
	var out bytes.Buffer
	if json.NewEncoder(&out).Encode(m) != nil {
		return body
	}
	return out.String()
}

// dropTouched keeps the record from what is touched, and has the hub believe that it has it.
func dropTouched(process string, next http.RoundTripper) http.RoundTripper {
	var sent any
	status := func(body string, change func(map[string]any)) string {
		return edit(body, func(m map[string]any) {
			if st, ok := m["status"].(map[string]any); ok {
				change(st)
			}
		})
	}
	believed := func(body string) string {
		return status(body, func(st map[string]any) {
			if sent != nil {
				st["touched"] = sent
			}
		})
	}
	next = rewrite(process, next, "hub", http.MethodGet, "/releases/", nil, believed)
	return rewrite(process, next, "hub", http.MethodPut, "/releases/", func(body string) string {
		return status(body, func(st map[string]any) {
			if st["touched"] != nil {
				sent = st["touched"]
			}
			delete(st, "touched")
		})
	}, believed)
}

// dropUnlocks leaves locks where they are.
func dropUnlocks(process string, next http.RoundTripper) http.RoundTripper {
	return rewrite(process, next, "hub", http.MethodPatch, "/inplacesets/", func(body string) string {
		return strings.ReplaceAll(body, `{"op":"remove","path":"/metadata/annotations/stages.periplus.dev~1lock"}`, `{"op":"test","path":"/kind","value":"InPlaceSet"}`)
	}, nil)
}

// openPolicies has every policy give everything and demand nothing.
func openPolicies(process string, next http.RoundTripper) http.RoundTripper {
	return rewrite(process, next, "hub", http.MethodGet, "/releasepolicies", nil, func(body string) string {
		return edit(body, func(m map[string]any) {
			items, _ := m["items"].([]any)
			for _, item := range items {
				if policy, ok := item.(map[string]any); ok {
					policy["spec"] = map[string]any{}
				}
			}
		})
	})
}

// twice makes each creation of an object once more, under another name.
func twice(of, path string) func(process string, next http.RoundTripper) http.RoundTripper {
	return func(process string, next http.RoundTripper) http.RoundTripper { return again(of, path, process, next) }
}

func again(of, path, process string, next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		if (process == "hub") != (of == "hub") || r.Method != http.MethodPost || !strings.HasSuffix(r.URL.Path, path) {
			return next.RoundTrip(r)
		}
		raw, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		again := r.Clone(r.Context())
		again.Body = io.NopCloser(strings.NewReader(edit(string(raw), func(m map[string]any) {
			if meta, ok := m["metadata"].(map[string]any); ok {
				meta["name"] = meta["name"].(string) + "-again"
			}
		})))
		if _, err := next.RoundTrip(again); err != nil {
			return nil, err
		}
		r.Body = io.NopCloser(bytes.NewReader(raw))
		return next.RoundTrip(r)
	})
}

// repeatMoves records the last move once more.
func repeatMoves(process string, next http.RoundTripper) http.RoundTripper {
	return rewrite(process, next, "hub", http.MethodPut, "/releases/", func(body string) string {
		return edit(body, func(m map[string]any) {
			if st, ok := m["status"].(map[string]any); ok {
				if moves, ok := st["moves"].([]any); ok && len(moves) > 0 {
					st["moves"] = append(moves, moves[len(moves)-1])
				}
			}
		})
	}, nil)
}
