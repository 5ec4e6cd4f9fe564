package stage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	pipelinev1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	"github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/policy"
)

// confirmKind is the stage whose yes a policy can demand.
const confirmKind = "Confirm"

// Baker is a Task that moves a few pods first and lets them run for a time.
type Baker interface {
	Bake(spec Spec) *metav1.Duration
}

// unmet says what the run of a stage that is about to move something lacks of what policies demand. The whole run is looked at, as far as it is known
// yet, so that its first stage says already what a later one would be refused for; then what has really happened in it, which alone counts.
func (a *admitter) unmet(ctx context.Context, scope *Scope, spec Spec, out *v1alpha1.Admitted, p *field.Path) (field.ErrorList, error) {
	book, err := a.policies(ctx)
	if err != nil {
		return nil, err
	}
	terms, err := a.termsOf(ctx, out.Members)
	if err != nil {
		return nil, err
	}
	own := policy.Stage{Name: a.run.Task, Moves: true, Target: scope.Target}
	for i := range terms {
		own.Members = append(own.Members, terms[i].Member)
	}
	if baker, ok := a.task.(Baker); ok {
		own.Bakes = true
		if b := baker.Bake(spec); b != nil {
			own.Bake = b.Duration
		}
	}
	run, above, err := a.foreseen(ctx, book.Foresees())
	if err != nil {
		return nil, err
	}
	// What the stage itself does is known better by now than from the pipeline.
	at := slices.IndexFunc(run, func(s policy.Stage) bool { return s.Name == own.Name })
	if at < 0 {
		run, at = append(run, own), len(run)
	}
	own.After, own.Finally = run[at].After, run[at].Finally
	run[at] = own
	if errs := a.lacking(book.Lacks(run, above), p); len(errs) > 0 || a.ahead || !slices.ContainsFunc(terms, needsEvidence) {
		return errs, nil
	}
	return a.unproven(ctx, terms, own.Bakes, out.Target, p)
}

// lacking turns what a run lacks into refusals, each with the stage that it is for.
func (a *admitter) lacking(lacks []policy.Lack, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, l := range lacks {
		path := p
		if l.Stage != a.run.Task {
			path = field.NewPath("tasks").Key(l.Stage)
		}
		errs = append(errs, forbidden(path, l.What))
	}
	return unique(errs)
}

// unaskable says what the run of a Confirm lacks: people are not asked to let something go on that cannot.
func (a *admitter) unaskable(ctx context.Context, p *field.Path) (field.ErrorList, error) {
	book, err := a.policies(ctx)
	if err != nil {
		return nil, err
	}
	run, above, err := a.foreseen(ctx, book.Foresees())
	if err != nil {
		return nil, err
	}
	return a.lacking(book.Lacks(run, above), p), nil
}

func needsEvidence(t policy.Terms) bool { return len(t.Confirms) > 0 || t.Bake > 0 }

// foreseen are the stages of the run, and those of the runs above it that are behind, as the pipelines that Tekton resolved have them. The first stage
// may be made before Tekton has said of what pipeline it is: where must is true that is waited for.
func (a *admitter) foreseen(ctx context.Context, must bool) (run, above []policy.Stage, err error) {
	for i, c := range a.run.carriers {
		spec := c.run.Status.PipelineSpec
		if spec == nil {
			pr, err := a.tekton.TektonV1().PipelineRuns(a.run.Namespace).Get(ctx, c.run.Name, metav1.GetOptions{})
			if err != nil && !apierrors.IsNotFound(err) {
				return nil, nil, fmt.Errorf("reading PipelineRun %s/%s: %w", a.run.Namespace, c.run.Name, err)
			}
			known := err == nil && pr.UID == c.run.UID && pr.Status.PipelineSpec != nil
			if !known && !must {
				continue
			}
			if !known {
				return nil, nil, fmt.Errorf("waiting for Tekton to say in the status of PipelineRun %s/%s which stages it has", a.run.Namespace, c.run.Name)
			}
			spec = pr.Status.PipelineSpec
		}
		all, err := a.stagesOf(ctx, c.run.Name, spec)
		if err != nil {
			return nil, nil, err
		}
		switch {
		case i == 0:
			run = all
		case c.task == "":
			above = append(above, all...)
		default:
			above = append(above, policy.Before(all, c.task)...)
		}
	}
	return run, above, nil
}

