package run

import (
	"context"
	"errors"
	"fmt"

	"github.com/tektoncd/pipeline/pkg/apis/pipeline"
	pipelinev1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	pipelinev1beta1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	stages "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/cli/hub"
	"github.com/periplus-dev/periplus/pkg/cli/screen"
)

// What is read, in RBAC's words.
const (
	pipelineRuns = "pipelineruns.tekton.dev"
	pipelines    = "pipelines.tekton.dev"
	customRuns   = "customruns.tekton.dev"
	taskRuns     = "taskruns.tekton.dev"
	releases     = "releases.stages.periplus.dev"

	interventions = "interventions.stages.periplus.dev"
	freezes       = "freezes.stages.periplus.dev"
	members       = "members.fleet.periplus.dev"
)

// Run is a run with its objects, as they were when they were read.
type Run struct {
	screen.Objects
	// denied resources could not be read for lack of a permission.
	denied map[string]bool
}

// Read finds the run of a name, which is a PipelineRun, a CustomRun that no pipeline made, or a CustomRun of a PipelineRun, which stands
// for all of it. It fails with a *NotFoundError where there is none. What the caller may not read beyond the run and its stages is noted.
func Read(ctx context.Context, h *hub.Hub, name string) (*Run, error) {
	r := &Run{denied: map[string]bool{}}
	pr, err := h.Tekton.TektonV1().PipelineRuns(h.Namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) && !hub.NoSuchAPI(err) {
		pr, err = nil, nil
	}
	if err != nil {
		return nil, h.Explain(hub.Request{Verb: "get", Resource: pipelineRuns, Name: name}, err)
	}
	if pr == nil {
		if pr, err = r.fromCustomRun(ctx, h, name); err != nil {
			return nil, err
		}
	}
	r.PipelineRun = pr
	if pr != nil {
		if err := r.readStages(ctx, h); err != nil {
			return nil, err
		}
	}
	if err := r.readRelease(ctx, h); err != nil {
		return nil, err
	}
	return r, r.readHands(ctx, h)
}

// fromCustomRun reads a CustomRun by name: it is the root itself, or gives the PipelineRun that made it.
func (r *Run) fromCustomRun(ctx context.Context, h *hub.Hub, name string) (*pipelinev1.PipelineRun, error) {
	run, err := h.Tekton.TektonV1beta1().CustomRuns(h.Namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, notFound(ctx, h, name)
	}
	if err != nil {
		return nil, h.Explain(hub.Request{Verb: "get", Resource: customRuns, Name: name}, err)
	}
	parent := parentOf(run)
	if !run.HasPipelineRunOwnerReference() || parent == "" {
		r.Root = run
		return nil, nil
	}
	pr, err := h.Tekton.TektonV1().PipelineRuns(h.Namespace).Get(ctx, parent, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		r.Root = run // left over from a PipelineRun that was deleted
		return nil, nil
	}
	if err != nil {
		return nil, h.Explain(hub.Request{Verb: "get", Resource: pipelineRuns, Name: parent}, err)
	}
	return pr, nil
}

func (r *Run) readStages(ctx context.Context, h *hub.Hub) error {
	pr := r.PipelineRun
	opts := metav1.ListOptions{LabelSelector: ofRun(pr.Name)}
	customs, err := h.Tekton.TektonV1beta1().CustomRuns(h.Namespace).List(ctx, opts)
	if err != nil {
		return h.Explain(hub.Request{Verb: "list", Resource: customRuns}, err)
	}
	for i := range customs.Items {
		r.CustomRuns = append(r.CustomRuns, &customs.Items[i])
	}
	tasks, err := h.Tekton.TektonV1().TaskRuns(h.Namespace).List(ctx, opts)
	if err := r.allow(h, taskRuns, err); err != nil {
		return err
	}
	if err == nil {
		for i := range tasks.Items {
			r.TaskRuns = append(r.TaskRuns, &tasks.Items[i])
		}
	}
	return r.readPipeline(ctx, h)
}

// readPipeline reads the Pipeline that the run names, as long as the run itself does not hold its spec.
func (r *Run) readPipeline(ctx context.Context, h *hub.Hub) error {
	pr := r.PipelineRun
	ref := pr.Spec.PipelineRef
	if pr.Status.PipelineSpec != nil || pr.Spec.PipelineSpec != nil || ref == nil || ref.Name == "" || ref.Resolver != "" {
		return nil
	}
	p, err := h.Tekton.TektonV1().Pipelines(h.Namespace).Get(ctx, ref.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		r.Notes = append(r.Notes, fmt.Sprintf("there is no Pipeline %s in namespace %s, so its stages are not known", ref.Name, h.Namespace))
		return nil
	}
	if err := r.allow(h, pipelines, err); err != nil {
		return err
	}
	if err == nil {
		r.Pipeline = p
	}
	return nil
}

// allow notes a missing permission, and lets every other error through. A permission to see TaskRuns is missed only where there are some.
func (r *Run) allow(h *hub.Hub, resource string, err error) error {
	if err == nil {
		return nil
	}
	if !apierrors.IsForbidden(err) {
		return h.Explain(hub.Request{Verb: "read", Resource: resource}, err)
	}
	r.denied[resource] = true
	if resource == taskRuns && !hasTaskRuns(r.PipelineRun) {
		return nil
	}
	r.Notes = append(r.Notes, fmt.Sprintf("you may not read %s in namespace %s, so what they say is left out", resource, h.Namespace))
	return nil
}

func hasTaskRuns(pr *pipelinev1.PipelineRun) bool {
	for _, c := range pr.Status.ChildReferences {
		if c.Kind == "TaskRun" {
			return true
		}
	}
	return false
}

func parentOf(c *pipelinev1beta1.CustomRun) string { return c.Labels[pipeline.PipelineRunLabelKey] }

func ofRun(name string) string { return labels.Set{pipeline.PipelineRunLabelKey: name}.String() }

func ofRoot(uid string) string { return labels.Set{stages.LabelRootUID: uid}.String() }

// Asking lists the CustomRuns of the run that wait for an answer.
func (r *Run) Asking() []*pipelinev1beta1.CustomRun {
	all := r.CustomRuns
	if r.Root != nil {
		all = []*pipelinev1beta1.CustomRun{r.Root}
	}
	var out []*pipelinev1beta1.CustomRun
	for _, c := range all {
		if screen.OpenQuestion(c) != nil && (r.Root != nil || screen.OwnedBy(c.ObjectMeta, r.UID())) {
			out = append(out, c)
		}
	}
	return out
}

// StageOf is the name of the pipeline task that a CustomRun carries, its own name where no pipeline made it.
func StageOf(c *pipelinev1beta1.CustomRun) string {
	if task := c.Labels[pipeline.PipelineTaskLabelKey]; task != "" {
		return task
	}
	return c.Name
}

// IsNotFound says whether an error means that there is no such run.
func IsNotFound(err error) bool {
	var nf *NotFoundError
	return errors.As(err, &nf)
}
