package stage

import (
	"context"
	"fmt"
	"slices"
	"strings"

	pipelinev1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	"github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/release"
)

// carrier is a run that carries the release of a stage: what people said yes to in it, and what baked in it, counts for the stage.
type carrier struct {
	run *pipelinev1.PipelineRun
	// task of the run that led to the stage: the stage's own, or the ClusterHop that made the next run down. Only what is before it is sure to be
	// over when the stage begins. Empty where all of the run is behind.
	task string
}

// carriersOf are the runs that carry the release of a stage, its own PipelineRun first; none where no pipeline made it. Those above it are the ones that the
// release's record, which we alone write, knows: the run whose ClusterHop made this one, and the runs that this one retries.
func (r *Reconciler) carriersOf(ctx context.Context, run *Run, cr *v1beta1.CustomRun) ([]carrier, error) {
	owner := ownerOf(cr)
	if owner == nil {
		return nil, nil
	}
	pr, err := r.pipelineRunOf(ctx, cr.Namespace, owner.Name, owner.UID)
	if err != nil || pr == nil {
		return nil, err
	}
	out := []carrier{{run: pr, task: taskName(cr)}}
	if run.Status.Release == "" || (run.Carrier == "" && !run.retries) {
		return out, nil
	}
	rel, err := r.Releases.Releases(cr.Namespace).Get(run.Status.Release)
	if err != nil || !release.HasRun(&rel.Status, pr.UID) {
		if rel, err = r.Records.Read(ctx, cr.Namespace, run.Status.Release); err != nil || rel == nil {
			return out, err
		}
	}
	return r.above(ctx, rel, out)
}

// above adds the runs above the last one.
func (r *Reconciler) above(ctx context.Context, rel *v1alpha1.Release, out []carrier) ([]carrier, error) {
	last := out[len(out)-1].run
	at := slices.IndexFunc(rel.Status.Runs, func(x v1alpha1.ReleaseRun) bool { return x.UID == last.UID })
	if at < 0 {
		return out, nil
	}
	if rel.Status.Runs[at].Role == v1alpha1.RoleChild {
		name, uid, _ := strings.Cut(last.Annotations[v1alpha1.AnnotationParent], "/")
		hop, err := r.Tekton.TektonV1beta1().CustomRuns(rel.Namespace).Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) || err == nil && string(hop.UID) != uid {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading the hop %s/%s that made PipelineRun %s: %w", rel.Namespace, name, last.Name, err)
		}
		owner := ownerOf(hop)
		if owner == nil {
			return out, nil
		}
		pr, err := r.pipelineRunOf(ctx, rel.Namespace, owner.Name, owner.UID)
		if err != nil || pr == nil {
			return out, err
		}
		return r.above(ctx, rel, append(out, carrier{run: pr, task: taskName(hop)}))
	}
	for _, x := range slices.Backward(rel.Status.Runs[:at]) {
		if x.Role == v1alpha1.RoleChild || x.Kind != "PipelineRun" {
			continue
		}
		pr, err := r.pipelineRunOf(ctx, rel.Namespace, x.Name, x.UID)
		if err != nil {
			return nil, err
		}
		if pr != nil {
			out = append(out, carrier{run: pr}) // all of it is behind.
		}
	}
	return out, nil
}

// ownerOf is the PipelineRun that made a stage, nil where none did.
func ownerOf(cr *v1beta1.CustomRun) *metav1.OwnerReference {
	for i := range cr.OwnerReferences {
		if o := &cr.OwnerReferences[i]; o.Kind == "PipelineRun" && strings.HasPrefix(o.APIVersion, "tekton.dev/") {
			return o
		}
	}
	return nil
}

// pipelineRunOf reads this very PipelineRun, nil where it is gone.
func (r *Reconciler) pipelineRunOf(ctx context.Context, namespace, name string, uid types.UID) (*pipelinev1.PipelineRun, error) {
	pr, err := r.PipelineRuns.PipelineRuns(namespace).Get(name)
	if apierrors.IsNotFound(err) || err == nil && pr.UID != uid {
		pr, err = r.Tekton.TektonV1().PipelineRuns(namespace).Get(ctx, name, metav1.GetOptions{})
	}
	if apierrors.IsNotFound(err) || err == nil && pr.UID != uid {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading PipelineRun %s/%s: %w", namespace, name, err)
	}
	return pr, nil
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
