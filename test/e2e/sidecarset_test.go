//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	appsv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
)

func TestSidecarsAreUpgradedUnderPodsOfEveryKindOfWorkload(t *testing.T) {
	t.Parallel()
	m := newMate(newPort(t))
	m.set("mesh", "mesh:v1", `{maxUnavailable: 2}`)
	for _, kind := range []string{"Deployment", "StatefulSet", "InPlaceSet"} {
		m.app(kind, 2, "v1")
	}
	m.apply(ipsMember, fmt.Sprintf(`{apiVersion: v1, kind: Pod, metadata: {name: outside, namespace: %s, labels: {tier: web, apps.periplus.dev/inject: "false"}}, spec: {containers: [{name: app, image: "web:v1"}]}}`, m.ns))
	m.serving(7)
	if n := m.with("mesh:v1"); n != 6 {
		t.Errorf("%d pods have the sidecar; want all 6 but the one that keeps out", n)
	}
	before := m.identities(ipsMember)
	m.asks(func(m *mate) { m.least = 5 })

	m.image("mesh", "mesh:v2")
	m.says("mesh", "Complete")
	if n := m.with("mesh:v2"); n != 6 {
		t.Errorf("%d of 6 pods have the new sidecar", n)
	}
	m.restarted("mesh", 6, 1)
	if st := m.get("mesh").Status; st.Matched != 6 || st.Injected != 6 || st.UpdatedReady != 6 || st.Missed != 0 {
		t.Errorf("status is %+v", st)
	}

	// The partition holds back, and new pods get what is proven.
	m.spec("mesh", `{"updateStrategy":{"partition":"100%"}}`)
	m.image("mesh", "mesh:v3")
	m.says("mesh", "HeldBack")
	if n := m.with("mesh:v3"); n != 0 {
		t.Errorf("%d pods were let go at 100 percent", n)
	}
	m.kubectl(ipsMember, "", "scale", "deployment/deployment", "-n", m.ns, "--replicas=4")
	m.serving(9)
	if n := m.with("mesh:v2"); n != 8 {
		t.Errorf("%d pods have mesh:v2; want the new ones, too, while v3 is held back", n)
	}
	m.spec("mesh", `{"updateStrategy":{"partition":"50%"}}`)
	m.says("mesh", "HeldBack")
	m.until("mesh", "half of them are updated", func(s *appsv1alpha1.SidecarSet) bool { return s.Status.UpdatedReady == 4 })
	if n := m.with("mesh:v3"); n != 4 {
		t.Errorf("%d pods have mesh:v3 at 50 percent of 8", n)
	}
	m.spec("mesh", `{"updateStrategy":{"partition":0}}`)
	m.says("mesh", "Complete")
	if n := m.with("mesh:v3"); n != 8 {
		t.Errorf("%d of 8 pods have mesh:v3", n)
	}
	after := m.identities(ipsMember)
	for name, was := range before {
		if after[name] != was {
			t.Errorf("%s is %q; it was %q", name, after[name], was)
		}
	}
	m.noFaults()
}

func TestABadSidecarStopsAtTheFirstPod(t *testing.T) {
	t.Parallel()
	for _, r := range []struct {
		name, from, repair, why string
		beside                  bool
	}{
		{name: "put back", from: "mesh:v1", repair: "mesh:v1", why: "ImagePullBackOff"},
		{name: "put back beside the application", from: "mesh:v1", repair: "mesh:v1", why: "ImagePullBackOff", beside: true},
		{name: "gone on to a better one", from: "mesh:v1", repair: "mesh:v2", why: "ImagePullBackOff"},
		// Of a native sidecar that ended well the kubelet does not say why it is not started again: that is found by its absence.
		{name: "put back after one that ended well", from: "mesh:polite-v1", repair: "mesh:polite-v1", why: "was not started again"},
	} {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			m := newMate(newPort(t))
			m.beside["mesh"] = r.beside
			m.set("mesh", r.from, `{maxUnavailable: "100%"}`)
			m.app("Deployment", 6, "v1")
			m.serving(6)
			before := m.identities(ipsMember)
			m.asks(func(m *mate) { m.least = 5 })
			m.image("mesh", "mesh:bad-v2")
			m.eventually("the condition says why", func() (bool, string) {
				said := m.says("mesh", "PodsFailing")
				return strings.Contains(said, "container mesh") && strings.Contains(said, r.why), said
			})
			if n := m.with("mesh:bad-v2"); n != 1 {
				t.Errorf("%d pods got the bad sidecar; want one, though all may be unavailable", n)
			}
			m.image("mesh", r.repair)
			m.says("mesh", "Complete")
			if n := m.with(r.repair); n != 6 {
				t.Errorf("%d of 6 pods have %s", n, r.repair)
			}
			if got := m.identities(ipsMember); fmt.Sprint(got) != fmt.Sprint(before) {
				t.Errorf("pods are %v; want the same as before: %v", got, before)
			}
			m.noFaults()
		})
	}
}

