package stage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	pipelinev1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	"github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/periplus-dev/periplus/pkg/apis/stages"
	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/spelling"
)

// Teller is a Task that can say more of what it would do than what it looks at and moves.
type Teller interface {
	// Tell says it of a run that was admitted and has not begun.
	Tell(ctx context.Context, run *Run) (Told, error)
}

// Told is what a task says of a run to come.
type Told struct {
	// Facts of what it does, a line each.
	Facts []string
	// Wrong are reasons for which it would fail at once, each with its field.
	Wrong []string
	// Notes are what a person should not overlook.
	Notes []string
}

// stages plans the tasks of a run. prefix is "<hop>/" where a ClusterHop carries it; carriers are the run and those above it.
func (p *planning) stages(ctx context.Context, pr *pipelinev1.PipelineRun, prefix string, carriers []carrier) ([]v1alpha1.PlannedStage, error) {
	var out []v1alpha1.PlannedStage
	spec := pr.Status.PipelineSpec
	for i, tasks := range [][]pipelinev1.PipelineTask{spec.Tasks, spec.Finally} {
		for _, pt := range tasksInOrder(tasks) {
			own := slices.Clone(carriers)
			own[0].task = pt.Name
			s := &v1alpha1.PlannedStage{Name: prefix + pt.Name, After: pt.Deps(), Finally: i == 1, Timeout: planTimeout(pt.Timeout), Retries: int32(pt.Retries)} // #nosec G115 -- few.
			s.When, s.Skipped = whenOf(pt)
			more, err := p.stage(ctx, pr, pt, own, s)
			if err != nil {
				return nil, fmt.Errorf("planning stage %s: %w", s.Name, err)
			}
			out = append(append(out, *s), more...)
		}
	}
	return out, nil
}

