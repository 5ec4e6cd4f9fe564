//go:build integration

package inplaceset

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
)

// world is a namespace with one InPlaceSet, "web", and its kubelet.
type world struct {
	t  *testing.T
	ns string

	mu sync.Mutex
	// asleep: the kubelet does nothing, for the pods that it names or, with "", for all.
	asleep map[string]bool
	ids    int
}

// made counts worlds, so that a test may run more than once.
var made atomic.Int32

func newWorld(t *testing.T) *world {
	t.Helper()
	ns := strings.Trim(regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(strings.ToLower(strings.TrimPrefix(t.Name(), "Test")), "-"), "-")
	w := &world{t: t, ns: fmt.Sprintf("%s-%d", ns[:min(len(ns), 55)], made.Add(1)), asleep: map[string]bool{}}
	if _, err := admin.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.ns}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	// The controller manager would make it.
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default"}}
	if _, err := admin.CoreV1().ServiceAccounts(w.ns).Create(t.Context(), account, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); w.kubelet(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-done
		_ = periplus.AppsV1alpha1().InPlaceSets(w.ns).Delete(context.Background(), "web", metav1.DeleteOptions{})
	})
	return w
}

// create the set: one container, web:v1, and this strategy.
func (w *world) create(replicas int, strategy string, change ...func(*v1alpha1.InPlaceSet)) {
	w.t.Helper()
	set := &v1alpha1.InPlaceSet{}
	text := fmt.Sprintf(`
metadata: {name: web}
spec:
  replicas: %d
  selector: {matchLabels: {app: web}}
  updateStrategy: %s
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: app, image: "web:v1"}]}
`, replicas, strategy)
	if err := yaml.UnmarshalStrict([]byte(text), set); err != nil {
		w.t.Fatal(err)
	}
	for _, c := range change {
		c(set)
	}
	if _, err := periplus.AppsV1alpha1().InPlaceSets(w.ns).Create(w.t.Context(), set, metav1.CreateOptions{}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) get() *v1alpha1.InPlaceSet {
	w.t.Helper()
	set, err := periplus.AppsV1alpha1().InPlaceSets(w.ns).Get(context.Background(), "web", metav1.GetOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	return set
}

// spec merges into the set's spec and waits until the controller took it up.
func (w *world) spec(patch string) {
	w.t.Helper()
	set, err := periplus.AppsV1alpha1().InPlaceSets(w.ns).Patch(w.t.Context(), "web", types.MergePatchType, []byte(`{"spec":`+patch+`}`), metav1.PatchOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	w.until("the controller took up the change", func() (bool, any) { s := w.get().Status; return s.ObservedGeneration >= set.Generation, s })
}

func (w *world) image(tag string) {
	w.t.Helper()
	w.spec(fmt.Sprintf(`{"template":{"spec":{"containers":[{"name":"app","image":"web:%s"}]}}}`, tag))
}

func (w *world) until(what string, ok func() (bool, any)) {
	w.t.Helper()
	deadline := time.After(limit)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		good, saw := ok()
		if good {
			return
		}
		select {
		case <-deadline:
			w.t.Fatalf("it is not so that %s; last seen: %+v", what, saw)
		case <-tick.C:
		}
	}
}

// progressing waits for a reason and returns its message.
func (w *world) progressing(reason string) string {
	w.t.Helper()
	var message string
	w.until("Progressing is "+reason, func() (bool, any) {
		set := w.get()
		c := meta.FindStatusCondition(set.Status.Conditions, v1alpha1.ConditionProgressing)
		if c == nil || c.Reason != reason || c.ObservedGeneration != set.Generation {
			return false, set.Status
		}
		message = c.Message
		return true, nil
	})
	return message
}

// pods of the set that are not being deleted, by name.
func (w *world) pods() map[string]*corev1.Pod {
	w.t.Helper()
	l, err := admin.CoreV1().Pods(w.ns).List(context.Background(), metav1.ListOptions{LabelSelector: v1alpha1.LabelInPlaceSet + "=web"})
	if err != nil {
		w.t.Fatal(err)
	}
	out := map[string]*corev1.Pod{}
	for i := range l.Items {
		if l.Items[i].DeletionTimestamp == nil {
			out[l.Items[i].Name] = &l.Items[i]
		}
	}
	return out
}

func (w *world) names() []string { return slices.Sorted(maps.Keys(w.pods())) }

func (w *world) images() string {
	n := map[string]int{}
	for _, pod := range w.pods() {
		n[pod.Spec.Containers[0].Image]++
	}
	return fmt.Sprint(n)
}

// sleep or wake the kubelet, for one pod or, with "", for all.
func (w *world) sleep(pod string, asleep bool) {
	w.mu.Lock()
	w.asleep[pod] = asleep
	w.mu.Unlock()
}

// kubelet brings every pod of the namespace one step on, over and over, as kubelets do.
func (w *world) kubelet(ctx context.Context) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		l, err := admin.CoreV1().Pods(w.ns).List(ctx, metav1.ListOptions{})
		if err != nil {
			continue
		}
		for i := range l.Items {
			pod := &l.Items[i]
			w.mu.Lock()
			asleep := w.asleep[""] || w.asleep[pod.Name]
			w.mu.Unlock()
			if asleep || pod.DeletionTimestamp != nil {
				continue
			}
			if status := w.next(pod); status != nil {
				patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": pod.UID, "resourceVersion": pod.ResourceVersion}, "status": status})
				if err == nil {
					// A conflict is met again at the next tick.
					_, _ = admin.CoreV1().Pods(w.ns).Patch(ctx, pod.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
				}
			}
		}
	}
}

// next is the next status of a pod, nil if there is nothing to do.
func (w *world) next(pod *corev1.Pod) map[string]any {
	want := pod.Spec.Containers[0].Image
	s := corev1.ContainerStatus{Name: "app"}
	if len(pod.Status.ContainerStatuses) > 0 {
		s = pod.Status.ContainerStatuses[0]
	}
	status := map[string]any{"observedGeneration": pod.Generation}
	switch {
	case s.ContainerID != "" && pod.Status.ObservedGeneration != pod.Generation: // first the generation, with the old container.
	case s.Image != want:
		w.ids++
		s = corev1.ContainerStatus{
			Name: "app", Image: want, ImageID: want + "@sha256:1", ContainerID: fmt.Sprintf("sim://%d", w.ids), Ready: true,
			State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}},
		}
		status["phase"] = "Running"
		if pod.Status.PodIP == "" {
			ip := fmt.Sprintf("10.9.%d.%d", w.ids/250, 1+w.ids%250)
			status["podIP"], status["podIPs"] = ip, []map[string]string{{"ip": ip}}
		}
	}
	inService := conditionOf(pod, v1alpha1.ReadinessGateInService) == corev1.ConditionTrue
	conditions := []corev1.PodCondition{
		{Type: corev1.ContainersReady, Status: asStatus(s.Ready)},
		{Type: corev1.PodReady, Status: asStatus(s.Ready && inService)},
	}
	changed := pod.Status.ObservedGeneration != pod.Generation || len(pod.Status.ContainerStatuses) == 0 || pod.Status.ContainerStatuses[0].ContainerID != s.ContainerID
	for i := range conditions {
		c := &conditions[i]
		if conditionOf(pod, c.Type) != c.Status {
			changed = true
			c.LastTransitionTime = metav1.Now()
		} else {
			c.LastTransitionTime = transition(pod, c.Type)
		}
	}
	if !changed {
		return nil
	}
	status["conditions"], status["containerStatuses"] = conditions, []corev1.ContainerStatus{s}
	return status
}

