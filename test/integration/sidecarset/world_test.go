//go:build integration

package sidecarset

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
)

// world is a namespace with a label of its own, the sets of a test that select it, and its kubelet.
type world struct {
	t  *testing.T
	ns string

	mu     sync.Mutex
	asleep bool
	ids    int
}

var made atomic.Int32

func newWorld(t *testing.T) *world {
	t.Helper()
	ns := strings.Trim(regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(strings.ToLower(strings.TrimPrefix(t.Name(), "Test")), "-"), "-")
	w := &world{t: t, ns: fmt.Sprintf("%s-%d", ns[:min(len(ns), 50)], made.Add(1))}
	w.namespace(w.ns)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); w.kubelet(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-done
		// Its set must not speak of pods that are never deleted, for other tests.
		_ = admin.CoreV1().Pods(w.ns).DeleteCollection(context.Background(), metav1.DeleteOptions{GracePeriodSeconds: ptr.To[int64](0)}, metav1.ListOptions{})
	})
	return w
}

func (w *world) namespace(name string) {
	w.t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"world": w.ns}}}
	if _, err := admin.CoreV1().Namespaces().Create(w.t.Context(), ns, metav1.CreateOptions{}); err != nil {
		w.t.Fatal(err)
	}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default"}} // the controller manager would make it.
	if _, err := admin.CoreV1().ServiceAccounts(name).Create(w.t.Context(), account, metav1.CreateOptions{}); err != nil {
		w.t.Fatal(err)
	}
}

// name of a set of this world.
func (w *world) name(set string) string { return set + "-" + w.ns[max(0, len(w.ns)-40):] }

// set for pods with app=web of the world: one container, named like the set, v1, and these fields of the spec beside.
func (w *world) set(name, fields string, change ...func(*v1alpha1.SidecarSet)) *v1alpha1.SidecarSet {
	w.t.Helper()
	set := &v1alpha1.SidecarSet{}
	text := fmt.Sprintf(`
metadata: {name: %s}
spec:
  selector: {matchLabels: {app: web}}
  namespaceSelector: {matchLabels: {world: %s}}
  containers: [{name: %s, image: "%s:v1"}]
`, w.name(name), w.ns, name, name)
	if err := yaml.UnmarshalStrict([]byte(text), set); err != nil {
		w.t.Fatal(err)
	}
	if err := yaml.Unmarshal([]byte(fields), &set.Spec); err != nil {
		w.t.Fatal(err)
	}
	for _, c := range change {
		c(set)
	}
	made, err := periplus.AppsV1alpha1().SidecarSets().Create(w.t.Context(), set, metav1.CreateOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		_ = periplus.AppsV1alpha1().SidecarSets().Delete(context.Background(), set.Name, metav1.DeleteOptions{})
	})
	w.taken(name, made.Generation)
	return made
}

// taken waits until the controller took up a generation of a set, and the webhook could see it.
func (w *world) taken(name string, generation int64) {
	w.t.Helper()
	w.until("the controller took up set "+name, func() (bool, any) { s := w.get(name).Status; return s.ObservedGeneration >= generation, s })
	w.settle()
}

