package workload

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

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

// fieldManager is the name our writes to workloads are made under: it owns the partition, and the template only of a release.
const fieldManager = "periplus-hub"

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
	for _, obj := range sets.GetStore().List() {
		set, ok := obj.(*appsv1alpha1.InPlaceSet)
		if !ok || !matches(set, ref) {
			continue
		}
		u := unitOf(member, set)
		if err := a.addPods(&u, set, pods); err != nil {
			return nil, true, err
		}
		units = append(units, u)
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

func matches(set *appsv1alpha1.InPlaceSet, ref v1alpha1.WorkloadRef) bool {
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
		Revision: set.Status.CurrentRevision, UpdateRevision: set.Status.UpdateRevision, Template: set.Spec.Template.DeepCopy(), annotated: set.Annotations != nil,
	}
	if u.Name == "" {
		u.Name = set.Name
	}
	for _, c := range set.Status.Conditions {
		if c.Type != appsv1alpha1.ConditionProgressing || c.Status != metav1.ConditionFalse || !u.Observed {
			continue
		}
		if standsStill(c.Reason) {
			u.Stalled = c.Message
		} else if !u.Paused {
			u.Trouble = c.Message
		}
	}
	if raw, ok := set.Annotations[v1alpha1.AnnotationLock]; ok {
		lock := &v1alpha1.Lock{}
		if err := json.Unmarshal([]byte(raw), lock); err != nil {
			u.LockError = fmt.Errorf("annotation %s of InPlaceSet %s in member %s cannot be read; remove it if no release moves the set: %w",
				v1alpha1.AnnotationLock, set.Name, member, err)
		} else {
			u.Lock = lock
		}
	}
	return u
}

// standsStill tells a set that waits for somebody from one whose pods have trouble, which the stage sees for itself. A set that is beyond its progress
// deadline is the latter: a stage has a deadline of its own, which may be longer, and the stage that repairs such a set, or rolls it back, begins with one.
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
		p.Available = inplace.Available(pod, set.Spec.MinReadySeconds, now)
		p.Restarts, p.Begun = inplace.RestartsSince(pod), inplace.Begun(pod)
		p.TakenOut = inplace.ClosedFor(pod) != ""
		p.Failing = isFailing(pod, p.Updated)
		if p.Ready && !p.Available {
			if at := availableAt(pod, set.Spec.MinReadySeconds); at.After(now) {
				p.AvailableAt = at
			}
		}
		u.Pods = append(u.Pods, p)
	}
	return nil
}

// Get implements Kind.
func (a *inPlaceSets) Get(ctx context.Context, s Session, member, namespace, name string) (*Unit, error) {
	var set *appsv1alpha1.InPlaceSet
	err := s.Do(ctx, "reading InPlaceSet "+name, func(ctx context.Context, c fleet.Clients) (err error) {
		set, err = c.Periplus.AppsV1alpha1().InPlaceSets(namespace).Get(ctx, name, metav1.GetOptions{})
		return err
	})
	if apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("%w: InPlaceSet %s in namespace %s of member %s", ErrNotFound, name, namespace, member)
	}
	if err != nil {
		return nil, err
	}
	u := unitOf(member, set)
	return &u, nil
}

// Write implements Kind.
func (a *inPlaceSets) Write(ctx context.Context, s Session, u *Unit, w Write) error {
	type op struct {
		Op    string `json:"op"`
		Path  string `json:"path"`
		Value any    `json:"value,omitempty"`
	}
	// Setting the resource version makes the server refuse the patch when the set has changed meanwhile.
	ops := []op{{"replace", "/metadata/resourceVersion", u.ResourceVersion}}
	if w.Template != nil {
		ops = append(ops, op{"replace", "/spec/template", w.Template})
	}
	if w.Partition != nil {
		ops = append(ops, op{"add", "/spec/updateStrategy/partition", w.Partition})
	}
	annotation := "/metadata/annotations/" + strings.ReplaceAll(v1alpha1.AnnotationLock, "/", "~1")
	switch {
	case w.Lock != nil:
		raw, err := json.Marshal(w.Lock)
		if err != nil {
			return fmt.Errorf("encoding the lock of InPlaceSet %s: %w", u.Workload, err)
		}
		if !u.annotated {
			ops = append(ops, op{"add", "/metadata/annotations", map[string]string{}})
		}
		ops = append(ops, op{"add", annotation, string(raw)})
	case w.Unlock:
		ops = append(ops, op{Op: "remove", Path: annotation})
	}
	patch, err := json.Marshal(ops)
	if err != nil {
		return fmt.Errorf("encoding a patch of InPlaceSet %s: %w", u.Workload, err)
	}
	return s.Do(ctx, fmt.Sprintf("%s (InPlaceSet %s/%s)", w.What, u.Namespace, u.Workload), func(ctx context.Context, c fleet.Clients) error {
		_, err := c.Periplus.AppsV1alpha1().InPlaceSets(u.Namespace).Patch(ctx, u.Workload, types.JSONPatchType, patch, metav1.PatchOptions{FieldManager: fieldManager})
		return err
	})
}
