package cafedeployment

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/informers"
	kubefake "k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	testclock "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/client/clientset/versioned/fake"
	"github.com/periplus-dev/periplus/pkg/client/informers/externalversions"
	"github.com/periplus-dev/periplus/pkg/overlay"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// shop is a namespace with one deployment, web. Passes are made by run; between them the test plays the pod sets' controllers (obey), and the informers see all
// that was written.
type shop struct {
	t      *testing.T
	clock  *testclock.FakePassiveClock
	kube   *kubefake.Clientset
	apps   *fake.Clientset
	events *record.FakeRecorder
	parts  Parts
	pass   func(context.Context, types.NamespacedName) error
	pods   map[string]*corev1.Pod
	made   int
	// held is the template on which a set makes pods that are held back.
	held map[string]*corev1.PodTemplateSpec
	// broken images never become ready.
	broken map[string]bool
}

func newShop(t *testing.T, change ...func(*v1alpha1.CafeDeployment)) *shop {
	t.Helper()
	s := &shop{t: t, clock: testclock.NewFakePassiveClock(noon), events: record.NewFakeRecorder(10000), pods: map[string]*corev1.Pod{}, broken: map[string]bool{}, held: map[string]*corev1.PodTemplateSpec{}}
	d := &v1alpha1.CafeDeployment{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "shop", UID: "u1", Generation: 1, ResourceVersion: "1"},
		Spec: v1alpha1.CafeDeploymentSpec{
			Replicas: ptr.To[int32](10), PodSetType: v1alpha1.PodSetInPlaceSet, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "web"}},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "web:v1"}}},
			},
			Strategy: v1alpha1.CafeDeploymentStrategy{UpgradeType: v1alpha1.UpgradeBeta, BatchSize: ptr.To(intstr.FromInt32(4))},
			Topology: v1alpha1.CafeDeploymentTopology{UnitType: v1alpha1.UnitDataCenter, NodeLabelKey: "dc", Values: []string{"dca", "dcb"}},
		},
	}
	for _, c := range change {
		c(d)
	}
	s.kube, s.apps = kubefake.NewClientset(), fake.NewSimpleClientset(d)
	s.kube.PrependReactor("create", "*", s.withUID)
	s.apps.PrependReactor("create", "*", s.withUID)
	s.start()
	return s
}

// withUID does what the API server does.
func (s *shop) withUID(action clienttesting.Action) (bool, runtime.Object, error) {
	if create, ok := action.(clienttesting.CreateAction); ok {
		if o, ok := create.GetObject().(metav1.Object); ok {
			s.made++
			o.SetUID(types.UID(fmt.Sprint("uid-", s.made)))
		}
	}
	return false, nil, nil
}

// start the controller, or start it anew: what it keeps in memory is lost.
func (s *shop) start() {
	k, p := informers.NewSharedInformerFactory(s.kube, 0), externalversions.NewSharedInformerFactory(s.apps, 0)
	s.parts = Parts{
		Kube: s.kube, Periplus: s.apps, Deployments: p.Apps().V1alpha1().CafeDeployments().Informer(), InPlaceSets: p.Apps().V1alpha1().InPlaceSets().Informer(),
		ReplicaSets: k.Apps().V1().ReplicaSets().Informer(), StatefulSets: k.Apps().V1().StatefulSets().Informer(), Revisions: k.Apps().V1().ControllerRevisions().Informer(),
		Pods: []cache.SharedIndexInformer{k.Core().V1().Pods().Informer()}, Clock: s.clock, Recorder: s.events,
		Enqueue: func(types.NamespacedName) {}, EnqueueAfter: func(types.NamespacedName, time.Duration) {},
	}
	s.pass = Wire(s.parts)
}

func (s *shop) ok(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *shop) get() *v1alpha1.CafeDeployment {
	s.t.Helper()
	d, err := s.apps.AppsV1alpha1().CafeDeployments("shop").Get(s.t.Context(), "web", metav1.GetOptions{})
	s.ok(err)
	return d
}

// edit the deployment as a user does.
func (s *shop) edit(change func(*v1alpha1.CafeDeployment)) {
	s.t.Helper()
	d := s.get()
	before := d.Spec.DeepCopy()
	change(d)
	if fmt.Sprint(*before) != fmt.Sprint(d.Spec) || !slices.Equal(before.Topology.Values, d.Spec.Topology.Values) {
		d.Generation++
	}
	_, err := s.apps.AppsV1alpha1().CafeDeployments("shop").Update(s.t.Context(), d, metav1.UpdateOptions{})
	s.ok(err)
}

