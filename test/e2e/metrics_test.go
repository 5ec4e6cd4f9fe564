//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/localfleet"
	"github.com/periplus-dev/periplus/test/metrics/prom"
	"github.com/periplus-dev/periplus/test/metrics/traffic"
)

// sick versions fail five requests in a hundred.
var sick = traffic.Behaviour{Rate: 100, Errors: 0.05, Latency: 20 * time.Millisecond}

// share is the share of failed requests to some pods.
func share(pods string) string {
	return fmt.Sprintf(`sum(rate(http_requests_total{code="500",pod=~"$(%[1]s.podRegex)"}[$(window)])) / sum(rate(http_requests_total{pod=~"$(%[1]s.podRegex)"}[$(window)]))`, pods)
}

// oneMetric is the metric "errors" of a guard.
func oneMetric(source, query string) string {
	return fmt.Sprintf("metrics: {errors: {source: %s, window: 5s, query: '%s'}}", source, query)
}

// withGuards is a task of a stage under guards.
func withGuards(name, after, kind, spec string, guards ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "    - name: %s\n", name)
	if after != "" {
		fmt.Fprintf(&b, "      runAfter: [%s]\n", after)
	}
	fmt.Fprintf(&b, "      taskSpec:\n        apiVersion: stages.periplus.dev/v1alpha1\n        kind: %s\n        spec:\n          target: productpage\n", kind)
	for _, line := range strings.Split(spec, "\n") {
		b.WriteString("          " + line + "\n")
	}
	b.WriteString("          guards:\n")
	for _, g := range guards {
		b.WriteString("          - {" + g + "}\n")
	}
	return b.String()
}

const toV2 = `change: {images: {app: "registry.example/productpage:v2"}}`

// canaryIn moves one pod of each unit of a member.
func canaryIn(member, bake string) string {
	return fmt.Sprintf("members: [%s]\n%s\npods: 1\nbake: %s", member, toV2, bake)
}

func TestASickVersionIsCaughtInTheCanaryByItsErrorsAndGoesBack(t *testing.T) {
	t.Parallel()
	p := newPort(t).withExample().measured(map[string]traffic.Behaviour{"v2": sick})
	other := p.generations("m2")
	few := "name: few-errors, when: During, interval: 1s, limits: {failures: 2}, expr: 'metrics.errors <= 0.02', " + oneMetric(p.prometheus(), share("updated"))
	p.create("hub", "alice", p.run("sick", withGuards("canary", "", "Canary", canaryIn("m1", "10m"), few)+
		strings.Replace(bump("m1", "m1", "productpage:v2"), "taskSpec", "runAfter: [canary]\n      taskSpec", 1)+
		strings.Replace(bump("m2", "m2", "productpage:v2"), "taskSpec", "runAfter: [m1]\n      taskSpec", 1), takesBack))
	message := p.comesTo("sick", "canary", "GuardFailed")
	if !strings.Contains(message, "few-errors") {
		t.Errorf("the message does not name the guard: %s", message)
	}
	g := p.judged("sick", "canary", "few-errors", "m1")
	if g.Verdict != v1alpha1.VerdictFail || g.Failures != 2 || len(g.Metrics) != 1 {
		t.Fatalf("the guard: %+v", g)
	}
	if v := number(t, g.Metrics[0].Value); v <= 0.02 || v > 0.1 {
		t.Errorf("5 %% errors are seen as %s", g.Metrics[0].Value)
	}
	if q := g.Metrics[0].Query; !strings.Contains(q, "productpage-dca-") || !strings.Contains(q, "productpage-dcb-") || strings.Contains(q, "$(") {
		t.Errorf("the query is not kept as it was asked: %s", q)
	}
	p.comesTo("sick", "rollback", "Succeeded")
	if reason := p.ends("sick"); reason != "Failed" {
		t.Errorf("the run ended %s", reason)
	}
	rel := p.comesBack("sick", ":v2")
	for _, touched := range rel.Status.Touched {
		if touched.Member != "m1" {
			t.Errorf("%s in %s was touched", touched.Workload, touched.Member)
		}
	}
	if now := p.generations("m2"); now != other || p.restarts("m2") != 0 {
		t.Errorf("the second member saw something of it: %s, before: %s, %d restarts", now, other, p.restarts("m2"))
	}
	if n := p.restarts("m1"); n != 4 {
		t.Errorf("%d containers restarted in m1, want two canaries there and back", n)
	}
}

