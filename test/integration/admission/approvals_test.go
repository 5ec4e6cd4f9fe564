//go:build integration

package admission

import (
	"context"
	"fmt"
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func answer(by person, fields string) func(context.Context, *testing.T) error {
	return func(ctx context.Context, _ *testing.T) error {
		_, err := by.create(ctx, approval(fields))
		return err
	}
}

var unfilledApprovals = []attempt{
	{name: "an answer without a name is refused and says what to do", try: answer(bob, ""), refused: []string{"spec.user", "bob", "write it yourself"}},
	{name: "an answer with the caller's own name and groups counts", try: answer(bob, "user: bob\n  groups: [sre]")},
	{name: "an answer in another's name is refused", try: answer(bob, "user: carol"), refused: []string{"spec.user", "bob", "carol"}},
}

var answers = []attempt{
	{name: "an answer that names nobody gets the caller's name and groups", try: func(ctx context.Context, t *testing.T) error {
		got, err := bob.create(ctx, approval(""))
		if err == nil {
			groups, _, _ := unstructured.NestedStringSlice(got.Object, "spec", "groups")
			if text(got, "spec", "user") != "bob" || !slices.Contains(groups, "sre") {
				t.Errorf("spec.user %q, spec.groups %v", text(got, "spec", "user"), groups)
			}
		}
		return err
	}},
	{name: "an answer that names one of the caller's groups keeps to it", try: func(ctx context.Context, t *testing.T) error {
		got, err := bob.create(ctx, approval("groups: [sre]"))
		if err == nil {
			groups, _, _ := unstructured.NestedStringSlice(got.Object, "spec", "groups")
			if !slices.Equal(groups, []string{"sre"}) {
				t.Errorf("spec.groups %v", groups)
			}
		}
		return err
	}},
	{name: "somebody in more groups than an Approval can name answers all the same", try: func(ctx context.Context, t *testing.T) error {
		groups := []string{"operators", "operators"}
		for i := range 300 {
			groups = append(groups, fmt.Sprint("g", i))
		}
		everybody := user("dave", groups...)
		everybody.name = "dave in 300 groups"
		got, err := everybody.create(ctx, approval(""))
		if err == nil {
			if n, _, _ := unstructured.NestedStringSlice(got.Object, "spec", "groups"); len(n) < 250 || len(n) > 256 {
				t.Errorf("%d groups", len(n))
			}
		}
		return err
	}},
	{name: "an answer in another's name is refused", try: answer(bob, "user: carol"), refused: []string{"spec.user", "bob", "carol", "nobody answers for somebody else"}},
	{name: "an answer in another's name is refused to the cluster's admin as well", try: answer(admin, "user: carol"), refused: []string{"spec.user", "admin"}},
	{name: "an answer in another's name is refused to our own controller as well", try: answer(controller, "user: carol"), refused: []string{"spec.user"}},
	{name: "an answer with a group that the caller is not in is refused and names it", try: answer(bob, "groups: [sre, release-managers]"),
		refused: []string{"spec.groups", "bob", "release-managers"}},
	{name: "an answer with an owner, to be deleted with it, is refused", try: func(ctx context.Context, t *testing.T) error {
		a := approval("")
		own(a, made(t, dave, object("apiVersion: stages.periplus.dev/v1alpha1\nkind: Target\nmetadata: {name: %s}\n"+
			"spec: {workload: {apiVersion: apps.periplus.dev/v1alpha1, kind: InPlaceSet, name: web}}", fresh("bait"))))
		_, err := dave.create(ctx, a)
		return err
	}, refused: []string{"metadata.ownerReferences"}},
	{name: "an answer with a finalizer is refused", try: func(ctx context.Context, t *testing.T) error {
		a := approval("")
		a.SetFinalizers([]string{"example.dev/keep"})
		_, err := dave.create(ctx, a)
		return err
	}, refused: []string{"metadata.finalizers"}},
	{name: "an answer that says which release it belongs to, to be cleaned up with it, is refused", try: func(ctx context.Context, t *testing.T) error {
		a := approval("")
		a.SetLabels(map[string]string{"stages.periplus.dev/release": "an-old-one"})
		_, err := dave.create(ctx, a)
		return err
	}, refused: []string{"metadata.labels"}},
	{name: "an answer with labels of the author's own is accepted", try: func(ctx context.Context, t *testing.T) error {
		a := approval("")
		a.SetLabels(map[string]string{"ticket": "OPS-1"})
		_, err := dave.create(ctx, a)
		return err
	}},
	{name: "an answer cannot be labelled afterwards", try: func(ctx context.Context, t *testing.T) error {
		return dave.merge(ctx, made(t, dave, approval("")), `{"metadata":{"labels":{"a":"b"}}}`)
	}, refused: []string{"an Approval never changes"}},
	{name: "an answer cannot be given an owner afterwards", try: func(ctx context.Context, t *testing.T) error {
		return dave.merge(ctx, made(t, dave, approval("")),
			`{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"gone","uid":"1"}]}}`)
	}, refused: []string{"an Approval never changes"}},
	{name: "an answer cannot be labelled by the cluster's admin", try: func(ctx context.Context, t *testing.T) error {
		return admin.merge(ctx, made(t, dave, approval("")), `{"metadata":{"labels":{"a":"b"}}}`)
	}, refused: []string{"an Approval never changes"}},
	{name: "the controller labels an answer with its release", try: func(ctx context.Context, t *testing.T) error {
		return controller.merge(ctx, made(t, dave, approval("")), `{"metadata":{"labels":{"stages.periplus.dev/release":"r"}}}`)
	}},
	{name: "an answer cannot be deleted by its author", try: func(ctx context.Context, t *testing.T) error {
		return dave.delete(ctx, made(t, dave, approval("")))
	}, refused: []string{"cannot be deleted", "Reject"}},
	{name: "an answer cannot be deleted by the cluster's admin", try: func(ctx context.Context, t *testing.T) error {
		return admin.delete(ctx, made(t, dave, approval("")))
	}, refused: []string{"cannot be deleted"}},
	{name: "answers cannot be deleted all at once", try: func(ctx context.Context, t *testing.T) error {
		made(t, dave, approval(""))
		return dave.on(approvals).DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{})
	}, refused: []string{"cannot be deleted"}},
	{name: "the controller deletes an answer after retention", try: func(ctx context.Context, t *testing.T) error {
		return controller.delete(ctx, made(t, dave, approval("")))
	}},
	{name: "a namespace that ends takes its answers along", try: func(ctx context.Context, t *testing.T) error {
		return undertaker.delete(ctx, made(t, dave, approval("")))
	}},
	{name: "the garbage collector deletes an answer", try: func(ctx context.Context, t *testing.T) error {
		return collector.delete(ctx, made(t, dave, approval("")))
	}},
}
