package revision

import (
	"context"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/overlay"
)

// Book keeps the ControllerRevisions of all objects of one kind.
type Book struct {
	Kube kubernetes.Interface
	// Known is the informer's index of ControllerRevisions; the index named ByOwner finds them by the UID of the object that controls them.
	Known   cache.Indexer
	ByOwner string
	// Written remembers writes, in the group of the owner's UID.
	Written *overlay.Store[*appsv1.ControllerRevision]
	// Kind of the owners; Label names the owner on a revision, for the informer's selector.
	Kind  schema.GroupVersionKind
	Label string
}

// History of one object.
type History struct {
	// Revisions by number, the oldest first.
	Revisions []*appsv1.ControllerRevision
	// Collisions is the owner's count of templates that had the hash of another; it is to be kept in the owner's status.
	Collisions *int32
	// Read reads the template of a revision; TemplateOf where nil.
	Read func(*appsv1.ControllerRevision) (*corev1.PodTemplateSpec, error)
}

// Of an object: what the API server has, as far as it is known.
func (b *Book) Of(owner metav1.Object, collisions *int32) (*History, error) {
	found, err := b.Known.ByIndex(b.ByOwner, string(owner.GetUID()))
	if err != nil {
		return nil, fmt.Errorf("listing ControllerRevisions of %s: %w", b.name(owner), err)
	}
	cached := make([]*appsv1.ControllerRevision, 0, len(found))
	for _, object := range found {
		if revision, ok := object.(*appsv1.ControllerRevision); ok {
			cached = append(cached, revision)
		}
	}
	h := &History{Revisions: slices.Clone(b.Written.Over(string(owner.GetUID()), cached)), Collisions: collisions}
	slices.SortFunc(h.Revisions, func(x, y *appsv1.ControllerRevision) int {
		if x.Revision != y.Revision {
			return int(x.Revision - y.Revision)
		}
		return strings.Compare(x.Name, y.Name)
	})
	return h, nil
}

// Template of a revision; nil if it is not in the history.
func (h *History) Template(hash string) *corev1.PodTemplateSpec {
	for _, known := range h.Revisions {
		if HashOf(known) == hash {
			if template, err := h.read(known); err == nil {
				return template
			}
		}
	}
	return nil
}

// Number of a revision, the greater the newer; 0 if it is not in the history.
func (h *History) Number(hash string) int64 {
	for _, known := range h.Revisions {
		if HashOf(known) == hash {
			return known.Revision
		}
	}
	return 0
}

func (h *History) read(revision *appsv1.ControllerRevision) (*corev1.PodTemplateSpec, error) {
	if h.Read != nil {
		return h.Read(revision)
	}
	return TemplateOf(revision)
}

// Newest returns the revision of the owner's template, which it makes where there is none, and makes the newest where it is not. Templates are compared as
// objects, not by hash: a newer Periplus may write the same template with other bytes, and must not roll the fleet for that.
func (b *Book) Newest(ctx context.Context, owner metav1.Object, h *History, template *corev1.PodTemplateSpec) (string, error) {
	newest := int64(0)
	if n := len(h.Revisions); n > 0 {
		newest = h.Revisions[n-1].Revision
	}
	for i, known := range slices.Backward(h.Revisions) {
		held, err := h.read(known)
		if err != nil || !apiequality.Semantic.DeepEqual(held, template) {
			continue
		}
		if known.Revision != newest { // a template that came back is the newest again.
			again := known.DeepCopy()
			again.Revision = newest + 1
			if again, err = b.renumber(ctx, owner, again); err != nil {
				return "", err
			}
			h.Revisions = append(slices.Delete(h.Revisions, i, i+1), again)
		}
		return HashOf(known), nil
	}
	return b.make(ctx, owner, h, template, newest+1)
}

func (b *Book) renumber(ctx context.Context, owner metav1.Object, revision *appsv1.ControllerRevision) (*appsv1.ControllerRevision, error) {
	again, err := b.Written.Write(string(owner.GetUID()), revision.Name, func() (*appsv1.ControllerRevision, error) {
		return b.Kube.AppsV1().ControllerRevisions(owner.GetNamespace()).Update(ctx, revision, metav1.UpdateOptions{})
	})
	if err != nil {
		return nil, fmt.Errorf("making ControllerRevision %s/%s the newest of %s: %w", revision.Namespace, revision.Name, b.name(owner), err)
	}
	return again, nil
}

func (b *Book) make(ctx context.Context, owner metav1.Object, h *History, template *corev1.PodTemplateSpec, number int64) (string, error) {
	raw, err := Write(template)
	if err != nil {
		return "", fmt.Errorf("%s: %w", b.name(owner), err)
	}
	hash := Hash(raw, h.Collisions)
	revision := &appsv1.ControllerRevision{
		ObjectMeta: metav1.ObjectMeta{
			Name: owner.GetName() + "-" + hash, Namespace: owner.GetNamespace(),
			Labels:          map[string]string{b.Label: owner.GetName(), v1alpha1.LabelRevision: hash},
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(owner, b.Kind)},
		},
		Data: runtime.RawExtension{Raw: raw}, Revision: number,
	}
	client := b.Kube.AppsV1().ControllerRevisions(owner.GetNamespace())
	made, err := b.Written.Write(string(owner.GetUID()), revision.Name, func() (*appsv1.ControllerRevision, error) {
		return client.Create(ctx, revision, metav1.CreateOptions{})
	})
	if apierrors.IsAlreadyExists(err) {
		made, err = client.Get(ctx, revision.Name, metav1.GetOptions{})
		if err == nil && !holds(made, owner, template) {
			// Another template, or another owner, has this hash: the next try has another.
			n := int32(1)
			if h.Collisions != nil {
				n = *h.Collisions + 1
			}
			h.Collisions = &n
			return b.make(ctx, owner, h, template, number)
		}
	}
	if err != nil {
		return "", fmt.Errorf("creating ControllerRevision %s/%s: %w", revision.Namespace, revision.Name, err)
	}
	h.Revisions = append(h.Revisions, made)
	return hash, nil
}

// holds says whether a ControllerRevision is of this owner, and of this template.
func holds(revision *appsv1.ControllerRevision, owner metav1.Object, template *corev1.PodTemplateSpec) bool {
	held, err := TemplateOf(revision)
	return err == nil && metav1.IsControlledBy(revision, owner) && apiequality.Semantic.DeepEqual(held, template)
}

// Forget deletes the oldest revisions of those that are not used, beyond limit of them.
func (b *Book) Forget(ctx context.Context, owner metav1.Object, h *History, used map[string]bool, limit int) error {
	var unused []*appsv1.ControllerRevision
	for _, revision := range h.Revisions {
		if !used[HashOf(revision)] {
			unused = append(unused, revision)
		}
	}
	for len(unused) > limit {
		old := unused[0]
		unused = unused[1:]
		err := b.Written.Delete(string(owner.GetUID()), old.DeepCopy(), func() error {
			return b.Kube.AppsV1().ControllerRevisions(old.Namespace).Delete(ctx, old.Name, metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(old.UID))})
		})
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("deleting ControllerRevision %s/%s, one more than %s keeps: %w", old.Namespace, old.Name, b.name(owner), err)
		}
	}
	return nil
}

func (b *Book) name(owner metav1.Object) string {
	return fmt.Sprintf("%s %s/%s", b.Kind.Kind, owner.GetNamespace(), owner.GetName())
}
