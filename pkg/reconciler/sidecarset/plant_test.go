package sidecarset

import (
	"context"
	"errors"
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
	"sigs.k8s.io/yaml"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	stages "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/client/clientset/versioned/fake"
	"github.com/periplus-dev/periplus/pkg/client/informers/externalversions"
	"github.com/periplus-dev/periplus/pkg/inplace"
	"github.com/periplus-dev/periplus/pkg/plan"
	"github.com/periplus-dev/periplus/pkg/sidecar"
)

// plant is a namespace, shop, with one set, mesh, and its pods, a kubelet that acts when a test says so, and a controller that can be killed at any write.
type plant struct {
	tb    testing.TB
	clock *testclock.FakePassiveClock
	kube  *kubefake.Clientset
	apps  *fake.Clientset
	parts Parts
	pass  func(context.Context, types.NamespacedName) error

	// writes so far; killAt is the one at which the controller dies, and landed says whether that one still arrives.
	writes, killAt int
	landed, killed bool
	ids            int
}

// errKilled is what a controller sees of a write that it dies at: nothing, but it does not go on either.
var errKilled = errors.New("the controller was killed")

func newPlant(tb testing.TB, pods int, strategy string) *plant {
	tb.Helper()
	p := &plant{tb: tb, clock: testclock.NewFakePassiveClock(noon), killAt: -1}
	set := &v1alpha1.SidecarSet{ObjectMeta: metav1.ObjectMeta{Name: "mesh", UID: "mesh", Generation: 1, CreationTimestamp: metav1.NewTime(noon.Add(-time.Hour))}}
	text := `{selector: {matchLabels: {app: web}}, containers: [{name: mesh, image: "mesh:v1"}], updateStrategy: ` + strategy + `}`
	p.ok(yaml.UnmarshalStrict([]byte(text), &set.Spec))
	content := sidecar.ContentOf(set)
	_, hash, err := content.Encode()
	p.ok(err)
	p.kube, p.apps = kubefake.NewClientset(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}), fake.NewSimpleClientset(set)
	for i := range pods {
		pod := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("web-%04d", i), Namespace: "shop", UID: types.UID(fmt.Sprint("u", i)), Generation: 1, CreationTimestamp: metav1.NewTime(noon), Labels: map[string]string{"app": "web"}},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "web:v1"}}},
		}
		a := sidecar.Inject(pod, []sidecar.Want{{Set: "mesh", Revision: hash, Content: &content, Gate: set.Spec.UpdateStrategy.Drain}})
		patched(tb, pod, &a)
		p.ok(p.kube.Tracker().Add(pod))
	}
	for _, reactors := range []*clienttesting.Fake{&p.kube.Fake, &p.apps.Fake} {
		reactors.PrependReactor("*", "*", func(action clienttesting.Action) (bool, runtime.Object, error) { return p.write(action) })
	}
	p.start()
	p.kubelet()
	return p
}

// patched makes an addition to a pod in memory.
func patched(tb testing.TB, pod *corev1.Pod, a *sidecar.Addition) {
	tb.Helper()
	pod.Spec.Containers = append(pod.Spec.Containers, a.Containers...)
	for key, value := range a.Record.Labels() {
		pod.Labels[key] = value
	}
	if a.Gate {
		pod.Spec.ReadinessGates = []corev1.PodReadinessGate{{ConditionType: v1alpha1.ReadinessGateInService}}
	}
	text, err := yaml.Marshal(a.Record)
	if err == nil {
		text, err = yaml.YAMLToJSON(text)
	}
	if err != nil {
		tb.Fatal(err)
	}
	pod.Annotations = map[string]string{v1alpha1.AnnotationSidecars: string(text)}
}

func (p *plant) ok(err error) {
	p.tb.Helper()
	if err != nil {
		p.tb.Fatal(err)
	}
}

// write decides what becomes of a request of the controller.
func (p *plant) write(action clienttesting.Action) (bool, runtime.Object, error) {
	if create, ok := action.(clienttesting.CreateActionImpl); ok && len(create.CreateOptions.DryRun) > 0 {
		return true, create.Object, nil
	}
	if slices.Contains([]string{"get", "list", "watch"}, action.GetVerb()) {
		return false, nil, nil
	}
	if p.killed {
		return true, nil, errKilled
	}
	p.writes++
	if p.writes != p.killAt {
		return false, nil, nil
	}
	p.killed = true
	if p.landed {
		tracker := p.kube.Tracker()
		if action.GetResource().Group == "apps.periplus.dev" {
			tracker = p.apps.Tracker()
		}
		_, _, _ = clienttesting.ObjectReaction(tracker)(action)
	}
	return true, nil, errKilled
}

