//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// as runs kubectl on the hub as somebody in groups who holds no certificate of the fleet's.
func (p *port) as(user, manifest string, args ...string) (string, error) {
	p.t.Helper()
	return p.command(manifest, "hub", "", "kubectl", append([]string{"--as=" + user, "--as-group=system:authenticated", "-n", p.ns}, args...)...)
}

// closed makes the namespace one that the fleet's open policy does not give anything, where mallory may create PipelineRuns and nothing else.
func (p *port) closed() *port {
	p.t.Helper()
	open := func(namespaces string) {
		p.kubectl("hub", "", "patch", "releasepolicy", "open", "--type=json", "-p", `[{"op": "replace", "path": "/spec/namespaces", "value": `+namespaces+`}]`)
	}
	open(`{"selector": {"matchExpressions": [{"key": "e2e/closed", "operator": "DoesNotExist"}]}}`)
	p.t.Cleanup(func() { open("{}") })
	p.kubectl("hub", "", "label", "namespace", p.ns, "e2e/closed=yes")
	p.apply("hub", fmt.Sprintf(`
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: starters, namespace: %[1]s}
rules: [{apiGroups: [tekton.dev], resources: [pipelineruns], verbs: [create]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: starters, namespace: %[1]s}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: starters}
subjects: [{kind: User, name: mallory, apiGroup: rbac.authorization.k8s.io}]
`, p.ns))
	return p
}

// releasePolicy applies a policy for this test's namespace, which goes with the test.
func (p *port) releasePolicy(name, rest string) {
	p.t.Helper()
	p.apply("hub", fmt.Sprintf(`
apiVersion: stages.periplus.dev/v1alpha1
kind: ReleasePolicy
metadata: {name: %[1]s-%[2]s}
spec: {namespaces: {names: [%[1]s]}, %[3]s}
`, p.ns, name, rest))
	p.t.Cleanup(func() { p.kubectl("hub", "", "delete", "releasepolicy", p.ns+"-"+name) })
}

// starts creates a PipelineRun as somebody, of tasks in YAML.
func (p *port) starts(user, name, annotations, tasks string) (string, error) {
	p.t.Helper()
	return p.as(user, fmt.Sprintf(`
apiVersion: tekton.dev/v1
kind: PipelineRun
metadata: {name: %s, namespace: %s, annotations: {%s}}
spec:
  timeouts: {pipeline: "0"}
  pipelineSpec:
%s`, name, p.ns, annotations, strings.TrimLeft(tasks, "\n")), "create", "-f", "-")
}

