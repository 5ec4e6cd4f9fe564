//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"

	appsv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/localfleet"
)

const ipsMember = "m1"

// ips is one InPlaceSet behind a Service in the first member, and all that happened to its pods.
type ips struct {
	*port
	mu sync.Mutex
	// pods as the watch has them, in the order in which the API server made them so.
	pods map[string]*corev1.Pod
	// served is what each EndpointSlice listed as ready, version after version, and changes are the pods' changes: which was first is told by their versions, as
	// events of two watches come in any order.
	served  map[string][]listing
	changes []podChange
	// forced says that pods may be changed which a balancer claims.
	forced bool
	// least is how many pods must be ready at any moment; below 0, nothing is asked.
	least  int
	faults []string
}

// withSet makes the set "web" with this strategy, of pods that run image, and waits until they are available.
func (p *port) withSet(replicas int, image, strategy string) *ips {
	p.t.Helper()
	// A test that failed leaves its namespace to be looked at.
	p.kubectl(ipsMember, "", "delete", "inplaceset", "web", "-n", p.ns, "--ignore-not-found", "--cascade=foreground")
	s := &ips{port: p, pods: map[string]*corev1.Pod{}, served: map[string][]listing{}, least: -1}
	p.apply(ipsMember, fmt.Sprintf(`
apiVersion: v1
kind: Service
metadata: {name: web, namespace: %[1]s}
spec: {selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: apps.periplus.dev/v1alpha1
kind: InPlaceSet
metadata: {name: web, namespace: %[1]s, labels: {apps.periplus.dev/unit: dca}}
spec:
  replicas: %[2]d
  selector: {matchLabels: {app: web}}
  updateStrategy: %[4]s
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: app, image: "web:%[3]s"}]}
`, p.ns, replicas, image, strategy))
	s.follow()
	s.untilStatus("all pods are available", func(st *appsv1alpha1.InPlaceSetStatus) bool { return int(st.AvailableReplicas) == replicas })
	return s
}

// follow the pods and slices until the test ends.
func (s *ips) follow() {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	s.t.Cleanup(cancel)
	f := informers.NewSharedInformerFactoryWithOptions(s.kube[ipsMember], 0, informers.WithNamespace(s.ns))
	slicesInf, podsInf := f.Discovery().V1().EndpointSlices().Informer(), f.Core().V1().Pods().Informer()
	s.must(slicesInf.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: s.slice, UpdateFunc: func(_, o any) { s.slice(o) },
	}))
	s.must(podsInf.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: s.pod, UpdateFunc: func(_, o any) { s.pod(o) }, DeleteFunc: s.gone,
	}))
	f.Start(ctx.Done())
	f.WaitForCacheSync(ctx.Done())
}

// listing is what an EndpointSlice listed as ready from a version on.
type listing struct {
	version   uint64
	addresses []string
}

// podChange is a change of a container's image.
type podChange struct {
	version      uint64
	pod, address string
}

// version of an object: those of all objects of one API server are comparable.
func (s *ips) version(resourceVersion string) uint64 {
	n, err := strconv.ParseUint(resourceVersion, 10, 64)
	if err != nil {
		s.fault("resource version %q: %v", resourceVersion, err)
	}
	return n
}

func (s *ips) slice(o any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	slice, ok := o.(*discoveryv1.EndpointSlice)
	if !ok {
		return
	}
	now := listing{version: s.version(slice.ResourceVersion)}
	for _, e := range slice.Endpoints {
		if e.Conditions.Ready == nil || *e.Conditions.Ready {
			now.addresses = append(now.addresses, e.Addresses...)
		}
	}
	s.served[slice.Name] = append(s.served[slice.Name], now)
}

// pod notes a fault where a container's image changed, or a delete began, while the pod was in service.
func (s *ips) pod(o any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, ok := o.(*corev1.Pod)
	if !ok {
		return
	}
	before := s.pods[now.Name]
	s.pods[now.Name] = now
	if before != nil && before.UID == now.UID && before.Spec.Containers[0].Image != now.Spec.Containers[0].Image {
		if gate(before) == corev1.ConditionTrue || ready(before) {
			s.fault("%s was changed to %s while its gate was %q and ready was %t", now.Name, now.Spec.Containers[0].Image, gate(before), ready(before))
		}
		if i := slices.IndexFunc(before.Finalizers, func(f string) bool { return strings.HasPrefix(f, appsv1alpha1.BalancerPrefix) }); i >= 0 && !s.forced {
			s.fault("%s was changed to %s while %s claimed it", now.Name, now.Spec.Containers[0].Image, before.Finalizers[i])
		}
		s.changes = append(s.changes, podChange{version: s.version(now.ResourceVersion), pod: now.Name, address: now.Status.PodIP})
	}
	s.count()
}

func (s *ips) gone(o any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if pod, ok := o.(*corev1.Pod); ok {
		delete(s.pods, pod.Name)
	}
	s.count()
}

