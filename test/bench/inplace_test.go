//go:build bench

package bench

import (
	"context"
	"flag"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"

	"github.com/periplus-dev/periplus/pkg/inplace"
	"github.com/periplus-dev/periplus/pkg/localfleet"
)

var (
	inPlaceSizes  = flag.String("sizes", "500,1000", "InPlace: how many pods the workloads have, comma-separated")
	inPlaceLimits = flag.String("limits", "100%,10%", "InPlace: maxUnavailable of the changes, comma-separated")
	inPlaceRest   = flag.Duration("set-rest", 30*time.Second, "InPlace: how long ten sets of 500 are watched at rest; 0 leaves it out")
	inPlaceKinds  = flag.String("kinds", "InPlaceSet,Deployment,StatefulSet", "InPlace: the kinds that are compared, comma-separated")
)

// serving counts the pods of a namespace that serve, by image, as a watch sees them.
type serving struct {
	mu      sync.Mutex
	images  map[string]string // by pod: the image that it serves with; empty while it does not serve
	changed chan struct{}
}

func (b *bench) serving(cluster string) *serving {
	b.t.Helper()
	return b.servingBy(cluster, func(pod *corev1.Pod) string {
		if inplace.Ready(pod) && !inplace.UpdateInProgress(pod) && pod.DeletionTimestamp == nil {
			return pod.Spec.Containers[0].Image
		}
		return ""
	})
}

// servingBy has pods serve with what imageOf says of them.
func (b *bench) servingBy(cluster string, imageOf func(*corev1.Pod) string) *serving {
	b.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	b.t.Cleanup(cancel)
	s := &serving{images: map[string]string{}, changed: make(chan struct{}, 1)}
	f := informers.NewSharedInformerFactoryWithOptions(b.kube[cluster], 0, informers.WithNamespace(b.ns))
	set := func(o any) {
		pod, ok := o.(*corev1.Pod)
		if !ok {
			return
		}
		s.put(pod.Name, imageOf(pod))
	}
	must(f.Core().V1().Pods().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: set, UpdateFunc: func(_, o any) { set(o) },
		DeleteFunc: func(o any) {
			if pod, ok := o.(*corev1.Pod); ok {
				s.mu.Lock()
				delete(s.images, pod.Name)
				s.mu.Unlock()
			}
		},
	}))(b.t)
	f.Start(ctx.Done())
	f.WaitForCacheSync(ctx.Done())
	return s
}

