//go:build integration

// Package cafedeployment tries what the API server refuses of a CafeDeployment, and its controller with the published RBAC of its ServiceAccount, on a real API server.
// Nothing plays the controllers of ReplicaSets and StatefulSets; the suite in test/e2e has the real ones.
package cafedeployment

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/zap"
	"k8s.io/client-go/kubernetes"
	filteredfactory "knative.dev/pkg/client/injection/kube/informers/factory/filtered"
	"knative.dev/pkg/injection"
	"knative.dev/pkg/logging"

	"github.com/periplus-dev/periplus/pkg/client/clientset/versioned"
	"github.com/periplus-dev/periplus/pkg/reconciler/cafedeployment"
	"github.com/periplus-dev/periplus/pkg/reconciler/inplaceset"
	"github.com/periplus-dev/periplus/test/integration/apiserver"
)

const (
	repo = "../../.."
	// limit of everything that is waited for.
	limit = 30 * time.Second
)

var (
	admin    kubernetes.Interface
	periplus versioned.Interface
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	server, err := apiserver.Start(ctx)
	if err == nil {
		defer func() {
			if err := server.Stop(); err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
		}()
		err = startController(ctx, server)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	cancel()
	return code
}

// startController in this process, as its ServiceAccount.
func startController(ctx context.Context, server *apiserver.Server) error {
	if err := server.Apply(ctx, filepath.Join(repo, "config", "member")); err != nil {
		return err
	}
	var err error
	if admin, err = kubernetes.NewForConfig(server.Admin()); err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	if periplus, err = versioned.NewForConfig(server.Admin()); err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	cfg := server.AsServiceAccount("periplus-system", "periplus-workloads")
	ctx = logging.WithLogger(filteredfactory.WithSelectors(ctx, inplaceset.Selector, cafedeployment.Selector), zap.NewNop().Sugar())
	ctx, startInformers := injection.EnableInjectionOrDie(ctx, cfg)
	sets, impl := inplaceset.NewController(ctx, nil), cafedeployment.NewController(ctx, nil)
	startInformers()
	go func() { _ = sets.Run(ctx) }() // they end with the context, and never otherwise.
	go func() { _ = impl.Run(ctx) }()
	return nil
}
