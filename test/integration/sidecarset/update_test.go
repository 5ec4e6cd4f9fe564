//go:build integration

package sidecarset

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
)

func TestSidecarsChangeUnderApplicationsThatRunOn(t *testing.T) {
	w := newWorld(t)
	w.set("mesh", `{updateStrategy: {maxUnavailable: "50%"}}`)
	w.ready(5)
	apps := w.containerIDs("app")
	before := len(writes.of("PATCH", "/"+w.ns+"/"))
	w.image("mesh", "v2")
	w.progressing("mesh", "Complete")
	if got := w.running("mesh"); got != "map[mesh:v2:5]" {
		t.Errorf("sidecars run %s", got)
	}
	if now := w.containerIDs("app"); !maps.Equal(apps, now) {
		t.Errorf("applications were restarted: %v, before %v", now, apps)
	}
	if n := len(writes.of("PATCH", "/"+w.ns+"/", " 200")) - before; n != 10 {
		t.Errorf("there were %d writes of 5 pods; want 2 a pod", n)
	}
	set := w.get("mesh")
	for _, pod := range w.pods() {
		if got := pod.Labels["sidecarset.apps.periplus.dev/"+set.Name]; got != set.Status.UpdateRevision || set.Status.CurrentRevision != got {
			t.Errorf("pod %s carries revision %s; want %s", pod.Name, got, set.Status.UpdateRevision)
		}
	}
}

func TestABadImageStopsAtTheFirstPodAndTheApplicationRunsOn(t *testing.T) {
	w := newWorld(t)
	w.set("mesh", `{updateStrategy: {maxUnavailable: "100%"}}`)
	w.ready(4)
	apps := w.containerIDs("app")
	w.image("mesh", "bad")
	if got := w.progressing("mesh", "PodsFailing"); !strings.Contains(got, "ErrImagePull") || !strings.Contains(got, "1 pods") {
		t.Errorf("the condition says %q", got)
	}
	moved := 0
	for _, pod := range w.pods() {
		if strings.Contains(containers(pod), "mesh:bad") {
			moved++
		}
	}
	if moved != 1 || !maps.Equal(apps, w.containerIDs("app")) {
		t.Errorf("%d pods got the bad image; want one, and no application restarted", moved)
	}
	w.image("mesh", "v1") // back to where it was.
	w.progressing("mesh", "Complete")
	if got := w.running("mesh"); got != "map[mesh:v1:4]" {
		t.Errorf("after going back sidecars run %s", got)
	}
}

func TestPartitionSelectorAndPauseHoldPodsBack(t *testing.T) {
	w := newWorld(t)
	w.set("mesh", `{updateStrategy: {partition: 3, maxUnavailable: "100%", selector: {matchLabels: {track: beta}}}}`)
	w.ready(4, func(pod *corev1.Pod) { pod.Labels["track"] = "beta" })
	w.create(w.template("stable-1"))
	w.image("mesh", "v2")
	w.until("one of four runs it", func() (bool, any) { got := w.running("mesh"); return got == "map[mesh:v1:4 mesh:v2:1]", got })
	w.progressing("mesh", "HeldBack")
	w.spec("mesh", `{"updateStrategy":{"partition":0,"paused":true}}`)
	w.progressing("mesh", "Paused")
	w.spec("mesh", `{"updateStrategy":{"paused":false}}`)
	w.until("all that are selected run it", func() (bool, any) { got := w.running("mesh"); return got == "map[mesh:v1:1 mesh:v2:4]", got })
	w.progressing("mesh", "HeldBack")
	w.spec("mesh", `{"updateStrategy":{"selector":null}}`)
	w.progressing("mesh", "Complete")
	if got := w.running("mesh"); got != "map[mesh:v2:5]" {
		t.Errorf("sidecars run %s", got)
	}
}

