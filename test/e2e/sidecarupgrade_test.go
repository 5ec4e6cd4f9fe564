//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	appsv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/sidecar"
)

// meshed is an application of ten pods over two data centres in each member, with a proxy that a SidecarSet put in.
type meshed struct {
	*port
	set string
}

// withMesh puts the SidecarSet in the members first, and then the bookshop. Sets are of the whole cluster: this one means the test's namespace alone.
func withMesh(t *testing.T, strategy string) *meshed {
	t.Helper()
	p := newPort(t)
	p.app = "bookshop"
	m := &meshed{p, "mesh-" + p.ns}
	for _, member := range members {
		p.kubectl(member, "", "label", "namespace", p.ns, "mesh="+p.ns)
		p.apply(member, fmt.Sprintf(`
apiVersion: apps.periplus.dev/v1alpha1
kind: SidecarSet
metadata: {name: %s}
spec:
  selector: {matchLabels: {app: bookshop}}
  namespaceSelector: {matchLabels: {mesh: %s}}
  containers: [{name: proxy, image: "registry.example/proxy:v1", resources: {requests: {cpu: 10m}}}]
  updateStrategy: {partition: 100%%, maxUnavailable: 50%%%s}
`, m.set, p.ns, strategy))
		t.Cleanup(func() {
			err := p.apps[member].AppsV1alpha1().SidecarSets().Delete(context.Background(), m.set, metav1.DeleteOptions{})
			if err != nil && !apierrors.IsNotFound(err) {
				t.Errorf("deleting the SidecarSet of %s: %v", member, err)
			}
		})
		p.eventually("the webhook of "+member+" is to put the sidecars in", func() (bool, string) {
			s := m.sidecars(member)
			return s.Status.InjectionRevision != "", fmt.Sprintf("%+v", s.Status)
		})
		p.apply(member, p.example("workloads.yaml"))
	}
	p.apply("hub", p.example("policies.yaml"))
	p.apply("hub", fmt.Sprintf(`
apiVersion: stages.periplus.dev/v1alpha1
kind: Target
metadata: {name: mesh, namespace: %s}
spec:
  workload: {apiVersion: apps.periplus.dev/v1alpha1, kind: SidecarSet, name: %s}
  maxUnavailable: 50%%
`, p.ns, m.set))
	for _, member := range members {
		p.eventually("all pods of "+member+" carry the sidecar and are available", func() (bool, string) {
			c, s := p.bookshop(member), m.sidecars(member)
			return c.Status.AvailableReplicas == 10 && s.Status.Injected == 10, fmt.Sprintf("%+v\n%+v", c.Status, s.Status)
		})
	}
	return m
}

func (m *meshed) sidecars(member string) *appsv1alpha1.SidecarSet {
	m.t.Helper()
	s, err := m.apps[member].AppsV1alpha1().SidecarSets().Get(context.Background(), m.set, metav1.GetOptions{})
	if err != nil {
		m.t.Fatal(err)
	}
	return s
}

func (m *meshed) pods(member string) []corev1.Pod {
	m.t.Helper()
	list, err := m.kube[member].CoreV1().Pods(m.ns).List(context.Background(), metav1.ListOptions{LabelSelector: "app=bookshop"})
	if err != nil {
		m.t.Fatal(err)
	}
	return list.Items
}

// proxies counts pods whose proxy runs an image, by unit.
func (m *meshed) proxies(member, tag string) string {
	m.t.Helper()
	n := map[string]int{}
	for _, pod := range m.pods(member) {
		for _, s := range pod.Status.ContainerStatuses {
			if s.Name == "proxy" && s.State.Running != nil && strings.HasSuffix(s.Image, tag) {
				n[pod.Labels[appsv1alpha1.LabelUnit]]++
			}
		}
	}
	return fmt.Sprintf("dca=%d dcb=%d", n["dca"], n["dcb"])
}

// applications is what says that the application's container of each pod was not touched.
func (m *meshed) applications(member string) []string {
	m.t.Helper()
	var out []string
	for _, pod := range m.pods(member) {
		for _, s := range pod.Status.ContainerStatuses {
			if s.Name == "app" && s.State.Running != nil {
				out = append(out, fmt.Sprintf("%s %s %s restarts %d", pod.UID, s.ContainerID, s.State.Running.StartedAt, s.RestartCount))
			}
		}
	}
	slices.Sort(out)
	return out
}

