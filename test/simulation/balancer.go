package simulation

import (
	"context"
	"encoding/json"
	"maps"
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apitypes "k8s.io/apimachinery/pkg/types"

	appsv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/lb"
	"github.com/periplus-dev/periplus/pkg/lb/haproxy"
)

// actor does things of its own in a world.
type actor interface {
	// move is what it does next; nil where it waits.
	move() (what string, do func(context.Context) error)
	// due is when it goes on by itself; zero where only an event has it go on.
	due() time.Time
}

// balancer is a load balancer and its controller, which does what lb.Next says from a cache that lags. Its table is where requests go, whatever anybody
// believes, and outlives the controller.
type balancer struct {
	p    *process
	c    *cluster
	pods *informer
	// table of the pods that get requests, or still have some.
	table map[apitypes.UID]*routed
	// left is when a pod had its last request.
	left map[apitypes.UID]time.Time
	// slow is how long a request may take.
	slow   time.Duration
	asleep time.Time
}

// routed is one pod in the table of a balancer.
type routed struct {
	name     string
	address  netip.AddrPort
	draining bool
	since    time.Time
	// busy until its last request is answered.
	busy time.Time
}

func newBalancer(w *World, c *cluster, name string) *balancer {
	b := &balancer{c: c, table: map[apitypes.UID]*routed{}, left: map[apitypes.UID]time.Time{}, slow: w.story.alone.slow}
	b.p = &process{w: w, name: name, home: c, start: func(p *process) {
		b.pods = p.inform("", "pods", "")
		b.pods.lie = nil // what is planted is planted in our controller.
	}}
	return b
}

func (b *balancer) finalizer() string { return appsv1alpha1.BalancerPrefix + b.p.name }

func (b *balancer) sleeps() bool { return b.p.w.clock.Now().Before(b.asleep) }

func (b *balancer) move() (string, func(context.Context) error) {
	if !b.p.alive || b.sleeps() || !b.pods.listed {
		return "", nil
	}
	known := map[apitypes.UID]*corev1.Pod{}
	names := b.pods.indexer.ListKeys()
	slices.Sort(names)
	for _, key := range names {
		o, _, _ := b.pods.indexer.GetByKey(key)
		if pod, ok := o.(*corev1.Pod); ok {
			known[pod.UID] = pod
			if act := b.next(pod.UID, pod); act != lb.Rest && act != lb.Wait {
				return act.String() + " " + pod.Name, func(ctx context.Context) error { return b.do(ctx, act, pod.UID, pod) }
			}
		}
	}
	for _, uid := range slices.Sorted(maps.Keys(b.table)) {
		if known[uid] != nil {
			continue
		}
		if act := b.next(uid, nil); act != lb.Rest && act != lb.Wait {
			return act.String() + " " + b.table[uid].name + ", which is gone", func(ctx context.Context) error { return b.do(ctx, act, uid, nil) }
		}
	}
	return "", nil
}

func (b *balancer) next(uid apitypes.UID, pod *corev1.Pod) lb.Act {
	var facts *lb.Pod
	if pod != nil {
		facts = b.factsOf(pod)
	}
	var server *haproxy.Server
	if at := b.table[uid]; at != nil {
		server = &haproxy.Server{Address: at.address, State: haproxy.Ready, Sessions: 1}
		if at.draining {
			server.State, server.Since = haproxy.Drain, b.p.w.clock.Since(at.since).Truncate(time.Second)
			if !b.p.w.clock.Now().Before(at.busy) {
				server.Sessions = 0
			}
		}
	}
	return lb.Next(facts, server, time.Hour, lb.Rules{DrainTimeout: time.Minute})
}

// factsOf a pod, by the protocol of docs/load-balancers.md.
func (b *balancer) factsOf(pod *corev1.Pod) *lb.Pod {
	p := &lb.Pod{Held: slices.Contains(pod.Finalizers, b.finalizer())}
	if ip, err := netip.ParseAddr(pod.Status.PodIP); err == nil {
		p.Address = netip.AddrPortFrom(ip, 80)
	}
	p.Leaving = pod.DeletionTimestamp != nil || !isTrue(pod, appsv1alpha1.ReadinessGateInService)
	p.Serves = !p.Leaving && p.Address.IsValid() && isTrue(pod, corev1.PodReady)
	return p
}

