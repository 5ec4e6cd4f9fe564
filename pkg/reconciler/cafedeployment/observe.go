package cafedeployment

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/inplace"
	"github.com/periplus-dev/periplus/pkg/plan"
	"github.com/periplus-dev/periplus/pkg/revision"
)

// observe reads all that a pass is about. It writes nothing but a ControllerRevision for a new template.
func (r *reconciler) observe(ctx context.Context, d *v1alpha1.CafeDeployment) (*pass, error) {
	p := &pass{d: d, now: r.clock.Now(), problems: problemsOf(d), sets: r.sets[typeOf(d)]}
	r.memory.of(keyOf(d), func(known *remembered) { p.looks, p.best = known.looks, known.best })
	sets, err := p.sets.see(ctx, d)
	if err != nil {
		return nil, err
	}
	if err := r.seeUnits(p, sets); err != nil {
		return nil, err
	}
	if err := r.revise(ctx, p); err != nil {
		return nil, err
	}
	return p, nil
}

// ask the API server about a deployment whose last write is in doubt.
func (r *reconciler) ask(ctx context.Context, key types.NamespacedName, uid types.UID) (*v1alpha1.CafeDeployment, error) {
	d, err := r.periplus.AppsV1alpha1().CafeDeployments(key.Namespace).Get(ctx, key.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		r.written.Settle(string(uid), key.Name, nil)
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("reading CafeDeployment %s, whose last write is in doubt: %w", key, err)
	case d.UID != uid:
		r.written.Settle(string(uid), key.Name, nil)
		return nil, nil // its event starts the next pass.
	}
	r.written.Settle(string(uid), key.Name, &d)
	return d, nil
}

// seeUnits puts pod sets and pods into units: those of the spec in its order, and after them by name those that only have pod sets.
func (r *reconciler) seeUnits(p *pass, sets []podSet) error {
	byName := map[string]*unit{}
	for _, name := range unitNames(p.d) {
		byName[name] = &unit{name: name}
		p.units = append(p.units, byName[name])
	}
	named := len(p.units)
	slices.SortFunc(sets, func(a, b podSet) int { return strings.Compare(a.object.GetName(), b.object.GetName()) })
	seen := looks{}
	for _, set := range sets {
		u := byName[set.unit]
		if u == nil {
			u = &unit{name: set.unit, draining: true}
			byName[set.unit] = u
			p.units = append(p.units, u)
		}
		u.sets = append(u.sets, set)
		if set.stalled != "" && u.stalled == "" {
			u.stalled, u.why = set.stalled, set.why
		}
		if err := r.seePods(p, u, set.object.GetUID(), seen); err != nil {
			return err
		}
	}
	slices.SortFunc(p.units[named:], func(a, b *unit) int { return strings.Compare(a.name, b.name) })
	for _, u := range p.units {
		slices.SortFunc(u.pods, func(a, b *seenPod) int { return strings.Compare(a.pod.Name, b.pod.Name) })
		p.sets.goes(u.pods)
	}
	r.memory.of(keyOf(p.d), func(known *remembered) { known.looks = seen })
	return nil
}

func (r *reconciler) seePods(p *pass, u *unit, owner types.UID, keep looks) error {
	for _, index := range r.pods {
		found, err := index.ByIndex(byController, string(owner))
		if err != nil {
			return fmt.Errorf("listing pods of unit %s of CafeDeployment %s/%s: %w", u.name, p.d.Namespace, p.d.Name, err)
		}
		for _, o := range found {
			pod, ok := o.(*corev1.Pod)
			if !ok || pod.Labels[v1alpha1.LabelCafeDeployment] != p.d.Name {
				continue // its labels were changed: it is nobody's.
			}
			look := p.looks.at(pod, owner)
			keep[pod] = look
			left, comes := look.AvailableIn(p.d.Spec.MinReadySeconds, p.now)
			if comes {
				p.wakeAfter(left)
			}
			look.available = comes && left <= 0
			switch {
			case pod.DeletionTimestamp != nil:
				u.leaving = append(u.leaving, look)
			case look.ended: // its set makes another.
			default:
				u.pods = append(u.pods, look)
			}
		}
	}
	return nil
}

// looks keep what pods said of themselves, for as long as they are the very objects that were looked at.
type looks map[*corev1.Pod]*seenPod

