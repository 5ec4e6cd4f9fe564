// Package rollback is the stage that takes back what a release touched, and only that.
package rollback

import (
	"context"
	"fmt"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/stage"
)

// Task is the rollback.
type Task struct{}

var _ stage.Task = Task{}

// Kind implements stage.Task.
func (Task) Kind() string { return "Rollback" }

// Results implements stage.Task: the members that are back, as a JSON array, and the revision that they are back on.
func (Task) Results() map[string]string { return map[string]string{"members": "[]", "revision": ""} }

// NewSpec implements stage.Task.
func (Task) NewSpec() stage.Spec { return &v1alpha1.RollbackSpec{} }

// Scope implements stage.Task.
func (Task) Scope(spec stage.Spec) *stage.Scope {
	s := spec.(*v1alpha1.RollbackSpec)
	return &stage.Scope{Guards: s.Guards, GuardSets: s.GuardSets, Moves: true, Back: true}
}

// Step implements stage.Task.
func (Task) Step(ctx context.Context, run *stage.Run) (stage.Outcome, error) {
	spec, ok := run.Spec.(*v1alpha1.RollbackSpec)
	if !ok {
		return stage.Outcome{}, fmt.Errorf("a %T is not the spec of a rollback", run.Spec)
	}
	return (&stage.GoBack{Spec: spec}).Step(ctx, run)
}