func TestTwoSetsOnAPod(t *testing.T) {
	t.Parallel()
	m := newMate(newPort(t))
	m.beside["mesh"] = true
	m.set("mesh", "mesh:v1", `{maxUnavailable: 2}`)
	m.set("logs", "logs:v1", `{maxUnavailable: 2}`)
	m.app("Deployment", 4, "v1")
	m.serving(4)
	m.asks(func(m *mate) { m.least = 2 })
	m.image("mesh", "mesh:v2")
	m.image("logs", "logs:v2")
	m.says("mesh", "Complete")
	m.says("logs", "Complete")
	if a, b := m.with("mesh:v2"), m.with("logs:v2"); a != 4 || b != 4 {
		t.Errorf("%d pods have mesh:v2 and %d logs:v2; want 4 of both", a, b)
	}
	m.restarted("mesh", 4, 1)
	m.restarted("logs", 4, 1)

	// A pod in which one fails is left alone by the other, which says for whom it waits, until it is repaired.
	m.image("mesh", "mesh:bad-v3")
	m.says("mesh", "PodsFailing")
	m.image("logs", "logs:v3")
	m.eventually("logs waits for mesh", func() (bool, string) {
		said := m.says("logs", "Moving")
		return strings.Contains(said, "1 wait for the change that SidecarSet/"+m.named("mesh")+" makes of them"), said
	})
	for _, pod := range m.live() {
		if has := sidecarImages(&pod); strings.Contains(has, "mesh:bad-v3") && !strings.Contains(has, "logs:v2") {
			t.Errorf("%s has %s: its change by mesh is not done", pod.Name, has)
		}
	}
	m.image("mesh", "mesh:v3")
	m.says("mesh", "Complete")
	m.says("logs", "Complete")
	if a, b := m.with("mesh:v3"), m.with("logs:v3"); a != 4 || b != 4 {
		t.Errorf("%d pods have mesh:v3 and %d logs:v3; want 4 of both", a, b)
	}
	m.noFaults()
}

func TestAnInPlaceSetAndASidecarSetTakeTurns(t *testing.T) {
	t.Parallel()
	m := newMate(newPort(t))
	m.service()
	m.set("mesh", "mesh:v1", `{maxUnavailable: 1, drain: true, gracePeriodSeconds: 0}`)
	m.app("InPlaceSet", 4, "v1")
	m.serving(4)
	before := m.identities(ipsMember)
	m.asks(func(m *mate) { m.appRestarts, m.drained, m.least = true, true, 2 })
	m.kubectl(ipsMember, "", "patch", "inplaceset/inplaceset", "-n", m.ns, "--type=merge", "-p", `{"spec":{"template":{"spec":{"containers":[{"name":"app","image":"web:v2"}]}}}}`)
	m.image("mesh", "mesh:v2")
	m.says("mesh", "Complete")
	m.kubectl(ipsMember, "", "wait", "inplaceset/inplaceset", "-n", m.ns, "--for=jsonpath={.status.updatedAvailableReplicas}=4", "--timeout=60s")
	m.serving(4)
	m.restarted("app", 4, 1)
	m.restarted("mesh", 4, 1)
	for _, pod := range m.live() {
		if app := pod.Spec.Containers[0].Image; app != "web:v2" || sidecarImages(&pod) != "mesh=mesh:v2" {
			t.Errorf("%s runs %s with %s", pod.Name, app, sidecarImages(&pod))
		}
	}
	if got := m.identities(ipsMember); fmt.Sprint(got) != fmt.Sprint(before) {
		t.Errorf("pods are %v; want the same as before: %v", got, before)
	}
	m.noFaults()
}