func TestWhatDoesNotFitInPlaceWaitsForTheNextCreation(t *testing.T) {
	w := newWorld(t)
	w.set("mesh", `{}`)
	w.ready(2)
	w.spec("mesh", `{"containers":[{"name":"mesh","image":"mesh:v2"},{"name":"more","image":"more:v1"}]}`)
	if got := w.progressing("mesh", "WaitingForCreation"); !strings.Contains(got, "spec.containers[more]") {
		t.Errorf("the condition says %q; want the field", got)
	}
	if s := w.get("mesh").Status; s.WaitingForCreation != 2 || s.Updated != 0 {
		t.Errorf("status counts %+v", s)
	}
	w.settle()
	w.create(w.template("web-3"))
	if got := containers(w.pod("web-3")) + " | " + w.running("mesh"); !strings.HasPrefix(got, "app=web:v1 mesh=mesh:v2 more=more:v1 |") {
		t.Errorf("a new pod has %s", got)
	}
	w.spec("mesh", `{"updateStrategy":{"type":"OnNextCreate"},"containers":[{"name":"mesh","image":"mesh:v3"},{"name":"more","image":"more:v1"}]}`)
	w.until("three wait", func() (bool, any) { s := w.get("mesh").Status; return s.WaitingForCreation == 3, s })
	if got := w.running("mesh"); got != "map[mesh:v1:2 mesh:v2:1]" {
		t.Errorf("sidecars run %s; want none changed", got)
	}
}

func TestDrainTakesAPodOutOfServiceFirst(t *testing.T) {
	w := newWorld(t)
	w.set("mesh", `{updateStrategy: {drain: true, gracePeriodSeconds: 0, maxUnavailable: 1}}`)
	w.ready(2) // their gates were opened.
	for _, pod := range w.pods() {
		if len(pod.Spec.ReadinessGates) != 1 {
			t.Fatalf("pod %s has gates %v", pod.Name, pod.Spec.ReadinessGates)
		}
	}
	apps := w.containerIDs("app")
	before := len(writes.of("PATCH", "/"+w.ns+"/"))
	w.image("mesh", "v2")
	w.progressing("mesh", "Complete")
	if got := w.running("mesh"); got != "map[mesh:v2:2]" || !maps.Equal(apps, w.containerIDs("app")) {
		t.Errorf("sidecars run %s", got)
	}
	if n := len(writes.of("PATCH", "/"+w.ns+"/", " 200")) - before; n != 6 {
		t.Errorf("there were %d writes of 2 pods; want 3 a pod", n)
	}
	for _, pod := range w.pods() {
		if conditionOf(pod, v1alpha1.ReadinessGateInService) != corev1.ConditionTrue || pod.Annotations[v1alpha1.AnnotationHolder] != "" {
			t.Errorf("pod %s is not back in service", pod.Name)
		}
	}
}

func TestABadImageUnderDrainIsTakenBackAndThePodServesAgain(t *testing.T) {
	w := newWorld(t)
	w.set("mesh", `{containers: null, initContainers: [{name: mesh, image: "mesh:v1", restartPolicy: Always}], updateStrategy: {drain: true, gracePeriodSeconds: 0, maxUnavailable: "100%"}}`)
	w.ready(3)
	apps := w.containerIDs("app")
	image := func(tag string) {
		w.spec("mesh", `{"initContainers":[{"name":"mesh","image":"mesh:`+tag+`","restartPolicy":"Always"}]}`)
	}
	image("bad")
	w.progressing("mesh", "PodsFailing")
	closed := 0
	for _, pod := range w.pods() {
		if conditionOf(pod, v1alpha1.ReadinessGateInService) != corev1.ConditionTrue {
			closed++
		}
	}
	if closed != 1 {
		t.Errorf("%d pods are out of service; want the one that shows the failure", closed)
	}
	image("v2")
	w.progressing("mesh", "Complete")
	if got := w.running("mesh"); got != "map[mesh:v2:3]" || !maps.Equal(apps, w.containerIDs("app")) {
		t.Errorf("sidecars run %s; want v2 on all, and no application restarted", got)
	}
	for _, pod := range w.pods() {
		if conditionOf(pod, corev1.PodReady) != corev1.ConditionTrue {
			t.Errorf("pod %s does not serve", pod.Name)
		}
	}
}

