//go:build e2e

// Package e2e drives Periplus as its users do, by kubectl, tkn and periplus, on the local fleet that PERIPLUS_FLEET names.
package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	pipelinev1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	"github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	tektonclient "github.com/tektoncd/pipeline/pkg/client/clientset/versioned"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"knative.dev/pkg/apis"

	appsv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/client/clientset/versioned"
	"github.com/periplus-dev/periplus/pkg/localfleet"
)

// limit of a wait for something that takes seconds when all is well.
const limit = 90 * time.Second

var members = []string{"m1", "m2"}

// port is one test's view of the fleet: a namespace of its own on the hub and in the members.
type port struct {
	t       *testing.T
	ns      string
	app     string // the example under docs/examples
	fleet   *localfleet.Running
	checks  string // the checkout
	tekton  tektonclient.Interface
	hub     versioned.Interface
	hubKube kubernetes.Interface
	members []string // that the test is about
	apps    map[string]versioned.Interface
	kube    map[string]kubernetes.Interface
}

// newPort makes the namespace and puts the example's workloads and policies in it.
func newPort(t *testing.T) *port {
	t.Helper()
	ns := "e2e-" + strings.Trim(regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(strings.ToLower(strings.TrimPrefix(t.Name(), "Test")), "-"), "-")
	// What is cut off, and an earlier run on the same fleet, still have names of their own.
	p := openPort(t, fmt.Sprintf("%s-%04x", strings.Trim(ns[:min(len(ns), 40)], "-"), rand.IntN(1<<16)), members) // #nosec G404 -- a name.
	for _, c := range append([]string{"hub"}, members...) {
		p.apply(c, fmt.Sprintf("{apiVersion: v1, kind: Namespace, metadata: {name: %s}}", p.ns))
		t.Cleanup(func() {
			if !t.Failed() {
				p.kubectl(c, "", "delete", "namespace", p.ns, "--wait=false")
			}
		})
	}
	p.apply("hub", fmt.Sprintf(`
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: engineers, namespace: %[1]s}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: periplus-release-engineer}
subjects: [{kind: Group, name: release-engineers, apiGroup: rbac.authorization.k8s.io}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: approvers, namespace: %[1]s}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: periplus-approver}
subjects: [{kind: Group, name: sre, apiGroup: rbac.authorization.k8s.io}]
`, p.ns))
	return p
}

// openPort reaches the fleet, and makes nothing there.
func openPort(t *testing.T, ns string, members []string) *port {
	t.Helper()
	dir := os.Getenv("PERIPLUS_FLEET")
	if dir == "" {
		t.Fatal("PERIPLUS_FLEET must name the directory of a running local fleet: run `make e2e`")
	}
	fleet, err := localfleet.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	checkout, err := localfleet.FindCheckout(here)
	if err != nil {
		t.Fatal(err)
	}
	p := &port{t: t, ns: ns, app: "productpage", fleet: fleet, checks: checkout, members: members, apps: map[string]versioned.Interface{}, kube: map[string]kubernetes.Interface{}}
	hub := must(fleet.RESTConfig("hub", ""))(t)
	hub.QPS = -1
	p.tekton, p.hub, p.hubKube = must(tektonclient.NewForConfig(hub))(t), must(versioned.NewForConfig(hub))(t), must(kubernetes.NewForConfig(hub))(t)
	for _, m := range members {
		c := must(fleet.RESTConfig(m, ""))(t)
		c.QPS = -1
		p.apps[m], p.kube[m] = must(versioned.NewForConfig(c))(t), must(kubernetes.NewForConfig(c))(t)
	}
	return p
}

