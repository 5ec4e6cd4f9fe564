package stage

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	pipelinev1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/release"
)

// join makes the stage of a PipelineRun that retries another one of the release that the other carried. The run is entered in the record, and the record is opened
// again, once; from then on the record says that it belongs to it.
func (r *Reconciler) join(ctx context.Context, run *Run, pr *pipelinev1.PipelineRun) error {
	rel, err := r.joinable(ctx, pr)
	if err != nil {
		return err
	}
	if !release.HasRun(&rel.Status, pr.UID) {
		if rel.Status.Phase != v1alpha1.ReleaseFailed {
			return stillCarried(rel)
		}
		rel, err = r.Records.Update(ctx, pr.Namespace, rel.Name, func(st *v1alpha1.ReleaseStatus) bool {
			if st.Phase != v1alpha1.ReleaseFailed {
				return false // another retry was first.
			}
			release.AddRun(st, v1alpha1.ReleaseRun{Kind: rel.Spec.Root.Kind, Name: rel.Spec.Root.Name, UID: rel.Spec.Root.UID, Role: v1alpha1.RoleRoot,
				Initiator: rel.Spec.Initiator, Since: rel.CreationTimestamp})
			st.Phase, st.Message, st.Released, st.CompletionTime = v1alpha1.ReleaseRunning, "retried by run "+pr.Name, false, nil
			return release.AddRun(st, v1alpha1.ReleaseRun{Kind: "PipelineRun", Name: pr.Name, UID: pr.UID, Role: v1alpha1.RoleRetry,
				Initiator: pr.Annotations[v1alpha1.AnnotationInitiator], Since: run.Stamp()})
		})
		if err != nil {
			return err
		}
		if !release.HasRun(&rel.Status, pr.UID) {
			return stillCarried(rel)
		}
	}
	run.Root, run.retries = rel.Spec.Root, true
	run.Status.Release = rel.Name
	return nil
}

// stillCarried means that a retry comes too early.
func stillCarried(rel *v1alpha1.Release) error {
	return fmt.Errorf("release %s is still carried by run %s: the retry goes on once that is over", rel.Name, carrying(rel))
}

// joinable is the release that a PipelineRun joined, or that it may: it retries another run that carried it. Who retries must want the same: what people said yes to, and
// what baked, was for that.
func (f *Frame) joinable(ctx context.Context, pr *pipelinev1.PipelineRun) (*v1alpha1.Release, error) {
	old := pr.Annotations[v1alpha1.AnnotationRetryOf]
	rel, err := f.releaseOfRun(ctx, pr.Namespace, old, pr.UID)
	if err != nil {
		return nil, err
	}
	at := func(format string, args ...any) error {
		return invalid(fmt.Errorf("metadata.annotations[%s]: %s", v1alpha1.AnnotationRetryOf, fmt.Sprintf(format, args...)))
	}
	if rel == nil {
		return nil, at("no release was carried by a PipelineRun %q of namespace %s: start the release anew, without the annotation", old, pr.Namespace)
	}
	if release.HasRun(&rel.Status, pr.UID) {
		return rel, nil
	}
	same, err := f.contentHash(ctx, pr)
	if err != nil {
		return nil, err
	}
	switch {
	case rel.Status.Phase == v1alpha1.ReleaseSucceeded:
		return nil, at("release %s of run %s succeeded: there is nothing to retry", rel.Name, old)
	case rel.Status.Phase == v1alpha1.ReleaseRolledBack:
		return nil, at("release %s of run %s was taken back: start it anew, without the annotation", rel.Name, old)
	case release.GoingBack(rel) != nil:
		return nil, at("release %s of run %s is being taken back", rel.Name, old)
	case rel.Spec.ContentHash == "" || rel.Spec.ContentHash != same:
		return nil, at("this run is to do something else than %s did (another pipeline or other params): a retry carries the same; start another release without the annotation", old)
	}
	return rel, nil
}

// carrying is the name of the run that carries a release now.
func carrying(rel *v1alpha1.Release) string {
	for _, r := range slices.Backward(rel.Status.Runs) {
		if r.Role != v1alpha1.RoleChild {
			return r.Name
		}
	}
	return rel.Spec.Root.Name
}

