// Package rollback is the stage that takes back what a release touched, and only that.
package rollback

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

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
	scope := &stage.Scope{Guards: s.Guards, GuardSets: s.GuardSets, Moves: true, Back: true}
	if s.FromMembers == nil {
		return scope
	}
	// Nothing on the hub says what the release touched, and so what was allowed then: what policies give now is what is searched.
	scope.Members, scope.MemberPath = s.Members, func(spec *field.Path, i int) *field.Path { return spec.Child("members").Index(i) }
	if len(s.Members) == 0 {
		scope.MemberSelector = &metav1.LabelSelector{}
	}
	return scope
}

// Step implements stage.Task.
func (Task) Step(ctx context.Context, run *stage.Run) (stage.Outcome, error) {
	spec, ok := run.Spec.(*v1alpha1.RollbackSpec)
	if !ok {
		return stage.Outcome{}, fmt.Errorf("a %T is not the spec of a rollback", run.Spec)
	}
	return (&stage.GoBack{Spec: spec}).Step(ctx, run)
}
