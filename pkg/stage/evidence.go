package stage

import (
	"context"
	"fmt"
	"slices"

	"github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/policy"
)

// proof is a stage of a run that carries the release, which succeeded by its own doing.
type proof struct {
	kind   string
	name   string
	status *v1alpha1.RunStatus
}

// unproven says what has not happened, of what must have before the stage moves something. It reads what is from the API server: admission lets only
// Tekton make a stage that belongs to a PipelineRun, nobody change what such a stage is, and only our controller write how it went.
func (a *admitter) unproven(ctx context.Context, terms []policy.Terms, bakes bool, target *v1alpha1.TargetSpec, p *field.Path) (field.ErrorList, error) {
	proofs, err := a.proofs(ctx)
	if err != nil {
		return nil, err
	}
	var starters []string
	if a.run.knownStarter() {
		starters = a.run.starters()
	}
	var errs field.ErrorList
	for i := range terms {
		t := &terms[i]
		for j := range t.Confirms {
			c := &t.Confirms[j]
			yes := slices.ContainsFunc(proofs, func(x proof) bool { return x.kind == confirmKind && c.Yes(x.status.Question, starters) })
			if !yes {
				errs = append(errs, forbidden(p, fmt.Sprintf("ReleasePolicy %q demands that before anything moves in member %q %s; no Confirm of this run got that%s",
					c.Policy, t.Member.Name, c.Words(), answered(proofs))))
			}
		}
		if t.Bake > 0 && !bakes && !slices.ContainsFunc(proofs, func(x proof) bool { return a.baked(x, t, target) }) {
			errs = append(errs, forbidden(p, fmt.Sprintf("ReleasePolicy %q demands that canaries in member %q bake for %s or longer; no Canary of this target did so in this run",
				t.BakePolicy, t.Member.Name, t.Bake)))
		}
	}
	return errs, nil
}

// answered says who said yes to what.
func answered(proofs []proof) string {
	said := ""
	for _, x := range proofs {
		if x.kind != confirmKind || x.status.Question == nil {
			continue
		}
		for _, y := range x.status.Question.Answers {
			said += fmt.Sprintf("; to %q %s said yes", x.name, y.User)
		}
	}
	return shorten(said, maxDetail)
}

// proofs are the stages of the runs that carry the release, which succeeded by their own doing: one that somebody skipped proves nothing.
func (a *admitter) proofs(ctx context.Context) ([]proof, error) {
	var out []proof
	for _, c := range a.run.carriers {
		list, err := a.tekton.TektonV1beta1().CustomRuns(a.run.Namespace).List(ctx, metav1.ListOptions{LabelSelector: "tekton.dev/pipelineRun=" + c.run.Name})
		if err != nil {
			return nil, fmt.Errorf("listing the stages of PipelineRun %s/%s: %w", a.run.Namespace, c.run.Name, err)
		}
		for i := range list.Items {
			cr := &list.Items[i]
			kind := kindOf(cr)
			owner := metav1.GetControllerOf(cr)
			if a.tasks[kind] == nil || owner == nil || owner.UID != c.run.UID || owner.Kind != "PipelineRun" {
				continue
			}
			if st := succeededItself(cr); st != nil {
				out = append(out, proof{kind: kind, name: taskName(cr), status: st})
			}
		}
	}
	return out, nil
}

// succeededItself returns the status of a stage that came to its own good end, else nil.
func succeededItself(cr *v1beta1.CustomRun) *v1alpha1.RunStatus {
	if cr.Status.CompletionTime == nil || !cr.IsSuccessful() {
		return nil
	}
	st, err := statusOf(cr)
	if err != nil || st.Outcome == nil || !st.Outcome.Succeeded || st.Outcome.Reason != ReasonSucceeded {
		return nil
	}
	return st
}

// baked says whether a stage is canaries that baked as the terms of a member demand, of the very workload that the target names now.
func (a *admitter) baked(x proof, t *policy.Terms, target *v1alpha1.TargetSpec) bool {
	baker, ok := a.tasks[x.kind].(Baker)
	was := x.status.Admitted
	if !ok || was == nil || was.Target == nil || target == nil || !slices.Contains(was.Members, t.Member.Name) ||
		!equality.Semantic.DeepEqual(was.Target.Workload, target.Workload) {
		return false
	}
	spec, err := decodeStrict(a.tasks[x.kind], was.Spec.Raw)
	if err != nil {
		return false
	}
	b := baker.Bake(spec)
	return b != nil && b.Duration >= t.Bake
}
