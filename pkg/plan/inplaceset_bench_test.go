package plan

import (
	"fmt"
	"testing"
	"time"
)

// BenchmarkInPlaceSet is one pass's calculation over a set of 5,000 pods.
func BenchmarkInPlaceSet(b *testing.B) {
	const n = 5000
	pods := func(revision func(i int) string) []InPlacePod {
		out := make([]InPlacePod, n)
		for i := range out {
			out[i] = InPlacePod{
				Name: fmt.Sprintf("web-%05d", i), Revision: revision(i), Available: true, Ready: true,
				Priority: int32(i % 3), Scatter: fmt.Sprintf("node-%d", i%97), Created: time.Unix(int64(i/7), 0),
			}
		}
		return out
	}
	half := func(i int) string { return []string{"v1", "v2"}[i%2] }
	unlimited := func(string) int32 { return n }
	for _, r := range []struct {
		name string
		s    InPlaceSetState
	}{
		{"at rest", InPlaceSetState{Replicas: n, Current: "v1", Update: "v1", Pods: pods(func(int) string { return "v1" })}},
		{"in the middle of a change", InPlaceSetState{Replicas: n, MaxUnavailable: intOrPercent("10%"), Current: "v1", Update: "v2", Pods: pods(half)}},
		{"all at once", InPlaceSetState{Replicas: n, MaxUnavailable: intOrPercent("100%"), Current: "v1", Update: "v2", Pods: pods(func(int) string { return "v1" })}},
		{"scattered", InPlaceSetState{Replicas: n, MaxUnavailable: intOrPercent("10%"), Spread: true, Current: "v1", Update: "v2", Pods: pods(half)}},
		{"under a budget", InPlaceSetState{
			Replicas: n, MaxUnavailable: intOrPercent("10%"), Current: "v1", Update: "v2", Pods: pods(half),
			Budgets: func(*InPlacePod) []string { return []string{"x"} }, Left: unlimited,
		}},
		{"scaled down by half", InPlaceSetState{Replicas: n / 2, MaxUnavailable: intOrPercent("10%"), Current: "v1", Update: "v1", Pods: pods(half)}},
	} {
		b.Run(r.name, func(b *testing.B) {
			for b.Loop() {
				if _, err := InPlaceSet(r.s); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
