package guard

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

// rateOf is a metric about the updated or the stable pods, and what a source said of it.
func rateOf(list string) (v1alpha1.GuardMetric, Reading) {
	m := v1alpha1.GuardMetric{Source: "prometheus", Query: `sum(rate(http_requests_total{pod=~"$(` + list + `.podRegex)"}[$(window)]))`, Window: secs(60)}
	return m, Reading{Query: m.Query, Series: []Series{{Value: 0.01}}}
}

// cpu is what this process has used of it. On a machine that others use too, it says more than the clock.
func cpu(b *testing.B) time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// Ten metrics over 1,000 pods, in ten guards as a controller judges them on every event, and in one. Each turn is a whole judgement of a member: what is known of
// its pods is looked at anew, and a sample is due, so that the queries for the next are made too.
func BenchmarkTenMetrics(b *testing.B) {
	var alone []v1alpha1.Guard
	together := v1alpha1.Guard{Name: "all", When: v1alpha1.During, Metrics: map[string]v1alpha1.GuardMetric{}, Expr: "updated.size() >= want"}
	said := Sample{Metrics: map[string]Reading{}}
	for i := range 10 {
		name := fmt.Sprintf("m%d", i)
		m, r := rateOf([]string{varUpdated, varStable}[i%2])
		together.Metrics[name], said.Metrics[name] = m, r
		together.Expr += " && metrics." + name + " <= 0.02"
		alone = append(alone, v1alpha1.Guard{Name: name, When: v1alpha1.During, Metrics: map[string]v1alpha1.GuardMetric{name: m}, Expr: "metrics." + name + " <= 0.02"})
	}
	for _, bm := range []struct {
		name   string
		guards []v1alpha1.Guard
	}{{"ten guards of one metric", alone}, {"one guard of ten metrics", []v1alpha1.Guard{together}}} {
		b.Run(bm.name, func(b *testing.B) {
			set, errs := CompileAll(bm.guards, nil, Limits{})
			if len(errs) > 0 {
				b.Fatal(errs)
			}
			in, prev := fleetOf(1000), make([]v1alpha1.GuardStatus, len(bm.guards))
			in.Workload.UpdatedReady = 500
			now, asked := t0.Add(time.Second), 0
			judge := func() {
				v, s := NewView(&in, now), said
				s.At = now
				for i, p := range set.Programs() {
					at := Moment{Now: now, Step: 1, FirstMove: t0, Move: t0}
					j := p.Judge(prev[i], at, v, Answers{Sample: &said})
					if j.Ask != nil {
						asked++
						j = p.Judge(j.Status, at, v, Answers{Sample: &s})
					}
					if now.Sub(t0) > 2*time.Minute && j.Status.Verdict != v1alpha1.VerdictPass {
						b.Fatal(Describe(j.Status))
					}
					prev[i] = j.Status
				}
				said.At = now
				now = now.Add(10 * time.Second)
			}
			for now.Sub(t0) < 3*time.Minute {
				judge()
			}
			asked = 0
			b.ReportAllocs()
			spent := cpu(b)
			for b.Loop() {
				judge()
			}
			spent = cpu(b) - spent
			if asked == 0 {
				b.Fatal("no sample was asked for")
			}
			b.ReportMetric(float64(spent.Microseconds())/1000/float64(b.N), "cpu-ms/op")
		})
	}
}
