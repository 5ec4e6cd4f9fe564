package book

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/cache"
	clocktesting "k8s.io/utils/clock/testing"

	fleetv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/fleet/v1alpha1"
	listers "github.com/periplus-dev/periplus/pkg/client/listers/fleet/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/guard/source"
	"github.com/periplus-dev/periplus/pkg/guard/source/pods"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// hub has MetricSources, Secrets and a clock.
type hub struct {
	t       *testing.T
	clock   *clocktesting.FakePassiveClock
	sources cache.Indexer
	book    *Book

	mu      sync.Mutex
	secrets map[string]map[string][]byte
	reads   int
	down    error
	// hangs keeps reads of Secrets waiting while it is open.
	hangs chan struct{}
}

func newHub(t *testing.T) *hub {
	h := &hub{
		t: t, clock: clocktesting.NewFakePassiveClock(noon), secrets: map[string]map[string][]byte{},
		sources: cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{}),
	}
	h.book = New(Options{
		Sources: listers.NewMetricSourceLister(h.sources), Secrets: h, Namespace: "periplus-system",
		Pods: pods.New(pods.NewRecorder(), h.clock), Clock: h.clock,
	})
	return h
}

func (h *hub) Get(ctx context.Context, name string, _ metav1.GetOptions) (*corev1.Secret, error) {
	if h.hangs != nil {
		select {
		case <-h.hangs:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.reads++
	if h.down != nil {
		return nil, h.down
	}
	data, ok := h.secrets[name]
	if !ok {
		return nil, apierrors.NewNotFound(schema.GroupResource{Resource: "secrets"}, name)
	}
	return &corev1.Secret{Data: data}, nil
}

func (h *hub) later(d time.Duration) { h.clock.SetTime(h.clock.Now().Add(d)) }

func (h *hub) put(generation int64, spec fleetv1alpha1.MetricSourceSpec) {
	h.t.Helper()
	obj := &fleetv1alpha1.MetricSource{ObjectMeta: metav1.ObjectMeta{Name: "prom", UID: "u", Generation: generation}, Spec: spec}
	if err := h.sources.Update(obj); err != nil {
		h.t.Fatal(err)
	}
}

func (h *hub) find(member string, labels map[string]string) source.Source {
	h.t.Helper()
	s, err := h.book.Find(h.t.Context(), "prom", member, labels)
	if err != nil {
		h.t.Fatal(err)
	}
	return s
}

// ask asks once, and returns the error.
func (h *hub) ask() error {
	h.t.Helper()
	s, err := h.book.Find(h.t.Context(), "prom", "fra", nil)
	if err != nil {
		return err
	}
	_, err = s.Ask(h.t.Context(), source.Question{Query: "up", Window: time.Minute})
	return err
}

// wants is a server that answers a token only.
func wants(t *testing.T, token *string) (address string, connections func() int) {
	var mu sync.Mutex
	from := map[string]bool{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		from[r.RemoteAddr] = true
		if r.Header.Get("Authorization") != "Bearer "+*token {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = w.Write([]byte(`{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"1"]}]}}`))
	}))
	t.Cleanup(srv.Close)
	return srv.URL, func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(from)
	}
}

func withToken(address string) fleetv1alpha1.MetricSourceSpec {
	return fleetv1alpha1.MetricSourceSpec{Prometheus: &fleetv1alpha1.Prometheus{Address: address, BearerToken: &fleetv1alpha1.SecretKey{Name: "prom", Key: "token"}}}
}

func TestTheSourceThatIsAlwaysThere(t *testing.T) {
	b := newHub(t).book
	s, err := b.Find(t.Context(), "pods", "fra", nil)
	if terms := b.Terms("pods"); err != nil || terms.Timeout <= 0 || s.Check("max(restarts(updated))", time.Minute, nil) != nil {
		t.Errorf("%v, %v, %v", s, terms, err)
	}
}