func TestDrainTakesAPodOutOfServiceBeforeItsSidecarChanges(t *testing.T) {
	t.Parallel()
	m := newMate(newPort(t))
	m.service()
	m.set("mesh", "mesh:v1", `{maxUnavailable: 2, drain: true, gracePeriodSeconds: 1}`)
	m.app("Deployment", 4, "v1")
	m.serving(4)
	m.asks(func(m *mate) { m.drained, m.least = true, 2 })
	m.image("mesh", "mesh:v2")
	m.says("mesh", "Complete")
	m.serving(4)
	m.restarted("mesh", 4, 1)
	m.noFaults()
}

func TestOnNextCreateWaits(t *testing.T) {
	t.Parallel()
	m := newMate(newPort(t))
	m.set("mesh", "mesh:v1", `{type: OnNextCreate}`)
	m.app("Deployment", 3, "v1")
	m.serving(3)
	before := m.identities(ipsMember)
	m.image("mesh", "mesh:v2")
	m.says("mesh", "WaitingForCreation")
	if got := m.identities(ipsMember); m.with("mesh:v2") != 0 || fmt.Sprint(got) != fmt.Sprint(before) {
		t.Errorf("%d pods were changed, and are %v; they were %v", m.with("mesh:v2"), got, before)
	}
	m.kubectl(ipsMember, "", "delete", "pod", m.live()[0].Name, "-n", m.ns)
	m.serving(3)
	m.until("mesh", "two wait", func(s *appsv1alpha1.SidecarSet) bool {
		return s.Status.WaitingForCreation == 2 && s.Status.Updated == 1
	})
	if n := m.with("mesh:v2"); n != 1 {
		t.Errorf("%d pods have the new sidecar; want the one that was created since", n)
	}
	m.noFaults()
}

func TestADeletedSetKeepsOrRebuildsItsPods(t *testing.T) {
	t.Parallel()
	t.Run("kept", func(t *testing.T) {
		t.Parallel()
		m := newMate(newPort(t))
		m.set("mesh", "mesh:v1", `{maxUnavailable: 1}`)
		m.app("Deployment", 3, "v1")
		m.serving(3)
		m.asks(func(m *mate) { m.least = 3 })
		m.kubectl(ipsMember, "", "delete", "sidecarset", m.named("mesh"), "--timeout=60s")
		if n := m.with("mesh:v1"); n != 3 {
			t.Errorf("%d of 3 pods keep the sidecar", n)
		}
		m.noFaults()
	})
	t.Run("rebuilt after they were drained, no more at a time than is let", func(t *testing.T) {
		t.Parallel()
		m := newMate(newPort(t))
		m.service()
		m.set("mesh", "mesh:v1", `{maxUnavailable: 1, drain: true, gracePeriodSeconds: 1}`, "  onDelete: Rebuild")
		m.app("Deployment", 3, "v1")
		m.app("InPlaceSet", 2, "v1")
		m.apply(ipsMember, fmt.Sprintf(`{apiVersion: v1, kind: Pod, metadata: {name: alone, namespace: %s, labels: {tier: web}}, spec: {containers: [{name: app, image: "web:v1"}]}}`, m.ns))
		m.apply(ipsMember, fmt.Sprintf(`{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {name: web, namespace: %s}, spec: {maxUnavailable: 1, selector: {matchLabels: {tier: web}}}}`, m.ns))
		m.serving(6)
		look := m.leaving()
		m.asks(func(m *mate) { m.least = 5 })
		m.kubectl(ipsMember, "", "delete", "sidecarset", m.named("mesh"), "--timeout=80s")
		m.serving(6)
		for _, pod := range m.live() {
			if has := sidecarImages(&pod) != ""; has != (pod.Name == "alone") {
				t.Errorf("%s has %q", pod.Name, sidecarImages(&pod))
			}
		}
		m.kubectl(ipsMember, "", "delete", "pdb", "web", "-n", m.ns)
		look.noFaults()
		m.noFaults()
		events := m.kubectl(ipsMember, "", "get", "events", "-n", "default", "--field-selector=involvedObject.name="+m.named("mesh"))
		for _, want := range []string{"Rebuilding", "LeftAlone", "alone"} {
			if !strings.Contains(events, want) {
				t.Errorf("no event says %s:\n%s", want, events)
			}
		}
	})
}

