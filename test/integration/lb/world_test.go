//go:build integration

package lb

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	runtimeapi "github.com/periplus-dev/periplus/pkg/lb/haproxy"
	"github.com/periplus-dev/periplus/test/haproxy"
	"github.com/periplus-dev/periplus/test/integration/apiserver"
)

const finalizer = v1alpha1.BalancerPrefix + "edge-0"

// world is a namespace of pods, a HAProxy and what is in it, as the test sees it.
type world struct {
	t       *testing.T
	ns      string
	haproxy *haproxy.Server
	api     *runtimeapi.Client
	apps    map[string]*app
}

// made counts worlds, so that a test may run more than once.
var made atomic.Int32

// newWorld has a HAProxy with the example's configuration, in which words may be replaced by others, old and new in turn.
func newWorld(t *testing.T, replace ...string) *world {
	t.Helper()
	w := &world{t: t, ns: fmt.Sprintf("lb-%d", made.Add(1)), apps: map[string]*app{}}
	if _, err := admin.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.ns}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	// The controller manager would make it.
	if _, err := admin.CoreV1().ServiceAccounts(w.ns).Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	w.applyExample()
	config, err := os.ReadFile(filepath.Join(example, "haproxy.cfg"))
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "lb-*")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	replace = append([]string{"/var/run/haproxy/admin.sock", "SOCKET", "bind :8080", "bind ADDRESS"}, replace...)
	for i := 0; i < len(replace); i += 2 {
		if !strings.Contains(string(config), replace[i]) {
			t.Fatalf("haproxy.cfg has no %q", replace[i])
		}
		config = []byte(strings.Replace(string(config), replace[i], replace[i+1], 1))
	}
	if w.haproxy, err = haproxy.New(t.Context(), program, dir, string(config)); err != nil {
		t.Fatal(err)
	}
	if err := w.haproxy.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.haproxy.Kill() })
	if w.api, err = runtimeapi.New(w.haproxy.Socket, "web"); err != nil {
		t.Fatal(err)
	}
	w.audit()
	return w
}

func (w *world) applyExample() {
	w.t.Helper()
	objects, err := apiserver.ReadManifests(example)
	if err != nil || len(objects) < 5 {
		w.t.Fatalf("reading %s: %d objects, %v", example, len(objects), err)
	}
	for _, object := range objects {
		object.SetNamespace(w.ns)
		if err := server.ApplyObject(w.t.Context(), object.DeepCopy()); err != nil {
			w.t.Fatal(err)
		}
	}
}

// pod makes a pod with an application of its own, not ready and with its gate closed, as an InPlaceSet does.
func (w *world) pod(name string, change ...func(*corev1.Pod)) *app {
	w.t.Helper()
	a := w.apps[name]
	if a == nil {
		a = newApp(w.t, name, len(w.apps)+1)
		w.apps[name] = a
	}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": "web"}},
		Spec: corev1.PodSpec{
			NodeName: "n1", TerminationGracePeriodSeconds: ptr.To[int64](0),
			ReadinessGates: []corev1.PodReadinessGate{{ConditionType: v1alpha1.ReadinessGateInService}},
			Containers:     []corev1.Container{{Name: "app", Image: "web:v1"}},
		},
	}
	for _, c := range change {
		c(pod)
	}
	if _, err := admin.CoreV1().Pods(w.ns).Create(w.t.Context(), pod, metav1.CreateOptions{}); err != nil {
		w.t.Fatal(err)
	}
	return a
}

// status writes what the kubelet and the InPlaceSet controller would.
func (w *world) status(name string, gate, ready bool) {
	w.t.Helper()
	w.statusAt(name, w.apps[name].ip, gate, ready)
}

