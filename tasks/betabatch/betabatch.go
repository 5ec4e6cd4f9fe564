// Package betabatch is the stage that carries a change group by group over all units of all its members together: one pod in each unit first, then batches.
package betabatch

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/plan"
	"github.com/periplus-dev/periplus/pkg/stage"
	"github.com/periplus-dev/periplus/pkg/workload"
)

// Task is the beta batch.
type Task struct{}

var _ stage.Moving = Task{}

// Kind implements stage.Task.
func (Task) Kind() string { return "BetaBatch" }

// Results implements stage.Task: the revision, how many pods of all units each group had brought to it when it was done, as a JSON array, how many are updated in
// the end, and the members that were left out, as a JSON array.
func (Task) Results() map[string]string {
	return map[string]string{"revision": "", "batches": "[]", "updated": "", "skipped": "[]"}
}

// NewSpec implements stage.Task.
func (Task) NewSpec() stage.Spec { return &v1alpha1.BetaBatchSpec{} }

// Scope implements stage.Task.
func (Task) Scope(spec stage.Spec) *stage.Scope {
	return stage.RolloutScope(&spec.(*v1alpha1.BetaBatchSpec).Rollout)
}

// Mover implements stage.Moving.
func (Task) Mover(run *stage.Run) (*stage.Mover, error) {
	spec, ok := run.Spec.(*v1alpha1.BetaBatchSpec)
	if !ok {
		return nil, fmt.Errorf("a %T is not the spec of a beta batch", run.Spec)
	}
	return &stage.Mover{
		Rollout: &spec.Rollout,
		Check: func(units []plan.Unit, p *field.Path) field.ErrorList {
			return plan.CheckBetaBatch(units, spec, p)
		},
		Joint:          true,
		Steps:          func(units []plan.Unit) []plan.Step { return plan.BetaBatch(units, spec) },
		Bake:           stage.BakeOf(spec.Bake),
		MaxUnavailable: spec.MaxUnavailable,
		Confirm:        spec.Confirm,
		OnUnreachable:  spec.OnUnreachable,
		Results:        func(units []workload.Unit) map[string]string { return results(run, spec, units) },
	}, nil
}

// Step implements stage.Task.
func (t Task) Step(ctx context.Context, run *stage.Run) (stage.Outcome, error) {
	return stage.StepOf(ctx, t, run)
}

func results(run *stage.Run, spec *v1alpha1.BetaBatchSpec, units []workload.Unit) map[string]string {
	planned, updated := make([]plan.Unit, 0, len(units)), int32(0)
	for i := range units {
		planned = append(planned, units[i].PlanUnit())
		updated += units[i].Count().Updated
	}
	batches := []int32{}
	for _, step := range plan.BetaBatch(planned, spec) {
		n := int32(0)
		for _, w := range step.Wants {
			n += w.Updated
		}
		batches = append(batches, n)
	}
	list := "[]"
	if raw, err := json.Marshal(batches); err == nil {
		list = string(raw)
	}
	return map[string]string{"revision": stage.RevisionOf(run.Release, run.Admitted.Members), "batches": list, "updated": strconv.Itoa(int(updated))}
}
