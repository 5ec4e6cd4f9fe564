package traffic

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

var start = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func after(d time.Duration) time.Time { return start.Add(d) }

// serving is a load of a pod that is ready, on a version.
func serving(seed uint64, b Behaviour) *Load {
	l := NewLoad(seed, "web-0")
	l.Behave(b, start)
	l.Begin("v1", start)
	l.Serve(true, start)
	return l
}

// near wants a count of independent events within five standard deviations of what is expected.
func near(t *testing.T, what string, got int, want float64) {
	t.Helper()
	if math.Abs(float64(got)-want) > 5*math.Sqrt(want)+1 {
		t.Errorf("%s: %d, expected about %.0f", what, got, want)
	}
}

func TestRequestsErrorsAndLatenciesComeOutAsTheVersionBehaves(t *testing.T) {
	for name, b := range map[string]Behaviour{
		"few requests":      {Rate: 5, Errors: 0.01, Latency: 50 * time.Millisecond},
		"a sick version":    {Rate: 50, Errors: 0.05, Latency: 20 * time.Millisecond},
		"many requests":     {Rate: 500, Errors: 0.001, Latency: 5 * time.Millisecond},
		"nothing but error": {Rate: 50, Errors: 1, Latency: time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			seed := rand.Uint64() // #nosec G404 -- printed.
			t.Logf("seed %d", seed)
			l := serving(seed, b)
			for s := range 600 {
				l.Advance(after(time.Duration(s+1) * time.Second))
			}
			requests, failed := l.Counts()
			near(t, "requests", requests, 600*b.Rate)
			near(t, "errors", failed, 600*b.Rate*b.Errors)
			h := metric(t, l.Gather(after(600*time.Second)), "http_request_duration_seconds")[0].GetHistogram()
			if mean, want := h.GetSampleSum()/float64(h.GetSampleCount()), b.Latency.Seconds(); math.Abs(mean/want-1) > 0.06 {
				t.Errorf("mean latency %f s, want %f", mean, want)
			}
		})
	}
}

func TestTheSameSeedIsTheSameTrafficHoweverOftenItIsLookedAt(t *testing.T) {
	once, often := serving(7, Healthy), serving(7, Healthy)
	for s := range 6000 {
		often.Advance(after(time.Duration(s) * 10 * time.Millisecond))
	}
	once.Advance(after(time.Minute))
	often.Advance(after(time.Minute))
	a, _ := once.Counts()
	b, _ := often.Counts()
	if a != b || a == 0 {
		t.Errorf("%d requests when looked at once, %d when often", a, b)
	}
}

func TestAPodThatIsNotReadyGetsNoRequests(t *testing.T) {
	l := serving(1, Healthy)
	l.Serve(false, after(time.Minute))
	before, _ := l.Counts()
	l.Advance(after(time.Hour))
	if now, _ := l.Counts(); now != before || now == 0 {
		t.Errorf("%d requests before it was not ready, %d an hour after", before, now)
	}
	l.Serve(true, after(time.Hour))
	l.Advance(after(time.Hour + time.Minute))
	now, _ := l.Counts()
	near(t, "requests in the minute since it is ready", now-before, 60*Healthy.Rate)
}

func TestARestartBeginsTheCountersAt0AndTheSmoothedRatioShowsTheOldVersionUntilItIsForgotten(t *testing.T) {
	sick, well := Behaviour{Rate: 200, Errors: 0.5, Smoothing: 10 * time.Second}, Behaviour{Rate: 200, Smoothing: 10 * time.Second}
	l := serving(1, sick)
	l.Serve(false, after(time.Minute))
	l.End(after(time.Minute))
	if l.Gather(after(time.Minute)) != nil {
		t.Error("a pod without a container shows metrics")
	}
	at := after(time.Minute + 500*time.Millisecond)
	l.Behave(well, at)
	l.Begin("v2", at)
	l.Serve(true, at)
	if n, _ := l.Counts(); n != 0 {
		t.Errorf("%d requests right after a restart", n)
	}
	ratio := func(at time.Time) float64 {
		return metric(t, l.Gather(at), "http_error_ratio")[0].GetGauge().GetValue()
	}
	if got := ratio(at.Add(time.Second)); got < 0.3 {
		t.Errorf("a second after the restart the smoothed ratio is %f, want mostly the old version's 0.5", got)
	}
	if got := ratio(at.Add(11 * time.Second)); got != 0 {
		t.Errorf("once all of the old version is behind, the smoothed ratio is %f", got)
	}
	for _, m := range metric(t, l.Gather(at.Add(11*time.Second)), "http_requests_total") {
		if v := label(m, "version"); v != "v2" {
			t.Errorf("requests are counted for %q", v)
		}
	}
	l.Serve(false, at.Add(12*time.Second))
	if m := metric(t, l.Gather(at.Add(time.Minute)), "http_error_ratio"); m != nil {
		t.Errorf("a ratio of no requests: %v", m)
	}
}

func metric(t *testing.T, g prometheus.Gatherer, name string) []*dto.Metric {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()
		}
	}
	return nil
}

func label(m *dto.Metric, name string) string {
	for _, l := range m.GetLabel() {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}

func BenchmarkRequests(b *testing.B) {
	l := serving(1, Behaviour{Rate: 1000, Errors: 0.01, Latency: 20 * time.Millisecond})
	b.ResetTimer()
	l.Advance(after(time.Duration(b.N) * time.Millisecond))
}
