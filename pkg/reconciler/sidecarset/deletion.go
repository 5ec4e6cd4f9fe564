package sidecarset

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/inplace"
	"github.com/periplus-dev/periplus/pkg/overlay"
	"github.com/periplus-dev/periplus/pkg/plan"
	"github.com/periplus-dev/periplus/pkg/sidecar"
	"github.com/periplus-dev/periplus/pkg/taken"
)

// Reasons of Events of a set that is being deleted.
const (
	// EventRebuilding tells that pods are deleted, so that their owners make them without the sidecars.
	EventRebuilding = "Rebuilding"
	// EventLeftAlone tells of pods that nobody would make anew, so that they keep the sidecars.
	EventLeftAlone = "LeftAlone"
)

// rebuild is what is remembered of the workloads whose pods are being deleted: how many pods each had. It may be lost: a workload that is one pod short then counts
// as whole, and disruption budgets still hold.
type rebuild struct{ size map[types.UID]int32 }

// hold the set with a finalizer, so that it does not go before what it began.
func (r *reconciler) hold(ctx context.Context, p *pass) error {
	if slices.Contains(p.set.Finalizers, v1alpha1.FinalizerSidecarSet) {
		return nil
	}
	return r.finalizers(ctx, p, append(slices.Clone(p.set.Finalizers), v1alpha1.FinalizerSidecarSet))
}

func (r *reconciler) finalizers(ctx context.Context, p *pass, finalizers []string) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": p.set.UID, "resourceVersion": p.set.ResourceVersion, "finalizers": finalizers}})
	if err != nil {
		return fmt.Errorf("writing a patch of SidecarSet %s: %w", p.set.Name, err)
	}
	now, err := r.writtenSets.Write(string(p.set.UID), p.set.Name, func() (*v1alpha1.SidecarSet, error) {
		return r.periplus.AppsV1alpha1().SidecarSets().Patch(ctx, p.set.Name, types.MergePatchType, patch, metav1.PatchOptions{})
	})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("writing the finalizers of SidecarSet %s: %w", p.set.Name, err)
	}
	p.set = now
	return nil
}

// leave takes the set's hands off every pod, does what onDelete says, and lets the set go.
func (r *reconciler) leave(ctx context.Context, p *pass) error {
	if !slices.Contains(p.set.Finalizers, v1alpha1.FinalizerSidecarSet) {
		return nil
	}
	var w writes
	w.group.SetLimit(r.writesAtOnce)
	rebuilds := p.set.Spec.OnDelete == v1alpha1.SidecarRebuild
	for _, seen := range slices.Concat(p.pods, p.strays) {
		if rebuilds && seen.ClosedFor == inplace.GateLeaving {
			continue // it is on its way out.
		}
		patch, err := inplace.Release(seen.pod, &seen.Look, p.holder)
		if err != nil {
			w.add(err)
		} else if patch != nil {
			w.later(seen.name(), func() error { return r.release(ctx, seen.pod, patch) })
		}
	}
	if err := w.wait(); err != nil {
		return err
	}
	if rebuilds {
		left, err := r.rebuild(ctx, p)
		if err != nil || left > 0 {
			return err // events of pods bring the next pass.
		}
	}
	delete(r.rebuilds, p.set.UID)
	delete(r.reported, p.set.UID)
	r.writtenRevisions.Forget(string(p.set.UID))
	err := r.finalizers(ctx, p, slices.DeleteFunc(slices.Clone(p.set.Finalizers), func(f string) bool { return f == v1alpha1.FinalizerSidecarSet }))
	if err == nil {
		r.writtenSets.Forget(string(p.set.UID))
	}
	return err
}

