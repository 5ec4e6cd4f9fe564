//go:build integration

package admission

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

const (
	initiatorKey = "stages.periplus.dev/initiator"

	// What runs a CustomRun can be of: a stage of ours, embedded or stored, or somebody else's task.
	ours       = `{customSpec: {apiVersion: stages.periplus.dev/v1alpha1, kind: Confirm, spec: {required: 2, approvers: {groups: [sre]}}}, retries: 1, timeout: 1h0m0s, params: [{name: a, value: b}]}`
	oursStored = `{customRef: {apiVersion: stages.periplus.dev/v1alpha1, kind: Canary, name: careful}}`
	foreign    = `{customRef: {apiVersion: example.dev/v1, kind: Wait, name: x}}`

	succeeded = `{"status":{"conditions":[{"type":"Succeeded","status":"True","reason":"Approved"}],"completionTime":"2026-01-01T00:00:00Z"}}`
)

var count atomic.Int64

// fresh is a name that no other object has.
func fresh(prefix string) string { return fmt.Sprintf("%s%d", prefix, count.Add(1)) }

func object(text string, args ...any) *unstructured.Unstructured {
	obj := &unstructured.Unstructured{}
	if err := yaml.Unmarshal(fmt.Appendf(nil, text, args...), &obj.Object); err != nil {
		panic(fmt.Sprintf("%v in\n%s", err, text))
	}
	return obj
}

// approval is a yes to a question; fields are more of its spec.
func approval(fields string) *unstructured.Unstructured {
	return object("apiVersion: stages.periplus.dev/v1alpha1\nkind: Approval\nmetadata: {name: %s}\n"+
		"spec:\n  runRef: {name: web-confirm, uid: 0b5e}\n  question: confirm-1\n  decision: Approve\n  %s\n", fresh("answer"), fields)
}

// intervention is a pause of a run; fields are more of its spec.
func intervention(fields string) *unstructured.Unstructured {
	return object("apiVersion: stages.periplus.dev/v1alpha1\nkind: Intervention\nmetadata: {name: %s}\n"+
		"spec:\n  runRef: {kind: PipelineRun, name: web-1, uid: 77aa}\n  action: Pause\n  message: lunch\n  %s\n", fresh("hand"), fields)
}

// freeze stops everything; fields are more of its spec.
func freeze(fields string) *unstructured.Unstructured {
	return object("apiVersion: stages.periplus.dev/v1alpha1\nkind: Freeze\nmetadata: {name: %s}\nspec:\n  message: the cables are cut\n  %s\n", fresh("freeze"), fields)
}

func pipelineRun() *unstructured.Unstructured {
	return object("apiVersion: tekton.dev/v1\nkind: PipelineRun\nmetadata: {name: %s}\nspec: {pipelineRef: {name: web}}\n", fresh("web"))
}

func startedBy(run *unstructured.Unstructured, who string) *unstructured.Unstructured {
	run.SetAnnotations(map[string]string{initiatorKey: who})
	return run
}

// standalone is a CustomRun that no pipeline made.
func standalone(name, spec string) *unstructured.Unstructured {
	return object("apiVersion: tekton.dev/v1beta1\nkind: CustomRun\nmetadata: {name: %s}\nspec: %s\n", name, spec)
}

// stageOf is the CustomRun that Tekton makes for a task of a PipelineRun.
func stageOf(run *unstructured.Unstructured, spec string) *unstructured.Unstructured {
	stage := standalone(run.GetName()+"-confirm", spec)
	stage.SetLabels(map[string]string{
		"tekton.dev/pipelineRun": run.GetName(), "tekton.dev/pipelineRunUID": string(run.GetUID()), "tekton.dev/pipelineTask": "confirm",
	})
	stage.SetAnnotations(run.GetAnnotations())
	own(stage, run)
	return stage
}

func own(obj, owner *unstructured.Unstructured) {
	obj.Object["metadata"].(map[string]any)["ownerReferences"] = []any{map[string]any{
		"apiVersion": owner.GetAPIVersion(), "kind": owner.GetKind(), "name": owner.GetName(), "uid": string(owner.GetUID()), "controller": true,
	}}
}

func release() *unstructured.Unstructured {
	return object("apiVersion: stages.periplus.dev/v1alpha1\nkind: Release\nmetadata: {name: %s}\n"+
		"spec: {root: {kind: PipelineRun, name: web, uid: 77aa}, initiator: alice}\n", fresh("release"))
}

// made is what somebody created; the test ends where that fails.
func made(t *testing.T, by person, obj *unstructured.Unstructured) *unstructured.Unstructured {
	t.Helper()
	got, err := by.create(context.Background(), obj)
	if err != nil {
		t.Fatalf("%s creates %s %s: %v", by.name, obj.GetKind(), obj.GetName(), err)
	}
	return got
}

// runningStage is a PipelineRun of alice's and the stage that Tekton made for it.
func runningStage(t *testing.T) *unstructured.Unstructured {
	t.Helper()
	return made(t, tekton, stageOf(made(t, alice, pipelineRun()), ours))
}

func text(obj *unstructured.Unstructured, path ...string) string {
	s, _, _ := unstructured.NestedString(obj.Object, path...)
	return s
}

func initiator(obj *unstructured.Unstructured) string { return obj.GetAnnotations()[initiatorKey] }

// attempt is one thing that somebody tries. It must be refused by the policy with the words, or succeed where no words are given.
type attempt struct {
	name    string
	try     func(context.Context, *testing.T) error
	refused []string
}

// each runs the attempts on the policy's objects.
func each(t *testing.T, policy string, attempts []attempt) {
	t.Helper()
	for _, a := range attempts {
		t.Run(a.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), limit)
			defer cancel()
			err := a.try(ctx, t)
			switch {
			case len(a.refused) == 0 && err != nil:
				t.Errorf("was refused: %v", err)
			case len(a.refused) > 0 && err == nil:
				t.Error("was accepted")
			case len(a.refused) > 0 && !refusedBy(err, policy, a.refused...):
				t.Errorf("must be refused by the policy %s with %q, and the error is: %v", policy, a.refused, err)
			}
		})
	}
}
