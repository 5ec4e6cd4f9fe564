//go:build integration

package lb

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/clock"

	"github.com/periplus-dev/periplus/pkg/lb"
	runtimeapi "github.com/periplus-dev/periplus/pkg/lb/haproxy"
)

// controller is one life of the controller, as its ServiceAccount.
type controller struct {
	*lb.Controller
	cancel context.CancelFunc
	ended  chan struct{}
}

// killing ends a controller at its acts: the nth write to HAProxy or to the API server, before it or after.
type killing struct {
	at    int64
	after bool
	count atomic.Int64
	kill  context.CancelFunc
	what  atomic.Value
}

var errKilled = errors.New("the controller was killed")

// before a write: an error if the controller is dead, or dies now. What a dead one does is nothing.
func (k *killing) before(ctx context.Context, what string) error {
	if k == nil {
		return nil
	}
	if ctx.Err() != nil {
		return errKilled
	}
	if k.count.Add(1) == k.at {
		k.what.Store(what)
		if !k.after {
			k.kill()
			return errKilled
		}
	}
	return nil
}

// done is after a write.
func (k *killing) done() {
	if k != nil && k.count.Load() == k.at {
		k.kill()
	}
}

func (w *world) config(change ...func(*lb.Config)) lb.Config {
	cfg := lb.Config{
		Name: "edge-0", Namespace: w.ns, Selector: labels.SelectorFromSet(labels.Set{"app": "web"}), Port: port, Options: "check inter 500ms fall 2 rise 1",
		Rules: lb.Rules{DrainTimeout: 30 * time.Second},
	}
	for _, c := range change {
		c(&cfg)
	}
	return cfg
}

// start a controller. It ends with the test.
func (w *world) start(change ...func(*lb.Config)) *controller {
	w.t.Helper()
	return w.startKilled(nil, change...)
}

func (w *world) startKilled(k *killing, change ...func(*lb.Config)) *controller {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	if k != nil {
		k.kill = cancel
	}
	cfg := server.AsServiceAccount(w.ns, "edge")
	cfg.Wrap(func(rt http.RoundTripper) http.RoundTripper { return &writes{world: w, rt: rt, killing: k, ctx: ctx} })
	kube, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	api, err := runtimeapi.New(w.haproxy.Socket, "web")
	if err != nil {
		w.t.Fatal(err)
	}
	log := zap.NewNop().Sugar()
	if testing.Verbose() {
		log = zap.Must(zap.NewDevelopment(zap.AddStacktrace(zap.FatalLevel))).Sugar()
	}
	c := &controller{cancel: cancel, ended: make(chan struct{})}
	c.Controller, err = lb.New(w.config(change...), kube, &balancer{Client: api, killing: k}, clock.RealClock{}, log)
	if err != nil {
		w.t.Fatal(err)
	}
	go func() {
		defer close(c.ended)
		if err := c.Run(ctx); err != nil {
			w.t.Error(err)
		}
	}()
	w.t.Cleanup(c.stop)
	return c
}

func (c *controller) stop() {
	c.cancel()
	<-c.ended
}

// writes sees what the controller writes to the API server.
type writes struct {
	world   *world
	rt      http.RoundTripper
	killing *killing
	ctx     context.Context
}

func (s *writes) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodGet {
		return s.rt.RoundTrip(r)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(strings.NewReader(string(body)))
	name := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
	if !strings.Contains(string(body), `"resourceVersion":"`) {
		s.world.t.Errorf("%s %s is written without the version it was decided on: %s", r.Method, r.URL.Path, body)
	}
	if !strings.Contains(string(body), finalizer) {
		if left := s.world.servers(name); len(left) > 0 {
			s.world.t.Errorf("the finalizer of %s is taken off, and HAProxy has %+v", name, left)
		}
	}
	if err := s.killing.before(s.ctx, "patch"); err != nil {
		return nil, err
	}
	defer s.killing.done()
	return s.rt.RoundTrip(r.WithContext(context.WithoutCancel(r.Context())))
}

// balancer is HAProxy, as the controller commands it.
type balancer struct {
	*runtimeapi.Client
	killing *killing
}

func (b *balancer) command(ctx context.Context, what string, do func() error) error {
	if err := b.killing.before(ctx, what); err != nil {
		return err
	}
	defer b.killing.done()
	return do()
}

func (b *balancer) Add(ctx context.Context, server string, to netip.AddrPort, options string) error {
	return b.command(ctx, "add", func() error { return b.Client.Add(context.WithoutCancel(ctx), server, to, options) })
}

func (b *balancer) Enable(ctx context.Context, server string, check bool) error {
	return b.command(ctx, "enable", func() error { return b.Client.Enable(context.WithoutCancel(ctx), server, check) })
}

func (b *balancer) Drain(ctx context.Context, server string) error {
	return b.command(ctx, "drain", func() error { return b.Client.Drain(context.WithoutCancel(ctx), server) })
}

func (b *balancer) Remove(ctx context.Context, server string) error {
	return b.command(ctx, "remove", func() error { return b.Client.Remove(context.WithoutCancel(ctx), server) })
}

func (b *balancer) Cut(ctx context.Context, server string) error {
	return b.command(ctx, "cut", func() error { return b.Client.Cut(context.WithoutCancel(ctx), server) })
}