func (r *reconciler) release(ctx context.Context, pod *corev1.Pod, patch []byte) error {
	if _, err := r.patch(ctx, pod, patch); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("letting go of pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	return nil
}

// replica is a pod of a workload that is being rebuilt.
type replica struct {
	*corev1.Pod
	workload types.UID
	carries  *seen
}

// rebuild deletes pods that carry the sidecars, no more at a time than the limit lets be unavailable, and returns how many are left. Those that replace them carry none,
// so nothing of ours watches them whole: the namespaces are listed, from the API server's cache, at each pass. The limit is that of updates; a workload of one pod
// may always be rebuilt.
func (r *reconciler) rebuild(ctx context.Context, p *pass) (left int, err error) {
	known := r.rebuilds[p.set.UID]
	if known == nil {
		known = &rebuild{size: map[types.UID]int32{}}
		r.rebuilds[p.set.UID] = known
		r.recorder.Eventf(p.set, corev1.EventTypeNormal, EventRebuilding, "%d pods are deleted, to be made without the sidecars", len(p.pods)+len(p.strays))
	}
	replicas, alone, err := r.replicas(ctx, p)
	if err != nil {
		return 0, err
	}
	if len(alone) > 0 && r.told[p.set.UID] != EventLeftAlone {
		r.told[p.set.UID] = EventLeftAlone
		r.recorder.Eventf(p.set, corev1.EventTypeWarning, EventLeftAlone, "Nobody would make these pods anew, so they keep the sidecars: %s", firstOf(alone, 10))
	}
	there, serving := map[types.UID]int32{}, map[types.UID]int32{}
	for _, of := range replicas {
		there[of.workload]++
		if inplace.Ready(of.Pod) && inplace.ClosedFor(of.Pod) == "" {
			serving[of.workload]++
		}
	}
	var all, unavailable int32
	for uid, n := range there {
		known.size[uid] = max(known.size[uid], n)
	}
	for uid, n := range known.size {
		all += n
		unavailable += n - serving[uid]
	}
	most, err := plan.MaxUnavailable(p.set.Spec.UpdateStrategy.MaxUnavailable, all)
	if err != nil {
		most = 1
	}
	slices.SortStableFunc(replicas, func(a, b replica) int { // those that do not serve take nothing away.
		return cmp.Compare(boolToInt(inplace.Ready(a.Pod)), boolToInt(inplace.Ready(b.Pod)))
	})
	var goes []*seen
	r.taken.Decide(by(p.set.Name), func(see taken.View) (takes []*corev1.Pod) {
		p.taken = func(uid types.UID) bool { return see(uid, by(p.set.Name)) }
		for _, of := range replicas {
			if of.carries == nil {
				continue
			}
			left++
			if inplace.Ready(of.Pod) && inplace.ClosedFor(of.Pod) == "" {
				share, err := plan.MaxUnavailable(p.set.Spec.UpdateStrategy.MaxUnavailable, known.size[of.workload])
				if err != nil || unavailable >= most || known.size[of.workload]-serving[of.workload] >= share || !r.mayTake(p, of.carries) {
					continue
				}
				unavailable++
				serving[of.workload]--
			}
			goes = append(goes, of.carries)
			if taken.Healthy(of.carries.pod) {
				takes = append(takes, of.carries.pod)
			}
		}
		return takes
	})
	if left > len(goes) {
		p.wakeAfter(p.comes)
		r.holdsBack(p.set.Name, true)
	}
	var errs []error
	for _, of := range goes {
		errs = append(errs, r.remove(ctx, p, of))
	}
	return left, mostImportant(errs)
}

// mayTake says whether a pod's own workload lets it go, and counts it as gone.
func (r *reconciler) mayTake(p *pass, of *seen) bool {
	a := p.applications[r.workloadOf(p, of.pod)]
	if a == nil {
		return true
	}
	if a.Left() <= 0 {
		return false
	}
	a.Available--
	return true
}

func boolToInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// replicas are the pods of all workloads that have pods with the sidecars; alone are the names of those that have no controller.
func (r *reconciler) replicas(ctx context.Context, p *pass) (out []replica, alone []string, err error) {
	carriers, workloads := map[types.UID]*seen{}, map[types.UID]bool{}
	for _, seen := range slices.Concat(p.pods, p.strays) {
		ref := metav1.GetControllerOfNoCopy(seen.pod)
		if ref == nil {
			alone = append(alone, seen.name())
			continue
		}
		carriers[seen.pod.UID], workloads[ref.UID] = seen, true
	}
	if known := r.rebuilds[p.set.UID]; known != nil {
		for uid := range known.size {
			workloads[uid] = true
		}
	}
	for namespace := range p.namespaces {
		pods, err := r.kube.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{ResourceVersion: "0"})
		if err != nil {
			return nil, nil, fmt.Errorf("listing the pods of namespace %s, to rebuild some: %w", namespace, err)
		}
		for i := range pods.Items {
			pod := &pods.Items[i]
			ref := metav1.GetControllerOfNoCopy(pod)
			if ref != nil && workloads[ref.UID] && pod.DeletionTimestamp == nil && !sidecar.Ended(pod) {
				if known := p.newest[pod.UID]; known != nil && overlay.Older(pod, known) {
					pod = known
				}
				if pod.DeletionTimestamp == nil {
					out = append(out, replica{pod, ref.UID, carriers[pod.UID]})
				}
			}
		}
	}
	slices.Sort(alone)
	return out, alone, nil
}

// remove one pod: with drain as for a change, and then by an eviction, which honours disruption budgets whoever else evicts.
func (r *reconciler) remove(ctx context.Context, p *pass, of *seen) error {
	pod := of.pod
	if p.set.Spec.UpdateStrategy.Drain && sidecar.HasReadinessGate(pod) {
		in := inplace.Input{
			Pod: pod, Look: &of.Look, Wish: inplace.Leave, Holder: p.holder, DrainTimeout: drainTimeoutOf(p.set), OnDrainTimeout: p.set.Spec.UpdateStrategy.OnDrainTimeout,
			GracePeriod: gracePeriodOf(p.set), Now: p.now,
		}
		r.look(p, &in)
		step, err := inplace.Next(in)
		if err != nil {
			return fmt.Errorf("deciding the next step of pod %s/%s: %w", pod.Namespace, pod.Name, err)
		}
		p.wakeAfter(step.After)
		if step.Act == inplace.WriteGate {
			return r.take(ctx, p, pod, step)
		}
		if step.Act != inplace.Delete {
			return nil
		}
	}
	err := r.writtenPods.Delete(pod.Namespace, pod.DeepCopy(), func() error {
		return r.kube.PolicyV1().Evictions(pod.Namespace).Evict(ctx, &policyv1.Eviction{
			ObjectMeta:    metav1.ObjectMeta{Name: pod.Name, Namespace: pod.Namespace},
			DeleteOptions: &metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(pod.UID))},
		})
	})
	switch {
	case apierrors.IsNotFound(err), apierrors.IsConflict(err):
		return nil
	case apierrors.IsTooManyRequests(err):
		p.wakeAfter(again) // a disruption budget holds; it says no more than that.
		return nil
	case err != nil:
		return fmt.Errorf("evicting pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	return nil
}