// meshAtRest waits until the release of a run let go of the set: no lock, everything held back.
func (m *meshed) meshAtRest(run string) *v1alpha1.Release {
	m.t.Helper()
	m.eventually("release of "+run+" has let go", func() (bool, string) {
		rel := m.record(run)
		return rel != nil && rel.Status.Released, fmt.Sprintf("%+v", rel)
	})
	for _, member := range members {
		s := m.sidecars(member)
		if lock, ok := s.Annotations[v1alpha1.AnnotationLock]; ok {
			m.t.Errorf("SidecarSet of %s is still locked: %s", member, lock)
		}
		if s.Spec.UpdateStrategy.Partition.String() != "100%" || s.Spec.UpdateStrategy.Partitions != nil {
			m.t.Errorf("SidecarSet of %s is not at rest: %+v", member, s.Spec.UpdateStrategy)
		}
	}
	return m.record(run)
}

// upgrade starts a run that upgrades the sidecar in m1 and, after a hop, in m2.
func (m *meshed) upgrade(name, image, stage string) {
	m.t.Helper()
	one := func(task, member, after string) string {
		return fmt.Sprintf(`
    - name: %s
      runAfter: [%s]
      taskSpec:
        apiVersion: stages.periplus.dev/v1alpha1
        kind: SidecarUpgrade
        spec:
          target: mesh
          members: [%s]
          change: {images: {proxy: "registry.example/proxy:%s"}}
          guards: [{name: ready, expr: "updated.all(p, p.ready && p.namespace == '%s') && updated.size() >= want"}]%s`, task, after, member, image, m.ns, strings.ReplaceAll(stage, "\n", "\n          "))
	}
	m.create("hub", "alice", fmt.Sprintf(`
apiVersion: tekton.dev/v1
kind: PipelineRun
metadata: {name: %s, namespace: %s}
spec:
  timeouts: {pipeline: "0"}
  pipelineSpec:
    tasks:%s%s
    - name: hop
      runAfter: [first]
      taskSpec:
        apiVersion: stages.periplus.dev/v1alpha1
        kind: ClusterHop
        spec: {target: mesh, from: [m1], to: [m2], silentPeriod: 1s}
    finally:
    - name: rollback
      timeout: "0"
      when: [{input: $(tasks.status), operator: notin, values: [Succeeded]}]
      taskSpec: {apiVersion: stages.periplus.dev/v1alpha1, kind: Rollback, spec: {}}
`, name, m.ns, one("first", "m1", ""), one("second", "m2", "hop")))
}

func TestASidecarIsUpgradedUnitAfterUnitUnderRunningApplications(t *testing.T) {
	t.Parallel()
	m := withMesh(t, "")
	before := map[string][]string{}
	for _, member := range members {
		before[member] = m.applications(member)
	}
	m.upgrade("up", "v2", `
by: 60%
confirm: {approvers: {groups: [sre]}, forbidInitiator: true, message: "go on?"}`)
	for i, want := range []string{"dca=3 dcb=0", "dca=5 dcb=0", "dca=5 dcb=3"} {
		m.eventually(fmt.Sprintf("question %d is asked", i+2), func() (bool, string) {
			r, msg := m.condition("up", "first")
			return r == "AwaitingApproval" && m.proxies("m1", ":v2") == want, r + ": " + msg + "; " + m.proxies("m1", ":v2")
		})
		m.confirms("up")
	}
	m.eventually("m2 is asked about", func() (bool, string) {
		r, msg := m.condition("up", "second")
		return r == "AwaitingApproval", r + ": " + msg
	})
	if got := m.proxies("m2", ":v2"); got != "dca=3 dcb=0" {
		t.Errorf("at its first question m2 has %s", got)
	}
	if got := m.results("up", "first"); got["updated"] != "10" || got["waiting"] != "0" || got["revision"] == "" || !strings.Contains(got["pods"], m.ns+"/") {
		t.Errorf("results: %v", got)
	}
	for i := 0; i < 3; i++ {
		m.confirms("up")
		if i < 2 {
			want := []string{"dca=5 dcb=0", "dca=5 dcb=3"}[i]
			m.eventually("the next is asked", func() (bool, string) {
				r, msg := m.condition("up", "second")
				return r == "AwaitingApproval" && m.proxies("m2", ":v2") == want, r + ": " + msg + "; " + m.proxies("m2", ":v2")
			})
		}
	}
	if reason := m.ends("up"); reason != "Completed" {
		t.Fatalf("the run ended %s\n%s", reason, m.scene())
	}
	rel := m.meshAtRest("up")
	if rel.Status.Phase != v1alpha1.ReleaseSucceeded || len(rel.Status.Touched) != 2 || rel.Status.Touched[0].Kind != "SidecarSet" {
		t.Errorf("the record: %+v", rel.Status)
	}
	for _, member := range members {
		if got := m.proxies(member, ":v2"); got != "dca=5 dcb=5" {
			t.Errorf("at the end %s has %s", member, got)
		}
		if now := m.applications(member); !slices.Equal(before[member], now) {
			t.Errorf("applications of %s did not run on:\n%v\n%v", member, before[member], now)
		}
		m.eventually("pods that are created in "+member+" get the new sidecar", func() (bool, string) {
			s := m.sidecars(member)
			return s.Status.CurrentRevision == s.Status.UpdateRevision && s.Status.InjectionRevision == s.Status.UpdateRevision, fmt.Sprintf("%+v", s.Status)
		})
	}
}

