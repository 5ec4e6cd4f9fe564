package workload

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"

	appsv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	periplusinformers "github.com/periplus-dev/periplus/pkg/client/informers/externalversions/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/fleet"
	"github.com/periplus-dev/periplus/pkg/inplace"
	"github.com/periplus-dev/periplus/pkg/plan"
)

// cafeDeployments adapts CafeDeployments: each has the units that its topology names, in one object.
type cafeDeployments struct {
	clock clock.PassiveClock
}

// Observe implements Kind. Units that are being drained are none any more.
func (a *cafeDeployments) Observe(s Session, member, namespace string, ref v1alpha1.WorkloadRef) ([]Unit, bool, error) {
	key, podsKey := "cafedeployments/"+namespace, "cafedeployment-pods/"+namespace
	deployments, synced := s.Informer(key, func(c fleet.Clients) cache.SharedIndexInformer {
		return periplusinformers.NewCafeDeploymentInformer(c.Periplus, namespace, 0, cache.Indexers{})
	})
	if !synced && all(ref) && apierrors.IsNotFound(s.InformerError(key)) {
		return nil, true, fmt.Errorf("%w: member %s does not serve CafeDeployments", ErrNotFound, member) // as where nobody has use for them.
	}
	pods, podsSynced := s.Informer(podsKey, func(c fleet.Clients) cache.SharedIndexInformer {
		return newPodInformer(c.Kube, namespace, appsv1alpha1.LabelCafeDeployment)
	})
	if !synced || !podsSynced {
		return nil, false, errors.Join(s.InformerError(key), s.InformerError(podsKey))
	}

	var units []Unit
	for _, obj := range deployments.GetStore().List() {
		d, ok := obj.(*appsv1alpha1.CafeDeployment)
		if !ok || !matches(d.ObjectMeta, ref) {
			continue
		}
		found := unitsOf(member, d)
		if err := a.addPods(found, d, pods); err != nil {
			return nil, true, err
		}
		units = append(units, found...)
	}
	if len(units) == 0 {
		return nil, true, fmt.Errorf("%w: %s in namespace %s of member %s", ErrNotFound, describe(ref), namespace, member)
	}
	slices.SortFunc(units, func(x, y Unit) int { return strings.Compare(x.Name+"/"+x.Workload, y.Name+"/"+y.Workload) })
	for i := 1; i < len(units) && !all(ref); i++ {
		if units[i].Name == units[i-1].Name {
			return nil, true, fmt.Errorf("member %s: CafeDeployments %s and %s both have a unit %s: name one of them in workload.name",
				member, units[i-1].Workload, units[i].Workload, units[i].Name)
		}
	}
	return units, true, nil
}

// unitNames are the units of a deployment: what its topology names, or one by the deployment's own name.
func unitNames(d *appsv1alpha1.CafeDeployment) []string {
	if d.Spec.Topology.UnitType == appsv1alpha1.UnitNone {
		return []string{d.Name}
	}
	return d.Spec.Topology.Values
}

// unitsOf are the units of a deployment without their pods. How many pods a unit is to have its controller says alone, so nothing is Observed before that
// has seen the spec as it is.
func unitsOf(member string, d *appsv1alpha1.CafeDeployment) []Unit {
	base := Unit{
		Member: member, Kind: "CafeDeployment", Namespace: d.Namespace, Workload: d.Name, Shared: true, UID: d.UID, ResourceVersion: d.ResourceVersion,
		Observed: d.Status.ObservedGeneration == d.Generation, Deleting: d.DeletionTimestamp != nil,
		Own: d.Spec.Strategy.Partitions == nil, Paused: d.Spec.Strategy.Pause,
		Revision: d.Status.CurrentRevision, UpdateRevision: d.Status.UpdateRevision,
	}
	lockOn(&base, d.Annotations)
	seen := map[string]*appsv1alpha1.CafeDeploymentUnit{}
	for i := range d.Status.Units {
		seen[d.Status.Units[i].Name] = &d.Status.Units[i]
	}
	names := unitNames(d)
	base.Observed = base.Observed && !slices.ContainsFunc(names, func(n string) bool { return seen[n] == nil })
	var out []Unit
	for _, name := range names {
		u := base
		u.Name, u.Template = name, d.Spec.Template.DeepCopy()
		u.Stalled, u.Trouble = standstill(d.Status.Conditions, &u)
		u.Partition = partitionOf(d, name, seen[name])
		if now := seen[name]; now != nil {
			u.Replicas = now.Wanted
			if u.Observed && now.Stalled != "" {
				u.Stalled = now.Stalled
			}
			if u.Observed && u.Trouble == "" && now.Pending > 0 {
				u.Trouble = fmt.Sprintf("%d pods find no room: %s", now.Pending, now.PendingFor)
			}
		}
		out = append(out, u)
	}
	return out
}

