package store

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
)

// Collect lets the garbage collector take one object that all owners of are gone, in the background as it does; of an object of which some are
// left, the references to those that are gone. It returns what was done, or "" if there was nothing to do.
func (s *Store) Collect() (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	alive := map[types.UID]*Object{}
	for _, o := range s.objects {
		alive[o.UID] = o
	}
	var first *Object
	for _, o := range s.objects {
		if (first == nil || o.Version < first.Version) && s.orphaned(o, alive) {
			first = o
		}
	}
	if first == nil {
		return "", nil
	}
	var left []metav1.OwnerReference
	u := unstructured.Unstructured{Object: first.fields}
	for _, ref := range u.GetOwnerReferences() {
		if owns(ref, alive[ref.UID], first) {
			left = append(left, ref)
		}
	}
	what := fmt.Sprintf("%s %s/%s", first.Kind.Kind, first.Namespace, first.Name)
	if len(left) == 0 {
		_, err := s.remove(first, &metav1.DeleteOptions{})
		return what + ": its owners are gone", err
	}
	next := unstructured.Unstructured{Object: runtime.DeepCopyJSON(first.fields)}
	next.SetOwnerReferences(left)
	_, err := s.replace(first, next.Object)
	return what + ": some of its owners are gone", err
}

// orphaned says whether the collector has something to do with an object.
func (s *Store) orphaned(o *Object, alive map[types.UID]*Object) bool {
	meta, _ := o.fields["metadata"].(map[string]any)
	if meta == nil || meta["ownerReferences"] == nil || meta["deletionTimestamp"] != nil {
		return false
	}
	u := unstructured.Unstructured{Object: o.fields}
	for _, ref := range u.GetOwnerReferences() {
		if !owns(ref, alive[ref.UID], o) {
			return true
		}
	}
	return false
}

// owns says whether an object is the one that a reference of another means. An owner in another namespace is none.
func owns(ref metav1.OwnerReference, owner, owned *Object) bool {
	return owner != nil && owner.Name == ref.Name && owner.Kind.Kind == ref.Kind && (owner.Namespace == "" || owner.Namespace == owned.Namespace)
}
