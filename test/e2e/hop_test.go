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

// carrier applies a Pipeline for one member and one that carries it over all, and returns the second one's name.
func (p *port) carrier(tasks, hop string) string {
	p.t.Helper()
	p.apply("hub", fmt.Sprintf(`
apiVersion: tekton.dev/v1
kind: Pipeline
metadata: {name: one-member, namespace: %[1]s}
spec:
  params: [{name: member}, {name: image}]
  tasks:
%[2]s
---
apiVersion: tekton.dev/v1
kind: Pipeline
metadata: {name: all-members, namespace: %[1]s}
spec:
  params: [{name: image}]
  tasks:
  - name: hop
    params: [{name: image, value: $(params.image)}]
    taskSpec:
      apiVersion: stages.periplus.dev/v1alpha1
      kind: ClusterHop
      spec:
        pipelineRef: {name: one-member}
        params: [{name: image, value: $(params.image)}]
%[3]s
`, p.ns, tasks, hop))
	return "all-members"
}

const bumpOne = `
  - name: bump
    taskRef: {apiVersion: stages.periplus.dev/v1alpha1, kind: PartitionBump, name: dc-by-dc}
    params: [{name: member, value: $(params.member)}, {name: image, value: $(params.image)}]`

const canaryOne = `
  - name: canary
    taskRef: {apiVersion: stages.periplus.dev/v1alpha1, kind: Canary, name: careful}
    params: [{name: member, value: $(params.member)}, {name: image, value: $(params.image)}]`

// children are the runs that a hop made, by member.
func (p *port) childRuns(run string) map[string]string {
	p.t.Helper()
	all, err := p.tekton.TektonV1().PipelineRuns(p.ns).List(context.Background(), metav1.ListOptions{LabelSelector: v1alpha1.LabelRootUID + "=" + string(p.pipelineRun(run).UID)})
	if err != nil {
		p.t.Fatal(err)
	}
	out := map[string]string{}
	for _, pr := range all.Items {
		_, member, _ := strings.Cut(pr.Annotations[v1alpha1.AnnotationCarrier], "/")
		out[member] = pr.Name
	}
	return out
}

// One Pipeline, carried over two members in two waves.
func TestAHopCarriesAReleaseOverTwoMembersInTwoWaves(t *testing.T) {
	t.Parallel()
	p := newPort(t).withExample()
	name := p.carrier(canaryOne+bumpOne+"\n    runAfter: [canary]", `
        target: productpage
        silentPeriod: 2s
        wavePause: 2s
        guards: [{name: whole, when: Before, expr: "pods.all(p, p.available)"}]
        waves: [{name: first, members: [m1]}, {name: rest, memberSelector: {}, maxParallel: 2}]
        maxFailures: 0`)
	look := p.watch("productpage:v2", 2)
	// The rest would be every member of the fleet there is: the test is about two.
	p.kubectl("hub", "", "patch", "pipeline", name, "-n", p.ns, "--type=json", "-p",
		`[{"op":"replace","path":"/spec/tasks/0/taskSpec/spec/waves/1","value":{"name":"rest","members":["m2"]}}]`)
	run := p.release("productpage:v2", "pipelineRef: {name: productpage}", "pipelineRef: {name: "+name+"}")

	p.eventually("m1's run is made", func() (bool, string) { return p.childRuns(run)["m1"] != "", "no child" })
	if c := p.childRuns(run); c["m2"] != "" {
		t.Errorf("m2 was begun together with m1: %v", c)
	}
	if reason := p.ends(run); reason != "Succeeded" && reason != "Completed" {
		t.Fatalf("the run ended %s\n%s", reason, p.scene())
	}
	for _, m := range members {
		if got := p.updated(m, ":v2"); got != "dca=4 dcb=4" {
			t.Errorf("at the end %s has %s", m, got)
		}
	}
	if got := p.results(run, "hop")["members"]; got != `["m1","m2"]` {
		t.Errorf("result members is %s", got)
	}
	rel := p.atRest(run)
	if rel.Status.Phase != v1alpha1.ReleaseSucceeded || rel.Spec.Initiator != "alice" || len(rel.Status.Touched) != 4 {
		t.Errorf("the record: %+v, started by %q", rel.Status, rel.Spec.Initiator)
	}
	children := p.childRuns(run)
	known := map[string]bool{}
	for _, r := range rel.Status.Runs {
		known[r.Name] = r.Role == v1alpha1.RoleChild
	}
	first, second := p.pipelineRun(children["m1"]), p.pipelineRun(children["m2"])
	if !known[first.Name] || !known[second.Name] || first.Annotations[v1alpha1.AnnotationInitiator] != "alice" {
		t.Errorf("the record knows %+v; m1's run was started by %q", rel.Status.Runs, first.Annotations[v1alpha1.AnnotationInitiator])
	}
	if second.CreationTimestamp.Time.Before(first.Status.CompletionTime.Add(4e9)) {
		t.Errorf("m2 began at %s, m1 ended at %s: there are a silent period and a pause of 2s each between", second.CreationTimestamp, first.Status.CompletionTime)
	}
	look.report(p)
	p.refused("alice", "", []string{"stages.periplus.dev/settled"}, "annotate", "pipelinerun", first.Name, "-n", p.ns, "--overwrite", v1alpha1.AnnotationSettled+"=now")
}

// A hop that is stopped stops its child, whose own finally runs, and waits for it.
func TestAStoppedHopStopsItsChildAndLetsGoOfTheMember(t *testing.T) {
	t.Parallel()
	p := newPort(t).withExample()
	name := p.carrier(strings.Replace(canaryOne, "careful", "patient", 1)+bumpOne+"\n    runAfter: [canary]", "        waves: [{members: [m1, m2]}]")
	p.apply("hub", fmt.Sprintf(`
apiVersion: stages.periplus.dev/v1alpha1
kind: Canary
metadata: {name: patient, namespace: %s}
spec: {target: productpage, members: [$(params.member)], change: {images: {app: $(params.image)}}, pods: 1, bake: 1h}
`, p.ns))
	run := p.release("productpage:v2", "pipelineRef: {name: productpage}", "pipelineRef: {name: "+name+"}")
	p.eventually("m1 has canaries", func() (bool, string) { got := p.updated("m1", ":v2"); return got == "dca=1 dcb=1", got })
	p.patch("alice", "pipelinerun", run, `{"spec":{"status":"CancelledRunFinally"}}`)
	p.ends(run)
	if r, msg := p.condition(run, "hop"); r != "CustomRunCancelled" {
		t.Errorf("the hop ended %s: %s", r, msg)
	}
	children := p.childRuns(run)
	if len(children) != 1 {
		t.Errorf("children are %v, want m1's only", children)
	}
	if child := p.pipelineRun(children["m1"]); !child.IsDone() || !child.IsGracefullyCancelled() {
		t.Errorf("the child is not over: %+v", child.Status.Conditions)
	}
	if got := p.updated("m2", ":v2"); got != "dca=0 dcb=0" {
		t.Errorf("m2 has %s", got)
	}
	p.atRest(run)
}
