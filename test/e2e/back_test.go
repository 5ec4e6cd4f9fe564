//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

// takesBack is a finally that takes back what a run that did not succeed touched.
const takesBack = `
    finally:
    - name: rollback
      when: [{input: $(tasks.status), operator: notin, values: [Succeeded]}]
      taskSpec: {apiVersion: stages.periplus.dev/v1alpha1, kind: Rollback, spec: {}}
`

// run makes a PipelineRun of tasks, and of what is to come finally, in place.
func (p *port) run(name, tasks, finally string) string {
	return fmt.Sprintf(`
apiVersion: tekton.dev/v1
kind: PipelineRun
metadata: {name: %s, namespace: %s}
spec:
  timeouts: {pipeline: "0"}
  pipelineSpec:
    tasks:
%s%s`, name, p.ns, tasks, finally)
}

// bump is a task that brings an image to all pods of some members.
func bump(name, member, image string) string {
	return fmt.Sprintf(`
    - name: %s
      taskSpec:
        apiVersion: stages.periplus.dev/v1alpha1
        kind: PartitionBump
        spec: {target: productpage, members: [%s], change: {images: {app: "registry.example/%s"}}, order: [dca, dcb]}
`, name, member, image)
}

// does runs a command of periplus as somebody, with a reason and without being asked.
func (p *port) does(user string, args ...string) string {
	p.t.Helper()
	out, err := p.periplus(user, append(args, "--message", "as the test says", "--yes")...)
	if err != nil {
		p.t.Fatalf("periplus %s as %s: %v\n%s\n%s", strings.Join(args, " "), user, err, out, p.scene())
	}
	return out
}

// comesBack waits until the release of a run is rolled back and at rest, with no pod on an image left.
func (p *port) comesBack(run, image string) *v1alpha1.Release {
	p.t.Helper()
	p.within(2*limit, "release of "+run+" is rolled back", func() (bool, string) {
		rel := p.record(run)
		return rel != nil && rel.Status.Phase == v1alpha1.ReleaseRolledBack, fmt.Sprintf("%+v", rel)
	})
	p.isBack(image)
	return p.atRest(run)
}

// isBack wants no pod on an image, and waits until the sets count all pods as available, which they do a moment after the hub.
func (p *port) isBack(image string) {
	p.t.Helper()
	p.eventually("all pods are available", func() (bool, string) {
		for _, m := range members {
			for _, s := range p.sets(m) {
				if s.Status.AvailableReplicas != *s.Spec.Replicas {
					return false, fmt.Sprintf("%s in %s has %d of %d", s.Name, m, s.Status.AvailableReplicas, *s.Spec.Replicas)
				}
			}
		}
		return true, ""
	})
	for _, m := range members {
		if got := p.updated(m, image); got != "dca=0 dcb=0" {
			p.t.Errorf("%s still has %s on %s", m, got, image)
		}
		for _, s := range p.sets(m) {
			if strings.HasSuffix(s.Spec.Template.Spec.Containers[0].Image, image) {
				p.t.Errorf("the template of %s in %s is still that of %s", s.Name, m, image)
			}
		}
	}
}

func TestABadImageInTheSecondMemberTakesBothBack(t *testing.T) {
	t.Parallel()
	p := newPort(t).withExample()
	p.create("hub", "alice", p.run("sick", bump("m1", "m1", "productpage:v2")+`
    - name: m2
      runAfter: [m1]
      taskSpec:
        apiVersion: stages.periplus.dev/v1alpha1
        kind: Canary
        spec: {target: productpage, members: [m2], change: {images: {app: "registry.example/productpage:bad-v2"}}, pods: 1, bake: 1s}
`, takesBack))
	p.comesTo("sick", "m2", "PodsFailed")
	p.comesTo("sick", "rollback", "Succeeded")
	if reason := p.ends("sick"); reason != "Failed" {
		t.Errorf("the run ended %s", reason)
	}
	rel := p.comesBack("sick", "v2")
	if b := rel.Status.Rollback; b == nil || b.CompletionTime == nil || b.Scope != v1alpha1.RollbackRelease || len(rel.Status.Touched) != 4 {
		t.Errorf("the record: %+v", rel.Status)
	}
	if got := p.results("sick", "rollback")["members"]; got != `["m2","m1"]` {
		t.Errorf("members that went back: %s", got)
	}
}

