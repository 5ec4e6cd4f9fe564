//go:build integration

package admission

import (
	"context"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

var unstampedCustomRuns = []attempt{
	{name: "a stage by hand that says another started it is refused", try: func(ctx context.Context, t *testing.T) error {
		_, err := dave.create(ctx, startedBy(standalone(fresh("byhand"), ours), "bob"))
		return err
	}, refused: []string{initiatorKey, "dave", "bob"}},
}

// change makes a running stage and merges a patch into it.
func change(by person, patch string) func(context.Context, *testing.T) error {
	return func(ctx context.Context, t *testing.T) error { return by.merge(ctx, runningStage(t), patch) }
}

var stages = []attempt{
	{name: "Tekton makes a stage for a run, with its initiator", try: func(ctx context.Context, t *testing.T) error {
		if who := initiator(runningStage(t)); who != "alice" {
			t.Errorf("the initiator is %q", who)
		}
		return nil
	}},
	{name: "Tekton makes a stored stage for a run", try: func(ctx context.Context, t *testing.T) error {
		_, err := tekton.create(ctx, stageOf(made(t, alice, pipelineRun()), oursStored))
		return err
	}},
	{name: "a stage that says it belongs to somebody's run is refused", try: func(ctx context.Context, t *testing.T) error {
		stage := standalone(fresh("borrowed"), ours)
		own(stage, made(t, alice, pipelineRun()))
		_, err := dave.create(ctx, stage)
		return err
	}, refused: []string{"metadata.ownerReferences", "tekton-pipelines-controller"}},
	{name: "a stage of a stored kind that says it belongs to somebody's run is refused", try: func(ctx context.Context, t *testing.T) error {
		stage := standalone(fresh("borrowed"), oursStored)
		own(stage, made(t, alice, pipelineRun()))
		_, err := dave.create(ctx, stage)
		return err
	}, refused: []string{"metadata.ownerReferences"}},
	{name: "a stage that says it belongs to somebody's run is refused to our own controller", try: func(ctx context.Context, t *testing.T) error {
		stage := standalone(fresh("borrowed"), ours)
		own(stage, made(t, alice, pipelineRun()))
		_, err := controller.create(ctx, stage)
		return err
	}, refused: []string{"metadata.ownerReferences"}},
	{name: "a stage by hand with the labels of somebody's run is refused", try: func(ctx context.Context, t *testing.T) error {
		stage := standalone(fresh("borrowed"), ours)
		stage.SetLabels(map[string]string{"tekton.dev/pipelineRunUID": "77aa"})
		_, err := dave.create(ctx, stage)
		return err
	}, refused: []string{"metadata.labels", "tekton.dev/pipelineRunUID"}},
	{name: "a stage by hand that claims to be part of a release is refused", try: func(ctx context.Context, t *testing.T) error {
		stage := standalone(fresh("byhand"), ours)
		stage.SetAnnotations(map[string]string{"stages.periplus.dev/release": "theirs"})
		_, err := dave.create(ctx, stage)
		return err
	}, refused: []string{"stages.periplus.dev/release", "release of its own"}},
	{name: "a stage of a child run carries the release that Tekton copied", try: func(ctx context.Context, t *testing.T) error {
		_, err := tekton.create(ctx, stageOf(made(t, controller, child()), ours))
		return err
	}},
	{name: "a stage cannot be put into a release afterwards", try: change(dave, `{"metadata":{"annotations":{"stages.periplus.dev/release":"theirs"}}}`),
		refused: []string{"metadata.annotations", "stages.periplus.dev/release", "never change"}},
	{name: "our controller starts a rollback that no pipeline runs", try: func(ctx context.Context, t *testing.T) error {
		_, err := controller.create(ctx, standalone(fresh("web-")+"-rollback", `{customSpec: {apiVersion: stages.periplus.dev/v1alpha1, kind: Rollback, spec: {release: web-1}}}`))
		return err
	}},
	{name: "a stage by hand under the name that Tekton would look for is refused", try: func(ctx context.Context, t *testing.T) error {
		_, err := dave.create(ctx, standalone(made(t, alice, pipelineRun()).GetName()+"-confirm", ours))
		return err
	}, refused: []string{"metadata.name", "-confirm", "by hand"}},
	{name: "a stage by hand under the name that Tekton would look for is refused to the cluster's admin", try: func(ctx context.Context, t *testing.T) error {
		_, err := admin.create(ctx, standalone(made(t, alice, pipelineRun()).GetName()+"-confirm", ours))
		return err
	}, refused: []string{"metadata.name"}},
	{name: "a stage by hand with a name as long as a hashed one is refused", try: func(ctx context.Context, t *testing.T) error {
		_, err := dave.create(ctx, standalone(strings.Repeat("a", 32), ours))
		return err
	}, refused: []string{"metadata.name", "shorter than 32"}},
	{name: "a stage by hand is stamped with the caller's name", try: func(ctx context.Context, t *testing.T) error {
		got, err := dave.create(ctx, startedBy(standalone(fresh("byhand"), oursStored), "bob"))
		if err == nil && initiator(got) != "dave" {
			t.Errorf("the initiator is %q", initiator(got))
		}
		return err
	}},
	{name: "a stage by hand with a generated name is accepted", try: func(ctx context.Context, t *testing.T) error {
		stage := standalone("x", ours)
		stage.SetName("")
		stage.SetGenerateName("canary")
		_, err := dave.create(ctx, stage)
		return err
	}},
	{name: "a stage that is born successful is not", try: func(ctx context.Context, t *testing.T) error {
		stage := standalone(fresh("born"), ours)
		stage.Object["status"] = map[string]any{"conditions": []any{map[string]any{"type": "Succeeded", "status": "True"}}}
		got, err := dave.create(ctx, stage)
		if _, found := got.Object["status"]; err == nil && found {
			t.Errorf("status %v", got.Object["status"])
		}
		return err
	}},
	{name: "other people's tasks are theirs: any name, owner and label", try: func(ctx context.Context, t *testing.T) error {
		got, err := dave.create(ctx, stageOf(made(t, alice, pipelineRun()), foreign))
		if err == nil && initiator(got) != "alice" {
			t.Errorf("the initiator is %q: nothing must be stamped on tasks that are not ours", initiator(got))
		}
		return err
	}},
	{name: "other people's tasks are theirs: any change of the spec", try: func(ctx context.Context, t *testing.T) error {
		return dave.merge(ctx, made(t, dave, standalone(fresh("theirs"), foreign)), `{"spec":{"customRef":{"name":"y"}}}`)
	}},

	{name: "the approvers of a running stage cannot be changed", try: change(dave, `{"spec":{"customSpec":{"spec":{"approvers":{"groups":["operators"]}}}}}`),
		refused: []string{"spec.customSpec", "status and statusMessage"}},
	{name: "the approvers of a running stage cannot be changed by the cluster's admin", try: change(admin, `{"spec":{"customSpec":{"spec":{"required":1}}}}`),
		refused: []string{"spec.customSpec"}},
	{name: "all fields that must not change are named", try: change(dave, `{"spec":{"params":null,"timeout":"9h","serviceAccountName":"other"}}`),
		refused: []string{"spec.params", "spec.timeout", "spec.serviceAccountName"}},
	{name: "the retries of a running stage cannot be taken away", try: change(dave, `{"spec":{"retries":null}}`), refused: []string{"spec.retries"}},
	{name: "a change beside a cancel is refused", try: change(dave, `{"spec":{"status":"RunCancelled","retries":9}}`), refused: []string{"spec.retries"}},
	{name: "a stage cannot be pointed at another stored stage", try: func(ctx context.Context, t *testing.T) error {
		return dave.merge(ctx, made(t, tekton, stageOf(made(t, alice, pipelineRun()), oursStored)), `{"spec":{"customRef":{"name":"careless"}}}`)
	}, refused: []string{"spec.customRef"}},
	{name: "a stage cannot become somebody else's task, whose status others may write", try: change(dave, `{"spec":{"customSpec":{"apiVersion":"example.dev/v1"}}}`),
		refused: []string{"spec.customSpec"}},
	{name: "somebody else's task cannot become a stage", try: func(ctx context.Context, t *testing.T) error {
		return dave.merge(ctx, made(t, dave, standalone(fresh("turncoat"), foreign)), `{"spec":{"customRef":{"apiVersion":"stages.periplus.dev/v1alpha1","kind":"Confirm"}}}`)
	}, refused: []string{"spec.customRef"}},
	{name: "a user who may patch it cancels a stage", try: change(dave, `{"spec":{"status":"RunCancelled","statusMessage":"enough"}}`)},
	{name: "Tekton cancels a stage that is finished", try: func(ctx context.Context, t *testing.T) error {
		stage := runningStage(t)
		if err := controller.patchStatus(ctx, customRuns, stage.GetName(), succeeded); err != nil {
			return err
		}
		return tekton.json(ctx, stage, `[{"op":"add","path":"/spec/status","value":"RunCancelled"},
			{"op":"add","path":"/spec/statusMessage","value":"CustomRun cancelled as the PipelineRun it belongs to has been cancelled."}]`)
	}},
	{name: "Tekton's webhook fills in a default while Tekton cancels a stage", try: change(tekton, `{"spec":{"status":"RunCancelled","serviceAccountName":"default"}}`)},
	{name: "our controller sets its finalizer", try: change(controller, `{"metadata":{"finalizers":["stages.periplus.dev/stage"]}}`)},

	{name: "a stage cannot be taken from its run", try: change(dave, `{"metadata":{"ownerReferences":null}}`), refused: []string{"metadata.ownerReferences"}},
	{name: "a stage cannot be given to another run", try: func(ctx context.Context, t *testing.T) error {
		stage := runningStage(t)
		own(stage, made(t, dave, pipelineRun()))
		_, err := dave.on(customRuns).Update(ctx, stage, metav1.UpdateOptions{})
		return err
	}, refused: []string{"metadata.ownerReferences"}},
	{name: "a stage cannot be given an owner that is gone, to be collected", try: func(ctx context.Context, t *testing.T) error {
		return dave.merge(ctx, made(t, dave, standalone(fresh("byhand"), ours)),
			`{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"gone","uid":"1"}]}}`)
	}, refused: []string{"metadata.ownerReferences"}},
	{name: "the garbage collector orphans a stage", try: change(collector, `{"metadata":{"ownerReferences":null}}`)},
	{name: "the garbage collector changes nothing else", try: change(collector, `{"spec":{"retries":9}}`), refused: []string{"spec.retries"}},
	{name: "a stage cannot be labelled as another run's", try: change(dave, `{"metadata":{"labels":{"tekton.dev/pipelineRun":"other"}}}`),
		refused: []string{"metadata.labels", "tekton.dev/pipelineRun"}},
	{name: "a stage cannot lose the labels of its run", try: change(dave, `{"metadata":{"labels":{"tekton.dev/pipelineTask":null}}}`),
		refused: []string{"metadata.labels", "tekton.dev/pipelineTask"}},
	{name: "a stage by hand cannot get the labels of a run", try: func(ctx context.Context, t *testing.T) error {
		return dave.merge(ctx, made(t, dave, standalone(fresh("byhand"), ours)), `{"metadata":{"labels":{"tekton.dev/pipelineRunUID":"1"}}}`)
	}, refused: []string{"metadata.labels"}},
	{name: "a stage takes other labels and annotations", try: change(dave, `{"metadata":{"labels":{"a":"b"},"annotations":{"a":"b"}}}`)},
	{name: "a stage's initiator cannot be changed", try: change(dave, `{"metadata":{"annotations":{"stages.periplus.dev/initiator":"bob"}}}`),
		refused: []string{initiatorKey, "never changes"}},
	{name: "a user deletes a stage", try: func(ctx context.Context, t *testing.T) error { return dave.delete(ctx, runningStage(t)) }},
}

// decide makes a stage and writes its status.
func decide(by person, stage func(*testing.T) *unstructured.Unstructured) func(context.Context, *testing.T) error {
	return func(ctx context.Context, t *testing.T) error {
		return by.patchStatus(ctx, customRuns, stage(t).GetName(), succeeded)
	}
}

func storedStage(t *testing.T) *unstructured.Unstructured {
	t.Helper()
	return made(t, tekton, stageOf(made(t, alice, pipelineRun()), oursStored))
}

func theirs(t *testing.T) *unstructured.Unstructured {
	t.Helper()
	return made(t, dave, standalone(fresh("theirs"), foreign))
}

var statuses = []attempt{
	{name: "our controller decides a stage", try: decide(controller, runningStage)},
	{name: "a user cannot decide a stage", try: decide(dave, runningStage), refused: []string{"status", "periplus-controller", "Approval"}},
	{name: "a user cannot decide a stored stage", try: decide(dave, storedStage), refused: []string{"status", "periplus-controller"}},
	{name: "the cluster's admin cannot decide a stage", try: decide(admin, runningStage), refused: []string{"status"}},
	{name: "Tekton cannot decide a stage", try: decide(tekton, runningStage), refused: []string{"status"}},
	{name: "the garbage collector cannot decide a stage", try: decide(collector, runningStage), refused: []string{"status"}},
	{name: "a user cannot decide a stage by replacing its status", try: func(ctx context.Context, t *testing.T) error {
		stage := runningStage(t)
		stage.Object["status"] = map[string]any{"conditions": []any{map[string]any{"type": "Succeeded", "status": "True"}}}
		_, err := dave.on(customRuns).UpdateStatus(ctx, stage, metav1.UpdateOptions{})
		return err
	}, refused: []string{"status"}},
	{name: "a user cannot decide a stage by calling it somebody else's in the same write", try: func(ctx context.Context, t *testing.T) error {
		stage := runningStage(t)
		stage.Object["spec"] = map[string]any{"customRef": map[string]any{"apiVersion": "example.dev/v1", "kind": "Wait"}}
		stage.Object["status"] = map[string]any{"conditions": []any{map[string]any{"type": "Succeeded", "status": "True"}}}
		_, err := dave.on(customRuns).UpdateStatus(ctx, stage, metav1.UpdateOptions{})
		return err
	}, refused: []string{"status"}},
	{name: "a status in an ordinary update is not taken", try: func(ctx context.Context, t *testing.T) error {
		stage := runningStage(t)
		stage.Object["status"] = map[string]any{"conditions": []any{map[string]any{"type": "Succeeded", "status": "True"}}}
		got, err := dave.on(customRuns).Update(ctx, stage, metav1.UpdateOptions{})
		if err == nil && got.Object["status"] != nil {
			t.Errorf("status %v", got.Object["status"])
		}
		return err
	}},
	{name: "other people's tasks are decided by whom they like", try: decide(dave, theirs)},
}

func init() {
	for _, kind := range []string{"Rollback", "Soak", "Window", "Check"} {
		of := "{customSpec: {apiVersion: stages.periplus.dev/v1alpha1, kind: " + kind + ", spec: {}}}"
		stages = append(stages,
			attempt{name: "a " + kind + " that says it belongs to somebody's run is refused", try: func(ctx context.Context, t *testing.T) error {
				stage := standalone(fresh("borrowed"), of)
				own(stage, made(t, alice, pipelineRun()))
				_, err := dave.create(ctx, stage)
				return err
			}, refused: []string{"metadata.ownerReferences"}},
			attempt{name: "a running " + kind + " cannot be given another spec", try: func(ctx context.Context, t *testing.T) error {
				return dave.merge(ctx, made(t, tekton, stageOf(made(t, alice, pipelineRun()), of)), `{"spec":{"customSpec":{"spec":{"duration":"1s"}}}}`)
			}, refused: []string{"spec.customSpec"}})
		statuses = append(statuses, attempt{name: "a user cannot decide a " + kind, try: func(ctx context.Context, t *testing.T) error {
			return dave.patchStatus(ctx, customRuns, made(t, tekton, stageOf(made(t, alice, pipelineRun()), of)).GetName(), succeeded)
		}, refused: []string{"written by its controller only"}})
	}
}
