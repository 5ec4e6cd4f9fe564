// Package injection puts one Fleet per process into the context of knative's controllers. It starts with the informers and
// stops with them.
package injection

import (
	"context"

	kubeclient "knative.dev/pkg/client/injection/kube/client"
	"knative.dev/pkg/controller"
	"knative.dev/pkg/injection"
	"knative.dev/pkg/logging"
	"knative.dev/pkg/system"

	memberinformer "github.com/periplus-dev/periplus/pkg/client/injection/informers/fleet/v1alpha1/member"
	"github.com/periplus-dev/periplus/pkg/fleet"
)

func init() {
	// The informer of Members registered itself before: its package is imported by this one.
	injection.Default.RegisterInformer(withFleet)
}

// Key is used for associating the Fleet with a context.
type Key struct{}

// Get returns the process's Fleet.
func Get(ctx context.Context) *fleet.Fleet {
	f, ok := ctx.Value(Key{}).(*fleet.Fleet)
	if !ok {
		logging.FromContext(ctx).Panic("Unable to fetch the Fleet from context.")
	}
	return f
}

// WithFleet returns a context that carries f, for tests and for binaries that make their own.
func WithFleet(ctx context.Context, f *fleet.Fleet) context.Context {
	return context.WithValue(ctx, Key{}, f)
}

func withFleet(ctx context.Context) (context.Context, controller.Informer) {
	f := fleet.New(fleet.Options{
		Members:         memberinformer.Get(ctx).Lister(),
		Hub:             kubeclient.Get(ctx),
		SecretNamespace: system.Namespace(),
	})
	return WithFleet(ctx, f), runner{f}
}

// runner makes knative stop the Fleet when it stops the informers. There is nothing to start and to wait for.
type runner struct{ fleet *fleet.Fleet }

func (r runner) Run(stop <-chan struct{}) {
	<-stop
	r.fleet.Stop()
}

func (runner) HasSynced() bool { return true }