func TestTheGateOfASetThatIsGoneIsOpenedStill(t *testing.T) {
	w := newWorld(t)
	w.set("mesh", `{updateStrategy: {drain: true, gracePeriodSeconds: 3600}}`)
	w.ready(1)
	w.image("mesh", "v2")
	w.until("the pod is out of service", func() (bool, any) {
		return conditionOf(w.pod("web-1"), v1alpha1.ReadinessGateInService) == corev1.ConditionFalse, nil
	})
	w.sleep(true) // a new pod does not come up before the set is gone.
	w.create(w.template("web-2"))
	w.remove("mesh")
	w.sleep(false)
	w.until("both serve", func() (bool, any) {
		for _, pod := range w.pods() {
			if conditionOf(pod, corev1.PodReady) != corev1.ConditionTrue {
				return false, pod.Status.Conditions
			}
		}
		return len(w.pods()) == 2, nil
	})
}

func TestADisruptionBudgetHoldsAndReleasesTheChange(t *testing.T) {
	w := newWorld(t)
	w.set("mesh", `{updateStrategy: {maxUnavailable: "100%"}}`)
	w.ready(2)
	budget := &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: w.ns},
		Spec:       policyv1.PodDisruptionBudgetSpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}, MinAvailable: &intstr.IntOrString{IntVal: 2}},
	}
	made, err := admin.PolicyV1().PodDisruptionBudgets(w.ns).Create(t.Context(), budget, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	made.Status = policyv1.PodDisruptionBudgetStatus{ObservedGeneration: made.Generation, CurrentHealthy: 2, DesiredHealthy: 2, ExpectedPods: 2}
	if made, err = admin.PolicyV1().PodDisruptionBudgets(w.ns).UpdateStatus(t.Context(), made, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	w.image("mesh", "v2")
	w.until("the condition names the budget", func() (bool, any) {
		for _, c := range w.get("mesh").Status.Conditions {
			if strings.Contains(c.Message, "PodDisruptionBudget "+w.ns+"/web") {
				return true, nil
			}
		}
		return false, w.get("mesh").Status
	})
	if got := w.running("mesh"); got != "map[mesh:v1:2]" {
		t.Errorf("sidecars run %s; want none changed", got)
	}
	made.Status.DesiredHealthy = 1
	if _, err = admin.PolicyV1().PodDisruptionBudgets(w.ns).UpdateStatus(t.Context(), made, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	w.progressing("mesh", "Complete")
}

// owner is an InPlaceSet, web, with one pod.
func (w *world) owner(replicas int) {
	w.t.Helper()
	set := &v1alpha1.InPlaceSet{}
	text := fmt.Sprintf(`
metadata: {name: web}
spec:
  replicas: %d
  selector: {matchLabels: {app: web}}
  updateStrategy: {gracePeriodSeconds: 0, maxUnavailable: "100%%"}
  template: {metadata: {labels: {app: web}}, spec: {containers: [{name: app, image: "web:v1"}]}}
`, replicas)
	if err := yaml.UnmarshalStrict([]byte(text), set); err != nil {
		w.t.Fatal(err)
	}
	if _, err := periplus.AppsV1alpha1().InPlaceSets(w.ns).Create(w.t.Context(), set, metav1.CreateOptions{}); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		_ = periplus.AppsV1alpha1().InPlaceSets(w.ns).Delete(context.Background(), "web", metav1.DeleteOptions{})
	})
	w.until("its pods are available", func() (bool, any) {
		set, err := periplus.AppsV1alpha1().InPlaceSets(w.ns).Get(context.Background(), "web", metav1.GetOptions{})
		return err == nil && int(set.Status.AvailableReplicas) == replicas, set.Status
	})
}