func TestAHealthyVersionPassesItsGuardsInBothMembers(t *testing.T) {
	t.Parallel()
	p := newPort(t).withExample().measured(nil)
	source := p.prometheus()
	guards := func(query string) []string {
		return []string{
			"name: few-errors, when: During, interval: 1s, expr: 'metrics.errors <= 0.02', " + oneMetric(source, query),
			"name: no-worse, interval: 1s, for: 2s, limits: {minSamples: 3}, expr: 'metrics.errors <= 2.0 * baseline.errors + 0.015', " + oneMetric(source, query),
			"name: each-pod, interval: 1s, expr: 'metrics.rates.size() == updated.size() && metrics.rates.all(pod, metrics.rates[pod] > 20.0)', " +
				"metrics: {rates: {source: " + source + `, window: 5s, each: true, query: 'sum by (pod) (rate(http_requests_total{pod=~"$(updated.podRegex)"}[$(window)]))'}}`,
			"name: slowest, interval: 1s, expr: 'metrics.p90 < 0.2', metrics: {p90: {source: " + source + ", window: 6s, range: {step: 2s, reduce: Max}, " +
				`query: 'histogram_quantile(0.9, sum by (le) (rate(http_request_duration_seconds_bucket{pod=~"$(updated.podRegex)"}[$(window)])))'}}`,
		}
	}
	var tasks, after string
	for _, m := range members {
		tasks += withGuards("canary-"+m, after, "Canary", canaryIn(m, "1s"), guards(share("updated"))...) +
			withGuards("bump-"+m, "canary-"+m, "PartitionBump", "members: ["+m+"]\n"+toV2+"\norder: [dca, dcb]", guards(share("updated"))[:2]...)
		after = "bump-" + m
	}
	p.create("hub", "alice", p.run("well", tasks, takesBack))
	p.within(3*limit, "the run is done", func() (bool, string) {
		return p.pipelineRun("well").IsDone(), p.pipelineRun("well").Status.GetCondition("Succeeded").GetMessage()
	})
	if reason := p.ends("well"); reason != "Completed" { // the rollback was left out.
		t.Fatalf("the run ended %s\n%s", reason, p.scene())
	}
	for _, m := range members {
		if got := p.updated(m, ":v2"); got != "dca=4 dcb=4" {
			t.Errorf("at the end %s has %s", m, got)
		}
		for _, task := range []string{"canary-" + m, "bump-" + m} {
			for _, g := range p.status("well", task).Guards {
				if strings.Contains(g.Name, "/") {
					continue // the target's own.
				}
				if g.Member != m || g.Verdict != v1alpha1.VerdictPass || len(g.Metrics) != 1 || g.Metrics[0].Value == "" || len(g.Metrics[0].Recent) == 0 {
					t.Errorf("guard of %s: %+v", task, g)
				}
				if g.Name == "no-worse" && (g.Metrics[0].Baseline == "" || g.Samples < 3) {
					t.Errorf("guard of %s has no baseline, or too few samples: %+v", task, g)
				}
			}
		}
	}
	p.atRest("well")
}

func TestAPrometheusThatGoesDownInTheMiddleHoldsAndTheReleaseGoesOnWhenItIsBack(t *testing.T) {
	t.Parallel()
	p := newPort(t).withExample().measured(nil).own()
	few := "name: few-errors, when: During, interval: 1s, limits: {consecutiveErrors: 2}, expr: 'metrics.errors <= 0.02', " +
		oneMetric(p.source("own", p.server.URL(), ""), share("updated"))
	p.create("hub", "alice", p.run("down", withGuards("canary", "", "Canary", canaryIn("m1", "20s"), few), takesBack))
	p.comesToVerdict("down", "canary", "few-errors", "m1", v1alpha1.VerdictPass)
	if err := p.server.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	p.comesToVerdict("down", "canary", "few-errors", "m1", v1alpha1.VerdictError, "refused")
	if message := p.comesTo("down", "canary", "GuardHolding"); !strings.Contains(message, "few-errors") {
		t.Errorf("what holds is not named: %s", message)
	}
	// Twenty seconds of baking pass with nobody who could say that all is well.
	since := p.stage("down", "canary").Status.StartTime.Time
	p.eventually("the bake time is long over", func() (bool, string) { return time.Since(since) > 40*time.Second, "" })
	if reason, message := p.condition("down", "canary"); reason != "GuardHolding" {
		t.Errorf("without its metrics the canary is at %s: %s", reason, message)
	}
	if got := p.updated("m1", ":v2"); got != "dca=1 dcb=1" {
		t.Errorf("while nothing is known m1 has %s", got)
	}
	back := time.Now()
	if err := p.server.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	p.comesTo("down", "canary", "Succeeded")
	if g := p.judged("down", "canary", "few-errors", "m1"); g.Verdict != v1alpha1.VerdictPass || g.LastSample.Time.Before(back.Truncate(time.Second)) {
		t.Errorf("it went on by %+v, and Prometheus was back at %s", g, back)
	}
}

