// Package clusterhop takes a release from cluster to cluster. As a gate (gate.go) it checks the members left behind, stays silent for a time, checks the
// next ones, and lets the pipeline go on. As a carrier (carrier.go) it runs a Pipeline once for each of many members, wave after wave. It moves nothing itself.
//
// A pass of a carrier gathers what is (look.go), judges those whose run is over (settle.go), makes the runs that it meant to make and decides who is
// next (begin.go), and says so (report.go). Whose turn it is and when it is over is decided by pkg/plan alone.
package clusterhop

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/plan"
	"github.com/periplus-dev/periplus/pkg/stage"
)

// Task is the cluster hop.
type Task struct{}

var _ stage.Carrier = Task{}

// Kind implements stage.Task.
func (Task) Kind() string { return "ClusterHop" }

// Results implements stage.Task, as JSON arrays. members: those that the pipeline may go on to, of a carrier those that are done; failed and skipped are a
// carrier's.
func (Task) Results() map[string]string {
	return map[string]string{"members": "[]", "failed": "[]", "skipped": "[]"}
}

// NewSpec implements stage.Task.
func (Task) NewSpec() stage.Spec { return &v1alpha1.ClusterHopSpec{} }

// Scope implements stage.Task.
func (Task) Scope(spec stage.Spec) *stage.Scope {
	s := spec.(*v1alpha1.ClusterHopSpec)
	scope := &stage.Scope{Target: s.Target, Guards: s.Guards, GuardSets: s.GuardSets}
	if s.Carries() {
		scope.Waves = func(fleet []plan.Candidate, p *field.Path) ([][]string, field.ErrorList) {
			return plan.Waves(s, fleet, p)
		}
		return scope
	}
	scope.Members = append(append([]string{}, s.From...), s.To...)
	scope.MemberPath = func(p *field.Path, i int) *field.Path {
		if i < len(s.From) {
			return p.Child("from").Index(i)
		}
		return p.Child("to").Index(i - len(s.From))
	}
	return scope
}

// Step implements stage.Task.
func (Task) Step(ctx context.Context, run *stage.Run) (stage.Outcome, error) {
	spec, ok := run.Spec.(*v1alpha1.ClusterHopSpec)
	if !ok {
		return stage.Outcome{}, fmt.Errorf("a %T is not the spec of a cluster hop", run.Spec)
	}
	if spec.Carries() {
		return carry(ctx, run, spec)
	}
	return open(ctx, run, spec)
}

// End implements stage.Carrier. A gate has no children.
func (Task) End(ctx context.Context, run *stage.Run) ([]string, map[string]string, error) {
	spec, ok := run.Spec.(*v1alpha1.ClusterHopSpec)
	if !ok || !spec.Carries() {
		return nil, nil, nil
	}
	return end(ctx, run, spec)
}
