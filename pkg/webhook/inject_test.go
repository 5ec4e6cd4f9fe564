package webhook

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/metric/noop"
	admissionv1 "k8s.io/api/admission/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/informers"
	kubefake "k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/cache"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/client/clientset/versioned/fake"
	"github.com/periplus-dev/periplus/pkg/client/informers/externalversions"
	"github.com/periplus-dev/periplus/pkg/sidecar"
)

// synced is an informer whose cache is what a test puts there.
type synced struct{ cache.SharedIndexInformer }

func (synced) HasSynced() bool { return true }

// desk is a handler whose caches are what a test puts there.
type desk struct {
	tb        testing.TB
	handler   *handler
	kube      *kubefake.Clientset
	sets      cache.Indexer
	revisions cache.Indexer
}

func newDesk(tb testing.TB) *desk {
	tb.Helper()
	kube := kubefake.NewClientset(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "fresh", Labels: map[string]string{"team": "a"}}})
	k, p := informers.NewSharedInformerFactory(kube, 0), externalversions.NewSharedInformerFactory(fake.NewSimpleClientset(), 0)
	sets, revisions, namespaces := p.Apps().V1alpha1().SidecarSets(), k.Apps().V1().ControllerRevisions().Informer(), k.Core().V1().Namespaces()
	d := &desk{tb: tb, kube: kube, sets: sets.Informer().GetIndexer(), revisions: revisions.GetIndexer()}
	d.ok(revisions.AddIndexers(cache.Indexers{byRevision: indexByRevision}))
	d.ok(namespaces.Informer().GetIndexer().Add(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", Labels: map[string]string{"team": "a"}}}))
	measured, err := newMetrics(noop.Meter{})
	d.ok(err)
	d.handler = &handler{
		metrics:    measured,
		book:       &book{sets: sets.Lister(), revisions: revisions.GetIndexer(), system: "periplus-system", matchers: map[string]matcher{}, contents: map[string]content{}},
		namespaces: namespaces.Lister(), kube: kube, synced: func() bool { return true }, warn: func(string, ...any) {},
	}
	return d
}

func (d *desk) ok(err error) {
	d.tb.Helper()
	if err != nil {
		d.tb.Fatal(err)
	}
}

// set with one container, named like it, in these revisions; the last is injected.
func (d *desk) set(name string, images []string, change ...func(*v1alpha1.SidecarSet)) *v1alpha1.SidecarSet {
	d.tb.Helper()
	set := &v1alpha1.SidecarSet{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.SidecarSetSpec{
		Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}},
	}}
	for i, image := range images {
		set.Spec.Containers = []v1alpha1.SidecarContainer{{Container: corev1.Container{Name: name, Image: image}}}
		raw, _, err := sidecar.ContentOf(set).Encode()
		d.ok(err)
		revision := fmt.Sprintf("r%d", i+1)
		set.Status.InjectionRevision = revision
		d.ok(d.revisions.Add(&appsv1.ControllerRevision{
			ObjectMeta: metav1.ObjectMeta{
				Name: name + "-" + revision, Namespace: "periplus-system",
				Labels: map[string]string{v1alpha1.LabelSidecarSet: name, v1alpha1.LabelRevision: revision},
			},
			Data: runtime.RawExtension{Raw: raw},
		}))
	}
	for _, c := range change {
		c(set)
	}
	d.ok(d.sets.Add(set))
	return set
}

func review(tb testing.TB, namespace string, pod *corev1.Pod, change ...func(*admissionv1.AdmissionRequest)) []byte {
	tb.Helper()
	raw, err := json.Marshal(pod)
	if err != nil {
		tb.Fatal(err)
	}
	request := &admissionv1.AdmissionRequest{
		UID: "u1", Operation: admissionv1.Create, Namespace: namespace, Resource: metav1.GroupVersionResource{Version: "v1", Resource: "pods"},
		Object: runtime.RawExtension{Raw: raw},
	}
	for _, c := range change {
		c(request)
	}
	body, err := json.Marshal(&admissionv1.AdmissionReview{TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"}, Request: request})
	if err != nil {
		tb.Fatal(err)
	}
	return body
}

func webPod() *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "web-", Labels: map[string]string{"app": "web"}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "web:v1"}}},
	}
}