// withExample puts the example's workloads in the members and its policies on the hub, and waits until all pods are available.
func (p *port) withExample() *port {
	p.t.Helper()
	for _, m := range members {
		p.apply(m, p.example("workloads.yaml"))
	}
	p.apply("hub", p.example("policies.yaml"))
	p.apply("hub", p.example("pipeline.yaml"))
	for _, m := range members {
		p.eventually("all pods of "+m+" are available", func() (bool, string) {
			for _, s := range p.sets(m) {
				if s.Status.AvailableReplicas != *s.Spec.Replicas {
					return false, fmt.Sprintf("%s %d of %d", s.Name, s.Status.AvailableReplicas, *s.Spec.Replicas)
				}
			}
			return len(p.sets(m)) == 2, "sets"
		})
	}
	return p
}

// withoutFinally has the example's pipeline leave everything as it is where it fails.
func (p *port) withoutFinally() {
	p.t.Helper()
	tasks, _, found := strings.Cut(p.example("pipeline.yaml"), "  finally:\n")
	if !found {
		p.t.Fatal("the example's pipeline has no finally")
	}
	p.apply("hub", tasks)
}

// example reads one file of the example, for this test's namespace.
func (p *port) example(file string) string {
	p.t.Helper()
	raw := must(os.ReadFile(filepath.Join(p.checks, "docs/examples", p.app, file)))(p.t)
	s := strings.ReplaceAll(string(raw), "namespace: demo", "namespace: "+p.ns)
	return strings.ReplaceAll(s, "name: demo\n", "name: "+p.ns+"\n")
}

// words reads a file of the checkout, for this test's namespaces.
func (p *port) words(file string) string {
	p.t.Helper()
	return strings.ReplaceAll(string(must(os.ReadFile(filepath.Join(p.checks, file)))(p.t)), "demo", p.ns)
}

// release creates the example's PipelineRun as alice, with an image and changes to the manifest.
func (p *port) release(image string, replace ...string) string {
	p.t.Helper()
	s := strings.NewReplacer(replace...).Replace(strings.Replace(p.example("run.yaml"), p.app+":v2", image, 1))
	out := p.create("hub", "alice", s)
	return strings.TrimSpace(strings.TrimSuffix(strings.TrimPrefix(out, "pipelinerun.tekton.dev/"), " created"))
}

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// command runs one of the fleet's binaries as a user.
func (p *port) command(stdin, cluster, user, name string, args ...string) (string, error) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(localfleet.BinDir(p.checks), name), args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+p.fleet.KubeconfigOf(cluster, user), "PATH="+localfleet.BinDir(p.checks)+":"+os.Getenv("PATH"), "NO_COLOR=1")
	cmd.Stdin = strings.NewReader(stdin)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return strings.TrimSpace(out.String()), err
}

