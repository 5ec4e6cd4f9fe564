package inplace

import (
	"encoding/json"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/strategicpatch"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
)

const (
	owner   = "InPlaceSet/web"
	sidecar = "SidecarSet/mesh"
)

// meshed has a sidecar beside its application.
func meshed(pod *corev1.Pod) {
	pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{Name: "mesh", Image: "mesh:v1"})
	pod.Status.ContainerStatuses = append(pod.Status.ContainerStatuses, corev1.ContainerStatus{
		Name: "mesh", Image: "mesh:v1", ImageID: "mesh@sha256:1", ContainerID: "M", State: running(), Ready: true,
	})
}

func gateless(pod *corev1.Pod) { pod.Spec.ReadinessGates = nil }

func heldBy(holder string) podOption {
	return func(pod *corev1.Pod) {
		if pod.Annotations == nil {
			pod.Annotations = map[string]string{}
		}
		pod.Annotations[v1alpha1.AnnotationHolder] = holder
	}
}

func lookAt(pod *corev1.Pod) *Look {
	l := LookAt(pod)
	return &l
}

func holderOf(pod *corev1.Pod) string { return lookAt(pod).Holder() }

// apply a step to a pod, as the API server does.
func apply(t *testing.T, pod *corev1.Pod, step Step) *corev1.Pod {
	t.Helper()
	before, err := json.Marshal(pod)
	if err != nil {
		t.Fatal(err)
	}
	after, err := strategicpatch.StrategicMergePatch(before, step.Patch, &corev1.Pod{})
	if err != nil {
		t.Fatal(err)
	}
	out := &corev1.Pod{}
	if err := json.Unmarshal(after, out); err != nil {
		t.Fatal(err)
	}
	if step.Act == WriteChange && strings.Contains(string(step.Patch), `"image"`) {
		out.Generation++
	}
	return out
}

// kubeletDid: the kubelet runs what the spec says.
func kubeletDid(pod *corev1.Pod) {
	pod.Status.ObservedGeneration = pod.Generation
	for i := range pod.Status.ContainerStatuses {
		s := &pod.Status.ContainerStatuses[i]
		if want := specImage(pod, s.Name); want != s.Image {
			s.Image, s.ImageID, s.ContainerID, s.RestartCount, s.Ready = want, want+"@sha256:1", s.ContainerID+"'", s.RestartCount+1, true
		}
	}
}

func TestOneHolderAtATime(t *testing.T) {
	change := Change{Images: map[string]string{"mesh": "mesh:v2"}}
	for _, c := range []struct {
		name   string
		pod    *corev1.Pod
		in     Input
		wait   Wait
		holder string
	}{
		{"who closed the gate is waited for, though no change was patched", newPod(meshed, closed(GateChanging), heldBy(owner), unready),
			Input{Wish: Update, Holder: sidecar, InService: true}, WaitHolder, owner},
		{"the owner does not open a gate that a sidecar set closed", newPod(meshed, closed(GateChanging), heldBy(sidecar), unready),
			Input{Wish: Serve, Holder: owner}, WaitHolder, sidecar},
		{"the owner does not begin a change of a pod that a sidecar set took out of service", newPod(meshed, closed(GateChanging), heldBy(sidecar), unready),
			Input{Wish: Update, Holder: owner}, WaitHolder, sidecar},
		{"a sidecar that fails is mended in a pod whose owner waits for its containers alone", newPod(meshed, closed(GateChanging), heldBy(owner), unready),
			Input{Wish: Update, Holder: sidecar, Failing: true}, NoWait, ""},
		{"but not while the owner changes the pod", newPod(meshed, closed(GateChanging), heldBy(owner), unready, patched("web:v2", "s2"), record(Record{Holder: owner, Containers: []ContainerBefore{{Name: "app", ContainerID: "A", Image: "web:v1"}}})),
			Input{Wish: Update, Holder: sidecar, Failing: true}, WaitHolder, owner},
		{"nor while the pod is still in service", newPod(meshed, closed(GateChanging), heldBy(owner)), Input{Wish: Update, Holder: sidecar, Failing: true}, WaitHolder, owner},
		{"a gate that was closed by hand is nobody's", newPod(meshed, closed("ByHand"), unready), Input{Wish: Serve, Holder: owner}, NoWait, ""},
		{"an annotation on a pod whose gate is open holds nothing", newPod(meshed, heldBy(sidecar)), Input{Wish: Update, Holder: owner}, NoWait, ""},
	} {
		c.in.Pod, c.in.Change, c.in.Revision, c.in.Now = c.pod, change, "m2", noon
		step, err := Next(c.in)
		if err != nil || step.Wait != c.wait || step.Holder != c.holder {
			t.Errorf("%s: %+v, %v; want to wait for %q %q", c.name, step, err, c.wait, c.holder)
		}
	}
}