func (b *balancer) do(ctx context.Context, act lb.Act, uid apitypes.UID, pod *corev1.Pod) error {
	now := b.p.w.clock.Now()
	switch act {
	case lb.Claim:
		return b.write(ctx, pod, append(slices.Clone(pod.Finalizers), b.finalizer()))
	case lb.Release:
		return b.write(ctx, pod, slices.DeleteFunc(slices.Clone(pod.Finalizers), func(f string) bool { return f == b.finalizer() }))
	case lb.Add:
		for _, is := range b.c.pods() { // as the API server itself has it.
			if facts := b.factsOf(is); is.UID == uid && facts.Serves && facts.Held {
				b.table[uid] = &routed{name: is.Name, address: facts.Address, since: now}
			}
		}
	case lb.Enable:
		b.table[uid].draining, b.table[uid].since = false, now
	case lb.Drain:
		at := b.table[uid]
		at.draining, at.since = true, now
		at.busy = now.Add(time.Duration(b.p.w.rand.Int64N(int64(b.slow))))
	case lb.Remove, lb.Cut:
		delete(b.table, uid)
		b.left[uid] = now
	}
	return nil
}

func (b *balancer) write(ctx context.Context, pod *corev1.Pod, finalizers []string) error {
	return patchPod(ctx, b.c, pod, map[string]any{"finalizers": finalizers})
}

// patchPod writes metadata against the pod that was looked at.
func patchPod(ctx context.Context, c *cluster, pod *corev1.Pod, metadata map[string]any) error {
	metadata["uid"], metadata["resourceVersion"] = pod.UID, pod.ResourceVersion
	patch, err := json.Marshal(map[string]any{"metadata": metadata})
	if err == nil {
		_, err = c.admin.kube.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, apitypes.MergePatchType, patch, metav1.PatchOptions{})
	}
	return ignoreGone(err)
}

func (b *balancer) due() time.Time {
	if b.sleeps() {
		return b.asleep
	}
	var next time.Time
	for _, at := range b.table {
		if at.draining && b.p.w.clock.Now().Before(at.busy) && (next.IsZero() || at.busy.Before(next)) {
			next = at.busy
		}
	}
	return next
}

// hooker serves the sets' lifecycle hook: what it puts on a pod that serves it takes away once it has done its work with a pod that does not.
type hooker struct {
	w    *World
	c    *cluster
	hook *appsv1alpha1.LifecycleHook
	// begun is when it took notice of a pod that is out of service; work is how long it takes.
	begun map[apitypes.UID]time.Time
	work  time.Duration
}

func (h *hooker) has(pod *corev1.Pod) bool {
	return h.hook.Labels != nil && pod.Labels[hookKey] != "" || h.hook.Finalizers != nil && slices.Contains(pod.Finalizers, hookKey)
}

func (h *hooker) write(ctx context.Context, pod *corev1.Pod, on bool) error {
	if h.hook.Labels != nil {
		value := any(nil)
		if on {
			value = h.hook.Labels[hookKey]
		}
		return patchPod(ctx, h.c, pod, map[string]any{"labels": map[string]any{hookKey: value}})
	}
	finalizers := slices.DeleteFunc(slices.Clone(pod.Finalizers), func(f string) bool { return f == hookKey })
	if on {
		finalizers = append(finalizers, hookKey)
	}
	return patchPod(ctx, h.c, pod, map[string]any{"finalizers": finalizers})
}

func (h *hooker) move() (string, func(context.Context) error) {
	for _, pod := range h.c.pods() {
		serves := pod.DeletionTimestamp == nil && isTrue(pod, appsv1alpha1.ReadinessGateInService)
		switch {
		case serves && !h.has(pod):
			return "registers " + pod.Name, func(ctx context.Context) error { return h.write(ctx, pod, true) }
		case serves || !h.has(pod):
			delete(h.begun, pod.UID)
		case h.begun[pod.UID].IsZero():
			h.begun[pod.UID] = h.w.clock.Now()
		case h.w.clock.Since(h.begun[pod.UID]) >= h.work:
			return "deregisters " + pod.Name, func(ctx context.Context) error { return h.write(ctx, pod, false) }
		}
	}
	return "", nil
}

func (h *hooker) due() time.Time {
	var next time.Time
	for _, at := range h.begun {
		if at = at.Add(h.work); h.w.clock.Now().Before(at) && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	return next
}

// client follows EndpointSlices like a kube-proxy, late.
type client struct {
	clock func() time.Time
	// tables are what it goes by from a time on, oldest first.
	tables []clientTable
}

type clientTable struct {
	from time.Time
	pods map[apitypes.UID]bool
}

// mostLag of a client.
const mostLag = 2 * time.Second

// learns of the pods that are listed as ready, after a while.
func (k *client) learns(pods map[apitypes.UID]bool, after time.Duration) {
	from := k.clock().Add(after)
	if n := len(k.tables); n > 0 && k.tables[n-1].from.After(from) {
		from = k.tables[n-1].from
	}
	k.tables = append(k.tables, clientTable{from, pods})
}

func (k *client) routes(pod apitypes.UID) bool {
	now := k.clock()
	for len(k.tables) > 1 && !now.Before(k.tables[1].from) {
		k.tables = k.tables[1:]
	}
	return len(k.tables) > 0 && !now.Before(k.tables[0].from) && k.tables[0].pods[pod]
}
