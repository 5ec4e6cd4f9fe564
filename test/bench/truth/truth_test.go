package truth

import (
	"math"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

func TestNumbersOfEventsHaveTheMeanTheVarianceAndTheTailOfPoissons(t *testing.T) {
	seed := rand.Uint64() // #nosec G404 -- printed.
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0)) // #nosec G404 -- a simulation.
	const n = 200_000
	for _, mean := range []float64{0.05, 1, 9.5, 10.5, 60, 5000} {
		sum, squares, beyond := 0.0, 0.0, 0
		limit := math.Floor(mean + 2*math.Sqrt(mean))
		for range n {
			k := poisson(rng, mean)
			sum += k
			squares += (k - mean) * (k - mean)
			if k > limit {
				beyond++
			}
		}
		within := func(what string, got, want, deviation float64) {
			if math.Abs(got-want) > 5*deviation {
				t.Errorf("mean %g: %s is %g, want %g ± %g", mean, what, got, want, deviation)
			}
		}
		within("the mean", sum/n, mean, math.Sqrt(mean/n))
		within("the variance", squares/n, mean, math.Sqrt((mean+2*mean*mean)/n))
		tail := 1.0
		for k := range int(limit) + 1 {
			log, _ := math.Lgamma(float64(k) + 1)
			tail -= math.Exp(float64(k)*math.Log(mean) - mean - log)
		}
		within("the share beyond two deviations", float64(beyond)/n, tail, math.Sqrt(tail/n)+1e-9)
	}
}

var usual = Conditions{Rate: 50, Errors: 0.01, Times: 1, Canaries: 2, Pods: 20, Scrape: 15 * time.Second, Bake: 5 * time.Minute}

func TestTheCountersOfCanariesBeginAnewAndTheOthersGoOn(t *testing.T) {
	for _, s := range usual.play(rand.New(rand.NewPCG(1, 1))) { // #nosec G404 -- a simulation.
		pod, drops, missed := s.labels.Get("pod"), 0, 0
		for i := 1; i < len(s.samples); i++ {
			if s.samples[i].f < s.samples[i-1].f {
				drops++
			}
			if s.samples[i].t-s.samples[i-1].t > 20_000 {
				missed++
			}
		}
		canary := pod == "web-0" || pod == "web-1"
		if answered := s.labels.Get("code") == "200"; answered && canary != (drops == 1) {
			t.Errorf("%s: the counter went back %d times", s.labels, drops)
		} else if missed > 0 && !canary {
			t.Errorf("%s: %d scrapes are missing", s.labels, missed)
		}
		if first := s.samples[0]; s.labels.Get("code") == "500" && first.f == 0 {
			t.Errorf("%s: there before the first error", s.labels)
		}
	}
}

func TestAsManyRequestsAndErrorsComeAsTheConditionsSay(t *testing.T) {
	for name, c := range map[string]Conditions{
		"a good version":         usual,
		"with twice the errors":  {Rate: 500, Errors: 0.01, Times: 2, Canaries: 2, Pods: 20, Scrape: 15 * time.Second, Bake: 5 * time.Minute},
		"with errors in threes":  {Rate: 50, Errors: 0.01, Times: 1, Clump: 3, Canaries: 2, Pods: 20, Scrape: 5 * time.Second, Bake: 5 * time.Minute},
		"with half the pods new": {Rate: 50, Errors: 0.01, Times: 5, Canaries: 10, Pods: 20, Scrape: 15 * time.Second, Bake: 5 * time.Minute},
	} {
		var requests, errors, seconds float64
		for seed := range uint64(100) {
			for _, s := range c.play(rand.New(rand.NewPCG(seed, seed))) { // #nosec G404 -- a simulation.
				if pod := s.labels.Get("pod"); pod != "web-0" {
					continue
				}
				last := s.samples[len(s.samples)-1]
				requests += last.f
				if s.labels.Get("code") == "500" {
					errors += last.f
				} else {
					seconds += time.UnixMilli(last.t).Sub(ready).Seconds()
				}
			}
		}
		// Brown-outs double the errors of a minute of five in one canary of three.
		want := c.Errors * c.Times * (1 + brownOuts/5)
		if rate := requests / seconds * float64(c.Canaries); math.Abs(rate/c.Rate-1) > 0.06 {
			t.Errorf("%s: %.1f requests a second to the canaries, want %g", name, rate, c.Rate)
		}
		if got := errors / requests; math.Abs(got/want-1) > 0.15 {
			t.Errorf("%s: a share of %.4f errors, want %.4f", name, got, want)
		}
	}
}

