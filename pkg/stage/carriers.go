package stage

import (
	"context"
	"fmt"
	"strings"

	pipelinev1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	"github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

// carrier is a run that carries the release of a stage: what people said yes to in it, and what baked in it, counts for the stage.
type carrier struct {
	run *pipelinev1.PipelineRun
	// task of the run that led to the stage: the stage's own, or the ClusterHop that made the next run down. Only what is before it is sure to be
	// over when the stage begins. Empty where all of the run is behind.
	task string
}

// carriersOf are the runs that carry the release of a stage, its own PipelineRun first; none where no pipeline made it. Whom they name as their owner,
// their parent or the run they retry is only believed where admission makes sure of it.
func (r *Reconciler) carriersOf(ctx context.Context, cr *v1beta1.CustomRun) ([]carrier, error) {
	for _, o := range cr.OwnerReferences {
		if o.Kind != "PipelineRun" || !strings.HasPrefix(o.APIVersion, "tekton.dev/") {
			continue
		}
		pr, err := r.PipelineRuns.PipelineRuns(cr.Namespace).Get(o.Name)
		if apierrors.IsNotFound(err) || err == nil && pr.UID != o.UID {
			pr, err = r.Tekton.TektonV1().PipelineRuns(cr.Namespace).Get(ctx, o.Name, metav1.GetOptions{})
		}
		if apierrors.IsNotFound(err) || err == nil && pr.UID != o.UID {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading PipelineRun %s/%s: %w", cr.Namespace, o.Name, err)
		}
		return []carrier{{run: pr, task: taskName(cr)}}, nil
	}
	return nil, nil
}

// starters are all who are behind the runs that carry the release: the accounts that created them, and those for whom they say they did, believed or not.
func (r *Run) starters() []string {
	var out []string
	for _, c := range r.carriers {
		for _, name := range []string{c.run.Annotations[v1alpha1.AnnotationInitiator], c.run.Annotations[v1alpha1.AnnotationOnBehalfOf]} {
			if name != "" {
				out = append(out, name)
			}
		}
	}
	return out
}

// knownStarter says whether it is known who created each of the runs that carry the release.
func (r *Run) knownStarter() bool {
	for _, c := range r.carriers {
		if c.run.Annotations[v1alpha1.AnnotationInitiator] == "" {
			return false
		}
	}
	return len(r.carriers) > 0
}
