package workload

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"

	appsv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	periplusinformers "github.com/periplus-dev/periplus/pkg/client/informers/externalversions/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/fleet"
	"github.com/periplus-dev/periplus/pkg/inplace"
	"github.com/periplus-dev/periplus/pkg/plan"
	"github.com/periplus-dev/periplus/pkg/sidecar"
)

// KindSidecarSet is the one kind of workload that stands in no namespace: its pods are other people's.
const KindSidecarSet = "SidecarSet"

// memberSystem is Periplus's own namespace in members, where SidecarSets have their history.
const memberSystem = "periplus-system"

// sidecarSets adapts SidecarSets: the pods that carry a set's sidecars, in all namespaces, are of the units that their label names, or of one by the set's name. All
// are in one object.
type sidecarSets struct {
	clock clock.PassiveClock
}

// Observe implements Kind. The namespace is that of the run, and means nothing to a set. A ref that means all sets returns them without their pods.
func (a *sidecarSets) Observe(s Session, member, _ string, ref v1alpha1.WorkloadRef) ([]Unit, bool, error) {
	const key, namespacesKey = "sidecarsets", "namespaces"
	sets, synced := s.Informer(key, func(c fleet.Clients) cache.SharedIndexInformer {
		return periplusinformers.NewSidecarSetInformer(c.Periplus, 0, cache.Indexers{})
	})
	if !synced && all(ref) && apierrors.IsNotFound(s.InformerError(key)) {
		return nil, true, fmt.Errorf("%w: member %s does not serve SidecarSets", ErrNotFound, member) // as where nobody has use for them.
	}
	if !synced {
		return nil, false, s.InformerError(key)
	}
	var units []Unit
	for _, obj := range sets.GetStore().List() {
		set, ok := obj.(*appsv1alpha1.SidecarSet)
		if !ok || !matches(set.ObjectMeta, ref) {
			continue
		}
		if all(ref) {
			units = append(units, unitsOfSidecars(member, set, nil)...)
			continue
		}
		namespaces, synced := s.Informer(namespacesKey, func(c fleet.Clients) cache.SharedIndexInformer {
			return coreinformers.NewNamespaceInformer(c.Kube, 0, cache.Indexers{})
		})
		podsKey := "sidecarset-pods/" + set.Name
		pods, podsSynced := s.Informer(podsKey, func(c fleet.Clients) cache.SharedIndexInformer {
			return newPodInformer(c.Kube, metav1.NamespaceAll, sidecar.LabelOf(set.Name))
		})
		if !synced || !podsSynced {
			return nil, false, errors.Join(s.InformerError(namespacesKey), s.InformerError(podsKey))
		}
		units = append(units, a.observe(member, set, pods.GetStore(), namespaces.GetStore())...)
	}
	if len(units) == 0 {
		return nil, true, fmt.Errorf("%w: %s of member %s", ErrNotFound, describe(ref), member)
	}
	slices.SortFunc(units, func(x, y Unit) int { return strings.Compare(x.Name+"/"+x.Workload, y.Name+"/"+y.Workload) })
	for i := 1; i < len(units) && !all(ref); i++ {
		if units[i].Name == units[i-1].Name {
			return nil, true, fmt.Errorf("member %s: SidecarSets %s and %s both have pods in unit %s: name one of them in workload.name",
				member, units[i-1].Workload, units[i].Workload, units[i].Name)
		}
	}
	return units, true, nil
}

