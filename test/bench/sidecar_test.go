//go:build bench

package bench

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/periplus-dev/periplus/pkg/inplace"
	"github.com/periplus-dev/periplus/pkg/localfleet"
	"github.com/periplus-dev/periplus/pkg/webhook"
)

var (
	sidecarSets = flag.Int("sidecar-sets", 20, "Sidecar: how many SidecarSets mean each new pod")
	sidecarNew  = flag.Int("sidecar-new", 500, "Sidecar: how many pods are created with them")
	sidecarPods = flag.Int("sidecar-pods", 2000, "Sidecar: how many pods one sidecar is upgraded in")
)

// latencies are the observations of a histogram, by the upper bounds of its buckets.
type latencies map[float64]float64

// quantile is the bound of the bucket in which a share q of the observations ends.
func (l latencies) quantile(q float64) string {
	var bounds []float64
	all := 0.0
	for bound, n := range l {
		bounds, all = append(bounds, bound), max(all, n)
	}
	slices.Sort(bounds)
	for _, bound := range bounds {
		if all > 0 && l[bound] >= q*all {
			if math.IsInf(bound, 1) {
				break
			}
			return fmt.Sprintf("≤ %g ms", 1000*bound)
		}
	}
	return "more than was measured"
}

func (l latencies) count() (n float64) {
	for _, of := range l {
		n = max(n, of)
	}
	return n
}

func (l latencies) since(before latencies) latencies {
	out := latencies{}
	for bound, n := range l {
		out[bound] = n - before[bound]
	}
	return out
}

func histogram(t *testing.T, raw []byte, name string, of func(labels map[string]string) bool) latencies {
	t.Helper()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families := must(parser.TextToMetricFamilies(bytes.NewReader(raw)))(t)
	out := latencies{}
	for _, m := range families[name].GetMetric() {
		if of(labelsOf(m)) {
			for _, bucket := range m.GetHistogram().GetBucket() {
				out[bucket.GetUpperBound()] += float64(bucket.GetCumulativeCount())
			}
			out[math.Inf(1)] += float64(count(m))
		}
	}
	return out
}

func count(m *dto.Metric) uint64 { return m.GetHistogram().GetSampleCount() }

// injections are the times that the webhook took by its own clock, inside, and those that the API server waited for it, asked.
func (b *bench) injections(cluster string) (inside, asked latencies) {
	b.t.Helper()
	port := must(b.fleet.State())(b.t).Port(cluster, localfleet.PartWebhook, "metrics")
	req := must(http.NewRequestWithContext(context.Background(), http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/metrics", port), nil))(b.t)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		b.t.Fatalf("reading the webhook's metrics: %v", err)
	}
	defer func() { _ = res.Body.Close() }()
	inside = histogram(b.t, must(io.ReadAll(res.Body))(b.t), "periplus_webhook_request_duration_seconds", func(map[string]string) bool { return true })
	raw := must(b.kube[cluster].Discovery().RESTClient().Get().AbsPath("/metrics").DoRaw(context.Background()))(b.t)
	asked = histogram(b.t, raw, "apiserver_admission_webhook_admission_duration_seconds", func(l map[string]string) bool { return l["name"] == webhook.Registration })
	return inside, asked
}

// sidecars makes so many SidecarSets over the namespace's pods, named and numbered, and waits until new pods get them.
func (b *bench) sidecars(cluster string, n int, strategy string) {
	b.t.Helper()
	b.kubectl(cluster, "", "label", "namespace", b.ns, "bench="+b.ns, "--overwrite")
	for i := range n {
		b.apply(cluster, fmt.Sprintf(`
apiVersion: apps.periplus.dev/v1alpha1
kind: SidecarSet
metadata: {name: %[1]s}
spec:
  selector: {matchLabels: {app: web}}
  namespaceSelector: {matchLabels: {bench: %[2]s}}
  containers: [{name: %[1]s, image: %[3]q}]
  updateStrategy: %[4]s
`, b.sidecar(i), b.ns, image(1), strategy))
	}
	b.t.Cleanup(func() {
		for i := range n {
			_ = b.apps[cluster].AppsV1alpha1().SidecarSets().Delete(context.Background(), b.sidecar(i), metav1.DeleteOptions{})
		}
	})
	deadline := time.Now().Add(limit)
	for {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{GenerateName: "probe-", Namespace: b.ns, Labels: map[string]string{"app": "web"}}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: image(1)}}}}
		got, err := b.kube[cluster].CoreV1().Pods(b.ns).Create(context.Background(), pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if err == nil && len(got.Spec.Containers) == n+1 {
			return
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("new pods do not get %d sidecars: %v", n, err)
		}
		time.Sleep(100 * time.Millisecond) // a dry run has no watch.
	}
}

func (b *bench) sidecar(i int) string { return fmt.Sprintf("%s-%02d", b.ns, i) }

