package sidecarset

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/sidecar"
)

var noon = time.Date(2025, 3, 1, 12, 0, 0, 0, time.UTC)

func plainPod(name, app string) *metav1.PartialObjectMetadata {
	return &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "shop", Labels: map[string]string{"app": app}, CreationTimestamp: metav1.NewTime(noon)}}
}

// carrier has what a set put into it, or its record of why not.
func carrier(name, record string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "shop", UID: types.UID(name), Labels: map[string]string{"app": "web"}, Annotations: map[string]string{v1alpha1.AnnotationSidecars: record}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app"}, {Name: "mesh"}}},
	}
}

func lacking(a *audit, set string) string {
	var out []string
	for name, of := range a.lacks(set) {
		out = append(out, strings.TrimPrefix(name, "shop/")+of.Why)
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func TestWhichPodsLackTheSidecarsOfASet(t *testing.T) {
	index := cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc}
	whole, plain := cache.NewIndexer(cache.MetaNamespaceKeyFunc, index), cache.NewIndexer(cache.MetaNamespaceKeyFunc, index)
	namespaces := map[string]map[string]string{"shop": {"team": "a"}}
	a := newAudit("periplus-system", func(name string) map[string]string { return namespaces[name] }, whole, plain)
	put := func(source int, pod metav1.Object) []string {
		if err := a.sources[source].Update(pod); err != nil {
			t.Fatal(err)
		}
		return a.podChanged(source, pod)
	}
	set := &v1alpha1.SidecarSet{ObjectMeta: metav1.ObjectMeta{Name: "mesh"}, Spec: v1alpha1.SidecarSetSpec{
		Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}, NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"team": "a"}},
	}}
	put(1, plainPod("before", "web"))
	put(1, plainPod("other", "api"))
	put(0, carrier("with", `{"sets":[{"set":"mesh","revision":"r1","containers":["mesh"]}]}`))
	put(0, carrier("left-out", `{"sets":[{"set":"mesh","revision":"r1","skipped":": a name clash"}]}`))
	put(0, carrier("of-another", `{"sets":[{"set":"logs","revision":"r1","containers":["mesh"]}]}`))
	a.set(set, sidecar.MatchingOf(set))
	if got := lacking(a, "mesh"); got != "before left-out: a name clash of-another" {
		t.Errorf("at first %q lack it", got)
	}
	if woken := put(1, plainPod("new", "web")); fmt.Sprint(woken) != "[mesh]" {
		t.Errorf("a new pod wakes %v", woken)
	}
	if woken := put(1, plainPod("new", "web")); len(woken) != 0 {
		t.Errorf("the same again wakes %v; want nobody", woken)
	}
	if woken := a.podGone(1, plainPod("before", "web")); fmt.Sprint(woken) != "[mesh]" || lacking(a, "mesh") != "left-out: a name clash new of-another" {
		t.Errorf("a pod that goes wakes %v and leaves %q", woken, lacking(a, "mesh"))
	}
	done := carrier("left-out", `{"sets":[{"set":"mesh","revision":"r1","skipped":": a name clash"}]}`)
	done.Status.Phase = corev1.PodSucceeded
	put(0, done)
	if got := lacking(a, "mesh"); got != "new of-another" {
		t.Errorf("after one ended %q lack it", got)
	}
	namespaces["shop"] = map[string]string{v1alpha1.LabelInject: "false", "team": "a"}
	if woken := a.namespaceChanged("shop"); fmt.Sprint(woken) != "[mesh]" || lacking(a, "mesh") != "" {
		t.Errorf("a namespace that opts out wakes %v and leaves %q", woken, lacking(a, "mesh"))
	}
	other := set.DeepCopy()
	other.Spec.Selector.MatchLabels, other.Spec.NamespaceSelector = map[string]string{"app": "api"}, nil
	namespaces["shop"] = nil
	a.set(other, sidecar.MatchingOf(other))
	if got := lacking(a, "mesh"); got != "other" {
		t.Errorf("with another selector %q lack it", got)
	}
	a.forget("mesh")
	if woken := put(1, plainPod("late", "api")); len(woken) != 0 || lacking(a, "mesh") != "" {
		t.Error("a set that is gone is audited still")
	}
}

func TestWhoWasMissedAndWhoIsOlder(t *testing.T) {
	since := metav1.NewTime(noon)
	p := &pass{set: &v1alpha1.SidecarSet{}, lacks: map[string]sidecar.Lack{
		"shop/older":    {Created: metav1.NewTime(noon.Add(-time.Hour))},
		"shop/same":     {Created: metav1.NewTime(noon)},
		"shop/missed":   {Created: metav1.NewTime(noon.Add(time.Second))},
		"shop/left-out": {Created: metav1.NewTime(noon.Add(time.Second)), Why: "container a is the application's"},
	}}
	missed, older := p.missed(&since)
	if got := strings.Join(missed, ", "); got != "shop/left-out (container a is the application's), shop/missed" || older != 2 {
		t.Errorf("missed %s, older %d", got, older)
	}
	p.set.Spec.InjectionStrategy.Paused = true
	if missed, older = p.missed(&since); len(missed) != 0 || older != 4 {
		t.Errorf("while paused missed %v, older %d; want none missed", missed, older)
	}
}

func TestSinceWhenAPodIsQuiet(t *testing.T) {
	q := &quiet{pods: map[types.UID]*silence{}}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web-1", Namespace: "shop", UID: "u1"}, Status: corev1.PodStatus{PodIP: "10.0.0.1"}}
	slice := func(ready bool) *discoveryv1.EndpointSlice {
		return &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: "shop"}, Endpoints: []discoveryv1.Endpoint{{
			Addresses: []string{"10.0.0.1"}, Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(ready), Serving: ptr.To(ready)}, TargetRef: &corev1.ObjectReference{UID: "u1"},
		}}}
	}
	q.watch("mesh", pod)
	if since := q.looked("u1", false, noon); !since.IsZero() {
		t.Errorf("a pod that is not quiet is so since %s", since)
	}
	q.looked("u1", true, noon)
	if since := q.looked("u1", true, noon.Add(time.Second)); !since.Equal(noon) {
		t.Errorf("it is quiet since %s; want since it was first seen so", since)
	}
	if woken := q.sliceChanged(slice(true)); fmt.Sprint(woken) != "[mesh]" {
		t.Errorf("a slice that lists it wakes %v", woken)
	}
	if since := q.looked("u1", true, noon.Add(2*time.Second)); !since.Equal(noon.Add(2 * time.Second)) {
		t.Errorf("after it was listed again it is quiet since %s; want the wait to begin anew", since)
	}
	q.sliceChanged(slice(false))
	if since := q.looked("u1", true, noon.Add(3*time.Second)); !since.Equal(noon.Add(2 * time.Second)) {
		t.Errorf("a slice that lists it as not ready breaks the silence: %s", since)
	}
	q.forget("u1")
	if woken := q.sliceChanged(slice(true)); len(woken) != 0 {
		t.Errorf("a pod that is not watched wakes %v", woken)
	}
}
