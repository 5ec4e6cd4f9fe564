package cafedeployment

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
)

// lag makes what was last written to the pod sets news to their controllers.
func (s *shop) lag() {
	s.t.Helper()
	ctx, all := s.t.Context(), metav1.ListOptions{}
	ips, err := s.apps.AppsV1alpha1().InPlaceSets("shop").List(ctx, all)
	s.ok(err)
	for i := range ips.Items {
		ips.Items[i].Generation++
		_, err := s.apps.AppsV1alpha1().InPlaceSets("shop").Update(ctx, &ips.Items[i], metav1.UpdateOptions{})
		s.ok(err)
	}
	sts, err := s.kube.AppsV1().StatefulSets("shop").List(ctx, all)
	s.ok(err)
	for i := range sts.Items {
		sts.Items[i].Generation++
		_, err := s.kube.AppsV1().StatefulSets("shop").Update(ctx, &sts.Items[i], metav1.UpdateOptions{})
		s.ok(err)
	}
}

// Back to the image before, while a pod set's controller has not seen the last write: the set's template is still the sick one, and waits. A partition that
// is lowered for the template that is to come would let the sick one go to every pod.
func TestAPartitionWaitsForItsTemplate(t *testing.T) {
	for _, of := range []v1alpha1.PodSetType{v1alpha1.PodSetInPlaceSet, v1alpha1.PodSetStatefulSet} {
		for name, driven := range map[string]bool{"own groups": false, "driven": true} {
			t.Run(string(of)+", "+name, func(t *testing.T) {
				s := newShop(t, ofType(of))
				s.settle("web:v1")
				s.broken["web:bad"] = true
				if driven {
					s.edit(func(d *v1alpha1.CafeDeployment) {
						d.Spec.Strategy.Partitions = map[string]intstr.IntOrString{"dca": intstr.FromInt32(4), "dcb": intstr.FromString("100%")}
					})
				}
				s.image("web:bad")
				s.settle("web:bad")
				bad := s.on("web:bad")
				if bad == 0 || bad > 2 {
					t.Fatalf("%d pods are on the bad image", bad)
				}
				s.lag()
				s.image("web:v1")
				if driven {
					s.edit(func(d *v1alpha1.CafeDeployment) {
						d.Spec.Strategy.Partitions = map[string]intstr.IntOrString{"dca": intstr.FromInt32(0), "dcb": intstr.FromInt32(0)}
					})
				}
				for range 3 {
					s.run()
				}
				s.obey()
				if n := s.on("web:bad"); n > bad {
					t.Errorf("on the way back %d pods more got the bad image", n-bad)
				}
				s.settle("web:v1")
				if n := s.on("web:v1"); n != 10 || !strings.HasPrefix(s.progress(), ReasonComplete) {
					t.Errorf("%d pods are back; %s", n, s.progress())
				}
			})
		}
	}
}

// A scale-out and a new template in one apply: while pods are missing groups of the update have nobody to wait for, and are still confirmed one by one.
func TestAScaleOutConfirmsNoGroupOfAnUpdate(t *testing.T) {
	for _, of := range allTypes {
		t.Run(string(of), func(t *testing.T) {
			s := newShop(t, ofType(of), func(d *v1alpha1.CafeDeployment) { d.Spec.Replicas = ptr.To[int32](2) })
			s.settle("web:v1")
			s.edit(func(d *v1alpha1.CafeDeployment) {
				d.Spec.Strategy.NeedWaitingForConfirm = true
				d.Spec.Replicas = ptr.To[int32](10)
			})
			s.image("web:v2")
			s.settle("web:v2")
			if n := s.on("web:v2"); n != 2 || !strings.HasPrefix(s.progress(), ReasonAwaitingConfirmation) {
				t.Errorf("%d pods run v2 though nobody confirmed; %s", n, s.progress())
			}
			for _, want := range []int{6, 10} {
				s.edit(func(d *v1alpha1.CafeDeployment) {
					d.Annotations = map[string]string{v1alpha1.AnnotationConfirmed: "true"}
				})
				s.settle("web:v2")
				if n := s.on("web:v2"); n != want {
					t.Errorf("%d pods run v2, want %d; %s", n, want, s.progress())
				}
			}
		})
	}
}

// A pipeline writes partitions step by step. None of that says that a unit has room again.
func TestPartitionsOfAReleaseTakeNoMoveBack(t *testing.T) {
	s := newShop(t, func(d *v1alpha1.CafeDeployment) { d.Spec.Topology.AutoReschedule.Enable = true })
	s.settle("web:v1")
	for _, name := range []string{"web-dca-3", "web-dca-4"} {
		pod := s.pods[name].DeepCopy()
		pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, LastTransitionTime: metav1.NewTime(s.clock.Now())}}
		s.pods[name] = pod
	}
	s.settle("web:v1")
	bump := func(dca, dcb string) {
		s.edit(func(d *v1alpha1.CafeDeployment) {
			d.Spec.Strategy.Partitions = map[string]intstr.IntOrString{"dca": intstr.Parse(dca), "dcb": intstr.Parse(dcb)}
		})
		s.settle("web:v2")
	}
	s.edit(func(d *v1alpha1.CafeDeployment) {
		d.Spec.Strategy.Partitions = map[string]intstr.IntOrString{"dca": intstr.FromString("100%"), "dcb": intstr.FromString("100%")}
		d.Spec.Template.Spec.Containers[0].Image = "web:v2"
		d.Generation++
	})
	s.settle("web:v2")
	for _, step := range [][2]string{{"2", "100%"}, {"0", "6"}, {"0", "0"}} {
		if bump(step[0], step[1]); s.spread() != "dca=3 dcb=7" {
			t.Fatalf("after partitions %v pods are at %s; %s", step, s.spread(), s.condition(v1alpha1.ConditionAllocated))
		}
	}
	s.image("web:v1")
	for _, step := range [][2]string{{"0", "100%"}, {"0", "6"}} {
		if bump(step[0], step[1]); s.spread() != "dca=3 dcb=7" {
			t.Fatalf("on the way back, after partitions %v, pods are at %s", step, s.spread())
		}
	}
	bump("0", "0")
	s.edit(func(d *v1alpha1.CafeDeployment) { d.Spec.MinReadySeconds = 1 })
	if s.settle("web:v1"); s.on("web:v1") != 10 || s.spread() != "dca=5 dcb=5" {
		t.Errorf("after the user's next change pods are at %s", s.spread())
	}
}