func (s *shop) image(image string) {
	s.t.Helper()
	s.edit(func(d *v1alpha1.CafeDeployment) {
		d.Spec.Template.Spec.Containers[0].Image = image
		d.Generation++
	})
}

// run one pass, with informers that have seen everything.
func (s *shop) run() {
	s.t.Helper()
	s.sync()
	s.ok(s.pass(s.t.Context(), types.NamespacedName{Namespace: "shop", Name: "web"}))
	s.clock.SetTime(s.clock.Now().Add(overlay.DoubtAfter + time.Second)) // what was deleted is asked about: no events tell of it here.
}

func (s *shop) sync() {
	s.t.Helper()
	fill := func(indexer cache.Indexer, objects []any) { s.ok(indexer.Replace(objects, "")) }
	ctx, all := s.t.Context(), metav1.ListOptions{}
	deployments, err := s.apps.AppsV1alpha1().CafeDeployments("shop").List(ctx, all)
	s.ok(err)
	fill(s.parts.Deployments.GetIndexer(), pointers(deployments.Items))
	ips, err := s.apps.AppsV1alpha1().InPlaceSets("shop").List(ctx, all)
	s.ok(err)
	fill(s.parts.InPlaceSets.GetIndexer(), pointers(ips.Items))
	rs, err := s.kube.AppsV1().ReplicaSets("shop").List(ctx, all)
	s.ok(err)
	fill(s.parts.ReplicaSets.GetIndexer(), pointers(rs.Items))
	sts, err := s.kube.AppsV1().StatefulSets("shop").List(ctx, all)
	s.ok(err)
	fill(s.parts.StatefulSets.GetIndexer(), pointers(sts.Items))
	revisions, err := s.kube.AppsV1().ControllerRevisions("shop").List(ctx, all)
	s.ok(err)
	fill(s.parts.Revisions.GetIndexer(), pointers(revisions.Items))
	var pods []any
	for _, pod := range s.pods {
		pods = append(pods, pod)
	}
	fill(s.parts.Pods[0].GetIndexer(), pods)
}

func pointers[T any](items []T) []any {
	out := make([]any, len(items))
	for i := range items {
		out[i] = &items[i]
	}
	return out
}

// obey plays the controllers of pod sets, to the end: pods are as many as each set keeps, those above the partition are of its template, and all are available
// but those of broken images.
func (s *shop) obey() {
	s.t.Helper()
	ctx, all := s.t.Context(), metav1.ListOptions{}
	ips, err := s.apps.AppsV1alpha1().InPlaceSets("shop").List(ctx, all)
	s.ok(err)
	for i := range ips.Items {
		set := &ips.Items[i]
		partition := set.Spec.UpdateStrategy.Partition
		stay := int(*set.Spec.Replicas)
		if partition.Type == intstr.Int {
			stay = partition.IntValue()
		}
		s.keep(set, "InPlaceSet", &set.Spec.Template, int(*set.Spec.Replicas), stay)
		set.Status.ObservedGeneration, set.Status.UpdateRevision = set.Generation, "seen"
		_, err := s.apps.AppsV1alpha1().InPlaceSets("shop").UpdateStatus(ctx, set, metav1.UpdateOptions{})
		s.ok(err)
	}
	rs, err := s.kube.AppsV1().ReplicaSets("shop").List(ctx, all)
	s.ok(err)
	for i := range rs.Items {
		s.keep(&rs.Items[i], "ReplicaSet", &rs.Items[i].Spec.Template, int(*rs.Items[i].Spec.Replicas), 0)
	}
	sts, err := s.kube.AppsV1().StatefulSets("shop").List(ctx, all)
	s.ok(err)
	for i := range sts.Items {
		set := &sts.Items[i]
		s.keep(set, "StatefulSet", &set.Spec.Template, int(*set.Spec.Replicas), int(*set.Spec.UpdateStrategy.RollingUpdate.Partition))
		set.Status.ObservedGeneration, set.Status.UpdateRevision = set.Generation, "seen"
		_, err := s.kube.AppsV1().StatefulSets("shop").UpdateStatus(ctx, set, metav1.UpdateOptions{})
		s.ok(err)
	}
	for name, pod := range s.pods {
		if ref := metav1.GetControllerOf(pod); !s.lives(ref) {
			delete(s.pods, name)
		}
	}
}

