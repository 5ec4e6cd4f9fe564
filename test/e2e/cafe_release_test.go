//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	appsv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

// withBookshop puts the bookshop, one CafeDeployment of ten pods, in the members, and its policies on the hub.
func withBookshop(t *testing.T) *port {
	t.Helper()
	p := newPort(t)
	p.app = "bookshop"
	for _, m := range members {
		p.apply(m, p.example("workloads.yaml"))
	}
	p.apply("hub", p.example("policies.yaml"))
	p.apply("hub", p.example("pipeline.yaml"))
	for _, m := range members {
		p.eventually("all pods of "+m+" are available", func() (bool, string) {
			c := p.bookshop(m)
			return c.Status.AvailableReplicas == 10 && c.Status.ObservedGeneration == c.Generation, fmt.Sprintf("%+v", c.Status)
		})
	}
	return p
}

func (p *port) bookshop(member string) *appsv1alpha1.CafeDeployment {
	p.t.Helper()
	c, err := p.apps[member].AppsV1alpha1().CafeDeployments(p.ns).Get(context.Background(), "bookshop", metav1.GetOptions{})
	if err != nil {
		p.t.Fatal(err)
	}
	return c
}

// bookshopAtRest waits until the release of a run let go of the bookshop everywhere: no lock, every partition at 100 %.
func (p *port) bookshopAtRest(run string) *v1alpha1.Release {
	p.t.Helper()
	p.eventually("release of "+run+" has let go", func() (bool, string) {
		rel := p.record(run)
		return rel != nil && rel.Status.Released, fmt.Sprintf("%+v", rel)
	})
	for _, m := range members {
		c := p.bookshop(m)
		if lock, ok := c.Annotations[v1alpha1.AnnotationLock]; ok {
			p.t.Errorf("bookshop in %s is still locked: %s", m, lock)
		}
		for _, unit := range []string{"dca", "dcb"} {
			if part := c.Spec.Strategy.Partitions[unit]; part.String() != "100%" {
				p.t.Errorf("partition of %s in %s is %s at rest", unit, m, part.String())
			}
		}
	}
	return p.record(run)
}

// The README's story: the first member in groups of two and four, a confirm, the rest data centre by data centre, the hop, the second member.
func TestADeploymentAcrossTwoDataCentresIsCarriedInGroups(t *testing.T) {
	t.Parallel()
	p := withBookshop(t)
	before := map[string]map[string]string{"m1": p.identities("m1"), "m2": p.identities("m2")}
	look := p.watch("bookshop:v2", 2)
	run := p.release("bookshop:v2")

	p.comesTo(run, "confirm", "AwaitingApproval")
	if got := p.updated("m1", ":v2"); got != "dca=3 dcb=3" {
		t.Errorf("at the confirm m1 has %s, want six of ten", got)
	}
	if got := p.updated("m2", ":v2"); got != "dca=0 dcb=0" {
		t.Errorf("at the confirm m2 has %s, want none", got)
	}
	if got := p.results(run, "groups-m1"); got["batches"] != "[2,6]" || got["updated"] != "6" {
		t.Errorf("results of the groups: %v, want two, then six in all", got)
	}
	p.confirms(run)
	if reason := p.ends(run); reason != "Completed" { // all but the rollback, which was left out.
		t.Fatalf("the run ended %s\n%s", reason, p.scene())
	}
	for _, m := range members {
		if got := p.updated(m, ":v2"); got != "dca=5 dcb=5" {
			t.Errorf("at the end %s has %s", m, got)
		}
		if !maps.Equal(before[m], p.identities(m)) {
			t.Errorf("pods of %s did not keep UID, node and IP:\n%v\n%v", m, before[m], p.identities(m))
		}
	}
	rel := p.bookshopAtRest(run)
	if rel.Status.Phase != v1alpha1.ReleaseSucceeded || len(rel.Status.Touched) != 2 {
		t.Errorf("the record: %+v", rel.Status)
	}
	look.report(p)
}

func TestABadImageIsTakenBackFromADeploymentsFirstGroup(t *testing.T) {
	t.Parallel()
	p := withBookshop(t)
	look := p.watch("bookshop:bad-v2", 2)
	run := p.release("bookshop:bad-v2")
	if reason := p.ends(run); reason != "Failed" {
		t.Fatalf("the run ended %s\n%s", reason, p.scene())
	}
	if r, m := p.condition(run, "groups-m1"); r != "PodsFailed" || !strings.Contains(m, "bad-v2") {
		t.Errorf("the groups ended %s: %s", r, m)
	}
	p.bookshopAtRest(run)
	for _, m := range members {
		if got := p.updated(m, ":v1"); got != "dca=5 dcb=5" {
			t.Errorf("after the rollback %s has %s on the old version", m, got)
		}
	}
	if rel := p.record(run); rel.Status.Phase != v1alpha1.ReleaseRolledBack || len(rel.Status.Touched) != 1 {
		t.Errorf("the record: %+v", rel.Status)
	}
	look.report(p)
}