func (w *world) statusAt(name, ip string, gate, ready bool) {
	w.t.Helper()
	as := map[bool]corev1.ConditionStatus{true: corev1.ConditionTrue, false: corev1.ConditionFalse}
	patch, err := json.Marshal(map[string]any{"status": map[string]any{
		"phase": "Running", "podIP": ip, "podIPs": []map[string]string{{"ip": ip}},
		"conditions": []corev1.PodCondition{{Type: v1alpha1.ReadinessGateInService, Status: as[gate]}, {Type: corev1.PodReady, Status: as[ready]}},
	}})
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := admin.CoreV1().Pods(w.ns).Patch(w.t.Context(), name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status"); err != nil {
		w.t.Fatal(err)
	}
}

// serving makes a pod that is ready, and waits until HAProxy forwards to it.
func (w *world) serving(names ...string) {
	w.t.Helper()
	for _, name := range names {
		w.pod(name)
		w.status(name, true, true)
	}
	for _, name := range names {
		w.registered(name)
	}
}

func (w *world) get(name string) *corev1.Pod {
	pod, err := admin.CoreV1().Pods(w.ns).Get(context.Background(), name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		w.t.Error(err)
	}
	return pod
}

func held(pod *corev1.Pod) bool { return pod != nil && slices.Contains(pod.Finalizers, finalizer) }

// servers that HAProxy has of the pods of that name; none while it is away.
func (w *world) servers(name string) []runtimeapi.Server {
	seen, err := w.api.Look(context.Background())
	if err != nil {
		return nil
	}
	var out []runtimeapi.Server
	for server, s := range seen.Servers {
		if strings.HasPrefix(server, name+"_") {
			out = append(out, s)
		}
	}
	return out
}

func (w *world) registered(name string) {
	w.t.Helper()
	w.until(name+" is registered and held", func() bool {
		s := w.servers(name)
		return held(w.get(name)) && len(s) == 1 && s[0].State == runtimeapi.Ready
	})
}

func (w *world) letGo(name string) {
	w.t.Helper()
	w.until(name+" is let go of", func() bool { return !held(w.get(name)) })
	if s := w.servers(name); len(s) > 0 {
		w.t.Fatalf("the finalizer of %s is gone, and HAProxy has %+v", name, s)
	}
}

func (w *world) until(what string, ok func() bool) {
	w.t.Helper()
	deadline := time.After(limit)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			seen, err := w.api.Look(context.Background())
			w.t.Fatalf("it is not so that %s; HAProxy says %+v, %v", what, seen, err)
		case <-tick.C:
		}
	}
}

// audit looks at every version of every pod, all the time: one that does not carry the finalizer in a version that was there before HAProxy was asked and still
// is after, has no server that HAProxy forwards to. A pod whose finalizer a test took off itself has the annotation "robbed".
func (w *world) audit() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	var looks, versions int
	go func() {
		defer close(done)
		seenVersions := map[string]bool{}
		for ctx.Err() == nil {
			before, err := admin.CoreV1().Pods(w.ns).List(ctx, metav1.ListOptions{})
			if err != nil {
				continue
			}
			seen, err := w.api.Look(ctx)
			if err != nil {
				continue
			}
			after, err := admin.CoreV1().Pods(w.ns).List(ctx, metav1.ListOptions{})
			if err != nil {
				continue
			}
			looks++
			still := map[string]bool{}
			for i := range after.Items {
				still[after.Items[i].ResourceVersion] = true
			}
			for i := range before.Items {
				pod := &before.Items[i]
				seenVersions[pod.ResourceVersion] = true
				if held(pod) || pod.Annotations["robbed"] != "" || !still[pod.ResourceVersion] {
					continue
				}
				for server, s := range seen.Servers {
					if strings.HasPrefix(server, pod.Name+"_"+string(pod.UID[:8])) {
						w.t.Errorf("HAProxy has %s (%s) and the pod no finalizer, in version %s", server, s.State, pod.ResourceVersion)
					}
				}
			}
		}
		versions = len(seenVersions)
	}()
	w.t.Cleanup(func() {
		cancel()
		<-done
		w.t.Logf("audited: %d looks at %d versions of pods", looks, versions)
		if looks == 0 && len(w.apps) > 0 {
			w.t.Error("nothing was audited")
		}
	})
}