// observe a set with the pods that carry its sidecars, that it means, and that its strategy selects.
func (a *sidecarSets) observe(member string, set *appsv1alpha1.SidecarSet, pods, namespaces cache.Store) []Unit {
	matcher, err := sidecar.MatcherOf(set, memberSystem)
	selects, problem := labels.Everything(), err
	if of := set.Spec.UpdateStrategy.Selector; of != nil {
		if selects, err = metav1.LabelSelectorAsSelector(of); err != nil {
			selects, problem = labels.Nothing(), err
		}
	}
	var mine []*corev1.Pod
	for _, obj := range pods.List() {
		pod, ok := obj.(*corev1.Pod)
		if !ok || pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed || !matcher.Pod(pod) || !selects.Matches(labels.Set(pod.Labels)) {
			continue
		}
		obj, there, err := namespaces.GetByKey(pod.Namespace)
		namespace, ok := obj.(*corev1.Namespace)
		if err == nil && there && ok && matcher.Namespace(namespace.Name, namespace.Labels) {
			mine = append(mine, pod)
		}
	}
	units := unitsOfSidecars(member, set, mine)
	if problem != nil && units[0].Stalled == "" {
		for i := range units {
			units[i].Stalled = problem.Error()
		}
	}
	at := map[string]*Unit{}
	for i := range units {
		at[units[i].Name] = &units[i]
	}
	now := a.clock.Now()
	for _, pod := range mine {
		part, ok := sidecar.PartOf(pod, set.Name)
		if !ok {
			continue
		}
		u := at[sidecar.UnitOf(pod, set.Name)]
		if u.Observed && u.UpdateRevision == set.Status.UpdateRevision && waits(set, pod, part.Revision) {
			if pod.DeletionTimestamp == nil {
				u.wait(part.Revision)
			}
			continue
		}
		p := podWithSidecars(pod, u, part, now)
		u.Pods = append(u.Pods, p)
		if !p.Terminating {
			u.Replicas++
		}
	}
	for i := range units {
		if u := &units[i]; u.Waiting > 0 {
			u.WaitingFor = waitingFor(set)
		}
		slices.SortFunc(units[i].Pods, func(x, y Pod) int { return strings.Compare(x.Namespace+"/"+x.Name, y.Namespace+"/"+y.Name) })
	}
	return units
}

// unitsOfSidecars are the units of a set without their pods: those of the pods that it has, and those that its partitions name.
func unitsOfSidecars(member string, set *appsv1alpha1.SidecarSet, pods []*corev1.Pod) []Unit {
	strategy := &set.Spec.UpdateStrategy
	base := Unit{
		Member: member, Kind: KindSidecarSet, Workload: set.Name, Shared: true, UID: set.UID, ResourceVersion: set.ResourceVersion,
		Observed: set.Status.ObservedGeneration == set.Generation, Deleting: set.DeletionTimestamp != nil, Paused: strategy.Paused, partitioned: strategy.Partitions != nil,
		Revision: set.Status.CurrentRevision, UpdateRevision: set.Status.UpdateRevision, Proves: strategy.Selector == nil, // pods that are not selected stay.
	}
	lockOn(&base, set.Annotations)
	base.Stalled, base.Trouble = standstill(set.Status.Conditions, &base)
	content := sidecar.ContentOf(set)
	template, err := content.Template()
	if err != nil {
		template, base.Stalled = &corev1.PodTemplateSpec{}, err.Error()
	}
	if c := meta.FindStatusCondition(set.Status.Conditions, appsv1alpha1.ConditionProgressing); c != nil && c.Reason == appsv1alpha1.ReasonInvalidSpec {
		// A content that the API server would refuse never becomes a revision. It is on the set all the same, by the name that it would have, and goes back like any other.
		if _, hash, err := content.Encode(); err == nil {
			base.UpdateRevision = hash
		}
	}
	names := map[string]bool{}
	for name := range strategy.Partitions {
		names[name] = true
	}
	for i := range set.Status.Units {
		names[set.Status.Units[i].Name] = true
	}
	for _, pod := range pods {
		names[sidecar.UnitOf(pod, set.Name)] = true
	}
	if len(names) == 0 {
		names[set.Name] = true
	}
	if len(names) > appsv1alpha1.MaxSidecarSetUnits {
		base.Stalled = fmt.Sprintf("SidecarSet %s: its pods carry %d different values of the label %s; releases go by at most %d units", set.Name, len(names),
			appsv1alpha1.LabelUnit, appsv1alpha1.MaxSidecarSetUnits)
	}
	var out []Unit
	for _, name := range slices.Sorted(maps.Keys(names)) {
		u := base
		u.Name, u.Template = name, template.DeepCopy()
		u.Partition, u.Own = sidecarPartition(set, name)
		out = append(out, u)
	}
	return out
}