func conditionOf(pod *corev1.Pod, t corev1.PodConditionType) corev1.ConditionStatus {
	for _, c := range pod.Status.Conditions {
		if c.Type == t {
			return c.Status
		}
	}
	return ""
}

func transition(pod *corev1.Pod, t corev1.PodConditionType) metav1.Time {
	for _, c := range pod.Status.Conditions {
		if c.Type == t {
			return c.LastTransitionTime
		}
	}
	return metav1.Now()
}

func asStatus(b bool) corev1.ConditionStatus {
	if b {
		return corev1.ConditionTrue
	}
	return corev1.ConditionFalse
}

// slice writes an EndpointSlice that lists these pods as ready; serving is what it says of them beside.
func (w *world) slice(serving bool, pods ...*corev1.Pod) {
	w.t.Helper()
	s := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Name: "web", Labels: map[string]string{discoveryv1.LabelServiceName: "web"}},
		AddressType: discoveryv1.AddressTypeIPv4,
	}
	for _, pod := range pods {
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{
			Addresses:  []string{pod.Status.PodIP},
			Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(true), Serving: &serving},
			TargetRef:  &corev1.ObjectReference{Kind: "Pod", Name: pod.Name, UID: pod.UID},
		})
	}
	client := admin.DiscoveryV1().EndpointSlices(w.ns)
	if _, err := client.Update(w.t.Context(), s, metav1.UpdateOptions{}); apierrors.IsNotFound(err) {
		if _, err = client.Create(w.t.Context(), s, metav1.CreateOptions{}); err != nil {
			w.t.Fatal(err)
		}
	} else if err != nil {
		w.t.Fatal(err)
	}
}
