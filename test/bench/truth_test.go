//go:build bench

package bench

import (
	"flag"
	"fmt"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/test/bench/truth"
)

var (
	canaries  = flag.Int("canaries", 1000, "how many canaries guards are judged by, of each kind; at least 300")
	truthSeed = flag.Uint64("seed", 1, "of the first canary")
)

const recommended = "recommended"

// ratio is what people write first: the share of errors of the new version against that of the old one, over a window.
const ratio = `
expr: %s
metrics:
  errors: {source: prometheus, window: %[2]s, query: %[3]s}
  base:   {source: prometheus, window: %[2]s, query: %[4]s}
`

// shapes to compare. The recommended ones are read from the examples, whole or with another window.
func shapes(t *testing.T) (compared []*truth.Shape, few *truth.Shape) {
	t.Helper()
	errors := func(list string) string {
		return fmt.Sprintf(`'(sum(increase(http_requests_total{pod=~"$(%[1]s.podRegex)",code=~"5.."}[$(window)])) or vector(0)) / sum(increase(http_requests_total{pod=~"$(%[1]s.podRegex)"}[$(window)]))'`, list)
	}
	compare := func(name, expr, window, rest string) *truth.Shape {
		g := v1alpha1.Guard{Name: "g"}
		if err := yaml.UnmarshalStrict([]byte(fmt.Sprintf(ratio, expr, window, errors("updated"), errors("stable"))+rest), &g); err != nil {
			t.Fatal(err)
		}
		return must(truth.NewShape(name, []v1alpha1.Guard{g}))(t)
	}
	const examples = "../../docs/examples/guards/"
	best := must(truth.ReadShape(recommended, examples+"errors.yaml"))(t)
	return []*truth.Shape{
		compare("1.1 × stable + 1 %, 1m", "metrics.errors <= 1.1 * metrics.base + 0.01", "1m", "when: During"),
		compare("1.5 × stable, 1m", "metrics.errors <= 1.5 * metrics.base", "1m", "when: During"),
		compare("1.5 × stable, 1m, fails at the 3rd false", "metrics.errors <= 1.5 * metrics.base", "1m", "when: During\nlimits: {failures: 3}"),
		compare("1.5 × stable, 4m", "metrics.errors <= 1.5 * metrics.base", "4m", "when: During"),
		compare("After: 1.5 × stable, 1m, for 2m in 5m", "metrics.errors <= 1.5 * metrics.base", "1m", "when: After\nfor: 2m\ndeadline: 5m"),
		must(truth.NewShape("recommended, its first guard alone", best.Guards[:1]))(t),
		best,
	}, must(truth.ReadShape("few requests", examples+"errors-few-requests.yaml"))(t)
}

// TestTruth says how often guards are right.
func TestTruth(t *testing.T) {
	if *canaries < 300 {
		t.Fatal("-canaries must be 300 at least")
	}
	compared, few := shapes(t)
	best := compared[len(compared)-1:]
	r := newReport(t, "shape", "requests to canaries", "good: failed", "2 × errors: caught", "by half", "by 99 %", "5 × errors: caught", "by half")
	usual := truth.Conditions{Errors: 0.01, Canaries: 1, Pods: 10, Scrape: 15 * time.Second, Bake: 5 * time.Minute}
	judge := func(c truth.Conditions, of []*truth.Shape, times ...float64) {
		found := make([][]truth.Tally, len(times))
		for i, times := range times {
			c.Times = times
			found[i] = must(c.Count(*truthSeed, *canaries, of))(t)
		}
		for i, s := range of {
			good, sick := found[0][i], found[1][i]
			row := []string{s.Name, fmt.Sprintf("%g/s", c.Rate), percent(good), percent(sick), within(sick, 0.5), within(sick, 0.99)}
			if len(times) > 2 {
				row = append(row, percent(found[2][i]), within(found[2][i], 0.5))
			}
			r.row(row...)
			if good.Held > 0 {
				r.note("%s, %g/s: %d of %d good ones neither failed nor passed", s.Name, c.Rate, good.Held, good.Canaries)
			}
			if share, _, _ := good.Share(); s.Name == recommended && c.Errors == usual.Errors && c.Canaries == usual.Canaries && c.Clump == 0 && share > 0.005 {
				t.Errorf("%s at %g/s fails %s of good versions, and the docs promise 0.5 %% at most", s.Name, c.Rate, percent(good))
			}
			if share, _, _ := sick.Share(); s.Name == recommended && c.Errors == usual.Errors && c.Canaries == usual.Canaries && c.Clump == 0 && c.Rate >= 50 && share < 0.99 {
				t.Errorf("%s at %g/s catches %s of versions with twice the errors, and the docs promise 99 %%", s.Name, c.Rate, percent(sick))
			}
		}
	}
	part := func(what string) { r.row("— " + what) }
	part("1 % of requests fail, 1 canary of 10 pods, scraped every 15 s, looked at for 5 minutes")
	for _, rate := range []float64{5, 50, 500} {
		c := usual
		c.Rate = rate
		judge(c, compared, 1, 2, 5)
	}
	for _, p := range []struct {
		what   string
		change func(*truth.Conditions)
		rates  []float64
	}{
		{"0.1 % of requests fail", func(c *truth.Conditions) { c.Errors = 0.001 }, []float64{5, 50, 500}},
		{"scraped every 5 s", func(c *truth.Conditions) { c.Scrape = 5 * time.Second }, []float64{50}},
		{"5 canaries of 10 pods", func(c *truth.Conditions) { c.Canaries = 5 }, []float64{50, 500}},
		{"9 canaries of 10 pods", func(c *truth.Conditions) { c.Canaries = 9 }, []float64{50, 500}},
		{"errors come in threes", func(c *truth.Conditions) { c.Clump = 3 }, []float64{5, 50, 500}},
	} {
		part(p.what)
		for _, rate := range p.rates {
			c := usual
			c.Rate = rate
			p.change(&c)
			judge(c, best, 1, 2)
		}
	}
	part("looked at for 40 minutes")
	c := usual
	c.Rate, c.Bake = 5, 40*time.Minute
	judge(c, []*truth.Shape{few}, 1, 2, 5)
	r.note("%d canaries of each kind, from seed %d on; in brackets Wilson's interval, 95 %%. Wherever a time is missing, fewer were caught.", *canaries, *truthSeed)
	r.publish(t)
}

func percent(t truth.Tally) string {
	share, low, high := t.Share()
	return fmt.Sprintf("%.2f %% [%.2f–%.2f]", 100*share, 100*low, 100*high)
}

func within(t truth.Tally, q float64) string {
	at, ok := t.Within(q)
	if !ok {
		return "—"
	}
	return fmt.Sprintf("%.0f s", at.Seconds())
}