// settle waits until the webhook's cache has what the API server has: a set that is made now is seen in an answer to a dry run.
func (w *world) settle() {
	w.t.Helper()
	for _, set := range w.sets() {
		if set.Status.InjectionRevision == "" {
			continue
		}
		w.until("the webhook knows set "+set.Name, func() (bool, any) {
			pod := w.template("probe-" + set.Name)
			pod.Labels = map[string]string{"app": "web"}
			got, err := admin.CoreV1().Pods(w.ns).Create(context.Background(), pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
			if err != nil {
				return false, err
			}
			text := got.Annotations[v1alpha1.AnnotationSidecars]
			return strings.Contains(text, fmt.Sprintf(`"set":%q,"revision":%q`, set.Name, set.Status.InjectionRevision)) || set.Spec.Selector.MatchLabels["app"] != "web", text
		})
	}
}

func (w *world) sets() (out []*v1alpha1.SidecarSet) {
	w.t.Helper()
	all, err := periplus.AppsV1alpha1().SidecarSets().List(context.Background(), metav1.ListOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	for i := range all.Items {
		if of := all.Items[i].Spec.NamespaceSelector; of != nil && of.MatchLabels["world"] == w.ns && all.Items[i].DeletionTimestamp == nil {
			out = append(out, &all.Items[i])
		}
	}
	return out
}

func (w *world) get(name string) *v1alpha1.SidecarSet {
	w.t.Helper()
	set, err := periplus.AppsV1alpha1().SidecarSets().Get(context.Background(), w.name(name), metav1.GetOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	return set
}

// spec merges into a set's spec and waits until the controller took it up.
func (w *world) spec(name, patch string) {
	w.t.Helper()
	set, err := periplus.AppsV1alpha1().SidecarSets().Patch(w.t.Context(), w.name(name), types.MergePatchType, []byte(`{"spec":`+patch+`}`), metav1.PatchOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	w.until("the controller took up the change", func() (bool, any) { s := w.get(name).Status; return s.ObservedGeneration >= set.Generation, s })
}

func (w *world) image(name, tag string) {
	w.t.Helper()
	w.spec(name, fmt.Sprintf(`{"containers":[{"name":%q,"image":"%s:%s"}]}`, name, name, tag))
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

// condition waits for a reason and returns its message.
func (w *world) condition(name, kind, reason string) string {
	w.t.Helper()
	var message string
	w.until(kind+" is "+reason, func() (bool, any) {
		set := w.get(name)
		c := meta.FindStatusCondition(set.Status.Conditions, kind)
		if c == nil || c.Reason != reason || c.ObservedGeneration != set.Generation {
			return false, set.Status
		}
		message = c.Message
		return true, nil
	})
	return message
}

func (w *world) progressing(name, reason string) string {
	w.t.Helper()
	return w.condition(name, v1alpha1.ConditionProgressing, reason)
}

// template of a pod that sets mean: one container, app, of web:v1.
func (w *world) template(name string, change ...func(*corev1.Pod)) *corev1.Pod {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: w.ns, Labels: map[string]string{"app": "web"}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "web:v1"}}},
	}
	for _, c := range change {
		c(pod)
	}
	return pod
}

// owned by a workload that the test plays.
func owned(workload string) func(*corev1.Pod) {
	return func(pod *corev1.Pod) {
		pod.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: workload, UID: types.UID("uid-" + workload), Controller: ptr.To(true)}}
	}
}

func (w *world) create(pods ...*corev1.Pod) {
	w.t.Helper()
	for _, pod := range pods {
		if _, err := admin.CoreV1().Pods(pod.Namespace).Create(w.t.Context(), pod, metav1.CreateOptions{}); err != nil {
			w.t.Fatal(err)
		}
	}
}

// ready creates pods web-1, … and waits until they are ready.
func (w *world) ready(n int, change ...func(*corev1.Pod)) {
	w.t.Helper()
	for i := range n {
		w.create(w.template(fmt.Sprintf("web-%d", i+1), change...))
	}
	w.until("the pods are ready", func() (bool, any) {
		ready := 0
		for _, pod := range w.pods() {
			if conditionOf(pod, corev1.PodReady) == corev1.ConditionTrue {
				ready++
			}
		}
		return ready == n, ready
	})
}

