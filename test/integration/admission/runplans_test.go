//go:build integration

package admission

import (
	"context"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// runPlan asks what a run would do.
func runPlan() *unstructured.Unstructured {
	return object("apiVersion: stages.periplus.dev/v1alpha1\nkind: RunPlan\nmetadata: {name: %s}\n"+
		"spec: {run: {apiVersion: tekton.dev/v1, kind: PipelineRun, metadata: {generateName: web-}, spec: {pipelineRef: {name: web}}}}\n", fresh("plan"))
}

func planOf(who string) func() *unstructured.Unstructured {
	return func() *unstructured.Unstructured { return startedBy(runPlan(), who) }
}

var unstampedPlans = []attempt{
	{name: "a plan that does not say who asked stays so", try: start(alice, runPlan, "")},
	{name: "a plan that says the caller asked is believed", try: start(alice, planOf("alice"), "alice")},
	{name: "a plan that says another asked is refused", try: start(alice, planOf("bob"), ""), refused: []string{initiatorKey, "alice", "bob"}},
	{name: "a plan that says another asked is refused to the cluster's admin as well", try: start(admin, planOf("bob"), ""), refused: []string{initiatorKey, "bob"}},
	{name: "who asked cannot appear later", try: func(ctx context.Context, t *testing.T) error {
		return dave.merge(ctx, made(t, alice, runPlan()), `{"metadata":{"annotations":{"stages.periplus.dev/initiator":"bob"}}}`)
	}, refused: []string{initiatorKey, "never changes"}},
}

var plans = []attempt{
	{name: "a plan is stamped with the caller's name", try: start(alice, runPlan, "alice")},
	{name: "a plan made from a file that names another is stamped with the caller's name", try: start(alice, planOf("bob"), "alice")},
	{name: "who asked cannot be changed", try: func(ctx context.Context, t *testing.T) error {
		return dave.merge(ctx, made(t, alice, runPlan()), `{"metadata":{"annotations":{"stages.periplus.dev/initiator":"bob"}}}`)
	}, refused: []string{initiatorKey, "never changes"}},
	{name: "the run of a plan is kept whole", try: func(ctx context.Context, t *testing.T) error {
		got, err := alice.create(ctx, runPlan())
		if err == nil && text(got, "spec", "run", "spec", "pipelineRef", "name") != "web" {
			t.Errorf("spec.run is %v", got.Object["spec"])
		}
		return err
	}},
	{name: "what was asked cannot be changed", try: func(ctx context.Context, t *testing.T) error {
		return dave.merge(ctx, made(t, alice, runPlan()), `{"spec":{"run":{"spec":{"pipelineRef":{"name":"other"}}}}}`)
	}, refused: []string{"spec", "never changes"}},
	{name: "our controller answers a plan", try: func(ctx context.Context, t *testing.T) error {
		return controller.patchStatus(ctx, runPlans, made(t, alice, runPlan()).GetName(), `{"status":{"phase":"Ready"}}`)
	}},
	{name: "our controller deletes a plan", try: func(ctx context.Context, t *testing.T) error {
		return controller.delete(ctx, made(t, alice, runPlan()))
	}},
	{name: "whoever asked deletes the plan", try: func(ctx context.Context, t *testing.T) error {
		return alice.delete(ctx, made(t, alice, runPlan()))
	}},
}
