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
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"

	appsv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	periplusinformers "github.com/periplus-dev/periplus/pkg/client/informers/externalversions/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/fleet"
	"github.com/periplus-dev/periplus/pkg/inplace"
)

// inPlaceSets adapts InPlaceSets: one set is one unit, named by the set's unit label, else by the set.
type inPlaceSets struct {
	clock clock.PassiveClock
}

// Observe implements Kind.
func (a *inPlaceSets) Observe(s Session, member, namespace string, ref v1alpha1.WorkloadRef) ([]Unit, bool, error) {
	setsKey, podsKey := "inplacesets/"+namespace, "inplaceset-pods/"+namespace
	sets, setsSynced := s.Informer(setsKey, func(c fleet.Clients) cache.SharedIndexInformer {
		return periplusinformers.NewInPlaceSetInformer(c.Periplus, namespace, 0, cache.Indexers{})
	})
	pods, podsSynced := s.Informer(podsKey, func(c fleet.Clients) cache.SharedIndexInformer {
		return newPodInformer(c.Kube, namespace, appsv1alpha1.LabelInPlaceSet)
	})
	if !setsSynced || !podsSynced {
		return nil, false, errors.Join(s.InformerError(setsKey), s.InformerError(podsKey))
	}

	var units []Unit
	kept := ""
	for _, obj := range sets.GetStore().List() {
		set, ok := obj.(*appsv1alpha1.InPlaceSet)
		if !ok || !matches(set.ObjectMeta, ref) {
			continue
		}
		if owner := metav1.GetControllerOf(set); owner != nil && owner.Kind == "CafeDeployment" {
			kept = owner.Name
			continue
		}
		u := unitOf(member, set)
		if err := a.addPods(&u, set, pods); err != nil {
			return nil, true, err
		}
		units = append(units, u)
	}
	if len(units) == 0 && kept != "" {
		return nil, true, fmt.Errorf("%w: %s in namespace %s of member %s is kept by CafeDeployment %s: name that as the workload", ErrNotFound, describe(ref), namespace, member, kept)
	}
	if len(units) == 0 {
		return nil, true, fmt.Errorf("%w: %s in namespace %s of member %s", ErrNotFound, describe(ref), namespace, member)
	}
	slices.SortFunc(units, func(x, y Unit) int { return strings.Compare(x.Name, y.Name) })
	for i := 1; i < len(units) && !all(ref); i++ {
		if units[i].Name == units[i-1].Name {
			return nil, true, fmt.Errorf("member %s: InPlaceSets %s and %s both stand for unit %s: give each its own label %s",
				member, units[i-1].Workload, units[i].Workload, units[i].Name, appsv1alpha1.LabelUnit)
		}
	}
	return units, true, nil
}

func matches(set metav1.ObjectMeta, ref v1alpha1.WorkloadRef) bool {
	if ref.Name != "" {
		return set.Name == ref.Name
	}
	return labels.SelectorFromSet(ref.Selector).Matches(labels.Set(set.Labels))
}

// all says whether a reference means every workload of its kind: units of several applications, whose names mean nothing to each other.
func all(ref v1alpha1.WorkloadRef) bool { return ref.Name == "" && len(ref.Selector) == 0 }

func describe(ref v1alpha1.WorkloadRef) string {
	if ref.Name != "" {
		return ref.Kind + " " + ref.Name
	}
	return ref.Kind + " with labels " + labels.FormatLabels(ref.Selector)
}

func unitOf(member string, set *appsv1alpha1.InPlaceSet) Unit {
	u := Unit{
		Member: member, Name: set.Labels[appsv1alpha1.LabelUnit], Kind: "InPlaceSet", Namespace: set.Namespace, Workload: set.Name,
		UID: set.UID, ResourceVersion: set.ResourceVersion,
		Observed: set.Status.ObservedGeneration == set.Generation, Deleting: set.DeletionTimestamp != nil,
		Replicas: ptr.Deref(set.Spec.Replicas, 1), Partition: set.Spec.UpdateStrategy.Partition, Paused: set.Spec.UpdateStrategy.Paused,
		Revision: set.Status.CurrentRevision, UpdateRevision: set.Status.UpdateRevision, Template: set.Spec.Template.DeepCopy(),
	}
	if u.Name == "" {
		u.Name = set.Name
	}
	u.Stalled, u.Trouble = standstill(set.Status.Conditions, &u)
	lockOn(&u, set.Annotations)
	return u
}