func (s *ips) count() {
	n := 0
	for _, pod := range s.pods {
		if pod.DeletionTimestamp == nil && ready(pod) {
			n++
		}
	}
	if n < s.least {
		s.fault("%d pods are ready, at least %d must be", n, s.least)
	}
}

func (s *ips) fault(format string, args ...any) {
	s.faults = append(s.faults, time.Now().Format("15:04:05.000 ")+fmt.Sprintf(format, args...))
}

// keeps says from when on how many pods must be ready at any moment; below 0, none.
func (s *ips) keeps(least int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.least = least
}

// noFaults at the end of a test.
func (s *ips) noFaults() {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.faults {
		s.t.Error(f)
	}
	for _, c := range s.changes {
		for slice, versions := range s.served {
			at := -1
			for i, v := range versions {
				if v.version < c.version {
					at = i
				}
			}
			if at >= 0 && slices.Contains(versions[at].addresses, c.address) {
				s.t.Errorf("%s was changed (version %d) while EndpointSlice %s listed it (since version %d)", c.pod, c.version, slice, versions[at].version)
			}
		}
	}
}

func gate(pod *corev1.Pod) corev1.ConditionStatus {
	for _, c := range pod.Status.Conditions {
		if c.Type == appsv1alpha1.ReadinessGateInService {
			return c.Status
		}
	}
	return ""
}

// spec merges into the set's spec, and waits until the controller has seen it.
func (s *ips) spec(patch string) {
	s.t.Helper()
	set := must(s.apps[ipsMember].AppsV1alpha1().InPlaceSets(s.ns).Patch(context.Background(), "web", types.MergePatchType, []byte(`{"spec":`+patch+`}`), metav1.PatchOptions{}))(s.t)
	s.untilStatus("the controller saw the change", func(st *appsv1alpha1.InPlaceSetStatus) bool { return st.ObservedGeneration >= set.Generation })
}

func (s *ips) image(tag string) {
	s.t.Helper()
	s.spec(fmt.Sprintf(`{"template":{"spec":{"containers":[{"name":"app","image":"web:%s"}]}}}`, tag))
}

func (s *ips) get() *appsv1alpha1.InPlaceSet {
	s.t.Helper()
	return must(s.apps[ipsMember].AppsV1alpha1().InPlaceSets(s.ns).Get(context.Background(), "web", metav1.GetOptions{}))(s.t)
}

func (s *ips) untilStatus(what string, ok func(*appsv1alpha1.InPlaceSetStatus) bool) {
	s.t.Helper()
	s.eventually(what, func() (bool, string) {
		st := &s.get().Status
		return ok(st), fmt.Sprintf("%+v", st)
	})
}

// done waits until as many pods as the partition lets run the template and are available.
func (s *ips) done() {
	s.t.Helper()
	s.untilStatus("the change is done", func(st *appsv1alpha1.InPlaceSetStatus) bool {
		c := meta.FindStatusCondition(st.Conditions, appsv1alpha1.ConditionProgressing)
		return c != nil && (c.Reason == "Complete" || c.Reason == "HeldBack")
	})
}

// progressing waits for a reason, and returns its message.
func (s *ips) progressing(reason string) string {
	s.t.Helper()
	var message string
	s.untilStatus("Progressing is "+reason, func(st *appsv1alpha1.InPlaceSetStatus) bool {
		c := meta.FindStatusCondition(st.Conditions, appsv1alpha1.ConditionProgressing)
		if c == nil || c.Reason != reason {
			return false
		}
		message = c.Message
		return true
	})
	return message
}

// untilMessage waits until Progressing says some words.
func (s *ips) untilMessage(words string) {
	s.t.Helper()
	s.untilStatus("Progressing says "+words, func(st *appsv1alpha1.InPlaceSetStatus) bool {
		c := meta.FindStatusCondition(st.Conditions, appsv1alpha1.ConditionProgressing)
		return c != nil && strings.Contains(c.Message, words)
	})
}

// live pods, by name.
func (s *ips) live() []corev1.Pod {
	s.t.Helper()
	l := must(s.kube[ipsMember].CoreV1().Pods(s.ns).List(context.Background(), metav1.ListOptions{LabelSelector: appsv1alpha1.LabelInPlaceSet + "=web"}))(s.t)
	out := slices.DeleteFunc(l.Items, func(pod corev1.Pod) bool { return pod.DeletionTimestamp != nil })
	slices.SortFunc(out, func(a, b corev1.Pod) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// run counts the pods whose spec has an image.
func (s *ips) run(tag string) int {
	s.t.Helper()
	n := 0
	for _, pod := range s.live() {
		if pod.Spec.Containers[0].Image == "web:"+tag {
			n++
		}
	}
	return n
}

// killController ends the member's controller as a power cut would, and starts it again.
func (s *ips) killController() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if err := s.fleet.Kill(ctx, ipsMember, localfleet.PartWorkloads, syscall.SIGKILL); err != nil {
		s.t.Fatal(err)
	}
	if err := s.fleet.Start(ctx, ipsMember, localfleet.PartWorkloads); err != nil {
		s.t.Fatal(err)
	}
}
