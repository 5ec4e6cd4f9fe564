package inplaceset

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/informers"
	kubefake "k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/record"
	testclock "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/client/clientset/versioned/fake"
	"github.com/periplus-dev/periplus/pkg/client/informers/externalversions"
)

// BenchmarkPass is one pass over a set of 5,000 pods, all changed in place before, after one of them changed: what a controller does each time that a pod gets one
// step on. `go test ./pkg/reconciler/inplaceset -run xxx -bench Pass`.
func BenchmarkPass(b *testing.B) {
	const n = 5000
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	clock := testclock.NewFakePassiveClock(now)
	template := corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "web"}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "web:v2"}, {Name: "log", Image: "log:v1"}}},
	}
	set := &v1alpha1.InPlaceSet{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "shop", UID: "u1", Generation: 2},
		Spec: v1alpha1.InPlaceSetSpec{
			Replicas: ptr.To[int32](n), Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}, Template: template,
			UpdateStrategy: v1alpha1.InPlaceSetUpdateStrategy{MaxUnavailable: ptr.To(intstr.FromString("10%"))},
		},
	}
	data := revisionData{}
	data.Spec.Template = &template
	raw, err := json.Marshal(data)
	if err != nil {
		b.Fatal(err)
	}
	owner := []metav1.OwnerReference{*metav1.NewControllerRef(set, kind)}
	revision := &appsv1.ControllerRevision{
		ObjectMeta: metav1.ObjectMeta{Name: "web-r2", Namespace: "shop", UID: "cr", Labels: map[string]string{v1alpha1.LabelRevision: "r2", v1alpha1.LabelInPlaceSet: "web"}, OwnerReferences: owner},
		Revision:   2, Data: runtime.RawExtension{Raw: raw},
	}
	kube, apps := kubefake.NewClientset(), fake.NewSimpleClientset(set)
	k, p := informers.NewSharedInformerFactory(kube, 0), externalversions.NewSharedInformerFactory(apps, 0)
	parts := Parts{
		Kube: kube, Periplus: apps, Sets: p.Apps().V1alpha1().InPlaceSets().Informer(),
		Pods: k.Core().V1().Pods().Informer(), Revisions: k.Apps().V1().ControllerRevisions().Informer(), Slices: k.Discovery().V1().EndpointSlices().Informer(),
		Budgets: k.Policy().V1().PodDisruptionBudgets().Informer(),
		Clock:   clock, Recorder: record.NewFakeRecorder(1000), WritesAtOnce: 1,
		Enqueue: func(types.NamespacedName) {}, EnqueueAfter: func(types.NamespacedName, time.Duration) {},
	}
	pass := Wire(parts)
	add := func(err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	add(parts.Sets.GetIndexer().Add(set))
	add(parts.Revisions.GetIndexer().Add(revision))
	var pods []*corev1.Pod
	for i := range n {
		pod := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{
				Name: fmt.Sprintf("web-%05d", i), Namespace: "shop", UID: types.UID(fmt.Sprintf("p%d", i)), ResourceVersion: fmt.Sprint(1000 + i), Generation: 2, OwnerReferences: owner,
				CreationTimestamp: metav1.NewTime(now.Add(-time.Hour)),
				Labels:            map[string]string{"app": "web", v1alpha1.LabelInPlaceSet: "web", v1alpha1.LabelRevision: "r2"},
				Annotations: map[string]string{v1alpha1.AnnotationUpdate: `{"holder":"InPlaceSet/web","revision":"r2","time":"2025-12-31T23:00:00Z","containers":[` +
					`{"name":"app","image":"web:v1","imageID":"web@sha256:fc48b863d71bf3b88a487165ca3252ec5ad0cae31dfb8cc8f9bb1ca6f574f19b","containerID":"containerd://a"}]}`},
			},
			Spec: template.Spec,
			Status: corev1.PodStatus{
				Phase: corev1.PodRunning, ObservedGeneration: 2, PodIP: "10.0.0.1", PodIPs: []corev1.PodIP{{IP: "10.0.0.1"}},
				Conditions: []corev1.PodCondition{
					{Type: v1alpha1.ReadinessGateInService, Status: "True"}, {Type: corev1.ContainersReady, Status: "True"},
					{Type: corev1.PodReady, Status: "True", LastTransitionTime: metav1.NewTime(now.Add(-time.Minute))},
				},
				ContainerStatuses: []corev1.ContainerStatus{
					{Name: "app", Image: "web:v2", ImageID: "web@sha256:2", ContainerID: "containerd://b", RestartCount: 1, Ready: true, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}},
					{Name: "log", Image: "log:v1", ImageID: "log@sha256:1", ContainerID: "containerd://c", Ready: true, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}},
				},
			},
		}
		pod.Spec.ReadinessGates = []corev1.PodReadinessGate{{ConditionType: v1alpha1.ReadinessGateInService}}
		pods = append(pods, pod)
		add(parts.Pods.GetIndexer().Add(pod))
	}
	// The first passes write what the set lacks.
	for range 3 {
		if err := pass(context.Background(), keyOf(set)); err != nil {
			b.Fatal(err)
		}
		now, err := apps.AppsV1alpha1().InPlaceSets("shop").Get(context.Background(), "web", metav1.GetOptions{})
		add(err)
		add(parts.Sets.GetIndexer().Update(now))
	}
	writes := len(kube.Actions()) + len(apps.Actions())
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		pod := pods[i%n].DeepCopy()
		pod.ResourceVersion = fmt.Sprint(100000 + i)
		add(parts.Pods.GetIndexer().Update(pod))
		if err := pass(context.Background(), keyOf(set)); err != nil {
			b.Fatal(err)
		}
	}
	if got := len(kube.Actions()) + len(apps.Actions()); got != writes {
		b.Fatalf("%d writes at rest", got-writes)
	}
}
