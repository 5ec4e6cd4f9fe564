package inplaceset

import (
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/inplace"
)

const (
	defaultGracePeriod  = 3 * time.Second
	defaultDrainTimeout = 300 * time.Second
)

// move takes every pod one step on: to where the plan wants it, or back into service.
func (r *reconciler) move(ctx context.Context, p *pass) error {
	wishes := map[string]inplace.Wish{}
	for _, name := range p.plan.ScaleDown {
		wishes[name] = inplace.Leave
	}
	for _, name := range p.plan.Rebuild {
		wishes[name] = inplace.Leave
	}
	for _, name := range p.plan.Update {
		wishes[name] = inplace.Update
	}
	discarded := map[string]bool{}
	for _, name := range p.plan.Discard {
		discarded[name] = true
	}

	p.waits = newWaits()
	var errs []error
	var writes []write
	for _, seen := range p.seen() {
		pod := seen.pod
		if discarded[pod.Name] {
			writes = append(writes, write{pod.Name, func() error { return r.deletePod(ctx, p, pod) }})
			continue
		}
		wish := wishes[pod.Name]
		if wish == inplace.Serve && seen.Idle {
			r.drains.forget(pod.UID)
			continue
		}
		step, err := r.next(p, seen, wish)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if left := p.refused[pod.UID].until.Sub(p.now); step.Act == inplace.WriteResize && left > 0 {
			step = inplace.Step{Wait: inplace.WaitResize, After: left} // it would be refused again.
		}
		p.waits.add(pod, step)
		p.wakeAfter(step.After)
		if step.Act != inplace.Nothing {
			writes = append(writes, write{pod.Name, func() error { return r.take(ctx, p, pod, step) }})
		}
	}
	return mostImportant(append(errs, r.sideBySide(writes)...))
}

// next asks the engine for the next step of a pod.
func (r *reconciler) next(p *pass, seen *seenPod, wish inplace.Wish) (inplace.Step, error) {
	pod := seen.pod
	in := inplace.Input{
		Pod: pod, Look: &seen.Look, Wish: wish, Holder: p.holder,
		Revision: p.update, Change: p.changes[seen.revision].Change,
		Order: p.set.Spec.UpdateStrategy.ContainerOrder, Lifecycle: p.set.Spec.Lifecycle,
		DrainTimeout: drainTimeoutOf(p.set), OnDrainTimeout: p.set.Spec.UpdateStrategy.OnDrainTimeout,
		GracePeriod: gracePeriodOf(p.set), Now: p.now,
	}
	if wish == inplace.Serve && !seen.Unfinished(in.Holder) {
		r.drains.forget(pod.UID)
	} else {
		r.drains.watch(keyOf(p.set), pod)
		listed, publisher := r.listing(pod)
		if publisher != "" {
			p.publishers[publisher] = true
		}
		in.QuietSince = r.drains.looked(pod.UID, inplace.Quiet(pod, listed) && !in.Held(), p.now)
	}
	step, err := inplace.Next(in)
	if err != nil {
		return step, fmt.Errorf("deciding the next step of pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	return step, nil
}

// take a step. Every write is refused with a conflict if the pod is not the one that was looked at.
func (r *reconciler) take(ctx context.Context, p *pass, pod *corev1.Pod, step inplace.Step) error {
	if step.Act == inplace.Delete {
		return r.deletePod(ctx, p, pod)
	}
	var subresources []string
	what := "changing pod %s/%s in place: %w"
	switch step.Act {
	case inplace.WriteGate:
		subresources = []string{"status"}
		what = "writing the readiness gate of pod %s/%s: %w"
	case inplace.WriteResize:
		subresources = []string{"resize"}
		what = "resizing pod %s/%s in place: %w"
	}
	_, err := r.writtenPods.Write(string(p.set.UID), pod.Name, func() (*corev1.Pod, error) {
		return r.kube.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.StrategicMergePatchType, step.Patch, metav1.PatchOptions{}, subresources...)
	})
	if step.Act == inplace.WriteResize && refusesResize(err) {
		r.memory.of(keyOf(p.set), func(known *remembered) {
			known.unfit[pod.UID] = refusal{why: err.Error(), until: p.now.Add(createAgain)}
		})
		r.enqueue(keyOf(p.set))
		return nil // it is rebuilt, or said in the condition.
	}
	if err != nil {
		return fmt.Errorf(what, pod.Namespace, pod.Name, err)
	}
	return nil
}

// refusesResize says whether the API server refused a resize for what it asks: more than a quota or the node has, or what no resize may change. That it refuses it
// for who asks is an error like others.
func refusesResize(err error) bool {
	return apierrors.IsInvalid(err) || apierrors.IsForbidden(err) && !strings.Contains(err.Error(), "cannot patch resource")
}

func drainTimeoutOf(set *v1alpha1.InPlaceSet) time.Duration {
	if s := set.Spec.UpdateStrategy.DrainTimeoutSeconds; s != nil {
		return time.Duration(*s) * time.Second
	}
	return defaultDrainTimeout
}

func gracePeriodOf(set *v1alpha1.InPlaceSet) time.Duration {
	if s := set.Spec.UpdateStrategy.GracePeriodSeconds; s != nil {
		return time.Duration(*s) * time.Second
	}
	return defaultGracePeriod
}