func TestABadSidecarImageStopsAtTheFirstPodAndIsTakenBack(t *testing.T) {
	t.Parallel()
	m := withMesh(t, "")
	before := m.applications("m1")
	m.upgrade("bad", "bad-v2", "")
	if reason := m.ends("bad"); reason != "Failed" {
		t.Fatalf("the run ended %s\n%s", reason, m.scene())
	}
	if r, msg := m.condition("bad", "first"); r != "PodsFailed" || !strings.Contains(msg, "bad-v2") {
		t.Errorf("the stage ended %s: %s", r, msg)
	}
	if rel := m.meshAtRest("bad"); rel.Status.Phase != v1alpha1.ReleaseRolledBack || len(rel.Status.Touched) != 1 {
		t.Errorf("the record: %+v", rel.Status)
	}
	for _, member := range members {
		if got := m.proxies(member, ":v1"); got != "dca=5 dcb=5" {
			t.Errorf("after the rollback %s has %s on the old version", member, got)
		}
	}
	if now := m.applications("m1"); !slices.Equal(before, now) {
		t.Errorf("applications did not run on:\n%v\n%v", before, now)
	}
	restarted := 0
	for _, pod := range m.pods("m1") {
		if part, ok := sidecar.PartOf(&pod, m.set); !ok || part.Revision != m.sidecars("m1").Status.CurrentRevision {
			t.Errorf("pod %s is on revision %s", pod.Name, part.Revision)
		}
		for _, s := range pod.Status.ContainerStatuses {
			if s.Name == "proxy" && s.RestartCount > 0 {
				restarted++
			}
		}
	}
	if restarted > 1 {
		t.Errorf("the proxies of %d pods were restarted; a revision has to prove itself on one", restarted)
	}
}

func TestWhatASidecarUpgradeRefuses(t *testing.T) {
	t.Parallel()
	m := withMesh(t, "")
	stage := func(kind, spec string) string {
		return fmt.Sprintf(`
    - name: s
      taskSpec:
        apiVersion: stages.periplus.dev/v1alpha1
        kind: %s
        spec: %s
`, kind, spec)
	}
	for i, c := range []struct{ name, stage, reason, words string }{
		{"a change that running pods cannot get", stage("SidecarUpgrade", `{target: mesh, members: [m1], change: {patch: {spec: {containers: [{name: proxy, env: [{name: LEVEL, value: debug}]}]}}}}`),
			"WaitsForCreation", "spec.containers[proxy].env"},
		{"an order that leaves a unit out", stage("SidecarUpgrade", `{target: mesh, members: [m1], order: [dca], change: {images: {proxy: "registry.example/proxy:v3"}}}`),
			"InvalidSpec", "leaves out unit dcb"},
		{"a unit that is nowhere", stage("SidecarUpgrade", `{target: mesh, members: [m1], order: [dca, dcb, dcz], change: {images: {proxy: "registry.example/proxy:v3"}}}`),
			"InvalidSpec", "dcz"},
		{"a container that the set does not have", stage("SidecarUpgrade", `{target: mesh, members: [m1], change: {images: {app: "registry.example/bookshop:v3"}}}`),
			"InvalidSpec", "there are [proxy]"},
		{"an application as the target", stage("SidecarUpgrade", `{target: bookshop, members: [m1], change: {images: {app: "registry.example/bookshop:v3"}}}`),
			"InvalidSpec", "its workload is a CafeDeployment; a SidecarUpgrade moves a SidecarSet"},
		{"a patch of what is the application's", stage("SidecarUpgrade", `{target: mesh, members: [m1], change: {patch: {spec: {hostNetwork: true}}}}`),
			"InvalidSpec", "hostNetwork"},
	} {
		run := fmt.Sprintf("wrong-%d", i)
		m.create("hub", "alice", fmt.Sprintf("\napiVersion: tekton.dev/v1\nkind: PipelineRun\nmetadata: {name: %s, namespace: %s}\nspec:\n  pipelineSpec:\n    tasks:%s", run, m.ns, c.stage))
		if reason := m.ends(run); reason != "Failed" {
			t.Errorf("%s: the run ended %s", c.name, reason)
		}
		if r, msg := m.condition(run, "s"); r != c.reason || !strings.Contains(msg, c.words) {
			t.Errorf("%s: %s: %s; want %s with %q", c.name, r, msg, c.reason, c.words)
		}
	}
	if got := m.proxies("m1", ":v1"); got != "dca=5 dcb=5" {
		t.Errorf("something moved: %s", got)
	}
	if s := m.sidecars("m1"); s.Status.CurrentRevision != s.Status.UpdateRevision {
		t.Errorf("something was written: %+v", s.Spec)
	}
}

