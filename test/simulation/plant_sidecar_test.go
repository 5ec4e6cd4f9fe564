package simulation

import (
	"net/http"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	appsv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
)

// TestEachRuleOfSidecarsCanFail plants bugs of the controller of SidecarSets.
func TestEachRuleOfSidecarsCanFail(t *testing.T) {
	sets := func(lie func(*appsv1alpha1.SidecarSetUpdateStrategy)) map[string]func(runtime.Object) {
		return map[string]func(runtime.Object){"sidecars/sidecarsets": func(o runtime.Object) { lie(&o.(*appsv1alpha1.SidecarSet).Spec.UpdateStrategy) }}
	}
	pods := func(lie func(*corev1.Pod)) map[string]func(runtime.Object) {
		both := func(o runtime.Object) { lie(o.(*corev1.Pod)) }
		return map[string]func(runtime.Object){"sidecars/pods": both, "member/pods": both}
	}
	for _, r := range []struct {
		name  string
		rule  int
		plant Plant
		says  string
	}{
		{"controllers that do not know what the other is taking", 1, Plant{Story: meshed, Apart: true}, "maxUnavailable is"},
		{"a controller that does not know the limits of workloads", 1, Plant{Story: meshed, Alien: true}, "of web-1 in member m1 in service"},
		{"a controller that takes every maxUnavailable for 100%", 1, Plant{Story: wideMeshed, Lies: sets(func(s *appsv1alpha1.SidecarSetUpdateStrategy) {
			s.MaxUnavailable = ptr.To(intstr.FromString("100%"))
		})}, "for SidecarSet log"},
		{"a controller that sees no partition", 11, Plant{Story: heldMeshed, Lies: sets(func(s *appsv1alpha1.SidecarSetUpdateStrategy) { s.Partition = nil })}, "and the partition is"},
		{"a controller that sees no pause", 11, Plant{Story: pausedMeshed, Lies: sets(func(s *appsv1alpha1.SidecarSetUpdateStrategy) { s.Paused = false })}, "paused: true"},
		{"a controller that changes a proxy while it serves", 4, Plant{Story: drainedMeshed, Lies: sets(func(s *appsv1alpha1.SidecarSetUpdateStrategy) { s.Drain = false })}, "is touched while"},
		{"a controller that does not wait for the grace period", 4, Plant{Story: drainedMeshed, Lies: sets(func(s *appsv1alpha1.SidecarSetUpdateStrategy) {
			s.GracePeriodSeconds = ptr.To(int32(0))
		})}, "the grace period is"},
		{"a controller that does not look at EndpointSlices", 4, Plant{Story: drainedMeshed, Lies: map[string]func(runtime.Object){"sidecars/endpointslices": func(o runtime.Object) {
			o.(*discoveryv1.EndpointSlice).Endpoints = nil
		}}}, "grace period"},
		{"a controller that takes every container for one that is ready", 11, Plant{Story: brokenMeshed, Lies: pods(func(pod *corev1.Pod) {
			for i := range pod.Status.ContainerStatuses {
				pod.Status.ContainerStatuses[i].Ready = true
				pod.Status.ContainerStatuses[i].State.Waiting = nil
			}
		})}, "which cannot run, after pod"},
		{"a controller that does not see who has a pod", 11, Plant{Story: meshed, Lies: pods(func(pod *corev1.Pod) {
			if strings.HasPrefix(pod.Annotations[appsv1alpha1.AnnotationHolder], "InPlaceSet/") {
				delete(pod.Annotations, appsv1alpha1.AnnotationHolder)
			}
			if strings.Contains(pod.Annotations[appsv1alpha1.AnnotationUpdate], "InPlaceSet/") {
				delete(pod.Annotations, appsv1alpha1.AnnotationUpdate)
			}
		})}, "has it"},
		{"a controller that changes the application", 11, Plant{Story: meshed, Wire: func(process string, next http.RoundTripper) http.RoundTripper {
			return rewrite(process, next, "member", http.MethodPatch, "/pods/", func(body string) string {
				if strings.Contains(body, appsv1alpha1.SidecarSetPrefix+"log") {
					return strings.ReplaceAll(body, `{"image":"shop/log:v2","name":"log"}`, `{"image":"shop/app:v9","name":"app"}`)
				}
				return body
			}, nil)
		}}, "which is not its own"},
		{"a controller that does not end its changes", 0, Plant{Story: meshed, Wire: func(process string, next http.RoundTripper) http.RoundTripper {
			return rewrite(process, next, "member", http.MethodPatch, "/pods/", func(body string) string {
				if strings.Contains(body, `holder\":\"SidecarSet/`) {
					return strings.ReplaceAll(body, `,\"done\":true`, ``)
				}
				return body
			}, nil)
		}}, ""},
	} {
		t.Run(strings.ReplaceAll(r.name, " ", "_"), func(t *testing.T) {
			t.Parallel()
			lookFor(t, r.rule, r.plant, r.says, 30)
		})
	}
}

// meshed are two sets of four pods without balancers, each with one sidecar, whose users change application and sidecar at the same time, three times.
func meshed(s *story) {
	plainSets(s)
	s.name += ", with sidecars"
	s.alone.balancers = nil
	for _, set := range s.alone.sets {
		set.Spec.UpdateStrategy.MaxUnavailable, set.Spec.UpdateStrategy.GracePeriodSeconds = ptr.To(intstr.FromInt32(1)), ptr.To(int32(2))
	}
	set := &appsv1alpha1.SidecarSet{ObjectMeta: metav1.ObjectMeta{Name: "log"}}
	set.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}
	set.Spec.Containers = []appsv1alpha1.SidecarContainer{{Container: corev1.Container{Name: "log", Image: imageOf("log", "v1")}}}
	set.Spec.UpdateStrategy.MaxUnavailable = ptr.To(intstr.FromString("100%"))
	x := &sidecarStory{sets: []*appsv1alpha1.SidecarSet{set}}
	for n, tag := range []string{"v2", "v3", "v2"} {
		x.acts = append(x.acts, sidecarAct{at: 105 + 500*n, what: "wants " + tag, do: func(set *appsv1alpha1.SidecarSet) { sidecarOf(set).Image = imageOf("log", tag) }})
	}
	s.sidecars = x
}

// wideMeshed sets have no limit of their own.
func wideMeshed(s *story) {
	meshed(s)
	s.sidecars.sets[0].Spec.UpdateStrategy.MaxUnavailable = ptr.To(intstr.FromInt32(1))
	for _, set := range s.alone.sets {
		set.Spec.UpdateStrategy.MaxUnavailable = ptr.To(intstr.FromString("100%"))
	}
}

func heldMeshed(s *story) {
	meshed(s)
	s.sidecars.sets[0].Spec.UpdateStrategy.Partition = ptr.To(intstr.FromString("50%"))
}

func pausedMeshed(s *story) {
	meshed(s)
	s.sidecars.sets[0].Spec.UpdateStrategy.Paused = true
}

func drainedMeshed(s *story) {
	meshed(s)
	of := &s.sidecars.sets[0].Spec.UpdateStrategy
	of.Drain, of.GracePeriodSeconds, of.DrainTimeoutSeconds = true, ptr.To(int32(3)), ptr.To(int32(60))
}

func brokenMeshed(s *story) {
	wideMeshed(s)
	s.sidecars.sets[0].Spec.UpdateStrategy.MaxUnavailable = ptr.To(intstr.FromString("100%"))
	s.alone.acts = nil
	s.sidecars.acts[0].do = func(set *appsv1alpha1.SidecarSet) { sidecarOf(set).Image = imageOf("log", tagLooping) }
}
