package release

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"knative.dev/pkg/apis"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	record "github.com/periplus-dev/periplus/pkg/release"
	"github.com/periplus-dev/periplus/pkg/stage"
)

// back says whether a release is going back, or is to: then nothing of it is let go of. It makes the run that takes a release back where a person asked for
// that, or where the run ended badly, did not take it back itself and what it touched says onEnd: RollBack. end is nil while the run is not over.
func (c *closer) back(ctx context.Context, rel *v1alpha1.Release, end *ending) (bool, error) {
	if b := record.GoingBack(rel); b != nil {
		over, why, err := c.rollbackOver(ctx, rel, b)
		if err != nil || !over {
			return true, err
		}
		_, err = c.records.Update(ctx, rel.Namespace, rel.Name, func(st *v1alpha1.ReleaseStatus) bool {
			if st.Rollback == nil || st.Rollback.Run == nil || st.Rollback.Run.UID != b.Run.UID || st.Rollback.CompletionTime != nil {
				return false
			}
			at := metav1.NewTime(c.clock.Now())
			st.Phase, st.Rollback.CompletionTime, st.Rollback.Message = v1alpha1.ReleaseRunning, &at, why
			return true
		})
		return true, err // the event of the write goes on from here.
	}
	if !record.Over(rel) && end == nil {
		return false, nil
	}
	name, initiator, err := c.wanted(rel, end)
	if err != nil || name == "" {
		return false, err
	}
	cr, err := c.makeRollback(ctx, rel, name, initiator)
	if err != nil {
		return false, err
	}
	// One that is over is over: it is not made twice.
	return cr.Status.CompletionTime == nil, nil
}

// rollbackOver says whether the run that takes the release back is over without having said so in the record, and how.
func (c *closer) rollbackOver(ctx context.Context, rel *v1alpha1.Release, b *v1alpha1.RollbackRecord) (bool, string, error) {
	if b.Run == nil {
		return true, "it is not known which run takes it back", nil
	}
	cr, err := c.customRuns.CustomRuns(rel.Namespace).Get(b.Run.Name)
	if apierrors.IsNotFound(err) || (err == nil && cr.UID != b.Run.UID) {
		cr, err = c.tekton.TektonV1beta1().CustomRuns(rel.Namespace).Get(ctx, b.Run.Name, metav1.GetOptions{})
	}
	switch {
	case apierrors.IsNotFound(err) || (err == nil && cr.UID != b.Run.UID):
		return true, fmt.Sprintf("rollback %s was deleted before it was done", b.Run.Name), nil
	case err != nil:
		return false, "", fmt.Errorf("reading rollback %s/%s: %w", rel.Namespace, b.Run.Name, err)
	case cr.Status.CompletionTime == nil:
		return false, "", nil
	}
	why := fmt.Sprintf("rollback %s ended before it was done", b.Run.Name)
	if cond := cr.Status.GetCondition(apis.ConditionSucceeded); cond != nil {
		why += ": " + cond.Reason + ": " + cond.Message
	}
	return true, why[:min(len(why), 1000)], nil
}

// wanted is the name of the run that is to take the release back, and who asked for it; empty where nobody and nothing wants that.
func (c *closer) wanted(rel *v1alpha1.Release, end *ending) (name, initiator string, err error) {
	if len(rel.Status.Touched) == 0 || rel.Status.Phase == v1alpha1.ReleaseRolledBack {
		return "", "", nil
	}
	all, err := c.interventions.Interventions(rel.Namespace).List(labels.Everything())
	if err != nil {
		return "", "", fmt.Errorf("listing interventions in namespace %s: %w", rel.Namespace, err)
	}
	uids := []types.UID{rel.Spec.Root.UID}
	for _, r := range rel.Status.Runs {
		if r.Role != v1alpha1.RoleChild {
			uids = append(uids, r.UID)
		}
	}
	// A rollback that began after it was asked for, such as that of the run's own finally, is what was asked for.
	b := rel.Status.Rollback
	if i := record.Stand(all, uids...).Rollback; i != nil && (b == nil || b.Since.Time.Before(i.CreationTimestamp.Time)) {
		return rollbackName(rel, fmt.Sprintf("%.8s", string(i.UID))), i.Spec.User, nil
	}
	onEnd := slices.ContainsFunc(rel.Status.Touched, func(t v1alpha1.Touched) bool { return t.OnEnd == v1alpha1.OnEndRollBack && t.Back == nil })
	if end != nil && !end.succeeded && (b == nil || b.Scope == v1alpha1.RollbackMember) && onEnd && !record.Over(rel) {
		return rollbackName(rel, "end"), "", nil
	}
	return "", "", nil
}

// rollbackName is the name of a run that takes a release back: the same for the same reason, so that it is made once, and no other release's, however long
// the names are.
func rollbackName(rel *v1alpha1.Release, why string) string {
	const most = 63
	suffix := "-back-" + why
	if len(rel.Name)+len(suffix) <= most {
		return rel.Name + suffix
	}
	suffix = fmt.Sprintf("-%.4x%s", sha256.Sum256([]byte(rel.Name)), suffix)
	return strings.TrimRight(rel.Name[:most-len(suffix)], "-.") + suffix
}

func (c *closer) makeRollback(ctx context.Context, rel *v1alpha1.Release, name, initiator string) (*v1beta1.CustomRun, error) {
	api := c.tekton.TektonV1beta1().CustomRuns(rel.Namespace)
	raw, err := json.Marshal(v1alpha1.RollbackSpec{Release: rel.Name})
	if err != nil {
		return nil, fmt.Errorf("encoding the rollback of release %s/%s: %w", rel.Namespace, rel.Name, err)
	}
	cr := &v1beta1.CustomRun{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: rel.Namespace, Annotations: map[string]string{v1alpha1.AnnotationRelease: rel.Name},
			// It goes with the record, as no PipelineRun has it.
			OwnerReferences: []metav1.OwnerReference{{APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "Release", Name: rel.Name, UID: rel.UID}},
		},
		Spec: v1beta1.CustomRunSpec{
			CustomSpec: &v1beta1.EmbeddedCustomRunSpec{
				TypeMeta: runtime.TypeMeta{APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "Rollback"}, Spec: runtime.RawExtension{Raw: raw},
			},
			Timeout: &metav1.Duration{Duration: stage.Patience},
		},
	}
	if initiator != "" {
		cr.Annotations[v1alpha1.AnnotationInitiator] = initiator
	}
	out, err := c.customRuns.CustomRuns(rel.Namespace).Get(name)
	if apierrors.IsNotFound(err) {
		out, err = api.Create(ctx, cr, metav1.CreateOptions{})
	}
	if apierrors.IsAlreadyExists(err) { // and the cache does not have it yet.
		out, err = api.Get(ctx, name, metav1.GetOptions{})
	}
	if err != nil {
		return nil, fmt.Errorf("making the run that takes back release %s/%s: %w", rel.Namespace, rel.Name, err)
	}
	if of := out.Annotations[v1alpha1.AnnotationRelease]; of != rel.Name {
		return nil, fmt.Errorf("making the run that takes back release %s/%s: CustomRun %s is there and is none of it (annotation %s is %q); delete it", rel.Namespace, rel.Name, name,
			v1alpha1.AnnotationRelease, of)
	}
	return out, nil
}
