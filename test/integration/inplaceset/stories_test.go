//go:build integration

package inplaceset

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
)

func TestScalingOutWhilePodsDoNotComeUpAndThenRecovery(t *testing.T) {
	w := newWorld(t)
	w.create(3, atOnce, func(set *v1alpha1.InPlaceSet) { set.Spec.ScaleStrategy.MaxUnavailable = ptr.To(intstr.FromInt32(2)) })
	w.progressing("Complete")
	w.sleep("", true)
	w.spec(`{"replicas":10}`)
	w.until("two were made, and the rest waits for them", func() (bool, any) {
		message := w.message()
		return len(w.names()) == 5 && strings.Contains(message, "5 are made once"), fmt.Sprint(w.names(), message)
	})
	// One that was there is lost: it is made again at once, and nothing beside it.
	w.delete(w.names()[0])
	w.until("the lost one is back", func() (bool, any) { return len(w.names()) == 5, w.names() })
	w.sleep("", false)
	w.until("all ten are available", func() (bool, any) { s := w.get().Status; return s.AvailableReplicas == 10, s })
	w.progressing("Complete")
}

func TestAPausedSetCreatesAndReopensGatesButUpdatesNothing(t *testing.T) {
	w := newWorld(t)
	w.create(2, `{maxUnavailable: 1, gracePeriodSeconds: 3600}`)
	w.progressing("Complete")
	w.image("v2")
	w.until("a pod is out of service", func() (bool, any) { s := w.get().Status; return s.AvailableReplicas == 1, s })
	w.spec(`{"updateStrategy":{"paused":true},"replicas":3}`)
	w.until("it is back in service, and a third is there", func() (bool, any) {
		s := w.get().Status
		return s.AvailableReplicas == 3, s
	})
	w.progressing("Paused")
	if got := w.images(); got != "map[web:v1:2 web:v2:1]" {
		t.Errorf("pods run %s; want those that were there on v1", got)
	}
}

func TestNinetyNinePercentOfFourUpdatesOne(t *testing.T) {
	w := newWorld(t)
	w.create(4, `{maxUnavailable: "100%", gracePeriodSeconds: 0, partition: "99%"}`)
	w.progressing("Complete")
	w.image("v2")
	w.progressing("HeldBack")
	if got := w.images(); got != "map[web:v1:3 web:v2:1]" {
		t.Errorf("pods run %s; want one on v2", got)
	}
}

func TestASurgeNeverLeavesFewerThanReplicasAvailable(t *testing.T) {
	w := newWorld(t)
	w.create(3, `{maxUnavailable: 0, maxSurge: 1, gracePeriodSeconds: 0}`)
	w.progressing("Complete")
	ctx, cancel := context.WithCancel(t.Context())
	watched := w.least(ctx)
	w.image("v2")
	w.until("all run v2, and none is too many", func() (bool, any) { got := w.images(); return got == "map[web:v2:3]", got })
	w.progressing("Complete")
	cancel()
	if least := <-watched; least < 3 {
		t.Errorf("only %d pods were ready at a time; want 3 always", least)
	}
}

// least watches how many pods are ready with an open gate, until the context ends, and then tells the fewest.
func (w *world) least(ctx context.Context) <-chan int {
	out := make(chan int, 1)
	go func() {
		least := 1 << 20
		for ctx.Err() == nil {
			ready := 0
			l, err := admin.CoreV1().Pods(w.ns).List(ctx, metav1.ListOptions{LabelSelector: v1alpha1.LabelInPlaceSet + "=web"})
			if err != nil {
				continue
			}
			for i := range l.Items {
				pod := &l.Items[i]
				if pod.DeletionTimestamp == nil && conditionOf(pod, corev1.PodReady) == corev1.ConditionTrue && conditionOf(pod, v1alpha1.ReadinessGateInService) == corev1.ConditionTrue {
					ready++
				}
			}
			least = min(least, ready)
		}
		out <- least
	}()
	return out
}

