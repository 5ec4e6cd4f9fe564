//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
)

func TestABadImageStopsAtTheCanaryAndTheSecondMemberIsUntouched(t *testing.T) {
	for name, tc := range map[string]struct{ image, reason string }{
		"that cannot be pulled": {"productpage:bad-v2", "ImagePullBackOff"},
		"that crashes":          {"productpage:crash-v2", "CrashLoopBackOff"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPort(t).withExample()
			p.withoutFinally()
			look := p.watch(tc.image, 2)
			run := p.release(tc.image)
			msg := p.comesTo(run, "canary-m1", "PodsFailed")
			if !strings.Contains(msg, tc.reason) || !strings.Contains(msg, "productpage-dc") {
				t.Errorf("the run does not fail with the pod's own reason: %s", msg)
			}
			if reason := p.ends(run); reason != "Failed" {
				t.Errorf("the run ended %s", reason)
			}
			tag := tc.image[strings.Index(tc.image, ":"):]
			if got := p.updated("m2", tag); got != "dca=0 dcb=0" {
				t.Errorf("m2 has %s", got)
			}
			for _, u := range strings.Fields(p.updated("m1", tag)) {
				if !strings.HasSuffix(u, "=0") && !strings.HasSuffix(u, "=1") {
					t.Errorf("pods outside the canary moved: %s", u)
				}
			}
			if p.stage(run, "confirm") != nil {
				t.Error("the confirm was started after the canary had failed")
			}
			p.atRest(run)
			look.report(p)

			// The next release mends it: the broken canary is taken first.
			next := p.release("productpage:v3")
			p.comesTo(next, "confirm", "AwaitingApproval")
			if got := p.updated("m1", tag); got != "dca=0 dcb=0" {
				t.Errorf("broken pods are left after the next canary: %s", got)
			}
		})
	}
}