// stage plans one task. It returns the stages that the task carries, where it carries others.
func (p *planning) stage(ctx context.Context, pr *pipelinev1.PipelineRun, pt *pipelinev1.PipelineTask, carriers []carrier, s *v1alpha1.PlannedStage) ([]v1alpha1.PlannedStage, error) {
	cr := asRun(pr.Namespace, pr.Name, pt)
	s.Kind = kindOf(cr)
	task := p.tasks[s.Kind]
	if task == nil {
		p.foreign(cr, pt, s)
		return nil, nil
	}
	if s.Skipped {
		return nil, nil
	}
	if pt.IsMatrixed() {
		p.wrong(s.Name, "matrix", "what a matrix makes of a stage is not known before it; a ClusterHop carries a Pipeline over many members")
		return nil, nil
	}
	cr.Spec.Timeout, cr.Spec.Retries = pt.Timeout, pt.Retries
	cr.OwnerReferences = []metav1.OwnerReference{{APIVersion: "tekton.dev/v1", Kind: "PipelineRun", Name: pr.Name, UID: pr.UID}}
	run := p.runOf(cr, pr, pt, carriers)
	a := &admitter{task: task, client: p.Periplus, fleet: p.Fleet, run: run, tasks: p.tasks, tekton: p.Tekton, namespaces: p.Namespaces, sources: p.Sources,
		book: p.book, ahead: true, stored: p.stored}
	admitted, err := a.admit(ctx, cr)
	p.book = a.book
	if wrong := invalidOf(err); wrong != nil {
		p.refused(pt, s, wrong)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if admitted.OnBehalfOf != "" {
		run.Initiator, run.Account = admitted.OnBehalfOf, admitted.Account
	}
	if p.out.Initiator == "" {
		p.out.Initiator, p.out.Account = run.Initiator, run.Account
	}
	spec, err := decodeStrict(task, admitted.Spec.Raw)
	if err != nil {
		return nil, fmt.Errorf("reading what was admitted: %w", err)
	}
	spec.SetDefaults()
	run.Spec, run.Admitted, run.Status.Admitted = spec, admitted, admitted
	scope := task.Scope(spec)
	run.moves, run.back = scope != nil && scope.Moves, scope != nil && scope.Back
	p.describe(s, run, scope)
	if done := run.carriedOver(); done != nil {
		s.CarriedOver = done.Run
		return nil, nil
	}
	return p.does(ctx, task, run, a, scope, s)
}

// does plans what an admitted stage does.
func (p *planning) does(ctx context.Context, task Task, run *Run, a *admitter, scope *Scope, s *v1alpha1.PlannedStage) ([]v1alpha1.PlannedStage, error) {
	if err := p.tell(ctx, task, run, s); err != nil {
		return nil, err
	}
	if run.moves && !run.back {
		if err := p.demanded(ctx, a, s); err != nil {
			return nil, err
		}
	}
	moving, moves := task.(Moving)
	switch {
	case moves:
		mover, err := moving.Mover(run)
		if err != nil {
			return nil, err
		}
		if err := p.moves(ctx, run, mover, s); err != nil {
			return nil, err
		}
	case run.back:
		if err := p.goesBack(ctx, run, s); err != nil {
			return nil, err
		}
	case scope != nil && scope.Waves == nil && run.Admitted.Target != nil:
		if _, err := p.see(run, s); err != nil {
			return nil, err
		}
	}
	p.asked(run, s)
	if hop, ok := run.Spec.(*v1alpha1.ClusterHopSpec); ok && hop.Carries() {
		return p.carried(ctx, run, hop, s)
	}
	return nil, nil
}

// runOf is the run of a stage that was not made.
func (p *planning) runOf(cr *v1beta1.CustomRun, pr *pipelinev1.PipelineRun, pt *pipelinev1.PipelineTask, carriers []carrier) *Run {
	run := &Run{
		Namespace: pr.Namespace, Name: cr.Name, UID: p.plan.UID, Task: pt.Name, Root: v1alpha1.RootRef{Kind: "PipelineRun", Name: p.run.Name, UID: p.run.UID},
		Initiator: p.run.Annotations[v1alpha1.AnnotationInitiator], Status: &v1alpha1.RunStatus{Attempt: 1}, Now: p.Clock.Now(), Started: p.Clock.Now(), Timeout: cr.GetTimeout(),
		frame: p.Frame, wake: p.wake, carriers: carriers, pipelineRun: pr,
	}
	if p.release != nil {
		run.Release, run.retries, run.Root = p.release, true, p.release.Spec.Root
	}
	return run
}

// foreign lists a task that is no stage. One of our group that nobody runs would wait for ever.
func (p *planning) foreign(cr *v1beta1.CustomRun, pt *pipelinev1.PipelineTask, s *v1alpha1.PlannedStage) {
	s.Foreign = true
	apiVersion := ""
	switch {
	case cr.Spec.CustomRef != nil:
		apiVersion, s.Kind = cr.Spec.CustomRef.APIVersion, string(cr.Spec.CustomRef.Kind)
	case cr.Spec.CustomSpec != nil:
		apiVersion, s.Kind = cr.Spec.CustomSpec.APIVersion, cr.Spec.CustomSpec.Kind
	}
	if s.Kind == "" {
		s.Kind = "Task"
	}
	group, _, _ := strings.Cut(apiVersion, "/")
	if group != stages.GroupName {
		return
	}
	var known []string
	for kind := range p.tasks {
		known = append(known, kind)
	}
	slices.Sort(known)
	at := "taskSpec.kind"
	if pt.TaskRef != nil {
		at = "taskRef.kind"
	}
	message := fmt.Sprintf("%q: this hub runs no stage of %s %s; it runs those of %s/v1alpha1 %s", s.Kind, apiVersion, s.Kind, stages.GroupName, strings.Join(known, ", "))
	if near := spelling.Nearest(s.Kind, known); near != "" && near != s.Kind {
		message = fmt.Sprintf("%q: there is no stage of this kind; did you mean %s?", s.Kind, near)
	}
	p.wrong(s.Name, at, message)
}

// refused notes why a stage would not be admitted. What is only there because a param is not known yet is no mistake: it becomes known when others have run.
func (p *planning) refused(pt *pipelinev1.PipelineTask, s *v1alpha1.PlannedStage, wrong []error) {
	waiting := map[string]bool{}
	for _, prm := range pt.Params {
		if waits(v1beta1.ParamValue{StringVal: prm.Value.StringVal, ArrayVal: prm.Value.ArrayVal, ObjectVal: prm.Value.ObjectVal}) {
			waiting[prm.Name] = true
		}
	}
	var hidden field.ErrorList
	var others []error
	for _, e := range wrong {
		var f *field.Error
		if errors.As(e, &f) {
			ref, _ := f.BadValue.(string)
			name, param := strings.CutPrefix(strings.TrimSuffix(ref, ")"), "$(params.")
			if base := strings.FieldsFunc(name, func(r rune) bool { return r == '[' || r == '.' }); param && len(base) > 0 && waiting[base[0]] {
				hidden = append(hidden, f)
				continue
			}
		}
		others = append(others, e)
	}
	for _, e := range others {
		p.mistake(s.Name, e)
	}
	if len(hidden) == 0 {
		return
	}
	for _, ref := range pipelinev1.PipelineTaskResultRefs(pt) {
		if !slices.Contains(s.KnownAfter, ref.PipelineTask) {
			s.KnownAfter = append(s.KnownAfter, ref.PipelineTask)
		}
	}
	slices.Sort(s.KnownAfter)
	for _, e := range hidden {
		s.Notes = append(s.Notes, fmt.Sprintf("%s: %s is known only then", e.Field, e.BadValue))
	}
}

// tell adds what the task itself says.
func (p *planning) tell(ctx context.Context, task Task, run *Run, s *v1alpha1.PlannedStage) error {
	t, ok := task.(Teller)
	if !ok {
		return nil
	}
	told, err := t.Tell(ctx, run)
	if err != nil {
		return err
	}
	s.Facts, s.Notes = append(s.Facts, told.Facts...), append(s.Notes, told.Notes...)
	for _, w := range told.Wrong {
		p.wrong(s.Name, "", w)
	}
	return nil
}

// see looks at the target in a stage's members; what cannot be seen is waited for, or is a problem. World is nil where nothing can be planned on it.
func (p *planning) see(run *Run, s *v1alpha1.PlannedStage) (*World, error) {
	w, _, err := p.seeBut(run, v1alpha1.UnreachableHold, s)
	return w, err
}

// seeBut is see for a stage that may leave out members which do not answer: then they are no part of what is seen, and returned with what is the matter.
func (p *planning) seeBut(run *Run, unreachable v1alpha1.OnUnreachable, s *v1alpha1.PlannedStage) (w *World, skipped map[string]string, err error) {
	w, err = run.Observe(run.Admitted.Members)
	if wrong := invalidOf(err); wrong != nil {
		for _, e := range wrong {
			p.mistake(s.Name, e)
		}
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	skipped = map[string]string{}
	for _, m := range w.Missing {
		switch {
		case unreachable == v1alpha1.UnreachableSkip && m.Unreachable && m.Reason == ReasonUnreachable:
			skipped[m.Member] = m.Message
			s.Notes = append(s.Notes, fmt.Sprintf("now: %s: it would be left out", m.Message))
		case m.NotFound:
			p.wrong(s.Name, "spec.target", m.Message)
		case m.Reason == ReasonConnecting && !p.last:
			p.wait(m.Message)
		case m.Reason == ReasonConnecting:
			p.wrong(s.Name, "spec.members", fmt.Sprintf("member %s cannot be seen: %s", m.Member, m.Message))
		default:
			p.wrong(s.Name, "spec.members", m.Message)
		}
	}
	return w, skipped, nil
}

func (p *planning) wait(what string) {
	if !slices.Contains(p.waits, what) {
		p.waits = append(p.waits, what)
	}
}
