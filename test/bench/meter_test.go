//go:build bench

package bench

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// meter reads what an API server counted of writes, and what our controller used, since it was begun.
type meter struct {
	b       *bench
	cluster string
	part    string
	before  map[string]float64
	cpu     time.Duration
	all     map[string]time.Duration
}

// meter begins to count. It also begins a new peak of the part's memory (Linux: 5 into clear_refs).
func (b *bench) meter(cluster, part string) *meter {
	b.t.Helper()
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", b.pid(cluster, part)), []byte("5"), 0o200); err != nil {
		b.t.Fatalf("beginning a new peak of the memory of %s: %v", part, err)
	}
	return &meter{b: b, cluster: cluster, part: part, before: b.writes(cluster), cpu: b.cpu(cluster, part), all: b.processes(cluster)}
}

// cost is what was counted.
type cost struct {
	// pods are writes to pods by verb and subresource, of everybody. ours are all writes and reads of ServiceAccounts, which in a member our controller alone has.
	pods map[string]float64
	ours float64
	cpu  time.Duration
	// all is the processor time of every process that had a part in it.
	all  map[string]time.Duration
	peak int64 // bytes
}

func (m *meter) read() cost {
	m.b.t.Helper()
	u := cost{pods: map[string]float64{}, cpu: m.b.cpu(m.cluster, m.part) - m.cpu, all: m.b.processes(m.cluster), peak: m.b.peak(m.cluster, m.part)}
	for name, before := range m.all {
		u.all[name] -= before
	}
	for key, now := range m.b.writes(m.cluster) {
		n := now - m.before[key]
		switch {
		case n <= 0:
		case key == oursKey:
			u.ours = n
		default:
			u.pods[key] += n
		}
	}
	return u
}

// perPod says the writes to each of n pods by verb, most first.
func (u cost) perPod(n int) string {
	keys := make([]string, 0, len(u.pods))
	for k := range u.pods {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b string) int { return int(1000 * (u.pods[b] - u.pods[a])) })
	var out []string
	for _, k := range keys {
		if each := u.pods[k] / float64(n); each >= 0.005 {
			out = append(out, fmt.Sprintf("%s %.2f", k, each))
		}
	}
	return strings.Join(out, ", ")
}

const oursKey = "ours"

// writes that an API server counted (apiserver_request_total), and the requests that it dispatched for ServiceAccounts
// (apiserver_flowcontrol_dispatched_requests_total).
func (b *bench) writes(cluster string) map[string]float64 {
	b.t.Helper()
	raw := must(b.kube[cluster].Discovery().RESTClient().Get().AbsPath("/metrics").DoRaw(context.Background()))(b.t)
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families := must(parser.TextToMetricFamilies(bytes.NewReader(raw)))(b.t)
	out := map[string]float64{}
	for _, m := range families["apiserver_request_total"].GetMetric() {
		l := labelsOf(m)
		if l["resource"] != "pods" || !slices.Contains([]string{"POST", "PATCH", "PUT", "DELETE", "DELETECOLLECTION"}, l["verb"]) || strings.HasPrefix(l["code"], "4") {
			continue
		}
		key := l["verb"]
		if l["subresource"] != "" {
			key += " " + l["subresource"]
		}
		out[key] += m.GetCounter().GetValue()
	}
	for _, m := range families["apiserver_flowcontrol_dispatched_requests_total"].GetMetric() {
		if labelsOf(m)["flow_schema"] == "service-accounts" {
			out[oursKey] += m.GetCounter().GetValue()
		}
	}
	return out
}

func labelsOf(m *dto.Metric) map[string]string {
	out := map[string]string{}
	for _, l := range m.GetLabel() {
		out[l.GetName()] = l.GetValue()
	}
	return out
}

// peak is the most memory that a part has had resident since its meter began: VmHWM of its status.
func (b *bench) peak(cluster, part string) int64 {
	b.t.Helper()
	raw := string(must(os.ReadFile(fmt.Sprintf("/proc/%d/status", b.pid(cluster, part))))(b.t))
	_, rest, _ := strings.Cut(raw, "VmHWM:")
	return must(strconv.ParseInt(strings.Fields(rest)[0], 10, 64))(b.t) * 1024
}