func TestWhoMayOnlyCreatePipelineRunsGetsNoFurtherThanPolicyLetsHim(t *testing.T) {
	t.Parallel()
	p := newPort(t).withExample().closed()
	other := p.ns + "-theirs"
	p.apply("hub", fmt.Sprintf(`
apiVersion: v1
kind: Namespace
metadata: {name: %[1]s}
---
apiVersion: stages.periplus.dev/v1alpha1
kind: Canary
metadata: {name: theirs, namespace: %[1]s}
spec: {target: ledger, members: [m1], pods: 1}
---
apiVersion: stages.periplus.dev/v1alpha1
kind: Target
metadata: {name: ledger, namespace: %[1]s}
spec: {workload: {apiVersion: apps.periplus.dev/v1alpha1, kind: InPlaceSet, name: ledger}}
---
apiVersion: stages.periplus.dev/v1alpha1
kind: GuardSet
metadata: {name: health, namespace: %[1]s}
spec: {guards: [{name: few-restarts, when: During, expr: "updated.all(p, p.restarts <= 3)", interval: 1s}]}
---
apiVersion: stages.periplus.dev/v1alpha1
kind: Confirm
metadata: {name: friends, namespace: %[2]s}
spec: {approvers: {groups: [friends]}, required: 1, forbidInitiator: true}
`, other, p.ns))
	t.Cleanup(func() { p.kubectl("hub", "", "delete", "namespace", other, "--wait=false") })

	stage := func(name, kind, spec, rest string) string {
		return fmt.Sprintf("    - {name: %s, taskSpec: {apiVersion: stages.periplus.dev/v1alpha1, kind: %s, spec: %s}%s}\n", name, kind, spec, rest)
	}
	one := func(kind, spec string) string { return "    tasks:\n" + stage("it", kind, spec, "") }
	canary := func(rest string) string {
		return "{target: productpage, pods: 1, bake: 2s, change: {images: {app: \"registry.example/productpage:v2\"}}, " + rest + "}"
	}
	before := map[string]string{}
	for _, m := range members {
		for _, s := range p.sets(m) {
			before[m+s.Name] = s.ResourceVersion
		}
	}
	untouched := func() {
		t.Helper()
		for _, m := range members {
			for _, s := range p.sets(m) {
				if s.ResourceVersion != before[m+s.Name] {
					t.Errorf("%s in %s was changed", s.Name, m)
				}
			}
		}
	}
	type attempt struct {
		tasks string
		want  []string
	}
	check := func(attempts map[string]attempt) {
		t.Helper()
		for name, a := range attempts {
			if out, err := p.starts("mallory", name, "", a.tasks); err != nil {
				t.Fatalf("%s: %v\n%s", name, err, out)
			}
		}
		for name, a := range attempts {
			message := p.comesTo(name, "it", "ForbiddenByPolicy", "InvalidSpec", "Succeeded", "UpdatingPods", "Baking")
			reason, _ := p.condition(name, "it")
			for _, w := range a.want {
				if !strings.Contains(reason+": "+message, w) {
					t.Errorf("%s: %s: %s does not say %q", name, reason, message, w)
				}
			}
		}
	}

	// By default nothing is given.
	check(map[string]attempt{"nothing-given": {one("Canary", canary("members: [m1]")), []string{"ForbiddenByPolicy", "spec.members[0]", `"m1"`, p.ns}}})
	p.releasePolicy("first", "members: {names: [m1]}")
	check(map[string]attempt{
		"other-member": {one("Canary", canary("members: [m2]")), []string{"ForbiddenByPolicy", "spec.members[0]", `"m2"`, p.ns}},
		"both-members": {one("Canary", canary("members: [m1, m2]")), []string{"ForbiddenByPolicy", "spec.members[1]"}},
		"look-there":   {one("ClusterHop", "{target: productpage, from: [m1], to: [m2]}"), []string{"ForbiddenByPolicy", "spec.to[0]"}},
		"by-param": {"    params: [{name: where, default: m2}]\n    tasks:\n    - {name: it, params: [{name: m, value: $(params.where)}], taskSpec: {apiVersion: stages.periplus.dev/v1alpha1, kind: Canary, spec: " + canary("members: [$(params.m)]") + "}}\n",
			[]string{"ForbiddenByPolicy", "spec.members[0]", `"m2"`}},
		"later": {"    tasks:\n" + stage("it", "Canary", canary("members: [m1]"), "") + stage("later", "PartitionBump", "{target: productpage, members: [m2], order: [dca, dcb]}", ", runAfter: [it]"),
			[]string{"ForbiddenByPolicy", "tasks[later]", `"m2"`}},
		"their-target": {one("Canary", strings.Replace(canary("members: [m1]"), "target: productpage", "target: ledger", 1)), []string{"InvalidSpec", `spec.target: Not found: "ledger"`}},
		"their-stage":  {"    tasks:\n    - {name: it, taskRef: {apiVersion: stages.periplus.dev/v1alpha1, kind: Canary, name: theirs}}\n", []string{"InvalidSpec", "taskRef.name", "theirs"}},
		"a-path":       {one("Canary", strings.Replace(canary("members: [m1]"), "target: productpage", "target: ../"+other+"/ledger", 1)), []string{"InvalidSpec", "spec.target"}},
	})

	// The second member is given on terms.
	p.releasePolicy("second", fmt.Sprintf(`members: {names: [m2]}, require: {confirms: [{approvers: {groups: [sre]}, forbidInitiator: true}], guardSets: [{namespace: %s, name: health}], minBake: 2s}`, other))
	const good = "{approvers: {groups: [sre]}, forbidInitiator: true}"
	bump := stage("it", "PartitionBump", "{target: productpage, members: [m2], order: [dca, dcb]}", ", runAfter: [canary]")
	check(map[string]attempt{
		"dropped":         {one("Canary", canary("members: [m2]")), []string{"ForbiddenByPolicy", "put a Confirm", "sre"}},
		"after":           {"    tasks:\n" + stage("it", "Canary", canary("members: [m2]"), "") + stage("ask", "Confirm", good, ", runAfter: [it]"), []string{"ForbiddenByPolicy", "put a Confirm"}},
		"of-friends":      {"    tasks:\n    - {name: it, taskRef: {apiVersion: stages.periplus.dev/v1alpha1, kind: Confirm, name: friends}}\n" + stage("x", "Canary", canary("members: [m2]"), ", runAfter: [it]"), []string{"ForbiddenByPolicy", "put a Confirm"}},
		"skipped-by-when": {"    tasks:\n" + stage("ask", "Confirm", good, ", when: [{input: a, operator: in, values: [b]}]") + stage("it", "Canary", canary("members: [m2]"), ", runAfter: [ask]"), []string{"ForbiddenByPolicy", "no Confirm of this run got that"}},
		"too-short":       {"    tasks:\n" + stage("it", "Confirm", good, "") + stage("canary", "Canary", strings.Replace(canary("members: [m2]"), "bake: 2s", "bake: 1s", 1), ", runAfter: [it]"), []string{"ForbiddenByPolicy", "bake"}},
		"without-canary":  {"    tasks:\n" + stage("canary", "Confirm", good, ", when: [{input: a, operator: in, values: [b]}]") + bump, []string{"ForbiddenByPolicy", "Canary"}},
	})

	// Annotations that make a run another's, or another person's. What is let through is of a member where it may do nothing, so that it is no matter how far it gets.
	for annotation, words := range map[string]string{
		"stages.periplus.dev/release: x":       "stages.periplus.dev/release",
		"stages.periplus.dev/parent: hop/uid":  "stages.periplus.dev/parent",
		"stages.periplus.dev/initiator: alice": "mallory",
	} {
		out, err := p.starts("mallory", "forged", annotation, one("Canary", canary("members: [m2]")))
		// The initiator is overwritten where the server stamps it.
		if err == nil {
			if got := p.pipelineRun("forged").Annotations["stages.periplus.dev/initiator"]; words != "mallory" || got != "mallory" {
				t.Errorf("%s was let through: %s", annotation, got)
			}
			p.kubectl("hub", "", "delete", "pipelinerun", "forged", "-n", p.ns)
		} else if !strings.Contains(out, words) {
			t.Errorf("%s: the refusal does not say %q: %s", annotation, words, out)
		}
	}
	if out, err := p.starts("mallory", "for-alice", "stages.periplus.dev/on-behalf-of: alice", one("Canary", canary("members: [m1]"))); err != nil {
		t.Fatal(out)
	}
	if message := p.comesTo("for-alice", "it", "ForbiddenByPolicy", "Succeeded"); !strings.Contains(message, `on behalf of "alice"`) || !strings.Contains(message, "mallory") {
		t.Errorf("for-alice: %s", message)
	}
	untouched()

	// On the terms of the policy it goes, and another's yes does not count for the next run.
	terms := "    tasks:\n" + stage("ask", "Confirm", good, "") + stage("canary", "Canary", canary("members: [m2]"), ", runAfter: [ask]") + bump
	if out, err := p.starts("mallory", "on-terms", "", terms); err != nil {
		t.Fatal(out)
	}
	p.comesTo("on-terms", "ask", "AwaitingApproval")
	p.confirms("on-terms")
	if reason := p.ends("on-terms"); reason != "Succeeded" && reason != "Completed" {
		t.Errorf("on-terms ended %s\n%s", reason, p.scene())
	}
	if got := p.updated("m2", ":v2"); got != "dca=4 dcb=4" {
		t.Errorf("m2 has %s", got)
	}
	judged := false
	for _, g := range p.status("on-terms", "it").Guards {
		judged = judged || strings.HasPrefix(g.Name, "policy/"+p.ns) || strings.HasPrefix(g.Name, "policy/") && strings.HasSuffix(g.Name, "/health/few-restarts")
	}
	if !judged {
		t.Errorf("the demanded guard was not judged: %+v", p.status("on-terms", "it").Guards)
	}
	again := "    tasks:\n" + stage("ask", "Confirm", good, ", when: [{input: a, operator: in, values: [b]}]") +
		stage("it", "Canary", strings.Replace(canary("members: [m2]"), ":v2", ":v3", 1), ", runAfter: [ask]")
	if out, err := p.starts("mallory", "on-anothers", "stages.periplus.dev/retry-of: on-terms", again); err != nil {
		t.Fatal(out)
	}
	if message := p.comesTo("on-anothers", "it", "InvalidSpec", "ForbiddenByPolicy", "Succeeded", "Baking"); !strings.Contains(message, "retry-of") {
		t.Errorf("on-anothers: %s", message)
	}
	if got := p.updated("m2", ":v3"); got != "dca=0 dcb=0" {
		t.Errorf("m2 has %s", got)
	}
}
