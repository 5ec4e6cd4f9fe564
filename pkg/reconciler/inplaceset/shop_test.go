package inplaceset

import (
	"context"
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	kubefake "k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	testclock "k8s.io/utils/clock/testing"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/client/clientset/versioned/fake"
	"github.com/periplus-dev/periplus/pkg/client/informers/externalversions"
	"github.com/periplus-dev/periplus/pkg/revision"
	"github.com/periplus-dev/periplus/pkg/taken"
)

// shop is a namespace with one set, web, whose revisions and pods are what a test says, and a clock that stands still between its passes.
type shop struct {
	t      testing.TB
	clock  *testclock.FakePassiveClock
	kube   *kubefake.Clientset
	apps   *fake.Clientset
	events *record.FakeRecorder
	parts  Parts
	pass   func(context.Context, types.NamespacedName) error
	set    *v1alpha1.InPlaceSet
	// woken, if not nil, is told which sets are enqueued.
	woken func(types.NamespacedName)
	// version is the last resource version that a pod got.
	version int
}

// shopTemplate has one container, app, with this image.
func shopTemplate(image string) corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "web"}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: image}}},
	}
}

// newShop: the revisions r1, r2, … have these templates; the last is the set's. Pods are named and numbered by the test.
func newShop(t testing.TB, replicas int32, change func(*v1alpha1.InPlaceSet), revisions []corev1.PodTemplateSpec, pods ...*corev1.Pod) *shop {
	t.Helper()
	s := &shop{t: t, clock: testclock.NewFakePassiveClock(noon), events: record.NewFakeRecorder(1000), version: 1000}
	s.set = setOf("web", "u1")
	s.set.Generation, s.set.Spec.Replicas, s.set.Status.CurrentRevision = 2, &replicas, "r1"
	s.set.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}
	s.set.Spec.Template = revisions[len(revisions)-1]
	if change != nil {
		change(s.set)
	}
	s.kube, s.apps = kubefake.NewClientset(), fake.NewSimpleClientset(s.set)
	s.start()
	s.ok(s.parts.Sets.GetIndexer().Add(s.set))
	for i := range revisions {
		raw, err := revision.Write(&revisions[i])
		s.ok(err)
		name := fmt.Sprintf("r%d", i+1)
		s.ok(s.parts.Revisions.GetIndexer().Add(&appsv1.ControllerRevision{
			ObjectMeta: metav1.ObjectMeta{
				Name: "web-" + name, Namespace: "shop", UID: types.UID(name), OwnerReferences: s.owner(),
				Labels: map[string]string{v1alpha1.LabelRevision: name, v1alpha1.LabelInPlaceSet: "web"},
			},
			Revision: int64(i + 1), Data: runtime.RawExtension{Raw: raw},
		}))
	}
	for _, pod := range pods {
		pod.OwnerReferences = s.owner()
		s.put(pod)
		s.ok(s.kube.Tracker().Add(pod))
	}
	return s
}

// start the controller, or start it anew: what it keeps in memory is lost, and its informers see what they saw.
func (s *shop) start() {
	before := s.parts
	k, p := informers.NewSharedInformerFactory(s.kube, 0), externalversions.NewSharedInformerFactory(s.apps, 0)
	s.parts = Parts{
		Kube: s.kube, Periplus: s.apps, Sets: p.Apps().V1alpha1().InPlaceSets().Informer(),
		Pods: k.Core().V1().Pods().Informer(), Revisions: k.Apps().V1().ControllerRevisions().Informer(), Slices: k.Discovery().V1().EndpointSlices().Informer(),
		Budgets: k.Policy().V1().PodDisruptionBudgets().Informer(), Clock: s.clock, Recorder: s.events, WritesAtOnce: 1,
		Taken: taken.New(),
		Enqueue: func(key types.NamespacedName) {
			if s.woken != nil {
				s.woken(key)
			}
		}, EnqueueAfter: func(types.NamespacedName, time.Duration) {},
	}
	s.pass = Wire(s.parts)
	for now, was := range map[cache.SharedIndexInformer]cache.SharedIndexInformer{s.parts.Sets: before.Sets, s.parts.Pods: before.Pods, s.parts.Revisions: before.Revisions} {
		if was == nil {
			continue
		}
		for _, object := range was.GetIndexer().List() {
			s.ok(now.GetIndexer().Add(object))
		}
	}
}

