package traffic

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	appsv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
)

// target of Prometheus's HTTP service discovery.
type target struct {
	Targets []string          `json:"targets"`
	Labels  map[string]string `json:"labels"`
}

// Discovery is the URL where Prometheus learns what to scrape: every pod with its pod, member, namespace, app and unit. The version is a label of the metrics.
func (a *Apps) Discovery() string { return "http://" + a.address + "/targets" }

// URL of a pod: it ends in /, answers requests there, and shows its metrics below it at metrics.
func (a *Apps) URL(member, namespace, pod string) string {
	return "http://" + a.address + path(member, namespace, pod) + "/"
}

func path(member, namespace, pod string) string {
	return "/pods/" + member + "/" + namespace + "/" + pod
}

func (a *Apps) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /targets", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(a.targets())
	})
	mux.HandleFunc("GET /pods/{member}/{namespace}/{pod}/metrics", a.metrics)
	mux.HandleFunc("GET /pods/{member}/{namespace}/{pod}/{$}", a.request)
	return mux
}

func (a *Apps) targets() []target {
	out := []target{}
	for _, n := range a.namespaces() {
		n.mu.Lock()
		for k, p := range n.pods {
			if !p.ran {
				continue
			}
			out = append(out, target{[]string{a.address}, map[string]string{
				"__metrics_path__": path(k.member, n.name, k.name) + "/metrics", "instance": k.member + "/" + n.name + "/" + k.name,
				"pod": k.name, "member": k.member, "namespace": n.name, "app": p.labels["app"], "unit": p.labels[appsv1alpha1.LabelUnit]}})
		}
		n.mu.Unlock()
	}
	slices.SortFunc(out, func(a, b target) int { return strings.Compare(a.Labels["instance"], b.Labels["instance"]) })
	return out
}

// pod that a request is for; nil where there is none.
func (a *Apps) pod(r *http.Request) *pod {
	n := a.namespace(r.PathValue("namespace"))
	if n == nil {
		return nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.pods[key{r.PathValue("member"), r.PathValue("pod")}]
}

func (a *Apps) metrics(w http.ResponseWriter, r *http.Request) {
	p := a.pod(r)
	if p == nil {
		http.Error(w, "no such pod", http.StatusNotFound)
		return
	}
	var g prometheus.Gatherer
	p.with(func(l *Load) { g = l.Gather(a.clock.Now()) })
	if g == nil {
		http.Error(w, "its container does not run", http.StatusServiceUnavailable)
		return
	}
	promhttp.HandlerFor(g, promhttp.HandlerOpts{}).ServeHTTP(w, r)
}

// request is answered as the version does: so often by an error, and after so long.
func (a *Apps) request(w http.ResponseWriter, r *http.Request) {
	p := a.pod(r)
	var failed, ok bool
	var latency time.Duration
	if p != nil {
		p.with(func(l *Load) { failed, latency, ok = l.Request(a.clock.Now()) })
	}
	if !ok {
		http.Error(w, "its container does not run", http.StatusServiceUnavailable)
		return
	}
	timer := time.NewTimer(latency)
	defer timer.Stop()
	select {
	case <-r.Context().Done():
		return
	case <-timer.C:
	}
	if failed {
		http.Error(w, "sick", http.StatusInternalServerError)
		return
	}
	fmt.Fprintln(w, "well")
}
