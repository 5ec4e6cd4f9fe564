//go:build integration

// Package inplaceset tries the InPlaceSet controller on a real API server, with the published RBAC of its ServiceAccount. The kubelet and the
// EndpointSlice controller are played by the tests, so that each can be slow, wrong or away at the very moment that matters.
package inplaceset

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"k8s.io/client-go/kubernetes"
	"knative.dev/pkg/injection"
	"knative.dev/pkg/logging"

	"github.com/periplus-dev/periplus/pkg/client/clientset/versioned"
	controller "github.com/periplus-dev/periplus/pkg/reconciler/inplaceset"
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
	writes   = &writeLog{}
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
	cfg.Wrap(func(rt http.RoundTripper) http.RoundTripper { return writes.through(rt) })
	ctx = logging.WithLogger(controller.WithSelector(ctx), zap.NewNop().Sugar())
	ctx, startInformers := injection.EnableInjectionOrDie(ctx, cfg)
	impl := controller.NewController(ctx, nil)
	startInformers()
	go func() { _ = impl.Run(ctx) }() // it ends with the context, and never otherwise.
	return nil
}

// writeLog has every write that the controller makes.
type writeLog struct {
	mu      sync.Mutex
	entries []string
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func (w *writeLog) through(rt http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		resp, err := rt.RoundTrip(r)
		if r.Method != http.MethodGet {
			code := 0
			if resp != nil {
				code = resp.StatusCode
			}
			w.mu.Lock()
			w.entries = append(w.entries, fmt.Sprintf("%s %s %d", r.Method, r.URL.Path, code))
			w.mu.Unlock()
		}
		return resp, err
	})
}

// of counts the writes whose line holds all of these words.
func (w *writeLog) of(words ...string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
entries:
	for _, e := range w.entries {
		for _, word := range words {
			if !strings.Contains(e, word) {
				continue entries
			}
		}
		n++
	}
	return n
}

// since are the writes whose line holds a word, without the first n of them.
func (w *writeLog) since(word string, n int) (out []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.entries {
		if strings.Contains(e, word) {
			if n--; n < 0 {
				out = append(out, e)
			}
		}
	}
	return out
}
