//go:build integration

package inplaceset

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
)

const atOnce = `{maxUnavailable: "100%", gracePeriodSeconds: 0}`

func TestAChangeIsThreeWritesAPodAndRestIsNone(t *testing.T) {
	w := newWorld(t)
	w.create(5, atOnce)
	w.progressing("Complete")
	pods := "/namespaces/" + w.ns + "/pods"
	if creates, gates := writes.of("POST", pods), writes.of("PATCH", pods, "/status"); creates != 5 || gates != 5 {
		t.Errorf("5 pods were made with %d creates and %d writes of gates; want 5 and 5", creates, gates)
	}
	before := w.pods()
	was := writes.of(pods)
	w.image("v2")
	w.progressing("Complete")
	// A conflict with the kubelet is a write that was not made.
	if n := writes.of(pods) - was - conflicts(pods); n != 15 {
		t.Errorf("5 pods were changed with %d writes; want 15", n)
	}
	for name, pod := range w.pods() {
		if before[name] == nil || before[name].UID != pod.UID || pod.Spec.Containers[0].Image != "web:v2" {
			t.Errorf("%s is not the pod that it was, or runs %s", name, pod.Spec.Containers[0].Image)
		}
	}
	status := "/inplacesets/web/status"
	if n := writes.of(status, w.ns); n > 12 {
		t.Errorf("the status was written %d times in a creation and a change; want it coalesced", n)
	}
	// A set at rest is written by nobody, whatever wakes it. Its last Event is written a moment after its status.
	w.until("the Event that tells of the end is written", func() (bool, any) {
		l, err := admin.CoreV1().Events(w.ns).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			return false, err
		}
		told := slices.ContainsFunc(l.Items, func(e corev1.Event) bool {
			return e.Reason == "Complete" && strings.Contains(e.Message, w.get().Status.UpdateRevision)
		})
		return told, l.Items
	})
	events := "/namespaces/" + w.ns + "/events"
	w.until("it is in the log, too", func() (bool, any) {
		l, err := admin.CoreV1().Events(w.ns).List(t.Context(), metav1.ListOptions{})
		return err == nil && writes.of("POST", events) >= len(l.Items), writes.since(w.ns, 0)
	})
	all := writes.of(w.ns)
	set := w.get()
	if _, err := periplus.AppsV1alpha1().InPlaceSets(w.ns).Patch(t.Context(), "web", types.MergePatchType, []byte(`{"metadata":{"annotations":{"a":"b"}}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	w.spec(`{"revisionHistoryLimit":9}`)
	// What is written is seen by a reader a moment before it is in the log.
	w.until("a write is in the log", func() (bool, any) { return writes.of(w.ns) > all, nil })
	if n := writes.of(w.ns) - all; n != 1 {
		t.Errorf("taking up generation %d of a set at rest took %d writes; want the status alone: %q", set.Generation+1, n, writes.since(w.ns, all))
	}
}

func conflicts(path string) int { return writes.of(path, " 409") }

func TestAPodIsNotTouchedWhileASliceListsIt(t *testing.T) {
	w := newWorld(t)
	w.create(1, `{maxUnavailable: 1, gracePeriodSeconds: 1}`)
	w.progressing("Complete")
	pod := w.pods()[w.names()[0]]
	w.slice(true, pod)
	w.image("v2")
	w.until("the set waits for the slice", func() (bool, any) {
		s := w.get().Status
		return strings.Contains(fmt.Sprint(s.Conditions), "no EndpointSlice lists them"), s.Conditions
	})
	if got := w.pods()[pod.Name]; got.Spec.Containers[0].Image != "web:v1" || conditionOf(got, corev1.PodReady) != corev1.ConditionFalse {
		t.Errorf("while a slice lists it the pod runs %s and is ready: %s", got.Spec.Containers[0].Image, conditionOf(got, corev1.PodReady))
	}
	left := time.Now()
	w.slice(true)
	w.progressing("Complete")
	if took := time.Since(left); took < time.Second {
		t.Errorf("the pod was changed %s after the slice let go of it; want the grace period of a second first", took)
	}
}

func TestASliceThatListsThePodAgainStartsTheWaitAnew(t *testing.T) {
	w := newWorld(t)
	w.create(1, `{maxUnavailable: 1, gracePeriodSeconds: 2}`)
	w.progressing("Complete")
	pod := w.pods()[w.names()[0]]
	w.image("v2")
	w.until("the pod is in its grace period", func() (bool, any) {
		c := w.get().Status.Conditions
		return strings.Contains(fmt.Sprint(c), "1 are in their grace period"), c
	})
	w.slice(true, pod) // a slice controller that lags
	w.until("the set saw it, or the pod was changed", func() (bool, any) {
		_, err := admin.CoreV1().Pods(w.ns).Patch(t.Context(), pod.Name, types.MergePatchType, []byte(`{"metadata":{"annotations":{"seen":"yes"}}}`), metav1.PatchOptions{})
		c := w.get().Status.Conditions
		return err == nil && strings.Contains(fmt.Sprint(c), "no EndpointSlice lists them"), c
	})
	left := time.Now()
	w.slice(true)
	w.progressing("Complete")
	if took := time.Since(left); took < 2*time.Second {
		t.Errorf("the pod was changed %s after it was listed last; want all of the 2 s", took)
	}
}

func TestAServiceThatPublishesWhatIsNotReadyIsNamedAndNotWaitedFor(t *testing.T) {
	w := newWorld(t)
	w.create(1, `{maxUnavailable: 1, gracePeriodSeconds: 2}`)
	w.progressing("Complete")
	pod := w.pods()[w.names()[0]]
	w.slice(false, pod) // ready, and yet not serving: that is publishNotReadyAddresses.
	w.image("v2")
	w.until("the Service is named", func() (bool, any) {
		c := w.get().Status.Conditions
		return strings.Contains(fmt.Sprint(c), "Service web publishes pods that are not ready"), c
	})
	w.progressing("Complete")
}

func TestPodsOfOthersAreLeftAlone(t *testing.T) {
	w := newWorld(t)
	w.create(2, atOnce)
	w.progressing("Complete")
	mine := w.names()

	// One that only looks like ours, one that lost our label, and one whose labels the selector does not match any more.
	other := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "stranger", Labels: map[string]string{"app": "web", v1alpha1.LabelInPlaceSet: "web"}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "web:v1"}}},
	}
	if _, err := admin.CoreV1().Pods(w.ns).Create(t.Context(), other, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for pod, patch := range map[string]string{
		mine[0]: `{"metadata":{"labels":{"` + v1alpha1.LabelInPlaceSet + `":null}}}`,
		mine[1]: `{"metadata":{"labels":{"app":"debug"}}}`,
	} {
		if _, err := admin.CoreV1().Pods(w.ns).Patch(t.Context(), pod, types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	w.until("two others took their places", func() (bool, any) {
		s := w.get().Status
		return s.AvailableReplicas == 2 && len(w.names()) == 4, fmt.Sprint(w.names(), s) // the stranger and the one to debug have our label.
	})
	w.image("v2")
	w.progressing("Complete")
	for _, name := range append(mine, "stranger") {
		pod, err := admin.CoreV1().Pods(w.ns).Get(t.Context(), name, metav1.GetOptions{})
		if err != nil || pod.Spec.Containers[0].Image != "web:v1" {
			t.Errorf("%s was touched: %v", name, err)
		}
	}
}

func TestANameThatSomebodyElseHasIsPassedOver(t *testing.T) {
	w := newWorld(t)
	w.create(1, atOnce)
	w.progressing("Complete")
	first := w.names()[0]
	// The name is free for a moment only: a finalizer-free delete, then a stranger, while the controller makes its own.
	w.spec(`{"replicas":0}`)
	w.until("there is no pod", func() (bool, any) { return len(w.names()) == 0, w.names() })
	stranger := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: first}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "other:v1"}}}}
	if _, err := admin.CoreV1().Pods(w.ns).Create(t.Context(), stranger, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	w.spec(`{"replicas":2}`)
	w.until("two pods are available under other names", func() (bool, any) {
		return w.get().Status.AvailableReplicas == 2 && !slices.Contains(w.names(), first), w.names()
	})
}

func TestAQuotaIsNamedAndAskedAgain(t *testing.T) {
	w := newWorld(t)
	quota := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "few"}, Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{corev1.ResourcePods: resource.MustParse("2")}}}
	quota, err := admin.CoreV1().ResourceQuotas(w.ns).Create(t.Context(), quota, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	quota.Status.Hard = quota.Spec.Hard // no controller manager does that here.
	quota.Status.Used = corev1.ResourceList{corev1.ResourcePods: resource.MustParse("0")}
	if _, err := admin.CoreV1().ResourceQuotas(w.ns).UpdateStatus(t.Context(), quota, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	w.create(40, atOnce)
	if message := w.progressing("CreateFailed"); !strings.Contains(message, "exceeded quota: few") {
		t.Errorf("says %q; want the quota's name", message)
	}
	if refused := writes.of("POST", w.ns+"/pods", " 403"); refused > 30 {
		t.Errorf("the quota was asked %d times for pods that it refuses", refused)
	}
	if err := admin.CoreV1().ResourceQuotas(w.ns).Delete(t.Context(), "few", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	w.progressing("Complete")
}

func TestHistoryIsKeptToItsLimitAndARevisionThatComesBackIsTheSame(t *testing.T) {
	w := newWorld(t)
	w.create(1, atOnce)
	w.progressing("Complete")
	first := w.get().Status.UpdateRevision
	w.spec(`{"revisionHistoryLimit":2}`)
	for _, tag := range []string{"v2", "v3", "v4", "v5"} {
		w.image(tag)
		w.progressing("Complete")
	}
	w.until("the oldest are gone", func() (bool, any) { h := w.history(); return len(h) == 3, h })
	fourth := w.history()[1]
	w.image("v4")
	w.progressing("Complete")
	if s := w.get().Status; s.UpdateRevision != fourth || s.CurrentRevision != fourth || w.history()[2] != fourth {
		t.Errorf("v4 came back as %s, of %v; want %s, and the newest", s.UpdateRevision, w.history(), fourth)
	}
	w.image("v1")
	w.progressing("Complete")
	if s := w.get().Status; s.UpdateRevision != first {
		t.Errorf("v1 came back as %s; want %s, which is made of the template alone", s.UpdateRevision, first)
	}
}

// history of the set, oldest first.
func (w *world) history() []string {
	w.t.Helper()
	l, err := admin.AppsV1().ControllerRevisions(w.ns).List(context.Background(), metav1.ListOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	slices.SortFunc(l.Items, func(a, b appsv1.ControllerRevision) int { return int(a.Revision - b.Revision) })
	var out []string
	for _, r := range l.Items {
		out = append(out, strings.TrimPrefix(r.Name, "web-"))
	}
	return out
}

func TestWhatTheSchemaCannotSeeMovesNothing(t *testing.T) {
	w := newWorld(t)
	w.create(2, atOnce)
	w.progressing("Complete")
	revisions := len(w.history())
	w.spec(`{"replicas":5,"template":{"spec":{"activeDeadlineSeconds":60,"containers":[{"name":"app","image":"web:v2"}]}}}`)
	if message := w.progressing("InvalidSpec"); !strings.Contains(message, "spec.template.spec.activeDeadlineSeconds") {
		t.Errorf("says %q; want the field", message)
	}
	if got := w.images(); got != "map[web:v1:2]" || len(w.history()) != revisions {
		t.Errorf("pods run %s, and there are %d revisions; want nothing to move", got, len(w.history()))
	}
	w.spec(`{"template":{"spec":{"activeDeadlineSeconds":null}}}`)
	w.until("it went on", func() (bool, any) { got := w.images(); return got == "map[web:v2:5]", got })
}

func TestARevisionThatWasDeletedIsNamedAndHowToGoOn(t *testing.T) {
	w := newWorld(t)
	w.create(2, `{maxUnavailable: 2, gracePeriodSeconds: 0, partition: "100%"}`)
	w.progressing("Complete")
	first := w.get().Status.CurrentRevision
	w.image("v2")
	w.progressing("HeldBack")
	if err := admin.AppsV1().ControllerRevisions(w.ns).Delete(t.Context(), "web-"+first, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := admin.CoreV1().Pods(w.ns).Delete(t.Context(), w.names()[0], metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if message := w.progressing("RevisionMissing"); !strings.Contains(message, "web-"+first) || !strings.Contains(message, "partition to 0") {
		t.Errorf("says %q; want the object and the way out", message)
	}
	if got := w.images(); got != "map[web:v1:1]" {
		t.Errorf("pods run %s; what was held back came up", got)
	}
	w.spec(`{"updateStrategy":{"partition":0}}`)
	w.until("it went on", func() (bool, any) { got := w.images(); return got == "map[web:v2:2]", got })
}

func TestStatusThatWasLostDoesNotLetGoWhatWasHeldBack(t *testing.T) {
	w := newWorld(t)
	w.create(2, `{maxUnavailable: 2, gracePeriodSeconds: 0, partition: "100%"}`)
	w.progressing("Complete")
	w.image("v2")
	w.progressing("HeldBack")
	if _, err := periplus.AppsV1alpha1().InPlaceSets(w.ns).Patch(t.Context(), "web", types.MergePatchType,
		[]byte(`{"status":{"currentRevision":null,"updateRevision":null}}`), metav1.PatchOptions{}, "status"); err != nil {
		t.Fatal(err)
	}
	w.spec(`{"replicas":3}`)
	w.until("the third pod is there", func() (bool, any) { return len(w.names()) == 3, w.names() })
	if got := w.images(); got != "map[web:v1:3]" {
		t.Errorf("pods run %s; want the held back template on none", got)
	}
}

func TestAGateThatSomebodyOpensInTheMiddleDoesNotLetThePodBeChangedInService(t *testing.T) {
	w := newWorld(t)
	w.create(1, `{maxUnavailable: 1, gracePeriodSeconds: 2}`)
	w.progressing("Complete")
	name := w.names()[0]
	w.image("v2")
	w.until("the pod is out of service", func() (bool, any) {
		pod := w.pods()[name]
		return conditionOf(pod, corev1.PodReady) == corev1.ConditionFalse, pod.Status.Conditions
	})
	opened := time.Now()
	if _, err := admin.CoreV1().Pods(w.ns).Patch(t.Context(), name, types.StrategicMergePatchType,
		[]byte(`{"status":{"conditions":[{"type":"`+v1alpha1.ReadinessGateInService+`","status":"True"}]}}`), metav1.PatchOptions{}, "status"); err != nil {
		t.Fatal(err)
	}
	w.until("the pod was changed", func() (bool, any) { got := w.images(); return got == "map[web:v2:1]", got })
	if took := time.Since(opened); took < 2*time.Second {
		t.Errorf("the pod was changed %s after it was back in service; want the gate and all of the grace period again", took)
	}
}

func TestADamagedRecordHealsByItself(t *testing.T) {
	w := newWorld(t)
	w.create(1, `{maxUnavailable: 1, gracePeriodSeconds: 1}`)
	w.progressing("Complete")
	name := w.names()[0]
	w.image("v2")
	w.until("the pod is in its grace period", func() (bool, any) {
		pod := w.pods()[name]
		return conditionOf(pod, corev1.PodReady) == corev1.ConditionFalse, pod.Status.Conditions
	})
	w.sleep("", true)
	w.until("the pod is patched", func() (bool, any) { got := w.images(); return got == "map[web:v2:1]", got })
	if _, err := admin.CoreV1().Pods(w.ns).Patch(t.Context(), name, types.MergePatchType,
		[]byte(`{"metadata":{"annotations":{"`+v1alpha1.AnnotationUpdate+`":"{"}}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	w.spec(`{"revisionHistoryLimit":9}`) // a pass over the damage
	if s := w.get().Status; s.UpdatedReplicas != 0 {
		t.Errorf("%d pods count as updated while the old container runs", s.UpdatedReplicas)
	}
	w.sleep("", false)
	w.progressing("Complete")
	w.image("v3")
	w.progressing("Complete")
}

func TestAPodThatEndedIsReplaced(t *testing.T) {
	w := newWorld(t)
	w.create(2, atOnce)
	w.progressing("Complete")
	name := w.names()[0]
	uid := w.pods()[name].UID
	w.sleep(name, true)
	if _, err := admin.CoreV1().Pods(w.ns).Patch(t.Context(), name, types.MergePatchType, []byte(`{"status":{"phase":"Failed","reason":"Evicted"}}`), metav1.PatchOptions{}, "status"); err != nil {
		t.Fatal(err)
	}
	w.sleep(name, false)
	w.until("another took its place", func() (bool, any) {
		pod, err := admin.CoreV1().Pods(w.ns).Get(t.Context(), name, metav1.GetOptions{})
		return (apierrors.IsNotFound(err) || pod.UID != uid) && w.get().Status.AvailableReplicas == 2, w.names()
	})
}