// shopPod serves, since an hour, on a revision.
func shopPod(name, revision, image string, change ...func(*corev1.Pod)) *corev1.Pod {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: "shop", UID: types.UID("uid-" + name), Generation: 1, CreationTimestamp: metav1.NewTime(noon.Add(-time.Hour)),
			Labels: map[string]string{"app": "web", v1alpha1.LabelInPlaceSet: "web", v1alpha1.LabelRevision: revision},
		},
		Spec: corev1.PodSpec{
			Containers:     []corev1.Container{{Name: "app", Image: image}},
			ReadinessGates: []corev1.PodReadinessGate{{ConditionType: v1alpha1.ReadinessGateInService}},
		},
		Status: corev1.PodStatus{
			Phase: corev1.PodRunning, ObservedGeneration: 1,
			Conditions: []corev1.PodCondition{
				{Type: v1alpha1.ReadinessGateInService, Status: corev1.ConditionTrue}, {Type: corev1.ContainersReady, Status: corev1.ConditionTrue},
				{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(noon.Add(-time.Hour))},
			},
			ContainerStatuses: []corev1.ContainerStatus{{
				Name: "app", Image: image, ImageID: image + "@sha256:1", ContainerID: "sim://" + name, Ready: true,
				State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}},
			}},
		},
	}
	for _, c := range change {
		c(pod)
	}
	return pod
}

// inBackOff: its container crashed and waits to be started again.
func inBackOff(pod *corev1.Pod) {
	up(pod)
	pod.Status.ContainerStatuses[0].State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff", Message: "back-off"}}
}

// up: its container runs and is not ready.
func up(pod *corev1.Pod) {
	for i := range pod.Status.Conditions {
		if c := &pod.Status.Conditions[i]; c.Type != v1alpha1.ReadinessGateInService {
			c.Status = corev1.ConditionFalse
		}
	}
	pod.Status.ContainerStatuses[0].Ready = false
	pod.Status.ContainerStatuses[0].State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
}

func (s *shop) owner() []metav1.OwnerReference {
	return []metav1.OwnerReference{*metav1.NewControllerRef(s.set, kind)}
}

func (s *shop) ok(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// put what the informer sees of a pod.
func (s *shop) put(pod *corev1.Pod, change ...func(*corev1.Pod)) {
	s.t.Helper()
	pod = pod.DeepCopy()
	for _, c := range change {
		c(pod)
	}
	s.version++
	pod.ResourceVersion = fmt.Sprint(s.version)
	s.ok(s.parts.Pods.GetIndexer().Update(pod))
}

// run one pass. Errors show in the status.
func (s *shop) run() {
	s.t.Helper()
	_ = s.pass(s.t.Context(), keyOf(s.set))
	now, err := s.apps.AppsV1alpha1().InPlaceSets("shop").Get(s.t.Context(), "web", metav1.GetOptions{})
	s.ok(err)
	s.set = now
	s.ok(s.parts.Sets.GetIndexer().Update(now))
}

func (s *shop) after(d time.Duration) { s.clock.SetTime(s.clock.Now().Add(d)) }

func (s *shop) condition(name string) *metav1.Condition {
	s.t.Helper()
	c := meta.FindStatusCondition(s.set.Status.Conditions, name)
	if c == nil {
		s.t.Fatalf("there is no condition %s", name)
	}
	return c
}

// writes is how many writes there were, and reads that no informer answered.
func (s *shop) writes() int { return len(s.kube.Actions()) + len(s.apps.Actions()) }

// written is how many statuses were written.
func (s *shop) written() (n int) {
	for _, action := range s.apps.Actions() {
		if action.GetVerb() == "update" && action.GetSubresource() == "status" {
			n++
		}
	}
	return n
}

// made are the revisions of the pods that were created.
func (s *shop) made() []string {
	var out []string
	for _, action := range s.kube.Actions() {
		if create, ok := action.(interface{ GetObject() runtime.Object }); ok && action.GetVerb() == "create" {
			if pod, is := create.GetObject().(*corev1.Pod); is {
				out = append(out, pod.Labels[v1alpha1.LabelRevision])
			}
		}
	}
	return out
}