func TestAnInPlaceSetAndASidecarSetTakeTurnsOnOnePod(t *testing.T) {
	for _, drain := range []bool{false, true} {
		t.Run(fmt.Sprintf("drain=%t", drain), func(t *testing.T) {
			w := newWorld(t)
			w.set("mesh", fmt.Sprintf(`{updateStrategy: {maxUnavailable: "100%%", gracePeriodSeconds: 0, drain: %t}}`, drain))
			w.owner(2)
			w.sleep(true) // whoever is first stays in the middle of his change.
			w.image("mesh", "v2")
			w.until("the sidecar set holds a pod", func() (bool, any) {
				for _, pod := range w.pods() {
					if strings.Contains(containers(pod), "mesh:v2") || pod.Annotations[v1alpha1.AnnotationHolder] != "" {
						return true, nil
					}
				}
				return false, nil
			})
			patch := []byte(`{"spec":{"template":{"spec":{"containers":[{"name":"app","image":"web:v2"}]}}}}`)
			if _, err := periplus.AppsV1alpha1().InPlaceSets(w.ns).Patch(t.Context(), "web", "application/merge-patch+json", patch, metav1.PatchOptions{}); err != nil {
				t.Fatal(err)
			}
			w.until("the InPlaceSet says for whom it waits", func() (bool, any) {
				set, err := periplus.AppsV1alpha1().InPlaceSets(w.ns).Get(context.Background(), "web", metav1.GetOptions{})
				if err != nil {
					return false, err
				}
				for _, c := range set.Status.Conditions {
					if strings.Contains(c.Message, "SidecarSet/"+w.name("mesh")) {
						return true, nil
					}
				}
				return false, set.Status
			})
			w.sleep(false)
			w.until("both are done", func() (bool, any) {
				got := w.running("mesh") + w.running("app")
				return got == "map[mesh:v2:2]map[web:v2:2]", got
			})
			w.progressing("mesh", "Complete")
			w.until("all pods are in service", func() (bool, any) {
				set, err := periplus.AppsV1alpha1().InPlaceSets(w.ns).Get(context.Background(), "web", metav1.GetOptions{})
				return err == nil && set.Status.UpdatedAvailableReplicas == 2, set.Status
			})
		})
	}
}

