package revision

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	kubefake "k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/overlay"
)

const byOwner = "owner"

var set = &v1alpha1.InPlaceSet{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "shop", UID: "u1"}}

func templateOf(image string) *corev1.PodTemplateSpec {
	return &corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: image}}}}
}

func newBook(objects ...runtime.Object) *Book {
	owner := func(object any) ([]string, error) {
		if ref := metav1.GetControllerOfNoCopy(object.(metav1.Object)); ref != nil { //nolint:forcetypeassert // a test's index.
			return []string{string(ref.UID)}, nil
		}
		return nil, nil
	}
	return &Book{
		Kube: kubefake.NewClientset(objects...), Known: cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{byOwner: owner}), ByOwner: byOwner,
		Written: overlay.New(clock.RealClock{}, func(*appsv1.ControllerRevision) string { return "u1" }),
		Kind:    v1alpha1.SchemeGroupVersion.WithKind("InPlaceSet"), Label: v1alpha1.LabelInPlaceSet,
	}
}

// newest revision of a template, by a pass that finds its history anew.
func newest(t *testing.T, b *Book, template *corev1.PodTemplateSpec, collisions *int32) (string, *History) {
	t.Helper()
	h, err := b.Of(set, collisions)
	if err != nil {
		t.Fatal(err)
	}
	hash, err := b.Newest(t.Context(), set, h, template)
	if err != nil {
		t.Fatal(err)
	}
	return hash, h
}

func TestATemplateThatComesBackIsTheNewestRevisionAgain(t *testing.T) {
	b := newBook()
	v1, _ := newest(t, b, templateOf("web:v1"), nil)
	v2, h := newest(t, b, templateOf("web:v2"), nil)
	if v1 == v2 || h.Number(v2) <= h.Number(v1) || len(h.Revisions) != 2 {
		t.Fatalf("revisions %s (%d) and %s (%d) of %d; want two, the second newer", v1, h.Number(v1), v2, h.Number(v2), len(h.Revisions))
	}
	back, h := newest(t, b, templateOf("web:v1"), nil)
	if back != v1 || h.Number(v1) <= h.Number(v2) || len(h.Revisions) != 2 {
		t.Errorf("the old template is revision %s number %d of %d; want %s, above %d, of two", back, h.Number(v1), len(h.Revisions), v1, h.Number(v2))
	}
	if got := h.Template(v2).Spec.Containers[0].Image; got != "web:v2" {
		t.Errorf("revision %s holds image %s", v2, got)
	}
}

func TestARevisionWhoseNameIsTakenGetsAnother(t *testing.T) {
	raw, err := Write(templateOf("web:v1"))
	if err != nil {
		t.Fatal(err)
	}
	hash := Hash(raw, nil)
	b := newBook(&appsv1.ControllerRevision{ObjectMeta: metav1.ObjectMeta{Name: "web-" + hash, Namespace: "shop", UID: "other"}, Data: runtime.RawExtension{Raw: raw}})
	got, h := newest(t, b, templateOf("web:v1"), nil)
	if got == hash || h.Collisions == nil || *h.Collisions != 1 {
		t.Errorf("revision %s with %v collisions; want another than %s, with one", got, h.Collisions, hash)
	}
	if again, _ := newest(t, b, templateOf("web:v1"), h.Collisions); again != got {
		t.Errorf("the next pass finds revision %s; want %s", again, got)
	}
}

func TestOnlyUnusedRevisionsBeyondTheLimitAreForgotten(t *testing.T) {
	b := newBook()
	var hashes []string
	for _, image := range []string{"web:v1", "web:v2", "web:v3", "web:v4"} {
		hash, _ := newest(t, b, templateOf(image), nil)
		hashes = append(hashes, hash)
	}
	h, err := b.Of(set, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Forget(t.Context(), set, h, map[string]bool{hashes[0]: true, hashes[3]: true}, 1); err != nil {
		t.Fatal(err)
	}
	left, err := b.Kube.AppsV1().ControllerRevisions("shop").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	kept := map[string]bool{}
	for i := range left.Items {
		kept[HashOf(&left.Items[i])] = true
	}
	if !kept[hashes[0]] || kept[hashes[1]] || !kept[hashes[2]] || !kept[hashes[3]] {
		t.Errorf("kept %v of %v; want all but the second", kept, hashes)
	}
}

func TestTheRevisionIsOfTheTemplateAlone(t *testing.T) {
	one := int32(1)
	a, b := Hash([]byte("template"), nil), Hash([]byte("template"), nil)
	if a != b || a == Hash([]byte("another"), nil) || a == Hash([]byte("template"), &one) {
		t.Errorf("hashes %s, %s: want the same for the same template, and another for another or after a collision", a, b)
	}
	if errs := validation.IsValidLabelValue(a); len(errs) > 0 {
		t.Errorf("revision %q is no label value: %v", a, errs)
	}
	other := &v1alpha1.InPlaceSet{ObjectMeta: metav1.ObjectMeta{Name: "api", Namespace: "shop", UID: types.UID("u2")}}
	book := newBook()
	h, err := book.Of(other, nil)
	if err != nil {
		t.Fatal(err)
	}
	of, err := book.Newest(t.Context(), other, h, templateOf("web:v1"))
	if err != nil {
		t.Fatal(err)
	}
	if same, _ := newest(t, newBook(), templateOf("web:v1"), nil); same != of {
		t.Errorf("two sets with the same template have the revisions %s and %s", of, same)
	}
}
