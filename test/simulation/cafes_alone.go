package simulation

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	appsv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
)

// cafeAlone is a world of one CafeDeployment without a hub: it goes by its own groups, and people confirm them.
type cafeAlone struct {
	deployment *appsv1alpha1.CafeDeployment
	acts       []cafeAct
	// hasty people confirm before they are asked, which must not count.
	hasty bool
	// slow is how long people may take to confirm.
	slow time.Duration
}

// cafeAct is something that a user does to the deployment, at a step.
type cafeAct struct {
	at   int
	what string
	do   func(*appsv1alpha1.CafeDeployment)
}

// tellCafeAlone makes up a world of one CafeDeployment.
func tellCafeAlone(r *rand.Rand) *story {
	x := &cafeAlone{hasty: r.IntN(3) == 0, slow: time.Duration(1+r.IntN(20)) * time.Second}
	s := &story{members: []string{"m1"}, most: mostSteps, flaps: r.IntN(3) == 0, jumps: r.IntN(8) == 0, name: "a CafeDeployment alone", alone: &setStory{slow: time.Second, cafe: x}}
	labels := map[string]string{"app": "web"}
	units := []string{"dca", "dcb", "dcc"}[:2+r.IntN(2)]
	d := &appsv1alpha1.CafeDeployment{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Labels: labels},
		Spec: appsv1alpha1.CafeDeploymentSpec{
			Replicas: ptr.To(3 + r.Int32N(5)), MinReadySeconds: r.Int32N(3), Selector: &metav1.LabelSelector{MatchLabels: labels},
			MaxUnavailable: ptr.To(intstr.FromInt32(1 + r.Int32N(2))), InPlace: &appsv1alpha1.CafeDeploymentInPlace{GracePeriodSeconds: ptr.To(2 + r.Int32N(2))},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: imageOf("app", "v1")}}},
			},
			Topology: appsv1alpha1.CafeDeploymentTopology{UnitType: appsv1alpha1.UnitZone, NodeLabelKey: "topology.kubernetes.io/zone", Values: units},
		},
	}
	how := &d.Spec.Strategy
	how.UpgradeType = []appsv1alpha1.UpgradeType{appsv1alpha1.UpgradeBeta, appsv1alpha1.UpgradeBatch}[r.IntN(2)]
	if r.IntN(4) > 0 {
		how.BatchSize = ptr.To(intstr.FromInt32(1 + r.Int32N(3)))
	}
	if how.NeedWaitingForConfirm = r.IntN(2) == 0; how.NeedWaitingForConfirm {
		s.name += ", confirmed"
	}
	if r.IntN(4) == 0 {
		d.Spec.InPlace.Type = appsv1alpha1.ReCreate
	}
	x.deployment = d
	at := 0
	for range 2 + r.IntN(4) {
		at += 60 + r.IntN(400)
		x.acts = append(x.acts, aCafeAct(r, at))
	}
	at += 250 + r.IntN(250)
	tag := []string{"v1", "v2", "v4"}[r.IntN(3)]
	x.acts = append(x.acts, cafeAct{at, "wants something that runs", func(d *appsv1alpha1.CafeDeployment) {
		d.Spec.Template.Spec.Containers[0].Image = imageOf("app", tag)
		d.Spec.Strategy.Pause = false
	}})
	s.faulty = max(1200, at+500)
	return s
}

// aCafeAct of a user, who may want what does not work.
func aCafeAct(r *rand.Rand, at int) cafeAct {
	switch n := r.IntN(20); {
	case n < 9:
		tag := []string{"v2", "v2", "v3", "v1", tagBroken, tagSick}[r.IntN(6)]
		return cafeAct{at, "wants image " + tag, func(d *appsv1alpha1.CafeDeployment) { d.Spec.Template.Spec.Containers[0].Image = imageOf("app", tag) }}
	case n < 13:
		replicas := 2 + r.Int32N(7)
		return cafeAct{at, fmt.Sprintf("wants %d pods", replicas), func(d *appsv1alpha1.CafeDeployment) { d.Spec.Replicas = &replicas }}
	case n < 15:
		return cafeAct{at, "pauses, or goes on", func(d *appsv1alpha1.CafeDeployment) { d.Spec.Strategy.Pause = !d.Spec.Strategy.Pause }}
	case n < 18:
		return cafeAct{at, "adds a unit, or takes one out", func(d *appsv1alpha1.CafeDeployment) {
			if of := &d.Spec.Topology; len(of.Values) > 2 {
				of.Values, of.UnitReplicas = of.Values[1:], nil
			} else {
				for _, unit := range []string{"dca", "dcb", "dcc"} {
					if unit != of.Values[0] && unit != of.Values[1] {
						of.Values = append(of.Values, unit)
						break
					}
				}
			}
		}}
	default:
		n := r.Int32N(4)
		return cafeAct{at, fmt.Sprintf("wants %d pods in one unit", n), func(d *appsv1alpha1.CafeDeployment) {
			d.Spec.Topology.UnitReplicas = map[string]intstr.IntOrString{d.Spec.Topology.Values[0]: intstr.FromInt32(n)}
		}}
	}
}