// seenPod is what a pass asks of a pod, read once.
type seenPod struct {
	pod   *corev1.Pod
	owner types.UID
	inplace.Look
	// revision of the deployment that it is of.
	revision  string
	ended     bool
	available bool
	// failing is the pod's own reason why it does not come up, and why its words.
	failing, why string
}

func (l looks) at(pod *corev1.Pod, owner types.UID) *seenPod {
	if seen := l[pod]; seen != nil {
		return seen
	}
	seen := &seenPod{
		pod: pod, owner: owner, Look: inplace.LookAt(pod), revision: pod.Labels[v1alpha1.LabelCafeRevision],
		ended: pod.Status.Phase == corev1.PodFailed || pod.Status.Phase == corev1.PodSucceeded,
	}
	seen.failing, seen.why = inplace.Failing(pod, seen.Changing)
	return seen
}

// decide fills in the plan.
func (p *pass) decide() {
	s, d := &p.state, &p.d.Spec
	*s = plan.CafeState{
		Replicas: ptr.Deref(d.Replicas, 1), Wishes: d.Topology.UnitReplicas, MaxUnavailable: ptr.To(maxUnavailableOf(p.d)),
		Beta: d.Strategy.UpgradeType != v1alpha1.UpgradeBatch, BatchSize: d.Strategy.BatchSize, Confirm: d.Strategy.NeedWaitingForConfirm, Pause: d.Strategy.Pause,
		Driven: d.Strategy.Partitions != nil, Partitions: d.Strategy.Partitions,
		Reschedule: d.Topology.AutoReschedule.Enable, Restore: p.d.Status.ObservedGeneration != p.d.Generation && !p.steered(),
		Current: p.current, Update: p.update, Change: fmt.Sprintf("%s-%d", p.update, p.history.Number(p.update)), Next: scalingChange(p.d.Generation),
		Asked: p.d.Status.Asked, Confirmed: p.d.Annotations[v1alpha1.AnnotationConfirmed],
	}
	if was := p.d.Status.Scaling; was != nil {
		s.Scaling = &plan.CafeScaling{From: was.From, To: was.To, Change: scalingChange(was.Generation)}
	}
	before := map[string]v1alpha1.CafeDeploymentUnit{}
	for _, u := range p.d.Status.Units {
		before[u.Name] = u
	}
	for _, u := range p.units {
		s.Units = append(s.Units, p.describe(u, before[u.name]))
	}
	if len(p.problems) > 0 {
		return // nothing moves.
	}
	made, err := plan.CafeDeployment(*s)
	if err != nil {
		p.problems = append(p.problems, "spec: "+err.Error())
		return
	}
	p.plan = made
	for i, u := range p.units {
		u.plan = made.Units[i]
	}
}

// steered says whether partitions are what moves pods from one revision to another, forth or back. Then each step of a release changes the spec, and none of that says
// that a unit has room again.
func (p *pass) steered() bool {
	if p.d.Spec.Strategy.Partitions == nil {
		return false
	}
	return p.current != p.update || slices.ContainsFunc(p.units, func(u *unit) bool {
		return slices.ContainsFunc(u.pods, func(pod *seenPod) bool { return pod.revision != p.update })
	})
}

func scalingChange(generation int64) string { return fmt.Sprintf("scale-%d", generation) }

func (p *pass) describe(u *unit, before v1alpha1.CafeDeploymentUnit) plan.CafeUnit {
	of := plan.CafeUnit{
		Name: u.name, Draining: u.draining, HasSets: len(u.sets) > 0, Leaving: int32(len(u.leaving)), // #nosec G115 -- a deployment has at most 10000 pods.
		Moved: before.Moved, Full: before.Full,
	}
	for _, set := range u.sets {
		if set.object.GetDeletionTimestamp() == nil {
			of.Kept = max(of.Kept, set.unitKeeps)
		}
	}
	movable := map[*corev1.Pod]bool{}
	for _, pod := range u.pods {
		of.Goes = append(of.Goes, pod.available)
		if pod.revision == p.update {
			of.Updated++
			if pod.available {
				of.UpdatedAvailable++
			}
		}
		c, pending := inplace.Unschedulable(pod.pod)
		if !pending {
			continue
		}
		if of.Pending++; u.pendingFor == "" {
			u.pendingFor = c.Message
		}
		if p.waitedInVain(c) && !bound(pod.pod) {
			movable[pod.pod] = true
		}
	}
	u.pending = of.Pending
	of.Movable = p.movable(u, movable)
	return of
}

