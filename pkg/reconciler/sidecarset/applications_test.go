package sidecarset

import (
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/informers"
	kubefake "k8s.io/client-go/kubernetes/fake"
	"k8s.io/utils/ptr"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/client/clientset/versioned/fake"
	"github.com/periplus-dev/periplus/pkg/client/informers/externalversions"
)

// workloadsInMemory has the informers of workloads, which nothing fills but a test.
func workloadsInMemory() *Workloads {
	k, a := informers.NewSharedInformerFactory(kubefake.NewClientset(), 0), externalversions.NewSharedInformerFactory(fake.NewSimpleClientset(), 0).Apps().V1alpha1()
	other := informers.NewSharedInformerFactory(kubefake.NewClientset(), 0)
	w := &Workloads{
		InPlaceSets: a.InPlaceSets().Informer(), CafeDeployments: a.CafeDeployments().Informer(), InPlaceSetPods: k.Core().V1().Pods().Informer(),
		ReplicaSets: k.Apps().V1().ReplicaSets().Informer(), StatefulSets: k.Apps().V1().StatefulSets().Informer(), Pods: other.Core().V1().Pods().Informer(),
	}
	w.index()
	return w
}

func named(name, uid string, owner *metav1.OwnerReference, labels map[string]string) metav1.ObjectMeta {
	m := metav1.ObjectMeta{Name: name, Namespace: "shop", UID: types.UID(uid), Labels: labels, ResourceVersion: "5"}
	if owner != nil {
		m.OwnerReferences = []metav1.OwnerReference{*owner}
	}
	return m
}

func controlledBy(kind, version, name, uid string) *metav1.OwnerReference {
	return &metav1.OwnerReference{APIVersion: version, Kind: kind, Name: name, UID: types.UID(uid), Controller: ptr.To(true)}
}

// serving since an hour.
func serving(meta metav1.ObjectMeta) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: meta, Status: corev1.PodStatus{Conditions: []corev1.PodCondition{
		{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(noon.Add(-time.Hour))},
	}}}
}

