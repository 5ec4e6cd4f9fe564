//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

// The README's story: canary, confirm, data centre by data centre, hop, the second member.
func TestAReleaseIsCarriedOverTwoMembersByKubectl(t *testing.T) {
	t.Parallel()
	p := newPort(t).withExample()
	before := map[string]map[string]string{"m1": p.identities("m1"), "m2": p.identities("m2")}
	look := p.watch("productpage:v2", 2)
	run := p.release("productpage:v2")

	msg := p.comesTo(run, "confirm", "AwaitingApproval")
	if !strings.Contains(msg, "go on?") {
		t.Errorf("the confirm does not ask its question: %s", msg)
	}
	if got := p.updated("m1", ":v2"); got != "dca=1 dcb=1" {
		t.Errorf("at the confirm m1 has %s, want one canary in each data centre", got)
	}
	if got := p.updated("m2", ":v2"); got != "dca=0 dcb=0" {
		t.Errorf("at the confirm m2 has %s, want none", got)
	}
	var names []string
	if err := json.Unmarshal([]byte(p.results(run, "canary-m1")["pods"]), &names); err != nil || len(names) != 2 {
		t.Errorf("result pods of the canary: %q (%v)", p.results(run, "canary-m1")["pods"], err)
	}
	if out, err := p.periplus("alice", "confirm", run, "--message", "me too"); err == nil {
		t.Errorf("alice, who started the release, confirmed it: %s", out)
	}
	screen, err := p.periplus("bob", "get", run)
	if err != nil || !strings.Contains(screen, "confirm") || !strings.Contains(screen, "dca") {
		t.Errorf("periplus get does not show what is going on (%v):\n%s", err, screen)
	}
	p.confirms(run)

	if reason := p.ends(run); reason != "Completed" { // all but the rollback, which was left out.
		t.Fatalf("the run ended %s\n%s", reason, p.scene())
	}
	for _, m := range members {
		if got := p.updated(m, ":v2"); got != "dca=4 dcb=4" {
			t.Errorf("at the end %s has %s", m, got)
		}
		if !maps.Equal(before[m], p.identities(m)) {
			t.Errorf("pods of %s did not keep UID, node and IP:\n%v\n%v", m, before[m], p.identities(m))
		}
	}
	rel := p.atRest(run)
	if rel.Status.Phase != v1alpha1.ReleaseSucceeded || rel.Spec.Initiator != "alice" || len(rel.Status.Touched) != 4 {
		t.Errorf("the record: %+v, started by %q", rel.Status, rel.Spec.Initiator)
	}
	look.report(p)
	order := []string{"canary-m1", "confirm", "bump-m1", "hop", "canary-m2", "bump-m2"}
	for i := 1; i < len(order); i++ {
		a, b := p.stage(run, order[i-1]), p.stage(run, order[i])
		if b.Status.StartTime.Time.Before(a.Status.CompletionTime.Time.Truncate(1e9)) {
			t.Errorf("%s began at %s, before %s ended at %s", order[i], b.Status.StartTime, order[i-1], a.Status.CompletionTime)
		}
	}
	// dcb of m1 was not begun before dca was whole.
	for _, mv := range rel.Status.Moves {
		t.Logf("%s %s %s %s", mv.Time.Format("15:04:05"), mv.Run, mv.Member+"/"+mv.Workload, mv.What)
	}
}

func TestAReleaseStartedByTkn(t *testing.T) {
	t.Parallel()
	p := newPort(t).withExample()
	out, err := p.command("", "hub", "alice", "tkn", "pipeline", "start", "productpage", "-n", p.ns,
		"--param", "image=registry.example/productpage:v2", "--pipeline-timeout", "0", "--output", "name")
	if err != nil {
		t.Fatalf("tkn pipeline start: %v\n%s", err, out)
	}
	run := strings.TrimSpace(out[strings.LastIndex(out, "/")+1:])
	p.comesTo(run, "confirm", "AwaitingApproval")
	list, err := p.command("", "hub", "bob", "tkn", "customrun", "list", "-n", p.ns)
	if err != nil || !strings.Contains(list, "AwaitingApproval") && !strings.Contains(list, "Running") {
		t.Errorf("tkn customrun list: %v\n%s", err, list)
	}
	if out, err := p.command("", "hub", "bob", "tkn", "periplus", "confirm", run, "-n", p.ns, "--message", "by tkn"); err != nil {
		t.Fatalf("tkn periplus confirm: %v\n%s", err, out)
	}
	if reason := p.ends(run); reason != "Completed" { // all but the rollback, which was left out.
		t.Fatalf("the run ended %s\n%s", reason, p.scene())
	}
	if out, err := p.command("", "hub", "bob", "kubectl", "periplus", "get", run, "-n", p.ns); err != nil || !strings.Contains(out, "Succeeded") {
		t.Errorf("kubectl periplus get: %v\n%s", err, out)
	}
	p.atRest(run)
}

