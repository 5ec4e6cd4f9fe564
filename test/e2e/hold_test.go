//go:build e2e

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

// versions tell how the sets of all members are specified: the same words, the same specs.
func (p *port) versions() string {
	p.t.Helper()
	var all []string
	for _, m := range members {
		for _, s := range p.sets(m) {
			all = append(all, fmt.Sprintf("%s/%s generation %d", m, s.Name, s.Generation))
		}
	}
	return strings.Join(all, ", ")
}

func TestAPausedReleaseStandsStillUntilItIsResumed(t *testing.T) {
	t.Parallel()
	p := newPort(t).withExample()
	p.create("hub", "alice", p.run("held", canaryAndBump, ""))
	p.comesTo("held", "ask", "AwaitingApproval")
	p.does("alice", "pause", "held")
	before := p.versions()
	p.confirms("held")
	if msg := p.comesTo("held", "bump", "Paused"); !strings.Contains(msg, "alice") || !strings.Contains(msg, "as the test says") {
		t.Errorf("it does not say who paused it and why: %s", msg)
	}
	if after := p.versions(); after != before {
		t.Errorf("a release that is paused went from %s to %s", before, after)
	}
	p.does("alice", "resume", "held")
	if reason := p.ends("held"); reason != "Succeeded" {
		t.Fatalf("the run ended %s\n%s", reason, p.scene())
	}
	p.atRest("held")
}

// Not parallel: everybody's releases stand still meanwhile.
func TestAFreezeOfEverythingStopsTheRunsOfAllNamespaces(t *testing.T) {
	ports := []*port{newPort(t).withExample(), newPort(t).withExample()}
	for _, p := range ports {
		p.create("hub", "alice", p.run("frozen", canaryAndBump, ""))
	}
	for _, p := range ports {
		p.comesTo("frozen", "ask", "AwaitingApproval")
	}
	p := ports[0]
	freeze := func(args ...string) {
		t.Helper()
		if out, err := p.command("", "hub", "", "periplus", append(args, "--message", "as the test says", "--yes")...); err != nil {
			t.Fatalf("periplus %v: %v\n%s", args, err, out)
		}
	}
	names := func() []string {
		return strings.Fields(p.kubectl("hub", "", "get", "freezes.stages.periplus.dev", "-o", `jsonpath={.items[*].metadata.name}`))
	}
	known := names()
	freeze("freeze", "--all")
	mine := slices.DeleteFunc(names(), func(n string) bool { return slices.Contains(known, n) })
	if len(mine) != 1 {
		t.Fatalf("the freezes that were made: %v", mine)
	}
	lifted := false
	lift := func() {
		if !lifted {
			lifted = true
			freeze("unfreeze", mine[0])
		}
	}
	t.Cleanup(lift)
	before := make([]string, len(ports))
	for i, p := range ports {
		before[i] = p.versions()
		p.confirms("frozen")
	}
	for i, p := range ports {
		if msg := p.comesTo("frozen", "bump", "Frozen"); !strings.Contains(msg, "as the test says") {
			t.Errorf("it does not say why: %s", msg)
		}
		if after := p.versions(); after != before[i] {
			t.Errorf("a release that is frozen went from %s to %s", before[i], after)
		}
	}
	lift()
	for _, p := range ports {
		if reason := p.ends("frozen"); reason != "Succeeded" {
			t.Errorf("the run in %s ended %s\n%s", p.ns, reason, p.scene())
		}
		p.atRest("frozen")
	}
}

func TestARetryGoesOnAtTheStageThatFailed(t *testing.T) {
	t.Parallel()
	p := newPort(t).withExample()
	gate := func(expr string) {
		p.apply("hub", fmt.Sprintf(`
apiVersion: stages.periplus.dev/v1alpha1
kind: GuardSet
metadata: {name: gate, namespace: %s}
spec: {guards: [{name: open, expr: "%s"}]}
`, p.ns, expr))
	}
	gate("units.size() > 99")
	p.create("hub", "alice", p.run("again", strings.Replace(canaryAndBump, `    - name: bump
      runAfter: [ask]
`, `    - name: gate
      runAfter: [ask]
      taskSpec: {apiVersion: stages.periplus.dev/v1alpha1, kind: Check, spec: {target: productpage, members: [m1], guardSets: [gate]}}
    - name: bump
      runAfter: [gate]
`, 1), ""))
	p.comesTo("again", "ask", "AwaitingApproval")
	p.confirms("again")
	p.comesTo("again", "gate", "GuardFailed")
	p.ends("again")
	p.atRest("again")
	if got := p.updated("m1", ":v2"); got != "dca=1 dcb=1" {
		t.Errorf("after the failure m1 has %s", got)
	}
	gate("units.size() > 0")
	p.does("alice", "retry", "again")
	const retry = "again-retry-1"
	p.eventually("there is a retry", func() (bool, string) { return p.stage(retry, "canary") != nil, "no stage of it" })
	if reason := p.ends(retry); reason != "Succeeded" {
		t.Fatalf("the retry ended %s\n%s", reason, p.scene())
	}
	for task, want := range map[string]string{"canary": "CarriedOver", "ask": "CarriedOver", "gate": "Succeeded", "bump": "Succeeded"} {
		if got, msg := p.condition(retry, task); got != want {
			t.Errorf("%s of the retry ended %s: %s; want %s", task, got, msg, want)
		}
	}
	if p.record(retry) != nil {
		t.Error("the retry has a record of its own")
	}
	p.eventually("the release succeeded", func() (bool, string) {
		rel := p.record("again")
		return rel.Status.Phase == v1alpha1.ReleaseSucceeded, fmt.Sprintf("%+v", rel.Status)
	})
	p.atRest("again")
	if got := p.updated("m1", ":v2"); got != "dca=4 dcb=4" {
		t.Errorf("after the retry m1 has %s", got)
	}
}

func TestASoakIsSkippedAndAReleaseIsAborted(t *testing.T) {
	t.Parallel()
	p := newPort(t).withExample()
	p.create("hub", "alice", p.pipeline("urgent", `
    - name: soak
      taskSpec: {apiVersion: stages.periplus.dev/v1alpha1, kind: Soak, spec: {duration: 50m}}
`+strings.Replace(canaryAndBump, "    - name: canary\n", "    - name: canary\n      runAfter: [soak]\n", 1)))
	p.comesTo("urgent", "soak", "Soaking")
	p.does("alice", "skip", "urgent", "--stage", "soak")
	if msg := p.comesTo("urgent", "soak", "Skipped"); !strings.Contains(msg, "alice") || !p.stage("urgent", "soak").IsSuccessful() {
		t.Errorf("the soak that was skipped: %s", msg)
	}
	p.comesTo("urgent", "ask", "AwaitingApproval")
	p.does("alice", "abort", "urgent")
	p.comesTo("urgent", "ask", "Aborted")
	p.comesTo("urgent", "last", "Succeeded", "Aborted")
	if reason := p.ends("urgent"); reason != "Failed" {
		t.Errorf("the run ended %s", reason)
	}
	if p.stage("urgent", "bump") != nil {
		t.Error("a stage was begun after the abort")
	}
	p.atRest("urgent")
	if got := p.updated("m1", ":v2"); got != "dca=1 dcb=1" {
		t.Errorf("an abort takes nothing back, and m1 has %s", got)
	}
}