func TestTheEngineIncreasesCountersAsPrometheusDoes(t *testing.T) {
	s := series{labels: labels.FromStrings("__name__", "n", "pod", "a")}
	for i := range 21 {
		s.samples = append(s.samples, sample{ready.Add(time.Duration(i) * 15 * time.Second).UnixMilli(), float64(3 * i)})
	}
	a := &answers{stored: []series{s}, end: ready.Add(5 * time.Minute), every: 10 * time.Second, known: map[string]*answer{}}
	for query, want := range map[string]float64{`sum(increase(n{pod=~"a|b"}[1m]))`: 12, `sum(increase(n{pod="b"}[1m])) or vector(0)`: 0, `rate(n[2m])`: 0.2} {
		for _, at := range []time.Duration{2 * time.Minute, 130 * time.Second, 3 * time.Minute, 5 * time.Minute} {
			got, err := a.ask(query, ready.Add(at))
			if err != nil || len(got) != 1 || math.Abs(got[0].Value-want) > 1e-9 {
				t.Errorf("%s at %s is %v (%v), want %g", query, at, got, err, want)
			}
		}
	}
	for what, at := range map[string]time.Duration{"between samples": 125 * time.Second, "after the last": 310 * time.Second, "before the first": 50 * time.Second} {
		if _, err := a.ask(`rate(n[2m])`, ready.Add(at)); err == nil {
			t.Errorf("a moment %s was answered", what)
		}
	}
}

// examples are the guards that the docs recommend.
func examples(t *testing.T) []*Shape {
	t.Helper()
	files, err := filepath.Glob("../../../docs/examples/guards/*.yaml")
	if err != nil || len(files) < 2 {
		t.Fatalf("no examples: %v", err)
	}
	var out []*Shape
	for _, file := range files {
		s, err := ReadShape(filepath.Base(file), file)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, s)
	}
	return out
}

func TestTheSameSeedIsTheSameCanary(t *testing.T) {
	c := usual
	c.Times = 3
	shapes := examples(t)
	first, err := c.Judge(7, shapes)
	if err != nil {
		t.Fatal(err)
	}
	again, err := c.Judge(7, shapes)
	if err != nil || !reflect.DeepEqual(first, again) {
		t.Errorf("%v, and again %v (%v)", first, again, err)
	}
}

func TestTheExamplesCatchASickVersionAndPassAGoodOne(t *testing.T) {
	for _, s := range examples(t) {
		for times, want := range map[float64]int{1: 0, 2: 20} {
			c := usual
			c.Times, c.Bake = times, 31*time.Minute
			got, err := c.Count(100, 20, []*Shape{s})
			if err != nil {
				t.Fatal(err)
			}
			if got[0].Failed != want || got[0].Held != 0 {
				t.Errorf("%s: with %g times the errors %d of %d failed, and %d are held", s.Name, times, got[0].Failed, got[0].Canaries, got[0].Held)
			}
		}
	}
}

func TestNothingIsJudgedBeforeAWindowLiesBehindReadiness(t *testing.T) {
	c := usual
	c.Times = 50
	for _, s := range examples(t) {
		for _, g := range s.Guards {
			alone, err := NewShape(g.Name, []v1alpha1.Guard{g})
			if err != nil {
				t.Fatal(err)
			}
			window := g.Metrics["errors"].Window.Duration
			want := Outcome{Failed: true, After: window}
			if window > c.Bake {
				want = Outcome{Held: true}
			}
			if out, err := c.Judge(1, []*Shape{alone}); err != nil || out[0] != want {
				t.Errorf("%s, guard %s: %v (%v), want %v", s.Name, g.Name, out, err, want)
			}
		}
	}
}

func TestAVersionWithoutRequestsIsHeld(t *testing.T) {
	stored, in := usual.play(rand.New(rand.NewPCG(1, 1))), usual.input() // #nosec G404 -- a simulation.
	for _, s := range stored {
		if pod := s.labels.Get("pod"); pod == "web-0" || pod == "web-1" {
			for i := range s.samples {
				s.samples[i].f = 100
			}
		}
	}
	for _, s := range examples(t) {
		for _, p := range s.programs {
			a := &answers{stored: stored, end: ready.Add(usual.Bake), every: p.Guard().Interval.Duration, known: map[string]*answer{}}
			if out, err := judge(p, &in, a); err != nil || out != (Outcome{Held: true}) {
				t.Errorf("%s, guard %s: %v (%v)", s.Name, p.Guard().Name, out, err)
			}
		}
	}
}

func TestAnInterval(t *testing.T) {
	for _, tt := range []struct {
		failed, of int
		low, high  float64
	}{{0, 1000, 0, 0.0038}, {5, 1000, 0.0021, 0.0116}, {1000, 1000, 0.9962, 1}} {
		_, low, high := Tally{Failed: tt.failed, Canaries: tt.of}.Share()
		if math.Abs(low-tt.low) > 1e-4 || math.Abs(high-tt.high) > 1e-4 {
			t.Errorf("%d of %d: %f to %f, want %f to %f", tt.failed, tt.of, low, high, tt.low, tt.high)
		}
	}
}

func TestAShapeThatDoesNotCompileSaysSo(t *testing.T) {
	if _, err := NewShape("x", []v1alpha1.Guard{{Name: "x", Expr: "metrics.no > 1.0"}}); err == nil {
		t.Error("no error")
	}
	if _, err := ReadShape("x", "nowhere.yaml"); err == nil {
		t.Error("no error")
	}
}
