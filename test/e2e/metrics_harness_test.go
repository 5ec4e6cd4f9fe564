//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	apiv1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/localfleet"
	"github.com/periplus-dev/periplus/test/metrics/prom"
	"github.com/periplus-dev/periplus/test/metrics/traffic"
)

// The shared Prometheus demands this user and password, over TLS.
const (
	promUser     = "periplus"
	promPassword = "a-right-password-Zk7"
)

// ground is what all stories of metrics stand on: the applications of the fleet's pods, and a Prometheus that scrapes them.
type ground struct {
	dir      string
	programs prom.Programs
	apps     *traffic.Apps
	server   *prom.Server
}

var shared struct {
	once sync.Once
	*ground
	err error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if err := shared.lower(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// raise starts the applications and the Prometheus.
func (g *ground) raise(ctx context.Context) error {
	fleet, err := localfleet.Load(os.Getenv("PERIPLUS_FLEET"))
	if err != nil {
		return err
	}
	clients := map[string]kubernetes.Interface{}
	for _, m := range members {
		c, err := fleet.RESTConfig(m, "")
		if err != nil {
			return err
		}
		if clients[m], err = kubernetes.NewForConfig(c); err != nil {
			return err
		}
	}
	if g.programs, err = prom.Find(ctx, func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }); err != nil {
		return err
	}
	if g.dir, err = os.MkdirTemp("", "periplus-metrics-"); err != nil {
		return err
	}
	seed := rand.Uint64() // #nosec G404 -- printed.
	fmt.Fprintf(os.Stderr, "seed of all requests: %d\n", seed)
	if g.apps, err = traffic.Start(clients, seed); err != nil {
		return err
	}
	g.server, err = g.prometheus("shared", prom.Options{User: promUser, Password: promPassword, TLS: true})
	return err
}

// prometheus starts one that scrapes the applications.
func (g *ground) prometheus(name string, o prom.Options) (*prom.Server, error) {
	o.Programs, o.Dir, o.Discover = g.programs, filepath.Join(g.dir, name), g.apps.Discovery()
	s, err := prom.New(o)
	if err != nil {
		return nil, err
	}
	return s, s.Start(context.Background())
}

// lower ends what was raised.
func (g *ground) lower() error {
	if g == nil {
		return nil
	}
	var errs []error
	if g.server != nil {
		errs = append(errs, g.server.Stop(context.Background()))
	}
	if g.apps != nil {
		errs = append(errs, g.apps.Close())
	}
	return errors.Join(append(errs, os.RemoveAll(g.dir))...)
}

// metered is a test whose pods get requests and are scraped.
type metered struct {
	*port
	traffic *traffic.Namespace
	server  *prom.Server
}

// measured has the pods of the test's namespace get requests, as their versions behave, and waits until Prometheus shows all of them.
func (p *port) measured(versions map[string]traffic.Behaviour) *metered {
	p.t.Helper()
	shared.once.Do(func() {
		shared.ground = &ground{}
		shared.err = shared.raise(context.Background())
	})
	if shared.err != nil {
		p.t.Fatal(shared.err)
	}
	n := must(shared.apps.Play(p.ns, versions))(p.t)
	p.t.Cleanup(n.Stop)
	m := &metered{port: p, traffic: n, server: shared.server}
	m.scraped()
	return m
}

// own gives the test a Prometheus of its own, which it may stop. It demands nothing.
func (m *metered) own() *metered {
	m.t.Helper()
	m.server = must(shared.prometheus(m.ns, prom.Options{}))(m.t)
	m.t.Cleanup(func() {
		if m.t.Failed() {
			m.t.Log(m.server.Log())
		}
		if err := m.server.Stop(context.Background()); err != nil {
			m.t.Error(err)
		}
	})
	m.scraped()
	return m
}

// scraped waits until every pod has a rate.
func (m *metered) scraped() {
	m.t.Helper()
	want := 0
	for _, member := range members {
		for _, s := range m.sets(member) {
			want += int(*s.Spec.Replicas)
		}
	}
	m.eventually("Prometheus has the rates of all pods", func() (bool, string) {
		got, err := m.query(`count(sum by (member, pod) (rate(http_requests_total{code="200"}[5s])))`)
		return err == nil && got == float64(want), fmt.Sprintf("%v of %d (%v)", got, want, err)
	})
}

// query asks Prometheus for one number, of the test's namespace; 0 where there is none.
func (m *metered) query(query string) (float64, error) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	query = strings.ReplaceAll(query, "{", fmt.Sprintf("{namespace=%q,", m.ns))
	v, _, err := must(m.server.API())(m.t).Query(ctx, query, time.Time{}, apiv1.WithTimeout(5*time.Second))
	if err != nil {
		return 0, err
	}
	vector, ok := v.(model.Vector)
	if !ok || len(vector) > 1 {
		return 0, fmt.Errorf("%s: not one number: %s", query, v)
	}
	if len(vector) == 0 {
		return 0, nil
	}
	return float64(vector[0].Value), nil
}

