package traffic

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
)

// Apps plays the pods of the namespaces it is told of, in all members, and serves their metrics on a loopback port.
type Apps struct {
	members map[string]kubernetes.Interface
	clock   clock.PassiveClock
	seed    uint64
	server  *http.Server
	address string

	mu     sync.Mutex
	stages map[string]*Namespace
}

// Namespace is one namespace whose pods are played.
type Namespace struct {
	name string
	apps *Apps
	stop context.CancelFunc

	mu       sync.Mutex
	versions map[string]Behaviour
	pods     map[key]*pod
}

// key of a pod within a namespace.
type key struct{ member, name string }

// pod as last seen, with its load.
type pod struct {
	uid       string
	container string
	version   string
	labels    map[string]string
	// ran is true once its container ran: a pod that restarts stays a target.
	ran bool

	mu   sync.Mutex
	load *Load
}

// Start begins to serve on a free port. The same seed comes to the same draws for the same pods; print it.
func Start(members map[string]kubernetes.Interface, seed uint64) (*Apps, error) {
	return Listen("127.0.0.1:0", members, seed)
}

// Listen is Start on an address of the caller's.
func Listen(address string, members map[string]kubernetes.Interface, seed uint64) (*Apps, error) {
	l, err := net.Listen("tcp4", address)
	if err != nil {
		return nil, fmt.Errorf("listening as the applications of a fleet: %w", err)
	}
	a := &Apps{members: members, clock: clock.RealClock{}, seed: seed, address: l.Addr().String(), stages: map[string]*Namespace{}}
	a.server = &http.Server{Handler: a.handler(), ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = a.server.Serve(l) }()
	return a, nil
}

// Close ends all watches and the server.
func (a *Apps) Close() error {
	for _, n := range a.namespaces() {
		n.Stop()
	}
	return a.server.Close()
}

func (a *Apps) namespaces() []*Namespace {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Collect(maps.Values(a.stages))
}

func (a *Apps) namespace(name string) *Namespace {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.stages[name]
}

// Play plays the pods of a namespace from now on, and returns when those that are there are known. Versions of which nothing is said are as "" is, and Healthy where that is not
// said either.
func (a *Apps) Play(namespace string, versions map[string]Behaviour) (*Namespace, error) {
	ctx, stop := context.WithCancel(context.Background())
	n := &Namespace{name: namespace, apps: a, stop: stop, versions: maps.Clone(versions), pods: map[key]*pod{}}
	if n.versions == nil {
		n.versions = map[string]Behaviour{}
	}
	for member, client := range a.members {
		f := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(namespace))
		inf := f.Core().V1().Pods().Informer()
		if _, err := inf.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    func(o any) { n.see(member, o) },
			UpdateFunc: func(_, o any) { n.see(member, o) },
			DeleteFunc: func(o any) { n.forget(member, o) },
		}); err != nil {
			stop()
			return nil, fmt.Errorf("watching the pods of %s in %s: %w", namespace, member, err)
		}
		f.Start(ctx.Done())
		synced, cancel := context.WithTimeout(ctx, 30*time.Second)
		ok := cache.WaitForCacheSync(synced.Done(), inf.HasSynced)
		cancel()
		if !ok {
			stop()
			return nil, fmt.Errorf("watching the pods of %s in %s: not listed within 30 s", namespace, member)
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stages[namespace] = n
	return n, nil
}

// Stop ends the play: the pods are no targets any more.
func (n *Namespace) Stop() {
	n.stop()
	n.apps.mu.Lock()
	defer n.apps.mu.Unlock()
	delete(n.apps.stages, n.name)
}

// Set says how a version behaves from now on, the tag of the image of a pod's first container being its version.
func (n *Namespace) Set(version string, b Behaviour) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.versions[version] = b
	for _, p := range n.pods {
		if p.version == version {
			p.with(func(l *Load) { l.Behave(b, n.apps.clock.Now()) })
		}
	}
}

func (n *Namespace) behaviour(version string) Behaviour {
	for _, name := range []string{version, ""} {
		if b, ok := n.versions[name]; ok {
			return b
		}
	}
	return Healthy
}

// see takes a pod as its kubelet reports it: what its container runs counts, and not what its spec asks for.
func (n *Namespace) see(member string, o any) {
	seen, ok := o.(*corev1.Pod)
	if !ok {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	now, at := n.apps.clock.Now(), key{member, seen.Name}
	p := n.pods[at]
	if p == nil || p.uid != string(seen.UID) {
		p = &pod{uid: string(seen.UID), load: NewLoad(n.apps.seed, member+"/"+n.name+"/"+seen.Name)}
		n.pods[at] = p
	}
	p.labels = seen.Labels
	container, version := running(seen)
	if container != p.container {
		p.container, p.version, p.ran = container, version, p.ran || container != ""
		p.with(func(l *Load) {
			l.End(now)
			if container != "" {
				l.Behave(n.behaviour(version), now)
				l.Begin(version, now)
			}
		})
	}
	p.with(func(l *Load) { l.Serve(container != "" && ready(seen), now) })
}

func (n *Namespace) forget(member string, o any) {
	if gone, ok := o.(cache.DeletedFinalStateUnknown); ok {
		o = gone.Obj
	}
	gone, ok := o.(*corev1.Pod)
	if !ok {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if at := (key{member, gone.Name}); n.pods[at] != nil && n.pods[at].uid == string(gone.UID) {
		delete(n.pods, at)
	}
}

func (p *pod) with(f func(*Load)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f(p.load)
}

// running is the id of a pod's first container and the tag of the image that it runs; empty while it does not run.
func running(p *corev1.Pod) (container, version string) {
	if len(p.Spec.Containers) == 0 {
		return "", ""
	}
	for _, s := range p.Status.ContainerStatuses {
		if s.Name == p.Spec.Containers[0].Name && s.State.Running != nil {
			return s.ContainerID, Version(s.Image)
		}
	}
	return "", ""
}

// Version is the tag of an image, latest where it has none.
func Version(image string) string {
	image, _, _ = strings.Cut(image, "@")
	name := image[strings.LastIndexByte(image, '/')+1:]
	if _, tag, ok := strings.Cut(name, ":"); ok {
		return tag
	}
	return "latest"
}

// ready pods get requests; those that are about to end do not.
func ready(p *corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue && p.DeletionTimestamp == nil
		}
	}
	return false
}
