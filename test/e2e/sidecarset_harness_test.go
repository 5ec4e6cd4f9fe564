//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"

	appsv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/localfleet"
)

// mate is one test's view of applications in the first member's namespace of its own, of the SidecarSets that mean them, and of all that happens to their pods.
type mate struct {
	*port
	mu sync.Mutex
	// pods as the watch has them, by UID.
	pods map[types.UID]*corev1.Pod
	// runs is what each pod's application was first seen to run as: its containerID and when it was started.
	runs map[types.UID]string
	// appRestarts says that applications may be restarted.
	appRestarts bool
	// drained says that a sidecar may change only in a pod that is not ready.
	drained bool
	// least is how many pods of the application must be ready at any moment; below 0, nothing is asked.
	least  int
	faults []string
	// beside are the sets whose sidecars are containers as the application's, not native ones.
	beside map[string]bool
}

// newMate watches the namespace until the test ends.
func newMate(p *port) *mate {
	p.t.Helper()
	m := &mate{port: p, pods: map[types.UID]*corev1.Pod{}, runs: map[types.UID]string{}, least: -1, beside: map[string]bool{}}
	ctx, cancel := context.WithCancel(context.Background())
	p.t.Cleanup(cancel)
	f := informers.NewSharedInformerFactoryWithOptions(p.kube[ipsMember], 0, informers.WithNamespace(p.ns))
	pods := f.Core().V1().Pods().Informer()
	p.must(pods.AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: m.pod, UpdateFunc: func(_, o any) { m.pod(o) }, DeleteFunc: m.gone}))
	f.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), pods.HasSynced) {
		p.t.Fatal("the watch of pods did not start")
	}
	return m
}

// pod notes a fault where an application was restarted, or a sidecar changed under traffic that it should have been drained of.
func (m *mate) pod(o any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now, ok := o.(*corev1.Pod)
	if !ok {
		return
	}
	before := m.pods[now.UID]
	m.pods[now.UID] = now
	if now.DeletionTimestamp == nil {
		m.application(now)
	}
	if m.drained && before != nil && sidecarImages(before) != sidecarImages(now) && ready(before) {
		m.fault("the sidecars of %s became %s while it was ready", now.Name, sidecarImages(now))
	}
	m.count()
}

// application looks whether the pod's own container runs on.
func (m *mate) application(pod *corev1.Pod) {
	for i := range pod.Status.ContainerStatuses {
		s := &pod.Status.ContainerStatuses[i]
		if s.Name != "app" {
			continue
		}
		was, known := m.runs[pod.UID]
		switch running := s.State.Running; {
		case running == nil && known && !m.appRestarts:
			m.fault("app of %s does not run any more: %+v", pod.Name, s.State)
		case running != nil:
			is := fmt.Sprintf("%s since %s", s.ContainerID, running.StartedAt.UTC().Format(time.RFC3339))
			if known && is != was && !m.appRestarts {
				m.fault("app of %s is %s; it was %s", pod.Name, is, was)
			}
			m.runs[pod.UID] = is
		}
	}
}

func (m *mate) gone(o any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if pod, ok := o.(*corev1.Pod); ok {
		delete(m.pods, pod.UID)
	}
	m.count()
}

func (m *mate) ready() (n int) {
	for _, pod := range m.pods {
		if pod.DeletionTimestamp == nil && ready(pod) {
			n++
		}
	}
	return n
}

func (m *mate) count() {
	if n := m.ready(); n < m.least {
		m.fault("%d pods are ready, at least %d must be", n, m.least)
	}
}

func (m *mate) fault(format string, args ...any) {
	if len(m.faults) < 20 {
		m.faults = append(m.faults, time.Now().Format("15:04:05.000 ")+fmt.Sprintf(format, args...))
	}
}

// asks change what is asked of pods from now on.
func (m *mate) asks(change func(*mate)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change(m)
}

func (m *mate) noFaults() {
	m.t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, f := range m.faults {
		m.t.Error(f)
	}
	if len(m.runs) == 0 {
		m.t.Error("no application was seen to run: the watch sees nothing")
	}
}

// sidecarImages are the images of what the application did not bring, by name.
func sidecarImages(pod *corev1.Pod) string {
	var out []string
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			if list[i].Name != "app" {
				out = append(out, list[i].Name+"="+list[i].Image)
			}
		}
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// named is a name of a set that no other test has: sets belong to no namespace.
func (m *mate) named(set string) string { return set + m.ns[strings.LastIndex(m.ns, "-"):] }

