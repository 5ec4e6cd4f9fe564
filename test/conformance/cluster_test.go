//go:build conformance

package conformance

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// patience is for one awaited change. Real nodes pull, crash and back off in their own time; 90 seconds are enough for
// them. PERIPLUS_CONFORMANCE_PATIENCE is for those who break a node on purpose and do not want to wait.
var patience = func() time.Duration {
	if d, err := time.ParseDuration(os.Getenv("PERIPLUS_CONFORMANCE_PATIENCE")); err == nil {
		return d
	}
	return 90 * time.Second
}()

var images = map[string]string{
	"GOOD":  "local.invalid/app:v1",
	"OTHER": "local.invalid/app:v2",
	"SAME":  "local.invalid/app:v2-same1",
	"BAD":   "local.invalid/app:bad1",
	"CRASH": "local.invalid/app:crash1",
	"SLOW":  "local.invalid/app:slow1",
	"INIT":  "local.invalid/init:v1",
	// It ends with 0 when it is told to.
	"POLITE": "local.invalid/app:polite1",
}

func image(name string) string {
	if v, ok := os.LookupEnv("PERIPLUS_CONFORMANCE_IMAGE_" + name); ok {
		return v
	}
	return images[name]
}

// The kinds of nodes there are.
const (
	simulatedNodes = "simulated"
	realNodes      = "real"
)

// nodesAre is the kind that the cluster's nodes were declared to be. Without a declaration nothing runs: what is left out on real nodes is never
// left out unasked.
func nodesAre(t *testing.T) string {
	t.Helper()
	kind := os.Getenv("PERIPLUS_CONFORMANCE_NODES")
	if kind != simulatedNodes && kind != realNodes {
		t.Fatalf("PERIPLUS_CONFORMANCE_NODES is %q: say what the cluster's nodes are, %s or %s", kind, simulatedNodes, realNodes)
	}
	return kind
}

// cluster is the cluster under test and a namespace of our own in it.
type cluster struct {
	client    kubernetes.Interface
	namespace string
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	file := os.Getenv("PERIPLUS_CONFORMANCE_KUBECONFIG")
	if file == "" {
		t.Fatal("PERIPLUS_CONFORMANCE_KUBECONFIG is not set: name an admin's kubeconfig of the cluster to test, or run `make conformance`")
	}
	config, err := clientcmd.BuildConfigFromFlags("", file)
	if err != nil {
		t.Fatalf("reading %s: %v", file, err)
	}
	config.QPS = -1
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	ns, err := client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "conformance-"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatalf("making a namespace: %v", err)
	}
	c := &cluster{client: client, namespace: ns.Name}
	t.Cleanup(func() {
		if err := client.CoreV1().Namespaces().Delete(context.Background(), ns.Name, metav1.DeleteOptions{}); err != nil {
			t.Errorf("removing namespace %s: %v", ns.Name, err)
		}
	})
	c.awaitServiceAccount(t)
	return c
}

// awaitServiceAccount waits for what admission needs before it lets a pod in.
func (c *cluster) awaitServiceAccount(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	w, err := c.client.CoreV1().ServiceAccounts(c.namespace).Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=default"})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	if _, ok := <-w.ResultChan(); !ok {
		t.Fatal("the namespace did not get its default ServiceAccount")
	}
}

func container(name, image string) corev1.Container {
	// Containers of a pod share its ports: a server in one must not keep the other's from starting.
	env := []corev1.EnvVar{{Name: "ADDRESS", Value: ":0"}}
	return corev1.Container{Name: name, Image: image, ImagePullPolicy: corev1.PullIfNotPresent, Env: env}
}

// pod makes a pod of these containers. More is set by changing it before create.
func pod(containers ...corev1.Container) *corev1.Pod {
	no, grace := false, int64(2)
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "pod-"},
		Spec:       corev1.PodSpec{Containers: containers, AutomountServiceAccountToken: &no, TerminationGracePeriodSeconds: &grace},
	}
}

// live is a pod in the cluster with every version of it that was seen, oldest first.
type live struct {
	t    *testing.T
	c    *cluster
	name string

	mu       sync.Mutex
	changed  chan struct{}
	versions []*corev1.Pod
	gone     bool
	next     int
}

