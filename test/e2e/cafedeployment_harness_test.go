//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"

	appsv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/localfleet"
)

const cafeMember = "m1"

// cellKey is a label that the suite puts on the first member's nodes, for deployments over three units.
const cellKey = "e2e.periplus.dev/cell"

var podSetTypes = []appsv1alpha1.PodSetType{appsv1alpha1.PodSetInPlaceSet, appsv1alpha1.PodSetReplicaSet, appsv1alpha1.PodSetStatefulSet}

// forAllTypes tells a story for each type of pod set.
func forAllTypes(t *testing.T, tell func(*testing.T, appsv1alpha1.PodSetType)) {
	t.Helper()
	for _, of := range podSetTypes {
		t.Run(string(of), func(t *testing.T) {
			t.Parallel()
			tell(t, of)
		})
	}
}

// cafe is one CafeDeployment, "web", in the first member, and all that happened to its pods.
type cafe struct {
	*port
	of appsv1alpha1.PodSetType

	mu   sync.Mutex
	pods map[string]*corev1.Pod
	// least and most are how many pods of each unit must be ready, and may be there, at any moment; where a unit is not named, nothing is asked.
	least, most map[string]int
	// groups are how many pods may have an image, by how many of those must be ready before there may be more: 2, 6, 10.
	groups []int
	image  string
	faults []string
}

// withCafe makes the deployment and waits until its pods are available. spec is what it has beside type, selector and template.
func withCafe(t *testing.T, of appsv1alpha1.PodSetType, spec string, watch ...func(*cafe)) *cafe {
	t.Helper()
	c := &cafe{port: newPort(t), of: of, pods: map[string]*corev1.Pod{}, least: map[string]int{}, most: map[string]int{}}
	for _, w := range watch {
		w(c)
	}
	c.follow()
	special := map[appsv1alpha1.PodSetType]string{
		appsv1alpha1.PodSetInPlaceSet: "inPlace: {gracePeriodSeconds: 0}", appsv1alpha1.PodSetReplicaSet: "", appsv1alpha1.PodSetStatefulSet: "serviceName: web",
	}[of]
	c.apply(cafeMember, fmt.Sprintf(`
apiVersion: apps.periplus.dev/v1alpha1
kind: CafeDeployment
metadata: {name: web, namespace: %s}
spec:
  podSetType: %s
  %s
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{name: app, image: "web:v1"}]
%s
`, c.ns, of, special, indent(spec)))
	return c
}

func indent(s string) string {
	return "  " + strings.ReplaceAll(strings.TrimSpace(s), "\n", "\n  ")
}

// twoCentres is a topology over the fleet's data centres.
const twoCentres = `
topology: {unitType: DataCenter, nodeLabelKey: topology.kubernetes.io/zone, values: [dca, dcb]}`

// threeCells puts labels on the first member's nodes and returns a topology over them.
func threeCells(t *testing.T) string {
	t.Helper()
	p := newPort(t)
	for i, cell := range []string{"a", "b", "c"} {
		for _, dc := range []string{"dca", "dcb"} {
			p.kubectl(cafeMember, "", "label", "node", fmt.Sprintf("%s-%s-%d", cafeMember, dc, i), cellKey+"=cell-"+cell, "--overwrite")
		}
	}
	return `
topology: {unitType: Cell, nodeLabelKey: ` + cellKey + `, values: [cell-a, cell-b, cell-c]}`
}

func (c *cafe) follow() {
	c.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	c.t.Cleanup(cancel)
	f := informers.NewSharedInformerFactoryWithOptions(c.kube[cafeMember], 0, informers.WithNamespace(c.ns))
	inf := f.Core().V1().Pods().Informer()
	must(inf.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: c.pod, UpdateFunc: func(_, o any) { c.pod(o) }, DeleteFunc: c.gone,
	}))(c.t)
	f.Start(ctx.Done())
	f.WaitForCacheSync(ctx.Done())
}

func (c *cafe) pod(o any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if pod, ok := o.(*corev1.Pod); ok {
		c.pods[pod.Name] = pod
		c.count(pod)
	}
}

func (c *cafe) gone(o any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if pod, ok := o.(*corev1.Pod); ok {
		delete(c.pods, pod.Name)
		c.count(pod)
	}
}

// count after each event what must always be so.
func (c *cafe) count(of *corev1.Pod) {
	there, up, image, imageUp := map[string]int{}, map[string]int{}, 0, 0
	for _, pod := range c.pods {
		if pod.DeletionTimestamp != nil {
			continue
		}
		unit := pod.Labels[appsv1alpha1.LabelUnit]
		there[unit]++
		if ready(pod) {
			up[unit]++
		}
		if pod.Spec.Containers[0].Image == c.image {
			image++
			if ready(pod) {
				imageUp++
			}
		}
	}
	for unit, n := range c.least {
		if up[unit] < n {
			c.fault("after %s: %d pods of %s are ready, at least %d must be", of.Name, up[unit], unit, n)
		}
	}
	for unit, n := range c.most {
		if there[unit] > n {
			c.fault("after %s: %s has %d pods, at most %d may be there", of.Name, unit, there[unit], n)
		}
	}
	for _, n := range c.groups {
		if imageUp < n && image > n {
			c.fault("after %s: %d pods have %s while %d of the first %d are ready", of.Name, image, c.image, imageUp, n)
		}
		if imageUp < n {
			break
		}
	}
}

func (c *cafe) fault(format string, args ...any) {
	if len(c.faults) < 20 {
		c.faults = append(c.faults, time.Now().Format("15:04:05.000 ")+fmt.Sprintf(format, args...))
	}
}

