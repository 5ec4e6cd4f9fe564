// Package partitionbump is the stage that lowers partitions unit by unit, data centre by data centre.
package partitionbump

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/plan"
	"github.com/periplus-dev/periplus/pkg/stage"
	"github.com/periplus-dev/periplus/pkg/workload"
)

// Task is the partition bump.
type Task struct{}

var _ stage.Moving = Task{}

// Kind implements stage.Task.
func (Task) Kind() string { return "PartitionBump" }

// Results implements stage.Task: the revision, and the partitions by member and unit as a JSON array of member/unit=partition.
func (Task) Results() map[string]string { return map[string]string{"revision": "", "partitions": "[]"} }

// NewSpec implements stage.Task.
func (Task) NewSpec() stage.Spec { return &v1alpha1.PartitionBumpSpec{} }

// Scope implements stage.Task.
func (Task) Scope(spec stage.Spec) *stage.Scope {
	return stage.RolloutScope(&spec.(*v1alpha1.PartitionBumpSpec).Rollout)
}

// Mover implements stage.Moving.
func (Task) Mover(run *stage.Run) (*stage.Mover, error) {
	spec, ok := run.Spec.(*v1alpha1.PartitionBumpSpec)
	if !ok {
		return nil, fmt.Errorf("a %T is not the spec of a partition bump", run.Spec)
	}
	return &stage.Mover{
		Rollout: &spec.Rollout,
		Check: func(units []plan.Unit, p *field.Path) field.ErrorList {
			return plan.CheckBump(units, spec, p)
		},
		Steps:   func(units []plan.Unit) []plan.Step { return plan.Bump(units, spec) },
		Results: func(units []workload.Unit) map[string]string { return results(run, units) },
	}, nil
}

// Step implements stage.Task.
func (t Task) Step(ctx context.Context, run *stage.Run) (stage.Outcome, error) {
	return stage.StepOf(ctx, t, run)
}

func results(run *stage.Run, units []workload.Unit) map[string]string {
	out := make([]string, 0, len(units))
	for i := range units {
		p := "0"
		if units[i].Partition != nil {
			p = units[i].Partition.String()
		}
		out = append(out, units[i].Ref()+"="+p)
	}
	return map[string]string{"revision": stage.RevisionOf(run.Release, run.Admitted.Members), "partitions": stage.JSONList(out)}
}
