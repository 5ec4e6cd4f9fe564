//go:build e2ereal

package e2e

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"testing"
	"time"

	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/utils/clock"

	"github.com/periplus-dev/periplus/pkg/lb"
	runtimeapi "github.com/periplus-dev/periplus/pkg/lb/haproxy"
	"github.com/periplus-dev/periplus/test/haproxy"
	"github.com/periplus-dev/periplus/test/real/load"
)

// traffic is load on the pods of a site from everywhere that it was told to come from, until it is ended.
type traffic struct {
	site *site
	// port that pods serve on.
	port  uint16
	ways  map[string]*load.Tally
	ctx   context.Context
	stop  context.CancelFunc
	ended []chan struct{}
}

func (s *site) traffic() *traffic {
	tr := &traffic{site: s, port: 8080, ways: map[string]*load.Tally{}}
	tr.ctx, tr.stop = context.WithCancel(s.t.Context())
	s.t.Cleanup(func() { tr.end() })
	return tr
}

// send requests on a way of this name.
func (t *traffic) send(way string, target load.Target) {
	tally, ended := load.NewTally(), make(chan struct{})
	t.ways[way], t.ended = tally, append(t.ended, ended)
	go func() {
		defer close(ended)
		load.Run(t.ctx, load.Options{Target: target, Rate: rate, Mix: load.Mix{Kept: 40, Long: 10}, Long: longest}, tally)
	}()
}

// sent is how many requests ended so far.
func (t *traffic) sent() (n int) {
	for _, tally := range t.ways {
		n += tally.Sent()
	}
	return n
}

// end sends nothing more, waits for what was sent, and says how many failed.
func (t *traffic) end() (failed int) {
	t.stop()
	for _, ended := range t.ended {
		<-ended
	}
	t.ended = nil
	for _, tally := range t.ways {
		failed += tally.Report().Failed
	}
	return failed
}

func (t *traffic) String() (out string) {
	for _, way := range slices.Sorted(maps.Keys(t.ways)) {
		out += way + ": " + t.ways[way].Report().String()
	}
	return out
}

// bothAnswered wants both versions to have served on every way.
func (t *traffic) bothAnswered() {
	t.site.t.Helper()
	t.answered("v1", "v2")
}

// answered wants each of these answers to have been given on every way.
func (t *traffic) answered(answers ...string) {
	t.site.t.Helper()
	for way, tally := range t.ways {
		for _, a := range answers {
			if got := tally.Report().Answers; got[a] == 0 {
				t.site.t.Errorf("%s: answers are %v: some should have been %q", way, got, a)
			}
		}
	}
}

// followSlices sends as clients behind a kube-proxy do.
func (t *traffic) followSlices() *traffic {
	s := t.site
	s.t.Helper()
	must(s.kube.CoreV1().Services(s.ns).Create(s.t.Context(), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec:       corev1.ServiceSpec{Selector: map[string]string{"app": "web"}, Ports: []corev1.ServicePort{{Port: int32(t.port)}}},
	}, metav1.CreateOptions{}))(s.t)
	target := load.NewFollowed(proxyLag, clock.RealClock{})
	if err := load.Follow(s.t.Context(), s.kube, s.ns, "web", int(t.port), target); err != nil {
		s.t.Fatal(err)
	}
	s.eventually("clients know an address", func() (bool, string) {
		_, err := target.Pick()
		return err == nil, fmt.Sprint(err)
	})
	t.send("slices", target)
	return t
}

// balancer of tests hides nothing: what fails is not tried again.
const balancer = `
global
    stats socket SOCKET mode 600 level admin
defaults
    mode http
    timeout connect 2s
    timeout client 60s
    timeout server 60s
    retries 0
frontend web
    bind ADDRESS
    default_backend web
backend web
    balance leastconn
`

// throughHAProxy sends to a HAProxy that our load-balancer controller feeds.
func (t *traffic) throughHAProxy() *traffic {
	s := t.site
	s.t.Helper()
	program := must(haproxy.Find(s.t.Context(), s.t.Logf))(s.t)
	dir := must(os.MkdirTemp("", "lb"))(s.t)
	s.t.Cleanup(func() { os.RemoveAll(dir) })
	server := must(haproxy.New(s.t.Context(), program, dir, balancer))(s.t)
	if err := server.Start(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	cfg := lb.Config{
		Name: "edge", Namespace: s.ns, Selector: labels.SelectorFromSet(labels.Set{"app": "web"}), Port: t.port, Options: "check inter 1s fall 2 rise 1",
		Rules: lb.Rules{DrainTimeout: 30 * time.Second},
	}
	api := must(runtimeapi.New(server.Socket, "web"))(s.t)
	controller := must(lb.New(cfg, s.kube, api, clock.RealClock{}, zap.NewNop().Sugar()))(s.t)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- controller.Run(ctx) }()
	s.t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			s.t.Errorf("the load-balancer controller ended: %v", err)
		}
		if _, err := lb.Retire(context.Background(), s.kube, cfg); err != nil {
			s.t.Error(err)
		}
		if err := server.Kill(); err != nil {
			s.t.Error(err)
		}
	})
	client := &http.Client{Timeout: time.Second}
	s.eventually("HAProxy has every pod", func() (bool, string) {
		pods := must(s.kube.CoreV1().Pods(s.ns).List(s.t.Context(), metav1.ListOptions{LabelSelector: "app=web"}))(s.t)
		for _, p := range pods.Items {
			if !slices.Contains(p.Finalizers, cfg.Finalizer()) {
				return false, "not holding " + p.Name
			}
		}
		return answers(s.t, client, "http://"+server.Address+"/"), "not answering"
	})
	t.send("haproxy", load.Fixed(server.Address))
	return t
}

func answers(t *testing.T, client *http.Client, url string) bool {
	t.Helper()
	resp, err := client.Do(must(http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil))(t))
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}