func TestNoDataAndNaNHoldUntilThereAreNumbers(t *testing.T) {
	t.Parallel()
	// Nobody asks the new version anything, so there is nothing to divide, and what the balancer smooths ends.
	p := newPort(t).withExample().measured(map[string]traffic.Behaviour{"v2": {Rate: 0, Smoothing: time.Second}})
	source := p.prometheus()
	p.create("hub", "alice", p.run("mute", withGuards("canary", "", "Canary", canaryIn("m1", "1s"),
		"name: nothing, interval: 1s, expr: 'metrics.errors <= 0.02', "+oneMetric(source, `avg(http_error_ratio{pod=~"$(updated.podRegex)"})`),
		"name: nan, interval: 1s, expr: 'metrics.errors <= 0.02', "+oneMetric(source, share("updated")),
		"name: not-so-few, interval: 1s, expr: '!(metrics.errors > 0.02)', "+oneMetric(source, share("updated"))), takesBack))
	for guard, word := range map[string]string{"nothing": "no data", "nan": "NaN", "not-so-few": "NaN"} {
		p.eventually(guard+" was judged a few times", func() (bool, string) {
			g := p.judged("mute", "canary", guard, "m1")
			return g.Samples >= 4 && g.Verdict == v1alpha1.VerdictInconclusive && strings.Contains(g.Message, word), fmt.Sprintf("%+v", g)
		})
	}
	if reason, message := p.condition("mute", "canary"); reason != "GuardHolding" && reason != "GuardsPending" {
		t.Errorf("without numbers the canary is at %s: %s", reason, message)
	}
	p.traffic.Set("v2", traffic.Healthy)
	p.comesTo("mute", "canary", "Succeeded")
}

func TestWhatCannotBeAskedIsAnErrorThatSaysWhyAndNoPasswordIsShown(t *testing.T) {
	t.Parallel()
	const wrong = "a-wrong-password-Qv3"
	p := newPort(t).withExample().measured(nil)
	proxies := map[string]*prom.Proxy{}
	for _, name := range []string{"slow", "token", "nan"} {
		proxies[name] = must(prom.NewProxy(p.server))(t)
		t.Cleanup(func() { _ = proxies[name].Close() })
	}
	proxies["slow"].Slow(5 * time.Second)
	proxies["nan"].NaN(true)
	const token = "a-right-token-Xc9"
	proxies["token"].Bearer(token)
	tokens := p.secret("token", map[string]string{"token": wrong})
	sources := map[string]string{
		"password":  p.source("password", p.server.URL(), p.trusted("password", wrong)),
		"slow":      p.source("slow", proxies["slow"].URL(), ""),
		"token":     p.source("token", proxies["token"].URL(), fmt.Sprintf("    bearerToken: {name: %s, key: token}\n", tokens)),
		"untrusted": p.source("untrusted", p.server.URL(), ""),
		"nan":       p.source("nan", proxies["nan"].URL(), ""),
	}
	p.kubectl("hub", "", "patch", "metricsource", sources["slow"], "--type=merge", "-p", `{"spec":{"timeout":"1s"}}`)
	var guards []string
	for name, source := range sources {
		guards = append(guards, "name: "+name+", interval: 1s, limits: {consecutiveErrors: 2}, expr: 'metrics.errors <= 0.02', "+oneMetric(source, share("updated")))
	}
	p.create("hub", "alice", p.run("wrong", withGuards("canary", "", "Canary", canaryIn("m1", "1s"), guards...), takesBack))
	for name, word := range map[string]string{"password": "401", "slow": "within 1s", "token": "401", "untrusted": "certificate"} {
		if g := p.comesToVerdict("wrong", "canary", name, "m1", v1alpha1.VerdictError, word, sources[name]); g.ConsecutiveErrors == 0 {
			t.Errorf("%s is not counted: %+v", name, g)
		}
	}
	p.comesToVerdict("wrong", "canary", "nan", "m1", v1alpha1.VerdictInconclusive, "NaN")
	p.comesTo("wrong", "canary", "GuardHolding")
	p.eventually("the source says that its password is wrong", func() (bool, string) {
		out := p.kubectl("hub", "", "get", "metricsource", sources["password"], "-o", `jsonpath={.status.conditions[?(@.type=="Answers")]}`)
		return strings.Contains(out, `"status":"False"`) && strings.Contains(out, "401"), out
	})

	// What is mended is asked again: the release goes on by itself.
	p.secret("password", map[string]string{"password": promPassword, "ca.crt": p.server.CA()})
	p.secret("token", map[string]string{"token": token})
	proxies["slow"].Slow(0)
	proxies["nan"].NaN(false)
	p.kubectl("hub", "", "patch", "metricsource", sources["untrusted"], "--type=merge", "-p",
		fmt.Sprintf(`{"spec":{"prometheus":{"basicAuth":{"username":%q,"password":{"name":"%[2]s-password","key":"password"}},"tls":{"ca":{"name":"%[2]s-password","key":"ca.crt"}}}}}`, promUser, p.ns))
	p.comesTo("wrong", "canary", "Succeeded")
	p.hides(wrong, token, promPassword)
}

