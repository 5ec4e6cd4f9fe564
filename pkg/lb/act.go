package lb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/periplus-dev/periplus/pkg/lb/haproxy"
)

// pairing is a pod, a server, or both that belong to each other.
type pairing struct {
	// name of the server, whether it is there or not.
	name   string
	pod    *podSeen
	server *haproxy.Server
}

// pair finds for each pod its server, and for each server that was ever one of ours its pod.
func pair(pods []*podSeen, servers map[string]haproxy.Server) []pairing {
	out := make([]pairing, 0, len(pods))
	paired := map[string]bool{}
	for _, pod := range pods {
		p := pairing{name: serverOf(pod.Name, pod.UID), pod: pod}
		if server, ok := servers[p.name]; ok {
			p.server = &server
		}
		paired[p.name] = true
		out = append(out, p)
	}
	for name, server := range servers {
		if _, ok := podOf(name); ok && !paired[name] {
			out = append(out, pairing{name: name, server: &server})
		}
	}
	return out
}

// carryOut does one act and returns when to look again. After a write to a pod its event comes by itself; HAProxy sends none.
func (c *Controller) carryOut(ctx context.Context, act Act, p pairing) (time.Duration, error) {
	var err error
	switch act {
	case Claim:
		err = c.claim(ctx, p.pod.Pod)
	case Add:
		return c.add(ctx, p)
	case Enable:
		err = c.balancer.Enable(ctx, p.name, c.checks())
	case Drain:
		err = c.balancer.Drain(ctx, p.name)
	case Wait:
		return moving, nil
	case Remove:
		err = c.balancer.Remove(ctx, p.name)
	case Cut:
		c.log.Warnw("Cutting sessions off: they outlast --drain-timeout", "server", p.name, "sessions", p.server.Sessions, "timeout", c.Rules.DrainTimeout.String())
		err = c.balancer.Cut(ctx, p.name)
	case Release:
		err = c.release(ctx, p.pod.Pod)
	}
	switch {
	case errors.Is(err, haproxy.ErrBusy):
		return moving, nil
	case gonePod(err):
		return resting, nil
	case err != nil:
		return resting, err
	}
	c.log.Infow("Done: "+act.String(), "server", p.name)
	if act == Claim || act == Release {
		return resting, nil
	}
	return moving, nil
}

// add registers a pod, if the API server itself says that it serves and is held: the cache may be from before a finalizer was taken off.
func (c *Controller) add(ctx context.Context, p pairing) (time.Duration, error) {
	pod, err := c.kube.CoreV1().Pods(c.Namespace).Get(ctx, p.pod.Name, metav1.GetOptions{})
	if gonePod(err) {
		return resting, nil
	}
	if err != nil {
		return resting, fmt.Errorf("reading pod %s: %w", p.pod.Name, err)
	}
	now := factsOf(pod, c.Port, c.Finalizer())
	if pod.UID != p.pod.UID || !now.Serves || !now.Held {
		return resting, nil
	}
	if err := c.balancer.Add(ctx, p.name, now.Address, c.Options); err != nil {
		return resting, err
	}
	if err := c.balancer.Enable(ctx, p.name, c.checks()); err != nil {
		return resting, err
	}
	c.log.Infow("Done: add", "server", p.name, "address", now.Address.String())
	return moving, nil
}

// checks tells whether servers are checked by HAProxy.
func (c *Controller) checks() bool { return slices.Contains(strings.Fields(c.Options), "check") }

// claim puts the finalizer on.
func (c *Controller) claim(ctx context.Context, pod *corev1.Pod) error {
	return writeFinalizers(ctx, c.kube, pod, append(slices.Clone(pod.Finalizers), c.Finalizer()))
}

// release takes the finalizer off.
func (c *Controller) release(ctx context.Context, pod *corev1.Pod) error {
	return writeFinalizers(ctx, c.kube, pod, without(pod.Finalizers, c.Finalizer()))
}

func without(finalizers []string, finalizer string) []string {
	return slices.DeleteFunc(slices.Clone(finalizers), func(f string) bool { return f == finalizer })
}

// writeFinalizers writes the list against the version that it was made of: a merge patch replaces lists whole.
func writeFinalizers(ctx context.Context, kube kubernetes.Interface, pod *corev1.Pod, finalizers []string) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": pod.UID, "resourceVersion": pod.ResourceVersion, "finalizers": finalizers}})
	if err == nil {
		_, err = kube.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: "periplus-lb"})
	}
	if err != nil {
		return fmt.Errorf("writing the finalizers of pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	return nil
}
