package simulation

import (
	"context"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	appsv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	stagesv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/stage"
)

// TestEachRuleOfCafeDeploymentsCanFail plants bugs of the controller of CafeDeployments, and of the stage that drives them group by group.
func TestEachRuleOfCafeDeploymentsCanFail(t *testing.T) {
	member := func(lie func(*appsv1alpha1.CafeDeployment)) map[string]func(runtime.Object) {
		return map[string]func(runtime.Object){"member/cafedeployments": func(o runtime.Object) { lie(o.(*appsv1alpha1.CafeDeployment)) }}
	}
	for _, r := range []struct {
		name  string
		rule  int
		plant Plant
		says  string
	}{
		{"a controller that takes all groups for one", 10, Plant{Story: ownGroups, Lies: member(func(d *appsv1alpha1.CafeDeployment) {
			d.Spec.Strategy.UpgradeType, d.Spec.Strategy.BatchSize = appsv1alpha1.UpgradeBatch, nil
		})}, "are available"},
		{"a controller that does not wait for people", 10, Plant{Story: ownGroups, Lies: member(func(d *appsv1alpha1.CafeDeployment) {
			d.Spec.Strategy.NeedWaitingForConfirm = false
		})}, "people confirmed 0 times"},
		{"a controller that takes one confirmation for all", 10, Plant{Story: ownGroups, Lies: member(func(d *appsv1alpha1.CafeDeployment) {
			if d.Status.Asked != "" && strings.HasSuffix(d.Status.Asked, "/2") {
				d.Annotations[appsv1alpha1.AnnotationConfirmed] = "true"
			}
		})}, "people confirmed 1 times"},
		{"a hub that sees no locks of deployments", 3, Plant{Story: func(s *story) {
			driven(s)
			s.rival = true
		}, Lies: map[string]func(runtime.Object){"hub/cafedeployments": func(o runtime.Object) {
			delete(o.(*appsv1alpha1.CafeDeployment).Annotations, stagesv1alpha1.AnnotationLock)
		}}}, "which is not over"},
		{"a stage that asks nobody between its groups", 10, Plant{Story: driven, Task: unasked}, "that needs a yes"},
		{"a stage that takes all pods for one group", 10, Plant{Story: driven, Task: allAtOnce}, "are available"},
	} {
		t.Run(strings.ReplaceAll(r.name, " ", "_"), func(t *testing.T) {
			t.Parallel()
			lookFor(t, r.rule, r.plant, r.says, 30)
		})
	}
}

// ownGroups is a deployment of six pods in two units that people confirm group by group, and change twice.
func ownGroups(s *story) {
	*s = *tellCafeAlone(randOf(1))
	x := s.alone.cafe
	d := &x.deployment.Spec
	d.Replicas, d.MaxUnavailable, d.InPlace.Type = ptr.To(int32(6)), ptr.To(intstr.FromInt32(1)), appsv1alpha1.InPlaceIfPossible
	d.Topology.Values = []string{"dca", "dcb"}
	d.Strategy = appsv1alpha1.CafeDeploymentStrategy{UpgradeType: appsv1alpha1.UpgradeBeta, BatchSize: ptr.To(intstr.FromInt32(2)), NeedWaitingForConfirm: true}
	x.hasty, x.acts = false, nil
	for n, tag := range []string{"v2", "v3"} {
		x.acts = append(x.acts, cafeAct{100 + 900*n, "wants image " + tag, func(d *appsv1alpha1.CafeDeployment) {
			d.Spec.Template.Spec.Containers[0].Image = imageOf("app", tag)
		}})
	}
	s.flaps, s.jumps, s.faulty = false, false, 2500
}

// driven is a release of a CafeDeployment whose last stage asks people between its groups.
func driven(s *story) {
	plainly(s)
	s.replicas = map[string]int32{"dca": 3, "dcb": 3}
	s.cafe = &cafeStory{beta: true, size: 3, confirms: true}
}

func unasked(t stage.Task) stage.Task {
	return betaBatchWith(t, func(s *stagesv1alpha1.BetaBatchSpec) { s.Confirm = nil })
}

func allAtOnce(t stage.Task) stage.Task {
	return betaBatchWith(t, func(s *stagesv1alpha1.BetaBatchSpec) {
		s.Confirm, s.UpgradeType, s.BatchSize = nil, appsv1alpha1.UpgradeBatch, ptr.To(intstr.FromInt32(100))
	})
}

// betaBatchWith changes what stage BetaBatch is told.
func betaBatchWith(t stage.Task, change func(*stagesv1alpha1.BetaBatchSpec)) stage.Task {
	return wrapped{Task: t, step: func(ctx context.Context, t stage.Task, run *stage.Run) (stage.Outcome, error) {
		if spec, ok := run.Spec.(*stagesv1alpha1.BetaBatchSpec); ok {
			change(spec)
		}
		return t.Step(ctx, run)
	}}
}
