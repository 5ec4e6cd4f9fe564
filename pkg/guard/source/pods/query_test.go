package pods

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

func TestQueries(t *testing.T) {
	for text, want := range map[string]string{
		"restarts(updated)":                   "restarts(updated)",
		"max(timeToReady(updated))":           "max(timeToReady(updated))",
		"\n sum ( flaps\t( stable ) ) \r\n":   "sum(flaps(stable))",
		"avg(restarts(pods))":                 "avg(restarts(pods))",
		"count(flaps(pods))":                  "count(flaps(pods))",
		"min(timeToReady(stable))":            "min(timeToReady(stable))",
		"":                                    `1:1: want restarts, flaps or timeToReady, or max, min, sum, avg or count of one of them, not the end`,
		"restart(updated)":                    `1:1: want restarts, flaps or timeToReady, or max, min, sum, avg or count of one of them, not "restart": restarts is meant?`,
		"max(sum(restarts(updated)))":         `1:5: want restarts, flaps or timeToReady, not "sum"`,
		"max(\n  timetoready(updated))":       `2:3: want restarts, flaps or timeToReady, not "timetoready": timeToReady is meant?`,
		"restarts(update)":                    `1:10: want updated, stable or pods, not "update": updated is meant?`,
		"restarts":                            `1:9: want "(", not the end`,
		"restarts(updated":                    `1:17: want ")", not the end`,
		"max(restarts(updated)":               `1:22: want ")", not the end`,
		"restarts(updated) > 3":               `1:19: ">" is too much`,
		"restarts(updated[5m])":               `1:17: want ")", not "["`,
		`sum(rate(http_errors_total{a="b"}))`: `1:5: want restarts, flaps or timeToReady, not "rate"`,
		"ü(updated)":                          `1:1: want restarts`,
	} {
		q, err := parse(text)
		got := q.String()
		if err != nil {
			got = err.Error()
		}
		if got != want && (err == nil || !strings.HasPrefix(got, want)) {
			t.Errorf("%q:\ngot  %s\nwant %s", text, got, want)
		}
	}
}

func TestARangeIsRefused(t *testing.T) {
	err := (&Source{}).Check("restarts(updated)", time.Minute, &v1alpha1.MetricRange{Step: metav1.Duration{Duration: 1}})
	if err == nil || !strings.Contains(err.Error(), "leave range out") {
		t.Errorf("got %v", err)
	}
}

func FuzzQuery(f *testing.F) {
	for _, s := range []string{"max(timeToReady(updated))", "restarts(pods)", "sum ( flaps ( stable ) )", "max(", "\xff", "", "restarts(updated))"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		q, err := parse(text)
		if err != nil {
			if m := err.Error(); strings.ContainsAny(m, "\n\r") || !strings.Contains(m, ":") {
				t.Fatalf("%q: %q", text, m)
			}
			return
		}
		again, err := parse(q.String())
		if err != nil || again != q {
			t.Fatalf("%q is %v, and that is %v, %v", text, q, again, err)
		}
	})
}