// hides wants secrets nowhere but in Secrets: not in what people can read on the hub, nor in what its controller wrote.
func (m *metered) hides(secrets ...string) {
	m.t.Helper()
	places := map[string]string{
		"the test's namespace": m.kubectl("hub", "", "get", "pipelineruns,customruns,releases,events,targets.stages.periplus.dev", "-n", m.ns, "-o", "yaml"),
		"metric sources":       m.kubectl("hub", "", "get", "metricsources", "-o", "yaml"),
		"events":               m.kubectl("hub", "", "get", "events", "-A", "-o", "yaml"),
	}
	for _, part := range []string{localfleet.PartController, localfleet.PartAPIServer} {
		log, err := os.ReadFile(m.fleet.Log("hub", part))
		if err != nil {
			m.t.Fatalf("reading the log %s: %v", filepath.Base(m.fleet.Log("hub", part)), err)
		}
		places["the log of "+part] = string(log)
	}
	screen, err := m.periplus("alice", "get", "wrong")
	if err != nil {
		m.t.Errorf("periplus get: %v\n%s", err, screen)
	}
	places["periplus get"] = screen
	for place, text := range places {
		for _, secret := range secrets {
			if strings.Contains(text, secret) {
				m.t.Errorf("%s shows %s", place, secret)
			}
		}
	}
}

func TestTwoSeriesAreAnErrorThatNamesThem(t *testing.T) {
	t.Parallel()
	p := newPort(t).withExample().measured(nil)
	p.create("hub", "alice", p.run("two", withGuards("canary", "", "Canary", canaryIn("m1", "1s"),
		"name: one-number, interval: 1s, onError: Fail, limits: {consecutiveErrors: 3}, expr: 'metrics.errors <= 0.02', "+
			oneMetric(p.prometheus(), `sum by (pod) (rate(http_requests_total{code="500",pod=~"$(updated.podRegex)"}[$(window)]))`)), takesBack))
	message := p.comesTo("two", "canary", "GuardFailed")
	g := p.judged("two", "canary", "one-number", "m1")
	for _, word := range []string{"2 series", "productpage-dca-", "productpage-dcb-", "each: true"} {
		if !strings.Contains(g.Message, word) {
			t.Errorf("the guard does not say %q: %s (the stage: %s)", word, g.Message, message)
		}
	}
	p.comesTo("two", "rollback", "Succeeded")
	p.comesBack("two", ":v2")
}