func TestARunThatSucceededIsTakenBackInPartAndThenWhole(t *testing.T) {
	t.Parallel()
	p := newPort(t).withExample()
	p.create("hub", "alice", p.run("well", bump("m1", "m1", "productpage:v2")+bump("m2", "m2", "productpage:v2"), takesBack))
	if reason := p.ends("well"); reason != "Completed" { // the rollback was left out.
		t.Fatalf("the run ended %s\n%s", reason, p.scene())
	}
	if rel := p.atRest("well"); rel.Status.Phase != v1alpha1.ReleaseSucceeded {
		t.Errorf("the record says %s", rel.Status.Phase)
	}
	p.does("alice", "rollback", "well", "--member", "m2")
	p.eventually("m2 is back", func() (bool, string) {
		rel := p.record("well")
		return rel.Status.Released && rel.Status.Rollback != nil && rel.Status.Rollback.CompletionTime != nil, fmt.Sprintf("%+v", rel.Status)
	})
	if got := p.updated("m1", ":v2") + ", " + p.updated("m2", ":v2"); got != "dca=4 dcb=4, dca=0 dcb=0" {
		t.Errorf("after the rollback of m2: %s", got)
	}
	p.does("alice", "rollback", "well")
	rel := p.comesBack("well", ":v2")
	if rel.Status.Rollback.Initiator != "alice" {
		t.Errorf("the rollback is said to be %q's", rel.Status.Rollback.Initiator)
	}
}

func TestARunWithoutItsFinallyGoesBackByItselfWhereTheTargetSaysSo(t *testing.T) {
	t.Parallel()
	p := newPort(t).withExample()
	p.patch("alice", "targets.stages.periplus.dev", "productpage", `{"spec":{"onEnd":"RollBack"}}`)
	p.create("hub", "alice", p.run("plain", canaryAndBump, takesBack))
	p.comesTo("plain", "ask", "AwaitingApproval")
	p.patch("alice", "pipelinerun", "plain", `{"spec":{"status":"Cancelled"}}`)
	p.comesBack("plain", ":v2")
	if p.stage("plain", "rollback") != nil {
		t.Error("Tekton ran the finally of a plain cancel")
	}
}

func TestAHubThatLostItsRecordGoesBackByTheLocksInTheMembers(t *testing.T) {
	t.Parallel()
	p := newPort(t).withExample()
	p.create("hub", "alice", p.run("lost", canaryAndBump, ""))
	p.comesTo("lost", "ask", "AwaitingApproval")
	name := p.record("lost").Name
	if out, err := p.periplus("alice", "rollback", "--from-members", "--release", name, "--message", "why", "--yes"); err == nil || !strings.Contains(out, "this hub has the record") {
		t.Errorf("a release that is on record: %v\n%s", err, out)
	}
	// Nobody but the controller may delete a record: what is lost here is lost as the disk of a hub is.
	p.kubectl("hub", "", "delete", "releases.stages.periplus.dev", name, "-n", p.ns, "--as", "system:serviceaccount:periplus-system:periplus-controller")
	p.kubectl("hub", "", "delete", "pipelinerun", "lost", "-n", p.ns)
	if got := p.updated("m1", ":v2"); got != "dca=1 dcb=1" {
		t.Errorf("m1 has %s", got)
	}
	p.does("alice", "rollback", "--from-members", "--members", "m1,m2", "--release", name) // other stories sink members of their own meanwhile
	all, err := p.tekton.TektonV1().PipelineRuns(p.ns).List(context.Background(), metav1.ListOptions{})
	if err != nil || len(all.Items) != 1 {
		t.Fatalf("%d runs: %v", len(all.Items), err)
	}
	undo := all.Items[0].Name
	p.comesTo(undo, "rollback", "Succeeded")
	rel := p.comesBack(undo, ":v2")
	if rel.Spec.Initiator != "alice" || len(rel.Status.Touched) != 2 {
		t.Errorf("the record that was found: initiator %q, %d entries", rel.Spec.Initiator, len(rel.Status.Touched))
	}
	for _, m := range members {
		for _, s := range p.sets(m) {
			if lock, ok := s.Annotations[v1alpha1.AnnotationLock]; ok {
				t.Errorf("%s in %s is still locked: %s", s.Name, m, lock)
			}
		}
	}
}
