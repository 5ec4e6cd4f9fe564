// Package sidecarupgrade is the stage that brings a new version of a SidecarSet into running pods, unit after unit.
package sidecarupgrade

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/plan"
	"github.com/periplus-dev/periplus/pkg/stage"
	"github.com/periplus-dev/periplus/pkg/workload"
)

// Task is the sidecar upgrade.
type Task struct{}

var _ stage.Moving = Task{}

// Kind implements stage.Task.
func (Task) Kind() string { return "SidecarUpgrade" }

// Results implements stage.Task: the revision; the pods that run it, up to a hundred, as a JSON array of namespace/name; how many they are; how many get it only when they
// are created anew; and the members that were left out, as a JSON array.
func (Task) Results() map[string]string {
	return map[string]string{"revision": "", "pods": "[]", "updated": "", "waiting": "", "skipped": "[]"}
}

// NewSpec implements stage.Task.
func (Task) NewSpec() stage.Spec { return &v1alpha1.SidecarUpgradeSpec{} }

// Scope implements stage.Task.
func (Task) Scope(spec stage.Spec) *stage.Scope {
	scope := stage.RolloutScope(&spec.(*v1alpha1.SidecarUpgradeSpec).Rollout)
	scope.Workloads = []string{workload.KindSidecarSet}
	return scope
}

// Mover implements stage.Moving.
func (Task) Mover(run *stage.Run) (*stage.Mover, error) {
	spec, ok := run.Spec.(*v1alpha1.SidecarUpgradeSpec)
	if !ok {
		return nil, fmt.Errorf("a %T is not the spec of a sidecar upgrade", run.Spec)
	}
	return &stage.Mover{
		Rollout: &spec.Rollout,
		Check: func(units []plan.Unit, p *field.Path) field.ErrorList {
			return plan.CheckSidecarUpgrade(units, spec, p)
		},
		Joint:          true,
		Steps:          func(units []plan.Unit) []plan.Step { return plan.SidecarUpgrade(units, spec) },
		Bake:           stage.BakeOf(spec.Bake),
		MaxUnavailable: spec.MaxUnavailable,
		Confirm:        spec.Confirm,
		LeaveWaiting:   spec.OnWaitingForCreation == v1alpha1.WaitingLeave,
		OnUnreachable:  spec.OnUnreachable,
		Results:        func(units []workload.Unit) map[string]string { return results(run, units) },
	}, nil
}

// Step implements stage.Task.
func (t Task) Step(ctx context.Context, run *stage.Run) (stage.Outcome, error) {
	return stage.StepOf(ctx, t, run)
}

func results(run *stage.Run, units []workload.Unit) map[string]string {
	const most = 100 // a result is kept small.
	updated, waiting, pods := 0, int32(0), []string{}
	for i := range units {
		waiting += units[i].Waiting
		for _, p := range units[i].Pods {
			if p.Updated && !p.Terminating {
				updated++
				pods = append(pods, p.Namespace+"/"+p.Name)
			}
		}
	}
	slices.Sort(pods)
	return map[string]string{
		"revision": stage.RevisionOf(run.Release, run.Admitted.Members), "pods": stage.JSONList(pods[:min(len(pods), most)]),
		"updated": strconv.Itoa(updated), "waiting": strconv.Itoa(int(waiting)),
	}
}