func TestANameThatNoSourceHas(t *testing.T) {
	h := newHub(t)
	h.put(1, withToken("http://prom"))
	for name, want := range map[string]string{"prmo": `"prom" is meant?`, "datadog": "create a MetricSource of that name", "Pods": `"pods" is meant?`} {
		if _, err := h.book.Find(t.Context(), name, "fra", nil); !errors.Is(err, source.ErrUnknown) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTheFirstOverrideThatChoosesAMemberCounts(t *testing.T) {
	h := newHub(t)
	at := func(host string) *fleetv1alpha1.Prometheus {
		return &fleetv1alpha1.Prometheus{Address: "http://" + host + ".invalid"}
	}
	h.put(1, fleetv1alpha1.MetricSourceSpec{
		Prometheus: at("all"), Timeout: &metav1.Duration{Duration: 2 * time.Second}, Lag: &metav1.Duration{Duration: time.Minute},
		Members: []fleetv1alpha1.MemberSource{
			{Names: []string{"fra", "ham"}, Prometheus: at("named")},
			{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"region": "us"}}, Prometheus: at("us")},
			{Names: []string{"fra"}, Selector: &metav1.LabelSelector{}, Prometheus: at("rest")},
		},
	})
	for _, tc := range []struct{ member, region, want string }{
		{"ham", "us", "named"}, {"nyc", "us", "us"}, {"par", "eu", "rest"},
	} {
		s, terms := h.find(tc.member, map[string]string{"region": tc.region}), h.book.Terms("prom")
		_, err := s.Ask(t.Context(), source.Question{Query: "up", Window: time.Minute})
		if err == nil || !strings.Contains(err.Error(), "http://"+tc.want+".invalid") || terms.Timeout != 2*time.Second || terms.Lag != time.Minute {
			t.Errorf("%s: %v, %v", tc.member, err, terms)
		}
	}
}

func TestClientsAreMadeOnceAndDroppedWhenStale(t *testing.T) {
	h, token := newHub(t), "one"
	address, connections := wants(t, &token)
	h.secrets["prom"] = map[string][]byte{"token": []byte("one")}
	h.put(1, withToken(address))
	client := func() any {
		s := h.find("fra", nil)
		l, ok := s.(*lent)
		if !ok {
			t.Fatalf("%T", s)
		}
		return l.server.client
	}
	first := client()
	for range 5 {
		if err := h.ask(); err != nil {
			t.Fatal(err)
		}
	}
	if client() != first || connections() != 1 || h.reads != 1 {
		t.Errorf("%d connections and %d reads of the Secret for five questions", connections(), h.reads)
	}
	h.later(2 * time.Minute)
	if client() != first || h.reads != 2 {
		t.Errorf("a Secret that is the same makes another client, or was not looked at: %d reads", h.reads)
	}
	h.put(2, withToken(address))
	second := client()
	if second == first {
		t.Error("a new generation keeps the old client")
	}
	h.secrets["prom"] = map[string][]byte{"token": []byte("two")}
	h.later(2 * time.Minute)
	if client() == second {
		t.Error("a new token keeps the old client")
	}
	if err := h.sources.Delete(&fleetv1alpha1.MetricSource{ObjectMeta: metav1.ObjectMeta{Name: "prom"}}); err != nil {
		t.Fatal(err)
	}
	if err := h.ask(); !errors.Is(err, source.ErrUnknown) || len(h.book.pages) != 0 {
		t.Errorf("%v; %d sources are kept", err, len(h.book.pages))
	}
}

func TestARotatedSecretIsTakenUpWithoutRestart(t *testing.T) {
	h, token := newHub(t), "one"
	address, _ := wants(t, &token)
	h.secrets["prom"] = map[string][]byte{"token": []byte("one")}
	h.put(1, withToken(address))
	if err := h.ask(); err != nil {
		t.Fatal(err)
	}
	h.later(10 * time.Second)
	token, h.secrets["prom"] = "two", map[string][]byte{"token": []byte("two")}
	if err := h.ask(); err == nil || !strings.Contains(err.Error(), "refused the token of Secret prom, key token") {
		t.Errorf("got %v", err)
	}
	if err := h.ask(); err != nil {
		t.Errorf("after the refusal: %v", err)
	}
}

func TestARefusedSecretIsNotReadAgainAndAgain(t *testing.T) {
	h, token := newHub(t), "another"
	address, _ := wants(t, &token)
	h.secrets["prom"] = map[string][]byte{"token": []byte("one")}
	h.put(1, withToken(address))
	for range 10 {
		if err := h.ask(); err == nil {
			t.Fatal("a wrong token is taken")
		}
	}
	if h.reads != 1 {
		t.Errorf("%d reads at one time", h.reads)
	}
}