// set makes a SidecarSet of the namespace's pods with the label tier: web, whose container has its short name: a native sidecar, but for those beside.
func (m *mate) set(set, image, strategy string, more ...string) {
	m.t.Helper()
	m.apply(ipsMember, fmt.Sprintf(`
apiVersion: apps.periplus.dev/v1alpha1
kind: SidecarSet
metadata: {name: %s}
spec:
  selector: {matchLabels: {tier: web}}
  namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: %s}}
  %s
  updateStrategy: %s
%s`, m.named(set), m.ns, m.containers(set, image), strategy, strings.Join(more, "\n")))
	m.t.Cleanup(func() {
		if !m.t.Failed() {
			m.kubectl(ipsMember, "", "delete", "sidecarset", m.named(set), "--ignore-not-found", "--wait=false")
		}
	})
	m.until(set, "new pods get it", func(s *appsv1alpha1.SidecarSet) bool { return s.Status.InjectionRevision != "" })
}

// app makes an application of a kind, named like it, whose pods have the label tier: web.
func (m *mate) app(kind string, replicas int, template string) {
	m.t.Helper()
	version, extra := "apps/v1", ""
	switch kind {
	case "StatefulSet":
		extra = "serviceName: web, podManagementPolicy: Parallel, "
	case "InPlaceSet":
		version, extra = "apps.periplus.dev/v1alpha1", "updateStrategy: {maxUnavailable: 1, gracePeriodSeconds: 0}, "
	}
	name := strings.ToLower(kind)
	m.apply(ipsMember, fmt.Sprintf(`
apiVersion: %s
kind: %s
metadata: {name: %s, namespace: %s}
spec: {%s replicas: %d, selector: {matchLabels: {app: %s}}, template: {metadata: {labels: {app: %s, tier: web}}, spec: {containers: [{name: app, image: "web:%s"}]}}}
`, version, kind, name, m.ns, extra, replicas, name, name, template))
}

// service in front of all of them.
func (m *mate) service() {
	m.t.Helper()
	m.apply(ipsMember, fmt.Sprintf(`{apiVersion: v1, kind: Service, metadata: {name: web, namespace: %s}, spec: {selector: {tier: web}, ports: [{port: 80}]}}`, m.ns))
}

func (m *mate) get(set string) *appsv1alpha1.SidecarSet {
	m.t.Helper()
	return must(m.apps[ipsMember].AppsV1alpha1().SidecarSets().Get(context.Background(), m.named(set), metav1.GetOptions{}))(m.t)
}

func (m *mate) until(set, what string, ok func(*appsv1alpha1.SidecarSet) bool) {
	m.t.Helper()
	m.eventually(what, func() (bool, string) {
		s := m.get(set)
		return ok(s), fmt.Sprintf("%+v", s.Status)
	})
}

// spec merges into the set's spec, and waits until the controller has seen it.
func (m *mate) spec(set, patch string) {
	m.t.Helper()
	s := must(m.apps[ipsMember].AppsV1alpha1().SidecarSets().Patch(context.Background(), m.named(set), types.MergePatchType, []byte(`{"spec":`+patch+`}`), metav1.PatchOptions{}))(m.t)
	m.until(set, "the controller saw the change", func(now *appsv1alpha1.SidecarSet) bool { return now.Status.ObservedGeneration >= s.Generation })
}

// containers of a set, as a field of its spec.
func (m *mate) containers(set, image string) string {
	if m.beside[set] {
		return fmt.Sprintf(`"containers": [{"name":%q,"image":%q}]`, set, image)
	}
	return fmt.Sprintf(`"initContainers": [{"name":%q,"image":%q,"restartPolicy":"Always"}]`, set, image)
}

// image of the set's sidecar.
func (m *mate) image(set, image string) {
	m.t.Helper()
	m.spec(set, "{"+m.containers(set, image)+"}")
}

// says waits until Progressing has a reason and speaks of the spec as it is, and returns its message.
func (m *mate) says(set, reason string) (message string) {
	m.t.Helper()
	m.until(set, "Progressing of "+set+" is "+reason, func(s *appsv1alpha1.SidecarSet) bool {
		c := meta.FindStatusCondition(s.Status.Conditions, appsv1alpha1.ConditionProgressing)
		if c == nil || c.Reason != reason || c.ObservedGeneration != s.Generation {
			return false
		}
		message = c.Message
		return true
	})
	return message
}

