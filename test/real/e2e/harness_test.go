//go:build e2ereal

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"

	appsv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/client/clientset/versioned"
	"github.com/periplus-dev/periplus/pkg/localfleet"
)

const (
	member = "m1"
	// limit of a wait for something that takes seconds when all is well.
	limit = 2 * time.Minute
	image = "local.invalid/app:"
)

// site is one test's view of the fleet: a namespace of its own in the member whose nodes are real.
type site struct {
	t    *testing.T
	ns   string
	kube kubernetes.Interface
	apps versioned.Interface
}

// fleetDir is where the fleet of the tests is.
func fleetDir(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("PERIPLUS_FLEET")
	if dir == "" {
		t.Fatal("PERIPLUS_FLEET must name the directory of a local fleet with real nodes: run `make e2e-real`")
	}
	return dir
}

func newSite(t *testing.T) *site {
	t.Helper()
	dir := fleetDir(t)
	fleet := must(localfleet.Load(dir))(t)
	if nodes := must(fleet.RealNodes())(t); len(nodes) == 0 {
		t.Fatalf("the nodes of the fleet in %s are simulated: run `make e2e-real`", dir)
	}
	config := must(fleet.RESTConfig(member, ""))(t)
	config.QPS = -1
	s := &site{t: t, kube: must(kubernetes.NewForConfig(config))(t), apps: must(versioned.NewForConfig(config))(t)}
	s.ns = fmt.Sprintf("real-%06x", rand.IntN(1<<24)) // #nosec G404 -- a name.
	must(s.kube.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.ns}}, metav1.CreateOptions{}))(t)
	t.Cleanup(func() {
		// A test that failed leaves its namespace to be looked at.
		if t.Failed() {
			return
		}
		if err := s.kube.CoreV1().Namespaces().Delete(context.Background(), s.ns, metav1.DeleteOptions{}); err != nil {
			t.Errorf("removing namespace %s: %v", s.ns, err)
		}
	})
	return s
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

// eventually waits until is answers true; it says what it saw last where it never does.
func (s *site) eventually(what string, is func() (bool, string)) {
	s.t.Helper()
	deadline := time.Now().Add(limit)
	for {
		ok, saw := is()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("waited %s in vain until %s; it is %s", limit, what, saw)
		}
		select {
		case <-s.t.Context().Done():
			s.t.Fatal(s.t.Context().Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// units are the data centres of the fleet, with a node each.
var units = []string{"dca", "dcb"}

// set is an InPlaceSet of one unit.
type set struct {
	*site
	name, unit string
}

// sets makes one InPlaceSet in each unit, and waits until all of their pods are available.
func (s *site) sets(replicas int32, tag string) []*set {
	s.t.Helper()
	var out []*set
	for _, unit := range units {
		out = append(out, s.set("web-"+unit, unit, replicas, tag))
	}
	for _, set := range out {
		set.awaitAvailable()
	}
	return out
}

// set makes an InPlaceSet of pods that serve on port 8080, in a unit or, without one, wherever there is room.
func (s *site) set(name, unit string, replicas int32, tag string, change ...func(*appsv1alpha1.InPlaceSetSpec)) *set {
	s.t.Helper()
	labels := map[string]string{"app": "web", "set": name}
	one, grace := intstr.FromInt32(1), int32(1)
	made := &appsv1alpha1.InPlaceSet{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: appsv1alpha1.InPlaceSetSpec{
			Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels},
			UpdateStrategy: appsv1alpha1.InPlaceSetUpdateStrategy{MaxUnavailable: &one, GracePeriodSeconds: &grace},
			Template:       serving(labels, tag),
		},
	}
	if unit != "" {
		made.Labels = map[string]string{appsv1alpha1.LabelUnit: unit}
		made.Spec.Template.Spec.NodeSelector = map[string]string{corev1.LabelTopologyZone: unit}
	}
	for _, c := range change {
		c(&made.Spec)
	}
	must(s.apps.AppsV1alpha1().InPlaceSets(s.ns).Create(s.t.Context(), made, metav1.CreateOptions{}))(s.t)
	return &set{site: s, name: name, unit: unit}
}

// serving is the template of pods that serve on port 8080.
func serving(labels map[string]string, tag string) corev1.PodTemplateSpec {
	no := false
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: labels},
		Spec: corev1.PodSpec{
			AutomountServiceAccountToken: &no,
			Containers: []corev1.Container{{
				Name: "app", Image: image + tag, ImagePullPolicy: corev1.PullIfNotPresent,
				Ports: []corev1.ContainerPort{{ContainerPort: 8080}},
				ReadinessProbe: &corev1.Probe{
					ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/healthz", Port: intstr.FromInt32(8080)}},
					PeriodSeconds: 1,
				},
			}},
		},
	}
}

