package cafedeployment

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
)

var allTypes = []v1alpha1.PodSetType{v1alpha1.PodSetInPlaceSet, v1alpha1.PodSetReplicaSet, v1alpha1.PodSetStatefulSet}

func ofType(of v1alpha1.PodSetType) func(*v1alpha1.CafeDeployment) {
	return func(d *v1alpha1.CafeDeployment) {
		if d.Spec.PodSetType = of; of == v1alpha1.PodSetStatefulSet {
			d.Spec.ServiceName = "web"
		}
		d.Spec.MaxUnavailable = ptr.To(intstr.FromString("100%")) // the limits of sets are tried where their real controllers run.
	}
}

func TestTenOverTwoUnitsComeAndChangeByTwoFourFour(t *testing.T) {
	for _, of := range allTypes {
		t.Run(string(of), func(t *testing.T) {
			s := newShop(t, ofType(of))
			if seen := s.settle("web:v1"); fmt.Sprint(seen) != "[2 6 10]" || s.spread() != "dca=5 dcb=5" {
				t.Fatalf("pods came as %v, %s; want 2, 6 and 10", seen, s.spread())
			}
			s.image("web:v2")
			if seen := s.settle("web:v2"); fmt.Sprint(seen) != "[2 6 10]" {
				t.Fatalf("pods changed as %v; want 2, 6 and 10", seen)
			}
			if st := s.get().Status; st.CurrentRevision != st.UpdateRevision || st.Group != nil || st.Scaling != nil || !strings.HasPrefix(s.progress(), ReasonComplete) {
				t.Errorf("at the end Progressing is %s, status %+v", s.progress(), st)
			}
		})
	}
}

func TestABadImageStopsAtTheFirstGroupAndAnotherRepairsIt(t *testing.T) {
	for _, of := range allTypes {
		t.Run(string(of), func(t *testing.T) {
			s := newShop(t, ofType(of))
			s.settle("web:v1")
			s.broken["web:bad"] = true
			s.image("web:bad")
			if seen := s.settle("web:bad"); fmt.Sprint(seen) != "[2]" || !strings.HasPrefix(s.progress(), ReasonPodsFailing) || !strings.Contains(s.progress(), "no such image") {
				t.Fatalf("the bad image went as %v, and Progressing is %s", seen, s.progress())
			}
			s.image("web:v3")
			s.settle("web:v3")
			if s.on("web:v3") != 10 || s.spread() != "dca=5 dcb=5" {
				t.Errorf("%d pods run v3, %s; %s", s.on("web:v3"), s.spread(), s.progress())
			}
		})
	}
}

func TestGroupsWaitForAConfirmationEach(t *testing.T) {
	s := newShop(t)
	s.settle("web:v1")
	s.edit(func(d *v1alpha1.CafeDeployment) { d.Spec.Strategy.NeedWaitingForConfirm = true })
	s.image("web:v2")
	s.settle("web:v2")
	confirm := func(says string) {
		s.edit(func(d *v1alpha1.CafeDeployment) {
			d.Annotations = map[string]string{v1alpha1.AnnotationConfirmed: says}
		})
		s.settle("web:v2")
	}
	if n := s.on("web:v2"); n != 2 || !strings.HasPrefix(s.progress(), ReasonAwaitingConfirmation) || s.get().Annotations[v1alpha1.AnnotationConfirmed] != "false" {
		t.Fatalf("%d run v2, %s", n, s.progress())
	}
	confirm("true")
	if n := s.on("web:v2"); n != 6 {
		t.Fatalf("one confirmation let %d go; want 6", n)
	}
	if says := s.get().Annotations[v1alpha1.AnnotationConfirmed]; says != "false" {
		t.Errorf("after the group the annotation says %q", says)
	}
	s.start() // a restart asks nobody anew.
	s.settle("web:v2")
	if n := s.on("web:v2"); n != 6 {
		t.Fatalf("a restart let %d go; want 6", n)
	}
	confirm("true")
	if n := s.on("web:v2"); n != 10 || !strings.HasPrefix(s.progress(), ReasonComplete) {
		t.Errorf("%d run v2, %s", n, s.progress())
	}
}

func TestAUnitThatIsRemovedIsDrained(t *testing.T) {
	for _, of := range allTypes {
		t.Run(string(of), func(t *testing.T) {
			s := newShop(t, ofType(of))
			s.settle("web:v1")
			s.edit(func(d *v1alpha1.CafeDeployment) { d.Spec.Topology.Values = []string{"dcb", "dcc"} })
			s.settle("web:v1")
			if s.spread() != "dcb=5 dcc=5" || len(s.get().Status.Units) != 2 {
				t.Errorf("pods are at %s, units %+v", s.spread(), s.get().Status.Units)
			}
		})
	}
}

