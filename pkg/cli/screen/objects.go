package screen

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	pipelinev1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	pipelinev1beta1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"knative.dev/pkg/apis"

	stagesgroup "github.com/periplus-dev/periplus/pkg/apis/stages"
	stages "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

// Objects are what a Model is made of. Exactly one of PipelineRun and Root is set.
type Objects struct {
	PipelineRun *pipelinev1.PipelineRun
	// Root is a CustomRun that no pipeline made.
	Root *pipelinev1beta1.CustomRun
	// Pipeline that spec.pipelineRef names, needed only until the PipelineRun's status holds the spec.
	Pipeline *pipelinev1.Pipeline
	// CustomRuns and TaskRuns of the PipelineRun. Those of another PipelineRun of the same name are left out by owner.
	CustomRuns []*pipelinev1beta1.CustomRun
	TaskRuns   []*pipelinev1.TaskRun
	// Release that the run carries or carries a part of.
	Release *stages.Release
	// Interventions of the namespace; those in other releases are left out.
	Interventions []*stages.Intervention
	// Freezes there are; those that do not stop the run are left out.
	Freezes []*stages.Freeze
	// MemberLabels tell whom a Freeze that selects members stops.
	MemberLabels MemberLabels
	// Notes say what could not be read.
	Notes []string
	// Stale says since when, and why, the objects are no longer seen; empty while they are.
	Stale string
}

// UID of the root, empty where there is none.
func (o Objects) UID() types.UID {
	switch {
	case o.PipelineRun != nil:
		return o.PipelineRun.UID
	case o.Root != nil:
		return o.Root.UID
	}
	return ""
}

// Name of the root.
func (o Objects) Name() string {
	switch {
	case o.PipelineRun != nil:
		return o.PipelineRun.Name
	case o.Root != nil:
		return o.Root.Name
	}
	return ""
}

// Namespace of the root.
func (o Objects) Namespace() string {
	switch {
	case o.PipelineRun != nil:
		return o.PipelineRun.Namespace
	case o.Root != nil:
		return o.Root.Namespace
	}
	return ""
}

// Options of Build.
type Options struct {
	// Now in the location whose clock times are shown in.
	Now time.Time
	// Program is how the person calls us, such as "kubectl periplus"; "periplus" where empty.
	Program string
	// Namespace is the flag that printed commands need to reach the run's namespace, such as "-n shop"; empty where it is the person's own.
	Namespace string
	// Flags that printed commands need to reach the hub, such as "--context hub".
	Flags string
}

// Ours says whether a CustomRun is a stage of Periplus.
func Ours(run *pipelinev1beta1.CustomRun) bool {
	return strings.HasPrefix(apiVersionOf(run), stagesgroup.GroupName+"/")
}

func apiVersionOf(run *pipelinev1beta1.CustomRun) string {
	switch {
	case run.Spec.CustomRef != nil:
		return run.Spec.CustomRef.APIVersion
	case run.Spec.CustomSpec != nil:
		return run.Spec.CustomSpec.APIVersion
	}
	return ""
}

func kindOf(run *pipelinev1beta1.CustomRun) string {
	switch {
	case run.Spec.CustomRef != nil:
		return string(run.Spec.CustomRef.Kind)
	case run.Spec.CustomSpec != nil:
		return run.Spec.CustomSpec.Kind
	}
	return ""
}

// RunStatus decodes what a stage keeps in its CustomRun. A run without it gives the zero value.
func RunStatus(run *pipelinev1beta1.CustomRun) (stages.RunStatus, error) {
	var s stages.RunStatus
	if len(run.Status.ExtraFields.Raw) == 0 || !Ours(run) {
		return s, nil
	}
	if err := json.Unmarshal(run.Status.ExtraFields.Raw, &s); err != nil {
		return stages.RunStatus{}, fmt.Errorf("decoding status.extraFields of CustomRun %s: %w", run.Name, err)
	}
	return s, nil
}

// Done says whether a CustomRun is over. Its time counts, not its condition, which others may reset.
func Done(run *pipelinev1beta1.CustomRun) bool {
	return run.Status.CompletionTime != nil || run.IsDone()
}

// OpenQuestion returns the question that a run waits for people with, or nil.
func OpenQuestion(run *pipelinev1beta1.CustomRun) *stages.Question {
	s, err := RunStatus(run)
	if err != nil || s.Question == nil || s.Ending != nil || Done(run) || run.IsCancelled() {
		return nil
	}
	yes, no := count(s.Question)
	if no > 0 || yes >= max(1, s.Question.Required) {
		return nil
	}
	return s.Question
}

func count(q *stages.Question) (yes, no int32) {
	for _, a := range q.Answers {
		if a.Decision == stages.Approve {
			yes++
		} else {
			no++
		}
	}
	return yes, no
}

// root is what PipelineRun and CustomRun have in common.
type root struct {
	kind string
	meta metav1.ObjectMeta
	// spec of the pipeline, nil where it is not known.
	spec              *pipelinev1.PipelineSpec
	started, finished *metav1.Time
	cond              *apis.Condition
	held              bool
	cancelRequested   bool
	skipped           map[string]string
	children          map[string]string
}

func (r root) done() bool      { return r.cond != nil && !r.cond.IsUnknown() }
func (r root) succeeded() bool { return r.cond != nil && r.cond.IsTrue() }
func (r root) cancelled() bool {
	return r.cond != nil && r.cond.IsFalse() && (r.cond.Reason == string(pipelinev1.PipelineRunReasonCancelled) ||
		r.cond.Reason == string(pipelinev1beta1.CustomRunReasonCancelled))
}

func rootOf(o Objects) root {
	if o.Root != nil {
		run := o.Root
		r := root{
			kind: "CustomRun", meta: run.ObjectMeta, started: run.Status.StartTime, finished: run.Status.CompletionTime,
			cond: run.Status.GetCondition(apis.ConditionSucceeded), cancelRequested: run.IsCancelled(),
		}
		return r
	}
	pr := o.PipelineRun
	r := root{
		kind: "PipelineRun", meta: pr.ObjectMeta, spec: pr.Status.PipelineSpec, started: pr.Status.StartTime, finished: pr.Status.CompletionTime,
		cond: pr.Status.GetCondition(apis.ConditionSucceeded), held: pr.Spec.Status == pipelinev1.PipelineRunSpecStatusPending,
		skipped: map[string]string{}, children: map[string]string{},
	}
	if r.spec == nil {
		r.spec = pr.Spec.PipelineSpec
	}
	if r.spec == nil && o.Pipeline != nil {
		r.spec = &o.Pipeline.Spec
	}
	switch pr.Spec.Status {
	case pipelinev1.PipelineRunSpecStatusCancelled, pipelinev1.PipelineRunSpecStatusCancelledRunFinally, pipelinev1.PipelineRunSpecStatusStoppedRunFinally:
		r.cancelRequested = true
	}
	for _, s := range pr.Status.SkippedTasks {
		r.skipped[s.Name] = string(s.Reason)
	}
	for _, c := range pr.Status.ChildReferences {
		r.children[c.PipelineTaskName] = c.Kind
	}
	return r
}

// OwnedBy says whether an object belongs to the PipelineRun of this UID. One without an owner is taken by its label.
func OwnedBy(meta metav1.ObjectMeta, uid types.UID) bool {
	for _, ref := range meta.OwnerReferences {
		if ref.Kind == "PipelineRun" {
			return ref.UID == uid
		}
	}
	return true
}
