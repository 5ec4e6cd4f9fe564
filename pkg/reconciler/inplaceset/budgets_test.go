package inplaceset

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	listers "github.com/periplus-dev/periplus/pkg/client/listers/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/inplace"
	"github.com/periplus-dev/periplus/pkg/taken"
)

// budgetedPod is ready and selected by the budgets of these tests.
func budgetedPod(name string, change ...func(*corev1.Pod)) *corev1.Pod {
	return podWith(name, "r1", append([]func(*corev1.Pod){func(pod *corev1.Pod) {
		pod.Namespace, pod.UID, pod.Labels["app"] = "shop", types.UID("uid-"+name), "web"
	}}, change...)...)
}

func closedPod(pod *corev1.Pod) {
	pod.Status.Conditions = append(pod.Status.Conditions, corev1.PodCondition{
		Type: v1alpha1.ReadinessGateInService, Status: corev1.ConditionFalse, Reason: inplace.GateChanging,
	})
}

func TestHowManyABudgetLetsGo(t *testing.T) {
	three := []*corev1.Pod{budgetedPod("a"), budgetedPod("b"), budgetedPod("c")}
	for _, r := range []struct {
		name    string
		pods    []*corev1.Pod
		status  policyv1.PodDisruptionBudgetStatus
		unseen  bool
		closing string
		// replicas of a set under the budget; none where 0.
		replicas int32
		want     int32
	}{
		{name: "those of ours that are healthy beyond what it wants", pods: three, status: policyv1.PodDisruptionBudgetStatus{CurrentHealthy: 3, DesiredHealthy: 2, ExpectedPods: 3}, want: 1},
		{name: "none while its controller has not seen what it wants", pods: three, status: policyv1.PodDisruptionBudgetStatus{CurrentHealthy: 3, ExpectedPods: 3}, unseen: true},
		{name: "none while its controller cannot count", pods: three, status: policyv1.PodDisruptionBudgetStatus{
			CurrentHealthy: 3, ExpectedPods: 3, Conditions: []metav1.Condition{{Type: policyv1.DisruptionAllowedCondition, Reason: policyv1.SyncFailedReason}},
		}},
		{name: "one that is not ready is not healthy", pods: append(slices.Clone(three[:2]), budgetedPod("c", starting)), status: policyv1.PodDisruptionBudgetStatus{CurrentHealthy: 3, DesiredHealthy: 2, ExpectedPods: 3}},
		{name: "one whose gate is closed is not healthy, though its kubelet lags", pods: append(slices.Clone(three[:2]), budgetedPod("c", closedPod)), status: policyv1.PodDisruptionBudgetStatus{CurrentHealthy: 3, DesiredHealthy: 2, ExpectedPods: 3}},
		{name: "one whose gate is being closed is not healthy", pods: three, closing: "uid-b", status: policyv1.PodDisruptionBudgetStatus{CurrentHealthy: 3, DesiredHealthy: 2, ExpectedPods: 3}},
		{name: "one that was evicted is not healthy", pods: three, status: policyv1.PodDisruptionBudgetStatus{
			CurrentHealthy: 3, DesiredHealthy: 2, ExpectedPods: 3, DisruptedPods: map[string]metav1.Time{"a": {}},
		}},
		{name: "one that is being deleted does not count at all", pods: append(slices.Clone(three), budgetedPod("d", func(pod *corev1.Pod) { pod.DeletionTimestamp = &metav1.Time{Time: noon} })), status: policyv1.PodDisruptionBudgetStatus{CurrentHealthy: 4, DesiredHealthy: 2, ExpectedPods: 3}, want: 1},
		{name: "one that it does not select does not count", pods: append(slices.Clone(three), budgetedPod("d", func(pod *corev1.Pod) { pod.Labels["app"] = "db" })), status: policyv1.PodDisruptionBudgetStatus{CurrentHealthy: 3, DesiredHealthy: 2, ExpectedPods: 3}, want: 1},
		{name: "of others' pods, what is healthy for sure", pods: three, status: policyv1.PodDisruptionBudgetStatus{CurrentHealthy: 5, DesiredHealthy: 4, ExpectedPods: 6}, want: 1},
		{name: "one of ours that is missing is no other's, though a count that lags has it", pods: three, replicas: 4, status: policyv1.PodDisruptionBudgetStatus{CurrentHealthy: 4, DesiredHealthy: 3, ExpectedPods: 4}},
		{name: "one of ours that is being deleted is no other's, though a count that lags has it", pods: append(slices.Clone(three), budgetedPod("d", func(pod *corev1.Pod) { pod.DeletionTimestamp = &metav1.Time{Time: noon} })), status: policyv1.PodDisruptionBudgetStatus{CurrentHealthy: 4, DesiredHealthy: 3, ExpectedPods: 5}},
		{name: "where all are ours, a count that lags adds none of others", pods: three, status: policyv1.PodDisruptionBudgetStatus{CurrentHealthy: 5, DesiredHealthy: 2, ExpectedPods: 3}, want: 1},
	} {
		t.Run(r.name, func(t *testing.T) {
			pods := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
			for _, pod := range r.pods {
				if err := pods.Add(pod); err != nil {
					t.Fatal(err)
				}
			}
			budget := &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", Generation: 2}, Status: r.status}
			budget.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}
			if budget.Status.ObservedGeneration = 2; r.unseen {
				budget.Status.ObservedGeneration = 1
			}
			budgets := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
			kept, err := onlyCounts(budget)
			if err != nil {
				t.Fatal(err)
			}
			if err := budgets.Add(kept); err != nil {
				t.Fatal(err)
			}
			sets := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
			if r.replicas > 0 {
				set := &v1alpha1.InPlaceSet{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"}, Spec: v1alpha1.InPlaceSetSpec{Replicas: &r.replicas}}
				set.Spec.Template.Labels = map[string]string{"app": "web"}
				if err := sets.Add(set); err != nil {
					t.Fatal(err)
				}
			}
			rec := &reconciler{sets: listers.NewInPlaceSetLister(sets), pods: pods, budgets: budgets}
			all, err := rec.disruptionsIn("shop")
			if err != nil || len(all) != 1 {
				t.Fatalf("found %d budgets, %v", len(all), err)
			}
			if got := rec.left(&all[0], func(uid types.UID) bool { return string(uid) == r.closing }); got != r.want {
				t.Errorf("lets %d go; want %d", got, r.want)
			}
		})
	}
}