// start the controller, with nothing in memory.
func (p *plant) start() {
	k, a := informers.NewSharedInformerFactory(p.kube, 0), externalversions.NewSharedInformerFactory(p.apps, 0)
	others := informers.NewSharedInformerFactory(p.kube, 0).Core().V1().Pods().Informer()
	p.parts = Parts{
		Kube: p.kube, Periplus: p.apps, System: "periplus-system", Pods: k.Core().V1().Pods().Informer(), Others: others, Begin: func() {},
		Sets: a.Apps().V1alpha1().SidecarSets().Informer(), Revisions: k.Apps().V1().ControllerRevisions().Informer(), Slices: k.Discovery().V1().EndpointSlices().Informer(),
		Budgets: k.Policy().V1().PodDisruptionBudgets().Informer(), Ns: k.Core().V1().Namespaces().Informer(),
		Clock: p.clock, Recorder: record.NewFakeRecorder(10000), WritesAtOnce: 1, Enqueue: func(string) {}, EnqueueAfter: func(string, time.Duration) {},
	}
	p.pass = Wire(p.parts)
	p.killed = false
}

// see fills the caches with what the API server has.
func (p *plant) see() {
	p.tb.Helper()
	for informer, resource := range map[cache.SharedIndexInformer]string{p.parts.Pods: "pods", p.parts.Revisions: "controllerrevisions", p.parts.Ns: "namespaces"} {
		var list runtime.Object
		var err error
		switch resource {
		case "pods":
			list, err = p.kube.CoreV1().Pods("").List(context.Background(), metav1.ListOptions{})
		case "namespaces":
			list, err = p.kube.CoreV1().Namespaces().List(context.Background(), metav1.ListOptions{})
		default:
			list, err = p.kube.AppsV1().ControllerRevisions("").List(context.Background(), metav1.ListOptions{})
		}
		p.ok(err)
		p.replace(informer, list)
	}
	sets, err := p.apps.AppsV1alpha1().SidecarSets().List(context.Background(), metav1.ListOptions{})
	p.ok(err)
	p.replace(p.parts.Sets, sets)
}

func (p *plant) replace(informer cache.SharedIndexInformer, list runtime.Object) {
	p.tb.Helper()
	objects, err := meta.ExtractList(list)
	p.ok(err)
	all := make([]any, 0, len(objects))
	for _, object := range objects {
		all = append(all, object)
	}
	p.ok(informer.GetIndexer().Replace(all, ""))
}

func (p *plant) run() {
	p.tb.Helper()
	p.see()
	_ = p.pass(context.Background(), types.NamespacedName{Name: "mesh"}) // what failed is seen in the end.
	if p.killed {
		p.start()
	}
}

func (p *plant) set() *v1alpha1.SidecarSet {
	p.tb.Helper()
	set, err := p.apps.AppsV1alpha1().SidecarSets().Get(context.Background(), "mesh", metav1.GetOptions{})
	p.ok(err)
	return set
}

// image of the sidecar, as the user writes it.
func (p *plant) image(tag string) {
	p.tb.Helper()
	set := p.set()
	set.Generation++
	set.Spec.Containers[0].Image = "mesh:" + tag
	p.ok(p.apps.Tracker().Update(v1alpha1.SchemeGroupVersion.WithResource("sidecarsets"), set, ""))
}

func (p *plant) pods() []*corev1.Pod {
	p.tb.Helper()
	l, err := p.kube.CoreV1().Pods("shop").List(context.Background(), metav1.ListOptions{})
	p.ok(err)
	out := make([]*corev1.Pod, 0, len(l.Items))
	for i := range l.Items {
		out = append(out, &l.Items[i])
	}
	return out
}

