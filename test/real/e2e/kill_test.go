//go:build e2ereal

package e2e

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"

	appsv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/localfleet"
)

// log keeps every version of the pods and EndpointSlices of a namespace. Which of two was first is told by their resource versions: events of two watches come
// in any order.
type log struct {
	mu     sync.Mutex
	pods   map[string][]*corev1.Pod
	slices map[string][]*discoveryv1.EndpointSlice
	added  chan struct{}
}

func (s *site) log() *log {
	s.t.Helper()
	l := &log{pods: map[string][]*corev1.Pod{}, slices: map[string][]*discoveryv1.EndpointSlice{}, added: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	s.t.Cleanup(cancel)
	f := informers.NewSharedInformerFactoryWithOptions(s.kube, 0, informers.WithNamespace(s.ns))
	add := func(o any) {
		l.mu.Lock()
		switch o := o.(type) {
		case *corev1.Pod:
			l.pods[o.Name] = append(l.pods[o.Name], o)
		case *discoveryv1.EndpointSlice:
			l.slices[o.Name] = append(l.slices[o.Name], o)
		}
		l.mu.Unlock()
		select {
		case l.added <- struct{}{}:
		default:
		}
	}
	handler := cache.ResourceEventHandlerFuncs{AddFunc: add, UpdateFunc: func(_, o any) { add(o) }}
	must(f.Core().V1().Pods().Informer().AddEventHandler(handler))(s.t)
	must(f.Discovery().V1().EndpointSlices().Informer().AddEventHandler(handler))(s.t)
	f.Start(ctx.Done())
	f.WaitForCacheSync(ctx.Done())
	return l
}

// await the first version of any pod, after the ones that there are, for which is answers true.
func (l *log) await(t *testing.T, what string, from map[string]int, is func(*corev1.Pod) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	for {
		l.mu.Lock()
		for name, versions := range l.pods {
			for _, pod := range versions[from[name]:] {
				if is(pod) {
					l.mu.Unlock()
					return
				}
			}
		}
		l.mu.Unlock()
		select {
		case <-l.added:
		case <-ctx.Done():
			t.Fatalf("waited %s in vain until %s", limit, what)
		}
	}
}

func (l *log) now() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := map[string]int{}
	for name, versions := range l.pods {
		out[name] = len(versions)
	}
	return out
}

func versionOf(t *testing.T, o metav1.Object) uint64 {
	return must(strconv.ParseUint(o.GetResourceVersion(), 10, 64))(t)
}

func conditionOf(pod *corev1.Pod, kind corev1.PodConditionType) corev1.ConditionStatus {
	for _, c := range pod.Status.Conditions {
		if c.Type == kind {
			return c.Status
		}
	}
	return corev1.ConditionUnknown
}

// faults are the pods whose image was changed in service, and the containers that stopped while a slice listed their pod as ready.
func (l *log) faults(t *testing.T) (out []string, changes int) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for name, versions := range l.pods {
		for i, pod := range versions[1:] {
			before := versions[i]
			if before.Spec.Containers[0].Image != pod.Spec.Containers[0].Image {
				changes++
				if g, r := conditionOf(before, appsv1alpha1.ReadinessGateInService), conditionOf(before, corev1.PodReady); g != corev1.ConditionFalse || r == corev1.ConditionTrue {
					out = append(out, fmt.Sprintf("%s was changed with its gate %s and Ready %s", name, g, r))
				}
			}
			was, is := before.Status.ContainerStatuses, pod.Status.ContainerStatuses
			if len(was) > 0 && len(is) > 0 && was[0].ContainerID != is[0].ContainerID && was[0].ContainerID != "" && l.listed(t, pod.Status.PodIP, versionOf(t, pod)) {
				out = append(out, fmt.Sprintf("the container of %s stopped while a slice listed it as ready", name))
			}
		}
	}
	return out, changes
}

// listed says whether a slice listed an address as ready when a version was made.
func (l *log) listed(t *testing.T, address string, at uint64) bool {
	for _, versions := range l.slices {
		var last *discoveryv1.EndpointSlice
		for _, s := range versions {
			if versionOf(t, s) < at {
				last = s
			}
		}
		if last == nil {
			continue
		}
		for _, e := range last.Endpoints {
			if slices.Contains(e.Addresses, address) && (e.Conditions.Ready == nil || *e.Conditions.Ready) {
				return true
			}
		}
	}
	return false
}

// The steps of a pod, as its versions show them. The controller is killed at the first of each, and started again.
func TestTheControllerIsKilledAtEveryStepOfAChange(t *testing.T) {
	s := newSite(t)
	fleet := must(localfleet.Load(fleetDir(t)))(t)
	must(s.kube.CoreV1().Services(s.ns).Create(t.Context(), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec:       corev1.ServiceSpec{Selector: map[string]string{"app": "web"}, Ports: []corev1.ServicePort{{Port: 8080}}},
	}, metav1.CreateOptions{}))(t)
	set := s.set("web", "", 4, "v1")
	set.awaitAvailable()
	before := set.pods()
	l := s.log()
	tag := ""
	steps := []struct {
		name string
		is   func(*corev1.Pod) bool
	}{
		{"its gate is closed", func(p *corev1.Pod) bool {
			return conditionOf(p, appsv1alpha1.ReadinessGateInService) == corev1.ConditionFalse
		}},
		{"it is not ready", func(p *corev1.Pod) bool { return conditionOf(p, corev1.PodReady) == corev1.ConditionFalse }},
		{"it is changed", func(p *corev1.Pod) bool { return p.Spec.Containers[0].Image == image+tag }},
		{"the kubelet saw it", func(p *corev1.Pod) bool {
			return p.Spec.Containers[0].Image == image+tag && p.Status.ObservedGeneration == p.Generation
		}},
		{"its new container runs", func(p *corev1.Pod) bool {
			c := p.Status.ContainerStatuses
			return p.Spec.Containers[0].Image == image+tag && len(c) > 0 && c[0].State.Running != nil && strings.HasSuffix(c[0].Image, ":"+tag)
		}},
		{"it is in service again", func(p *corev1.Pod) bool {
			return p.Spec.Containers[0].Image == image+tag && conditionOf(p, appsv1alpha1.ReadinessGateInService) == corev1.ConditionTrue
		}},
	}
	tags := []string{"v2", "v1"}
	for i, step := range steps {
		tag = tags[i%2]
		from := l.now()
		set.setImage(tag)
		l.await(t, "a pod is so that "+step.name, from, step.is)
		if err := fleet.Kill(t.Context(), member, localfleet.PartWorkloads, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if err := fleet.Start(t.Context(), member, localfleet.PartWorkloads); err != nil {
			t.Fatal(err)
		}
		set.awaitAvailable()
		t.Logf("killed when of a pod %s: done", step.name)
	}
	set.serves(tag)
	set.same(before)
	faults, changes := l.faults(t)
	for _, f := range faults {
		t.Error(f)
	}
	if want := len(steps) * len(before); changes != want || int(restarts(set.pods())-restarts(before)) != want {
		t.Errorf("%d changes and %d restarts; want %d of each, one for every pod and change", changes, restarts(set.pods())-restarts(before), want)
	}
}