// A content that the API server would refuse in every pod never becomes a revision; it is taken off the set again.
func TestASidecarThatNoPodCouldHaveIsTakenOffTheSetAgain(t *testing.T) {
	t.Parallel()
	m := withMesh(t, "")
	m.create("hub", "alice", fmt.Sprintf(`
apiVersion: tekton.dev/v1
kind: PipelineRun
metadata: {name: void, namespace: %s}
spec:
  pipelineSpec:
    tasks:
    - name: first
      taskSpec:
        apiVersion: stages.periplus.dev/v1alpha1
        kind: SidecarUpgrade
        spec: {target: mesh, members: [m1], change: {patch: {spec: {containers: [{name: proxy, resources: {requests: {cpu: "2"}, limits: {cpu: "1"}}}]}}}}
    finally:
    - name: rollback
      taskSpec: {apiVersion: stages.periplus.dev/v1alpha1, kind: Rollback, spec: {}}
`, m.ns))
	if reason := m.ends("void"); reason != "Failed" {
		t.Fatalf("the run ended %s\n%s", reason, m.scene())
	}
	if r, msg := m.condition("void", "first"); r != "WorkloadStalled" || !strings.Contains(msg, "would refuse pods with it") {
		t.Errorf("the stage ended %s: %s", r, msg)
	}
	if rel := m.meshAtRest("void"); rel.Status.Phase != v1alpha1.ReleaseRolledBack {
		t.Errorf("the record: %+v", rel.Status)
	}
	m.eventually("the set is as it was", func() (bool, string) {
		s := m.sidecars("m1")
		return s.Spec.Containers[0].Resources.Limits == nil && s.Status.CurrentRevision == s.Status.UpdateRevision && s.Status.InjectionRevision == s.Status.UpdateRevision,
			fmt.Sprintf("%+v", s)
	})
}

// What does not fit into running pods is held ready for those that are created, where the stage is told to leave the others.
func TestAChangeThatDoesNotFitIsThereForPodsThatAreCreated(t *testing.T) {
	t.Parallel()
	m := withMesh(t, "")
	m.create("hub", "alice", fmt.Sprintf(`
apiVersion: tekton.dev/v1
kind: PipelineRun
metadata: {name: leave, namespace: %s}
spec:
  pipelineSpec:
    tasks:
    - name: s
      taskSpec:
        apiVersion: stages.periplus.dev/v1alpha1
        kind: SidecarUpgrade
        spec: {target: mesh, members: [m1], onWaitingForCreation: Leave, change: {patch: {spec: {containers: [{name: proxy, env: [{name: LEVEL, value: debug}]}]}}}}
`, m.ns))
	if reason := m.ends("leave"); reason != "Succeeded" {
		t.Fatalf("the run ended %s\n%s", reason, m.scene())
	}
	if got := m.results("leave", "s"); got["waiting"] != "10" || got["updated"] != "0" {
		t.Errorf("results: %v", got)
	}
	m.meshAtRest("leave")
	old := m.pods("m1")[0]
	m.kubectl("m1", "", "-n", m.ns, "delete", "pod", old.Name)
	m.eventually("a new pod has what did not fit", func() (bool, string) {
		for _, pod := range m.pods("m1") {
			for _, c := range pod.Spec.Containers {
				if c.Name == "proxy" && len(c.Env) == 1 && c.Env[0].Value == "debug" && pod.UID != old.UID {
					return true, ""
				}
			}
		}
		return false, fmt.Sprintf("%+v", m.sidecars("m1").Status)
	})
}
