package lb

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/lb/haproxy"
)

const (
	// resting and moving are how long after a pass HAProxy is looked at again: nothing is to be done, or something is on its way.
	resting = time.Second
	moving  = 50 * time.Millisecond
	// actsAtOnce is how many pods are acted on at the same time. An act mostly waits for the API server.
	actsAtOnce = 16
	// actLimit is how long one act may take, so that an API server that hangs holds nobody's drain.
	actLimit = 10 * time.Second
	// unready is how long HAProxy may not be seen until Ready says so.
	unready = 10 * time.Second
)

// Config is what a user says.
type Config struct {
	// Name of this balancer: the finalizer is lb.periplus.dev/<Name>. No other HAProxy may go by it.
	Name string
	// Namespace and Selector of the pods. An empty selector is refused.
	Namespace string
	Selector  labels.Selector
	// Port of the pods that HAProxy forwards to.
	Port uint16
	// Options are the words that each server gets after its address, such as "check inter 1s". With the word check its checks are enabled.
	Options string
	Rules   Rules
}

// Finalizer that this balancer holds pods by.
func (c Config) Finalizer() string { return v1alpha1.BalancerPrefix + c.Name }

// Validate says what is wrong.
func (c Config) Validate() error {
	switch {
	case len(validation.IsDNS1123Subdomain(c.Name)) > 0 || len(c.Name) > 63:
		return fmt.Errorf("name %q: want 1 to 63 lower-case letters, digits, '-' and '.': it ends the finalizer %s<name>", c.Name, v1alpha1.BalancerPrefix)
	case c.Namespace == "":
		return errors.New("namespace: want the namespace of the pods")
	case c.Selector == nil || c.Selector.Empty():
		return errors.New("selector: want a label selector of the pods, such as app=web")
	case c.Port == 0:
		return errors.New("port: want the port of the pods, 1 to 65535")
	case strings.ContainsAny(c.Options, "\n;\\"):
		return fmt.Errorf("server options %q: want words of a server line", c.Options)
	case c.Rules.DrainTimeout < time.Second:
		return fmt.Errorf("drain timeout %s: want at least 1s", c.Rules.DrainTimeout)
	case c.Rules.ReloadGrace < 0:
		return fmt.Errorf("reload grace %s: want 0 or more", c.Rules.ReloadGrace)
	}
	return nil
}

// Balancer is the HAProxy. Every method may be called again, and does nothing where nothing is to be done.
type Balancer interface {
	Look(ctx context.Context) (haproxy.Seen, error)
	Add(ctx context.Context, server string, to netip.AddrPort, options string) error
	Enable(ctx context.Context, server string, check bool) error
	Drain(ctx context.Context, server string) error
	Remove(ctx context.Context, server string) error
	Cut(ctx context.Context, server string) error
}

// Controller keeps one backend in step with its pods.
type Controller struct {
	Config
	kube     kubernetes.Interface
	balancer Balancer
	clock    clock.WithTicker
	log      *zap.SugaredLogger
	pods     cache.SharedIndexInformer
	wake     chan struct{}
	strays   *strays

	mu sync.Mutex
	// seenAt is when HAProxy last answered, and inStep whether every pod that serves was once registered with this process of it. For Ready.
	seenAt time.Time
	inStep bool
	// trouble is what was last said to be wrong with HAProxy, so that it is said once.
	trouble string
	pid     int
}

// New returns a controller for a valid configuration.
func New(cfg Config, kube kubernetes.Interface, balancer Balancer, clk clock.WithTicker, log *zap.SugaredLogger) (*Controller, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	c := &Controller{
		Config: cfg, kube: kube, balancer: balancer, clock: clk, log: log,
		wake: make(chan struct{}, 1), strays: newStrays(), seenAt: clk.Now(),
	}
	factory := informers.NewSharedInformerFactoryWithOptions(kube, 0, informers.WithNamespace(cfg.Namespace), informers.WithTransform(slim),
		informers.WithTweakListOptions(func(o *metav1.ListOptions) { o.LabelSelector = cfg.Selector.String() }))
	c.pods = factory.Core().V1().Pods().Informer()
	_, err := c.pods.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { c.look() },
		UpdateFunc: func(any, any) { c.look() },
		DeleteFunc: c.gone,
	})
	if err != nil {
		return nil, fmt.Errorf("watching pods: %w", err)
	}
	return c, nil
}