// keeps says how many pods of each unit must be ready, and may be there, from now on.
func (c *cafe) keeps(least, most map[string]int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.least, c.most = least, most
}

// inGroups says that pods get an image in groups, from now on.
func (c *cafe) inGroups(image string, groups ...int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.image, c.groups = image, groups
}

func (c *cafe) noFaults() {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range c.faults {
		c.t.Error(f)
	}
}

func (c *cafe) get() *appsv1alpha1.CafeDeployment {
	c.t.Helper()
	return must(c.apps[cafeMember].AppsV1alpha1().CafeDeployments(c.ns).Get(context.Background(), "web", metav1.GetOptions{}))(c.t)
}

// spec merges into the deployment's spec, and waits until the controller has seen it.
func (c *cafe) spec(patch string) {
	c.t.Helper()
	d := must(c.apps[cafeMember].AppsV1alpha1().CafeDeployments(c.ns).Patch(context.Background(), "web", types.MergePatchType, []byte(`{"spec":`+patch+`}`), metav1.PatchOptions{}))(c.t)
	c.until("the controller saw the change", func(d2 *appsv1alpha1.CafeDeployment) bool { return d2.Status.ObservedGeneration >= d.Generation })
}

func (c *cafe) template(tag string) {
	c.t.Helper()
	c.spec(fmt.Sprintf(`{"template":{"spec":{"containers":[{"name":"app","image":"web:%s"}]}}}`, tag))
}

func (c *cafe) confirm() {
	c.t.Helper()
	c.kubectl(cafeMember, "", "annotate", "cafedeployment", "web", "-n", c.ns, appsv1alpha1.AnnotationConfirmed+"=true", "--overwrite")
}

func (c *cafe) until(what string, ok func(*appsv1alpha1.CafeDeployment) bool) {
	c.t.Helper()
	c.within(2*limit, what, func() (bool, string) {
		d := c.get()
		return ok(d), fmt.Sprintf("%+v", d.Status)
	})
}

// says waits until Progressing has one of these reasons and speaks of the spec as it is, and returns its message.
func (c *cafe) says(reasons ...string) (message string) {
	c.t.Helper()
	c.until("Progressing is "+strings.Join(reasons, " or "), func(d *appsv1alpha1.CafeDeployment) bool {
		cond := meta.FindStatusCondition(d.Status.Conditions, appsv1alpha1.ConditionProgressing)
		if cond == nil || cond.ObservedGeneration != d.Generation || !slices.Contains(reasons, cond.Reason) {
			return false
		}
		message = cond.Message
		return true
	})
	return message
}

// complete waits until all pods run the template.
func (c *cafe) complete() {
	c.t.Helper()
	c.says("Complete")
}

// live counts the pods of each unit, and those with an image of all.
func (c *cafe) live(tag string) (units string, n int) {
	c.t.Helper()
	l := must(c.kube[cafeMember].CoreV1().Pods(c.ns).List(context.Background(), metav1.ListOptions{LabelSelector: appsv1alpha1.LabelCafeDeployment + "=web"}))(c.t)
	by := map[string]int{}
	for i := range l.Items {
		if l.Items[i].DeletionTimestamp != nil {
			continue
		}
		by[l.Items[i].Labels[appsv1alpha1.LabelUnit]]++
		if l.Items[i].Spec.Containers[0].Image == "web:"+tag {
			n++
		}
	}
	return fmt.Sprint(by), n
}

func (c *cafe) killController() {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if err := c.fleet.Kill(ctx, cafeMember, localfleet.PartWorkloads, syscall.SIGKILL); err != nil {
		c.t.Fatal(err)
	}
	if err := c.fleet.Start(ctx, cafeMember, localfleet.PartWorkloads); err != nil {
		c.t.Fatal(err)
	}
}

// whatTypesDiffer is what docs/cafedeployment.md says that types do not have in common: what is left of a pod after a change, and whether it is taken out of Services
// by a gate of ours before it.
var whatTypesDiffer = map[appsv1alpha1.PodSetType]struct{ names, uids, gate bool }{
	appsv1alpha1.PodSetInPlaceSet:  {names: true, uids: true, gate: true},
	appsv1alpha1.PodSetReplicaSet:  {},
	appsv1alpha1.PodSetStatefulSet: {names: true},
}

// uids are those of the pods there are, by name.
func (c *cafe) uids() map[string]types.UID {
	c.t.Helper()
	out := map[string]types.UID{}
	for _, pod := range must(c.kube[cafeMember].CoreV1().Pods(c.ns).List(context.Background(), metav1.ListOptions{}))(c.t).Items {
		if pod.DeletionTimestamp == nil {
			out[pod.Name] = pod.UID
		}
	}
	return out
}

// differs wants of pods that were all changed since then what their type says.
func (c *cafe) differs(before map[string]types.UID) {
	c.t.Helper()
	of := c.of
	want := whatTypesDiffer[of]
	for name, uid := range c.uids() {
		was, named := before[name]
		if named != want.names || (was == uid) != want.uids {
			c.t.Errorf("%s: pod %s (%s) was %q before the change; its name is to stay: %v, its UID: %v", of, name, uid, was, want.names, want.uids)
		}
		pod := must(c.kube[cafeMember].CoreV1().Pods(c.ns).Get(context.Background(), name, metav1.GetOptions{}))(c.t)
		gated := slices.ContainsFunc(pod.Spec.ReadinessGates, func(g corev1.PodReadinessGate) bool { return g.ConditionType == appsv1alpha1.ReadinessGateInService })
		if gated != want.gate {
			c.t.Errorf("%s: pod %s has a gate of ours: %v, want %v", of, name, gated, want.gate)
		}
	}
}
