package loop

import (
	"context"
	"testing"

	"go.uber.org/zap"
	"k8s.io/apimachinery/pkg/types"
	"knative.dev/pkg/controller"
	"knative.dev/pkg/logging"
	"knative.dev/pkg/reconciler"
)

func TestControllersThatLeadTogetherHaveOneLease(t *testing.T) {
	ctx := Together(logging.WithLogger(t.Context(), zap.NewNop().Sugar()))
	done := map[string]int{}
	config := func(name string, together bool) Config {
		return Config{
			Name: name, Together: together, List: func() ([]types.NamespacedName, error) { return []types.NamespacedName{{Name: name}}, nil },
			Reconcile: func(_ context.Context, key types.NamespacedName) error { done[key.Name]++; return nil },
		}
	}
	first, second, alone := New(ctx, config("first", true)), New(ctx, config("second", true)), New(ctx, config("alone", false))
	leads := func(impl *controller.Impl) reconciler.LeaderAware {
		aware, _ := impl.Reconciler.(reconciler.LeaderAware)
		return aware
	}
	if leads(first) == nil || leads(second) != nil || leads(alone) == nil {
		t.Fatalf("leases of %t, %t, %t; want one for the two, and one for the third", leads(first) != nil, leads(second) != nil, leads(alone) != nil)
	}
	if err := second.Reconciler.Reconcile(ctx, "x"); !controller.IsSkipKey(err) {
		t.Errorf("before it leads: %v; want the key skipped", err)
	}
	if err := leads(first).Promote(reconciler.UniversalBucket(), first.MaybeEnqueueBucketKey); err != nil {
		t.Fatal(err)
	}
	if err := second.Reconciler.Reconcile(ctx, "x"); err != nil || done["x"] != 1 {
		t.Errorf("once the first leads: %v, %d passes", err, done["x"])
	}
	for _, impl := range []*controller.Impl{first, second} {
		if key, _ := impl.WorkQueue().Get(); key != any(types.NamespacedName{Name: impl.Name}) {
			t.Errorf("%s begins with %v; want all of its keys", impl.Name, key)
		}
	}
	leads(first).Demote(reconciler.UniversalBucket())
	if err := second.Reconciler.Reconcile(ctx, "x"); !controller.IsSkipKey(err) {
		t.Errorf("when the lease is lost: %v; want the key skipped", err)
	}
	if other := New(logging.WithLogger(t.Context(), zap.NewNop().Sugar()), config("other", true)); leads(other) == nil {
		t.Error("in a context of no convoy a controller has no lease")
	}
}
