//go:build e2ereal

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	appsv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
)

const (
	// proxyPort is where the sidecar serves; the application is reached over localhost alone, so every request goes through the sidecar.
	proxyPort  = 8081
	proxyImage = "local.invalid/proxy:"
)

// proxied is an application that knows nothing of the proxy in its pods.
type proxied struct {
	*site
	set string
}

// proxied makes a SidecarSet with a proxy, and a Deployment whose pods get it.
func (s *site) proxied(strategy appsv1alpha1.SidecarSetUpdateStrategy) *proxied {
	s.t.Helper()
	p := &proxied{site: s, set: "proxy-" + s.ns}
	always := corev1.ContainerRestartPolicyAlways
	must(s.apps.AppsV1alpha1().SidecarSets().Create(s.t.Context(), &appsv1alpha1.SidecarSet{
		ObjectMeta: metav1.ObjectMeta{Name: p.set},
		Spec: appsv1alpha1.SidecarSetSpec{
			Selector:          &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}},
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: s.ns}},
			InitContainers: []appsv1alpha1.SidecarContainer{{Container: corev1.Container{
				Name: "proxy", Image: proxyImage + "v1", ImagePullPolicy: corev1.PullIfNotPresent, RestartPolicy: &always,
				Env:   []corev1.EnvVar{{Name: "ADDRESS", Value: fmt.Sprintf(":%d", proxyPort)}, {Name: "APPLICATION", Value: "127.0.0.1:8080"}},
				Ports: []corev1.ContainerPort{{ContainerPort: proxyPort}},
				ReadinessProbe: &corev1.Probe{
					ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/healthz", Port: intstr.FromInt32(proxyPort)}},
					PeriodSeconds: 1,
				},
			}}},
			UpdateStrategy: strategy,
		},
	}, metav1.CreateOptions{}))(s.t)
	s.t.Cleanup(func() {
		if !s.t.Failed() {
			if err := s.apps.AppsV1alpha1().SidecarSets().Delete(context.Background(), p.set, metav1.DeleteOptions{}); err != nil {
				s.t.Error(err)
			}
		}
	})
	p.await("new pods get the proxy", func(set *appsv1alpha1.SidecarSet) bool { return set.Status.InjectionRevision != "" })
	labels := map[string]string{"app": "web", "set": "web"}
	template := serving(labels, "v1")
	app := &template.Spec.Containers[0]
	app.Env, app.ReadinessProbe, app.Ports = []corev1.EnvVar{{Name: "ADDRESS", Value: "127.0.0.1:8080"}}, nil, nil
	must(s.kube.AppsV1().Deployments(s.ns).Create(s.t.Context(), &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec:       appsv1.DeploymentSpec{Replicas: ptr.To[int32](replicas), Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: template},
	}, metav1.CreateOptions{}))(s.t)
	p.await("all pods have the proxy and are ready", func(set *appsv1alpha1.SidecarSet) bool {
		return set.Status.Injected == replicas && set.Status.UpdatedReady == replicas
	})
	return p
}

func (p *proxied) get() *appsv1alpha1.SidecarSet {
	p.t.Helper()
	return must(p.apps.AppsV1alpha1().SidecarSets().Get(p.t.Context(), p.set, metav1.GetOptions{}))(p.t)
}

func (p *proxied) await(what string, is func(*appsv1alpha1.SidecarSet) bool) {
	p.t.Helper()
	p.eventually(what, func() (bool, string) {
		set := p.get()
		saw, err := json.MarshalIndent(set.Status, "", "  ")
		if err != nil {
			return false, err.Error()
		}
		return is(set), string(saw)
	})
}

// upgrade the proxy, and wait for a reason of the condition Progressing.
func (p *proxied) upgrade(tag, reason string) {
	p.t.Helper()
	patch := fmt.Sprintf(`[{"op":"replace","path":"/spec/initContainers/0/image","value":%q}]`, proxyImage+tag)
	set := must(p.apps.AppsV1alpha1().SidecarSets().Patch(p.t.Context(), p.set, types.JSONPatchType, []byte(patch), metav1.PatchOptions{}))(p.t)
	p.await(fmt.Sprintf("the upgrade to %s is %s", tag, reason), func(now *appsv1alpha1.SidecarSet) bool {
		c := meta.FindStatusCondition(now.Status.Conditions, appsv1alpha1.ConditionProgressing)
		return c != nil && c.ObservedGeneration == set.Generation && c.Reason == reason
	})
}

func (p *proxied) pods() []corev1.Pod {
	p.t.Helper()
	return (&set{site: p.site, name: "web"}).pods()
}

