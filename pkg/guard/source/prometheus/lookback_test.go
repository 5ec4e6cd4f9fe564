package prometheus

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/guard/source"
)

func TestAQueryLooksBackNoFartherThanItsWindow(t *testing.T) {
	step := &v1alpha1.MetricRange{Step: metav1.Duration{Duration: 30 * time.Second}, Reduce: v1alpha1.ReduceMax}
	for _, tc := range []struct {
		name, query string
		ranged      *v1alpha1.MetricRange
		// wrong is empty where the query is taken; its window is 1m.
		wrong string
	}{
		{name: "a value now", query: `up`},
		{name: "a range as long as the window", query: `rate(e[1m])`},
		{name: "a range that is shorter", query: `rate(e[30s])`},
		{name: "range and offset that fill the window", query: `rate(e[30s] offset 30s)`},
		{name: "a subquery that fills it with what it asks", query: `max_over_time(rate(e[20s])[30s:10s] offset 10s)`},
		{name: "each side of an operator has the whole window", query: `rate(e[1m]) / (r offset 1m)`},
		{name: "an offset into the future", query: `e offset -1h`},
		{name: "no selector", query: `vector(time())`},
		{name: "a range that is longer", query: `rate(e[1h])`, wrong: `1:6: looks back 1h, longer than the metric's window 1m: set window: 1h, or write [$(window)]`},
		{name: "the last value of a day", query: `last_over_time(e[24h])`, wrong: `1:16: looks back 24h, longer than the metric's window 1m: set window: 24h, or write [$(window)]`},
		{name: "longer than any window", query: `rate(e[2d])`, wrong: `1:6: looks back 48h, longer than the metric's window 1m, and than any can be: write [$(window)]`},
		{name: "an offset", query: `e offset 1h`, wrong: `1:1: looks back 1h, longer`},
		{name: "range and offset together", query: `rate(e[1m] offset 30s)`, wrong: `1:6: looks back 1m30s, longer`},
		{name: "an offset into the future takes nothing away", query: `rate(e[2m] offset -1m)`, wrong: `looks back 2m, longer`},
		{name: "a subquery", query: `max_over_time(e[1h:1m])`, wrong: `1:15: looks back 1h, longer`},
		{name: "a subquery and what it asks", query: `max_over_time(rate(e[30s])[1m:10s])`, wrong: `looks back 1m30s, longer`},
		{name: "all there is, from the selector up", query: "sum(\n  max_over_time(rate(e[1m] offset 1m)[1m:] offset 1m)) > 0", wrong: `2:22: looks back 4m, longer`},
		{name: "the side that looks farthest is named", query: `rate(e[1m]) / rate(r[2m])`, wrong: `1:20: looks back 2m, longer`},
		{name: "the parameter of an aggregation", query: `topk(scalar(n offset 2m), e)`, wrong: `looks back 2m, longer`},
		{name: "a time that is fixed", query: `e @ 1700000000`, wrong: `1:1: @ asks about a time`},
		{name: "the end, fixed", query: `rate(e[1m] @ end())`, wrong: `@ asks about a time`},
		{name: "a subquery whose time is fixed", query: `max_over_time(e[1m:] @ start())`, wrong: `@ asks about a time`},
		{name: "each value of a range may look back a step", query: `rate(e[30s])`, ranged: step},
		{name: "and no farther", query: `rate(e[1m])`, ranged: step, wrong: `1:6: looks back 1m at each value, longer than the metric's range.step 30s: write [$(window)], which is the step here`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := &Source{matchers: map[string]string{"tenant": "a"}}
			err := s.Check(tc.query, time.Minute, tc.ranged)
			if (err == nil) != (tc.wrong == "") || err != nil && !strings.Contains(err.Error(), tc.wrong) {
				t.Errorf("got  %v\nwant %s", err, tc.wrong)
			}
		})
	}
}

// A reference may stand in a duration, where what it stands for is known only when it is asked.
func TestAQueryThatGrewOverItsWindowIsNotAsked(t *testing.T) {
	srv := serve(t, data(`{"resultType":"vector","result":[]}`))
	s := sourceFor(t, srv.URL)
	if _, err := s.Ask(t.Context(), source.Question{Query: `rate(e[10m])`, Window: time.Minute}); err == nil || !strings.Contains(err.Error(), "looks back 10m, longer") || len(srv.forms) != 0 {
		t.Errorf("got %v, asked %d times", err, len(srv.forms))
	}
}
