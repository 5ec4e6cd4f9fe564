//go:build e2e

package e2e

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/periplus-dev/periplus/test/metrics/traffic"
)

// What all stories of metrics stand on, without any guard.
func TestPrometheusShowsWhatTheContainersOfPodsRun(t *testing.T) {
	t.Parallel()
	p := newPort(t).withExample().measured(map[string]traffic.Behaviour{
		"v1": {Rate: 50, Errors: 0.001, Latency: 20 * time.Millisecond},
		"v2": {Rate: 50, Errors: 0.05, Latency: 80 * time.Millisecond},
	})
	p.kubectl("m1", "", "patch", "inplaceset", "productpage-dca", "-n", p.ns, "--type=json", "-p",
		`[{"op":"replace","path":"/spec/template/spec/containers/0/image","value":"registry.example/productpage:v2"},
		  {"op":"replace","path":"/spec/updateStrategy/partition","value":2}]`)
	p.eventually("half of dca in m1 runs v2", func() (bool, string) {
		s := p.sets("m1")[0]
		return s.Status.UpdatedAvailableReplicas == 2, fmt.Sprintf("%+v", s.Status)
	})
	// Within what chance and a window's edges allow: five standard deviations of 1,000 requests and 50 errors, and a tenth.
	for _, c := range []struct {
		what, query string
		want, off   float64
	}{
		{"pods on v1", `count(count by (member, pod) (rate(http_requests_total{version="v1"}[5s])))`, 14, 0},
		{"pods on v2", `count(count by (member, pod) (rate(http_requests_total{version="v2"}[5s])))`, 2, 0},
		{"pods on v2 in m2", `count(http_requests_total{version="v2",member="m2"})`, 0, 0},
		{"requests to v1", `sum(rate(http_requests_total{version="v1"}[10s]))`, 14 * 50, 100},
		{"requests to v2", `sum(rate(http_requests_total{version="v2"}[10s]))`, 2 * 50, 25},
		{"errors of v1", `sum(rate(http_requests_total{version="v1",code="500"}[10s])) / sum(rate(http_requests_total{version="v1"}[10s]))`, 0.001, 0.002},
		{"errors of v2", `sum(rate(http_requests_total{version="v2",code="500"}[10s])) / sum(rate(http_requests_total{version="v2"}[10s]))`, 0.05, 0.035},
		{"latency of v1", `sum(rate(http_request_duration_seconds_sum{version="v1"}[10s])) / sum(rate(http_request_duration_seconds_count{version="v1"}[10s]))`, 0.02, 0.003},
		{"latency of v2", `sum(rate(http_request_duration_seconds_sum{version="v2"}[10s])) / sum(rate(http_request_duration_seconds_count{version="v2"}[10s]))`, 0.08, 0.012},
		{"units", `count(count by (unit) (http_requests_total{app="productpage"}))`, 2, 0},
		{"what balancers smooth in m2", `avg(http_error_ratio{member="m2"})`, 0.001, 0.002},
	} {
		p.eventually(fmt.Sprintf("%s are %v", c.what, c.want), func() (bool, string) {
			got, err := p.query(c.query)
			return err == nil && math.Abs(got-c.want) <= c.off, fmt.Sprintf("%v (%v)", got, err)
		})
	}
	if n := p.restarts("m2"); n != 0 {
		t.Errorf("%d containers restarted in m2", n)
	}
}