func TestAUnitThatComesInTheMiddleOfAnUpdateStartsOnTheOldRevision(t *testing.T) {
	for _, of := range allTypes {
		t.Run(string(of), func(t *testing.T) {
			s := newShop(t, ofType(of), func(d *v1alpha1.CafeDeployment) {
				d.Spec.Strategy = v1alpha1.CafeDeploymentStrategy{UpgradeType: v1alpha1.UpgradeBatch, BatchSize: ptr.To(intstr.FromInt32(2))}
			})
			s.settle("web:v1")
			s.broken["web:bad"] = true
			s.image("web:bad")
			s.settle("web:bad")
			s.edit(func(d *v1alpha1.CafeDeployment) {
				d.Spec.Topology.Values = []string{"dca", "dcb", "dcc"}
				d.Spec.Replicas = ptr.To[int32](12)
			})
			s.settle("web:bad")
			old := 0
			for _, pod := range s.pods {
				if pod.Labels[v1alpha1.LabelUnit] == "dcc" && pod.Spec.Containers[0].Image == "web:v1" {
					old++
				}
			}
			if old != 4 || s.on("web:bad") != 2 {
				t.Errorf("%d pods of dcc are on the old revision, %d run the bad image; %s; %s", old, s.on("web:bad"), s.spread(), s.progress())
			}
		})
	}
}

func TestPartitionsAreFollowedWhileTheyAreSet(t *testing.T) {
	for _, of := range allTypes {
		t.Run(string(of), func(t *testing.T) {
			s := newShop(t, ofType(of))
			s.settle("web:v1")
			s.edit(func(d *v1alpha1.CafeDeployment) {
				d.Spec.Strategy.Partitions = map[string]intstr.IntOrString{"dca": intstr.FromString("100%"), "dcb": intstr.FromString("100%")}
			})
			s.image("web:v2")
			s.settle("web:v2")
			if s.on("web:v2") != 0 || !strings.HasPrefix(s.progress(), ReasonHeldBack) {
				t.Fatalf("%d run v2, %s", s.on("web:v2"), s.progress())
			}
			s.edit(func(d *v1alpha1.CafeDeployment) {
				d.Spec.Strategy.Partitions = map[string]intstr.IntOrString{"dca": intstr.FromInt32(2)}
			})
			s.settle("web:v2")
			if s.on("web:v2") != 3 || !strings.HasPrefix(s.progress(), ReasonHeldBack) {
				t.Fatalf("%d run v2, %s; want 3 of dca", s.on("web:v2"), s.progress())
			}
		})
	}
}

func TestPodsWithoutRoomAreMovedAndTakenBack(t *testing.T) {
	s := newShop(t, func(d *v1alpha1.CafeDeployment) { d.Spec.Topology.AutoReschedule.Enable = true })
	s.settle("web:v1")
	for name, pod := range s.pods {
		if name == "web-dca-3" || name == "web-dca-4" {
			pod = pod.DeepCopy()
			pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, Message: "0/3 nodes", LastTransitionTime: metav1.NewTime(s.clock.Now())}}
			s.pods[name] = pod
		}
	}
	s.settle("web:v1")
	if s.spread() != "dca=3 dcb=7" || !strings.HasPrefix(s.condition(v1alpha1.ConditionAllocated), ReasonRescheduled) {
		t.Fatalf("pods are at %s; %s", s.spread(), s.condition(v1alpha1.ConditionAllocated))
	}
	s.edit(func(d *v1alpha1.CafeDeployment) { d.Spec.MinReadySeconds = 1 })
	s.settle("web:v1")
	if s.spread() != "dca=5 dcb=5" || !strings.HasPrefix(s.condition(v1alpha1.ConditionAllocated), ReasonAsAsked) {
		t.Errorf("after a change of the spec pods are at %s; %s", s.spread(), s.condition(v1alpha1.ConditionAllocated))
	}
}

func TestWithoutUnitsThereIsOneSetOnAnyNode(t *testing.T) {
	for _, of := range allTypes {
		t.Run(string(of), func(t *testing.T) {
			s := newShop(t, ofType(of), func(d *v1alpha1.CafeDeployment) {
				d.Spec.Topology = v1alpha1.CafeDeploymentTopology{UnitType: v1alpha1.UnitNone}
			})
			s.settle("web:v1")
			if s.spread() != "web=10" {
				t.Errorf("pods are at %s", s.spread())
			}
			for _, pod := range s.pods {
				if pod.Spec.Affinity != nil {
					t.Fatalf("%s has an affinity", pod.Name)
				}
			}
		})
	}
}