// Not parallel: other tests' pods would be missed, too.
func TestPodsThatTheWebhookMissedAreFound(t *testing.T) {
	m := newMate(newPort(t))
	m.set("mesh", "mesh:v1", `{maxUnavailable: 1}`)
	m.app("Deployment", 2, "v1")
	m.serving(2)
	// Creation times are whole seconds: what is made in the second in which the set began to match counts as older.
	m.eventually("another second has begun", func() (bool, string) {
		pod := must(m.kube[ipsMember].CoreV1().Pods(m.ns).Create(context.Background(), &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{GenerateName: "clock-"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "web:v1"}}}},
			metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}))(t)
		return pod.CreationTimestamp.After(m.get("mesh").Status.MatchingSince.Time), pod.CreationTimestamp.String()
	})
	m.webhookAway(func() {
		m.kubectl(ipsMember, "", "scale", "deployment/deployment", "-n", m.ns, "--replicas=4")
		m.serving(4)
	})
	m.until("mesh", "both are counted", func(s *appsv1alpha1.SidecarSet) bool { return s.Status.Missed == 2 && s.Status.Matched == 4 })
	m.eventually("an event tells", func() (bool, string) {
		events := m.kubectl(ipsMember, "", "get", "events", "-n", "default", "--field-selector=involvedObject.name="+m.named("mesh"))
		return strings.Contains(events, "PodsMissed"), events
	})
	said, code := m.missed("-n", m.ns, "--set", m.named("mesh"))
	if code != 1 || strings.Count(said, "ReplicaSet/deployment-") != 2 || !strings.Contains(said, "kubectl -n "+m.ns+" rollout restart deployment/deployment # 2 pods") {
		t.Errorf("exit code %d: %s", code, said)
	}
	text, _ := m.missed("-A", "--set", m.named("mesh"), "-o", "json")
	var found struct{ Pods []struct{ Name string } }
	if err := json.Unmarshal([]byte(text), &found); err != nil || len(found.Pods) != 2 {
		t.Errorf("%v: %s", err, text)
	}

	// What it says to do helps.
	command := strings.Fields(said[strings.Index(said, "kubectl -n "):strings.Index(said, " # 2 pods")])
	m.asks(func(m *mate) { m.least = 3 })
	m.kubectl(ipsMember, "", command[1:]...)
	m.until("mesh", "none is missed any more", func(s *appsv1alpha1.SidecarSet) bool { return s.Status.Missed == 0 && s.Status.Injected == 4 })
	m.serving(4)
	if said, code := m.missed("-n", m.ns, "--set", m.named("mesh")); code != 0 {
		t.Errorf("exit code %d: %s", code, said)
	}
	m.noFaults()
}

func TestASidecarSetIsGoneOnceItLetGo(t *testing.T) {
	t.Parallel()
	m := newMate(newPort(t))
	m.set("mesh", "mesh:v1", `{maxUnavailable: 1}`)
	m.app("Deployment", 2, "v1")
	m.serving(2)
	// Deleted in the middle of a change: nobody waits for a set that is gone.
	m.image("mesh", "mesh:slow-v2")
	m.says("mesh", "Moving")
	m.kubectl(ipsMember, "", "delete", "sidecarset", m.named("mesh"), "--timeout=60s")
	if _, err := m.apps[ipsMember].AppsV1alpha1().SidecarSets().Get(context.Background(), m.named("mesh"), metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("the set is there still: %v", err)
	}
	m.serving(2)
	m.noFaults()
}