// look makes the next pass come now.
func (c *Controller) look() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// gone is a pod that was deleted, or lost a label: one of those keeps its finalizer until we take it off.
func (c *Controller) gone(object any) {
	switch last := object.(type) {
	case cache.DeletedFinalStateUnknown:
		if _, name, err := cache.SplitMetaNamespaceKey(last.Key); err == nil {
			c.strays.add(name)
		}
	case *corev1.Pod:
		if slices.Contains(last.Finalizers, c.Finalizer()) {
			c.strays.add(last.Name)
		}
	}
	c.look()
}

// Run works until ctx ends. It returns the error of a cache that could not be filled, and nil otherwise.
func (c *Controller) Run(ctx context.Context) error {
	var informer sync.WaitGroup
	defer informer.Wait()
	informer.Go(func() { c.pods.RunWithContext(ctx) })
	if !cache.WaitForCacheSync(ctx.Done(), c.pods.HasSynced) {
		return nil
	}
	for {
		timer := c.clock.NewTimer(c.pass(ctx))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-c.wake:
			timer.Stop()
		case <-timer.C():
		}
	}
}

// pass looks once, and does the next thing about each pod. It returns when to look again unless a pod changes.
func (c *Controller) pass(ctx context.Context) time.Duration {
	seen, err := c.balancer.Look(ctx)
	if ctx.Err() != nil {
		return resting
	}
	c.note(seen, err)
	if err != nil {
		// Nothing is let go of while HAProxy cannot say what it forwards to.
		return resting
	}
	var mu sync.Mutex
	again, inStep := resting, true
	var group errgroup.Group
	group.SetLimit(actsAtOnce)
	for _, p := range pair(c.observed(ctx), seen.Servers) {
		var facts *Pod
		if p.pod != nil {
			facts = c.facts(p.pod)
		}
		act := Next(facts, p.server, seen.Uptime, c.Rules)
		if act == Rest {
			continue
		}
		inStep = inStep && act != Claim && act != Add && act != Enable
		group.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, actLimit)
			defer cancel()
			after, err := c.carryOut(ctx, act, p)
			mu.Lock()
			defer mu.Unlock()
			again = min(again, after)
			if err != nil && ctx.Err() == nil {
				c.log.Warnw("Cannot "+act.String(), "server", p.name, zap.Error(err))
			}
			return nil
		})
	}
	_ = group.Wait() // none of them returns an error: one pod's is not another's.
	c.mu.Lock()
	c.inStep = c.inStep || inStep
	c.mu.Unlock()
	if again == resting && !c.strays.swept {
		return c.sweep(ctx)
	}
	return again
}

// facts of a pod. One that the selector no longer chooses is leaving.
func (c *Controller) facts(p *podSeen) *Pod {
	facts := factsOf(p.Pod, c.Port, c.Finalizer())
	if p.stray {
		facts.Leaving, facts.Serves = true, false
	}
	return facts
}

// note keeps when HAProxy answered, and says when it stopped or was started anew.
func (c *Controller) note(seen haproxy.Seen, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		if c.trouble != err.Error() {
			c.trouble = err.Error()
			c.log.Warnw("HAProxy cannot be asked: nothing is registered and no finalizer taken off until it can", zap.Error(err))
		}
		return
	}
	if c.trouble != "" {
		c.log.Infow("HAProxy answers again")
		c.trouble = ""
	}
	c.seenAt = c.clock.Now()
	if c.pid != seen.Pid {
		c.log.Infow("Keeping a backend of HAProxy", "pid", seen.Pid, "uptime", seen.Uptime.String(), "servers", len(seen.Servers))
		c.pid, c.inStep = seen.Pid, false
	}
}

// Ready says what keeps this HAProxy from being used: it was not brought into step since its start, or has not answered for 10 s.
func (c *Controller) Ready() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if away := c.clock.Since(c.seenAt); away > unready {
		return fmt.Errorf("HAProxy has not answered for %s: %s", away.Round(time.Second), c.trouble)
	}
	if !c.inStep {
		return errors.New("starting: not every ready pod is registered yet")
	}
	return nil
}

// gonePod tells whether an error says that the pod is no longer what was decided on: another version, another pod of that name, or none. Its event is on the
// way or was here already.
func gonePod(err error) bool {
	return apierrors.IsConflict(err) || apierrors.IsNotFound(err)
}
