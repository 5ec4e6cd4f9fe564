package simulation

import (
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	appsv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/inplace"
)

// TestEachRuleOfSetsCanFail plants bugs of the engine that changes pods in place, in worlds in which they matter.
func TestEachRuleOfSetsCanFail(t *testing.T) {
	pods := func(lie func(*corev1.Pod)) map[string]func(runtime.Object) {
		return map[string]func(runtime.Object){"member/pods": func(o runtime.Object) { lie(o.(*corev1.Pod)) }}
	}
	sets := func(lie func(*appsv1alpha1.InPlaceSet)) map[string]func(runtime.Object) {
		return map[string]func(runtime.Object){"member/inplacesets": func(o runtime.Object) { lie(o.(*appsv1alpha1.InPlaceSet)) }}
	}
	for _, r := range []struct {
		name  string
		rule  int
		plant Plant
		says  string
	}{
		{"a controller that does not wait for load balancers", 4, Plant{Story: balancedSets, Lies: pods(func(pod *corev1.Pod) {
			pod.Finalizers = slices.DeleteFunc(pod.Finalizers, inplace.IsBalancer)
		})}, "routes to it"},
		{"a controller that does not wait for the grace period after the last request", 4, Plant{Story: balancedSets, Lies: sets(func(set *appsv1alpha1.InPlaceSet) {
			set.Spec.UpdateStrategy.GracePeriodSeconds = ptr.To(int32(0))
		})}, "the grace period is"},
		{"a controller that counts pods as available that their balancers do not have", 4, Plant{Story: unlimitedSets, Lies: pods(func(pod *corev1.Pod) {
			delete(pod.Annotations, appsv1alpha1.AnnotationClaims)
		})}, "in service and taken back"},
		{"a controller that does not wait for hooks", 4, Plant{Story: hookedSets, Lies: pods(func(pod *corev1.Pod) {
			delete(pod.Labels, hookKey)
		})}, "a hook holds it"},
		{"a controller that forgets what is left of a change", 0, Plant{Story: orderedSets, Lies: pods(func(pod *corev1.Pod) {
			var record map[string]any
			if json.Unmarshal([]byte(pod.Annotations[appsv1alpha1.AnnotationUpdate]), &record) == nil && record["next"] != nil {
				delete(record, "next")
				text, _ := json.Marshal(record)
				pod.Annotations[appsv1alpha1.AnnotationUpdate] = string(text)
			}
		})}, "is updated, and its container"},
		{"a controller that sees no PodDisruptionBudgets", 1, Plant{Story: budgetedSets, Lies: map[string]func(runtime.Object){"member/poddisruptionbudgets": func(o runtime.Object) {
			o.(*policyv1.PodDisruptionBudget).Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "else"}}
		}}}, "PodDisruptionBudget web wants"},
		{"a controller that takes a budget's pods for others' that are healthy", 1, Plant{Story: budgetedSets, Lies: map[string]func(runtime.Object){"member/poddisruptionbudgets": func(o runtime.Object) {
			s := &o.(*policyv1.PodDisruptionBudget).Status
			s.ExpectedPods, s.CurrentHealthy = s.ExpectedPods+1, s.ExpectedPods+1
		}}}, "PodDisruptionBudget web wants"},
		{"a controller that leaves a gate open that a stranger opened", 4, Plant{Story: openedSets, Lies: map[string]func(runtime.Object){"member/endpointslices": func(o runtime.Object) {
			o.(*discoveryv1.EndpointSlice).Endpoints = nil
		}, "member/pods": func(o runtime.Object) {
			pod := o.(*corev1.Pod)
			for i := range pod.Status.Conditions {
				if c := &pod.Status.Conditions[i]; c.Reason == byStranger {
					c.Status, c.Reason = corev1.ConditionFalse, inplace.GateChanging
				}
				if c := &pod.Status.Conditions[i]; c.Type == corev1.PodReady && inplace.ClosedFor(pod) != "" {
					c.Status = corev1.ConditionFalse
				}
			}
		}}}, "is touched while"},
		{"a controller that takes balancers' finalizers too early", 4, Plant{Story: strangeSets, Lies: sets(func(set *appsv1alpha1.InPlaceSet) {
			set.Spec.UpdateStrategy.DrainTimeoutSeconds = ptr.To(int32(1))
		})}, "after it was deleted"},
		{"a controller that takes hooks' finalizers along", 4, Plant{Story: heldSets, Wire: func(process string, next http.RoundTripper) http.RoundTripper {
			return rewrite(process, next, "member", http.MethodPatch, "/pods/", func(body string) string {
				return strings.ReplaceAll(body, `"finalizers":["`+hookKey+`"]`, `"finalizers":[]`)
			}, nil)
		}}, "is no balancer's"},
		{"a controller that makes its surge while all are held back", 1, Plant{Story: surgingSets, Lies: sets(func(set *appsv1alpha1.InPlaceSet) {
			set.Spec.UpdateStrategy.Partition = nil
		})}, "while its pods are held back"},
		{"a controller that sees no partition", 1, Plant{Story: partitionedSets, Lies: sets(func(set *appsv1alpha1.InPlaceSet) {
			set.Spec.UpdateStrategy.Partition = nil
		})}, "the partition holds all back"},
		{"a controller that takes every maxUnavailable for 100%", 1, Plant{Story: balancedSets, Lies: sets(func(set *appsv1alpha1.InPlaceSet) {
			set.Spec.UpdateStrategy.MaxUnavailable = ptr.To(intstr.FromString("100%"))
		})}, "maxUnavailable is"},
		{"a controller that makes its pods twice", 7, Plant{Story: balancedSets, Wire: twice("member", "/pods")}, "there may be"},
	} {
		t.Run(strings.ReplaceAll(r.name, " ", "_"), func(t *testing.T) {
			t.Parallel()
			lookFor(t, r.rule, r.plant, r.says, 30)
		})
	}
}

