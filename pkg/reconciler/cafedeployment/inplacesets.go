package cafedeployment

import (
	"cmp"
	"context"
	"slices"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
)

// inPlaceSets keep partition, limit and pause themselves: they are told.
type inPlaceSets struct{ *shelf[*v1alpha1.InPlaceSet] }

// stallsInPlaceSet are the reasons with which an InPlaceSet stands still until somebody changes something.
var stallsInPlaceSet = map[string]bool{
	v1alpha1.ReasonInvalidSpec: true, v1alpha1.ReasonNotInPlace: true, v1alpha1.ReasonRevisionMissing: true, "CreateFailed": true, "DrainTimeout": true,
}

func (s inPlaceSets) see(ctx context.Context, d *v1alpha1.CafeDeployment) ([]podSet, error) {
	sets, err := s.of(ctx, d)
	if err != nil {
		return nil, err
	}
	out := make([]podSet, 0, len(sets))
	for _, set := range sets {
		seen := podSet{
			object: set, unit: unitOf(set), revision: revisionOf(&set.Spec.Template), keeps: ptr.Deref(set.Spec.Replicas, 1), unitKeeps: ptr.Deref(set.Spec.Replicas, 1),
			settled: set.Status.ObservedGeneration >= set.Generation && set.Status.UpdateRevision != "",
		}
		c := meta.FindStatusCondition(set.Status.Conditions, v1alpha1.ConditionProgressing)
		if c != nil && c.Status == metav1.ConditionFalse && stallsInPlaceSet[c.Reason] && seen.settled {
			seen.stalled, seen.why = c.Reason, c.Message
		}
		out = append(out, seen)
	}
	return out, nil
}

// goes: those that are not available first, as the plan of InPlaceSet takes them.
func (inPlaceSets) goes(pods []*seenPod) {
	slices.SortStableFunc(pods, func(a, b *seenPod) int { return cmp.Compare(b2i(a.available), b2i(b.available)) })
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (s inPlaceSets) bring(ctx context.Context, p *pass, u *unit) error {
	if len(u.sets) == 0 {
		set := &v1alpha1.InPlaceSet{ObjectMeta: setMeta(p.d, u.name, setName(p.d, u.name))}
		set.Spec.Selector = selector(p.d, u.name, "")
		if err := s.tell(p, u, set, p.templateRevision(u, nil)); err != nil {
			return err
		}
		return s.create(ctx, p.d, set)
	}
	seen := &u.sets[0]
	now, ok := seen.object.(*v1alpha1.InPlaceSet)
	if !ok || now.DeletionTimestamp != nil {
		return nil // its end starts the next pass.
	}
	set := now.DeepCopy()
	if err := s.tell(p, u, set, p.templateRevision(u, seen)); err != nil {
		return err
	}
	if p.awaits(seen) {
		set.Spec.UpdateStrategy.Partition = ptr.To(intstr.FromString("100%"))
	}
	if apiequality.Semantic.DeepEqual(now.Spec, set.Spec) {
		return nil
	}
	return s.update(ctx, p.d, set)
}

// tell a set what to be. A template is written only where it is of another revision: the API server has put defaults into the one that is there.
func (inPlaceSets) tell(p *pass, u *unit, set *v1alpha1.InPlaceSet, revision string) error {
	if revisionOf(&set.Spec.Template) != revision {
		t, err := p.template(revision, u.name)
		if err != nil {
			return err
		}
		set.Spec.Template = *t
	}
	d := &p.d.Spec
	set.Spec.Replicas = ptr.To(u.plan.Keep)
	set.Spec.MinReadySeconds = d.MinReadySeconds
	set.Spec.ProgressDeadlineSeconds = d.ProgressDeadlineSeconds
	set.Spec.RevisionHistoryLimit = ptr.To(historyLimitOf(p.d))
	how := ptr.Deref(d.InPlace, v1alpha1.CafeDeploymentInPlace{})
	strategy := &set.Spec.UpdateStrategy
	strategy.Partition = ptr.To(heldBack(u.plan.Stay, u.plan.Keep))
	strategy.MaxUnavailable = ptr.To(maxUnavailableOf(p.d))
	strategy.MaxSurge = ptr.To(intstr.FromInt32(0))
	strategy.Paused = d.Strategy.Pause
	strategy.Type = cmp.Or(how.Type, v1alpha1.InPlaceIfPossible)
	strategy.GracePeriodSeconds = ptr.To(ptr.Deref(how.GracePeriodSeconds, 3))
	strategy.DrainTimeoutSeconds = ptr.To(ptr.Deref(how.DrainTimeoutSeconds, 300))
	strategy.OnDrainTimeout = cmp.Or(how.OnDrainTimeout, v1alpha1.DrainHold)
	strategy.ContainerOrder = how.ContainerOrder
	strategy.SameNodeSeconds = ptr.To(ptr.Deref(how.SameNodeSeconds, 30))
	set.Spec.Lifecycle = how.Lifecycle
	return nil
}

// heldBack is a partition as a set is told it. All of its pods are 100%, so that none goes should there be more of them for a moment.
func heldBack(stay, keep int32) intstr.IntOrString {
	if stay > 0 && stay >= keep {
		return intstr.FromString("100%")
	}
	return intstr.FromInt32(stay)
}

func (s inPlaceSets) drop(ctx context.Context, p *pass, u *unit) error {
	for _, seen := range u.sets {
		if set, ok := seen.object.(*v1alpha1.InPlaceSet); ok && set.DeletionTimestamp == nil {
			if err := s.remove(ctx, p.d, set.DeepCopy()); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s inPlaceSets) forget(uid types.UID) { s.shelf.forget(uid) }
