package lb

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"
)

// strays are names of pods that may carry our finalizer although the selector does not choose them, because they lost a label. The watch does not show
// them. They come from its events, and from one list of the namespace after a start: forgetting them loses nothing.
type strays struct {
	mu    sync.Mutex
	names map[string]bool
	// swept is whether that list was read. Of passes only.
	swept bool
}

func newStrays() *strays { return &strays{names: map[string]bool{}} }

func (s *strays) add(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.names[name] = true
}

func (s *strays) forget(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.names, name)
}

func (s *strays) list() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.names))
}

// podSeen is a pod as the pass saw it.
type podSeen struct {
	*corev1.Pod
	// stray: the selector does not choose it.
	stray bool
}

// observed returns the pods of the cache, and strays as the API server has them now.
func (c *Controller) observed(ctx context.Context) []*podSeen {
	cached := c.pods.GetStore().List()
	out := make([]*podSeen, 0, len(cached))
	known := map[string]bool{}
	for _, object := range cached {
		if pod, ok := object.(*corev1.Pod); ok {
			known[pod.Name] = true
			out = append(out, &podSeen{Pod: pod})
		}
	}
	for _, name := range c.strays.list() {
		if known[name] {
			c.strays.forget(name)
			continue
		}
		pod, err := c.kube.CoreV1().Pods(c.Namespace).Get(ctx, name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			c.strays.forget(name)
		case err != nil:
			c.log.Warnw("Reading a pod that lost a label of the selector", "pod", name, zap.Error(err))
		case !slices.Contains(pod.Finalizers, c.Finalizer()):
			c.strays.forget(name)
		case !c.Selector.Matches(labels.Set(pod.Labels)): // one that it matches, and that the cache does not have yet, is left to its event.
			out = append(out, &podSeen{Pod: pod, stray: true})
		}
	}
	return out
}

// sweep finds the pods of the namespace that carry our finalizer and are not selected. It returns when to look again.
func (c *Controller) sweep(ctx context.Context) time.Duration {
	again := resting
	err := eachHeld(ctx, c.kube, c.Config, func(pod *corev1.Pod) error {
		if !c.Selector.Matches(labels.Set(pod.Labels)) {
			c.strays.add(pod.Name)
			again = moving
		}
		return nil
	})
	if err != nil {
		if ctx.Err() == nil {
			c.log.Warnw("Looking for pods that lost a label of the selector", zap.Error(err))
		}
		return resting
	}
	c.strays.swept = true
	return again
}

// page of a list.
const page = 500

// eachHeld calls do for every pod of the namespace that carries our finalizer.
func eachHeld(ctx context.Context, kube kubernetes.Interface, cfg Config, do func(*corev1.Pod) error) error {
	options := metav1.ListOptions{Limit: page}
	for {
		list, err := kube.CoreV1().Pods(cfg.Namespace).List(ctx, options)
		if err != nil {
			return fmt.Errorf("listing the pods of %s: %w", cfg.Namespace, err)
		}
		for i := range list.Items {
			if slices.Contains(list.Items[i].Finalizers, cfg.Finalizer()) {
				if err := do(&list.Items[i]); err != nil {
					return err
				}
			}
		}
		if list.Continue == "" {
			return nil
		}
		options.Continue = list.Continue
	}
}

// Retire takes the finalizer off every pod of the namespace, for a HAProxy that was taken away for good, and returns of how many. No controller of that
// name may run.
func Retire(ctx context.Context, kube kubernetes.Interface, cfg Config) (int, error) {
	if cfg.Name == "" || cfg.Namespace == "" {
		return 0, errors.New("retiring a balancer: want its name and the namespace of its pods")
	}
	n := 0
	err := eachHeld(ctx, kube, cfg, func(pod *corev1.Pod) error {
		err := writeFinalizers(ctx, kube, pod, without(pod.Finalizers, cfg.Finalizer()))
		if apierrors.IsNotFound(err) {
			return nil
		}
		n++
		return err
	})
	return n, err
}