func TestADisruptionBudgetHoldsTheChange(t *testing.T) {
	w := newWorld(t)
	w.create(3, atOnce)
	w.progressing("Complete")
	w.budget("web", policyv1.PodDisruptionBudgetStatus{CurrentHealthy: 3, DesiredHealthy: 3, ExpectedPods: 3})
	w.image("v2")
	w.until("the condition names the budget", func() (bool, any) {
		message := w.message()
		return strings.Contains(message, "3 wait for PodDisruptionBudget web"), message
	})
	if got := w.images(); got != "map[web:v1:3]" {
		t.Errorf("pods run %s while the budget lets none go", got)
	}
	w.until("an Event names it, too", func() (bool, any) { return w.told("WaitsForDisruptionBudget", "PodDisruptionBudget web") })

	ctx, cancel := context.WithCancel(t.Context())
	watched := w.least(ctx)
	w.budget("web", policyv1.PodDisruptionBudgetStatus{CurrentHealthy: 3, DesiredHealthy: 2, ExpectedPods: 3})
	w.progressing("Complete")
	cancel()
	if least := <-watched; least < 2 {
		t.Errorf("only %d pods were ready at a time; the budget wants 2", least)
	}
	if got := w.images(); got != "map[web:v2:3]" {
		t.Errorf("pods run %s; want v2", got)
	}
}

func TestTwoSetsUnderOneDisruptionBudgetNeverTakeTheSamePlace(t *testing.T) {
	w := newWorld(t)
	w.create(3, atOnce)
	second := w.get()
	second.ObjectMeta = metav1.ObjectMeta{Name: "also"}
	client := periplus.AppsV1alpha1().InPlaceSets(w.ns)
	if _, err := client.Create(t.Context(), second, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Delete(context.Background(), "also", metav1.DeleteOptions{}) })
	both := func(done func(s v1alpha1.InPlaceSetStatus) bool) func() (bool, any) {
		return func() (bool, any) {
			l, err := client.List(t.Context(), metav1.ListOptions{})
			if err != nil || len(l.Items) != 2 {
				return false, err
			}
			return done(l.Items[0].Status) && done(l.Items[1].Status), fmt.Sprint(l.Items[0].Status, l.Items[1].Status)
		}
	}
	w.until("both are whole", both(func(s v1alpha1.InPlaceSetStatus) bool {
		return s.AvailableReplicas == 3 && s.CurrentRevision == s.UpdateRevision
	}))
	w.budget("web", policyv1.PodDisruptionBudgetStatus{CurrentHealthy: 6, DesiredHealthy: 5, ExpectedPods: 6})

	ctx, cancel := context.WithCancel(t.Context())
	away := w.mostAway(ctx)
	for _, name := range []string{"web", "also"} {
		if _, err := client.Patch(t.Context(), name, types.MergePatchType, []byte(`{"spec":{"template":{"spec":{"containers":[{"name":"app","image":"web:v2"}]}}}}`), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	w.until("both run v2", both(func(s v1alpha1.InPlaceSetStatus) bool {
		return s.ObservedGeneration == 2 && s.UpdatedAvailableReplicas == 3 && s.CurrentRevision == s.UpdateRevision
	}))
	cancel()
	if most := <-away; most != 1 {
		t.Errorf("%d pods were out of service at a time; the budget lets 1 go", most)
	}
}

// mostAway follows every write of the namespace's pods until the context ends, and then tells how many at most had a closed gate or were not ready.
func (w *world) mostAway(ctx context.Context) <-chan int {
	w.t.Helper()
	l, err := admin.CoreV1().Pods(w.ns).List(ctx, metav1.ListOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	events, err := admin.CoreV1().Pods(w.ns).Watch(ctx, metav1.ListOptions{ResourceVersion: l.ResourceVersion})
	if err != nil {
		w.t.Fatal(err)
	}
	out := make(chan int, 1)
	go func() {
		defer events.Stop()
		most, away := 0, map[string]bool{}
		for e := range events.ResultChan() {
			if pod, ok := e.Object.(*corev1.Pod); ok {
				away[pod.Name] = conditionOf(pod, corev1.PodReady) != corev1.ConditionTrue || conditionOf(pod, v1alpha1.ReadinessGateInService) != corev1.ConditionTrue
				n := 0
				for _, is := range away {
					if is {
						n++
					}
				}
				most = max(most, n)
			}
		}
		out <- most
	}()
	return out
}

// budget writes a PodDisruptionBudget of all pods of the set and what the disruption controller says of it.
func (w *world) budget(name string, status policyv1.PodDisruptionBudgetStatus) {
	w.t.Helper()
	client := admin.PolicyV1().PodDisruptionBudgets(w.ns)
	budget := &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Name: name}}
	budget.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}
	budget.Spec.MaxUnavailable = ptr.To(intstr.FromInt32(1))
	budget, err := client.Create(w.t.Context(), budget, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		budget, err = client.Get(w.t.Context(), name, metav1.GetOptions{})
	}
	if err != nil {
		w.t.Fatal(err)
	}
	budget.Status = status
	budget.Status.ObservedGeneration = budget.Generation
	if _, err := client.UpdateStatus(w.t.Context(), budget, metav1.UpdateOptions{}); err != nil {
		w.t.Fatal(err)
	}
}