func (s *serving) put(pod, image string) {
	s.mu.Lock()
	s.images[pod] = image
	s.mu.Unlock()
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// until n pods serve with an image, and none with another.
func (s *serving) until(t *testing.T, n int, image string) {
	t.Helper()
	deadline := time.After(limit)
	for {
		s.mu.Lock()
		have := 0
		for _, i := range s.images {
			if i == image {
				have++
			}
		}
		all := len(s.images)
		s.mu.Unlock()
		if have == n && all == n {
			return
		}
		select {
		case <-s.changed:
		case <-deadline:
			t.Fatalf("%d of %d pods serve with %s after %s", have, n, image, limit)
		}
	}
}

// kindOf workload that is compared: what makes one of n pods that may be unavailable as limit says, and where its template stands in the API.
type kindOf struct {
	name, resource string
	manifest       func(b *bench, n int, limit string) string
}

const podTemplate = `
  template:
    metadata: {labels: {app: web}}
    spec: {terminationGracePeriodSeconds: 0, containers: [{name: app, image: %s}]}
`

var kinds = []kindOf{
	{name: "InPlaceSet", resource: "inplacesets.apps.periplus.dev", manifest: func(b *bench, n int, limit string) string {
		return fmt.Sprintf("apiVersion: apps.periplus.dev/v1alpha1\nkind: InPlaceSet\nmetadata: {name: web, namespace: %s}\nspec:\n  replicas: %d\n  selector: {matchLabels: {app: web}}\n"+
			"  updateStrategy: {maxUnavailable: %q, gracePeriodSeconds: 0}", b.ns, n, limit) + fmt.Sprintf(podTemplate, image(1))
	}},
	{name: "Deployment", resource: "deployments.apps", manifest: func(b *bench, n int, limit string) string {
		return fmt.Sprintf("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: %s}\nspec:\n  replicas: %d\n  selector: {matchLabels: {app: web}}\n"+
			"  strategy: {rollingUpdate: {maxSurge: 0, maxUnavailable: %q}}", b.ns, n, limit) + fmt.Sprintf(podTemplate, image(1))
	}},
	{name: "StatefulSet", resource: "statefulsets.apps", manifest: func(b *bench, n int, limit string) string {
		return fmt.Sprintf("apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: web, namespace: %s}\nspec:\n  replicas: %d\n  serviceName: web\n  selector: {matchLabels: {app: web}}\n"+
			"  podManagementPolicy: Parallel\n  updateStrategy: {rollingUpdate: {maxUnavailable: %q}}", b.ns, n, limit) + fmt.Sprintf(podTemplate, image(1))
	}},
}

// TestInPlace changes sets in place, and in the same run the cluster's own kinds by their rolling updates, on simulated nodes: seconds, writes and what our
// controller used.
func TestInPlace(t *testing.T) {
	const member = "m1"
	b := newBenchOn(t, []string{member})
	r := newReport(t, "", "pods", "seconds", "pods/s", "× InPlaceSet", "writes to pods, each, of everybody", "requests of ours a pod", "controller CPU a pod", "peak memory", "CPU of each process a pod, ms")
	for size := range strings.SplitSeq(*inPlaceSizes, ",") {
		n := 0
		if _, err := fmt.Sscan(size, &n); err != nil {
			t.Fatalf("-sizes: %v", err)
		}
		base := map[string]time.Duration{}
		for _, kind := range kinds {
			if !strings.Contains(","+*inPlaceKinds+",", ","+kind.name+",") {
				continue
			}
			measure := func(what string, image string, do func()) {
				seen := b.serving(member)
				m := b.meter(member, localfleet.PartWorkloads)
				start := time.Now()
				do()
				seen.until(t, n, image)
				took := time.Since(start)
				u := m.read()
				ratio, ours, cpu, peak := "", "", "", ""
				if kind.name == "InPlaceSet" {
					base[what] = took
					ours, cpu, peak = fmt.Sprintf("%.2f", u.ours/float64(n)), fmt.Sprintf("%.1f ms", 1000*u.cpu.Seconds()/float64(n)), fmt.Sprintf("%d MB", u.peak>>20)
				}
				if base[what] > 0 {
					ratio = fmt.Sprintf("%.2f", took.Seconds()/base[what].Seconds())
				}
				r.row(kind.name+", "+what, fmt.Sprint(n), fmt.Sprintf("%.1f", took.Seconds()), fmt.Sprintf("%.0f", float64(n)/took.Seconds()), ratio, u.perPod(n), ours, cpu, peak, perPodCPU(u.all, n))
				t.Logf("%s, %s, %d pods: %s, ours %.2f a pod, CPU %s, peak %d MB, ms a pod: %s, writes: %s", kind.name, what, n, took.Round(time.Millisecond), u.ours/float64(n), u.cpu, u.peak>>20,
					perPodCPU(u.all, n), u.perPod(n))
			}
			limits := strings.Split(*inPlaceLimits, ",")
			measure("creation", image(1), func() { b.apply(member, kind.manifest(b, n, limits[0])) })
			for i, limit := range limits {
				if i > 0 {
					b.apply(member, strings.ReplaceAll(kind.manifest(b, n, limit), image(1), image(i+1)))
				}
				measure("change at "+limit, image(i+2), func() {
					b.kubectl(member, "", "patch", kind.resource, "web", "-n", b.ns, "--type=json", "-p",
						fmt.Sprintf(`[{"op":"replace","path":"/spec/template/spec/containers/0/image","value":%q}]`, image(i+2)))
				})
			}
			b.kubectl(member, "", "delete", kind.resource, "web", "-n", b.ns, "--cascade=foreground", "--timeout=10m")
			b.noPods(member)
		}
	}
	if *inPlaceRest > 0 {
		b.atRest(r, member)
	}
	r.note("Requests of ours are all that ServiceAccounts made, reads, status and events included; a watch is none.")
	r.publish(t)
}

// noPods waits until the namespace has none.
func (b *bench) noPods(cluster string) {
	b.t.Helper()
	b.serving(cluster).until(b.t, 0, "")
}

// atRest has ten sets of 500, and nothing to do.
func (b *bench) atRest(r *report, member string) {
	b.t.Helper()
	const sets, each = 10, 500
	seen := b.serving(member)
	for i := range sets {
		b.apply(member, strings.NewReplacer("name: web,", fmt.Sprintf("name: rest-%d,", i), "app: web", fmt.Sprintf("app: rest-%d", i)).Replace(kinds[0].manifest(b, each, "100%")))
	}
	seen.until(b.t, sets*each, image(1))
	m := b.meter(member, localfleet.PartWorkloads)
	time.Sleep(*inPlaceRest) // what happens in it is what is measured.
	u := m.read()
	r.row("InPlaceSet, at rest", fmt.Sprintf("%d x %d", sets, each), fmt.Sprintf("%.0f", inPlaceRest.Seconds()), "", "", "", fmt.Sprintf("%.0f in all", u.ours),
		fmt.Sprintf("%.1f ms in all", 1000*u.cpu.Seconds()), fmt.Sprintf("%d MB", u.peak>>20), "in all: "+perPodCPU(u.all, 1))
	for i := range sets {
		must(0, b.apps[member].AppsV1alpha1().InPlaceSets(b.ns).Delete(context.Background(), fmt.Sprintf("rest-%d", i), metav1.DeleteOptions{}))(b.t)
	}
}
