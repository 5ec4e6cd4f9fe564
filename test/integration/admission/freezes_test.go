//go:build integration

package admission

import (
	"context"
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

const thawed = `{"spec":{"lifted":{"message":"mended"}}}`

func freezing(by person, fields string) func(context.Context, *testing.T) error {
	return func(ctx context.Context, _ *testing.T) error {
		_, err := by.create(ctx, freeze(fields))
		return err
	}
}

// lifting merges a patch into a Freeze of fay's.
func lifting(by person, patch string) func(context.Context, *testing.T) error {
	return func(ctx context.Context, t *testing.T) error {
		return by.merge(ctx, made(t, fay, freeze("user: fay")), patch)
	}
}

// lifted is a Freeze of fay's that she has lifted.
func lifted(ctx context.Context, t *testing.T) *unstructured.Unstructured {
	t.Helper()
	f := made(t, fay, freeze("user: fay"))
	if err := fay.merge(ctx, f, `{"spec":{"lifted":{"message":"mended","user":"fay"}}}`); err != nil {
		t.Fatal(err)
	}
	return f
}

// liftingWorks says why the name of who lifts is not filled in yet.
func liftingWorks(ctx context.Context) error {
	f, err := fay.create(ctx, freeze("user: fay"))
	if err == nil {
		_, err = fay.on(freezes).Patch(ctx, f.GetName(), types.MergePatchType, []byte(thawed), metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}})
	}
	return err
}

var unfilledFreezes = []attempt{
	{name: "a freeze without a name is refused and says what to do", try: freezing(fay, ""), refused: []string{"spec.user", "fay", "write it yourself"}},
	{name: "a freeze with the caller's own name and groups is in force", try: freezing(fay, "user: fay\n  groups: [on-call]")},
	{name: "a freeze in another's name is refused", try: freezing(fay, "user: gus"), refused: []string{"spec.user", "fay", "gus"}},
	{name: "a lifting without a name is refused and says what to do", try: lifting(gus, thawed), refused: []string{"spec.lifted.user", "gus", "write it yourself"}},
	{name: "a lifting in another's name is refused", try: lifting(gus, `{"spec":{"lifted":{"message":"m","user":"fay"}}}`), refused: []string{"spec.lifted.user", "gus", "fay"}},
}

var freezesOfPeople = []attempt{
	{name: "a freeze that names nobody gets the caller's name and groups", try: func(ctx context.Context, t *testing.T) error {
		got, err := fay.create(ctx, freeze(""))
		if err == nil {
			groups, _, _ := unstructured.NestedStringSlice(got.Object, "spec", "groups")
			if text(got, "spec", "user") != "fay" || !slices.Contains(groups, "on-call") {
				t.Errorf("spec.user %q, spec.groups %v", text(got, "spec", "user"), groups)
			}
		}
		return err
	}},
	{name: "a freeze in another's name is refused to the cluster's admin as well", try: freezing(admin, "user: fay"), refused: []string{"spec.user", "admin", "nobody freezes for somebody else"}},
	{name: "a freeze with a group that the caller is not in is refused and names it", try: freezing(fay, "groups: [on-call, captains]"), refused: []string{"spec.groups", "fay", "captains"}},
	{name: "a freeze that is lifted from the beginning is refused", try: freezing(fay, "lifted: {message: m, user: fay}"), refused: []string{"spec.lifted", "begins in force"}},
	{name: "a freeze with an owner, to be deleted with it, is refused", try: func(ctx context.Context, t *testing.T) error {
		f := freeze("")
		own(f, made(t, fay, freeze("")))
		_, err := fay.create(ctx, f)
		return err
	}, refused: []string{"metadata.ownerReferences"}},
	{name: "a freeze with a finalizer is refused", try: func(ctx context.Context, _ *testing.T) error {
		f := freeze("")
		f.SetFinalizers([]string{"example.dev/keep"})
		_, err := fay.create(ctx, f)
		return err
	}, refused: []string{"metadata.finalizers"}},
	{name: "a freeze with a label of ours is refused", try: func(ctx context.Context, _ *testing.T) error {
		f := freeze("")
		f.SetLabels(map[string]string{"stages.periplus.dev/release": "r"})
		_, err := fay.create(ctx, f)
		return err
	}, refused: []string{"metadata.labels"}},
	{name: "a freeze cannot be given an owner afterwards", try: lifting(fay,
		`{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"Namespace","name":"gone","uid":"1"}]}}`), refused: []string{"metadata: owners"}},
	{name: "a freeze cannot be given an owner in the same breath as it is lifted", try: lifting(fay,
		`{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"Namespace","name":"gone","uid":"1"}]},"spec":{"lifted":{"message":"m"}}}`), refused: []string{"metadata: owners"}},
	{name: "a freeze cannot be given a label of ours afterwards", try: lifting(admin, `{"metadata":{"labels":{"stages.periplus.dev/release":"r"}}}`), refused: []string{"metadata: owners"}},
	{name: "a freeze is labelled with labels of one's own", try: lifting(gus, `{"metadata":{"labels":{"ticket":"OPS-1"}}}`)},
	{name: "another than who froze lifts, in his own name", try: func(ctx context.Context, t *testing.T) error {
		f := made(t, fay, freeze(""))
		if err := gus.merge(ctx, f, thawed); err != nil {
			return err
		}
		got, err := fay.on(freezes).Get(ctx, f.GetName(), metav1.GetOptions{})
		if err == nil {
			groups, _, _ := unstructured.NestedStringSlice(got.Object, "spec", "lifted", "groups")
			if text(got, "spec", "lifted", "user") != "gus" || !slices.Contains(groups, "on-call") || text(got, "spec", "user") != "fay" {
				t.Errorf("spec %v", got.Object["spec"])
			}
		}
		return err
	}},
	{name: "a lifting in another's name is refused", try: lifting(gus, `{"spec":{"lifted":{"message":"m","user":"fay"}}}`), refused: []string{"spec.lifted.user", "nobody lifts for somebody else"}},
	{name: "a lifting in another's name is refused to our own controller as well", try: lifting(controller, `{"spec":{"lifted":{"message":"m","user":"fay"}}}`), refused: []string{"spec.lifted.user"}},
	{name: "a lifting with a group that the caller is not in is refused", try: lifting(gus, `{"spec":{"lifted":{"message":"m","groups":["captains"]}}}`), refused: []string{"spec.lifted.groups", "gus", "captains"}},
	{name: "a freeze in force cannot be deleted by who froze", try: func(ctx context.Context, t *testing.T) error {
		return fay.delete(ctx, made(t, fay, freeze("")))
	}, refused: []string{"in force cannot be deleted", "spec.lifted"}},
	{name: "a freeze in force cannot be deleted by the cluster's admin", try: func(ctx context.Context, t *testing.T) error {
		return admin.delete(ctx, made(t, fay, freeze("")))
	}, refused: []string{"in force cannot be deleted"}},
	{name: "freezes in force cannot be deleted all at once", try: func(ctx context.Context, t *testing.T) error {
		made(t, fay, freeze(""))
		return admin.on(freezes).DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{})
	}, refused: []string{"in force cannot be deleted"}},
	{name: "a freeze that was lifted is deleted", try: func(ctx context.Context, t *testing.T) error { return fay.delete(ctx, lifted(ctx, t)) }},
	{name: "the controller deletes a freeze", try: func(ctx context.Context, t *testing.T) error {
		return controller.delete(ctx, made(t, fay, freeze("")))
	}},
}
