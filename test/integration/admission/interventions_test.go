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

func intervene(by person, fields string) func(context.Context, *testing.T) error {
	return func(ctx context.Context, _ *testing.T) error {
		_, err := by.create(ctx, intervention(fields))
		return err
	}
}

var unfilledInterventions = []attempt{
	{name: "an intervention without a name is refused and says what to do", try: intervene(dave, ""), refused: []string{"spec.user", "dave", "write it yourself"}},
	{name: "an intervention with the caller's own name and groups counts", try: intervene(dave, "user: dave\n  groups: [operators]")},
	{name: "an intervention in another's name is refused", try: intervene(dave, "user: carol"), refused: []string{"spec.user", "dave", "carol"}},
}

var interventionsOfPeople = []attempt{
	{name: "an intervention that names nobody gets the caller's name and groups", try: func(ctx context.Context, t *testing.T) error {
		got, err := dave.create(ctx, intervention(""))
		if err == nil {
			groups, _, _ := unstructured.NestedStringSlice(got.Object, "spec", "groups")
			if text(got, "spec", "user") != "dave" || !slices.Contains(groups, "operators") {
				t.Errorf("spec.user %q, spec.groups %v", text(got, "spec", "user"), groups)
			}
		}
		return err
	}},
	{name: "an intervention that names one of the caller's groups keeps to it", try: func(ctx context.Context, t *testing.T) error {
		got, err := dave.create(ctx, intervention("groups: [operators]"))
		if err == nil {
			groups, _, _ := unstructured.NestedStringSlice(got.Object, "spec", "groups")
			if !slices.Equal(groups, []string{"operators"}) {
				t.Errorf("spec.groups %v", groups)
			}
		}
		return err
	}},
	{name: "somebody in more groups than an Intervention can name intervenes all the same", try: func(ctx context.Context, t *testing.T) error {
		groups := []string{"operators", "operators"}
		for i := range 300 {
			groups = append(groups, fmt.Sprint("g", i))
		}
		everybody := user("dave", groups...)
		everybody.name = "dave in 300 groups"
		got, err := everybody.create(ctx, intervention(""))
		if err == nil {
			if n, _, _ := unstructured.NestedStringSlice(got.Object, "spec", "groups"); len(n) < 250 || len(n) > 256 {
				t.Errorf("%d groups", len(n))
			}
		}
		return err
	}},
	{name: "an intervention in another's name is refused", try: intervene(dave, "user: carol"), refused: []string{"spec.user", "dave", "carol", "nobody intervenes for somebody else"}},
	{name: "an intervention in another's name is refused to the cluster's admin as well", try: intervene(admin, "user: carol"), refused: []string{"spec.user", "admin"}},
	{name: "an intervention in another's name is refused to our own controller as well", try: intervene(controller, "user: carol"), refused: []string{"spec.user"}},
	{name: "an intervention with a group that the caller is not in is refused and names it", try: intervene(dave, "groups: [operators, release-managers]"),
		refused: []string{"spec.groups", "dave", "release-managers"}},
	{name: "an intervention with an owner, to be deleted with it, is refused", try: func(ctx context.Context, t *testing.T) error {
		a := intervention("")
		own(a, made(t, dave, object("apiVersion: stages.periplus.dev/v1alpha1\nkind: Target\nmetadata: {name: %s}\n"+
			"spec: {workload: {apiVersion: apps.periplus.dev/v1alpha1, kind: InPlaceSet, name: web}}", fresh("bait"))))
		_, err := dave.create(ctx, a)
		return err
	}, refused: []string{"metadata.ownerReferences"}},
	{name: "an intervention with a finalizer is refused", try: func(ctx context.Context, t *testing.T) error {
		a := intervention("")
		a.SetFinalizers([]string{"example.dev/keep"})
		_, err := dave.create(ctx, a)
		return err
	}, refused: []string{"metadata.finalizers"}},
	{name: "an intervention that says which release it belongs to, to be cleaned up with it, is refused", try: func(ctx context.Context, t *testing.T) error {
		a := intervention("")
		a.SetLabels(map[string]string{"stages.periplus.dev/release": "an-old-one"})
		_, err := dave.create(ctx, a)
		return err
	}, refused: []string{"metadata.labels"}},
	{name: "an intervention with labels of the author's own is accepted", try: func(ctx context.Context, t *testing.T) error {
		a := intervention("")
		a.SetLabels(map[string]string{"ticket": "OPS-1"})
		_, err := dave.create(ctx, a)
		return err
	}},
	{name: "an intervention cannot be labelled afterwards", try: func(ctx context.Context, t *testing.T) error {
		return dave.merge(ctx, made(t, dave, intervention("")), `{"metadata":{"labels":{"a":"b"}}}`)
	}, refused: []string{"an Intervention never changes"}},
	{name: "an intervention cannot be given an owner afterwards", try: func(ctx context.Context, t *testing.T) error {
		return dave.merge(ctx, made(t, dave, intervention("")),
			`{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"gone","uid":"1"}]}}`)
	}, refused: []string{"an Intervention never changes"}},
	{name: "an intervention cannot be labelled by the cluster's admin", try: func(ctx context.Context, t *testing.T) error {
		return admin.merge(ctx, made(t, dave, intervention("")), `{"metadata":{"labels":{"a":"b"}}}`)
	}, refused: []string{"an Intervention never changes"}},
	{name: "the controller labels an intervention with its release", try: func(ctx context.Context, t *testing.T) error {
		return controller.merge(ctx, made(t, dave, intervention("")), `{"metadata":{"labels":{"stages.periplus.dev/release":"r"}}}`)
	}},
	{name: "an intervention cannot be deleted by its author", try: func(ctx context.Context, t *testing.T) error {
		return dave.delete(ctx, made(t, dave, intervention("")))
	}, refused: []string{"cannot be deleted", "Resume"}},
	{name: "an intervention cannot be deleted by the cluster's admin", try: func(ctx context.Context, t *testing.T) error {
		return admin.delete(ctx, made(t, dave, intervention("")))
	}, refused: []string{"cannot be deleted"}},
	{name: "interventions cannot be deleted all at once", try: func(ctx context.Context, t *testing.T) error {
		made(t, dave, intervention(""))
		return dave.on(interventions).DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{})
	}, refused: []string{"cannot be deleted"}},
	{name: "the controller deletes an intervention after retention", try: func(ctx context.Context, t *testing.T) error {
		return controller.delete(ctx, made(t, dave, intervention("")))
	}},
	{name: "a namespace that ends takes its interventions along", try: func(ctx context.Context, t *testing.T) error {
		return undertaker.delete(ctx, made(t, dave, intervention("")))
	}},
	{name: "the garbage collector deletes an intervention", try: func(ctx context.Context, t *testing.T) error {
		return collector.delete(ctx, made(t, dave, intervention("")))
	}},
}