func TestTheLimitOfAnInPlaceSetHoldsTheSidecarsOfItsPods(t *testing.T) {
	w := newWorld(t)
	w.set("mesh", `{updateStrategy: {maxUnavailable: "100%"}}`)
	w.owner(3)
	app := func(image string, partition int) {
		t.Helper()
		patch := fmt.Sprintf(`{"spec":{"updateStrategy":{"maxUnavailable":1,"partition":%d},"template":{"spec":{"containers":[{"name":"app","image":%q}]}}}}`, partition, image)
		if _, err := periplus.AppsV1alpha1().InPlaceSets(w.ns).Patch(t.Context(), "web", "application/merge-patch+json", []byte(patch), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	app("web:bad", 2)
	w.until("one pod of the application is broken", func() (bool, any) {
		broken := 0
		for _, pod := range w.pods() {
			if conditionOf(pod, corev1.PodReady) == corev1.ConditionFalse {
				broken++
			}
		}
		return broken == 1, broken
	})
	w.image("mesh", "v2")
	w.until("the condition names the limit", func() (bool, any) {
		message := w.progressing("mesh", "Moving")
		return strings.Contains(message, fmt.Sprintf("wait for the limit of InPlaceSet %s/web: 1 of its 3 pods are unavailable, and at most 1 may be", w.ns)), message
	})
	if got := w.running("mesh"); got != "map[mesh:v1:3]" {
		t.Errorf("while a pod of the application is broken, %s run; want none of those that serve changed", got)
	}
	app("web:v1", 0)
	w.until("all sidecars are changed once the application is whole", func() (bool, any) {
		got := w.running("mesh")
		return got == "map[mesh:v2:3]", got
	})
	w.progressing("mesh", "Complete")
}

func TestADeletedSetLeavesItsPodsAsTheyAre(t *testing.T) {
	w := newWorld(t)
	w.set("mesh", `{updateStrategy: {maxUnavailable: "100%"}}`)
	w.ready(2)
	w.image("mesh", "bad")
	w.progressing("mesh", "PodsFailing")
	w.remove("mesh")
	for _, pod := range w.pods() {
		if !strings.Contains(containers(pod), "mesh=") || !strings.Contains(pod.Annotations[v1alpha1.AnnotationSidecars], w.name("mesh")) {
			t.Errorf("pod %s has %s", pod.Name, containers(pod))
		}
		if strings.Contains(pod.Annotations[v1alpha1.AnnotationUpdate], "mesh:v1") && !strings.Contains(pod.Annotations[v1alpha1.AnnotationUpdate], `"done":true`) {
			t.Errorf("pod %s is held by a set that is gone", pod.Name)
		}
	}
}

// remove a set and wait until it is gone.
func (w *world) remove(name string) {
	w.t.Helper()
	if err := periplus.AppsV1alpha1().SidecarSets().Delete(w.t.Context(), w.name(name), metav1.DeleteOptions{}); err != nil {
		w.t.Fatal(err)
	}
	w.until("the set is gone", func() (bool, any) {
		set, err := periplus.AppsV1alpha1().SidecarSets().Get(context.Background(), w.name(name), metav1.GetOptions{})
		return apierrors.IsNotFound(err), set
	})
}

func TestADeletedSetRebuildsItsPodsUnderTheLimit(t *testing.T) {
	w := newWorld(t)
	w.set("mesh", `{onDelete: Rebuild, updateStrategy: {maxUnavailable: 1}}`)
	w.ready(3, owned("web"))
	w.create(w.template("alone-1"))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	least := make(chan int, 1)
	go func() { // the ReplicaSet: three pods, whatever their names.
		fewest, n := 3, 3
		for ctx.Err() == nil {
			l, err := admin.CoreV1().Pods(w.ns).List(ctx, metav1.ListOptions{})
			if err != nil {
				continue
			}
			ready, there := 0, 0
			for i := range l.Items {
				if metav1.GetControllerOf(&l.Items[i]) == nil || l.Items[i].DeletionTimestamp != nil {
					continue
				}
				there++
				if conditionOf(&l.Items[i], corev1.PodReady) == corev1.ConditionTrue {
					ready++
				}
			}
			fewest = min(fewest, ready)
			for ; there < 3; there++ {
				n++
				_, _ = admin.CoreV1().Pods(w.ns).Create(ctx, w.template(fmt.Sprintf("web-%d", n), owned("web")), metav1.CreateOptions{})
			}
		}
		least <- fewest
	}()
	w.remove("mesh")
	cancel()
	if got := <-least; got < 2 {
		t.Errorf("only %d of 3 pods were ready at a time; want 2 always", got)
	}
	with := 0
	for _, pod := range w.pods() {
		if strings.Contains(containers(pod), "mesh") {
			with++
		}
	}
	if with != 1 || !strings.Contains(containers(w.pod("alone-1")), "mesh") {
		t.Errorf("%d pods still have the sidecar; want the one that nobody would make anew", with)
	}
}

func TestAChangedSelectorLeavesWhatIsInjectedAndMeansOthers(t *testing.T) {
	w := newWorld(t)
	w.set("mesh", `{}`)
	w.ready(2)
	w.spec("mesh", `{"selector":{"matchLabels":{"app":"api"}},"containers":[{"name":"mesh","image":"mesh:v2"}]}`)
	w.until("the pods are counted no more", func() (bool, any) {
		s := w.get("mesh").Status
		return s.Matched == 0 && s.Injected == 0 && s.UpdateRevision != "" && s.InjectionRevision == s.UpdateRevision, s
	})
	if got := w.progressing("mesh", "Complete"); !strings.Contains(got, "2 pods that the set means no more keep its sidecars") {
		t.Errorf("the condition says %q", got)
	}
	if got := w.running("mesh"); got != "map[mesh:v1:2]" {
		t.Errorf("sidecars run %s; want those that were there", got)
	}
	w.until("a pod that is meant now gets it", func() (bool, any) {
		pod := w.template("api-1", func(pod *corev1.Pod) { pod.Labels["app"] = "api" })
		got, err := admin.CoreV1().Pods(w.ns).Create(t.Context(), pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return err == nil && containers(got) == "app=web:v1 mesh=mesh:v2", err
	})
}