// releaseOfRun finds the release that a run joined already, else the newest that a PipelineRun of a name carried; nil where there is none.
func (f *Frame) releaseOfRun(ctx context.Context, namespace, name string, joined types.UID) (*v1alpha1.Release, error) {
	cached, err := f.Releases.Releases(namespace).List(labels.Everything())
	if err != nil {
		return nil, fmt.Errorf("listing the releases of namespace %s: %w", namespace, err)
	}
	for _, rel := range cached {
		if release.HasRun(&rel.Status, joined) {
			return rel, nil
		}
	}
	all, err := f.Periplus.StagesV1alpha1().Releases(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("listing the releases of namespace %s: %w", namespace, err)
	}
	var found *v1alpha1.Release
	for i := range all.Items {
		rel := &all.Items[i]
		if release.HasRun(&rel.Status, joined) {
			return rel, nil
		}
		carried := rel.Spec.Root.Kind == "PipelineRun" && rel.Spec.Root.Name == name ||
			slices.ContainsFunc(rel.Status.Runs, func(x v1alpha1.ReleaseRun) bool { return x.Name == name && x.Role == v1alpha1.RoleRetry })
		if carried && (found == nil || found.CreationTimestamp.Before(&rel.CreationTimestamp)) {
			found = rel
		}
	}
	return found, nil
}

// contentHash tells what a PipelineRun is to do: its pipeline and its params. Of a Pipeline of the namespace the spec counts, as it is now; of one that comes from
// elsewhere the reference does.
func (f *Frame) contentHash(ctx context.Context, pr *pipelinev1.PipelineRun) (string, error) {
	content := struct {
		Ref    *pipelinev1.PipelineRef  `json:"ref,omitempty"`
		Spec   *pipelinev1.PipelineSpec `json:"spec,omitempty"`
		Params pipelinev1.Params        `json:"params,omitempty"`
	}{pr.Spec.PipelineRef, pr.Spec.PipelineSpec, slices.Clone(pr.Spec.Params)}
	slices.SortFunc(content.Params, func(x, y pipelinev1.Param) int { return strings.Compare(x.Name, y.Name) })
	if ref := pr.Spec.PipelineRef; ref != nil && ref.Name != "" && ref.Resolver == "" {
		p, err := f.Tekton.TektonV1().Pipelines(pr.Namespace).Get(ctx, ref.Name, metav1.GetOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			return "", fmt.Errorf("reading Pipeline %s/%s: %w", pr.Namespace, ref.Name, err)
		}
		if err == nil {
			content.Spec = &p.Spec
		}
	}
	raw, err := json.Marshal(content)
	if err != nil {
		return "", fmt.Errorf("encoding what PipelineRun %s/%s is to do: %w", pr.Namespace, pr.Name, err)
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:]), nil
}

// carriedOver is a stage that an earlier run of the release did, nil where this one has to do it: it is the same to the letter, and nothing of it was taken back. What
// depends on the time of day is not carried over.
func (r *Run) carriedOver() *v1alpha1.StageRecord {
	if !r.retries || r.Release == nil || r.Admitted.Kind == "Window" || r.Admitted.Kind == "Rollback" {
		return nil
	}
	for i := range r.Release.Status.Stages {
		s := &r.Release.Status.Stages[i]
		if s.Name != r.Task || s.Carrier != r.Carrier || s.Kind != r.Admitted.Kind || s.UID == r.UID || s.SpecHash != specHash(r.Admitted) {
			continue
		}
		back := slices.ContainsFunc(r.Release.Status.Touched, func(t v1alpha1.Touched) bool {
			return t.Back != nil && slices.Contains(r.Admitted.Members, t.Member)
		})
		if !back && !r.undone(s) {
			return s
		}
	}
	return nil
}

// undone says whether a rollback set about taking back what a stage did, after it did it: one that was cut off has marked nothing as back.
func (r *Run) undone(s *v1alpha1.StageRecord) bool {
	b := r.Release.Status.Rollback
	return b != nil && !b.Since.Before(&s.Time) && slices.ContainsFunc(r.Admitted.Members, func(m string) bool {
		return b.Scope != v1alpha1.RollbackMember || slices.Contains(b.Members, m)
	})
}

// specHash tells what was admitted.
func specHash(a *v1alpha1.Admitted) string {
	raw, err := json.Marshal(a)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:16])
}

// recordStage enters a stage that succeeded by itself in the record, for a retry.
func (r *Run) recordStage(ctx context.Context, results map[string]string) error {
	if r.Admitted == nil || r.back {
		return nil
	}
	// A stage that looks at no workload has not seen the record that others of its release made.
	if err := r.SeeRelease(ctx); err != nil || r.Release == nil {
		return err
	}
	rec := v1alpha1.StageRecord{Carrier: shorten(r.Carrier, 512), Name: shorten(r.Task, 253), Kind: r.Admitted.Kind, Run: r.Name, UID: r.UID,
		SpecHash: specHash(r.Admitted), Results: results, Time: r.Stamp()}
	return r.record(ctx, func(st *v1alpha1.ReleaseStatus) bool { return release.SetStage(st, rec) })
}