func TestASecondReleaseOnTheSameWorkloadWaitsAndNamesTheFirst(t *testing.T) {
	t.Parallel()
	p := newPort(t).withExample()
	first := p.release("productpage:v2")
	p.comesTo(first, "confirm", "AwaitingApproval")
	second := p.release("productpage:v3")
	msg := p.comesTo(second, "canary-m1", "LockedByAnotherRelease")
	if !strings.Contains(msg, first) {
		t.Errorf("the message does not name the first run %s: %s", first, msg)
	}
	if got := p.updated("m1", ":v3"); got != "dca=0 dcb=0" {
		t.Errorf("the second release moved pods: %s", got)
	}
	if out, err := p.periplus("bob", "reject", first, "--message", "the other first"); err != nil {
		t.Fatalf("periplus reject: %v\n%s", err, out)
	}
	if reason := p.ends(first); reason != "Failed" {
		t.Errorf("a rejected run ended %s", reason)
	}
	if r, m := p.condition(first, "confirm"); r != "Rejected" || !strings.Contains(m, "bob") {
		t.Errorf("the confirm ended %s: %s", r, m)
	}
	p.comesTo(second, "confirm", "AwaitingApproval")
	if got := p.updated("m1", ":v3"); got != "dca=1 dcb=1" {
		t.Errorf("the second release, once let go, has %s", got)
	}
}

func TestAChangeThatNobodyCarriesIsHeldBack(t *testing.T) {
	t.Parallel()
	p := newPort(t).withExample()
	p.kubectl("m1", "", "patch", "inplaceset", "productpage-dca", "-n", p.ns, "--type=json", "-p",
		`[{"op":"replace","path":"/spec/template/spec/containers/0/image","value":"registry.example/productpage:v5"}]`)
	p.eventually("the set saw the change", func() (bool, string) {
		s := p.sets("m1")[0]
		return s.Status.UpdateRevision != s.Status.CurrentRevision && s.Status.ObservedGeneration == s.Generation, fmt.Sprint(s.Status)
	})
	if got := p.updated("m1", ":v5"); got != "dca=0 dcb=0" {
		t.Errorf("a change that no release carries went out: %s", got)
	}
	// The release with no change of its own carries what is held back; where nothing is, it says so.
	run := p.create("hub", "alice", fmt.Sprintf(`
apiVersion: tekton.dev/v1
kind: PipelineRun
metadata: {name: held, namespace: %s}
spec:
  pipelineSpec:
    tasks:
    - name: canary
      taskSpec: {apiVersion: stages.periplus.dev/v1alpha1, kind: Canary, spec: {target: only-dca, members: [m1], pods: 1}}
    - name: nothing
      taskSpec: {apiVersion: stages.periplus.dev/v1alpha1, kind: Canary, spec: {target: only-dca, members: [m2], pods: 1}}
---
apiVersion: stages.periplus.dev/v1alpha1
kind: Target
metadata: {name: only-dca, namespace: %[1]s}
spec: {workload: {apiVersion: apps.periplus.dev/v1alpha1, kind: InPlaceSet, name: productpage-dca}}
`, p.ns))
	t.Log(run)
	p.comesTo("held", "canary", "Succeeded")
	if got := p.updated("m1", ":v5"); got != "dca=1 dcb=0" {
		t.Errorf("the canary of a held back change: %s", got)
	}
	p.comesTo("held", "nothing", "NothingToRelease")
	p.ends("held")
	p.atRest("held")
}