// sidecarPartition is the partition of a unit. One number or share over all units together says nothing of each: then it is how far the unit is.
func sidecarPartition(set *appsv1alpha1.SidecarSet, unit string) (partition *intstr.IntOrString, own bool) {
	strategy := &set.Spec.UpdateStrategy
	if p, ok := strategy.Partitions[unit]; ok {
		return &p, false
	}
	of := ptr.Deref(strategy.Partition, intstr.FromInt32(0))
	if strategy.Partitions != nil || slices.Contains([]string{"0", "0%", "100%"}, of.String()) {
		return &of, false
	}
	for i := range set.Status.Units {
		if u := &set.Status.Units[i]; u.Name == unit {
			return ptr.To(intstr.FromInt32(u.Pods - u.Updated)), true
		}
	}
	return ptr.To(plan.Held()), true
}

// waits says whether a pod gets the update revision only when it is created anew.
func waits(set *appsv1alpha1.SidecarSet, pod *corev1.Pod, revision string) bool {
	if revision == set.Status.UpdateRevision {
		return false
	}
	strategy := &set.Spec.UpdateStrategy
	return strategy.Type == appsv1alpha1.SidecarOnNextCreate || strategy.Drain && !sidecar.HasReadinessGate(pod) ||
		slices.Contains(set.Status.WaitingRevisions, revision)
}

// waitingFor says why pods wait, in the set's words where it has some.
func waitingFor(set *appsv1alpha1.SidecarSet) string {
	if set.Spec.UpdateStrategy.Type == appsv1alpha1.SidecarOnNextCreate {
		return "spec.updateStrategy.type is OnNextCreate"
	}
	if c := meta.FindStatusCondition(set.Status.Conditions, appsv1alpha1.ConditionProgressing); c != nil && c.Reason == "WaitingForCreation" {
		return c.Message
	}
	if set.Spec.UpdateStrategy.Drain && len(set.Status.WaitingRevisions) == 0 {
		return "spec.updateStrategy.drain is true, and they were created without the readiness gate " + appsv1alpha1.ReadinessGateInService
	}
	return "the change does not fit into running pods"
}

// podWithSidecars is a pod as a release of its sidecars sees it. What fails, and what is waited for, is the set's own: an application that was down before its
// sidecars were changed, and has been since, is not the new sidecars' doing.
func podWithSidecars(pod *corev1.Pod, u *Unit, part sidecar.Part, now time.Time) Pod {
	look := inplace.LookAt(pod)
	p := podOf(pod)
	p.Revision = part.Revision
	p.Started = u.Observed && p.Revision == u.UpdateRevision
	p.Updated = p.Started && !look.ChangingFor(sidecar.Holder(u.Workload))
	p.fill(pod, 0, now)
	p.fails(pod, part.Names(), now)
	if p.Updated && !p.Available && !p.TakenOut && part.Ready(pod) && wasDownBefore(pod, p.Begun) {
		p.Available = true
	}
	return p
}

// wasDownBefore says whether the pod's containers were not all ready before a moment, and have not been since. The API server keeps whole seconds.
func wasDownBefore(pod *corev1.Pod, moment time.Time) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.ContainersReady {
			return c.Status == corev1.ConditionFalse && c.LastTransitionTime.Time.Before(moment.Truncate(time.Second))
		}
	}
	return false
}

// Template implements Kind: a template that stands for what the set holds (see pkg/sidecar).
func (a *sidecarSets) Template(ctx context.Context, s Session, u *Unit, revision string) (*corev1.PodTemplateSpec, error) {
	raw, err := revisionOf(ctx, s, u, memberSystem, revision, "revisionHistoryLimit")
	if err != nil {
		return nil, err
	}
	content, err := sidecar.Decode(raw)
	if err != nil {
		return nil, fmt.Errorf("revision %s of SidecarSet %s in member %s: %w", revision, u.Workload, u.Member, err)
	}
	return content.Template()
}

// Get implements Kind.
func (a *sidecarSets) Get(ctx context.Context, s Session, member, _, name string) (Object, error) {
	var set *appsv1alpha1.SidecarSet
	err := s.Do(ctx, "reading SidecarSet "+name, func(ctx context.Context, c fleet.Clients) (err error) {
		set, err = c.Periplus.AppsV1alpha1().SidecarSets().Get(ctx, name, metav1.GetOptions{})
		return err
	})
	if apierrors.IsNotFound(err) {
		return Object{}, fmt.Errorf("%w: SidecarSet %s of member %s", ErrNotFound, name, member)
	}
	if err != nil {
		return Object{}, err
	}
	var o Object
	units := unitsOfSidecars(member, set, nil)
	for i := range units {
		o.Units = append(o.Units, &units[i])
	}
	return o, nil
}