// A metric that balancers smooth shows for a while what the old version did.
func TestSamplesOfAMetricThatLagsCountOnlyOnceTheOldVersionIsBehind(t *testing.T) {
	t.Parallel()
	// Longer than it takes to change a pod on a loaded machine: nobody asks it anything meanwhile, and the metric must not have forgotten.
	const smoothing = 20 * time.Second
	behaves := func(errors float64) traffic.Behaviour {
		return traffic.Behaviour{Rate: 100, Errors: errors, Latency: 20 * time.Millisecond, Smoothing: smoothing}
	}
	for name, tc := range map[string]struct {
		old, new float64
		guard    string
		reason   string
	}{
		// Judged too early it would fail by the old version's errors.
		"a mended version is not blamed": {0.5, 0, "when: During", "Succeeded"},
		// Judged too early it would pass by the old version's health.
		"a sick version is not praised": {0, 0.5, "deadline: 30s", "GuardFailed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPort(t).withExample().measured(map[string]traffic.Behaviour{"v1": behaves(tc.old), "v2": behaves(tc.new)})
			metric := fmt.Sprintf(`metrics: {errors: {source: %s, window: %s, query: 'avg(http_error_ratio{pod=~"$(updated.podRegex)"})'}}`, p.prometheus(), smoothing)
			p.create("hub", "alice", p.run("lag", withGuards("canary", "", "Canary", canaryIn("m1", "1s"),
				"name: smoothed, interval: 1s, expr: 'metrics.errors <= 0.1', "+tc.guard+", "+metric), takesBack))
			canaries, ready := p.ready("m1", ":v2", 2)
			p.comesTo("lag", "canary", tc.reason)
			g := p.judged("lag", "canary", "smoothed", "m1")
			if g.Samples == 0 || len(g.Metrics) != 1 {
				t.Fatalf("nothing was judged: %+v", g)
			}
			for _, v := range g.Metrics[0].Recent {
				if v == "-" {
					continue // a loaded machine may answer late.
				}
				if (number(t, v) > 0.1) != (tc.new > 0.1) {
					t.Errorf("a sample of the old version counted: %v", g.Metrics[0].Recent)
					break
				}
			}
			// The metric did lag: a second after the canaries were ready it showed more of what was before.
			saw, err := p.query(fmt.Sprintf(`avg(http_error_ratio{member="m1",pod=~"%s"} @ %d)`, strings.Join(canaries, "|"), ready.Add(time.Second).Unix()))
			if err != nil || math.Abs(saw-tc.old) >= math.Abs(saw-tc.new) {
				t.Errorf("a second after the canaries were ready the metric was %v (%v): this story shows nothing", saw, err)
			}
		})
	}
}

func TestTheLastStepWithNoStablePodLeftDoesWhatAgainstSays(t *testing.T) {
	t.Parallel()
	bumpBoth := "members: [m1]\n" + toV2 + "\norder: [dca, dcb]"
	guard := func(source, against string) string {
		return "name: no-worse, interval: 1s, deadline: 20s, against: " + against + ", expr: 'metrics.errors <= 2.0 * metrics.base + 0.015', metrics: {" +
			"errors: {source: " + source + ", window: 5s, query: '" + share("updated") + "'}, base: {source: " + source + ", window: 5s, query: '" + share("stable") + "'}}"
	}
	t.Run("Stable is not applicable, and says so", func(t *testing.T) {
		t.Parallel()
		p := newPort(t).withExample().measured(nil)
		p.create("hub", "alice", p.run("last", withGuards("bump", "", "PartitionBump", bumpBoth, guard(p.prometheus(), "Stable")), takesBack))
		p.comesTo("last", "bump", "Succeeded")
		if g := p.judged("last", "bump", "no-worse", "m1"); g.Verdict != v1alpha1.VerdictNotApplicable || !strings.Contains(g.Message, "no stable pod") {
			t.Errorf("at the last step: %+v", g)
		}
	})
	for name, tc := range map[string]struct {
		errors float64
		reason string
	}{
		"Baseline lets a healthy version pass":                 {0.001, "Succeeded"},
		"Baseline catches a version that is sick only by then": {0.2, "GuardFailed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPort(t).withExample().measured(nil)
			p.create("hub", "alice", p.run("last", withGuards("bump", "", "PartitionBump", bumpBoth, guard(p.prometheus(), "Baseline")), takesBack))
			p.eventually("the last step began", func() (bool, string) {
				got := p.updated("m1", ":v2")
				return got == "dca=4 dcb=4", got
			})
			b := traffic.Healthy
			b.Errors = tc.errors
			p.traffic.Set("v2", b)
			p.comesTo("last", "bump", tc.reason)
			st := p.status("last", "bump")
			if len(st.Baselines) != 1 || st.Baselines[0].Metric != "base" || st.Baselines[0].Member != "m1" || number(t, st.Baselines[0].Value) > 0.02 {
				t.Errorf("the baseline: %+v", st.Baselines)
			}
			g := p.judged("last", "bump", "no-worse", "m1")
			if passed := g.Verdict == v1alpha1.VerdictPass; passed != (tc.reason == "Succeeded") {
				t.Errorf("at the last step: %+v", g)
			}
		})
	}
}

// number reads a value of a status.
func number(t *testing.T, s string) float64 {
	t.Helper()
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		t.Errorf("not a number: %v", err)
	}
	return v
}
