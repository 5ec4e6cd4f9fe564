package cafedeployment

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/ptr"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/plan"
)

// statefulSets have a partition, and go one pod at a time from the highest ordinal down. They keep no limit over pods below, so the partition is lowered as
// far as the limit lets it; and they wait for pods that are broken, so broken pods of the wrong revision are deleted.
type statefulSets struct {
	*shelf[*appsv1.StatefulSet]
	kube kubernetes.Interface
}

func (s statefulSets) see(ctx context.Context, d *v1alpha1.CafeDeployment) ([]podSet, error) {
	sets, err := s.of(ctx, d)
	if err != nil {
		return nil, err
	}
	out := make([]podSet, 0, len(sets))
	for _, set := range sets {
		out = append(out, podSet{
			object: set, unit: unitOf(set), revision: revisionOf(&set.Spec.Template), keeps: ptr.Deref(set.Spec.Replicas, 1), unitKeeps: ptr.Deref(set.Spec.Replicas, 1),
			settled: set.Status.ObservedGeneration >= set.Generation && set.Status.UpdateRevision != "",
		})
	}
	return out, nil
}

// goes: the highest ordinals first, whatever state they are in.
func (statefulSets) goes(pods []*seenPod) {
	slices.SortStableFunc(pods, func(a, b *seenPod) int { return cmp.Compare(ordinalOf(b.pod), ordinalOf(a.pod)) })
}

// ordinalOf a pod; -1 where its name has none.
func ordinalOf(pod *corev1.Pod) int {
	n, err := strconv.Atoi(pod.Name[strings.LastIndexByte(pod.Name, '-')+1:])
	if err != nil {
		return -1
	}
	return n
}

func (s statefulSets) bring(ctx context.Context, p *pass, u *unit) error {
	partition, broken := plan.Ordinals(p.ordinals(u))
	if len(u.sets) == 0 {
		set := &appsv1.StatefulSet{ObjectMeta: setMeta(p.d, u.name, setName(p.d, u.name))}
		set.Spec = appsv1.StatefulSetSpec{
			ServiceName: p.d.Spec.ServiceName, Selector: selector(p.d, u.name, ""), PodManagementPolicy: appsv1.ParallelPodManagement,
			VolumeClaimTemplates: p.d.Spec.VolumeClaimTemplates,
		}
		if err := s.tell(p, u, set, p.templateRevision(u, nil), partition); err != nil {
			return err
		}
		return s.create(ctx, p.d, set)
	}
	seen := &u.sets[0]
	now, ok := seen.object.(*appsv1.StatefulSet)
	if !ok || now.DeletionTimestamp != nil {
		return nil // its end starts the next pass.
	}
	set := now.DeepCopy()
	if p.awaits(seen) {
		partition = u.plan.Keep
	}
	if err := s.tell(p, u, set, p.templateRevision(u, seen), partition); err != nil {
		return err
	}
	if !apiequality.Semantic.DeepEqual(now.Spec, set.Spec) {
		return s.update(ctx, p.d, set)
	}
	if !seen.settled || seen.revision != p.update {
		return nil // a pod that is deleted now could come back as it was.
	}
	return s.discard(ctx, u, broken)
}

// ordinals are the unit's pods as the plan wants them.
func (p *pass) ordinals(u *unit) plan.OrdinalsState {
	state := plan.OrdinalsState{
		Keep: u.plan.Keep, Stay: u.plan.Stay, Limit: p.limitOf(u.plan.Keep), Paused: p.d.Spec.Strategy.Pause || u.draining, Pods: make([]plan.OrdinalPod, u.plan.Keep),
	}
	for _, pod := range u.pods {
		if o := ordinalOf(pod.pod); o >= 0 && o < len(state.Pods) {
			state.Pods[o] = plan.OrdinalPod{Exists: true, Updated: pod.revision == p.update, Available: pod.available}
		}
	}
	return state
}

func (statefulSets) tell(p *pass, u *unit, set *appsv1.StatefulSet, revision string, partition int32) error {
	if revisionOf(&set.Spec.Template) != revision {
		t, err := p.template(revision, u.name)
		if err != nil {
			return err
		}
		set.Spec.Template = *t
	}
	set.Spec.Replicas = ptr.To(u.plan.Keep)
	set.Spec.MinReadySeconds = p.d.Spec.MinReadySeconds
	set.Spec.RevisionHistoryLimit = ptr.To(historyLimitOf(p.d))
	set.Spec.UpdateStrategy.Type = appsv1.RollingUpdateStatefulSetStrategyType
	if set.Spec.UpdateStrategy.RollingUpdate == nil {
		set.Spec.UpdateStrategy.RollingUpdate = &appsv1.RollingUpdateStatefulSetStrategy{}
	}
	set.Spec.UpdateStrategy.RollingUpdate.Partition = &partition
	return nil
}

// discard broken pods of the wrong revision, each only if it is still what was looked at.
func (s statefulSets) discard(ctx context.Context, u *unit, broken []int32) error {
	for _, pod := range u.pods {
		if !slices.Contains(broken, int32(ordinalOf(pod.pod))) { // #nosec G115 -- an ordinal is below 10000.
			continue
		}
		uid, version := pod.pod.UID, pod.pod.ResourceVersion
		err := s.kube.CoreV1().Pods(pod.pod.Namespace).Delete(ctx, pod.pod.Name, metav1.DeleteOptions{
			Preconditions: &metav1.Preconditions{UID: &uid, ResourceVersion: &version},
		})
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("deleting pod %s/%s, which is broken and of an old revision: %w", pod.pod.Namespace, pod.pod.Name, err)
		}
	}
	return nil
}

func (s statefulSets) drop(ctx context.Context, p *pass, u *unit) error {
	for _, seen := range u.sets {
		if set, ok := seen.object.(*appsv1.StatefulSet); ok && set.DeletionTimestamp == nil {
			if err := s.remove(ctx, p.d, set.DeepCopy()); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s statefulSets) forget(uid types.UID) { s.shelf.forget(uid) }