// ask over HTTP.
func (d *desk) ask(body []byte) (int, *admissionv1.AdmissionResponse) {
	d.tb.Helper()
	w := httptest.NewRecorder()
	d.handler.routes().ServeHTTP(w, httptest.NewRequest(http.MethodPost, InjectPath, bytes.NewReader(body)))
	var out admissionv1.AdmissionReview
	if w.Code == http.StatusOK {
		d.ok(json.Unmarshal(w.Body.Bytes(), &out))
	}
	return w.Code, out.Response
}

func TestWhatTheAPIServerIsAnswered(t *testing.T) {
	for _, c := range []struct {
		name      string
		change    func(*v1alpha1.SidecarSet)
		namespace string
		request   func(*admissionv1.AdmissionRequest)
		patch     string // what the patch holds; "" for none.
		warning   string
	}{
		{name: "a pod that a set means gets its sidecar, of the revision that status names", patch: `"image":"mesh:v2"`},
		{name: "a dry run is answered like any other", request: func(r *admissionv1.AdmissionRequest) { r.DryRun = new(bool); *r.DryRun = true }, patch: `"image":"mesh:v2"`},
		{name: "a pinned revision comes before that", change: func(s *v1alpha1.SidecarSet) { s.Spec.InjectionStrategy.Revision = "r1" }, patch: `"image":"mesh:v1"`},
		{name: "a pinned revision that is not known puts nothing in, and says so", change: func(s *v1alpha1.SidecarSet) { s.Spec.InjectionStrategy.Revision = "gone" },
			patch: `"value":"skipped"`, warning: "SidecarSet mesh puts nothing into this pod: its revision gone is not known"},
		{name: "a set whose spec was not accepted yet puts nothing in", change: func(s *v1alpha1.SidecarSet) { s.Status.InjectionRevision = "" }, patch: "skipped", warning: "no revision yet"},
		{name: "a set whose injection is paused puts nothing in", change: func(s *v1alpha1.SidecarSet) { s.Spec.InjectionStrategy.Paused = true }},
		{name: "nor does one that is being deleted", change: func(s *v1alpha1.SidecarSet) { now := metav1.NewTime(noon); s.DeletionTimestamp = &now }},
		{name: "nor one whose selector cannot be read", change: func(s *v1alpha1.SidecarSet) {
			s.Spec.Selector = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "Like"}}}
		}},
		{name: "a namespace that the cache does not have yet is asked for", namespace: "fresh", patch: `"image":"mesh:v2"`,
			change: func(s *v1alpha1.SidecarSet) {
				s.Spec.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"team": "a"}}
			}},
		{name: "a namespace that there is not keeps no pod from being created", namespace: "gone", warning: "Periplus puts no sidecars into this pod: reading namespace gone"},
		{name: "a pod that cannot be read is allowed", request: func(r *admissionv1.AdmissionRequest) { r.Object.Raw = []byte(`{"spec":7}`) }, warning: "reading the pod"},
		{name: "an update is none of ours", request: func(r *admissionv1.AdmissionRequest) { r.Operation = admissionv1.Update }},
		{name: "a subresource is none of ours", request: func(r *admissionv1.AdmissionRequest) { r.SubResource = "eviction" }},
	} {
		d := newDesk(t)
		var changes []func(*v1alpha1.SidecarSet)
		if c.change != nil {
			changes = append(changes, c.change)
		}
		d.set("mesh", []string{"mesh:v1", "mesh:v2"}, changes...)
		namespace := c.namespace
		if namespace == "" {
			namespace = "shop"
		}
		var of []func(*admissionv1.AdmissionRequest)
		if c.request != nil {
			of = append(of, c.request)
		}
		code, r := d.ask(review(t, namespace, webPod(), of...))
		if code != http.StatusOK || !r.Allowed || r.UID != "u1" {
			t.Errorf("%s: answered %d %+v; want every pod allowed", c.name, code, r)
			continue
		}
		if !strings.Contains(string(r.Patch), c.patch) || c.patch == "" && len(r.Patch) > 0 {
			t.Errorf("%s: the patch is %s; want %q", c.name, r.Patch, c.patch)
		}
		if got := strings.Join(r.Warnings, "; "); !strings.Contains(got, c.warning) || c.warning == "" && got != "" {
			t.Errorf("%s: warned %q; want %q", c.name, got, c.warning)
		}
		for _, a := range d.kube.Actions() {
			if a.GetVerb() != "get" {
				t.Errorf("%s: wrote %s %s", c.name, a.GetVerb(), a.GetResource().Resource)
			}
		}
	}
}

