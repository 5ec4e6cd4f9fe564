//go:build integration

package admission

import (
	"context"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// start creates a run and says who the server then says has started it.
func start(by person, run func() *unstructured.Unstructured, want string) func(context.Context, *testing.T) error {
	return func(ctx context.Context, t *testing.T) error {
		got, err := by.create(ctx, run())
		if err == nil && initiator(got) != want {
			t.Errorf("the initiator is %q and must be %q", initiator(got), want)
		}
		return err
	}
}

func claiming(who string) func() *unstructured.Unstructured {
	return func() *unstructured.Unstructured { return startedBy(pipelineRun(), who) }
}

var unstampedPipelineRuns = []attempt{
	{name: "a run that does not say who started it stays so", try: start(alice, pipelineRun, "")},
	{name: "a run that says the caller started it is believed", try: start(alice, claiming("alice"), "alice")},
	{name: "a run that says another started it is refused", try: start(alice, claiming("bob"), ""), refused: []string{initiatorKey, "alice", "bob"}},
	{name: "a run that says nobody started it is refused", try: start(alice, claiming(""), ""), refused: []string{initiatorKey, "empty"}},
	{name: "a child run of our controller says who started its root", try: start(controller, claiming("alice"), "alice")},
	{name: "a child run of Tekton's says who started its root", try: start(tekton, claiming("alice"), "alice")},
	{name: "an initiator cannot appear later", try: func(ctx context.Context, t *testing.T) error {
		return alice.merge(ctx, made(t, alice, pipelineRun()), `{"metadata":{"annotations":{"stages.periplus.dev/initiator":"bob"}}}`)
	}, refused: []string{initiatorKey, "never changes"}},
	{name: "an initiator cannot be smuggled in by a Pipeline's annotations, which Tekton copies", try: func(ctx context.Context, t *testing.T) error {
		return tekton.merge(ctx, made(t, alice, pipelineRun()), `{"metadata":{"annotations":{"stages.periplus.dev/initiator":"bob"}}}`)
	}, refused: []string{initiatorKey, "never changes"}},
}

var starts = []attempt{
	{name: "a run is stamped with the caller's name", try: start(alice, pipelineRun, "alice")},
	{name: "a run made from a file that names another is stamped with the caller's name", try: start(alice, claiming("bob"), "alice")},
	{name: "a run with other annotations keeps them", try: func(ctx context.Context, t *testing.T) error {
		run := pipelineRun()
		run.SetAnnotations(map[string]string{"a": "b"})
		got, err := alice.create(ctx, run)
		if err == nil && (initiator(got) != "alice" || got.GetAnnotations()["a"] != "b") {
			t.Errorf("annotations %v", got.GetAnnotations())
		}
		return err
	}},
	{name: "a child run of our controller keeps its root's initiator", try: start(controller, claiming("alice"), "alice")},
	{name: "a child run of Tekton's keeps its root's initiator", try: start(tekton, claiming("alice"), "alice")},
	{name: "a controller's run without an initiator is nobody's, not the controller's", try: start(tekton, pipelineRun, "")},
	{name: "another's ServiceAccount is stamped like everybody", try: start(undertaker, claiming("alice"), undertaker.name)},
	{name: "an initiator cannot be changed", try: func(ctx context.Context, t *testing.T) error {
		return alice.merge(ctx, made(t, alice, pipelineRun()), `{"metadata":{"annotations":{"stages.periplus.dev/initiator":"bob"}}}`)
	}, refused: []string{initiatorKey, "never changes"}},
	{name: "an initiator cannot be changed by the cluster's admin", try: func(ctx context.Context, t *testing.T) error {
		return admin.merge(ctx, made(t, alice, pipelineRun()), `{"metadata":{"annotations":{"stages.periplus.dev/initiator":"bob"}}}`)
	}, refused: []string{initiatorKey, "never changes"}},
	{name: "an initiator cannot be taken away", try: func(ctx context.Context, t *testing.T) error {
		return alice.merge(ctx, made(t, alice, pipelineRun()), `{"metadata":{"annotations":null}}`)
	}, refused: []string{initiatorKey, "never changes"}},
	{name: "a replace that drops the initiator is refused", try: func(ctx context.Context, t *testing.T) error {
		run := made(t, dave, pipelineRun())
		run.SetAnnotations(nil)
		_, err := dave.on(pipelineRuns).Update(ctx, run, metav1.UpdateOptions{})
		return err
	}, refused: []string{initiatorKey, "a replace must carry it along"}},
	{name: "Tekton adds labels and annotations", try: func(ctx context.Context, t *testing.T) error {
		run := made(t, alice, pipelineRun())
		run.SetLabels(map[string]string{"tekton.dev/pipeline": "web"})
		run.SetAnnotations(map[string]string{initiatorKey: "alice", "chains.tekton.dev/signed": "true"})
		_, err := tekton.on(pipelineRuns).Update(ctx, run, metav1.UpdateOptions{})
		return err
	}},
	{name: "a user cancels a run", try: func(ctx context.Context, t *testing.T) error {
		return alice.merge(ctx, made(t, alice, pipelineRun()), `{"spec":{"status":"CancelledRunFinally"}}`)
	}},
	{name: "a user applies the same file twice", try: func(ctx context.Context, t *testing.T) error {
		run := pipelineRun()
		apply := func() (*unstructured.Unstructured, error) {
			return alice.on(pipelineRuns).Apply(ctx, run.GetName(), run, metav1.ApplyOptions{FieldManager: "kubectl"})
		}
		if _, err := apply(); err != nil {
			return err
		}
		run.SetLabels(map[string]string{"a": "b"})
		got, err := apply()
		if err == nil && initiator(got) != "alice" {
			t.Errorf("the initiator is %q", initiator(got))
		}
		return err
	}},
	{name: "Tekton writes a run's status", try: func(ctx context.Context, t *testing.T) error {
		return tekton.patchStatus(ctx, pipelineRuns, made(t, alice, pipelineRun()).GetName(), succeeded)
	}},
	{name: "a user deletes his run", try: func(ctx context.Context, t *testing.T) error {
		return alice.delete(ctx, made(t, alice, pipelineRun()))
	}},
}
