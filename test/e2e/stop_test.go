//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// finish is a finally task that only says that it ran.
const finish = `
    finally:
    - name: last
      taskSpec:
        apiVersion: stages.periplus.dev/v1alpha1
        kind: ClusterHop
        spec: {target: productpage, from: [m1], to: [m2]}
`

// pipeline is a run of one member with a finally, in place.
func (p *port) pipeline(name, tasks string) string {
	return fmt.Sprintf(`
apiVersion: tekton.dev/v1
kind: PipelineRun
metadata: {name: %s, namespace: %s}
spec:
  timeouts: {pipeline: "0"}
  pipelineSpec:
    tasks:
%s%s`, name, p.ns, tasks, finish)
}

const canaryAndBump = `
    - name: canary
      taskSpec:
        apiVersion: stages.periplus.dev/v1alpha1
        kind: Canary
        spec: {target: productpage, members: [m1], change: {images: {app: "registry.example/productpage:v2"}}, pods: 1, bake: 1s}
    - name: ask
      runAfter: [canary]
      taskSpec: {apiVersion: stages.periplus.dev/v1alpha1, kind: Confirm, spec: {message: "on?"}}
    - name: bump
      runAfter: [ask]
      taskSpec: {apiVersion: stages.periplus.dev/v1alpha1, kind: PartitionBump, spec: {target: productpage, members: [m1], order: [dca, dcb]}}
`

func TestCancelInTheMiddleOfAStageRunsFinallyAndHoldsPodsBack(t *testing.T) {
	t.Parallel()
	p := newPort(t).withExample()
	p.create("hub", "alice", p.pipeline("middle", strings.Replace(canaryAndBump, "bake: 1s", "bake: 10m", 1)))
	p.comesTo("middle", "canary", "Baking")
	p.patch("alice", "pipelinerun", "middle", `{"spec":{"status":"CancelledRunFinally"}}`)
	p.comesTo("middle", "canary", "CustomRunCancelled")
	p.comesTo("middle", "last", "Succeeded")
	if reason := p.ends("middle"); reason != "Cancelled" {
		t.Errorf("the run ended %s, want Cancelled: any other reason of ours makes Tekton count a failure", reason)
	}
	if got := p.updated("m1", ":v2"); got != "dca=1 dcb=1" {
		t.Errorf("after the cancel m1 has %s, want the canaries as they were", got)
	}
	if res := p.results("middle", "canary"); res["revision"] == "" || res["pods"] == "" {
		t.Errorf("results of the cancelled canary: %v", res)
	}
	p.atRest("middle")
}

func TestCancelWhileAQuestionIsOpenBetweenTwoMoves(t *testing.T) {
	t.Parallel()
	p := newPort(t).withExample()
	p.create("hub", "alice", p.pipeline("between", canaryAndBump))
	p.comesTo("between", "ask", "AwaitingApproval")
	p.patch("alice", "pipelinerun", "between", `{"spec":{"status":"CancelledRunFinally"}}`)
	p.comesTo("between", "ask", "CustomRunCancelled")
	p.comesTo("between", "last", "Succeeded")
	p.ends("between")
	if cr := p.stage("between", "bump"); cr != nil {
		t.Errorf("the bump was started after the cancel: %+v", cr.Status.Conditions)
	}
	p.atRest("between")
}

func TestAPlainCancelLeavesNothingLockedAndNothingMoving(t *testing.T) {
	t.Parallel()
	p := newPort(t).withExample()
	p.create("hub", "alice", p.pipeline("plain", strings.Replace(canaryAndBump, "bake: 1s", "bake: 10m", 1)))
	p.comesTo("plain", "canary", "Baking")
	p.patch("alice", "pipelinerun", "plain", `{"spec":{"status":"Cancelled"}}`)
	p.ends("plain")
	p.comesTo("plain", "canary", "CustomRunCancelled")
	rel := p.atRest("plain")
	if rel.Status.Phase != "Failed" {
		t.Errorf("the record says %s", rel.Status.Phase)
	}
	if got := p.updated("m1", ":v2"); got != "dca=1 dcb=1" {
		t.Errorf("after the cancel m1 has %s", got)
	}
}

func TestADeletedRunLeavesItsRecordAndNoLock(t *testing.T) {
	t.Parallel()
	p := newPort(t).withExample()
	p.create("hub", "alice", p.pipeline("gone", canaryAndBump))
	p.comesTo("gone", "ask", "AwaitingApproval")
	p.kubectl("hub", "alice", "delete", "pipelinerun", "gone", "-n", p.ns)
	rel := p.atRest("gone")
	if len(rel.Status.Touched) != 2 || !strings.Contains(rel.Status.Message, "deleted") {
		t.Errorf("the record of a deleted run: %+v", rel.Status)
	}
}

func TestAStageThatTimesOutIsTriedAgainAndThenFails(t *testing.T) {
	t.Parallel()
	p := newPort(t).withExample()
	p.create("hub", "alice", p.pipeline("late", `
    - name: ask
      retries: 1
      timeout: 4s
      taskSpec: {apiVersion: stages.periplus.dev/v1alpha1, kind: Confirm, spec: {message: "on?"}}
`))
	p.comesTo("late", "ask", "CustomRunTimedOut")
	cr := p.stage("late", "ask")
	if len(cr.Status.RetriesStatus) != 1 {
		t.Errorf("%d earlier attempts are kept, want 1", len(cr.Status.RetriesStatus))
	}
	if reason := p.ends("late"); reason != "Failed" {
		t.Errorf("the run ended %s", reason)
	}
}