// running is what a container of each pod runs as: its containerID and when it was started, by pod and UID.
func running(pods []corev1.Pod, container string) map[string]string {
	out := map[string]string{}
	for _, pod := range pods {
		key := pod.Name + " " + string(pod.UID)
		out[key] = "not running"
		for _, c := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
			if c.Name == container && c.State.Running != nil {
				out[key] = fmt.Sprintf("%s since %s", c.ContainerID, c.State.Running.StartedAt.UTC().Format(time.RFC3339))
			}
		}
	}
	return out
}

// ranOn wants every pod's application to run as it did, and none to have been started again.
func (p *proxied) ranOn(before map[string]string) {
	p.t.Helper()
	if now := running(p.pods(), "app"); len(now) != replicas || !maps.Equal(before, now) {
		p.t.Errorf("applications ran as %v; they run as %v", before, now)
	}
	for _, pod := range p.pods() {
		if n := pod.Status.ContainerStatuses[0].RestartCount; n != 0 {
			p.t.Errorf("the application of %s was started again %d times", pod.Name, n)
		}
	}
}

func TestNoRequestFailsWhileAProxySidecarIsUpgraded(t *testing.T) {
	half := intstr.FromString("50%")
	p := newSite(t).proxied(appsv1alpha1.SidecarSetUpdateStrategy{MaxUnavailable: &half, Drain: true})
	apps, proxies := running(p.pods(), "app"), running(p.pods(), "proxy")
	tr := p.traffic()
	tr.port = proxyPort
	tr.followSlices().throughHAProxy()
	began := time.Now()
	p.upgrade("v2", "Complete")
	took := time.Since(began).Round(time.Second)
	p.eventually("the new proxies have served on every way", func() (bool, string) {
		for _, tally := range tr.ways {
			if tally.Report().Answers["p2 v1"] < 100 {
				return false, tr.String()
			}
		}
		return true, ""
	})
	failed := tr.end()
	t.Logf("%d proxies upgraded in %s, %d of %d requests failed\n%s", replicas, took, failed, tr.sent(), tr)
	if failed != 0 || tr.sent() < 2000 {
		t.Errorf("%d of %d requests failed; want none of at least 2000", failed, tr.sent())
	}
	tr.answered("p1 v1", "p2 v1")
	p.ranOn(apps)
	for pod, is := range running(p.pods(), "proxy") {
		if was := proxies[pod]; was == "" || was == is || is == "not running" {
			t.Errorf("the proxy of %s ran as %q and runs as %q", pod, was, is)
		}
	}
}

// It says that the one above would see it: what it leaves out costs requests.
func TestWithoutDrainRequestsFailWhileAProxySidecarIsUpgraded(t *testing.T) {
	t.Parallel()
	half := intstr.FromString("50%")
	p := newSite(t).proxied(appsv1alpha1.SidecarSetUpdateStrategy{MaxUnavailable: &half})
	apps := running(p.pods(), "app")
	tr := p.traffic()
	tr.port = proxyPort
	tr.followSlices()
	p.upgrade("v2", "Complete")
	failed := tr.end()
	if failed == 0 {
		t.Errorf("no request failed though proxies are changed in service:\n%s", tr)
	} else {
		t.Logf("as it should be, %d of %d requests failed:\n%s", failed, tr.sent(), tr)
	}
	p.ranOn(apps)
}

func TestABadProxyStopsAtOnePodWhoseApplicationRunsOn(t *testing.T) {
	t.Parallel()
	all := intstr.FromString("100%")
	p := newSite(t).proxied(appsv1alpha1.SidecarSetUpdateStrategy{MaxUnavailable: &all})
	apps := running(p.pods(), "app")
	p.upgrade("bad1", "PodsFailing")
	// The proxy ended well when it was told to, and of such the kubelet does not say why it is not started again.
	if c := meta.FindStatusCondition(p.get().Status.Conditions, appsv1alpha1.ConditionProgressing); !strings.Contains(c.Message, "container proxy") {
		t.Errorf("the condition says %q", c.Message)
	}
	bad := 0
	for _, pod := range p.pods() {
		if pod.Spec.InitContainers[0].Image == proxyImage+"bad1" {
			bad++
		}
	}
	if bad != 1 {
		t.Errorf("%d pods got the bad proxy, want one", bad)
	}
	p.ranOn(apps)
	p.upgrade("v1", "Complete")
	p.ranOn(apps)
	p.await("all pods are ready again", func(set *appsv1alpha1.SidecarSet) bool { return set.Status.UpdatedReady == replicas })
}