func TestTheOwnLimitOfAWorkload(t *testing.T) {
	const ours, theirs = "apps.periplus.dev/v1alpha1", "apps/v1"
	unit := map[string]string{v1alpha1.LabelCafeDeployment: "cafe", v1alpha1.LabelUnit: "dca"}
	ofSet, ofCafe := controlledBy("InPlaceSet", ours, "web", "set"), controlledBy("CafeDeployment", ours, "cafe", "cafe")
	ofReplicas := func(uid string) *metav1.OwnerReference { return controlledBy("ReplicaSet", theirs, uid, uid) }
	webLabels := map[string]string{v1alpha1.LabelInPlaceSet: "web"}
	set := &v1alpha1.InPlaceSet{ObjectMeta: named("web", "set", nil, nil), Spec: v1alpha1.InPlaceSetSpec{
		Replicas: ptr.To[int32](4), UpdateStrategy: v1alpha1.InPlaceSetUpdateStrategy{MaxUnavailable: ptr.To(intstr.FromString("50%"))},
	}}
	cafe := &v1alpha1.CafeDeployment{ObjectMeta: named("cafe", "cafe", nil, nil), Spec: v1alpha1.CafeDeploymentSpec{MinReadySeconds: 10}}
	replicas := func(uid, unitKeeps string) *appsv1.ReplicaSet {
		rs := &appsv1.ReplicaSet{ObjectMeta: named(uid, uid, ofCafe, unit), Spec: appsv1.ReplicaSetSpec{Replicas: ptr.To[int32](2)}}
		rs.Annotations = map[string]string{v1alpha1.AnnotationUnitReplicas: unitKeeps}
		return rs
	}
	down := func(pod *corev1.Pod) *corev1.Pod {
		pod.Status.Conditions[0].Status = corev1.ConditionFalse
		return pod
	}
	for _, c := range []struct {
		name string
		// sets are workloads of any kind, pods those of InPlaceSets and of CafeDeployments, and newest what the set's own informer knows of some.
		sets   []any
		pods   []*corev1.Pod
		newest []*corev1.Pod
		taken  types.UID
		pod    *corev1.Pod
		left   int32
		none   bool
		comes  time.Duration
	}{
		{
			name: "an InPlaceSet counts all of its pods, and those that are missing", sets: []any{set}, pod: serving(named("web-1", "1", ofSet, webLabels)), left: 1,
			pods: []*corev1.Pod{serving(named("web-1", "1", ofSet, webLabels)), serving(named("web-2", "2", ofSet, webLabels)), serving(named("web-3", "3", ofSet, webLabels))},
		},
		{
			name: "one that is not ready is unavailable, whatever for", sets: []any{set}, pod: serving(named("web-1", "1", ofSet, webLabels)), left: 0,
			pods: []*corev1.Pod{serving(named("web-1", "1", ofSet, webLabels)), serving(named("web-2", "2", ofSet, webLabels)), down(serving(named("web-3", "3", ofSet, webLabels)))},
		},
		{
			name: "what another takes this moment is unavailable", sets: []any{set}, pod: serving(named("web-1", "1", ofSet, webLabels)), left: 0, taken: "3",
			pods: []*corev1.Pod{serving(named("web-1", "1", ofSet, webLabels)), serving(named("web-2", "2", ofSet, webLabels)), serving(named("web-3", "3", ofSet, webLabels))},
		},
		{
			name: "what the set wrote itself counts before the workload's informer shows it", sets: []any{set}, pod: serving(named("web-1", "1", ofSet, webLabels)), left: -1,
			pods: []*corev1.Pod{serving(named("web-1", "1", ofSet, webLabels)), serving(named("web-2", "2", ofSet, webLabels))},
			newest: func() []*corev1.Pod {
				pod := down(serving(named("web-2", "2", ofSet, webLabels)))
				pod.ResourceVersion = "6"
				return []*corev1.Pod{pod}
			}(),
		},
		{name: "while an InPlaceSet was not seen, none of its pods goes", pod: serving(named("web-1", "1", ofSet, webLabels)), left: 0},
		{
			name: "an InPlaceSet by another's API has none", pod: serving(named("web-1", "1", controlledBy("InPlaceSet", "other.example/v1", "web", "set"), nil)), none: true,
		},
		{name: "a ReplicaSet by itself has none", pod: serving(named("a-1", "1", ofReplicas("a"), nil)), none: true},
		{
			name: "a unit's ReplicaSets are one, by the deployment's limit of a quarter", sets: []any{cafe, replicas("a", "8"), replicas("b", "8")}, left: 0,
			pod:  serving(named("a-1", "1", ofReplicas("a"), unit)),
			pods: []*corev1.Pod{serving(named("a-1", "1", ofReplicas("a"), unit)), serving(named("b-1", "2", ofReplicas("b"), unit)), serving(named("b-2", "3", ofReplicas("b"), unit)), serving(named("b-3", "4", ofReplicas("b"), unit)), serving(named("b-4", "5", ofReplicas("b"), unit)), serving(named("b-5", "6", ofReplicas("b"), unit))},
		},
		{
			name: "a pod that came up a moment ago is available when its deployment says so", sets: []any{cafe, replicas("a", "2")}, left: 0, comes: 4 * time.Second,
			pod: serving(named("a-1", "1", ofReplicas("a"), unit)),
			pods: []*corev1.Pod{serving(named("a-1", "1", ofReplicas("a"), unit)), func() *corev1.Pod {
				pod := serving(named("a-2", "2", ofReplicas("a"), unit))
				pod.Status.Conditions[0].LastTransitionTime = metav1.NewTime(noon.Add(-6 * time.Second))
				return pod
			}()},
		},
		{
			name: "a unit of a StatefulSet", sets: []any{cafe, &appsv1.StatefulSet{ObjectMeta: named("s", "s", ofCafe, unit), Spec: appsv1.StatefulSetSpec{Replicas: ptr.To[int32](1)}}}, left: 1,
			pod: serving(named("s-0", "1", controlledBy("StatefulSet", theirs, "s", "s"), unit)), pods: []*corev1.Pod{serving(named("s-0", "1", controlledBy("StatefulSet", theirs, "s", "s"), unit))},
		},
		{name: "while a CafeDeployment was not seen, none of its pods goes", sets: []any{replicas("a", "2")}, pod: serving(named("a-1", "1", ofReplicas("a"), unit))},
	} {
		w := workloadsInMemory()
		for _, o := range c.sets {
			var err error
			switch o.(type) {
			case *v1alpha1.InPlaceSet:
				err = w.InPlaceSets.GetIndexer().Add(o)
			case *v1alpha1.CafeDeployment:
				err = w.CafeDeployments.GetIndexer().Add(o)
			case *appsv1.ReplicaSet:
				err = w.ReplicaSets.GetIndexer().Add(o)
			default:
				err = w.StatefulSets.GetIndexer().Add(o)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		for _, pod := range c.pods {
			informer := w.Pods
			if pod.Labels[v1alpha1.LabelInPlaceSet] != "" {
				informer = w.InPlaceSetPods
			}
			if err := informer.GetIndexer().Add(pod); err != nil {
				t.Fatal(err)
			}
		}
		r := &reconciler{workloads: w, sees: map[types.UID]*seen{}}
		p := &pass{
			now: noon, workloads: map[types.UID]string{}, applications: map[string]*application{}, newest: map[types.UID]*corev1.Pod{},
			taken: func(uid types.UID) bool { return uid == c.taken },
		}
		for _, pod := range c.newest {
			p.newest[pod.UID] = pod
		}
		a := p.applications[r.workloadOf(p, c.pod)]
		switch {
		case c.none && a != nil:
			t.Errorf("%s: has %+v", c.name, a)
		case c.none:
		case a == nil:
			t.Errorf("%s: has no limit of its own", c.name)
		case a.Left() != c.left || p.comes != c.comes:
			t.Errorf("%s: %d more may go, and another pod comes in %s; want %d and %s: %s", c.name, a.Left(), p.comes, c.left, c.comes, a)
		}
	}
}