func TestWrongStagesSaySoAndChangeNothing(t *testing.T) {
	t.Parallel()
	p := newPort(t).withExample()
	stage := func(kind, spec string) string {
		return fmt.Sprintf("taskSpec: {apiVersion: stages.periplus.dev/v1alpha1, kind: %s, spec: %s}", kind, spec)
	}
	p.apply("hub", fmt.Sprintf(`
apiVersion: fleet.periplus.dev/v1alpha1
kind: Member
metadata: {name: sunk-%[1]s}
spec: {kubeconfigSecretRef: {namespace: periplus-system, name: sunk-%[1]s}}
---
apiVersion: v1
kind: Secret
metadata: {name: sunk-%[1]s, namespace: periplus-system}
stringData:
  kubeconfig: |
    apiVersion: v1
    kind: Config
    clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}]
    users: [{name: u, user: {token: x}}]
    contexts: [{name: c, context: {cluster: c, user: u}}]
    current-context: c
`, p.ns))
	cases := map[string]struct {
		stage string
		want  []string
	}{
		"param":    {stage("Canary", `{target: productpage, members: [m1], pods: 1, change: {images: {app: "$(params.imag)"}}}`), []string{"InvalidSpec", "spec.change.images[app]", "params.imag"}},
		"member":   {stage("Canary", `{target: productpage, members: [m9], pods: 1}`), []string{"InvalidSpec", "spec.members[0]", "m9"}},
		"sunk":     {stage("Canary", fmt.Sprintf(`{target: productpage, members: [sunk-%s], pods: 1, progressDeadline: 5s}`, p.ns)), []string{"MemberUnreachable", "sunk-" + p.ns}},
		"workload": {stage("Canary", `{target: nothing, members: [m1], pods: 1}`), []string{"InvalidSpec", "InPlaceSet nothing", "m1"}},
		"compile":  {stage("Canary", `{target: productpage, members: [m1], pods: 1, guards: [{name: g, expr: "updated.all(p, p.reddy)"}]}`), []string{"InvalidSpec", "spec.guards[0].expr", "reddy"}},
		"type":     {stage("Canary", `{target: productpage, members: [m1], pods: 1, guards: [{name: g, expr: "updated.size()"}]}`), []string{"InvalidSpec", "spec.guards[0].expr", "bool"}},
		"cost": {stage("Canary", `{target: productpage, members: [m1], pods: 1, guards: [{name: g, expr: "pods.all(a, pods.all(b, pods.all(c, a.name + b.name != c.name)))"}]}`),
			[]string{"InvalidSpec", "spec.guards[0].expr", "limit"}},
		"zero":  {stage("Canary", `{target: productpage, members: [m1], pods: 0}`), []string{"InvalidSpec", "spec.pods"}},
		"many":  {stage("Canary", `{target: productpage, members: [m1], pods: 5, change: {images: {app: "x:1"}}}`), []string{"InvalidSpec", "spec.pods", "only 4 pods"}},
		"unit":  {stage("Canary", `{target: productpage, members: [m1], pods: 1, unit: dcz, change: {images: {app: "x:1"}}}`), []string{"InvalidSpec", "spec.unit", "dcz"}},
		"step":  {stage("PartitionBump", `{target: productpage, members: [m1], steps: [{unit: dca, updated: 7}], change: {images: {app: "x:1"}}}`), []string{"InvalidSpec", "spec.steps[0].updated", "only 4 pods"}},
		"field": {stage("PartitionBump", `{target: productpage, members: [m1], ordr: [dca]}`), []string{"InvalidSpec", "ordr"}},
		"three": {stage("Canary", `{target: nobody, members: [m9], pods: 0}`), []string{"InvalidSpec", "3 mistakes", "spec.target", "spec.members[0]", "spec.pods"}},
		"hop":   {stage("ClusterHop", `{target: productpage, from: [m1], to: [m1]}`), []string{"InvalidSpec", "spec.to[0]"}},
		"ask":   {stage("Confirm", `{required: 3, approvers: {users: [bob]}}`), []string{"InvalidSpec", "spec.required"}},
		"named": {"taskRef: {apiVersion: stages.periplus.dev/v1alpha1, kind: Canary, name: nobody}", []string{"InvalidSpec", "taskRef.name", "nobody"}},
		"long":  {stage("Canary", `{target: productpage, members: [m1], pods: 1, guards: [{name: g, expr: "`+strings.Repeat("x", 100_000)+`"}]}`), []string{"InvalidSpec", "bytes long", "65536"}},
	}
	p.apply("hub", fmt.Sprintf(`
apiVersion: stages.periplus.dev/v1alpha1
kind: Target
metadata: {name: nothing, namespace: %s}
spec: {workload: {apiVersion: apps.periplus.dev/v1alpha1, kind: InPlaceSet, name: nothing}}
`, p.ns))
	before := map[string]string{}
	for _, m := range members {
		for _, s := range p.sets(m) {
			before[m+s.Name] = s.ResourceVersion
		}
	}
	for name, tc := range cases {
		p.create("hub", "alice", fmt.Sprintf(`
apiVersion: tekton.dev/v1
kind: PipelineRun
metadata: {name: wrong-%s, namespace: %s}
spec:
  pipelineSpec:
    tasks:
    - name: it
      %s
`, name, p.ns, tc.stage))
	}
	for name, tc := range cases {
		msg := p.comesTo("wrong-"+name, "it", "InvalidSpec", "MemberUnreachable", "Succeeded")
		if name == "sunk" {
			p.eventually("the stage on a sunk member ends", func() (bool, string) {
				cr := p.stage("wrong-sunk", "it")
				_, msg = p.condition("wrong-sunk", "it")
				return cr.Status.CompletionTime != nil, msg
			})
		}
		reason, _ := p.condition("wrong-"+name, "it")
		for _, w := range tc.want {
			if !strings.Contains(reason+" "+msg, w) {
				t.Errorf("%s: %q is not in %s: %s", name, w, reason, msg)
			}
		}
	}
	for _, m := range members {
		for _, s := range p.sets(m) {
			if before[m+s.Name] != s.ResourceVersion {
				t.Errorf("%s in %s was written though every stage was wrong", s.Name, m)
			}
		}
	}
	// A spec of a megabyte does not even get stored.
	p.refused("alice", fmt.Sprintf(`
apiVersion: stages.periplus.dev/v1alpha1
kind: Canary
metadata: {name: huge, namespace: %s}
spec: {target: productpage, members: [m1], pods: 1, guards: [{name: g, expr: "%s"}]}
`, p.ns, strings.Repeat("x", 1<<20)), []string{"expr"}, "create", "-f", "-")
}