// partitionOf is the partition of a unit: as it is written, or how far the deployment's own groups are.
func partitionOf(d *appsv1alpha1.CafeDeployment, unit string, now *appsv1alpha1.CafeDeploymentUnit) *intstr.IntOrString {
	if p, ok := d.Spec.Strategy.Partitions[unit]; ok {
		return &p
	}
	if d.Spec.Strategy.Partitions == nil && now != nil {
		return ptr.To(intstr.FromInt32(now.Partition))
	}
	return ptr.To(plan.Held())
}

func (a *cafeDeployments) addPods(units []Unit, d *appsv1alpha1.CafeDeployment, pods cache.SharedIndexInformer) error {
	labelled, err := podsLabelled(pods, d.Namespace, d.Name)
	if err != nil {
		return err
	}
	kind := string(d.Spec.PodSetType)
	if kind == "" {
		kind = string(appsv1alpha1.PodSetInPlaceSet)
	}
	at := map[string]*Unit{}
	for i := range units {
		at[units[i].Name] = &units[i]
	}
	for _, pod := range labelled {
		u := at[pod.Labels[appsv1alpha1.LabelUnit]]
		// Labels can be anybody's; a pod that no pod set controls is none of the deployment's.
		if owner := metav1.GetControllerOf(pod); u == nil || owner == nil || owner.Kind != kind {
			continue
		}
		p := podOf(pod)
		p.Revision = pod.Labels[appsv1alpha1.LabelCafeRevision]
		p.Started = u.Observed && p.Revision != "" && p.Revision == u.UpdateRevision
		p.Updated = p.Started
		if kind == string(appsv1alpha1.PodSetInPlaceSet) {
			p.Updated = p.Started && inplace.RunsRevision(pod, pod.Labels[appsv1alpha1.LabelRevision])
		}
		p.fill(pod, d.Spec.MinReadySeconds, a.clock.Now())
		u.Pods = append(u.Pods, p)
	}
	return nil
}

// Template implements Kind.
func (a *cafeDeployments) Template(ctx context.Context, s Session, u *Unit, revision string) (*corev1.PodTemplateSpec, error) {
	return templateOf(ctx, s, u, revision, "historyLimit")
}

// Get implements Kind.
func (a *cafeDeployments) Get(ctx context.Context, s Session, member, namespace, name string) (Object, error) {
	var d *appsv1alpha1.CafeDeployment
	err := s.Do(ctx, "reading CafeDeployment "+name, func(ctx context.Context, c fleet.Clients) (err error) {
		d, err = c.Periplus.AppsV1alpha1().CafeDeployments(namespace).Get(ctx, name, metav1.GetOptions{})
		return err
	})
	if apierrors.IsNotFound(err) {
		return Object{}, fmt.Errorf("%w: CafeDeployment %s in namespace %s of member %s", ErrNotFound, name, namespace, member)
	}
	if err != nil {
		return Object{}, err
	}
	var o Object
	units := unitsOf(member, d)
	for i := range units {
		o.Units = append(o.Units, &units[i])
	}
	return o, nil
}

// Write implements Kind. Partitions are written for all units together: the deployment's own groups rest once there are any, and a unit without one would
// be held back whatever it was before.
func (a *cafeDeployments) Write(ctx context.Context, s Session, o Object, w Write) error {
	u, spec := o.First(), templateOps(w)
	if len(w.Partitions) > 0 {
		spec = append(spec, op{"add", "/spec/strategy/partitions", o.whole(w.Partitions)})
	}
	patch, err := patchOf(u, w, spec)
	if err != nil {
		return err
	}
	return s.Do(ctx, fmt.Sprintf("%s (CafeDeployment %s/%s)", w.What, u.Namespace, u.Workload), func(ctx context.Context, c fleet.Clients) error {
		_, err := c.Periplus.AppsV1alpha1().CafeDeployments(u.Namespace).Patch(ctx, u.Workload, types.JSONPatchType, patch, metav1.PatchOptions{FieldManager: fieldManager})
		return err
	})
}
