//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/cli/screen"
	"github.com/periplus-dev/periplus/pkg/localfleet"
	"github.com/periplus-dev/periplus/test/metrics/traffic"
)

// triesGuards runs `periplus guard test` as alice on guards in YAML, and returns how it ended and what it printed.
func (p *port) triesGuards(guards string, args ...string) (code int, out string) {
	p.t.Helper()
	args = append([]string{"guard", "test", "-f", "-", "--target", "productpage", "-n", p.ns}, args...)
	out, err := p.command(guards, "hub", "alice", "periplus", args...)
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		p.t.Fatal(err)
	}
	if exit != nil {
		code = exit.ExitCode()
	}
	return code, out
}

// endsWith wants a test of guards to end with a code and to print these words.
func (p *port) endsWith(want int, words []string, guards string, args ...string) {
	p.t.Helper()
	code, out := p.triesGuards(guards, args...)
	if code != want {
		p.t.Errorf("ended with %d, want %d:\n%s", code, want, out)
	}
	for _, w := range words {
		if !strings.Contains(out, w) {
			p.t.Errorf("%q is missing:\n%s", w, out)
		}
	}
}

// leftNothing waits until no test of guards has left a run or a record in the namespace.
func (p *port) leftNothing() {
	p.t.Helper()
	p.eventually("no run and no record is left", func() (bool, string) {
		runs, err := p.tekton.TektonV1beta1().CustomRuns(p.ns).List(context.Background(), metav1.ListOptions{})
		if err != nil {
			return false, err.Error()
		}
		pipelines, err := p.tekton.TektonV1().PipelineRuns(p.ns).List(context.Background(), metav1.ListOptions{})
		if err != nil {
			return false, err.Error()
		}
		releases, err := p.hub.StagesV1alpha1().Releases(p.ns).List(context.Background(), metav1.ListOptions{})
		if err != nil {
			return false, err.Error()
		}
		if len(releases.Items) > 0 {
			p.t.Fatalf("a test of guards left the record %s", releases.Items[0].Name)
		}
		return len(runs.Items)+len(pipelines.Items) == 0, p.scene()
	})
}

func TestGuardsAreTriedOnALiveTargetWithoutTouchingIt(t *testing.T) {
	t.Parallel()
	p := newPort(t).withExample()
	before := p.generations("m1") + p.generations("m2")

	p.endsWith(0, []string{"there in m1: Pass", "there in m2: Pass", "pods.size() = 8", "2 of 2 pass or do not apply"},
		"{name: there, expr: 'pods.size() == 8', when: During}", "--member", "m1,m2") // other stories sink members of their own meanwhile.
	p.endsWith(1, []string{"many in m2: Fail", "pods.size() = 8, int(params.least) = 9", "there in m2: Pass", "1 of 2 pass"},
		"- {name: many, expr: 'pods.size() >= int(params.least)'}\n- {name: there, expr: 'pods.size() == 8', for: 2m}", "--member", "m2", "--param", "least=9")
	p.endsWith(1, []string{"ring in m1: Error", "no such key"}, "{name: ring, expr: 'member.labels.nothing == \"1\"'}", "--member", "m1")
	p.endsWith(2, []string{"expr: Invalid value", "line 1, column"}, "{name: slip, expr: 'pods.siz() == 8'}")
	p.endsWith(2, []string{"spec.members[0]: Not found"}, "{name: there, expr: 'pods.size() == 8'}", "--member", "m9")
	p.endsWith(2, []string{"spec.guards", "source"}, "---\n{name: a, expr: 'true'}\n---\napiVersion: stages.periplus.dev/v1alpha1\nkind: GuardSet\nspec: {guards: [{name: b, expr: 'metrics.x > 1.0', metrics: {x: {source: nobody, query: up}}}]}")
	p.leftNothing()
	if after := p.generations("m1") + p.generations("m2"); after != before {
		t.Errorf("workloads were changed: %s, before: %s", after, before)
	}
}

func TestAnInterruptedTestOfGuardsLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	p := newPort(t).withExample()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(localfleet.BinDir(p.checks), "periplus"), "guard", "test", "-f", "-", "--target", "productpage", "-n", p.ns)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+p.fleet.KubeconfigOf("hub", "alice"))
	cmd.Stdin = strings.NewReader("{name: long, expr: 'pods.all(p, p.ready)', interval: 1m, limits: {minSamples: 100}}")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.eventually("the guard is being judged", func() (bool, string) {
		l, err := p.tekton.TektonV1beta1().CustomRuns(p.ns).List(context.Background(), metav1.ListOptions{})
		if err != nil || len(l.Items) == 0 {
			return false, "no stage"
		}
		return strings.Contains(string(l.Items[0].Status.ExtraFields.Raw), "minSamples"), string(l.Items[0].Status.ExtraFields.Raw)
	})
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 130 {
		t.Errorf("ended with %v", err)
	}
	p.leftNothing()
}

func TestAGuardThatReadsMetricsIsTriedOnALiveTarget(t *testing.T) {
	t.Parallel()
	p := newPort(t).withExample().measured(map[string]traffic.Behaviour{"v1": sick})
	source := p.prometheus()
	few := "{name: few-errors, when: During, expr: 'metrics.errors <= 0.02', " + oneMetric(source, share("pods")) + "}"
	var got screen.GuardTest
	p.within(2*limit, "the errors of the pods are seen", func() (bool, string) {
		code, out := p.triesGuards(few, "--member", "m1", "-o", "json")
		if code != 1 || json.Unmarshal([]byte(out), &got) != nil || len(got.Guards) != 1 {
			return false, out
		}
		return got.Guards[0].Verdict == v1alpha1.VerdictFail, out
	})
	metrics := got.Guards[0].Metrics
	if len(metrics) != 1 {
		t.Fatalf("the guard: %+v", got.Guards[0])
	}
	if v := number(t, metrics[0].Value); v <= 0.02 || v > 0.1 {
		t.Errorf("5 %% errors are seen as %s", metrics[0].Value)
	}
	if q := metrics[0].Query; !strings.Contains(q, "productpage-dca-") || strings.Contains(q, "$(") || metrics[0].Source != source {
		t.Errorf("asked %s of %s", q, metrics[0].Source)
	}
	p.endsWith(0, []string{"lenient in m1: Pass", "metrics.errors = 0.0", "source " + source, "query "},
		"{name: lenient, expr: 'metrics.errors <= 0.2', "+oneMetric(source, share("pods"))+"}", "--member", "m1", "--timeout", time.Minute.String())
	p.endsWith(2, []string{"metrics[errors].query: Invalid value"}, "{name: slip, expr: 'metrics.errors <= 0.2', "+oneMetric(source, "sum((up)")+"}")
	p.endsWith(2, []string{"metrics[errors].source", "there is no such MetricSource"}, "{name: nobody, expr: 'metrics.errors <= 0.2', "+oneMetric("nobody", "up")+"}")
	p.leftNothing()
}