// sidecarPartitions write partitions of units, and hold back units that come later. Where every unit is held, the set is: units that are gone leave nothing behind.
//
// Whoever labels pods makes units, and more of them than a set can name must keep nobody from stopping or going back: then those that are held are not named, and where
// nothing is held in any, the set is let go as a whole.
func sidecarPartitions(o Object, some map[string]intstr.IntOrString) []op {
	whole, others := o.whole(some), plan.Held()
	allHeld, allGo := true, true
	for _, p := range whole {
		allHeld, allGo = allHeld && p == plan.Held(), allGo && !plan.SidecarsHeld(&p)
	}
	switch tooMany := len(whole) > appsv1alpha1.MaxSidecarSetUnits; {
	case tooMany && allGo:
		others, whole = intstr.FromInt32(0), nil
	case tooMany, allHeld:
		maps.DeleteFunc(whole, func(_ string, p intstr.IntOrString) bool { return p == plan.Held() })
	}
	ops := []op{{"add", "/spec/updateStrategy/partition", others}}
	switch {
	case len(whole) > 0:
		ops = append(ops, op{"add", "/spec/updateStrategy/partitions", whole})
	case o.First().partitioned:
		ops = append(ops, op{Op: "remove", Path: "/spec/updateStrategy/partitions"})
	}
	return ops
}

// Write implements Kind. Partitions are written for all units together, and units that come later are held back.
func (a *sidecarSets) Write(ctx context.Context, s Session, o Object, w Write) error {
	u := o.First()
	spec, err := contentOps(u, w)
	if err != nil {
		return err
	}
	if len(w.Partitions) > 0 {
		spec = append(spec, sidecarPartitions(o, w.Partitions)...)
	}
	patch, err := patchOf(u, w, spec)
	if err != nil {
		return err
	}
	return s.Do(ctx, fmt.Sprintf("%s (SidecarSet %s)", w.What, u.Workload), func(ctx context.Context, c fleet.Clients) error {
		_, err := c.Periplus.AppsV1alpha1().SidecarSets().Patch(ctx, u.Workload, types.JSONPatchType, patch, metav1.PatchOptions{FieldManager: fieldManager})
		return err
	})
}

// contentOps write what a template stands for, field by field: what is empty is not there, as the set's history has it.
func contentOps(u *Unit, w Write) ([]op, error) {
	if w.Template == nil {
		return nil, nil
	}
	content, err := sidecar.FromTemplate(w.Template)
	if err != nil {
		return nil, fmt.Errorf("what is to be written to SidecarSet %s: %w", u.Workload, err)
	}
	has := u.Template.Spec
	var ops []op
	for _, f := range []struct {
		name     string
		had, has int
		value    any
	}{
		{"initContainers", len(has.InitContainers), len(content.InitContainers), content.InitContainers},
		{"containers", len(has.Containers), len(content.Containers), content.Containers},
		{"volumes", len(has.Volumes), len(content.Volumes), content.Volumes},
		{"imagePullSecrets", len(has.ImagePullSecrets), len(content.ImagePullSecrets), content.ImagePullSecrets},
	} {
		switch {
		case f.has > 0:
			ops = append(ops, op{"add", "/spec/" + f.name, f.value})
		case f.had > 0:
			ops = append(ops, op{Op: "remove", Path: "/spec/" + f.name})
		}
	}
	return ops, nil
}

// Compare returns what brings pods of a kind of workload from one template to another; what does not change in running pods is in its Misfits. An error says
// that a template cannot be the kind's.
func Compare(kind string, from, to *corev1.PodTemplateSpec) (inplace.Change, error) {
	if kind != KindSidecarSet {
		return inplace.Compare(from, to), nil
	}
	a, err := sidecar.FromTemplate(from)
	if err != nil {
		return inplace.Change{}, err
	}
	b, err := sidecar.FromTemplate(to)
	if err != nil {
		return inplace.Change{}, err
	}
	return sidecar.Compare(a, b), nil
}
