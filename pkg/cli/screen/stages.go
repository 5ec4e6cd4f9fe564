package screen

import (
	"sort"
	"strings"

	"github.com/tektoncd/pipeline/pkg/apis/pipeline"
	pipelinev1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	pipelinev1beta1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"knative.dev/pkg/apis"

	stages "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

// part is a stage with what its CustomRun says beyond what is shown of it.
type part struct {
	Stage
	run    *pipelinev1beta1.CustomRun
	status stages.RunStatus
}

// partsOf lists the stages of a run in the order of the DAG, and notes what could not be decoded.
func partsOf(o Objects, r root) ([]part, []string) {
	if o.Root != nil {
		p, note := fromCustomRun(o.Root)
		p.Name = o.Root.Name
		return []part{p}, notes(note)
	}
	var problems []string
	byTask := map[string][]part{}
	for _, run := range o.CustomRuns {
		if !OwnedBy(run.ObjectMeta, r.meta.UID) {
			continue
		}
		p, note := fromCustomRun(run)
		problems = append(problems, notes(note)...)
		byTask[p.Name] = append(byTask[p.Name], p)
	}
	for _, run := range o.TaskRuns {
		if !OwnedBy(run.ObjectMeta, r.meta.UID) {
			continue
		}
		p := part{Stage: fromTaskRun(run)}
		byTask[p.Name] = append(byTask[p.Name], p)
	}

	var out []part
	add := func(tasks []pipelinev1.PipelineTask, finally bool) {
		ordered, deps := order(tasks)
		for _, t := range ordered {
			made := byTask[t.Name]
			delete(byTask, t.Name)
			if len(made) == 0 {
				made = []part{{Stage: notMade(t, r)}}
			}
			sort.Slice(made, func(i, j int) bool { return made[i].Run < made[j].Run })
			for _, p := range made {
				if len(made) > 1 {
					p.Name = strings.TrimPrefix(p.Run, r.meta.Name+"-")
				}
				p.Finally, p.After = finally, deps[t.Name]
				p.MayFail = t.OnError == pipelinev1.PipelineTaskContinue
				if p.Kind == "" {
					p.Kind = kindOfTask(t)
				}
				out = append(out, p)
			}
		}
	}
	if r.spec != nil {
		add(r.spec.Tasks, false)
		add(r.spec.Finally, true)
	}
	// Runs whose task the spec does not name are shown all the same, oldest first.
	var rest []part
	for _, made := range byTask {
		rest = append(rest, made...)
	}
	sort.Slice(rest, func(i, j int) bool {
		if !rest[i].created.Equal(&rest[j].created) {
			return rest[i].created.Before(&rest[j].created)
		}
		return rest[i].Run < rest[j].Run
	})
	sort.Strings(problems)
	return append(out, rest...), problems
}

func notes(note string) []string {
	if note == "" {
		return nil
	}
	return []string{note}
}

func fromCustomRun(run *pipelinev1beta1.CustomRun) (part, string) {
	status, err := RunStatus(run)
	p := part{run: run, status: status, Stage: Stage{
		Name: run.Labels[pipeline.PipelineTaskLabelKey], Run: run.Name, Kind: kindOf(run), State: StagePending, created: run.CreationTimestamp,
		Started: run.Status.StartTime, Finished: run.Status.CompletionTime, Attempts: run.Spec.Retries + 1,
		Attempt: max(status.Attempt, len(run.Status.RetriesStatus)+1), Step: status.Step,
	}}
	if p.Name == "" {
		p.Name = run.Name
	}
	if n := len(run.Status.RetriesStatus); n > 0 {
		if c := run.Status.RetriesStatus[n-1].GetCondition(apis.ConditionSucceeded); c != nil {
			p.LastFailure = reasonAndMessage(c.Reason, c.Message)
		}
	}
	cond := run.Status.GetCondition(apis.ConditionSucceeded)
	if cond != nil {
		p.Reason, p.Message = cond.Reason, cond.Message
	}
	if out := status.Outcome; out != nil && run.Status.CompletionTime != nil && (cond == nil || cond.IsUnknown()) {
		// Another controller reset the condition; the stage's own record of how it ended holds.
		cond = &apis.Condition{Status: corev1.ConditionFalse, Reason: out.Reason, Message: out.Message}
		if out.Succeeded {
			cond.Status = corev1.ConditionTrue
		}
		p.Reason, p.Message = cond.Reason, cond.Message
	}
	if status.Ending != nil && !Done(run) {
		p.Ending = &status.Ending.Outcome
	}
	switch {
	case Done(run):
		p.State = endState(cond, string(pipelinev1beta1.CustomRunReasonCancelled))
	case OpenQuestion(run) != nil:
		p.State, p.Waiting = StageAsking, status.Waiting
	case run.HasStarted():
		p.State, p.Waiting = StageRunning, status.Waiting
	}
	if err != nil {
		return p, err.Error()
	}
	return p, ""
}

func fromTaskRun(run *pipelinev1.TaskRun) Stage {
	s := Stage{
		Name: run.Labels[pipeline.PipelineTaskLabelKey], Run: run.Name, Kind: "TaskRun", State: StagePending, created: run.CreationTimestamp,
		Started: run.Status.StartTime, Finished: run.Status.CompletionTime, Attempt: len(run.Status.RetriesStatus) + 1, Attempts: run.Spec.Retries + 1,
	}
	if s.Name == "" {
		s.Name = run.Name
	}
	cond := run.Status.GetCondition(apis.ConditionSucceeded)
	if cond != nil {
		s.Reason, s.Message = cond.Reason, cond.Message
	}
	switch {
	case run.IsDone():
		s.State = endState(cond, string(pipelinev1.TaskRunReasonCancelled))
	case run.HasStarted():
		s.State = StageRunning
	}
	return s
}

func endState(cond *apis.Condition, cancelled string) StageState {
	switch {
	case cond == nil || cond.IsUnknown():
		return StageUnknown
	case cond.IsTrue():
		return StageDone
	case cond.Reason == cancelled:
		return StageCancelled
	}
	return StageFailed
}

// notMade is a task that no object was made for, or whose object is gone.
func notMade(t pipelinev1.PipelineTask, r root) Stage {
	s := Stage{Name: t.Name, State: StagePending}
	if reason, skipped := r.skipped[t.Name]; skipped {
		s.State, s.Message = StageSkipped, reason
		return s
	}
	if kind, made := r.children[t.Name]; made {
		s.State, s.Kind = StageUnknown, kind
		return s
	}
	if r.done() {
		s.State, s.Message = StageSkipped, "the run ended before its turn"
	}
	return s
}

func kindOfTask(t pipelinev1.PipelineTask) string {
	switch {
	case t.TaskRef != nil && t.TaskRef.APIVersion != "":
		return string(t.TaskRef.Kind)
	case t.TaskSpec != nil && t.TaskSpec.APIVersion != "":
		return t.TaskSpec.Kind
	case t.PipelineRef != nil || t.PipelineSpec != nil:
		return "PipelineRun"
	}
	return "TaskRun"
}

func reasonAndMessage(reason, message string) string {
	switch {
	case message == "":
		return reason
	case reason == "":
		return message
	}
	return reason + ": " + message
}

// later says which of two stages started later; one that has not started is earliest.
func later(a, b *metav1.Time) bool {
	if a == nil {
		return false
	}
	return b == nil || a.After(b.Time)
}
