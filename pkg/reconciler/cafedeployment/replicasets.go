package cafedeployment

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/plan"
)

// replicaSets know neither partition nor limit: a unit has one for each revision that pods are on, and pkg/plan says how many pods each keeps.
type replicaSets struct{ *shelf[*appsv1.ReplicaSet] }

func (s replicaSets) see(ctx context.Context, d *v1alpha1.CafeDeployment) ([]podSet, error) {
	sets, err := s.of(ctx, d)
	if err != nil {
		return nil, err
	}
	out := make([]podSet, 0, len(sets))
	for _, set := range sets {
		seen := podSet{
			object: set, unit: unitOf(set), revision: revisionOf(&set.Spec.Template), keeps: ptr.Deref(set.Spec.Replicas, 1),
			settled: set.Status.ObservedGeneration >= set.Generation,
		}
		seen.unitKeeps = seen.keeps
		if n, err := strconv.ParseInt(set.Annotations[v1alpha1.AnnotationUnitReplicas], 10, 32); err == nil {
			seen.unitKeeps = int32(n)
		}
		for _, c := range set.Status.Conditions {
			if c.Type == appsv1.ReplicaSetReplicaFailure && c.Status == corev1.ConditionTrue {
				seen.stalled, seen.why = cmp.Or(c.Reason, string(c.Type)), c.Message
			}
		}
		out = append(out, seen)
	}
	return out, nil
}

// goes: the ReplicaSet controller takes those that are not ready first, and pkg/plan takes from sets that have some.
func (replicaSets) goes(pods []*seenPod) { inPlaceSets{}.goes(pods) }

func (s replicaSets) bring(ctx context.Context, p *pass, u *unit) error {
	state := plan.RevisionSetsState{
		Keep: u.plan.Keep, Stay: u.plan.Stay, Limit: p.limitOf(u.plan.Keep), Paused: p.d.Spec.Strategy.Pause || u.draining, Current: p.current, Update: p.update,
	}
	sets := map[string]*appsv1.ReplicaSet{}
	for _, seen := range u.sets {
		set, ok := seen.object.(*appsv1.ReplicaSet)
		if !ok || set.DeletionTimestamp != nil {
			continue
		}
		sets[seen.revision] = set
		of := plan.RevisionSet{Revision: seen.revision, Told: seen.keeps}
		for _, pod := range u.pods {
			if pod.owner == set.UID {
				of.Pods++
				if pod.available {
					of.Available++
				}
			}
		}
		state.Sets = append(state.Sets, of)
	}
	told := plan.RevisionSets(state)
	for _, revision := range slices.Sorted(maps.Keys(told)) {
		if err := s.tell(ctx, p, u, sets[revision], revision, told[revision]); err != nil {
			return err
		}
	}
	return s.dropEmpty(ctx, p, state, sets, told)
}

// tell a revision's set how many pods to keep, or make it.
func (s replicaSets) tell(ctx context.Context, p *pass, u *unit, now *appsv1.ReplicaSet, revision string, keeps int32) error {
	unitKeeps := strconv.Itoa(int(u.plan.Keep))
	if now == nil {
		if keeps == 0 {
			return nil
		}
		t, err := p.template(revision, u.name)
		if err != nil {
			return err
		}
		set := &appsv1.ReplicaSet{ObjectMeta: setMeta(p.d, u.name, setName(p.d, u.name)+"-"+revision)}
		set.Labels[v1alpha1.LabelCafeRevision] = revision
		set.Annotations = map[string]string{v1alpha1.AnnotationUnitReplicas: unitKeeps}
		set.Spec = appsv1.ReplicaSetSpec{Replicas: &keeps, MinReadySeconds: p.d.Spec.MinReadySeconds, Selector: selector(p.d, u.name, revision), Template: *t}
		return s.create(ctx, p.d, set)
	}
	if ptr.Deref(now.Spec.Replicas, 1) == keeps && now.Spec.MinReadySeconds == p.d.Spec.MinReadySeconds && now.Annotations[v1alpha1.AnnotationUnitReplicas] == unitKeeps {
		return nil
	}
	set := now.DeepCopy()
	set.Spec.Replicas, set.Spec.MinReadySeconds = &keeps, p.d.Spec.MinReadySeconds
	metav1.SetMetaDataAnnotation(&set.ObjectMeta, v1alpha1.AnnotationUnitReplicas, unitKeeps)
	return s.update(ctx, p.d, set)
}

// dropEmpty deletes the sets of revisions that have no pods and are to get none: the template is kept in a ControllerRevision.
func (s replicaSets) dropEmpty(ctx context.Context, p *pass, state plan.RevisionSetsState, sets map[string]*appsv1.ReplicaSet, told map[string]int32) error {
	for _, of := range state.Sets {
		set := sets[of.Revision]
		if of.Revision == p.update || of.Told > 0 || told[of.Revision] > 0 || of.Pods > 0 || set.Status.Replicas > 0 {
			continue
		}
		if err := s.remove(ctx, p.d, set.DeepCopy()); err != nil {
			return err
		}
	}
	return nil
}

func (s replicaSets) drop(ctx context.Context, p *pass, u *unit) error {
	for _, seen := range u.sets {
		if set, ok := seen.object.(*appsv1.ReplicaSet); ok && set.DeletionTimestamp == nil {
			if err := s.remove(ctx, p.d, set.DeepCopy()); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s replicaSets) forget(uid types.UID) { s.shelf.forget(uid) }