func TestNobodyAnswersForSomebodyElse(t *testing.T) {
	t.Parallel()
	p := newPort(t).withExample()
	p.create("hub", "alice", p.pipeline("ask", `
    - name: ask
      taskSpec: {apiVersion: stages.periplus.dev/v1alpha1, kind: Confirm, spec: {approvers: {groups: [sre]}, required: 2, forbidInitiator: true}}
`))
	p.comesTo("ask", "ask", "AwaitingApproval")
	cr := p.stage("ask", "ask")
	approval := func(name, uid, extra string) string {
		return fmt.Sprintf(`
apiVersion: stages.periplus.dev/v1alpha1
kind: Approval
metadata: {name: %s, namespace: %s}
spec: {runRef: {name: %s, uid: %s}, question: ask, decision: Approve%s}
`, name, p.ns, cr.Name, uid, extra)
	}
	p.refused("alice", approval("forged", string(cr.UID), ", user: bob, groups: [sre]"), []string{"user"}, "create", "-f", "-")
	p.refused("alice", approval("group", string(cr.UID), ", user: alice, groups: [sre]"), []string{"group"}, "create", "-f", "-")
	p.create("hub", "bob", approval("bob-1", string(cr.UID), ""))
	p.create("hub", "bob", approval("bob-2", string(cr.UID), ""))
	p.create("hub", "carol", approval("stale", "00000000-0000-0000-0000-000000000000", ""))
	p.create("hub", "alice", approval("own", string(cr.UID), ""))
	p.eventually("one answer counts and three are ignored", func() (bool, string) {
		q := p.status("ask", "ask").Question
		return q != nil && len(q.Answers) == 1 && len(q.Ignored) == 3, fmt.Sprintf("%+v", q)
	})
	p.refused("bob", "", []string{"cannot patch"}, "patch", "approval", "bob-1", "-n", p.ns, "--type=merge", "-p", `{"spec":{"message":"x"}}`)
	p.refused("bob", "", []string{"cannot delete"}, "delete", "approval", "bob-1", "-n", p.ns)
	// An ordinary edit role may write CustomRuns; ours are closed all the same.
	p.apply("hub", fmt.Sprintf(`
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: wide, namespace: %[1]s}
rules: [{apiGroups: ["tekton.dev", "stages.periplus.dev"], resources: ["*"], verbs: ["*"]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: wide, namespace: %[1]s}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: wide}
subjects: [{kind: User, name: alice, apiGroup: rbac.authorization.k8s.io}]
`, p.ns))
	done := `{"status":{"conditions":[{"type":"Succeeded","status":"True","reason":"Succeeded"}],"completionTime":"2026-01-01T00:00:00Z"}}`
	p.refused("alice", "", []string{"status"}, "patch", "customrun", cr.Name, "-n", p.ns, "--subresource=status", "--type=merge", "-p", done)
	p.refused("alice", "", []string{"spec"}, "patch", "customrun", cr.Name, "-n", p.ns, "--type=merge", "-p", `{"spec":{"customSpec":{"spec":{"required":1}}}}`)
	p.refused("alice", "", []string{"Approval"}, "delete", "approval", "bob-1", "-n", p.ns)
	p.refused("alice", "", []string{"Approval"}, "patch", "approval", "bob-1", "-n", p.ns, "--type=merge", "-p", `{"metadata":{"labels":{"a":"b"}}}`)
	if r, _ := p.condition("ask", "ask"); r != "AwaitingApproval" {
		t.Fatalf("the confirm is at %s", r)
	}
	// The run is deleted in the middle and comes back under its name: what was answered before does not count for it.
	p.kubectl("hub", "", "delete", "customrun", cr.Name, "-n", p.ns)
	p.eventually("the run came back with no answers", func() (bool, string) {
		again := p.stage("ask", "ask")
		if again == nil || again.UID == cr.UID || len(again.Status.ExtraFields.Raw) == 0 {
			return false, "not back"
		}
		q := p.status("ask", "ask").Question
		return q != nil && len(q.Answers) == 0, fmt.Sprintf("%+v", q)
	})
	for _, who := range []string{"bob", "carol"} {
		if out, err := p.periplus(who, "confirm", "ask", "--message", "yes"); err != nil {
			t.Fatalf("%s confirms: %v\n%s", who, err, out)
		}
	}
	p.comesTo("ask", "ask", "Succeeded")
	if got := p.results("ask", "ask")["approvers"]; got != `["bob","carol"]` {
		t.Errorf("approvers: %s", got)
	}
}
