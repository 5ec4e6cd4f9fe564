package loop

import (
	"context"
	"errors"

	"k8s.io/apimachinery/pkg/types"
	"knative.dev/pkg/controller"
	"knative.dev/pkg/reconciler"
)

// convoy are controllers that lead together. They are made one after the other, before any of them runs.
type convoy struct {
	first *keyReconciler
	rest  []follower
}

type follower struct {
	cfg  Config
	impl *controller.Impl
}

type convoyKey struct{}

// Together returns a context in which controllers that say so (see Config) lead together: one lease says for all of them whether this replica leads. Where leaders have
// several buckets, a key of one of them may be led elsewhere than a key of another.
func Together(ctx context.Context) context.Context {
	return context.WithValue(ctx, convoyKey{}, &convoy{})
}

func convoyOf(ctx context.Context) *convoy {
	c, _ := ctx.Value(convoyKey{}).(*convoy) // each leads by itself where there is none.
	return c
}

// promote those that follow: the first was promoted.
func (c *convoy) promote(bkt reconciler.Bucket) error {
	var errs []error
	for _, of := range c.rest {
		keys, err := of.cfg.list()
		errs = append(errs, err)
		for _, key := range keys {
			if bkt.Has(key) {
				of.impl.EnqueueKey(key)
			}
		}
	}
	return errors.Join(errs...)
}

// following reconciles while the first of its convoy leads. It has no lease, so it is not leader-aware itself.
type following struct {
	first *keyReconciler
	cfg   Config
}

var _ controller.Reconciler = (*following)(nil)

// Reconcile implements controller.Reconciler.
func (f *following) Reconcile(ctx context.Context, key string) error {
	return f.first.lead(ctx, key, func(ctx context.Context, nn types.NamespacedName) error { return f.cfg.Reconcile(ctx, nn) })
}