func TestAChangeInServiceIsTwoWritesAndLeavesTheOwnersRevisionAlone(t *testing.T) {
	in := Input{
		Pod: newPod(meshed, gateless), Wish: Update, Holder: sidecar, InService: true, RevisionLabel: "sidecarset.apps.periplus.dev/mesh",
		Revision: "m2", Change: Change{Images: map[string]string{"mesh": "mesh:v2"}}, Now: noon,
	}
	step, err := Next(in)
	if err != nil || step.Act != WriteChange {
		t.Fatalf("first step is %+v, %v; want the change at once", step, err)
	}
	pod := apply(t, in.Pod, step)
	if got := pod.Labels["sidecarset.apps.periplus.dev/mesh"] + " " + pod.Labels[v1alpha1.LabelRevision]; got != "m2 r1" {
		t.Errorf("the labels say %q; want the sidecar's revision new and the owner's as it was", got)
	}
	if pod.Spec.Containers[0].Image != "web:v1" || pod.Spec.Containers[1].Image != "mesh:v2" {
		t.Errorf("images are %s, %s", pod.Spec.Containers[0].Image, pod.Spec.Containers[1].Image)
	}
	if !lookAt(pod).ChangingFor(sidecar) || holderOf(pod) != sidecar {
		t.Error("the change is not held by the one who made it")
	}
	in.Pod, in.Wish = pod, Serve
	if step, _ = Next(in); step.Wait != WaitKubelet {
		t.Errorf("before the kubelet acted the step is %+v", step)
	}
	kubeletDid(pod)
	pod.Status.ContainerStatuses[1].Ready = false
	if step, _ = Next(in); step.Wait != WaitContainers {
		t.Errorf("before the sidecar is ready the step is %+v", step)
	}
	pod.Status.ContainerStatuses[1].Ready = true
	step, _ = Next(in)
	if step.Act != WriteChange {
		t.Fatalf("at the end the step is %+v; want the record to be closed", step)
	}
	in.Pod = apply(t, pod, step)
	if step, _ = Next(in); step.Act != Nothing || step.Wait != NoWait || lookAt(in.Pod).HasBegun(sidecar) || holderOf(in.Pod) != "" {
		t.Errorf("after the end there is %+v to do, and the pod is held by %q", step, holderOf(in.Pod))
	}
}

func TestAChangeEndsByWhoeverOpenedTheGate(t *testing.T) {
	done := Record{Holder: sidecar, Containers: []ContainerBefore{{Name: "mesh", ContainerID: "L", Image: "mesh:v0"}}}
	pod := newPod(meshed, record(done))
	pod.Status.ContainerStatuses[1].RestartCount = 1
	step, err := Next(Input{Pod: pod, Wish: Serve, Holder: sidecar, Now: noon})
	if err != nil || step.Act != WriteChange || lookAt(apply(t, pod, step)).HasBegun(sidecar) {
		t.Errorf("the step is %+v, %v; want the record closed", step, err)
	}
}

func TestTheGateSaysWhoClosedItAndForgetsItWhenOpened(t *testing.T) {
	in := Input{Pod: newPod(meshed), Wish: Update, Holder: sidecar, Revision: "m2", Change: Change{Images: map[string]string{"mesh": "mesh:v2"}}, Now: noon}
	step, err := Next(in)
	if err != nil || step.Act != WriteGate {
		t.Fatalf("first step is %+v, %v; want the gate", step, err)
	}
	pod := apply(t, in.Pod, step)
	if holderOf(pod) != sidecar {
		t.Errorf("the pod is held by %q; want %s", holderOf(pod), sidecar)
	}
	in.Pod, in.Wish = pod, Serve
	step, _ = Next(in)
	if step.Act != WriteGate {
		t.Fatalf("given up, the step is %+v; want the gate opened", step)
	}
	if pod = apply(t, pod, step); holderOf(pod) != "" || pod.Annotations[v1alpha1.AnnotationHolder] != "" {
		t.Errorf("an open gate is held by %q", pod.Annotations[v1alpha1.AnnotationHolder])
	}
}

