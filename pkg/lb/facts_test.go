package lb

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
)

func TestHowAPodIsRead(t *testing.T) {
	const finalizer = v1alpha1.BalancerPrefix + "edge"
	gate := func(p *corev1.Pod) {
		p.Spec.ReadinessGates = []corev1.PodReadinessGate{{ConditionType: v1alpha1.ReadinessGateInService}}
	}
	condition := func(kind corev1.PodConditionType, status corev1.ConditionStatus) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: kind, Status: status})
		}
	}
	isReady := condition(corev1.PodReady, corev1.ConditionTrue)
	ip := func(p *corev1.Pod) { p.Status.PodIP = "10.0.0.1" }
	for _, c := range []struct {
		sentence string
		with     []func(*corev1.Pod)
		want     Pod
	}{
		{"ready without our gate, it serves", []func(*corev1.Pod){ip, isReady}, Pod{Address: here, Serves: true}},
		{"ready with the gate open, it serves", []func(*corev1.Pod){ip, gate, isReady, condition(v1alpha1.ReadinessGateInService, corev1.ConditionTrue)}, Pod{Address: here, Serves: true}},
		{"with the gate closed it leaves, though the kubelet still says ready", []func(*corev1.Pod){ip, gate, isReady, condition(v1alpha1.ReadinessGateInService, corev1.ConditionFalse)},
			Pod{Address: here, Leaving: true}},
		{"a gate that was never opened is closed", []func(*corev1.Pod){ip, gate}, Pod{Address: here, Leaving: true}},
		{"a condition of that name without the gate means nothing", []func(*corev1.Pod){ip, isReady, condition(v1alpha1.ReadinessGateInService, corev1.ConditionFalse)}, Pod{Address: here, Serves: true}},
		{"not ready, it neither serves nor leaves", []func(*corev1.Pod){ip, condition(corev1.PodReady, corev1.ConditionFalse)}, Pod{Address: here}},
		{"being deleted, it leaves", []func(*corev1.Pod){ip, isReady, func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{} }}, Pod{Address: here, Leaving: true}},
		{"ended, it leaves", []func(*corev1.Pod){ip, isReady, func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }}, Pod{Address: here, Leaving: true}},
		{"without an address it does not serve", []func(*corev1.Pod){isReady}, Pod{}},
		{"IPv6 is an address", []func(*corev1.Pod){isReady, func(p *corev1.Pod) { p.Status.PodIP = "fd00::1" }}, Pod{Address: netip.MustParseAddrPort("[fd00::1]:8080"), Serves: true}},
		{"our finalizer holds it, another's does not", []func(*corev1.Pod){ip, func(p *corev1.Pod) { p.Finalizers = []string{v1alpha1.BalancerPrefix + "other"} }}, Pod{Address: here}},
		{"our finalizer holds it", []func(*corev1.Pod){ip, func(p *corev1.Pod) { p.Finalizers = []string{"x/y", finalizer} }}, Pod{Address: here, Held: true}},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			pod := &corev1.Pod{}
			for _, with := range c.with {
				with(pod)
			}
			slimmed, err := slim(pod)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range []*corev1.Pod{pod, slimmed.(*corev1.Pod)} {
				if diff := cmp.Diff(&c.want, factsOf(p, 8080, finalizer), cmpopts.EquateComparable(netip.AddrPort{})); diff != "" {
					t.Errorf("(-want +got)\n%s", diff)
				}
			}
		})
	}
}

func TestAServersNameTellsItsPod(t *testing.T) {
	name := serverOf("web-0.a", types.UID("0a1b2c3d-1111-2222-3333-444455556666"))
	if name != "web-0.a_0a1b2c3d" {
		t.Errorf("serverOf = %q", name)
	}
	if pod, ok := podOf(name); !ok || pod != "web-0.a" {
		t.Errorf("podOf(%q) = %q, %v", name, pod, ok)
	}
	for _, theirs := range []string{"sorry", "web_1", "web_0a1b2c3", "Web_0a1b2c3d", "srv_01_0a1b2c3d"} {
		if pod, ok := podOf(theirs); ok {
			t.Errorf("podOf(%q) = %q: it is a server of the configuration", theirs, pod)
		}
	}
}
