//go:build integration

package lb

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// app is what runs in a pod: an HTTP server on an address of loopback that is the pod's.
type app struct {
	t    *testing.T
	name string
	ip   string

	mu     sync.Mutex
	server *http.Server
	// served counts requests that came.
	served atomic.Int64
	// hold is how long a request for /slow takes.
	hold time.Duration
}

// port of all applications: they have different addresses.
const port = 18473

func newApp(t *testing.T, name string, n int) *app {
	t.Helper()
	a := &app{t: t, name: name, ip: fmt.Sprintf("127.77.%d.%d", made.Load(), n), hold: 2 * time.Second}
	a.start()
	t.Cleanup(a.kill)
	return a
}

func (a *app) start() {
	a.t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	l, err := net.Listen("tcp", fmt.Sprintf("%s:%d", a.ip, port))
	if err != nil {
		a.t.Fatal(err)
	}
	a.server = &http.Server{Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		a.served.Add(1)
		if r.URL.Path == "/slow" {
			select {
			case <-time.After(a.hold):
			case <-r.Context().Done():
				return
			}
		}
		fmt.Fprint(rw, a.name)
	})}
	go func(s *http.Server) { _ = s.Serve(l) }(a.server)
}

// kill ends it at once, with every connection that it has: a container that is killed.
func (a *app) kill() {
	a.mu.Lock()
	defer a.mu.Unlock()
	_ = a.server.Close()
}

// ask sends one request through HAProxy and returns the name of the application that answered.
func (w *world) ask(ctx context.Context, client *http.Client, path string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+w.haproxy.Address+path, nil)
	if err != nil {
		return "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %s", resp.Status, body)
	}
	return string(body), nil
}

// newConnections is a client that makes one for each request.
func newConnections() *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
}

// keepAlive is a client that keeps its one connection.
func keepAlive() *http.Client { return &http.Client{Transport: &http.Transport{MaxConnsPerHost: 1}} }
