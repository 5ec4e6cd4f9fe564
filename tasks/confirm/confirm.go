// Package confirm is the stage that moves nothing and waits until enough people said yes.
package confirm

import (
	"context"
	"fmt"
	"strings"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/stage"
)

// Task is the confirm.
type Task struct{}

var _ stage.Task = Task{}

// Kind implements stage.Task.
func (Task) Kind() string { return "Confirm" }

// WhyNotSkipped implements stage.Unskippable: who may answer is what a Confirm is for.
func (Task) WhyNotSkipped() string {
	return "a Confirm is answered, not skipped: periplus approve or reject"
}

// Results implements stage.Task: the decision (Approve, Reject, or empty where there was none), and who said so as a JSON array.
func (Task) Results() map[string]string { return map[string]string{"decision": "", "approvers": "[]"} }

// NewSpec implements stage.Task.
func (Task) NewSpec() stage.Spec { return &v1alpha1.ConfirmSpec{} }

// Scope implements stage.Task: a confirm looks at no member.
func (Task) Scope(stage.Spec) *stage.Scope { return nil }

// Step implements stage.Task.
func (Task) Step(_ context.Context, run *stage.Run) (stage.Outcome, error) {
	spec, ok := run.Spec.(*v1alpha1.ConfirmSpec)
	if !ok {
		return stage.Outcome{}, fmt.Errorf("a %T is not the spec of a confirm", run.Spec)
	}
	yes, no, out := run.Confirmed(spec, "", "")
	switch {
	case out == nil:
		names := make([]string, 0, len(yes))
		for _, a := range yes {
			names = append(names, a.User+stage.Said(a.Message))
		}
		return stage.Done("approved by "+strings.Join(names, ", "), results(v1alpha1.Approve, yes)), nil
	case len(no) > 0:
		out.Results = results(v1alpha1.Reject, no[:1])
	}
	return *out, nil
}

func results(d v1alpha1.Decision, answers []v1alpha1.Answer) map[string]string {
	users := make([]string, 0, len(answers))
	for _, a := range answers {
		users = append(users, a.User)
	}
	return map[string]string{"decision": string(d), "approvers": stage.JSONList(users)}
}