func TestADeleteByOthersInTheMiddleOfAChangeWithADeadBalancer(t *testing.T) {
	w := newWorld(t)
	w.create(2, `{maxUnavailable: 1, gracePeriodSeconds: 0, drainTimeoutSeconds: 2}`)
	w.progressing("Complete")
	name := w.names()[0]
	w.patchPod(name, `{"metadata":{"finalizers":["lb.periplus.dev/dead","example.com/keep"]}}`)
	w.image("v2")
	w.until("the balancer is waited for", func() (bool, any) { s := w.get().Status; return len(s.WaitingFor) == 1, s })
	uid := w.pods()[name].UID
	deleted := time.Now()
	w.delete(name)
	w.until("the balancer's finalizer is gone, and no other", func() (bool, any) {
		pod, err := admin.CoreV1().Pods(w.ns).Get(t.Context(), name, metav1.GetOptions{})
		return err == nil && slices.Equal(pod.Finalizers, []string{"example.com/keep"}), fmt.Sprint(err, pod.Finalizers)
	})
	if took := time.Since(deleted); took < time.Second { // the API server cuts seconds off.
		t.Errorf("the finalizer was taken %s after the delete; want drainTimeoutSeconds first", took)
	}
	w.until("an Event names the balancer", func() (bool, any) { return w.told("BalancerSilent", "lb.periplus.dev/dead") })
	w.patchPod(name, `{"metadata":{"finalizers":null}}`)
	w.until("all run v2", func() (bool, any) { got := w.images(); return got == "map[web:v2:2]", got })
	w.progressing("Complete")
	if pod := w.pods()[name]; pod != nil && pod.UID == uid {
		t.Error("the deleted pod is there still")
	}
}

