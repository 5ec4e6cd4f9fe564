package release

import (
	"context"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/client/clientset/versioned"
)

// Limits of lists in a Release: the oldest entries are dropped beyond them.
const (
	maxMoves    = 200
	maxVerdicts = 500
	// maxBaselines is how many baselines are kept, maxQuery how long each one's query.
	maxBaselines = 500
	maxQuery     = 256
)

// Records are the Releases on the hub. It reads from the API server itself, not from a cache, because what it reads decides what is recorded.
type Records struct {
	Client versioned.Interface
}

// Name of a root run's Release: the run's name, cut, and the start of its UID, so that a run of the same name made later has its own.
func Name(root v1alpha1.RootRef) string {
	const most = 253 - 9
	name := root.Name
	if len(name) > most {
		name = name[:most]
	}
	return fmt.Sprintf("%s-%.8s", name, string(root.UID))
}

// Open returns the Release of a root run and makes it where there is none.
func (r *Records) Open(ctx context.Context, namespace string, spec v1alpha1.ReleaseSpec) (*v1alpha1.Release, error) {
	root, name := spec.Root, Name(spec.Root)
	api := r.Client.StagesV1alpha1().Releases(namespace)
	rel, err := api.Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		rel, err = api.Create(ctx, &v1alpha1.Release{
			ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace, Labels: map[string]string{
				v1alpha1.LabelRootName: cut(root.Name, 63), v1alpha1.LabelRootUID: string(root.UID),
			}},
			Spec: spec,
		}, metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) {
			rel, err = api.Get(ctx, name, metav1.GetOptions{})
		}
	}
	if err != nil {
		return nil, fmt.Errorf("opening the record of release %s/%s: %w", namespace, name, err)
	}
	if rel.Spec.Root.UID != root.UID {
		return nil, fmt.Errorf("the record %s/%s belongs to another run (UID %s): delete it if that run is over", namespace, name, rel.Spec.Root.UID)
	}
	return rel, nil
}

// See returns the Release of a root run, or nil where there is none.
func (r *Records) See(ctx context.Context, namespace string, root v1alpha1.RootRef) (*v1alpha1.Release, error) {
	rel, err := r.Client.StagesV1alpha1().Releases(namespace).Get(ctx, Name(root), metav1.GetOptions{})
	if apierrors.IsNotFound(err) || (err == nil && rel.Spec.Root.UID != root.UID) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the record of release %s/%s: %w", namespace, Name(root), err)
	}
	return rel, nil
}

// Read returns a Release by name, or nil where there is none.
func (r *Records) Read(ctx context.Context, namespace, name string) (*v1alpha1.Release, error) {
	rel, err := r.Client.StagesV1alpha1().Releases(namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the record of release %s/%s: %w", namespace, name, err)
	}
	return rel, nil
}

// Update changes the status of a Release by one write against what the API server has now. change says whether there is anything to write.
func (r *Records) Update(ctx context.Context, namespace, name string, change func(*v1alpha1.ReleaseStatus) bool) (*v1alpha1.Release, error) {
	api := r.Client.StagesV1alpha1().Releases(namespace)
	rel, err := api.Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("reading the record of release %s/%s: %w", namespace, name, err)
	}
	if !change(&rel.Status) {
		return rel, nil
	}
	if rel.Status.Phase == "" {
		rel.Status.Phase = v1alpha1.ReleaseRunning
	}
	out, err := api.UpdateStatus(ctx, rel, metav1.UpdateOptions{})
	if err != nil {
		return nil, fmt.Errorf("writing the record of release %s/%s: %w", namespace, name, err)
	}
	return out, nil
}

// Find returns the entry of a workload that was touched, or nil.
func Find(st *v1alpha1.ReleaseStatus, member, kind, workload string) *v1alpha1.Touched {
	for i := range st.Touched {
		t := &st.Touched[i]
		if t.Member == member && t.Kind == kind && t.Workload == workload {
			return t
		}
	}
	return nil
}

// Place is how the workload of an entry is named in messages: by its unit where it stands for one.
func Place(t *v1alpha1.Touched) string {
	if t.Unit == "" {
		return t.Member + "/" + t.Workload
	}
	return t.Member + "/" + t.Unit
}

// Touch adds the entries that are not there yet.
func Touch(st *v1alpha1.ReleaseStatus, entries []v1alpha1.Touched) bool {
	changed := false
	for _, e := range entries {
		if Find(st, e.Member, e.Kind, e.Workload) == nil {
			st.Touched = append(st.Touched, e)
			changed = true
		}
	}
	return changed
}

// SetRevision notes the revision that the release brings to a workload. It says whether that is new.
func SetRevision(st *v1alpha1.ReleaseStatus, member, kind, workload, revision string) bool {
	t := Find(st, member, kind, workload)
	if t == nil || t.Revision != "" {
		return false
	}
	t.Revision = revision
	return true
}

// GoneAhead notes that a workload that was taken back carries the release again. It says whether that is new.
func GoneAhead(st *v1alpha1.ReleaseStatus, member, kind, workload string) bool {
	t := Find(st, member, kind, workload)
	if t == nil || t.Back == nil {
		return false
	}
	t.Back = nil
	return true
}

// AddMoves adds moves that are not there yet: a replay of a step adds nothing.
func AddMoves(st *v1alpha1.ReleaseStatus, moves ...v1alpha1.Move) bool {
	changed := false
	for _, m := range moves {
		if slices.ContainsFunc(st.Moves, func(o v1alpha1.Move) bool {
			return o.Member == m.Member && o.Workload == m.Workload && o.Run == m.Run && o.What == m.What
		}) {
			continue
		}
		st.Moves = append(st.Moves, m)
		changed = true
	}
	if over := len(st.Moves) - maxMoves; over > 0 {
		st.Moves = slices.Delete(st.Moves, 0, over)
	}
	return changed
}

// AddBaselines keeps baselines that were sampled; what is kept of a member and what was asked stays.
func AddBaselines(st *v1alpha1.ReleaseStatus, found []v1alpha1.Baseline) bool {
	changed := false
	for _, b := range found {
		if slices.ContainsFunc(st.Baselines, func(k v1alpha1.Baseline) bool { return k.Member == b.Member && k.Of == b.Of }) {
			continue
		}
		b.Guard, b.Query = cut(b.Guard, 512), cut(b.Query, maxQuery)
		st.Baselines = append(st.Baselines, b)
		changed = true
	}
	st.Baselines = st.Baselines[max(0, len(st.Baselines)-maxBaselines):]
	return changed
}

// AddVerdicts adds verdicts of a run in place of those that the run had recorded before.
func AddVerdicts(st *v1alpha1.ReleaseStatus, run string, verdicts []v1alpha1.RecordedVerdict) bool {
	if len(verdicts) == 0 {
		return false
	}
	st.Verdicts = slices.DeleteFunc(st.Verdicts, func(v v1alpha1.RecordedVerdict) bool { return v.Run == run })
	st.Verdicts = append(st.Verdicts, verdicts...)
	if over := len(st.Verdicts) - maxVerdicts; over > 0 {
		st.Verdicts = slices.Delete(st.Verdicts, 0, over)
	}
	return true
}

func cut(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}