// cafeUsers change the deployment as the story has it, and confirm groups.
type cafeUsers struct {
	w    *World
	c    *cluster
	next int
	// asked is the question that they think about, until at.
	asked string
	at    time.Time
}

func (u *cafeUsers) done() bool { return u.next == len(u.w.story.alone.cafe.acts) }

func (u *cafeUsers) due() time.Time {
	if d := u.deployment(); d == nil || !waitsForPeople(d) {
		return time.Time{}
	}
	return u.at
}

func (u *cafeUsers) deployment() *appsv1alpha1.CafeDeployment {
	if all := u.c.cafes(); len(all) > 0 {
		return all[0]
	}
	return nil
}

// waitsForPeople says whether a deployment asked for a confirmation that nobody gave.
func waitsForPeople(d *appsv1alpha1.CafeDeployment) bool {
	return d.Status.Asked != "" && d.Annotations[appsv1alpha1.AnnotationConfirmed] == "false"
}

func (u *cafeUsers) move() (string, func(context.Context) error) {
	d := u.deployment()
	x := u.w.story.alone.cafe
	if d == nil || u.w.began == 0 {
		return "", nil
	}
	if !u.done() && u.w.step-u.w.began >= x.acts[u.next].at {
		act := x.acts[u.next]
		return act.what, func(ctx context.Context) error {
			d := d.DeepCopy()
			act.do(d)
			u.next++
			_, err := u.c.admin.periplus.AppsV1alpha1().CafeDeployments(namespace).Update(ctx, d, metav1.UpdateOptions{})
			return err
		}
	}
	if x.hasty && u.w.faults && d.Annotations[appsv1alpha1.AnnotationConfirmed] != "true" && u.w.step%97 == 0 {
		return "somebody confirms unasked", u.confirm
	}
	if !waitsForPeople(d) {
		return "", nil
	}
	if u.asked != d.Status.Asked {
		u.asked, u.at = d.Status.Asked, u.w.clock.Now().Add(time.Duration(u.w.rand.Int64N(int64(x.slow))))
	}
	if u.w.clock.Now().Before(u.at) {
		return "", nil
	}
	return "confirms " + d.Status.Asked, u.confirm
}

func (u *cafeUsers) confirm(ctx context.Context) error {
	d := u.deployment().DeepCopy()
	if d.Annotations == nil {
		d.Annotations = map[string]string{}
	}
	d.Annotations[appsv1alpha1.AnnotationConfirmed] = "true"
	_, err := u.c.admin.periplus.AppsV1alpha1().CafeDeployments(namespace).Update(ctx, d, metav1.UpdateOptions{})
	return err
}

// checkCafes is what users have in the end: all pods that they want, on what they want, in the units that they want.
func (w *World) checkCafes() {
	end := func(format string, args ...any) { w.rules.broken(0, format, args...) }
	for _, d := range w.members[0].cafes() {
		s, why := &d.Status, ""
		for _, c := range s.Conditions {
			if c.Type == appsv1alpha1.ConditionProgressing {
				why = c.Reason + ": " + c.Message
			}
		}
		w.logf("%s: %s", d.Name, jsonText(s))
		if n := *d.Spec.Replicas; s.Replicas != n || s.AvailableReplicas != n || s.UpdatedAvailableReplicas != n || s.ObservedGeneration != d.Generation {
			end("%s has %d pods of %d, %d of them available, %d updated: %s", d.Name, s.Replicas, n, s.AvailableReplicas, s.UpdatedAvailableReplicas, why)
		}
		if s.CurrentRevision != s.UpdateRevision || s.Scaling != nil || s.Group != nil {
			end("%s is not done: %s to %s, scaling %v, group %v: %s", d.Name, s.CurrentRevision, s.UpdateRevision, s.Scaling, s.Group, why)
		}
		if sets := w.members[0].sets(); len(sets) != len(d.Spec.Topology.Values) || len(s.Units) != len(sets) {
			end("%s has %d sets for %d units, and %d in its status", d.Name, len(sets), len(d.Spec.Topology.Values), len(s.Units))
		}
	}
}
