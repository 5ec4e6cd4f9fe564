package stage

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/release"
)

// rootOf finds the run that carries the release: the PipelineRun that made this run, else the run itself; and who started it. That a stage
// belongs to the PipelineRun its owner reference names is what the admission policies make sure of: only Tekton makes such stages.
func (r *Reconciler) rootOf(ctx context.Context, run *Run, cr *v1beta1.CustomRun) error {
	run.Root = v1alpha1.RootRef{Kind: "CustomRun", Name: cr.Name, UID: cr.UID}
	run.Initiator = cr.Annotations[v1alpha1.AnnotationInitiator]
	for _, o := range cr.OwnerReferences {
		if o.Kind != "PipelineRun" || !strings.HasPrefix(o.APIVersion, "tekton.dev/") {
			continue
		}
		run.Root = v1alpha1.RootRef{Kind: "PipelineRun", Name: o.Name, UID: o.UID}
		run.Initiator = ""
		pr, err := r.PipelineRuns.PipelineRuns(cr.Namespace).Get(o.Name)
		if apierrors.IsNotFound(err) {
			// The cache may be behind, and who started a release is written down once.
			pr, err = r.Tekton.TektonV1().PipelineRuns(cr.Namespace).Get(ctx, o.Name, metav1.GetOptions{})
		}
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("reading PipelineRun %s: %w", o.Name, err)
		}
		if err != nil || pr.UID != o.UID {
			return r.orphan(ctx, run)
		}
		if name := pr.Annotations[v1alpha1.AnnotationRelease]; name != "" {
			return r.joined(ctx, run, name, pr.UID, pr.Annotations[v1alpha1.AnnotationCarrier])
		}
		run.Initiator, run.pipelineRun = pr.Annotations[v1alpha1.AnnotationInitiator], pr
		if pr.Annotations[v1alpha1.AnnotationRetryOf] != "" {
			return r.join(ctx, run, pr)
		}
		return nil
	}
	return nil
}

// joined makes a stage of a child one of the release that the child belongs to. That a PipelineRun says so is not enough: the release has to know it. Its status
// is written by us alone, and a child is entered in it before its stages get far.
func (r *Reconciler) joined(ctx context.Context, run *Run, name string, child types.UID, carrier string) error {
	rel, err := r.Releases.Releases(run.Namespace).Get(name)
	if err != nil || !release.HasRun(&rel.Status, child) {
		rel, err = r.Periplus.StagesV1alpha1().Releases(run.Namespace).Get(ctx, name, metav1.GetOptions{})
	}
	if err != nil {
		return fmt.Errorf("reading release %s, which the PipelineRun says it belongs to: %w", name, err)
	}
	if !release.HasRun(&rel.Status, child) {
		return fmt.Errorf("the PipelineRun says that it belongs to release %s, which does not know it: nothing is done for it before it does", name)
	}
	run.Root, run.Initiator, run.Carrier = rel.Spec.Root, rel.Spec.Initiator, carrier
	run.Status.Carrier, run.Status.Release = carrier, rel.Name
	return nil
}

// orphan is a stage whose PipelineRun is gone: where that was a child, its status still says which release it belongs to.
func (r *Reconciler) orphan(ctx context.Context, run *Run) error {
	if run.Status.Carrier == "" || run.Status.Release == "" {
		return nil
	}
	rel, err := r.Periplus.StagesV1alpha1().Releases(run.Namespace).Get(ctx, run.Status.Release, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading release %s: %w", run.Status.Release, err)
	}
	run.Root, run.Initiator, run.Carrier = rel.Spec.Root, rel.Spec.Initiator, run.Status.Carrier
	return nil
}

// loadApprovals gives the run the answers that name it, oldest first.
func (r *Reconciler) loadApprovals(run *Run) error {
	all, err := r.Approvals.Approvals(run.Namespace).List(labels.Everything())
	if err != nil {
		return fmt.Errorf("listing approvals: %w", err)
	}
	for _, a := range all {
		if a.Spec.RunRef.Name == run.Name {
			run.Approvals = append(run.Approvals, a)
		}
	}
	slices.SortFunc(run.Approvals, func(x, y *v1alpha1.Approval) int {
		if c := x.CreationTimestamp.Compare(y.CreationTimestamp.Time); c != 0 {
			return c
		}
		return strings.Compare(x.Name, y.Name)
	})
	return nil
}

// RevisionOf is the revision that a release brings to members: the one that all of its workloads there share, else each unit's with its name.
func RevisionOf(rel *v1alpha1.Release, members []string) string {
	var all []string
	same := true
	for i := range rel.Status.Touched {
		t := &rel.Status.Touched[i]
		if t.Revision == "" || !slices.Contains(members, t.Member) {
			continue
		}
		all = append(all, release.Place(t)+"="+t.Revision)
		same = same && strings.HasSuffix(all[0], "="+t.Revision)
	}
	if len(all) == 0 {
		return ""
	}
	if same {
		return all[0][strings.LastIndex(all[0], "=")+1:]
	}
	slices.Sort(all)
	return strings.Join(all, ",")
}