// kubelet makes of every pod what its spec says. Gates that were never closed are open: gates.go has tests of its own.
func (p *plant) kubelet() {
	p.tb.Helper()
	for _, pod := range p.pods() {
		pod.Generation++ // nobody counts it here; a kubelet that observed more than there is does no harm.
		pod.Status.ObservedGeneration = pod.Generation
		statuses := make([]corev1.ContainerStatus, 0, len(pod.Spec.Containers))
		for i, c := range pod.Spec.Containers {
			s := corev1.ContainerStatus{Name: c.Name}
			if i < len(pod.Status.ContainerStatuses) {
				s = pod.Status.ContainerStatuses[i]
			}
			if s.Image != c.Image {
				p.ids++
				s = corev1.ContainerStatus{
					Name: c.Name, Image: c.Image, ImageID: c.Image + "@sha256:1", ContainerID: fmt.Sprint("sim://", p.ids), Ready: true,
					State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}},
				}
			}
			statuses = append(statuses, s)
		}
		gate := corev1.PodCondition{Type: v1alpha1.ReadinessGateInService, Status: corev1.ConditionTrue}
		for _, c := range pod.Status.Conditions {
			if c.Type == gate.Type {
				gate = c
			}
		}
		serves := len(pod.Spec.ReadinessGates) == 0 || gate.Status == corev1.ConditionTrue
		ready := corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionFalse}
		if serves {
			ready.Status = corev1.ConditionTrue
		}
		pod.Status.ContainerStatuses = statuses
		pod.Status.Conditions = []corev1.PodCondition{gate, {Type: corev1.ContainersReady, Status: corev1.ConditionTrue}, ready}
		p.ok(p.kube.Tracker().Update(corev1.SchemeGroupVersion.WithResource("pods"), pod, pod.Namespace))
	}
}

func (p *plant) reason() string {
	p.tb.Helper()
	if c := meta.FindStatusCondition(p.set().Status.Conditions, v1alpha1.ConditionProgressing); c != nil {
		return c.Reason
	}
	return ""
}

// unavailable counts pods that do not serve, or are being changed.
func (p *plant) unavailable() (n int) {
	for _, pod := range p.pods() {
		if !inplace.Available(pod, 0, p.clock.Now()) {
			n++
		}
	}
	return n
}

// settle runs the plant until the set says that it is complete, and checks at every step that no more pods than may be are unavailable.
func (p *plant) settle(most int, story string) {
	p.tb.Helper()
	for range 200 {
		p.run()
		if n := p.unavailable(); n > most {
			p.tb.Fatalf("%s: %d pods are unavailable; want at most %d", story, n, most)
		}
		p.kubelet()
		p.clock.SetTime(p.clock.Now().Add(2 * time.Second))
		set := p.set()
		if p.reason() == ReasonComplete && set.Status.ObservedGeneration == set.Generation && set.Status.Updated == set.Status.Injected && set.Status.Injected == int32(len(p.pods())) {
			return
		}
	}
	p.tb.Fatalf("%s: it does not come to its end: %+v", story, p.set().Status)
}

func TestAControllerThatIsKilledAtAnyWriteIsCarriedOn(t *testing.T) {
	for _, strategy := range []string{`{maxUnavailable: 1}`, `{maxUnavailable: 1, drain: true, gracePeriodSeconds: 2}`} {
		for _, landed := range []bool{true, false} {
			for at := 1; ; at++ {
				p := newPlant(t, 3, strategy)
				p.settle(1, "at first")
				p.writes, p.killAt, p.landed = 0, at, landed
				apps := appIDs(p)
				p.image("v2")
				story := fmt.Sprintf("%s, killed at write %d, which landed: %t", strategy, at, landed)
				p.settle(1, story)
				for _, pod := range p.pods() {
					look := inplace.LookAt(pod)
					if pod.Spec.Containers[1].Image != "mesh:v2" || !look.Idle || look.HasBegun(sidecar.Holder("mesh")) || pod.Annotations[v1alpha1.AnnotationHolder] != "" {
						t.Fatalf("%s: pod %s runs %s and is left %+v", story, pod.Name, pod.Spec.Containers[1].Image, look)
					}
				}
				if now := appIDs(p); now != apps {
					t.Fatalf("%s: applications were restarted: %s, before %s", story, now, apps)
				}
				if p.writes < at {
					break // it was done before that.
				}
			}
		}
	}
}

func appIDs(p *plant) string {
	var out []string
	for _, pod := range p.pods() {
		out = append(out, pod.Status.ContainerStatuses[0].ContainerID)
	}
	return strings.Join(out, " ")
}