// standstill is what a workload says of its not getting on.
func standstill(conditions []metav1.Condition, u *Unit) (stalled, trouble string) {
	for _, c := range conditions {
		if c.Type != appsv1alpha1.ConditionProgressing || c.Status != metav1.ConditionFalse || !u.Observed {
			continue
		}
		if standsStill(c.Reason) {
			stalled = c.Message
		} else if !u.Paused {
			trouble = c.Message
		}
	}
	return stalled, trouble
}

// standsStill tells a workload that waits for somebody from one whose pods have trouble, which the stage sees for itself. One that is beyond its progress
// deadline is the latter: a stage has a deadline of its own, which may be longer, and the stage that repairs it, or rolls it back, begins with one.
func standsStill(reason string) bool {
	return reason == appsv1alpha1.ReasonInvalidSpec || reason == appsv1alpha1.ReasonNotInPlace || reason == appsv1alpha1.ReasonRevisionMissing
}

func (a *inPlaceSets) addPods(u *Unit, set *appsv1alpha1.InPlaceSet, pods cache.SharedIndexInformer) error {
	owned, err := podsOf(pods, set.Namespace, set.Name, set.UID)
	if err != nil {
		return err
	}
	now := a.clock.Now()
	for _, pod := range owned {
		p := podOf(pod)
		p.Revision = pod.Labels[appsv1alpha1.LabelRevision]
		p.Started = u.Observed && p.Revision == u.UpdateRevision
		p.Updated = p.Started && inplace.RunsRevision(pod, u.UpdateRevision)
		p.fill(pod, set.Spec.MinReadySeconds, now)
		u.Pods = append(u.Pods, p)
	}
	return nil
}

// Template implements Kind.
func (a *inPlaceSets) Template(ctx context.Context, s Session, u *Unit, revision string) (*corev1.PodTemplateSpec, error) {
	return templateOf(ctx, s, u, revision, "revisionHistoryLimit")
}

// Get implements Kind.
func (a *inPlaceSets) Get(ctx context.Context, s Session, member, namespace, name string) (Object, error) {
	var set *appsv1alpha1.InPlaceSet
	err := s.Do(ctx, "reading InPlaceSet "+name, func(ctx context.Context, c fleet.Clients) (err error) {
		set, err = c.Periplus.AppsV1alpha1().InPlaceSets(namespace).Get(ctx, name, metav1.GetOptions{})
		return err
	})
	if apierrors.IsNotFound(err) {
		return Object{}, fmt.Errorf("%w: InPlaceSet %s in namespace %s of member %s", ErrNotFound, name, namespace, member)
	}
	if err != nil {
		return Object{}, err
	}
	u := unitOf(member, set)
	return Object{Units: []*Unit{&u}}, nil
}

// Write implements Kind.
func (a *inPlaceSets) Write(ctx context.Context, s Session, o Object, w Write) error {
	u := o.First()
	spec := templateOps(w)
	if p, ok := w.Partitions[u.Name]; ok {
		spec = append(spec, op{"add", "/spec/updateStrategy/partition", p})
	}
	patch, err := patchOf(u, w, spec)
	if err != nil {
		return err
	}
	return s.Do(ctx, fmt.Sprintf("%s (InPlaceSet %s/%s)", w.What, u.Namespace, u.Workload), func(ctx context.Context, c fleet.Clients) error {
		_, err := c.Periplus.AppsV1alpha1().InPlaceSets(u.Namespace).Patch(ctx, u.Workload, types.JSONPatchType, patch, metav1.PatchOptions{FieldManager: fieldManager})
		return err
	})
}