func TestADeadBalancerHoldsNoPodOfASetThatIsGone(t *testing.T) {
	w := newWorld(t)
	w.create(1, `{maxUnavailable: 1, gracePeriodSeconds: 0, drainTimeoutSeconds: 1}`)
	w.progressing("Complete")
	name := w.names()[0]
	w.patchPod(name, `{"metadata":{"finalizers":["lb.periplus.dev/dead"]}}`)
	foreground := metav1.DeletePropagationForeground // the set stays until its pods are gone: it is being deleted all the time.
	if err := periplus.AppsV1alpha1().InPlaceSets(w.ns).Delete(t.Context(), "web", metav1.DeleteOptions{PropagationPolicy: &foreground}); err != nil {
		t.Fatal(err)
	}
	w.delete(name) // what the garbage collector does.
	w.until("the pod is gone", func() (bool, any) {
		_, err := admin.CoreV1().Pods(w.ns).Get(t.Context(), name, metav1.GetOptions{})
		return apierrors.IsNotFound(err), err
	})
	if _, err := periplus.AppsV1alpha1().InPlaceSets(w.ns).Patch(t.Context(), "web", types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
}

func TestScalingThroughTheSubresourceInACanaryKeepsThePartition(t *testing.T) {
	w := newWorld(t)
	w.create(4, `{maxUnavailable: "100%", gracePeriodSeconds: 0, partition: "75%"}`)
	w.progressing("Complete")
	w.image("v2")
	w.progressing("HeldBack")
	scale, err := periplus.AppsV1alpha1().InPlaceSets(w.ns).GetScale(t.Context(), "web", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if scale.Status.Selector != "app=web" || scale.Status.Replicas != 4 {
		t.Errorf("the subresource says %+v; want 4 pods of app=web", scale.Status)
	}
	scale.Spec.Replicas = 6
	if _, err := periplus.AppsV1alpha1().InPlaceSets(w.ns).UpdateScale(t.Context(), "web", scale, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	w.until("there are six, of which one is the canary", func() (bool, any) {
		got := w.images()
		return got == "map[web:v1:5 web:v2:1]" && w.get().Status.AvailableReplicas == 6, got
	})
	if p := w.get().Spec.UpdateStrategy.Partition; p.String() != "75%" {
		t.Errorf("the partition is %s; want it untouched", p)
	}
	w.progressing("HeldBack")
}

func TestAChangeThatStandsStillSaysSoAndGoesOnByItself(t *testing.T) {
	w := newWorld(t)
	w.create(1, atOnce, func(set *v1alpha1.InPlaceSet) { set.Spec.ProgressDeadlineSeconds = ptr.To[int32](2) })
	w.progressing("Complete")
	w.sleep("", true)
	w.image("v2")
	if message := w.progressing("ProgressDeadlineExceeded"); !strings.Contains(message, "2s") || !strings.Contains(message, "wait for the kubelet") {
		t.Errorf("says %q; want the deadline, and what is waited for", message)
	}
	w.sleep("", false)
	w.progressing("Complete")
}

func TestARebuiltPodAsksForItsNodeAndThenForAny(t *testing.T) {
	w := newWorld(t)
	w.create(1, `{type: ReCreate, maxUnavailable: 1, gracePeriodSeconds: 0, sameNodeSeconds: 2}`)
	w.progressing("Complete")
	old := w.names()[0]
	if err := admin.CoreV1().Pods(w.ns).Bind(t.Context(), &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Name: old}, Target: corev1.ObjectReference{Kind: "Node", Name: "n1"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	w.sleep("", true)
	w.image("v2")
	// The gate is closed; say for the kubelet that the pod is not ready.
	w.until("the gate is closed", func() (bool, any) {
		pod := w.pods()[old]
		return pod != nil && conditionOf(pod, v1alpha1.ReadinessGateInService) == corev1.ConditionFalse, pod
	})
	w.sleep("", false)
	w.until("another was made", func() (bool, any) { names := w.names(); return len(names) == 1 && names[0] != old, names })
	w.sleep("", true)
	pinned := w.pods()[w.names()[0]]
	if got := pinned.Annotations[v1alpha1.AnnotationSameNode]; !strings.HasPrefix(got, "n1 ") {
		t.Fatalf("annotation %q; want node n1", got)
	}
	terms := pinned.Spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
	if len(terms) != 1 || terms[0].MatchFields[0].Values[0] != "n1" {
		t.Errorf("asks for %+v; want node n1 alone", terms)
	}
	if _, err := admin.CoreV1().Pods(w.ns).Patch(t.Context(), pinned.Name, types.StrategicMergePatchType,
		[]byte(`{"status":{"phase":"Pending","conditions":[{"type":"PodScheduled","status":"False","reason":"Unschedulable"}]}}`), metav1.PatchOptions{}, "status"); err != nil {
		t.Fatal(err)
	}
	w.until("one that asks for no node took its place", func() (bool, any) {
		pods := w.pods()
		for name, pod := range pods {
			if name != pinned.Name && pod.Annotations[v1alpha1.AnnotationSameNode] == "" && pod.Spec.Affinity == nil && len(pods) == 1 {
				return true, nil
			}
		}
		return false, w.names()
	})
	none := int64(0)
	_ = admin.CoreV1().Pods(w.ns).Delete(t.Context(), old, metav1.DeleteOptions{GracePeriodSeconds: &none}) // its kubelet is played by nobody.
	w.sleep("", false)
	w.progressing("Complete")
}

func (w *world) message() string {
	if c := meta.FindStatusCondition(w.get().Status.Conditions, v1alpha1.ConditionProgressing); c != nil {
		return c.Message
	}
	return ""
}

// told says whether there is an Event in the namespace with this reason and these words.
func (w *world) told(reason, words string) (bool, any) {
	l, err := admin.CoreV1().Events(w.ns).List(context.Background(), metav1.ListOptions{})
	if err != nil {
		return false, err
	}
	var all []string
	for _, e := range l.Items {
		all = append(all, e.Reason+": "+e.Message)
		if e.Reason == reason && strings.Contains(e.Message, words) {
			return true, nil
		}
	}
	return false, all
}

func (w *world) delete(pod string) {
	w.t.Helper()
	if err := admin.CoreV1().Pods(w.ns).Delete(w.t.Context(), pod, metav1.DeleteOptions{}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) patchPod(pod, patch string) {
	w.t.Helper()
	if _, err := admin.CoreV1().Pods(w.ns).Patch(w.t.Context(), pod, types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
		w.t.Fatal(err)
	}
}