// A release brought v2 where there was no pod to show it, and takes it back: what is created from then on is of v1, not of what was taken back.
func TestNewPodsNeverGetWhatAReleaseTakesBack(t *testing.T) {
	for name, pods := range map[string]int{"no pods": 0, "pods that run it": 3} {
		p := newPlant(t, pods, `{maxUnavailable: "100%"}`)
		p.settle(3, name+", at first")
		v1 := p.set().Status.UpdateRevision
		p.release(v1, "v2", intstr.FromInt32(0))
		p.settle(3, name+", released")
		if s := p.set().Status; s.InjectionRevision == v1 || s.CurrentRevision == v1 {
			t.Fatalf("%s: it was not brought: %+v", name, s)
		}
		p.release(v1, "v1", plan.Held())
		p.run()
		if s := p.set().Status; s.InjectionRevision != v1 || s.CurrentRevision != v1 {
			t.Errorf("%s: on the way back new pods get %s of %+v, want %s", name, s.InjectionRevision, s, v1)
		}
	}
}

// release writes what one does that found the set on a revision.
func (p *plant) release(found, tag string, partition intstr.IntOrString) {
	p.tb.Helper()
	p.image(tag)
	set := p.set()
	set.Annotations = map[string]string{stages.AnnotationLock: `{"release":"web-1","previous":{"revision":"` + found + `"}}`}
	set.Spec.UpdateStrategy.Partition = &partition
	p.ok(p.apps.Tracker().Update(v1alpha1.SchemeGroupVersion.WithResource("sidecarsets"), set, ""))
}

func TestAFailingChangeThatCannotGoOnInPlaceIsGivenUp(t *testing.T) {
	for _, strategy := range []string{`{maxUnavailable: 1}`, `{maxUnavailable: 1, drain: true, gracePeriodSeconds: 0}`} {
		p := newPlant(t, 2, strategy)
		p.settle(1, "at first")
		p.image("bad")
		begun := func() (pod *corev1.Pod) {
			for _, of := range p.pods() {
				if look := inplace.LookAt(of); look.ChangingFor("SidecarSet/mesh") {
					pod = of
				}
			}
			return pod
		}
		for range 10 { // the kubelet reports gates, and does not run the image.
			p.run()
			if begun() != nil {
				break
			}
			p.kubelet()
			p.clock.SetTime(p.clock.Now().Add(2 * time.Second))
		}
		pod := begun()
		if pod == nil {
			t.Fatalf("%s: no pod is changed", strategy)
		}
		s := &pod.Status.ContainerStatuses[1]
		s.Ready, s.State = false, corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff"}}
		p.ok(p.kube.Tracker().Update(corev1.SchemeGroupVersion.WithResource("pods"), pod, pod.Namespace))
		set := p.set()
		set.Generation++
		set.Spec.Containers[0].Image, set.Spec.Containers[0].Env = "mesh:v2", []corev1.EnvVar{{Name: "A", Value: "B"}}
		p.ok(p.apps.Tracker().Update(v1alpha1.SchemeGroupVersion.WithResource("sidecarsets"), set, ""))
		p.run()
		for _, pod := range p.pods() {
			if look := inplace.LookAt(pod); look.HasBegun("SidecarSet/mesh") || pod.Annotations[v1alpha1.AnnotationHolder] != "" {
				t.Errorf("%s: pod %s is held still, so its owner cannot make it anew: %v", strategy, pod.Name, pod.Annotations)
			}
		}
	}
}

func TestAReplayChangesNothing(t *testing.T) {
	p := newPlant(t, 4, `{maxUnavailable: "50%"}`)
	p.settle(2, "at first")
	p.image("v2")
	p.settle(2, "a change")
	p.run() // what status had to wait a second for.
	before := p.writes
	for range 5 {
		p.start()
		p.run()
		p.clock.SetTime(p.clock.Now().Add(time.Minute))
	}
	if p.writes != before {
		t.Errorf("at rest %d writes were made", p.writes-before)
	}
}

// BenchmarkPass is one pass over a set with 2,000 pods at rest.
func BenchmarkPass(b *testing.B) {
	p := newPlant(b, 2000, `{maxUnavailable: "10%"}`)
	p.settle(200, "at first")
	p.run()
	for b.Loop() {
		_ = p.pass(context.Background(), types.NamespacedName{Name: "mesh"})
	}
}
