// Package check is the stage that moves nothing and judges its guards once.
package check

import (
	"context"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/stage"
)

// Task is the check.
type Task struct{}

var (
	_ stage.Task   = Task{}
	_ stage.Teller = Task{}
)

// nothing is why a check without guards fails.
const nothing = "spec.guards: there is nothing to check: neither the stage nor its target has guards"

// Kind implements stage.Task.
func (Task) Kind() string { return "Check" }

// Results implements stage.Task: the verdicts as a JSON array of guard@member=Verdict.
func (Task) Results() map[string]string { return map[string]string{"verdicts": "[]"} }

// NewSpec implements stage.Task.
func (Task) NewSpec() stage.Spec { return &v1alpha1.CheckSpec{} }

// Scope implements stage.Task.
func (Task) Scope(spec stage.Spec) *stage.Scope {
	s := spec.(*v1alpha1.CheckSpec)
	return &stage.Scope{
		Target: s.Target, Members: s.Members, MemberSelector: s.MemberSelector,
		MemberPath: func(p *field.Path, i int) *field.Path { return p.Child("members").Index(i) },
		Guards:     s.Guards, GuardSets: s.GuardSets, Once: true,
	}
}

// Tell implements stage.Teller.
func (Task) Tell(_ context.Context, run *stage.Run) (stage.Told, error) {
	if len(run.Admitted.Guards) == 0 {
		return stage.Told{Wrong: []string{nothing}}, nil
	}
	return stage.Told{Facts: []string{"judges its guards once"}}, nil
}

// Step implements stage.Task. A guard that cannot be judged yet is waited for; what is judged is judged anew then, so that all hold at one moment.
func (Task) Step(ctx context.Context, run *stage.Run) (stage.Outcome, error) {
	if _, ok := run.Spec.(*v1alpha1.CheckSpec); !ok {
		return stage.Outcome{}, fmt.Errorf("a %T is not the spec of a check", run.Spec)
	}
	members := run.Admitted.Members
	if err := run.SeeRelease(ctx); err != nil {
		return stage.Outcome{}, err
	}
	world, err := run.Observe(members)
	if err != nil {
		return stage.Outcome{}, err
	}
	run.Progress(world, members, stage.LetGo)
	if len(run.Admitted.Guards) == 0 {
		return stage.Fail(stage.ReasonInvalid, nothing), nil
	}
	// What can be seen is judged: a member that cannot be reached hides nothing of the others.
	var seen []string
	for _, m := range members {
		if world.Only([]string{m}).Unseen() == nil {
			seen = append(seen, m)
		}
	}
	sum, wake := run.Judge(v1alpha1.Before, stage.Judging{World: world, Members: seen, Want: stage.LetGo})
	results := map[string]string{"verdicts": run.Verdicts()}
	onFailure := v1alpha1.Fail
	if run.Asking() {
		// Sources answer in seconds, and then whoever reads the verdicts learns all that is wrong, not only what was known first.
		onFailure = v1alpha1.Hold
	}
	out, unseen := stage.GuardOutcome(sum, onFailure, wake), world.Unseen()
	if unseen != nil && (out == nil || len(sum.Failed) == 0) {
		out = unseen
	}
	if out != nil {
		out.Results = results
		return *out, nil
	}
	return stage.Done("all guards hold in "+strings.Join(members, ", "), results), nil
}