// Each group is a question of its own; one no ends the stage, and what is not reached stays.
func TestAGroupThatIsRejectedLeavesTheRestOld(t *testing.T) {
	t.Parallel()
	p := withBookshop(t)
	p.create("hub", "alice", fmt.Sprintf(`
apiVersion: tekton.dev/v1
kind: PipelineRun
metadata: {name: asking, namespace: %s}
spec:
  pipelineSpec:
    tasks:
    - name: groups
      taskSpec:
        apiVersion: stages.periplus.dev/v1alpha1
        kind: BetaBatch
        spec:
          target: bookshop
          members: [m1]
          change: {images: {app: "registry.example/bookshop:v2"}}
          batchSize: 4
          confirm: {approvers: {groups: [sre]}, forbidInitiator: true, message: "go on?"}
`, p.ns))
	p.comesTo("asking", "groups", "AwaitingApproval")
	if got := p.updated("m1", ":v2"); got != "dca=1 dcb=1" {
		t.Errorf("at the first question m1 has %s", got)
	}
	if out, err := p.periplus("alice", "confirm", "asking", "--message", "mine"); err == nil {
		t.Errorf("alice confirmed her own release: %s", out)
	}
	p.confirms("asking")
	p.eventually("the second group is asked about", func() (bool, string) {
		r, m := p.condition("asking", "groups")
		return r == "AwaitingApproval" && p.updated("m1", ":v2") == "dca=3 dcb=3", r + ": " + m
	})
	if out, err := p.periplus("carol", "reject", "asking", "--message", "the cellar is dark"); err != nil {
		t.Fatalf("periplus reject: %v\n%s", err, out)
	}
	if reason := p.ends("asking"); reason != "Failed" {
		t.Errorf("a rejected run ended %s", reason)
	}
	if r, m := p.condition("asking", "groups"); r != "Rejected" || !strings.Contains(m, "the cellar is dark") {
		t.Errorf("the groups ended %s: %s", r, m)
	}
	p.bookshopAtRest("asking")
	if got := p.updated("m1", ":v2"); got != "dca=3 dcb=3" {
		t.Errorf("after the no m1 has %s", got)
	}
}

// One plan over both members: one, two, two, two, three, wherever the pods are, then all that is left.
func TestOnePlanOverTwoMembers(t *testing.T) {
	t.Parallel()
	p := withBookshop(t)
	p.create("hub", "alice", fmt.Sprintf(`
apiVersion: tekton.dev/v1
kind: PipelineRun
metadata: {name: both, namespace: %s}
spec:
  pipelineSpec:
    tasks:
    - name: groups
      taskSpec:
        apiVersion: stages.periplus.dev/v1alpha1
        kind: BetaBatch
        spec:
          target: bookshop
          members: [m1, m2]
          change: {images: {app: "registry.example/bookshop:v2"}}
          batches: [1, 2, 2, 2, 3]
          upTo: 50%%
`, p.ns))
	if reason := p.ends("both"); reason != "Succeeded" {
		t.Fatalf("the run ended %s\n%s", reason, p.scene())
	}
	if got := p.results("both", "groups"); got["batches"] != "[1,3,5,7,10]" || got["updated"] != "10" {
		t.Errorf("results: %v", got)
	}
	sum := 0
	for _, m := range members {
		var a, b int
		if _, err := fmt.Sscanf(p.updated(m, ":v2"), "dca=%d dcb=%d", &a, &b); err != nil {
			t.Fatal(err)
		}
		if a < 2 || b < 2 {
			t.Errorf("%s has %d and %d of the ten: that is not fair", m, a, b)
		}
		sum += a + b
	}
	if sum != 10 {
		t.Errorf("%d pods are updated, want 10", sum)
	}
	p.bookshopAtRest("both")
}

// What is wrong is said before anything moves, with the field's name; a plan says the same.
func TestWrongGroupsAreRefused(t *testing.T) {
	t.Parallel()
	p := withBookshop(t)
	for _, c := range []struct{ name, spec, field string }{
		{"short-list", "batches: [1, 2]", "batches"},
		{"unknown-unit", "batchSize: 4, guards: [{name: g, expr: 'updated.all(p, p.redy)'}]", "redy"},
		{"too-many", "batchSize: 4, upTo: 11", "upTo"},
	} {
		manifest := fmt.Sprintf(`
apiVersion: tekton.dev/v1
kind: PipelineRun
metadata: {name: %s, namespace: %s}
spec:
  pipelineSpec:
    tasks:
    - name: groups
      taskSpec:
        apiVersion: stages.periplus.dev/v1alpha1
        kind: BetaBatch
        spec: {target: bookshop, members: [m1], change: {images: {app: "registry.example/bookshop:v2"}}, %s}
`, c.name, p.ns, c.spec)
		if out, err := p.command(manifest, "hub", "alice", "periplus", "plan", "-f", "-", "-n", p.ns); err == nil || !strings.Contains(out, c.field) {
			t.Errorf("the plan of %s does not fail and name %s (%v): %s", c.name, c.field, err, out)
		}
		p.create("hub", "alice", manifest)
		if reason := p.ends(c.name); reason != "Failed" {
			t.Errorf("%s ended %s", c.name, reason)
		}
		if r, m := p.condition(c.name, "groups"); r != "InvalidSpec" || !strings.Contains(m, c.field) {
			t.Errorf("%s: %s: %s, want it to name %s", c.name, r, m, c.field)
		}
	}
	if got := p.updated("m1", ":v2"); got != "dca=0 dcb=0" {
		t.Errorf("a wrong stage moved pods: %s", got)
	}
}
