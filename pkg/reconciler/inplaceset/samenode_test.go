package inplaceset

import (
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/inplace"
)

// leavingPod was taken out of service and deleted by its set at noon; it is named like its node.
func leavingPod(node, revision string, change ...func(*corev1.Pod)) *corev1.Pod {
	return podWith(node, revision, append([]func(*corev1.Pod){func(pod *corev1.Pod) {
		pod.UID, pod.Spec.NodeName = types.UID("uid-"+node), node
		grace := int64(30)
		pod.DeletionGracePeriodSeconds, pod.DeletionTimestamp = &grace, &metav1.Time{Time: noon.Add(30 * time.Second)}
		pod.Status.Conditions = []corev1.PodCondition{{Type: v1alpha1.ReadinessGateInService, Status: corev1.ConditionFalse, Reason: inplace.GateLeaving}}
	}}, change...)...)
}

// deletedBefore noon, by so much.
func deletedBefore(d time.Duration) func(*corev1.Pod) {
	return func(pod *corev1.Pod) { pod.DeletionTimestamp.Time = pod.DeletionTimestamp.Add(-d) }
}

// pinnedPod was made at a time, and asked for a node until a minute after noon.
func pinnedPod(node string, made time.Time, change ...func(*corev1.Pod)) *corev1.Pod {
	return podWith("for-"+node, "r2", append([]func(*corev1.Pod){func(pod *corev1.Pod) {
		pod.CreationTimestamp = metav1.Time{Time: made}
		pin(pod, node, noon.Add(time.Minute))
	}}, change...)...)
}

func TestWhichNodesAreAskedFor(t *testing.T) {
	for _, r := range []struct {
		name          string
		pods, leaving []*corev1.Pod
		set           func(*v1alpha1.InPlaceSet)
		scaledDown    string
		want          []string
	}{
		{name: "that of a pod that is rebuilt", leaving: []*corev1.Pod{leavingPod("n1", "r1")}, want: []string{"n1"}},
		{name: "that of each pod that is rebuilt", leaving: []*corev1.Pod{leavingPod("n1", "r1"), leavingPod("n1", "r1"), leavingPod("n2", "r1")}, want: []string{"n1", "n1", "n2"}},
		{name: "not twice", leaving: []*corev1.Pod{leavingPod("n1", "r1")}, pods: []*corev1.Pod{pinnedPod("n1", noon)}},
		{name: "again where what asked before was made for another", leaving: []*corev1.Pod{leavingPod("n1", "r1")}, pods: []*corev1.Pod{pinnedPod("n1", noon.Add(-time.Hour))}, want: []string{"n1"}},
		{name: "not again where what asked is being deleted itself", leaving: []*corev1.Pod{leavingPod("n1", "r1"), pinnedPod("n1", noon)}},
		{name: "not that of a pod on the update revision", leaving: []*corev1.Pod{leavingPod("n1", "r2")}},
		{name: "not that of a pod that somebody else deleted", leaving: []*corev1.Pod{leavingPod("n1", "r1", func(pod *corev1.Pod) { pod.Status.Conditions = nil })}},
		{name: "not that of a pod that never ran", leaving: []*corev1.Pod{leavingPod("n1", "r1", func(pod *corev1.Pod) { pod.Spec.NodeName = "" })}},
		{name: "not that of a pod that was too many", leaving: []*corev1.Pod{leavingPod("n1", "r1")}, scaledDown: "uid-n1"},
		{name: "not that of a pod that somebody wants gone", leaving: []*corev1.Pod{leavingPod("n1", "r1")}, set: func(s *v1alpha1.InPlaceSet) { s.Spec.ScaleStrategy.PodsToDelete = []string{"n1"} }},
		{name: "not that of a pod that was deleted longer ago than a pod waits for its node", leaving: []*corev1.Pod{leavingPod("n1", "r1", deletedBefore(31*time.Second)), leavingPod("n2", "r1", deletedBefore(30*time.Second))}, want: []string{"n2"}},
		{name: "none where that is not wanted", leaving: []*corev1.Pod{leavingPod("n1", "r1")}, set: func(s *v1alpha1.InPlaceSet) { s.Spec.UpdateStrategy.SameNodeSeconds = new(int32) }},
	} {
		t.Run(r.name, func(t *testing.T) {
			p := &pass{set: setOf("web", "u1"), now: noon, pods: r.pods, leaving: r.leaving, update: "r2"}
			p.plan.Create = []string{"r2"}
			if r.set != nil {
				r.set(p.set)
			}
			if got := p.freedNodes(map[types.UID]bool{types.UID(r.scaledDown): true}); !slices.Equal(got, r.want) {
				t.Errorf("asks for %v; want %v", got, r.want)
			}
		})
	}
}

func TestPinning(t *testing.T) {
	zone := corev1.NodeSelectorRequirement{Key: "zone", Operator: corev1.NodeSelectorOpIn, Values: []string{"a"}}
	pod := &corev1.Pod{}
	pod.Spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
		NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{zone}}, {}, {MatchExpressions: []corev1.NodeSelectorRequirement{zone}}},
	}}}
	pin(pod, "n1", noon)
	terms := pod.Spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
	if len(terms[0].MatchFields) != 1 || len(terms[2].MatchFields) != 1 || len(terms[0].MatchExpressions) != 1 {
		t.Errorf("terms are %+v; want the node beside what each wants already", terms)
	}
	if len(terms[1].MatchFields) != 0 {
		t.Error("an empty term, which matches no node, matches one now")
	}
	if node, until, ok := pinned(pod); !ok || node != "n1" || !until.Equal(noon) {
		t.Errorf("reads %s until %s, %t", node, until, ok)
	}
	for _, text := range []string{"", "n1", "n1 soon"} {
		pod.Annotations[v1alpha1.AnnotationSameNode] = text
		if _, _, ok := pinned(pod); ok {
			t.Errorf("annotation %q is read", text)
		}
	}
}

func TestWaitingForTheNode(t *testing.T) {
	for _, r := range []struct {
		name  string
		pod   *corev1.Pod
		now   time.Time
		left  time.Duration
		waits bool
	}{
		{name: "a pod that fits nowhere waits while it asks for a node", pod: pinnedPod("n1", noon, unschedulable), now: noon, left: time.Minute, waits: true},
		{name: "its time is up some time", pod: pinnedPod("n1", noon, unschedulable), now: noon.Add(time.Hour), left: -59 * time.Minute, waits: true},
		{name: "one that the scheduler has not looked at does not wait", pod: pinnedPod("n1", noon, starting), now: noon.Add(time.Hour)},
		{name: "one that was placed does not wait", pod: pinnedPod("n1", noon, unschedulable, func(pod *corev1.Pod) { pod.Spec.NodeName = "n1" }), now: noon.Add(time.Hour)},
		{name: "one that asks for no node does not wait", pod: podWith("a", "r2", unschedulable), now: noon.Add(time.Hour)},
	} {
		if left, waits := see(r.pod).waitsForNode(r.now); left != r.left || waits != r.waits {
			t.Errorf("%s: %s, %t; want %s, %t", r.name, left, waits, r.left, r.waits)
		}
	}
}