func TestTwoSetsNeverTakeTheLastPlaceOfABudget(t *testing.T) {
	a, b := types.NamespacedName{Namespace: "shop", Name: "a"}, types.NamespacedName{Namespace: "shop", Name: "b"}
	l := newLedger(nil)
	pod := budgetedPod("x", atVersion("1"))
	take := func(set types.NamespacedName) (saw bool) {
		l.Decide(by(set), func(see taken.View) []*corev1.Pod {
			if saw = see(pod.UID, taken.By{}); saw {
				return nil
			}
			return []*corev1.Pod{pod}
		})
		if saw {
			l.waits(set, map[string]int32{"web": 1})
		} else {
			l.waits(set, nil)
		}
		return saw
	}
	if take(a) {
		t.Error("the first set sees a gate being closed that nobody closes")
	}
	if !take(b) {
		t.Error("the second set does not see what the first is closing")
	}
	if got := l.budgetChanged(types.NamespacedName{Namespace: "shop", Name: "web"}); !slices.Equal(got, []types.NamespacedName{b}) {
		t.Errorf("a change of the budget wakes %v; want the set that waits", got)
	}
	if got := l.budgetChanged(types.NamespacedName{Namespace: "shop", Name: "other"}); len(got) != 0 {
		t.Errorf("a change of another budget wakes %v", got)
	}
	if got := l.keep(a, func(types.UID) bool { return true }); len(got) != 0 || !take(b) {
		t.Errorf("a gate that is still being closed was let go: %v", got)
	}
	if got := l.keep(a, func(types.UID) bool { return false }); !slices.Equal(got, []types.NamespacedName{b}) || l.Takes(by(a)) {
		t.Errorf("a write that failed wakes %v; want the set that waits", got)
	}
	take(a)
	if got := l.podChanged(pod, pod); len(got) != 0 || !l.Takes(by(a)) {
		t.Error("an event of a pod whose gate is open settles its closing")
	}
	shut := budgetedPod("x", closedPod, atVersion("2"))
	if l.podChanged(pod, shut); l.Takes(by(a)) {
		t.Error("the closing is remembered though the informer shows it")
	}
	take(b)
	l.waits(a, map[string]int32{"web": 2})
	if got := l.podChanged(shut, pod); !slices.Contains(got, a) {
		t.Errorf("a pod that serves again wakes %v; want the set that waits", got)
	}
}

func atVersion(version string) func(*corev1.Pod) {
	return func(pod *corev1.Pod) { pod.ResourceVersion = version }
}

func TestWhatASidecarSetTakesTheInPlaceSetCountsAsUnavailable(t *testing.T) {
	carries := func(pod *corev1.Pod) { pod.Labels[v1alpha1.LabelSidecars] = "injected" }
	s := newShop(t, 2, nil, []corev1.PodTemplateSpec{shopTemplate("web:v1"), shopTemplate("web:v2")}, shopPod("web-1", "r1", "web:v1", carries), shopPod("web-2", "r1", "web:v1", carries))
	s.start()
	register, mesh := s.parts.Taken, taken.By{Kind: "SidecarSet", NamespacedName: types.NamespacedName{Name: "mesh"}}
	var woken []types.NamespacedName
	s.woken = func(key types.NamespacedName) { woken = append(woken, key) }
	register.Decide(mesh, func(taken.View) []*corev1.Pod {
		o, _, err := s.parts.Pods.GetIndexer().GetByKey("shop/web-1")
		s.ok(err)
		return []*corev1.Pod{o.(*corev1.Pod)}
	})
	seen := false
	s.kube.PrependReactor("patch", "pods", func(clienttesting.Action) (bool, runtime.Object, error) {
		register.Decide(mesh, func(see taken.View) []*corev1.Pod { seen = see("uid-web-1", mesh); return nil })
		return false, nil, nil
	})
	s.run()
	if !seen {
		t.Error("while the set takes a pod, others do not see it")
	}
	for _, action := range s.kube.Actions() { // that one it may: one of the two writes fails.
		if patch, ok := action.(clienttesting.PatchAction); !ok || patch.GetName() != "web-1" {
			t.Fatalf("the set takes another pod: %v", action)
		}
	}
	register.Keep(mesh, func(types.UID) bool { return false })
	if !slices.Contains(woken, keyOf(s.set)) {
		t.Errorf("woken: %v; want the set, since the pod was given back", woken)
	}
}