// TestSidecar says what it takes to put sidecars into new pods, and to give one a new version in pods that run; beside it, a change of the application in the same pods.
func TestSidecar(t *testing.T) {
	const member = "m1"
	b := newBenchOn(t, []string{member})
	r := newReport(t, "", "pods", "seconds", "pods/s", "in the webhook, p50", "p99", "asked by the API server, p99", "writes to pods, each, of everybody", "requests of ours a pod", "controller CPU a pod", "peak memory")
	measure := func(what, part string, n int, do func(), done func()) {
		inside, asked := b.injections(member)
		m := b.meter(member, part)
		start := time.Now()
		do()
		done()
		took := time.Since(start)
		u := m.read()
		inside2, asked2 := b.injections(member)
		inside, asked = inside2.since(inside), asked2.since(asked)
		p50, p99, waited := "", "", ""
		if inside.count() > 0 {
			p50, p99, waited = inside.quantile(.5), inside.quantile(.99), asked.quantile(.99)
		}
		r.row(what, fmt.Sprint(n), fmt.Sprintf("%.1f", took.Seconds()), fmt.Sprintf("%.0f", float64(n)/took.Seconds()), p50, p99, waited, u.perPod(n), fmt.Sprintf("%.2f", u.ours/float64(n)),
			fmt.Sprintf("%.1f ms", 1000*u.cpu.Seconds()/float64(n)), fmt.Sprintf("%d MB", u.peak>>20))
		t.Logf("%s, %d pods: %s, in the webhook %s/%s (%.0f requests), asked %s, ours %.2f a pod, CPU %s, peak %d MB, writes: %s", what, n, took.Round(time.Millisecond), p50, p99, inside.count(), waited,
			u.ours/float64(n), u.cpu, u.peak>>20, u.perPod(n))
	}
	create := func(n int, limit string) func() { return func() { b.apply(member, kinds[0].manifest(b, n, limit)) } }
	gone := func() {
		b.kubectl(member, "", "delete", "inplacesets.apps.periplus.dev", "web", "-n", b.ns, "--cascade=foreground", "--timeout=20m")
		b.noPods(member)
	}

	seen := b.serving(member)
	serve := func(n int, version int) func() { return func() { seen.until(t, n, image(version)) } }
	measure("creation without sidecars", localfleet.PartWebhook, *sidecarNew, create(*sidecarNew, "100%"), serve(*sidecarNew, 1))
	gone()
	b.sidecars(member, *sidecarSets, `{partition: "100%"}`)
	measure(fmt.Sprintf("creation with %d", *sidecarSets), localfleet.PartWebhook, *sidecarNew, create(*sidecarNew, "100%"), serve(*sidecarNew, 1))
	gone()
	for i := range *sidecarSets {
		must(0, b.apps[member].AppsV1alpha1().SidecarSets().Delete(context.Background(), b.sidecar(i), metav1.DeleteOptions{}))(t)
	}

	for _, drain := range []bool{false, true} {
		what := "upgrade while serving"
		if drain {
			what = "upgrade with drain"
		}
		b.sidecars(member, 1, fmt.Sprintf(`{maxUnavailable: "10%%", drain: %t, gracePeriodSeconds: 0}`, drain))
		b.apply(member, kinds[0].manifest(b, *sidecarPods, "10%"))
		seen.until(t, *sidecarPods, image(1))
		changed := b.sidecarsSeen(member, b.sidecar(0))
		measure(what, localfleet.PartWorkloads, *sidecarPods, func() {
			b.kubectl(member, "", "patch", "sidecarsets.apps.periplus.dev", b.sidecar(0), "--type=json", "-p", fmt.Sprintf(`[{"op":"replace","path":"/spec/containers/0/image","value":%q}]`, image(2)))
		}, func() { changed.until(t, *sidecarPods, image(2)) })
		if drain {
			measure("change of the application, in place", localfleet.PartWorkloads, *sidecarPods, func() {
				b.kubectl(member, "", "patch", "inplacesets.apps.periplus.dev", "web", "-n", b.ns, "--type=json", "-p", fmt.Sprintf(`[{"op":"replace","path":"/spec/template/spec/containers/0/image","value":%q}]`, image(2)))
			}, serve(*sidecarPods, 2))
		}
		gone()
		must(0, b.apps[member].AppsV1alpha1().SidecarSets().Delete(context.Background(), b.sidecar(0), metav1.DeleteOptions{}))(t)
	}
	r.note("Pods are those of an InPlaceSet. CPU and memory are the webhook's for creations, else the controllers'. Times in the webhook are bounds of its histogram's buckets. All changes are under maxUnavailable 10%%.")
	r.publish(t)
}

// sidecarsSeen counts the pods that serve, by the image of one sidecar.
func (b *bench) sidecarsSeen(cluster, container string) *serving {
	b.t.Helper()
	return b.servingBy(cluster, func(pod *corev1.Pod) string {
		if !inplace.Ready(pod) || inplace.UpdateInProgress(pod) || pod.DeletionTimestamp != nil {
			return ""
		}
		for i := range pod.Spec.Containers {
			if pod.Spec.Containers[i].Name == container {
				return pod.Spec.Containers[i].Image
			}
		}
		return ""
	})
}