func (w *world) pods() []*corev1.Pod {
	w.t.Helper()
	l, err := admin.CoreV1().Pods(w.ns).List(context.Background(), metav1.ListOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	var out []*corev1.Pod
	for i := range l.Items {
		if l.Items[i].DeletionTimestamp == nil {
			out = append(out, &l.Items[i])
		}
	}
	return out
}

func (w *world) pod(name string) *corev1.Pod {
	w.t.Helper()
	pod, err := admin.CoreV1().Pods(w.ns).Get(context.Background(), name, metav1.GetOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	return pod
}

// containers of a pod, as name=image.
func containers(pod *corev1.Pod) string {
	var out []string
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for _, c := range list {
			out = append(out, c.Name+"="+c.Image)
		}
	}
	return strings.Join(out, " ")
}

// running counts the pods by the image that a container of them runs.
func (w *world) running(container string) string {
	n := map[string]int{}
	for _, pod := range w.pods() {
		for _, s := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
			if s.Name == container {
				n[s.Image]++
			}
		}
	}
	return fmt.Sprint(n)
}

// ids of a container, by pod.
func (w *world) containerIDs(container string) map[string]string {
	out := map[string]string{}
	for _, pod := range w.pods() {
		for _, s := range pod.Status.ContainerStatuses {
			if s.Name == container {
				out[pod.Name] = s.ContainerID
			}
		}
	}
	return out
}

func (w *world) sleep(asleep bool) {
	w.mu.Lock()
	w.asleep = asleep
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
		w.mu.Lock()
		asleep := w.asleep
		w.mu.Unlock()
		if asleep {
			continue
		}
		l, err := admin.CoreV1().Pods(w.ns).List(ctx, metav1.ListOptions{})
		if err != nil {
			continue
		}
		for i := range l.Items {
			pod := &l.Items[i]
			if pod.DeletionTimestamp != nil {
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

// next is the next status of a pod, nil if there is nothing to do. An image tagged bad cannot be pulled.
func (w *world) next(pod *corev1.Pod) map[string]any {
	fresh := pod.Status.ObservedGeneration != pod.Generation
	first := fresh && len(pod.Status.ContainerStatuses) > 0 // first the generation, with the old containers.
	changed, ready := fresh, true
	run := func(list []corev1.Container, have []corev1.ContainerStatus) []corev1.ContainerStatus {
		var out []corev1.ContainerStatus
		for _, c := range list {
			s := corev1.ContainerStatus{Name: c.Name}
			if at := slices.IndexFunc(have, func(s corev1.ContainerStatus) bool { return s.Name == c.Name }); at >= 0 {
				s = have[at]
			}
			switch {
			case first:
			case strings.HasSuffix(c.Image, ":bad"):
				if s.State.Waiting == nil {
					changed = true
					s.Ready, s.State = false, corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ErrImagePull", Message: "there is no " + c.Image}}
				}
			case s.Image != c.Image || s.State.Running == nil:
				w.ids++
				changed = true
				s = corev1.ContainerStatus{
					Name: c.Name, Image: c.Image, ImageID: c.Image + "@sha256:1", ContainerID: fmt.Sprintf("sim://%d", w.ids), Ready: true, RestartCount: s.RestartCount,
					State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}},
				}
			}
			ready = ready && s.Ready
			out = append(out, s)
		}
		return out
	}
	status := map[string]any{"observedGeneration": pod.Generation, "phase": "Running"}
	status["initContainerStatuses"] = run(pod.Spec.InitContainers, pod.Status.InitContainerStatuses)
	status["containerStatuses"] = run(pod.Spec.Containers, pod.Status.ContainerStatuses)
	if pod.Status.PodIP == "" {
		w.ids++
		ip := fmt.Sprintf("10.9.%d.%d", w.ids/250, 1+w.ids%250)
		status["podIP"], status["podIPs"] = ip, []map[string]string{{"ip": ip}}
	}
	inService := true
	for _, gate := range pod.Spec.ReadinessGates {
		inService = inService && conditionOf(pod, gate.ConditionType) == corev1.ConditionTrue
	}
	conditions := []corev1.PodCondition{{Type: corev1.ContainersReady, Status: asStatus(ready)}, {Type: corev1.PodReady, Status: asStatus(ready && inService)}}
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
	status["conditions"] = conditions
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
