package fleet_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/periplus-dev/periplus/pkg/fleet"
)

func TestMetricsSayWhoIsOpenWhoAnswersAndHowCallsWent(t *testing.T) {
	reader := sdkmetric.NewManualReader()
	h := newHub(t, func(o *fleet.Options) { o.MeterProvider = sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)) })
	h.addMember("north", newAPIServer(t).kubeconfig(goodToken))
	h.addMember("south", kubeconfigOf(t, "https://127.0.0.1:1", nil, "x"))
	north, _ := h.open("run", "north")
	south, _ := h.open("run", "south")
	h.open("another", "north")
	reach(t, north, fleet.Reachable, fleet.ReasonAnswering)
	reach(t, south, fleet.Unreachable, fleet.ReasonNotAnswering)
	fine := func(context.Context, fleet.Clients) error { return nil }
	_ = north.Do(t.Context(), "reading", fine)
	_ = north.Do(t.Context(), "reading", fine)
	_ = south.Do(t.Context(), "reading", fine)

	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	var got []string
	line := func(name string, attrs attribute.Set, value any) {
		got = append(got, fmt.Sprintf("%s{%s} %v", name, attrs.Encoded(attribute.DefaultEncoder()), value))
	}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			switch data := m.Data.(type) {
			case metricdata.Gauge[int64]:
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
	slices.Sort(got)
	want := []string{
		"periplus.fleet.call.duration{member=north,outcome=ok} 2",
		"periplus.fleet.call.duration{member=south,outcome=unreachable} 1",
		"periplus.fleet.member.reachable{member=north} 1",
		"periplus.fleet.member.reachable{member=south} 0",
		"periplus.fleet.sessions{member=north} 2",
		"periplus.fleet.sessions{member=south} 1",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
