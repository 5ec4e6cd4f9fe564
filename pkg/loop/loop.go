// Package loop makes a leader-aware knative controller of one function. Our own kinds carry metav1.Condition, which knative's generated
// reconcilers do not take; CustomRuns, which are Tekton's, use the generated one.
package loop

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	"knative.dev/pkg/controller"
	"knative.dev/pkg/logging"
	"knative.dev/pkg/reconciler"
)

// Config of a controller.
type Config struct {
	// Name of the work queue, unique in the binary.
	Name string
	// Concurrency is how many keys are worked on at once; knative's default where 0.
	Concurrency int
	// List returns every key, for when this replica becomes leader.
	List func() ([]types.NamespacedName, error)
	// Reconcile brings one object to where it should be. It is called by the leader only. A returned error is retried with
	// back-off; controller.NewRequeueAfter asks for a time instead.
	Reconcile func(ctx context.Context, key types.NamespacedName) error
	// Together with all controllers that say so in one context (see Together), it leads or it does not: they share what only one process may know. The first has
	// the lease.
	Together bool
}

// New returns a controller that calls cfg.Reconcile for each key that is enqueued while this replica leads.
func New(ctx context.Context, cfg Config) *controller.Impl {
	options := controller.ControllerOptions{
		WorkQueueName: cfg.Name,
		Logger:        logging.FromContext(ctx).Named(cfg.Name),
		Concurrency:   cfg.Concurrency,
	}
	convoy := convoyOf(ctx)
	if cfg.Together && convoy != nil && convoy.first != nil {
		impl := controller.NewContext(ctx, &following{first: convoy.first, cfg: cfg}, options)
		convoy.rest = append(convoy.rest, follower{cfg: cfg, impl: impl})
		return impl
	}
	r := &keyReconciler{cfg: cfg}
	if cfg.Together && convoy != nil {
		convoy.first = r
	}
	r.LeaderAwareFuncs = reconciler.LeaderAwareFuncs{
		PromoteFunc: func(bkt reconciler.Bucket, enq func(reconciler.Bucket, types.NamespacedName)) error {
			keys, err := cfg.list()
			if err != nil {
				return err
			}
			for _, k := range keys {
				enq(bkt, k)
			}
			if !cfg.Together || convoy == nil {
				return nil
			}
			return convoy.promote(bkt)
		},
	}
	return controller.NewContext(ctx, r, options)
}

func (cfg *Config) list() ([]types.NamespacedName, error) {
	keys, err := cfg.List()
	if err != nil {
		return nil, fmt.Errorf("listing the keys of %s: %w", cfg.Name, err)
	}
	return keys, nil
}

type keyReconciler struct {
	reconciler.LeaderAwareFuncs
	cfg Config
}

var (
	_ controller.Reconciler  = (*keyReconciler)(nil)
	_ reconciler.LeaderAware = (*keyReconciler)(nil)
)

// Reconcile implements controller.Reconciler.
func (r *keyReconciler) Reconcile(ctx context.Context, key string) error {
	return r.lead(ctx, key, r.cfg.Reconcile)
}

func (r *keyReconciler) lead(ctx context.Context, key string, reconcile func(context.Context, types.NamespacedName) error) error {
	namespace, name, err := cache.SplitMetaNamespaceKey(key)
	if err != nil {
		return controller.NewPermanentError(fmt.Errorf("key %q: %w", key, err))
	}
	nn := types.NamespacedName{Namespace: namespace, Name: name}
	if !r.IsLeaderFor(nn) {
		return controller.NewSkipKey(key)
	}
	return reconcile(ctx, nn)
}