func (s *shop) lives(ref *metav1.OwnerReference) bool {
	var err error
	switch ref.Kind {
	case "InPlaceSet":
		_, err = s.apps.AppsV1alpha1().InPlaceSets("shop").Get(s.t.Context(), ref.Name, metav1.GetOptions{})
	case "ReplicaSet":
		_, err = s.kube.AppsV1().ReplicaSets("shop").Get(s.t.Context(), ref.Name, metav1.GetOptions{})
	default:
		_, err = s.kube.AppsV1().StatefulSets("shop").Get(s.t.Context(), ref.Name, metav1.GetOptions{})
	}
	return err == nil
}

// keep n pods of a set, those with numbers from stay on of its template.
func (s *shop) keep(set metav1.Object, kind string, template *corev1.PodTemplateSpec, n, stay int) {
	for i := range 100 {
		name := fmt.Sprintf("%s-%d", set.GetName(), i)
		if i >= n {
			delete(s.pods, name)
			continue
		}
		if s.pods[name] != nil && i < stay {
			continue
		}
		if was := s.pods[name]; was != nil && revisionOf(template) == was.Labels[v1alpha1.LabelCafeRevision] {
			continue
		}
		if i < stay && s.held[set.GetName()] != nil {
			s.make(set, kind, s.held[set.GetName()], name)
			continue
		}
		s.make(set, kind, template, name)
	}
	if stay == 0 || s.held[set.GetName()] == nil {
		s.held[set.GetName()] = template
	}
}

func (s *shop) make(set metav1.Object, kind string, template *corev1.PodTemplateSpec, name string) {
	s.made++
	pod := &corev1.Pod{ObjectMeta: *template.ObjectMeta.DeepCopy(), Spec: template.Spec}
	pod.Name, pod.Namespace, pod.UID, pod.ResourceVersion = name, "shop", types.UID(fmt.Sprint("pod-", s.made)), fmt.Sprint(s.made)
	pod.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: kind, Name: set.GetName(), UID: set.GetUID(), Controller: ptr.To(true)}}
	if !s.broken[pod.Spec.Containers[0].Image] {
		pod.Status = corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(noon.Add(-time.Hour))}}}
	} else {
		pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "app", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: "no such image"}}}}
	}
	s.pods[name] = pod
}

// settle runs passes, and the pod sets' controllers after each, until nothing is written any more, and returns the numbers of pods on an image on the way.
func (s *shop) settle(image string) (seen []int) {
	s.t.Helper()
	quiet := 0
	for range 200 {
		before := s.writes()
		s.run()
		s.obey()
		if n := s.on(image); len(seen) == 0 && n > 0 || len(seen) > 0 && seen[len(seen)-1] != n {
			seen = append(seen, n)
		}
		if quiet++; s.writes() != before {
			quiet = 0
		}
		if quiet == 3 {
			return seen
		}
	}
	s.t.Fatalf("passes write for ever: %s", s.progress())
	return nil
}

// writes of the controller: obey only writes status of pod sets.
func (s *shop) writes() (n int) {
	for _, a := range slices.Concat(s.apps.Actions(), s.kube.Actions()) {
		set := a.GetResource().Resource == "inplacesets" || a.GetResource().Resource == "statefulsets"
		if a.GetVerb() != "get" && a.GetVerb() != "list" && a.GetVerb() != "watch" && (a.GetSubresource() != "status" || !set) {
			n++
		}
	}
	return n
}

// on counts pods of an image.
func (s *shop) on(image string) (n int) {
	for _, pod := range s.pods {
		if pod.Spec.Containers[0].Image == image {
			n++
		}
	}
	return n
}

// spread says how many pods each unit has.
func (s *shop) spread() string {
	count := map[string]int{}
	for _, pod := range s.pods {
		count[pod.Labels[v1alpha1.LabelUnit]]++
	}
	var parts []string
	for unit, n := range count {
		parts = append(parts, fmt.Sprintf("%s=%d", unit, n))
	}
	slices.Sort(parts)
	return strings.Join(parts, " ")
}

func (s *shop) progress() string { return s.condition(v1alpha1.ConditionProgressing) }

func (s *shop) condition(name string) string {
	s.t.Helper()
	c := meta.FindStatusCondition(s.get().Status.Conditions, name)
	if c == nil {
		return "none"
	}
	return c.Reason + ": " + c.Message
}