// live pods of the namespace, by name.
func (m *mate) live() []corev1.Pod {
	m.t.Helper()
	l := must(m.kube[ipsMember].CoreV1().Pods(m.ns).List(context.Background(), metav1.ListOptions{}))(m.t)
	out := slices.DeleteFunc(l.Items, func(pod corev1.Pod) bool { return pod.DeletionTimestamp != nil })
	slices.SortFunc(out, func(a, b corev1.Pod) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// serving waits until so many pods are ready.
func (m *mate) serving(n int) {
	m.t.Helper()
	m.eventually(fmt.Sprintf("%d pods are ready", n), func() (bool, string) {
		up := 0
		pods := m.live()
		for i := range pods {
			if ready(&pods[i]) {
				up++
			}
		}
		seen := m.serve() // what the watch has not seen yet would be a fault of it.
		return up == n && len(pods) == n && seen == n, fmt.Sprintf("%d of %d, and %d as the watch sees it", up, len(pods), seen)
	})
}

// serve is how many pods are ready as the watch sees it.
func (m *mate) serve() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ready()
}

// with counts the live pods whose spec has an image of a sidecar.
func (m *mate) with(image string) (n int) {
	m.t.Helper()
	for _, pod := range m.live() {
		if strings.Contains(" "+sidecarImages(&pod)+" ", "="+image+" ") {
			n++
		}
	}
	return n
}

// restarts of a container over all live pods.
func (m *mate) restarts(container string) (out []int32) {
	m.t.Helper()
	for _, pod := range m.live() {
		for _, s := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
			if s.Name == container {
				out = append(out, s.RestartCount)
			}
		}
	}
	return out
}

// restarted wants every live pod's container to have been restarted so many times.
func (m *mate) restarted(container string, pods int, times int32) {
	m.t.Helper()
	if got := m.restarts(container); len(got) != pods || slices.ContainsFunc(got, func(n int32) bool { return n != times }) {
		m.t.Errorf("restarts of %s are %v; want %d pods with %d", container, got, pods, times)
	}
}

func (m *mate) kill(part string) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if err := m.fleet.Kill(ctx, ipsMember, part, syscall.SIGKILL); err != nil {
		m.t.Fatal(err)
	}
}

func (m *mate) start(part string) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if err := m.fleet.Start(ctx, ipsMember, part); err != nil {
		m.t.Fatal(err)
	}
}

// webhookAway ends the webhook as a power cut would, for as long as do takes.
func (m *mate) webhookAway(do func()) {
	m.t.Helper()
	m.kill(localfleet.PartWebhook)
	m.t.Cleanup(func() { m.start(localfleet.PartWebhook) }) // where do ends the test.
	do()
	m.start(localfleet.PartWebhook)
}

// missed runs `periplus sidecars missed` at the member, and gives what it says and its exit code.
func (m *mate) missed(args ...string) (string, int) {
	m.t.Helper()
	out, err := m.command("", ipsMember, "", "periplus", append([]string{"sidecars", "missed"}, args...)...)
	var coded interface{ ExitCode() int }
	if err != nil {
		var ok bool
		if coded, ok = err.(interface{ ExitCode() int }); !ok {
			m.t.Fatal(err)
		}
		return out, coded.ExitCode()
	}
	return out, 0
}

// lastSeen watches which pods go: one that was drained is not ready before its deletion begins.
type lastSeen struct{ *mate }

// leaving watches pods that leave from now on.
func (m *mate) leaving() *lastSeen {
	m.t.Helper()
	l := &lastSeen{&mate{port: m.port, pods: map[types.UID]*corev1.Pod{}, runs: map[types.UID]string{"": ""}, least: -1}}
	ctx, cancel := context.WithCancel(context.Background())
	m.t.Cleanup(cancel)
	f := informers.NewSharedInformerFactoryWithOptions(m.kube[ipsMember], 0, informers.WithNamespace(m.ns))
	pods := f.Core().V1().Pods().Informer()
	m.must(pods.AddEventHandler(cache.ResourceEventHandlerFuncs{UpdateFunc: func(old, now any) {
		before, _ := old.(*corev1.Pod)
		after, _ := now.(*corev1.Pod)
		if before != nil && after != nil && before.UID == after.UID && before.DeletionTimestamp == nil && after.DeletionTimestamp != nil && sidecarImages(before) != "" && ready(before) {
			l.mu.Lock()
			l.fault("%s was deleted while it was ready", before.Name)
			l.mu.Unlock()
		}
	}}))
	f.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), pods.HasSynced) {
		m.t.Fatal("the watch of pods did not start")
	}
	return l
}