// setImage changes the set's template.
func (s *set) setImage(tag string) {
	s.t.Helper()
	patch := fmt.Sprintf(`[{"op":"replace","path":"/spec/template/spec/containers/0/image","value":%q}]`, image+tag)
	must(s.apps.AppsV1alpha1().InPlaceSets(s.ns).Patch(s.t.Context(), s.name, types.JSONPatchType, []byte(patch), metav1.PatchOptions{}))(s.t)
}

func (s *set) pods() []corev1.Pod {
	s.t.Helper()
	list := must(s.kube.CoreV1().Pods(s.ns).List(s.t.Context(), metav1.ListOptions{LabelSelector: "set=" + s.name}))(s.t)
	slices.SortFunc(list.Items, func(a, b corev1.Pod) int { return strings.Compare(a.Name, b.Name) })
	return list.Items
}

// awaitAvailable waits until the whole set is on its revision and available.
func (s *set) awaitAvailable() {
	s.t.Helper()
	s.eventually("all pods of "+s.name+" are updated and available", func() (bool, string) {
		got, err := s.apps.AppsV1alpha1().InPlaceSets(s.ns).Get(s.t.Context(), s.name, metav1.GetOptions{})
		if err != nil {
			return false, err.Error()
		}
		st, n := got.Status, *got.Spec.Replicas
		return st.ObservedGeneration == got.Generation && st.Replicas == n && st.UpdatedReplicas == n && st.AvailableReplicas == n, s.describe(got)
	})
}

func (s *set) describe(got *appsv1alpha1.InPlaceSet) string {
	text, err := json.MarshalIndent(got.Status, "", "  ")
	if err != nil {
		return err.Error()
	}
	out := string(text)
	for _, p := range s.pods() {
		pod, err := json.MarshalIndent(map[string]any{"name": p.Name, "annotations": p.Annotations, "generation": p.Generation, "status": p.Status}, "", "  ")
		if err != nil {
			return err.Error()
		}
		out += "\n" + string(pod)
	}
	return out
}

// awaitWaiting waits until a container of the set waits for this reason.
func (s *set) awaitWaiting(reason string) {
	s.t.Helper()
	s.eventually("a container of "+s.name+" waits with "+reason, func() (bool, string) {
		var saw []string
		for _, p := range s.pods() {
			for _, c := range p.Status.ContainerStatuses {
				if w := c.State.Waiting; w != nil {
					saw = append(saw, w.Reason)
				}
			}
		}
		return slices.Contains(saw, reason), fmt.Sprintf("waiting with %v", saw)
	})
}

// serves wants every pod of the set to answer with a version on its own address.
func (s *set) serves(version string) {
	s.t.Helper()
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for _, p := range s.pods() {
		req := must(http.NewRequestWithContext(s.t.Context(), http.MethodGet, "http://"+p.Status.PodIP+":8080/", nil))(s.t)
		resp, err := client.Do(req)
		if err != nil {
			s.t.Errorf("pod %s: %v", p.Name, err)
			continue
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if got := strings.TrimSpace(string(body)); err != nil || got != version {
			s.t.Errorf("pod %s answers %q (%v), want %q", p.Name, got, err, version)
		}
	}
}

// same wants the very pods that were there before: the same UIDs, addresses and nodes.
func (s *set) same(before []corev1.Pod) {
	s.t.Helper()
	identity := func(pods []corev1.Pod) (out []string) {
		for _, p := range pods {
			out = append(out, fmt.Sprintf("%s %s %s %s", p.Name, p.UID, p.Status.PodIP, p.Spec.NodeName))
		}
		return out
	}
	if was, now := identity(before), identity(s.pods()); !slices.Equal(was, now) {
		s.t.Errorf("the pods were\n%s\nand are\n%s", strings.Join(was, "\n"), strings.Join(now, "\n"))
	}
}

// restarts is how often the set's containers were started again, all in all.
func restarts(pods []corev1.Pod) (n int32) {
	for _, p := range pods {
		for _, c := range p.Status.ContainerStatuses {
			n += c.RestartCount
		}
	}
	return n
}
