package metricsource

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
	"knative.dev/pkg/controller"
	rtesting "knative.dev/pkg/reconciler/testing"

	fleetv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/fleet/v1alpha1"
	versionedfake "github.com/periplus-dev/periplus/pkg/client/clientset/versioned/fake"
	fakeclient "github.com/periplus-dev/periplus/pkg/client/injection/client/fake"
	sourceinformer "github.com/periplus-dev/periplus/pkg/client/injection/informers/fleet/v1alpha1/metricsource"
	_ "github.com/periplus-dev/periplus/pkg/client/injection/informers/fleet/v1alpha1/metricsource/fake"
	listers "github.com/periplus-dev/periplus/pkg/client/listers/fleet/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/guard/source"
	"github.com/periplus-dev/periplus/pkg/guard/source/book"
)

// said is a prober that says what a test wants.
type said struct {
	probed []book.Probed
	err    error
}

func (s said) Probe(context.Context, string) ([]book.Probed, error) { return s.probed, s.err }

func TestWhatCameOfAskingBecomesTheCondition(t *testing.T) {
	refused := errors.New("prometheus at http://p refused the token of Secret prom, key token (401)")
	one := func(err error) []book.Probed { return []book.Probed{{Where: "spec.prometheus", Err: err}} }
	for _, tc := range []struct {
		name          string
		said          said
		status        metav1.ConditionStatus
		reason, wants string
		again         time.Duration
	}{
		{"one server that answers", said{probed: one(nil)}, metav1.ConditionTrue, ReasonAnswering, "the server answers", 5 * time.Minute},
		{"several that answer", said{probed: append(one(nil), book.Probed{})}, metav1.ConditionTrue, ReasonAnswering, "all 2 servers answer", 5 * time.Minute},
		{"one that does not", said{probed: one(refused)}, metav1.ConditionFalse, ReasonNotAnswering, "spec.prometheus: " + refused.Error(), 30 * time.Second},
		{
			"an override that does not", said{probed: append(one(nil), book.Probed{Where: "spec.members[0].prometheus (fra)", Err: refused})}, metav1.ConditionFalse, ReasonNotAnswering,
			"1 of 2 servers: spec.members[0].prometheus (fra): " + refused.Error(), 30 * time.Second,
		},
		{"a spec that is wrong", said{err: errors.New("MetricSource prom: spec.timeout: must be from 1s to 30s")}, metav1.ConditionFalse, ReasonInvalidSpec, "MetricSource prom: spec.timeout: must be from 1s to 30s", 30 * time.Second},
		{"more than can be said", said{err: errors.New(strings.Repeat("ü", 5000))}, metav1.ConditionFalse, ReasonInvalidSpec, strings.Repeat("ü", 1024) + "…", 30 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			obj := &fleetv1alpha1.MetricSource{ObjectMeta: metav1.ObjectMeta{Name: "prom", Generation: 3}}
			index := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{})
			if err := index.Add(obj); err != nil {
				t.Fatal(err)
			}
			client := versionedfake.NewSimpleClientset(obj)
			r := &reconciler{
				prober: tc.said, sources: listers.NewMetricSourceLister(index), client: client.FleetV1alpha1().MetricSources(),
				clock: clocktesting.NewFakePassiveClock(time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)),
			}
			writes := func() int {
				n := 0
				for _, a := range client.Actions() {
					if a.Matches("update", "metricsources") {
						n++
					}
				}
				return n
			}
			for range 2 {
				err := r.reconcile(t.Context(), types.NamespacedName{Name: "prom"})
				if ok, again := controller.IsRequeueKey(err); !ok || again != tc.again {
					t.Errorf("asked again after %s: %v", again, err)
				}
				got, err := client.FleetV1alpha1().MetricSources().Get(t.Context(), "prom", metav1.GetOptions{})
				if err != nil {
					t.Fatal(err)
				}
				c := meta.FindStatusCondition(got.Status.Conditions, fleetv1alpha1.ConditionAnswers)
				if c == nil || c.Status != tc.status || c.Reason != tc.reason || c.Message != tc.wants || got.Status.ObservedGeneration != 3 || c.ObservedGeneration != 3 {
					t.Errorf("got %+v", got.Status)
				}
				if err := index.Update(got); err != nil {
					t.Fatal(err)
				}
			}
			if writes() != 1 {
				t.Errorf("%d writes for one piece of news", writes())
			}
		})
	}
}

func TestASourceThatIsGoneIsLeftAlone(t *testing.T) {
	index := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{})
	r := &reconciler{prober: said{err: source.ErrUnknown}, sources: listers.NewMetricSourceLister(index)}
	if err := r.reconcile(t.Context(), types.NamespacedName{Name: "prom"}); err != nil {
		t.Error(err)
	}
}

func TestASourceIsAskedWhenItsSpecChanges(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"1"]}]}}`))
	}))
	t.Cleanup(srv.Close)
	ctx, cancel, informers := rtesting.SetupFakeContextWithCancel(t)
	b := book.New(book.Options{
		Sources: sourceinformer.Get(ctx).Lister(), Secrets: fake.NewClientset().CoreV1().Secrets("periplus-system"), Namespace: "periplus-system", Clock: clock.RealClock{},
	})
	impl := NewController(func(context.Context) *book.Book { return b })(ctx, nil)
	stopInformers, err := rtesting.RunAndSyncInformers(ctx, informers...)
	if err != nil {
		t.Fatal(err)
	}
	ran := make(chan error, 1)
	go func() { ran <- impl.RunContext(ctx, controller.DefaultThreadsPerController) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ran; err != nil {
			t.Errorf("running the controller: %v", err)
		}
		stopInformers()
	})

	client := fakeclient.Get(ctx).FleetV1alpha1().MetricSources()
	expect := func(generation int64, status metav1.ConditionStatus, message string) *fleetv1alpha1.MetricSource {
		t.Helper()
		deadline := time.Now().Add(20 * time.Second)
		for {
			got, err := client.Get(ctx, "prom", metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			c := meta.FindStatusCondition(got.Status.Conditions, fleetv1alpha1.ConditionAnswers)
			if c != nil && c.ObservedGeneration == generation && c.Status == status && strings.Contains(c.Message, message) {
				return got
			}
			if time.Now().After(deadline) {
				t.Fatalf("want %s with %q, got %+v", status, message, c)
			}
			time.Sleep(2 * time.Millisecond)
		}
	}
	obj := &fleetv1alpha1.MetricSource{
		ObjectMeta: metav1.ObjectMeta{Name: "prom", Generation: 1},
		Spec: fleetv1alpha1.MetricSourceSpec{Prometheus: &fleetv1alpha1.Prometheus{
			Address: srv.URL, BearerToken: &fleetv1alpha1.SecretKey{Name: "prom", Key: "token"},
		}},
	}
	if _, err := client.Create(ctx, obj, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	got := expect(1, metav1.ConditionFalse, "Secret periplus-system/prom does not exist")
	got.Spec.Prometheus.BearerToken, got.Generation = nil, 2
	if _, err := client.Update(ctx, got, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	expect(2, metav1.ConditionTrue, "the server answers")
}
