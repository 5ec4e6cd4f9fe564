package webhook

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	corev1 "k8s.io/api/core/v1"
	clocktesting "k8s.io/utils/clock/testing"
)

// meters collects what is measured, a line each: name{attributes} value.
func meters(t *testing.T) (*sdkmetric.MeterProvider, func() []string) {
	t.Helper()
	reader := sdkmetric.NewManualReader()
	return sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)), func() (out []string) {
		var all metricdata.ResourceMetrics
		if err := reader.Collect(context.Background(), &all); err != nil {
			t.Fatal(err)
		}
		line := func(name string, of attribute.Set, value any) {
			out = append(out, fmt.Sprintf("%s{%s} %v", strings.TrimPrefix(name, "periplus_webhook_"), of.Encoded(attribute.DefaultEncoder()), value))
		}
		for _, scope := range all.ScopeMetrics {
			for _, m := range scope.Metrics {
				switch data := m.Data.(type) {
				case metricdata.Sum[int64]:
					for _, p := range data.DataPoints {
						line(m.Name, p.Attributes, p.Value)
					}
				case metricdata.Gauge[int64]:
					for _, p := range data.DataPoints {
						line(m.Name, p.Attributes, p.Value)
					}
				case metricdata.Gauge[float64]:
					for _, p := range data.DataPoints {
						line(m.Name, p.Attributes, p.Value)
					}
				case metricdata.Histogram[float64]:
					for _, p := range data.DataPoints {
						line(m.Name, p.Attributes, p.Count)
					}
				}
			}
		}
		slices.Sort(out)
		return out
	}
}

func TestRequestsAreCountedByResult(t *testing.T) {
	provider, collect := meters(t)
	d := newDesk(t)
	var err error
	d.handler.metrics, err = newMetrics(provider.Meter("x"))
	d.ok(err)
	d.set("mesh", []string{"mesh:v1"})
	d.ask(review(t, "shop", webPod()))
	d.ask(review(t, "fresh", webPod())) // a namespace that the cache does not have yet.
	clash := webPod()
	clash.Spec.Containers = append(clash.Spec.Containers, corev1.Container{Name: "mesh", Image: "own:v1"})
	d.ask(review(t, "shop", clash))
	other := webPod()
	other.Labels = nil
	d.ask(review(t, "shop", other))
	d.ask(review(t, "nowhere", webPod()))
	d.ask([]byte("{"))
	d.handler.synced = func() bool { return false }
	d.ask(review(t, "shop", webPod()))
	want := []string{
		"request_duration{} 7", "requests{result=failed} 1", "requests{result=injected} 2", "requests{result=left_out} 1", "requests{result=not_meant} 1", "requests{result=refused} 2",
	}
	if got := collect(); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestWhenTheCertificateEndsAndHowOldCachesAre(t *testing.T) {
	provider, collect := meters(t)
	clk := clocktesting.NewFakePassiveClock(time.Unix(1000, 0))
	version := ""
	s := &serving{}
	a := &ages{clock: clk, versions: map[string]func() string{"sidecarsets": func() string { return version }}, seen: map[string]heard{}}
	if err := observe(provider.Meter("x"), s, a); err != nil {
		t.Fatal(err)
	}
	if got := collect(); len(got) != 0 {
		t.Errorf("before there is anything: %q", got)
	}
	cert, key, err := newPair([]string{"webhook"}, clk.Now())
	if err != nil {
		t.Fatal(err)
	}
	s.take(&corev1.Secret{Data: map[string][]byte{servedCert: cert, servedKey: key}})
	version = "7"
	collect()
	clk.SetTime(time.Unix(1090, 0))
	ends := time.Unix(1000, 0).Add(lifetime).Unix()
	if got, want := collect(), []string{"cache_age{cache=sidecarsets} 90", fmt.Sprintf("certificate_expiry{} %d", ends)}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	version = "8"
	if got := collect(); got[0] != "cache_age{cache=sidecarsets} 0" {
		t.Errorf("after the cache heard of the API server: %q", got)
	}
}
