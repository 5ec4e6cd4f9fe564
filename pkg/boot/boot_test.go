package boot

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"knative.dev/pkg/observability/metrics"
)

func TestNothingListensUnlessAFlagSaysSo(t *testing.T) {
	p, err := listenForProbes(t.Context(), "")
	if err != nil || p != nil {
		t.Fatalf("listenForProbes(\"\") = %v, %v; want nothing", p, err)
	}
	p.ready() // a binary without probes still says that it is ready.
	cfg, err := (&options{}).observability(t.Context())
	if err != nil || cfg.Metrics.Protocol != metrics.ProtocolNone {
		t.Fatalf("metrics without --metrics-address = %+v, %v; want none", cfg, err)
	}
}

func TestAPortThatIsTakenIsNamedWithItsFlag(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	taken := l.Addr().String()
	if _, err := listenForProbes(t.Context(), taken); err == nil || !strings.Contains(err.Error(), "--health-address") {
		t.Errorf("listenForProbes(taken) = %v; want an error that names --health-address", err)
	}
	if _, err := (&options{metrics: taken}).observability(t.Context()); err == nil || !strings.Contains(err.Error(), "--metrics-address") {
		t.Errorf("observability(taken) = %v; want an error that names --metrics-address", err)
	}
}

func TestFlagsHaveTheNamesThatManifestsUse(t *testing.T) {
	var o options
	fs := flag.NewFlagSet("x", flag.ContinueOnError)
	o.bind(fs)
	err := fs.Parse([]string{"--kubeconfig=/k", "--disable-ha", "--metrics-address=127.0.0.1:9", "--health-address=127.0.0.1:8"})
	if want := (options{kubeconfig: "/k", disableHA: true, metrics: "127.0.0.1:9", health: "127.0.0.1:8"}); err != nil || o != want {
		t.Errorf("parsed %+v, %v; want %+v", o, err, want)
	}
}

func TestAKubeconfigThatIsNotThereIsNamed(t *testing.T) {
	if _, err := (&options{kubeconfig: "/does/not/exist"}).restConfig("x"); err == nil || !strings.Contains(err.Error(), "/does/not/exist") {
		t.Errorf("restConfig = %v; want an error that names the file", err)
	}
}

func TestReadyzFollowsTheProcess(t *testing.T) {
	p, err := listenForProbes(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.serve(ctx) }()

	get := func(path string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("http://%s%s", p.listener.Addr(), path), nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		body, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(body)
	}
	if code, _ := get("/healthz"); code != http.StatusOK {
		t.Errorf("/healthz before the informers are synced = %d; want 200", code)
	}
	if code, body := get("/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(body, "informers") {
		t.Errorf("/readyz before the informers are synced = %d %q; want 503 that says why", code, body)
	}
	p.ready()
	if code, _ := get("/readyz"); code != http.StatusOK {
		t.Errorf("/readyz after = %d; want 200", code)
	}
	stop()
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("serve ended with %v; want no error", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("serve did not end with its context")
	}
}