// waitedInVain says whether a pod waited for room as long as the spec says, and wakes the deployment when it will have.
func (p *pass) waitedInVain(c corev1.PodCondition) bool {
	if !p.d.Spec.Topology.AutoReschedule.Enable {
		return false
	}
	delay := time.Duration(ptr.Deref(p.d.Spec.Topology.AutoReschedule.InitialDelaySeconds, 10)) * time.Second
	left := c.LastTransitionTime.Add(delay).Sub(p.now)
	p.wakeAfter(left)
	return left <= 0
}

// bound says whether a pod has a volume that is its own or that may tie it to nodes.
func bound(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Spec.Volumes, func(v corev1.Volume) bool { return v.PersistentVolumeClaim != nil || v.Ephemeral != nil })
}

// movable counts the pods that may be made elsewhere. A StatefulSet takes away the highest ordinals: others would go in the stead of those below.
func (p *pass) movable(u *unit, pods map[*corev1.Pod]bool) int32 {
	if typeOf(p.d) != v1alpha1.PodSetStatefulSet {
		return int32(len(pods)) // #nosec G115 -- a deployment has at most 10000 pods.
	}
	var n int32
	for _, pod := range u.pods {
		if !pods[pod.pod] {
			break
		}
		n++
	}
	return n
}

func typeOf(d *v1alpha1.CafeDeployment) v1alpha1.PodSetType {
	if d.Spec.PodSetType == "" {
		return v1alpha1.PodSetInPlaceSet
	}
	return d.Spec.PodSetType
}

// unitNames of the spec: the deployment's own name where it has no units.
func unitNames(d *v1alpha1.CafeDeployment) []string {
	if d.Spec.Topology.UnitType == v1alpha1.UnitNone {
		return []string{d.Name}
	}
	return d.Spec.Topology.Values
}

func historyLimitOf(d *v1alpha1.CafeDeployment) int32 { return ptr.Deref(d.Spec.HistoryLimit, 10) }

func maxUnavailableOf(d *v1alpha1.CafeDeployment) intstr.IntOrString {
	return ptr.Deref(d.Spec.MaxUnavailable, intstr.FromString("25%"))
}

// limitOf a unit that keeps so many pods. What cannot be read is among the problems.
func (p *pass) limitOf(keep int32) int32 {
	n, err := plan.MaxUnavailable(ptr.To(maxUnavailableOf(p.d)), keep)
	if err != nil {
		return 1
	}
	return n
}

// revise finds the revisions of a pass, and makes one for a template that has none.
func (r *reconciler) revise(ctx context.Context, p *pass) error {
	var err error
	if p.history, err = r.book.Of(p.d, p.d.Status.CollisionCount); err != nil {
		return fmt.Errorf("finding revisions: %w", err)
	}
	if len(p.problems) > 0 {
		p.update = p.d.Status.UpdateRevision // a template that cannot be used gets no revision.
	} else if p.update, err = r.book.Newest(ctx, p.d, p.history, &p.d.Spec.Template); err != nil {
		return fmt.Errorf("finding the revision of the template: %w", err)
	}
	p.current = p.currentRevision()
	return nil
}

// currentRevision is the one in status. Where status was lost, the one that most pods are on: what was held back stays so.
func (p *pass) currentRevision() string {
	if p.d.Status.CurrentRevision != "" {
		return p.d.Status.CurrentRevision
	}
	pods := map[string]int{}
	best := p.update
	for _, u := range p.units {
		for _, pod := range u.pods {
			pods[pod.revision]++
			if pods[pod.revision] > pods[best] && p.history.Template(pod.revision) != nil {
				best = pod.revision
			}
		}
	}
	return best
}

// forgetHistory deletes the oldest revisions beyond the limit that nothing is on.
func (r *reconciler) forgetHistory(ctx context.Context, p *pass) error {
	used := map[string]bool{p.current: true, p.update: true}
	for _, u := range p.units {
		for _, set := range u.sets {
			used[set.revision] = true
		}
		for _, pod := range slices.Concat(u.pods, u.leaving) {
			used[pod.revision] = true
		}
	}
	if err := r.book.Forget(ctx, p.d, &revision.History{Revisions: p.history.Revisions}, used, int(historyLimitOf(p.d))); err != nil {
		return fmt.Errorf("keeping to historyLimit: %w", err)
	}
	return nil
}
