package sidecarset

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/inplace"
	"github.com/periplus-dev/periplus/pkg/sidecar"
)

const (
	defaultGracePeriod  = 3 * time.Second
	defaultDrainTimeout = 300 * time.Second
	// again is when a resize that was refused is asked for again: no event tells that a quota was raised.
	again = 10 * time.Second
)

// move takes every pod that the plan names, or that the set began to change, one step on.
func (r *reconciler) move(ctx context.Context, p *pass) error {
	update := map[string]bool{}
	for _, name := range p.plan.Update {
		update[name] = true
	}
	var w writes
	w.group.SetLimit(r.writesAtOnce)
	for _, list := range [][]*seen{p.pods, p.strays} {
		for _, seen := range list {
			if p.givesUp(seen) {
				patch, err := inplace.Release(seen.pod, &seen.Look, p.holder)
				w.add(err)
				if patch != nil {
					w.later(seen.name(), func() error { return r.release(ctx, seen.pod, patch) })
				}
				continue
			}
			wish := inplace.Serve
			if update[seen.name()] {
				wish = inplace.Update
			} else if !seen.HasBegun(p.holder) {
				continue
			}
			step, err := r.next(p, seen, wish)
			if err != nil {
				w.add(err)
				continue
			}
			if left := r.unfit[seen.pod.UID].until.Sub(p.now); step.Act == inplace.WriteResize && left > 0 {
				step = inplace.Step{Wait: inplace.WaitResize, After: left}
			}
			p.waits.add(seen.pod, step)
			p.wakeAfter(step.After)
			if step.Act != inplace.Nothing {
				w.later(seen.name(), func() error { return r.take(ctx, p, seen.pod, step) })
			}
		}
	}
	return w.wait()
}

// givesUp says whether the set takes its hands off a pod in the middle of a change that fails: what is wanted by now does not get there in place, so its owner would
// wait for ever to make it anew.
func (p *pass) givesUp(seen *seen) bool {
	return seen.failing != "" && seen.HasBegun(p.holder) && p.waitsForCreation(seen)
}

// next asks the engine for the next step of a pod.
func (r *reconciler) next(p *pass, seen *seen, wish inplace.Wish) (inplace.Step, error) {
	strategy := &p.set.Spec.UpdateStrategy
	pod := seen.pod
	closed := seen.ClosedFor != "" && pod.Annotations[v1alpha1.AnnotationHolder] == p.holder
	in := inplace.Input{
		Pod: pod, Look: &seen.Look, Wish: wish, Holder: p.holder, Revision: p.update, RevisionLabel: sidecar.LabelOf(p.set.Name),
		// A pod that was taken out of service is brought back, whatever the strategy says by now.
		Failing:      seen.failing != "",
		InService:    !sidecar.HasReadinessGate(pod) || !strategy.Drain && !closed,
		DrainTimeout: drainTimeoutOf(p.set), OnDrainTimeout: strategy.OnDrainTimeout, GracePeriod: gracePeriodOf(p.set), Now: p.now,
	}
	var err error
	if wish == inplace.Update {
		if in.Change, err = sidecar.ChangeOf(pod, p.set.Name, p.update, p.changes[seen.part.Revision]); err != nil {
			return inplace.Step{}, err
		}
	}
	r.look(p, &in)
	step, err := inplace.Next(in)
	if err != nil {
		return step, fmt.Errorf("deciding the next step of pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	return step, nil
}

// look whether the pod is quiet, where that matters.
func (r *reconciler) look(p *pass, in *inplace.Input) {
	if in.InService || in.Wish == inplace.Serve && !in.Look.Unfinished(in.Holder) {
		r.quiet.forget(in.Pod.UID)
		return
	}
	r.quiet.watch(p.set.Name, in.Pod)
	in.QuietSince = r.quiet.looked(in.Pod.UID, inplace.Quiet(in.Pod, r.listed(in.Pod)) && !in.Held(), p.now)
}

// take a step. Every write is refused with a conflict if the pod is not the one that was looked at.
func (r *reconciler) take(ctx context.Context, p *pass, pod *corev1.Pod, step inplace.Step) error {
	var subresources []string
	what := "changing the sidecars of pod %s/%s in place: %w"
	switch step.Act {
	case inplace.WriteGate:
		subresources, what = []string{"status"}, "writing the readiness gate of pod %s/%s: %w"
	case inplace.WriteResize:
		subresources, what = []string{"resize"}, "resizing the sidecars of pod %s/%s in place: %w"
	}
	written, err := r.patch(ctx, pod, step.Patch, subresources...)
	if step.Act == inplace.WriteResize && (apierrors.IsInvalid(err) || apierrors.IsForbidden(err) && !strings.Contains(err.Error(), "cannot patch resource")) {
		r.mu.Lock()
		r.unfit[pod.UID] = refusal{err.Error(), p.now.Add(again)}
		r.mu.Unlock()
		r.enqueueAfter(p.set.Name, again)
		return nil // it is said in the condition.
	}
	if err != nil {
		return fmt.Errorf(what, pod.Namespace, pod.Name, err)
	}
	before, after := inplace.LookAt(pod), inplace.LookAt(written)
	r.changes.wrote(ctx, p.set.Name, before.HasBegun(p.holder), after.HasBegun(p.holder))
	return nil
}

func (r *reconciler) patch(ctx context.Context, pod *corev1.Pod, patch []byte, subresources ...string) (*corev1.Pod, error) {
	written, err := r.writtenPods.Write(pod.Namespace, pod.Name, func() (*corev1.Pod, error) {
		return r.kube.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, subresources...)
	})
	return written, err
}

// writes are made side by side, and their errors collected.
type writes struct {
	group errgroup.Group
	todo  []write
	mu    sync.Mutex
	errs  []error
}

// write of one pod.
type write struct {
	pod string
	do  func() error
}

// later makes a write with the others, in the order of the pods' names.
func (w *writes) later(pod string, do func() error) { w.todo = append(w.todo, write{pod, do}) }

func (w *writes) add(err error) {
	if err != nil {
		w.mu.Lock()
		w.errs = append(w.errs, err)
		w.mu.Unlock()
	}
}

func (w *writes) wait() error {
	slices.SortFunc(w.todo, func(a, b write) int { return strings.Compare(a.pod, b.pod) })
	for _, of := range w.todo {
		w.group.Go(func() error { w.add(of.do()); return nil })
	}
	_ = w.group.Wait() // errors are in errs.
	return mostImportant(w.errs)
}

func drainTimeoutOf(set *v1alpha1.SidecarSet) time.Duration {
	if s := set.Spec.UpdateStrategy.DrainTimeoutSeconds; s != nil {
		return time.Duration(*s) * time.Second
	}
	return defaultDrainTimeout
}

func gracePeriodOf(set *v1alpha1.SidecarSet) time.Duration {
	if s := set.Spec.UpdateStrategy.GracePeriodSeconds; s != nil {
		return time.Duration(*s) * time.Second
	}
	return defaultGracePeriod
}

func keysOf[K comparable, V any](m map[K]V) iter.Seq[K] { return maps.Keys(m) }
