//go:build bench

// Package bench measures on a local fleet of real API servers what docs/benchmarks.md says: how fast a freeze holds, how fast a release goes back, how fast one stage
// follows another, and what the hub takes; and how often guards are right, for which it needs no fleet. `make bench` brings the fleet up. Whatever is timed is timed by
// when a watch of this process saw it.
package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	pipelinev1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	tektonclient "github.com/tektoncd/pipeline/pkg/client/clientset/versioned"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"

	"github.com/periplus-dev/periplus/pkg/client/clientset/versioned"
	"github.com/periplus-dev/periplus/pkg/localfleet"
)

var (
	members = []string{"m1", "m2", "m3"}
	units   = []string{"dca", "dcb"}
)

// limit of a wait that the figures do not hang on.
const limit = 20 * time.Minute

// bench is one benchmark's view of the fleet: a namespace of its own in every cluster.
type bench struct {
	t       *testing.T
	ns      string
	fleet   *localfleet.Running
	bin     string
	tekton  tektonclient.Interface
	hub     versioned.Interface
	hubKube kubernetes.Interface
	apps    map[string]versioned.Interface
	kube    map[string]kubernetes.Interface
}

func newBench(t *testing.T) *bench {
	t.Helper()
	return newBenchOn(t, members)
}

// newBenchOn takes the members that it names alone.
func newBenchOn(t *testing.T, members []string) *bench {
	t.Helper()
	fleet := must(localfleet.Load(os.Getenv("PERIPLUS_FLEET")))(t)
	if there := must(fleet.Members())(t); len(there) < len(members) {
		t.Fatalf("the fleet in PERIPLUS_FLEET has %d members; bring it up with --members %d", len(there), len(members))
	}
	checkout := must(localfleet.FindCheckout(must(os.Getwd())(t)))(t)
	b := &bench{t: t, fleet: fleet, bin: localfleet.BinDir(checkout), apps: map[string]versioned.Interface{}, kube: map[string]kubernetes.Interface{}}
	b.ns = fmt.Sprintf("bench-%s-%04x", strings.ToLower(strings.TrimPrefix(t.Name(), "Bench")), rand.IntN(1<<16)) // #nosec G404 -- a name.
	b.ns = strings.NewReplacer("test", "", "/", "-").Replace(b.ns)
	hub := must(fleet.RESTConfig("hub", ""))(t)
	hub.QPS = -1
	b.tekton, b.hub, b.hubKube = must(tektonclient.NewForConfig(hub))(t), must(versioned.NewForConfig(hub))(t), must(kubernetes.NewForConfig(hub))(t)
	for _, m := range members {
		c := must(fleet.RESTConfig(m, ""))(t)
		c.QPS = -1
		b.apps[m] = must(versioned.NewForConfig(c))(t)
		c.ContentType = runtime.ContentTypeProtobuf // this process watches hundreds of pods on the machine that it measures.
		b.kube[m] = must(kubernetes.NewForConfig(c))(t)
	}
	for _, c := range append([]string{"hub"}, members...) {
		b.apply(c, "{apiVersion: v1, kind: Namespace, metadata: {name: "+b.ns+"}}")
		t.Cleanup(func() { b.kubectl(c, "", "delete", "namespace", b.ns, "--wait=false") })
	}
	return b
}

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func (b *bench) kubectl(cluster, stdin string, args ...string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(b.bin, "kubectl"), args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+b.fleet.KubeconfigOf(cluster, ""))
	cmd.Stdin = strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		b.t.Fatalf("kubectl %s in %s: %v\n%s", strings.Join(args, " "), cluster, err, out)
	}
}

func (b *bench) apply(cluster, manifest string) {
	b.t.Helper()
	b.kubectl(cluster, manifest, "apply", "--server-side", "-f", "-")
}

// workload puts one application in every member named, a set with so many pods in each unit named, and its Target on the hub.
func (b *bench) workload(name string, pods int, maxUnavailable string, in, of []string) {
	b.t.Helper()
	b.target(name, name, maxUnavailable)
	for _, m := range in {
		for _, u := range of {
			b.apply(m, fmt.Sprintf(`
apiVersion: apps.periplus.dev/v1alpha1
kind: InPlaceSet
metadata: {name: %[1]s-%[2]s, namespace: %[3]s, labels: {app: %[1]s, apps.periplus.dev/unit: %[2]s}}
spec:
  replicas: %[4]d
  selector: {matchLabels: {app: %[1]s, dc: %[2]s}}
  template:
    metadata: {labels: {app: %[1]s, dc: %[2]s}}
    spec:
      nodeSelector: {topology.kubernetes.io/zone: %[2]s}
      containers: [{name: app, image: %[5]s}]
  updateStrategy: {partition: 100%%, maxUnavailable: 100%%, gracePeriodSeconds: 0}
`, name, u, b.ns, pods, image(1)))
		}
	}
}

// target names a workload, under a limit.
func (b *bench) target(name, app, maxUnavailable string) {
	b.t.Helper()
	b.apply("hub", fmt.Sprintf(`
apiVersion: stages.periplus.dev/v1alpha1
kind: Target
metadata: {name: %s, namespace: %s}
spec:
  workload: {apiVersion: apps.periplus.dev/v1alpha1, kind: InPlaceSet, selector: {app: %s}}
  maxUnavailable: %s
`, name, b.ns, app, maxUnavailable))
}

func image(version int) string { return fmt.Sprintf("registry.example/web:v%d", version) }

// start creates a PipelineRun of the tasks given as YAML, in the order of what they say, and returns its name.
func (b *bench) start(tasks string) string {
	b.t.Helper()
	pr := &pipelinev1.PipelineRun{}
	if err := yaml.UnmarshalStrict([]byte("spec: {timeouts: {pipeline: \"0\"}, pipelineSpec: {"+tasks+"}}"), pr); err != nil {
		b.t.Fatalf("%v in\n%s", err, tasks)
	}
	pr.Name = fmt.Sprintf("run-%08x", rand.Uint32()) // #nosec G404 -- a name.
	pr, err := b.tekton.TektonV1().PipelineRuns(b.ns).Create(context.Background(), pr, metav1.CreateOptions{})
	return must(pr, err)(b.t).Name
}

// stage is a task of a pipeline in YAML.
func stage(name, after, kind, spec string) string {
	return fmt.Sprintf("{name: %s, timeout: \"0\", runAfter: [%s], taskSpec: {apiVersion: stages.periplus.dev/v1alpha1, kind: %s, spec: {%s}}}", name, after, kind, spec)
}

// waiting starts so many runs that wait for a person, and returns when all of them do.
func (b *bench) waiting(n int) {
	b.t.Helper()
	look := b.look()
	for range n {
		b.start("tasks: [" + stage("ask", "", "Confirm", "message: \"go on?\"") + "]")
	}
	look.when(limit, "all runs wait for an answer", func() bool {
		asked := 0
		for _, s := range look.stages {
			if s.reason == "AwaitingApproval" {
				asked++
			}
		}
		return asked == n
	})
}