// plainSets are two sets of four pods with a balancer, whose users change them three times.
func plainSets(s *story) {
	r := rand.New(rand.NewPCG(1, 1))
	x := &setStory{slow: 6 * time.Second, balancers: []string{"edge-1"}}
	for _, name := range []string{"web-1", "web-2"} {
		set := aSet(r, name, nil)
		set.Spec.Replicas, set.Spec.MinReadySeconds = ptr.To(int32(4)), 0
		set.Spec.UpdateStrategy = appsv1alpha1.InPlaceSetUpdateStrategy{
			MaxUnavailable: ptr.To(intstr.FromInt32(2)), GracePeriodSeconds: ptr.To(int32(3)), DrainTimeoutSeconds: ptr.To(int32(300)), OnDrainTimeout: appsv1alpha1.DrainHold,
		}
		set.Spec.Template.Spec.InitContainers = nil
		set.Spec.Template.Spec.Containers = []corev1.Container{{Name: "app", Image: imageOf("app", "v1")}, {Name: "mesh", Image: imageOf("mesh", "v1")}}
		x.sets = append(x.sets, set)
	}
	for n, tag := range []string{"v2", "v3", "v2"} {
		for i := range x.sets {
			x.acts = append(x.acts, setAct{100 + 500*n, "wants " + tag, i, func(s *appsv1alpha1.InPlaceSet) { retag(s, tag, 0, true) }})
		}
	}
	*s = story{name: "sets alone", members: []string{"m1"}, faulty: 2000, most: mostSteps, alone: x}
}

func balancedSets(s *story) { plainSets(s) }

func unlimitedSets(s *story) {
	plainSets(s)
	for _, set := range s.alone.sets {
		set.Spec.UpdateStrategy.MaxUnavailable = ptr.To(intstr.FromString("100%"))
	}
}

// openedSets have no balancers, who would hold a pod whose gate is open.
func openedSets(s *story) {
	strangeSets(s)
	s.alone.balancers = nil
}

func hookedSets(s *story) {
	plainSets(s)
	s.alone.hook = &appsv1alpha1.LifecycleHook{Labels: map[string]string{hookKey: "yes"}}
	for _, set := range s.alone.sets {
		set.Spec.Lifecycle.InPlaceUpdate = s.alone.hook
	}
}

// heldSets are deleted from by strangers, while balancers sleep and a hook holds pods that are deleted.
func heldSets(s *story) {
	strangeSets(s)
	s.alone.hook = &appsv1alpha1.LifecycleHook{Finalizers: []string{hookKey}}
	for _, set := range s.alone.sets {
		set.Spec.Lifecycle.InPlaceUpdate = s.alone.hook
		set.Spec.UpdateStrategy.DrainTimeoutSeconds = ptr.To(int32(1))
	}
}

func orderedSets(s *story) {
	plainSets(s)
	for _, set := range s.alone.sets {
		set.Spec.UpdateStrategy.ContainerOrder = []string{"mesh", "app"}
	}
}

func budgetedSets(s *story) {
	plainSets(s)
	s.alone.budget = &policyv1.PodDisruptionBudgetSpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}, MaxUnavailable: ptr.To(intstr.FromInt32(2))}
}

func strangeSets(s *story) {
	plainSets(s)
	s.flaps, s.alone.strangers, s.alone.sleeps = true, true, true
}

func partitionedSets(s *story) {
	plainSets(s)
	for _, set := range s.alone.sets {
		set.Spec.UpdateStrategy.Partition = ptr.To(intstr.FromString("100%"))
	}
}

func surgingSets(s *story) {
	partitionedSets(s)
	for _, set := range s.alone.sets {
		set.Spec.UpdateStrategy.MaxSurge = ptr.To(intstr.FromInt32(1))
	}
}
