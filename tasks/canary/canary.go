// Package canary is the stage that moves a few pods of each unit to the new revision, lets them bake, and holds all else back.
package canary

import (
	"context"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/plan"
	"github.com/periplus-dev/periplus/pkg/stage"
	"github.com/periplus-dev/periplus/pkg/workload"
)

// Task is the canary.
type Task struct{}

var (
	_ stage.Moving = Task{}
	_ stage.Baker  = Task{}
)

// Kind implements stage.Task.
func (Task) Kind() string { return "Canary" }

// Results implements stage.Task: the revision that was brought, and the canaries' names as a JSON array.
func (Task) Results() map[string]string { return map[string]string{"revision": "", "pods": "[]"} }

// NewSpec implements stage.Task.
func (Task) NewSpec() stage.Spec { return &v1alpha1.CanarySpec{} }

// Scope implements stage.Task.
func (Task) Scope(spec stage.Spec) *stage.Scope {
	return stage.RolloutScope(&spec.(*v1alpha1.CanarySpec).Rollout)
}

// Bake implements stage.Baker.
func (Task) Bake(spec stage.Spec) *metav1.Duration { return spec.(*v1alpha1.CanarySpec).Bake }

// Mover implements stage.Moving.
func (Task) Mover(run *stage.Run) (*stage.Mover, error) {
	spec, ok := run.Spec.(*v1alpha1.CanarySpec)
	if !ok {
		return nil, fmt.Errorf("a %T is not the spec of a canary", run.Spec)
	}
	return &stage.Mover{
		Rollout: &spec.Rollout,
		Check: func(units []plan.Unit, p *field.Path) field.ErrorList {
			return plan.CheckCanary(units, spec.Pods, spec.Unit, p)
		},
		Steps:   func(units []plan.Unit) []plan.Step { return plan.Canary(units, spec.Pods, spec.Unit) },
		Bake:    stage.BakeOf(spec.Bake),
		Results: func(units []workload.Unit) map[string]string { return results(run, units) },
	}, nil
}

// Step implements stage.Task.
func (t Task) Step(ctx context.Context, run *stage.Run) (stage.Outcome, error) {
	return stage.StepOf(ctx, t, run)
}

func results(run *stage.Run, units []workload.Unit) map[string]string {
	pods := []string{}
	for i := range units {
		for _, p := range units[i].Pods {
			if p.Updated && !p.Terminating {
				pods = append(pods, p.Name)
			}
		}
	}
	slices.Sort(pods)
	const most = 100 // a result is kept small: a canary is a few pods.
	if len(pods) > most {
		pods = pods[:most]
	}
	return map[string]string{"revision": stage.RevisionOf(run.Release, run.Admitted.Members), "pods": stage.JSONList(pods)}
}