func TestAHolderThatGoesLetsGoInTheMiddleOfItsChange(t *testing.T) {
	in := Input{Pod: newPod(meshed, closed(GateChanging), heldBy(sidecar), unready), Wish: Update, Holder: sidecar, Revision: "m2", QuietSince: noon, Now: noon,
		Change: Change{Images: map[string]string{"mesh": "mesh:bad"}}}
	step, err := Next(in)
	if err != nil || step.Act != WriteChange {
		t.Fatalf("step is %+v, %v", step, err)
	}
	pod := apply(t, in.Pod, step)
	if patch, err := Release(pod, lookAt(pod), owner); err != nil || patch != nil {
		t.Errorf("somebody else releases %s, %v; want nothing", patch, err)
	}
	patch, err := Release(pod, lookAt(pod), sidecar)
	if err != nil {
		t.Fatal(err)
	}
	if pod = apply(t, pod, Step{Patch: patch}); holderOf(pod) != "" {
		t.Errorf("the pod is still held by %s", holderOf(pod))
	}
}

func TestARestartThatAChangeMadeIsHeldAgainstNobody(t *testing.T) {
	pod := newPod(meshed, gateless)
	// The owner changes the application, or a sidecar set its sidecar, each to a new image.
	change := func(who, container, tag string) {
		t.Helper()
		in := Input{Pod: pod, Wish: Update, Holder: who, InService: true, Revision: tag, Change: Change{Images: map[string]string{container: map[string]string{"app": "web", "mesh": "mesh"}[container] + ":" + tag}}, Now: noon}
		if who == sidecar {
			in.RevisionLabel = "sidecarset.apps.periplus.dev/mesh"
		}
		step, err := Next(in)
		if err != nil || step.Act != WriteChange {
			t.Fatalf("%s changes %s: %+v, %v", who, container, step, err)
		}
		pod = apply(t, pod, step)
		kubeletDid(pod)
		in.Pod, in.Wish = pod, Serve
		if step, err = Next(in); err != nil || step.Act != WriteChange {
			t.Fatalf("%s ends its change of %s: %+v, %v", who, container, step, err)
		}
		pod = apply(t, pod, step)
	}
	crash := func(n int) { pod.Status.ContainerStatuses[n].RestartCount++ }
	change(owner, "app", "v1.1")
	change(sidecar, "mesh", "v1.1")
	starting := pod.DeepCopy()
	starting.Status.ContainerStatuses[0].Ready = false
	starting.Status.ContainerStatuses[0].LastTerminationState.Terminated = &corev1.ContainerStateTerminated{ContainerID: "A", ExitCode: 0}
	if reason, why := Failing(starting, false); reason != "" {
		t.Errorf("an application that our change restarted fails: %s, %s", reason, why)
	}
	for n, then := range []struct {
		what string
		do   func()
		want int32
	}{
		{"the sidecar is changed", func() { change(sidecar, "mesh", "v2") }, 0},
		{"the application is changed", func() { change(owner, "app", "v2") }, 0},
		{"the application crashes", func() { crash(0) }, 1},
		{"the sidecar is changed, which says nothing of the application", func() { change(sidecar, "mesh", "v3") }, 1},
		{"the sidecar crashes", func() { crash(1) }, 2},
		{"the application is changed again: what was before is past", func() { change(owner, "app", "v3") }, 0},
		{"the sidecar crashes again", func() { crash(1) }, 1},
		{"the sidecar is changed again", func() { change(sidecar, "mesh", "v4") }, 0},
	} {
		then.do()
		if got := RestartsSince(pod); got != then.want {
			t.Errorf("%d, %s: %d restarts count; want %d: %s", n, then.what, got, then.want, pod.Annotations[v1alpha1.AnnotationUpdate])
		}
	}
}