// secret puts values in a Secret of Periplus's namespace, and returns its name. It goes with the test.
func (m *metered) secret(name string, values map[string]string) string {
	m.t.Helper()
	name = m.ns + "-" + name
	var b strings.Builder
	for k, v := range values {
		fmt.Fprintf(&b, "  %s: %q\n", k, v)
	}
	m.apply("hub", fmt.Sprintf("apiVersion: v1\nkind: Secret\nmetadata: {name: %s, namespace: periplus-system}\nstringData:\n%s", name, b.String()))
	m.t.Cleanup(func() {
		m.kubectl("hub", "", "delete", "secret", name, "-n", "periplus-system", "--ignore-not-found")
	})
	return name
}

// source makes a MetricSource of a server that guards see the test's own namespace and the judged member of, and returns its name. It goes with the test.
func (m *metered) source(name, address, rest string) string {
	m.t.Helper()
	name = m.ns + "-" + name
	m.apply("hub", fmt.Sprintf(`
apiVersion: fleet.periplus.dev/v1alpha1
kind: MetricSource
metadata: {name: %s}
spec:
  lag: 1s
  prometheus:
    address: %q
    matchers: {namespace: $(namespace), member: $(member.name)}
%s`, name, address, rest))
	m.t.Cleanup(func() { m.kubectl("hub", "", "delete", "metricsource", name, "--ignore-not-found") })
	return name
}

// trusted is what the shared Prometheus demands.
func (m *metered) trusted(name, password string) string {
	m.t.Helper()
	secret := m.secret(name, map[string]string{"password": password, "ca.crt": m.server.CA()})
	return fmt.Sprintf("    basicAuth: {username: %s, password: {name: %[2]s, key: password}}\n    tls: {ca: {name: %[2]s, key: ca.crt}}\n", promUser, secret)
}

// prometheus is a MetricSource of the shared Prometheus, with all that it demands.
func (m *metered) prometheus() string {
	m.t.Helper()
	return m.source("prom", m.server.URL(), m.trusted("prom", promPassword))
}

// judged is a guard of a stage in a member as last judged, with an empty verdict while it is not.
func (p *port) judged(run, task, guard, member string) v1alpha1.GuardStatus {
	p.t.Helper()
	cr := p.stage(run, task)
	if cr == nil || len(cr.Status.ExtraFields.Raw) == 0 {
		return v1alpha1.GuardStatus{}
	}
	var last v1alpha1.GuardStatus
	for _, g := range p.status(run, task).Guards {
		if g.Name == guard && g.Member == member {
			last = g // After guards have one for each step.
		}
	}
	return last
}

// comesToVerdict waits until a guard has a verdict in a member and says these words, and returns it.
func (p *port) comesToVerdict(run, task, guard, member string, verdict v1alpha1.Verdict, words ...string) v1alpha1.GuardStatus {
	p.t.Helper()
	var last v1alpha1.GuardStatus
	p.eventually(fmt.Sprintf("guard %s of %s is %s and says %q", guard, task, verdict, words), func() (bool, string) {
		last = p.judged(run, task, guard, member)
		for _, w := range words {
			if !strings.Contains(last.Message, w) {
				return false, fmt.Sprintf("%+v", last)
			}
		}
		return last.Verdict == verdict, fmt.Sprintf("%+v", last)
	})
	return last
}

// generations of a member's sets, which every write to their specs raises.
func (p *port) generations(member string) string {
	p.t.Helper()
	var b strings.Builder
	for _, s := range p.sets(member) {
		fmt.Fprintf(&b, "%s %d %s ", s.Name, s.Generation, s.Annotations[v1alpha1.AnnotationLock])
	}
	return b.String()
}

// restarts counts the starts of containers after the first in a member.
func (p *port) restarts(member string) (n int32) {
	p.t.Helper()
	pods, err := p.kube[member].CoreV1().Pods(p.ns).List(context.Background(), metav1.ListOptions{})
	if err != nil {
		p.t.Fatal(err)
	}
	for _, pod := range pods.Items {
		for _, s := range pod.Status.ContainerStatuses {
			n += s.RestartCount
		}
	}
	return n
}

// ready waits until so many pods of a member are ready on an image, and returns their names and when the last of them became so.
func (p *port) ready(member, image string, want int) (names []string, since time.Time) {
	p.t.Helper()
	p.eventually(fmt.Sprintf("%d pods of %s are ready on %s", want, member, image), func() (bool, string) {
		names, since = nil, time.Time{}
		pods, err := p.kube[member].CoreV1().Pods(p.ns).List(context.Background(), metav1.ListOptions{})
		if err != nil {
			return false, err.Error()
		}
		for _, pod := range pods.Items {
			if s := pod.Status.ContainerStatuses; len(s) == 0 || !strings.HasSuffix(s[0].Image, image) || !ready(&pod) {
				continue
			}
			names = append(names, pod.Name)
			for _, c := range pod.Status.Conditions {
				if c.Type == corev1.PodReady && c.LastTransitionTime.After(since) {
					since = c.LastTransitionTime.Time
				}
			}
		}
		return len(names) == want, fmt.Sprint(names)
	})
	return names, since
}
