//go:build e2e && twelve

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// perMember moves pods where there are any. A lean member has none: there the run looks, over its own API server, whether the workloads are whole.
const perMember = bumpOne + `
    when: [{input: $(params.member), operator: in, values: [m1, m2]}]
  - name: look
    when: [{input: $(params.member), operator: notin, values: [m1, m2]}]
    params: [{name: member, value: $(params.member)}]
    taskSpec:
      apiVersion: stages.periplus.dev/v1alpha1
      kind: ClusterHop
      spec: {target: productpage, from: [$(params.member)], to: [m1]}`

// A hop over twelve members on one machine: m1 and m2 have nodes and pods, the others are lean and have workloads of no pods. `make fleet-12` runs it.
func TestAHopCarriesAReleaseOverTwelveMembers(t *testing.T) {
	p := newPort(t).withExample()
	for i := 3; i <= 12; i++ {
		m := fmt.Sprintf("m%d", i)
		p.apply(m, fmt.Sprintf("{apiVersion: v1, kind: Namespace, metadata: {name: %s}}", p.ns))
		p.apply(m, strings.ReplaceAll(p.example("workloads.yaml"), "replicas: 4", "replicas: 0"))
	}
	name := p.carrier(perMember, `
        waves: [{name: first, members: [m1]}, {name: second, memberSelector: {matchLabels: {local.periplus.dev/lean: "false"}}}, {name: rest, memberSelector: {}, maxParallel: 4}]
        orderBy: {importance: Ascending}`)
	began := time.Now()
	run := p.release("productpage:v2", "pipelineRef: {name: productpage}", "pipelineRef: {name: "+name+"}")
	p.comesTo(run, "hop", "CarryingMembers")
	most := 0
	p.within(10*time.Minute, "the hop is over", func() (bool, string) {
		st := p.status(run, "hop")
		if st.Hop != nil {
			most = max(most, len(st.Hop.Working))
		}
		return p.pipelineRun(run).IsDone(), fmt.Sprintf("%+v", st.Hop)
	})
	if reason := p.ends(run); reason != "Succeeded" && reason != "Completed" {
		t.Fatalf("the run ended %s\n%s", reason, p.scene())
	}
	if got := p.results(run, "hop")["members"]; got != `["m1","m2","m10","m11","m12","m3","m4","m5","m6","m7","m8","m9"]` {
		t.Errorf("result members is %s", got)
	}
	if most > 4 {
		t.Errorf("%d members were worked on at once", most)
	}
	for _, m := range members {
		if got := p.updated(m, ":v2"); got != "dca=4 dcb=4" {
			t.Errorf("at the end %s has %s", m, got)
		}
	}
	// m1 is free again only once the release is over, and the lean members' runs saw it held by the very release that they belong to.
	rel := p.atRest(run)
	t.Logf("twelve members in %s, %d at once at most; the record has %d workloads", time.Since(began).Round(time.Second), most, len(rel.Status.Touched))
}