func (p *port) kubectl(cluster, user string, args ...string) string {
	p.t.Helper()
	out, err := p.command("", cluster, user, "kubectl", args...)
	if err != nil {
		p.t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// refused runs kubectl and wants it to fail with these words.
func (p *port) refused(user, stdin string, words []string, args ...string) {
	p.t.Helper()
	out, err := p.command(stdin, "hub", user, "kubectl", args...)
	if err == nil {
		p.t.Errorf("kubectl %s as %s was let through: %s", strings.Join(args, " "), user, out)
		return
	}
	for _, w := range words {
		if !strings.Contains(out, w) {
			p.t.Errorf("kubectl %s as %s: the refusal does not say %q: %s", strings.Join(args, " "), user, w, out)
		}
	}
}

func (p *port) apply(cluster, manifest string) {
	p.t.Helper()
	if out, err := p.command(manifest, cluster, "", "kubectl", "apply", "--server-side", "--force-conflicts", "-f", "-"); err != nil {
		p.t.Fatalf("applying to %s: %v\n%s\n%s", cluster, err, out, manifest)
	}
}

func (p *port) create(cluster, user, manifest string) string {
	p.t.Helper()
	out, err := p.command(manifest, cluster, user, "kubectl", "create", "-f", "-")
	if err != nil {
		p.t.Fatalf("creating as %s: %v\n%s\n%s", user, err, out, manifest)
	}
	return out
}

func (p *port) periplus(user string, args ...string) (string, error) {
	p.t.Helper()
	return p.command("", "hub", user, "periplus", append(args, "-n", p.ns)...)
}

// eventually waits for a condition, and says at the limit what it last saw.
func (p *port) eventually(what string, ok func() (bool, string)) {
	p.t.Helper()
	p.within(limit, what, ok)
}

func (p *port) within(d time.Duration, what string, ok func() (bool, string)) {
	p.t.Helper()
	deadline := time.After(d)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		good, saw := ok()
		if good {
			return
		}
		select {
		case <-deadline:
			p.t.Fatalf("after %s it is not so that %s; last seen: %s\n%s", d, what, saw, p.scene())
		case <-tick.C:
		}
	}
}

// scene is what a person would look at when a test fails.
func (p *port) scene() string {
	var b strings.Builder
	for _, c := range [][]string{{"get", "pipelineruns,customruns,releases,approvals"}, {"get", "events", "--sort-by=.lastTimestamp"}} {
		out, _ := p.command("", "hub", "", "kubectl", append(c, "-n", p.ns)...)
		b.WriteString(out + "\n")
	}
	for _, m := range p.members {
		out, _ := p.command("", m, "", "kubectl", "get", "cafedeployments,inplacesets,pods", "-n", p.ns)
		b.WriteString(m + ":\n" + out + "\n")
	}
	return b.String()
}

func (p *port) sets(member string) []appsv1alpha1.InPlaceSet {
	p.t.Helper()
	l, err := p.apps[member].AppsV1alpha1().InPlaceSets(p.ns).List(context.Background(), metav1.ListOptions{})
	if err != nil {
		p.t.Fatal(err)
	}
	slices.SortFunc(l.Items, func(a, b appsv1alpha1.InPlaceSet) int { return strings.Compare(a.Name, b.Name) })
	return l.Items
}

// updated counts the pods of each set in a member that run an image, as "dca=1 dcb=1".
func (p *port) updated(member, image string) string {
	p.t.Helper()
	pods, err := p.kube[member].CoreV1().Pods(p.ns).List(context.Background(), metav1.ListOptions{})
	if err != nil {
		p.t.Fatal(err)
	}
	n := map[string]int{"dca": 0, "dcb": 0}
	for _, pod := range pods.Items {
		if strings.HasSuffix(pod.Spec.Containers[0].Image, image) && pod.DeletionTimestamp == nil {
			n[pod.Labels[appsv1alpha1.LabelUnit]]++
		}
	}
	return fmt.Sprintf("dca=%d dcb=%d", n["dca"], n["dcb"])
}

// identities of the pods of a member by name, as UID, node and IP. Those that are ending are none: what takes their place counts as soon as it serves.
func (p *port) identities(member string) map[string]string {
	p.t.Helper()
	pods, err := p.kube[member].CoreV1().Pods(p.ns).List(context.Background(), metav1.ListOptions{})
	if err != nil {
		p.t.Fatal(err)
	}
	out := map[string]string{}
	for _, pod := range pods.Items {
		if pod.DeletionTimestamp == nil {
			out[pod.Name] = fmt.Sprintf("%s %s %s", pod.UID, pod.Spec.NodeName, pod.Status.PodIP)
		}
	}
	return out
}

// stage returns the CustomRun of a pipeline task, nil while there is none.
func (p *port) stage(run, task string) *v1beta1.CustomRun {
	p.t.Helper()
	l, err := p.tekton.TektonV1beta1().CustomRuns(p.ns).List(context.Background(), metav1.ListOptions{
		LabelSelector: "tekton.dev/pipelineRun=" + run + ",tekton.dev/pipelineTask=" + task})
	if err != nil {
		p.t.Fatal(err)
	}
	if len(l.Items) == 0 {
		return nil
	}
	return &l.Items[0]
}

// condition is a stage's reason and message, empty while there are none.
func (p *port) condition(run, task string) (reason, message string) {
	p.t.Helper()
	if cr := p.stage(run, task); cr != nil {
		if c := cr.Status.GetCondition(apis.ConditionSucceeded); c != nil {
			return c.Reason, c.Message
		}
	}
	return "", ""
}

// comesTo waits until a stage has a reason, and returns the message it then has.
func (p *port) comesTo(run, task string, reasons ...string) string {
	p.t.Helper()
	var message string
	p.eventually(fmt.Sprintf("%s of %s is at %v", task, run, reasons), func() (bool, string) {
		r, m := p.condition(run, task)
		message = m
		return slices.Contains(reasons, r), r + ": " + m
	})
	return message
}

// ends waits until a PipelineRun is done, and returns its reason.
func (p *port) ends(run string) string {
	p.t.Helper()
	var reason string
	p.within(2*limit, run+" is done", func() (bool, string) {
		pr := p.pipelineRun(run)
		c := pr.Status.GetCondition(apis.ConditionSucceeded)
		if c == nil {
			return false, "no condition"
		}
		reason = c.Reason
		return pr.IsDone(), c.Reason + ": " + c.Message
	})
	return reason
}

func (p *port) pipelineRun(run string) *pipelinev1.PipelineRun {
	p.t.Helper()
	pr, err := p.tekton.TektonV1().PipelineRuns(p.ns).Get(context.Background(), run, metav1.GetOptions{})
	if err != nil {
		p.t.Fatal(err)
	}
	return pr
}

// record returns the Release of a run, nil while there is none.
func (p *port) record(run string) *v1alpha1.Release {
	p.t.Helper()
	l, err := p.hub.StagesV1alpha1().Releases(p.ns).List(context.Background(), metav1.ListOptions{LabelSelector: v1alpha1.LabelRootName + "=" + run})
	if err != nil {
		p.t.Fatal(err)
	}
	if len(l.Items) == 0 {
		return nil
	}
	return &l.Items[0]
}

// atRest waits until the release of a run has let go of everything: no lock, partitions at 100 %.
func (p *port) atRest(run string) *v1alpha1.Release {
	p.t.Helper()
	p.eventually("release of "+run+" has let go", func() (bool, string) {
		rel := p.record(run)
		return rel != nil && rel.Status.Released, fmt.Sprintf("%+v", rel)
	})
	for _, m := range members {
		for _, s := range p.sets(m) {
			if lock, ok := s.Annotations[v1alpha1.AnnotationLock]; ok && strings.Contains(lock, p.record(run).Name) {
				p.t.Errorf("%s in %s is still locked: %s", s.Name, m, lock)
			}
			if part := s.Spec.UpdateStrategy.Partition.String(); part != "100%" {
				p.t.Errorf("partition of %s in %s is %s at rest", s.Name, m, part)
			}
		}
	}
	return p.record(run)
}

// confirms lets bob, an SRE, say yes.
func (p *port) confirms(run string) {
	p.t.Helper()
	if out, err := p.periplus("bob", "confirm", run, "--message", "looks good"); err != nil {
		p.t.Fatalf("periplus confirm: %v\n%s\n%s", err, out, p.scene())
	}
}

// results of a stage by name.
func (p *port) results(run, task string) map[string]string {
	out := map[string]string{}
	for _, r := range p.stage(run, task).Status.Results {
		out[r.Name] = r.Value
	}
	return out
}

func (p *port) status(run, task string) v1alpha1.RunStatus {
	p.t.Helper()
	var st v1alpha1.RunStatus
	if err := json.Unmarshal(p.stage(run, task).Status.ExtraFields.Raw, &st); err != nil {
		p.t.Fatal(err)
	}
	return st
}

// patch merges into an object on the hub as a user.
func (p *port) patch(user, kind, name, patch string) {
	p.t.Helper()
	p.kubectl("hub", user, "patch", kind, name, "-n", p.ns, "--type=merge", "-p", patch)
}

func ready(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}