func TestSecretsThatAreNotThere(t *testing.T) {
	h, token := newHub(t), "one"
	address, _ := wants(t, &token)
	h.put(1, withToken(address))
	expect := func(want string) {
		t.Helper()
		if err := h.ask(); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	expect("MetricSource prom, spec.prometheus: the Secret periplus-system/prom does not exist")
	h.secrets["prom"] = map[string][]byte{"tokn": []byte("one")}
	h.later(readPause)
	expect("Secret periplus-system/prom has nothing under the key token")
	h.secrets["prom"] = map[string][]byte{"token": []byte("\n")}
	h.later(readPause)
	expect("Secret prom, key token is empty")
	h.secrets["prom"] = map[string][]byte{"token": []byte("one")}
	h.later(readPause)
	expect("")
	h.down = errors.New("etcdserver: leader changed")
	h.later(2 * secretAge)
	expect("")
	h.down = nil
	delete(h.secrets, "prom")
	h.later(2 * secretAge)
	expect("does not exist")
	h.down = errors.New("etcdserver: leader changed")
	h.later(2 * secretAge)
	expect("reading Secret periplus-system/prom: etcdserver: leader changed")
}

func TestTroubleOfTheHubIsToldFromWhatSomebodyMustMend(t *testing.T) {
	secrets := schema.GroupResource{Resource: "secrets"}
	for _, tc := range []struct {
		name   string
		down   error
		passes bool
	}{
		{"the API server does not answer in time", fmt.Errorf("client rate limiter: %w", context.DeadlineExceeded), true},
		{"nobody listens", &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, true},
		{"the API server is starting", apierrors.NewServiceUnavailable("starting"), true},
		{"it is asked too much", apierrors.NewTooManyRequests("slow down", 1), true},
		{"etcd has no leader", apierrors.NewInternalError(errors.New("etcdserver: no leader")), true},
		{"it gives up", apierrors.NewTimeoutError("request timed out", 1), true},
		{"we may not read it", apierrors.NewForbidden(secrets, "prom", errors.New("no role")), false},
		{"we are nobody there", apierrors.NewUnauthorized("who?"), false},
		{"it is not there", nil, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := newHub(t)
			h.put(1, withToken("http://prom.invalid"))
			h.down = tc.down
			var passing *source.UnavailableError
			if err := h.ask(); err == nil || errors.As(err, &passing) != tc.passes || !strings.Contains(err.Error(), "MetricSource prom, spec.prometheus: ") {
				t.Errorf("got %v; passes by itself: %t", err, passing != nil)
			}
		})
	}
}

func TestASpecThatIsWrongSaysSo(t *testing.T) {
	h := newHub(t)
	h.put(1, fleetv1alpha1.MetricSourceSpec{Prometheus: &fleetv1alpha1.Prometheus{Address: "http://me:s3cret@prom"}})
	if err := h.ask(); err == nil || !strings.Contains(err.Error(), "MetricSource prom: spec.prometheus.address") || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("got %v", err)
	}
}

func TestProbingNamesTheServersThatDoNotAnswer(t *testing.T) {
	h, token := newHub(t), "one"
	address, _ := wants(t, &token)
	h.secrets["prom"] = map[string][]byte{"token": []byte("one")}
	spec := withToken(address)
	spec.Members = []fleetv1alpha1.MemberSource{
		{Names: []string{"a", "b", "c", "d", "e"}, Prometheus: &fleetv1alpha1.Prometheus{Address: address}},
		{Selector: &metav1.LabelSelector{}, Prometheus: withToken(address).Prometheus},
	}
	h.put(1, spec)
	got, err := h.book.Probe(t.Context(), "prom")
	if err != nil || len(got) != 3 {
		t.Fatal(got, err)
	}
	if got[0].Err != nil || got[2].Err != nil || got[1].Err == nil || got[1].Where != "spec.members[0].prometheus (a, b, c and 2 more)" {
		t.Errorf("%+v", got)
	}
}

func TestAHubThatDoesNotAnswerIsWaitedForNoLongerThanTheQuestionMayTake(t *testing.T) {
	h, token := newHub(t), "one"
	address, _ := wants(t, &token)
	h.secrets["prom"], h.hangs = map[string][]byte{"token": []byte("one")}, make(chan struct{})
	h.put(1, withToken(address))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err := h.book.Find(ctx, "prom", "fra", nil)
	var passing *source.UnavailableError
	if !errors.As(err, &passing) || !strings.Contains(err.Error(), "reading Secret periplus-system/prom: the hub did not answer in time") {
		t.Errorf("got %v", err)
	}
	if took := time.Since(began); took > readTimeout/2 {
		t.Errorf("it was waited for, %s", took)
	}
	// What the first did not wait for is there for the next.
	close(h.hangs)
	if err := h.ask(); err != nil || h.reads != 1 {
		t.Errorf("got %v; %d reads", err, h.reads)
	}
}

func TestManyAskAtOnce(t *testing.T) {
	h, token := newHub(t), "one"
	address, _ := wants(t, &token)
	h.secrets["prom"] = map[string][]byte{"token": []byte("one")}
	h.put(1, withToken(address))
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if err := h.ask(); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if h.reads != 1 {
		t.Errorf("%d reads of one Secret", h.reads)
	}
}
