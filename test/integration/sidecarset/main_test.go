//go:build integration

// Package sidecarset tries SidecarSets on a real API server: the controller in this process and the webhook as its own, each with the published RBAC of its
// ServiceAccount. The kubelet is played by the tests, so that each can be slow, wrong or away at the very moment that matters.
package sidecarset

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	filteredfactory "knative.dev/pkg/client/injection/kube/informers/factory/filtered"
	"knative.dev/pkg/injection"
	"knative.dev/pkg/logging"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/client/clientset/versioned"
	"github.com/periplus-dev/periplus/pkg/loop"
	"github.com/periplus-dev/periplus/pkg/reconciler/inplaceset"
	controller "github.com/periplus-dev/periplus/pkg/reconciler/sidecarset"
	"github.com/periplus-dev/periplus/pkg/taken"
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
	hook     *webhookProcess
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
		err = start(ctx, server)
	}
	if hook != nil {
		defer func() {
			hook.stop()
			_ = os.RemoveAll(filepath.Dir(hook.binary))
		}()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	cancel()
	return code
}

func start(ctx context.Context, server *apiserver.Server) error {
	if err := os.Setenv("SYSTEM_NAMESPACE", "periplus-system"); err != nil {
		return err
	}
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
	of := logging.WithLogger(filteredfactory.WithSelectors(ctx, append(controller.Selectors, inplaceset.Selector, v1alpha1.OfCafeDeployments)...), zap.NewNop().Sugar())
	of = loop.Together(taken.NewContext(of))
	of, startInformers := injection.EnableInjectionOrDie(of, cfg)
	sets, gates, owners := controller.NewController(of, nil), controller.NewGates(of, nil), inplaceset.NewController(of, nil)
	startInformers()
	go func() { _ = sets.Run(of) }() // they end with the context, and never otherwise.
	go func() { _ = gates.Run(of) }()
	go func() { _ = owners.Run(of) }()

	if hook, err = newWebhook(ctx, server); err != nil {
		return err
	}
	if err := hook.start(ctx); err != nil {
		return err
	}
	return hook.register(ctx, server)
}

// webhookProcess is the binary, as its ServiceAccount.
type webhookProcess struct {
	binary, kubeconfig, address, log string

	mu    sync.Mutex
	cmd   *exec.Cmd
	ended chan struct{}
}

func newWebhook(ctx context.Context, server *apiserver.Server) (*webhookProcess, error) {
	dir, err := os.MkdirTemp("", "periplus-webhook-*")
	if err != nil {
		return nil, err
	}
	w := &webhookProcess{binary: filepath.Join(dir, "webhook"), kubeconfig: filepath.Join(dir, "kubeconfig"), log: filepath.Join(dir, "log")}
	build := exec.CommandContext(ctx, "go", "build", "-o", w.binary, "./cmd/webhook")
	build.Dir = repo
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building the webhook: %w\n%s", err, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	w.address = l.Addr().String()
	if err := l.Close(); err != nil {
		return nil, err
	}
	return w, writeKubeconfig(w.kubeconfig, server.AsServiceAccount("periplus-system", "periplus-webhook"))
}

func writeKubeconfig(path string, cfg *rest.Config) error {
	return clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{"c": {Server: cfg.Host, InsecureSkipTLSVerify: true}},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{"u": {Token: cfg.BearerToken, Impersonate: cfg.Impersonate.UserName, ImpersonateGroups: cfg.Impersonate.Groups}},
		Contexts:       map[string]*clientcmdapi.Context{"c": {Cluster: "c", AuthInfo: "u"}},
		CurrentContext: "c",
	}, path)
}

// start the webhook and wait until it answers.
func (w *webhookProcess) start(ctx context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	out, err := os.OpenFile(w.log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	w.cmd = exec.Command(w.binary, "--kubeconfig="+w.kubeconfig, "--disable-ha", "--webhook-address="+w.address, "--webhook-hosts=127.0.0.1")
	w.cmd.Stdout, w.cmd.Stderr = out, out
	w.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := w.cmd.Start(); err != nil {
		return err
	}
	w.ended = make(chan struct{})
	go func(cmd *exec.Cmd, ended chan struct{}) { _ = cmd.Wait(); close(ended) }(w.cmd, w.ended)
	// The API server trusts its certificate; here it is enough that there is one.
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}
	deadline := time.After(limit)
	for tick := time.NewTicker(50 * time.Millisecond); ; {
		select {
		case <-deadline:
			return fmt.Errorf("the webhook does not answer\n%s", w.tail())
		case <-w.ended:
			return fmt.Errorf("the webhook ended\n%s", w.tail())
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		if resp, err := client.Get("https://" + w.address + "/readyz"); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
	}
}

func (w *webhookProcess) tail() string {
	data, err := os.ReadFile(w.log)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	return strings.Join(lines[max(0, len(lines)-15):], "\n")
}

// stop it at once, as a node that dies does.
func (w *webhookProcess) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cmd != nil {
		_ = w.cmd.Process.Kill()
		<-w.ended
		w.cmd = nil
	}
}

// register the webhook as published, but by its address: there are no Services here. Then wait until it published its certificate.
func (w *webhookProcess) register(ctx context.Context, server *apiserver.Server) error {
	objects, err := apiserver.ReadManifests(filepath.Join(repo, "config", "member", "510-webhook.yaml"))
	if err != nil {
		return err
	}
	for _, object := range objects {
		if object.GetKind() != "MutatingWebhookConfiguration" {
			continue
		}
		hooks, _, err := unstructured.NestedSlice(object.Object, "webhooks")
		if err != nil || len(hooks) == 0 {
			return fmt.Errorf("the registration has no webhooks: %w", err)
		}
		hooks[0].(map[string]any)["clientConfig"] = map[string]any{"url": "https://" + w.address + "/inject"}
		if err := unstructured.SetNestedSlice(object.Object, hooks, "webhooks"); err != nil {
			return err
		}
		if err := server.ApplyObject(ctx, object); err != nil {
			return err
		}
	}
	for tick, deadline := time.NewTicker(50*time.Millisecond), time.After(limit); ; {
		select {
		case <-deadline:
			return errors.New("the webhook does not publish its certificate\n" + w.tail())
		case <-tick.C:
		}
		registration, err := admin.AdmissionregistrationV1().MutatingWebhookConfigurations().Get(ctx, "sidecars.apps.periplus.dev", metav1.GetOptions{})
		if err == nil && len(registration.Webhooks[0].ClientConfig.CABundle) > 0 {
			return nil
		}
	}
}

// writeLog has every write that the controllers make.
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

// of are the writes whose line holds all of these words.
func (w *writeLog) of(words ...string) (out []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
entries:
	for _, e := range w.entries {
		for _, word := range words {
			if !strings.Contains(e, word) {
				continue entries
			}
		}
		out = append(out, e)
	}
	return out
}