// create makes the pod and follows it until the test ends.
func (c *cluster) create(t *testing.T, p *corev1.Pod) *live {
	t.Helper()
	made, err := c.client.CoreV1().Pods(c.namespace).Create(t.Context(), p, metav1.CreateOptions{})
	if err != nil {
		t.Fatalf("creating a pod: %v", err)
	}
	l := &live{t: t, c: c, name: made.Name, changed: make(chan struct{}), versions: []*corev1.Pod{made}}
	w, err := c.client.CoreV1().Pods(c.namespace).Watch(t.Context(), metav1.ListOptions{
		FieldSelector: fields.OneTermEqualSelector("metadata.name", made.Name).String(), ResourceVersion: made.ResourceVersion,
	})
	if err != nil {
		t.Fatalf("watching pod %s: %v", made.Name, err)
	}
	t.Cleanup(w.Stop)
	go func() {
		for event := range w.ResultChan() {
			if p, ok := event.Object.(*corev1.Pod); ok {
				l.add(p, event.Type == watch.Deleted)
			}
		}
	}()
	return l
}

func (l *live) add(p *corev1.Pod, gone bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.versions, l.gone = append(l.versions, p), gone
	close(l.changed)
	l.changed = make(chan struct{})
}

// await returns the first version, from the one after the last that was awaited, for which is answers true.
func (l *live) await(what string, is func(*corev1.Pod) bool) *corev1.Pod {
	l.t.Helper()
	timeout := time.After(patience)
	for {
		l.mu.Lock()
		for l.next < len(l.versions) {
			p := l.versions[l.next]
			l.next++
			if is(p) {
				l.mu.Unlock()
				return p
			}
		}
		changed := l.changed
		l.mu.Unlock()
		select {
		case <-changed:
		case <-timeout:
			l.t.Fatalf("waited %s in vain until %s; the pod is\n%s", patience, what, l.describe())
		}
	}
}

// since returns every version after p that was seen so far.
func (l *live) since(p *corev1.Pod) []*corev1.Pod {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, v := range l.versions {
		if v.ResourceVersion == p.ResourceVersion {
			return append([]*corev1.Pod(nil), l.versions[i+1:]...)
		}
	}
	return nil
}

// awaitGone waits until the pod is deleted and returns its last version.
func (l *live) awaitGone() *corev1.Pod {
	l.t.Helper()
	timeout := time.After(patience)
	for {
		l.mu.Lock()
		gone, changed, last := l.gone, l.changed, l.versions[len(l.versions)-1]
		l.mu.Unlock()
		if gone {
			return last
		}
		select {
		case <-changed:
		case <-timeout:
			l.t.Fatalf("waited %s in vain until the pod was gone; it is\n%s", patience, l.describe())
		}
	}
}

func (l *live) describe() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	data, err := json.MarshalIndent(l.versions[len(l.versions)-1].Status, "", "  ")
	if err != nil {
		return err.Error()
	}
	return string(data)
}

// setImage patches the image of a container in place and returns the generation the pod has since.
func (l *live) setImage(name, image string) *corev1.Pod {
	l.t.Helper()
	return l.patch(fmt.Sprintf(`{"spec":{"containers":[{"name":%q,"image":%q}]}}`, name, image))
}

// setGate writes a condition of the pod as a controller does that guards a readiness gate.
func (l *live) setGate(condition string, status corev1.ConditionStatus) {
	l.t.Helper()
	l.patch(fmt.Sprintf(`{"status":{"conditions":[{"type":%q,"status":%q}]}}`, condition, status), "status")
}

func (l *live) patch(patch string, subresource ...string) *corev1.Pod {
	l.t.Helper()
	p, err := l.tryPatch(patch, subresource...)
	if err != nil {
		l.t.Fatalf("patching pod %s: %v", l.name, err)
	}
	return p
}

func (l *live) tryPatch(patch string, subresource ...string) (*corev1.Pod, error) {
	return l.c.client.CoreV1().Pods(l.c.namespace).Patch(l.t.Context(), l.name, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{}, subresource...)
}

// resize writes the cpu that a container requests through the pod's resize subresource, and returns the pod since.
func (l *live) resize(name, cpu string) *corev1.Pod {
	l.t.Helper()
	return l.patch(fmt.Sprintf(`{"spec":{"containers":[{"name":%q,"resources":{"requests":{"cpu":%q}}}]}}`, name, cpu), "resize")
}