func TestARequestThatIsNoneIsRefusedAndTheNextIsAnswered(t *testing.T) {
	d := newDesk(t)
	d.set("mesh", []string{"mesh:v1"})
	for _, body := range []string{"", "{", `{"kind":"AdmissionReview"}`} {
		if code, _ := d.ask([]byte(body)); code != http.StatusBadRequest {
			t.Errorf("%q is answered %d; want 400", body, code)
		}
	}
	if code, r := d.ask(review(t, "shop", webPod())); code != http.StatusOK || len(r.Patch) == 0 {
		t.Errorf("after that a pod is answered %d %+v", code, r)
	}
	d.handler.synced = func() bool { return false }
	if code, _ := d.ask(review(t, "shop", webPod())); code != http.StatusServiceUnavailable {
		t.Errorf("before the caches are filled a pod is answered %d; want 503, which the API server passes over", code)
	}
}

func TestASetThatChangesIsReadAnew(t *testing.T) {
	d := newDesk(t)
	set := d.set("mesh", []string{"mesh:v1"})
	d.ask(review(t, "shop", webPod()))
	other := set.DeepCopy()
	other.Spec.Selector.MatchLabels = map[string]string{"app": "api"}
	d.ok(d.sets.Update(other))
	if _, r := d.ask(review(t, "shop", webPod())); len(r.Patch) > 0 {
		t.Error("a pod that the set means no more still gets its sidecar")
	}
	d.handler.book.forget("mesh")
	if len(d.handler.book.matchers)+len(d.handler.book.contents) > 0 {
		t.Error("something is kept of a set that is gone")
	}
}

// BenchmarkInjection is one request with 20 sets that all mean the pod and put two containers and a volume in; p99 is said beside the mean.
func BenchmarkInjection(b *testing.B) {
	for _, matching := range []int{1, 20} {
		b.Run(fmt.Sprintf("20 sets, %d of them mean the pod", matching), func(b *testing.B) {
			d := newDesk(b)
			for i := range 20 {
				d.set(fmt.Sprintf("set-%02d", i), []string{"sidecar:v1"}, func(s *v1alpha1.SidecarSet) {
					if i >= matching {
						s.Spec.Selector.MatchLabels = map[string]string{"app": fmt.Sprint("other-", i)}
					}
				})
			}
			pod := webPod()
			for i := range 20 {
				pod.Spec.Containers[0].Env = append(pod.Spec.Containers[0].Env, corev1.EnvVar{Name: fmt.Sprint("V", i), Value: "some value of an application"})
			}
			body := review(b, "shop", pod)
			routes := d.handler.routes()
			took := make([]time.Duration, 0, b.N)
			for b.Loop() {
				began := time.Now()
				w := httptest.NewRecorder()
				routes.ServeHTTP(w, httptest.NewRequest(http.MethodPost, InjectPath, bytes.NewReader(body)))
				took = append(took, time.Since(began))
				if w.Code != http.StatusOK {
					b.Fatal(w.Code)
				}
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
		})
	}
}
