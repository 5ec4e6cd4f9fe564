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

func annotated(key, value string) func() *unstructured.Unstructured {
	return func() *unstructured.Unstructured {
		run := pipelineRun()
		run.SetAnnotations(map[string]string{key: value})
		return run
	}
}

// child is a run that a ClusterHop makes.
func child() *unstructured.Unstructured {
	run := pipelineRun()
	run.SetAnnotations(map[string]string{initiatorKey: "alice", "stages.periplus.dev/release": "web-1", "stages.periplus.dev/parent": "web-hop/77aa"})
	return run
}

// annotate makes a run, by the controller where it is a child and else by alice, and changes an annotation of it.
func annotate(by person, run func() *unstructured.Unstructured, key, value string) func(context.Context, *testing.T) error {
	return func(ctx context.Context, t *testing.T) error {
		obj, maker := run(), alice
		if obj.GetAnnotations()["stages.periplus.dev/parent"] != "" {
			maker = controller
		}
		return by.merge(ctx, made(t, maker, obj), `{"metadata":{"annotations":{"`+key+`":`+value+`}}}`)
	}
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
	{name: "a run that claims to be part of another's release is refused", try: start(alice, annotated("stages.periplus.dev/release", "theirs"), ""),
		refused: []string{"stages.periplus.dev/release", "periplus-controller", "retry-of"}},
	{name: "a run that claims to have been made by a hop is refused to the cluster's admin as well", try: start(admin, annotated("stages.periplus.dev/parent", "web-hop/77aa"), ""),
		refused: []string{"stages.periplus.dev/parent"}},
	{name: "a run that claims to have been made for a member is refused", try: start(alice, annotated("stages.periplus.dev/carrier", "hop/m1"), ""),
		refused: []string{"stages.periplus.dev/carrier"}},
	{name: "a run that claims that its member is done is refused", try: start(alice, annotated("stages.periplus.dev/settled", "now"), ""),
		refused: []string{"stages.periplus.dev/settled"}},
	{name: "a person cannot say that the member of a child is done", try: annotate(alice, child, "stages.periplus.dev/settled", `"now"`),
		refused: []string{"stages.periplus.dev/settled", "the controller only"}},
	{name: "our controller says that the member of a child is done", try: annotate(controller, child, "stages.periplus.dev/settled", `"now"`)},
	{name: "our controller makes a child of a hop, in the initiator's name", try: start(controller, child, "alice")},
	{name: "Tekton passes a release on to the runs within a child", try: start(tekton, child, "alice")},
	{name: "a run cannot be put into a release afterwards", try: annotate(alice, pipelineRun, "stages.periplus.dev/release", `"theirs"`), refused: []string{"stages.periplus.dev/release", "never changes"}},
	{name: "a run cannot be put into a release by a Pipeline's annotations, which Tekton copies", try: annotate(tekton, pipelineRun, "stages.periplus.dev/release", `"theirs"`),
		refused: []string{"stages.periplus.dev/release", "never changes"}},
	{name: "a child cannot be moved to another release, not by our controller either", try: annotate(controller, child, "stages.periplus.dev/release", `"theirs"`),
		refused: []string{"stages.periplus.dev/release", "never changes"}},
	{name: "a child cannot be taken from its hop", try: annotate(admin, child, "stages.periplus.dev/parent", "null"), refused: []string{"stages.periplus.dev/parent", "never changes"}},
	{name: "a run says which run it retries", try: start(alice, annotated("stages.periplus.dev/retry-of", "web1"), "alice")},
	{name: "a run cannot become a retry afterwards", try: annotate(alice, pipelineRun, "stages.periplus.dev/retry-of", `"web1"`), refused: []string{"stages.periplus.dev/retry-of", "never changes"}},
	{name: "a retry cannot become that of another run", try: annotate(alice, annotated("stages.periplus.dev/retry-of", "web1"), "stages.periplus.dev/retry-of", `"web2"`),
		refused: []string{"stages.periplus.dev/retry-of", "never changes"}},
	{name: "a run says for whom it was started, which only a ReleasePolicy makes count", try: start(undertaker, annotated("stages.periplus.dev/on-behalf-of", "alice"), undertaker.name)},
	{name: "for whom a run was started cannot be said afterwards", try: annotate(alice, pipelineRun, "stages.periplus.dev/on-behalf-of", `"bob"`),
		refused: []string{"stages.periplus.dev/on-behalf-of", "never changes"}},
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