// stagesOf reads a pipeline's tasks as stages.
func (a *admitter) stagesOf(ctx context.Context, run string, spec *pipelinev1.PipelineSpec) ([]policy.Stage, error) {
	var out []policy.Stage
	for i := range spec.Tasks {
		s, err := a.stageOf(ctx, run, &spec.Tasks[i])
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	for i := range spec.Finally {
		s, err := a.stageOf(ctx, run, &spec.Finally[i])
		if err != nil {
			return nil, err
		}
		s.Finally = true
		out = append(out, s)
	}
	return out, nil
}

// stageOf reads one task of a pipeline as if its run had begun. What hangs on results, or is wrong, stays hidden: the stage's own admission will tell.
func (a *admitter) stageOf(ctx context.Context, run string, pt *pipelinev1.PipelineTask) (policy.Stage, error) {
	s := policy.Stage{Name: pt.Name, After: pt.Deps()}
	cr := asRun(a.run.Namespace, run, pt)
	kind := kindOf(cr)
	task := a.tasks[kind]
	if task == nil {
		return s, nil // not a stage, or of a kind that this controller does not have.
	}
	baker, bakes := task.(Baker)
	s.Hidden, s.Confirms, s.Bakes = true, kind == confirmKind, bakes
	probe := &admitter{task: task, client: a.client, fleet: a.fleet, stored: a.stored}
	raw, err := probe.rawSpec(ctx, cr)
	var bad *invalidError
	if errors.As(err, &bad) {
		return s, nil
	}
	if err != nil {
		return s, fmt.Errorf("looking ahead at stage %s: %w", pt.Name, err)
	}
	spec, ok := probe.legible(raw, cr)
	if !ok {
		return s, nil
	}
	s.Hidden = false
	s.Confirm, _ = spec.(*v1alpha1.ConfirmSpec)
	if bakes {
		if b := baker.Bake(spec); b != nil {
			s.Bake = b.Duration
		}
	}
	if scope := task.Scope(spec); scope != nil && scope.Moves && !scope.Back {
		s.Moves, s.Target = true, scope.Target
		s.Members, err = a.foreseenMembers(ctx, scope)
	}
	return s, err
}

// legible reads a spec in which nothing is wrong and no param is missing.
func (a *admitter) legible(raw []byte, cr *v1beta1.CustomRun) (Spec, bool) {
	p := field.NewPath("spec")
	vals := valuesOf(cr)
	spec, errs, err := a.read(raw, &vals, p)
	if err != nil || len(errs) > 0 {
		return nil, false
	}
	spec.SetDefaults()
	return spec, len(spec.Validate(p)) == 0
}

// foreseenMembers are those that a stage names and that there are, and those that its selector matches and the namespace is given.
func (a *admitter) foreseenMembers(ctx context.Context, scope *Scope) ([]policy.Object, error) {
	var out []policy.Object
	for _, name := range scope.Members {
		if m, err := a.object(name); err == nil {
			out = append(out, m)
		}
	}
	if scope.MemberSelector == nil {
		return out, nil
	}
	sel, ok := selectorOf(scope.MemberSelector)
	if !ok {
		return out, nil
	}
	infos, err := a.fleet.List(sel)
	if err != nil {
		return nil, fmt.Errorf("listing members: %w", err)
	}
	for _, info := range infos {
		why, err := a.refusal(ctx, info.Name)
		if err != nil {
			return nil, err
		}
		if why == "" {
			out = append(out, policy.Object{Name: info.Name, Labels: info.Labels})
		}
	}
	return out, nil
}

// asRun is the CustomRun that Tekton would make of a task now: without the params that wait for results.
func asRun(namespace, run string, pt *pipelinev1.PipelineTask) *v1beta1.CustomRun {
	cr := &v1beta1.CustomRun{}
	cr.Namespace, cr.Name = namespace, run+"-"+pt.Name
	cr.Labels = map[string]string{"tekton.dev/pipelineRun": run, "tekton.dev/pipelineTask": pt.Name}
	if pt.TaskRef != nil {
		cr.Spec.CustomRef = &v1beta1.TaskRef{APIVersion: pt.TaskRef.APIVersion, Kind: v1beta1.TaskKind(pt.TaskRef.Kind), Name: pt.TaskRef.Name}
	}
	if pt.TaskSpec != nil {
		cr.Spec.CustomSpec = &v1beta1.EmbeddedCustomRunSpec{TypeMeta: pt.TaskSpec.TypeMeta, Spec: pt.TaskSpec.Spec}
	}
	for _, p := range pt.Params {
		v := v1beta1.ParamValue{Type: v1beta1.ParamType(p.Value.Type), StringVal: p.Value.StringVal, ArrayVal: p.Value.ArrayVal, ObjectVal: p.Value.ObjectVal}
		if !waits(v) {
			cr.Spec.Params = append(cr.Spec.Params, v1beta1.Param{Name: p.Name, Value: v})
		}
	}
	return cr
}

// waits says whether a param's value still has a reference in it, such as $(tasks.pick.results.member).
func waits(v v1beta1.ParamValue) bool {
	has := func(s string) bool { return strings.Contains(s, "$(") }
	for _, s := range v.ObjectVal {
		if has(s) {
			return true
		}
	}
	return has(v.StringVal) || slices.ContainsFunc(v.ArrayVal, has)
}

// kindOf is the kind of stage that a run is of; empty where it is none of ours.
func kindOf(cr *v1beta1.CustomRun) string {
	kind := ""
	switch {
	case cr.Spec.CustomRef != nil:
		kind = string(cr.Spec.CustomRef.Kind)
	case cr.Spec.CustomSpec != nil:
		kind = cr.Spec.CustomSpec.Kind
	}
	if !Ours(cr, kind) {
		return ""
	}
	return kind
}
