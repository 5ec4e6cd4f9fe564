package stage

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	pipelinev1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"knative.dev/pkg/apis"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/release"
)

// Carrier is a task that makes runs of its own: it is stepped when one of them changes, and ends them before its own run ends.
type Carrier interface {
	Task
	// End is called again and again while an attempt ends without success, and when its run is deleted: it tells the children that are not over to
	// end, and returns the names of those that still run, and the results as they stand.
	End(ctx context.Context, run *Run) (running []string, results map[string]string, err error)
}

// childrenPatience is how long a run that ends waits for its children to run their `finally`, which may have to take back what they moved.
const childrenPatience = 15 * time.Minute

// Child is a PipelineRun that a carrier made for one member.
type Child struct {
	Name   string
	UID    types.UID
	Member string
	// Own is true where this very attempt of this run made it, and not an earlier attempt, or the run that is retried.
	Own bool
	// Created is when it was made; Ended when it was over, zero before.
	Created time.Time
	Ended   time.Time
	Done    bool
	// Succeeded is true where it is over and went well. Message is what its condition says.
	Succeeded bool
	Message   string
	// Ending is true once it was told to end.
	Ending bool
	// Settled is true once a carrier was done with its member.
	Settled bool
}

// ErrNameTaken means that there is a PipelineRun of the child's name which is none of this release for this member.
var ErrNameTaken = errors.New("exists and was not made for this release and member")

// Children are the runs that were made for this stage of the release, by this run, by earlier attempts of it, or by the run that is retried: by
// member, the oldest first.
func (r *Run) Children() (map[string][]Child, error) {
	out := map[string][]Child{}
	if r.Release == nil {
		return out, nil
	}
	all, err := r.frame.PipelineRuns.PipelineRuns(r.Namespace).List(labels.Everything())
	if err != nil {
		return nil, fmt.Errorf("listing the runs that %s made: %w", r.Name, err)
	}
	for _, pr := range all {
		if c := r.childOf(pr); c != nil {
			out[c.Member] = append(out[c.Member], *c)
		}
	}
	for _, list := range out {
		slices.SortFunc(list, func(a, b Child) int {
			return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(len(a.Name), len(b.Name)), cmp.Compare(a.Name, b.Name))
		})
	}
	return out, nil
}

// childOf reads a PipelineRun as a child of this stage, nil where it is none.
func (r *Run) childOf(pr *pipelinev1.PipelineRun) *Child {
	member, ok := strings.CutPrefix(pr.Annotations[v1alpha1.AnnotationCarrier], r.Task+"/")
	if !ok || pr.Annotations[v1alpha1.AnnotationRelease] != r.Release.Name {
		return nil
	}
	c := &Child{
		Name: pr.Name, UID: pr.UID, Member: member, Created: pr.CreationTimestamp.Time,
		Own:     pr.Annotations[v1alpha1.AnnotationParent] == r.parent() && pr.Annotations[v1alpha1.AnnotationAttempt] == strconv.Itoa(r.Status.Attempt),
		Ending:  pr.IsCancelled() || pr.IsGracefullyCancelled() || pr.IsGracefullyStopped() || pr.DeletionTimestamp != nil,
		Settled: pr.Annotations[v1alpha1.AnnotationSettled] != "",
	}
	if cond := pr.Status.GetCondition(apis.ConditionSucceeded); cond != nil {
		c.Done, c.Succeeded = cond.Status != corev1.ConditionUnknown, cond.Status == corev1.ConditionTrue
		c.Message = cond.Reason
		if cond.Message != "" {
			c.Message += ": " + cond.Message
		}
		if c.Done {
			c.Ended = cond.LastTransitionTime.Inner.Time
			if pr.Status.CompletionTime != nil {
				c.Ended = pr.Status.CompletionTime.Time
			}
		}
	}
	return c
}

// parent is this run as its children name it.
func (r *Run) parent() string { return r.Name + "/" + string(r.UID) }

// Child reads a child from the API server itself: nil where there is none of that name. The error is ErrNameTaken where it is not this stage's.
func (r *Run) Child(ctx context.Context, name, member string) (*Child, error) {
	pr, err := r.frame.Tekton.TektonV1().PipelineRuns(r.Namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading PipelineRun %s of member %s: %w", name, member, err)
	}
	c := r.childOf(pr)
	if c == nil || c.Member != member {
		return nil, fmt.Errorf("PipelineRun %s %w: delete it, or start the release under another name", name, ErrNameTaken)
	}
	return c, nil
}

// NewChild is a run to be made.
type NewChild struct {
	Name     string
	Member   string
	Pipeline string
	Params   []v1alpha1.HopParam
}

// StartChild makes a child, or finds the one that a former pass made, and enters it in the release's record, without which its stages do not begin. It has
// no owner: what it moved is taken back by its own `finally`, which deleting this run must not cut off.
func (r *Run) StartChild(ctx context.Context, n NewChild) (*Child, error) {
	if len(r.Release.Status.Runs) >= release.MaxRuns {
		return nil, invalid(fmt.Errorf("the release has %d runs already, which is as many as its record holds", release.MaxRuns))
	}
	pr := &pipelinev1.PipelineRun{
		ObjectMeta: metav1.ObjectMeta{
			Name: n.Name, Namespace: r.Namespace,
			Labels: map[string]string{v1alpha1.LabelRelease: labelValue(r.Release.Name), v1alpha1.LabelRootUID: string(r.Root.UID)},
			Annotations: map[string]string{
				v1alpha1.AnnotationRelease: r.Release.Name, v1alpha1.AnnotationParent: r.parent(),
				v1alpha1.AnnotationCarrier: r.Task + "/" + n.Member, v1alpha1.AnnotationAttempt: strconv.Itoa(r.Status.Attempt),
			},
		},
		Spec: pipelinev1.PipelineRunSpec{
			PipelineRef: &pipelinev1.PipelineRef{Name: n.Pipeline},
			// A stage times out by itself; a pipeline that does would leave no time to take back what was moved.
			Timeouts:        &pipelinev1.TimeoutFields{Pipeline: &metav1.Duration{}},
			TaskRunTemplate: pipelinev1.PipelineTaskRunTemplate{ServiceAccountName: r.serviceAccount},
		},
	}
	if r.Initiator != "" {
		pr.Annotations[v1alpha1.AnnotationInitiator] = r.Initiator
	}
	for _, p := range n.Params {
		pr.Spec.Params = append(pr.Spec.Params, pipelinev1.Param{Name: p.Name, Value: *pipelinev1.NewStructuredValues(p.Value)})
	}
	made, err := r.frame.Tekton.TektonV1().PipelineRuns(r.Namespace).Create(ctx, pr, metav1.CreateOptions{})
	var c *Child
	switch {
	case apierrors.IsAlreadyExists(err):
		if c, err = r.Child(ctx, n.Name, n.Member); err != nil {
			return nil, err
		}
		if c == nil {
			return nil, fmt.Errorf("making PipelineRun %s of member %s: it was there and is gone again", n.Name, n.Member)
		}
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err), apierrors.IsForbidden(err):
		return nil, &RefusedError{fmt.Errorf("making PipelineRun %s of member %s: %w", n.Name, n.Member, err)}
	case err != nil:
		return nil, fmt.Errorf("making PipelineRun %s of member %s: %w", n.Name, n.Member, err)
	default:
		c = r.childOf(made)
	}
	return c, r.recordChild(ctx, c)
}

// RefusedError means that the API server does not take a child as it is: trying again alone does not help.
type RefusedError struct{ err error }

func (e *RefusedError) Error() string { return e.err.Error() }
func (e *RefusedError) Unwrap() error { return e.err }

// recordChild enters a child in the release's record.
func (r *Run) recordChild(ctx context.Context, c *Child) error {
	at := metav1.NewTime(c.Created)
	if at.IsZero() {
		at = r.Stamp()
	}
	return r.record(ctx, func(st *v1alpha1.ReleaseStatus) bool {
		return release.AddRun(st, v1alpha1.ReleaseRun{Kind: "PipelineRun", Name: c.Name, UID: c.UID, Role: v1alpha1.RoleChild, Initiator: r.Initiator, Since: at})
	})
}

// KnowChild makes sure that the release's record knows a child: a pass may have been cut off, or lost to another writer, between making one and entering it.
func (r *Run) KnowChild(ctx context.Context, c *Child) error {
	if release.HasRun(&r.Release.Status, c.UID) {
		return nil
	}
	return r.recordChild(ctx, c)
}

// TakenBackSince says whether what the release moved in a member was taken back after a time.
func (r *Run) TakenBackSince(member string, at time.Time) bool {
	return slices.ContainsFunc(r.Release.Status.Touched, func(t v1alpha1.Touched) bool {
		return t.Member == member && t.Back != nil && !t.Back.Time.Before(at)
	})
}

// EndChild tells a child to end, and to run its `finally`.
func (r *Run) EndChild(ctx context.Context, c *Child) error {
	if c.Done || c.Ending {
		return nil
	}
	err := r.patchChild(ctx, c, map[string]any{"op": "add", "path": "/spec/status", "value": pipelinev1.PipelineRunSpecStatusCancelledRunFinally})
	if err != nil {
		return fmt.Errorf("ending PipelineRun %s of member %s: %w", c.Name, c.Member, err)
	}
	return nil
}

// SettleChild notes on a child that its member is done.
func (r *Run) SettleChild(ctx context.Context, c *Child) error {
	if c.Settled {
		return nil
	}
	key := strings.ReplaceAll(v1alpha1.AnnotationSettled, "/", "~1")
	err := r.patchChild(ctx, c, map[string]any{"op": "add", "path": "/metadata/annotations/" + key, "value": r.Stamp().UTC().Format(time.RFC3339)})
	if err != nil {
		return fmt.Errorf("noting on PipelineRun %s that member %s is done: %w", c.Name, c.Member, err)
	}
	return nil
}

// patchChild changes one thing in this very child, and in no other of its name. One that is gone needs nothing.
func (r *Run) patchChild(ctx context.Context, c *Child, op map[string]any) error {
	patch, err := json.Marshal([]map[string]any{{"op": "test", "path": "/metadata/uid", "value": c.UID}, op})
	if err != nil {
		return fmt.Errorf("encoding a patch: %w", err)
	}
	_, err = r.frame.Tekton.TektonV1().PipelineRuns(r.Namespace).Patch(ctx, c.Name, types.JSONPatchType, patch, metav1.PatchOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// maxChildName is what Tekton bears: it puts the name of a PipelineRun into labels.
const maxChildName = 63

// tryNumber ends the names of members that could be mistaken for another one's second try.
var tryNumber = regexp.MustCompile(`-r[0-9]+$`)

// ChildName is the name of a member's try, from 1: <run>-<member>, and -r2 after it; cut and told apart by a hash where that is too long or means two things.
func ChildName(run, member string, try int) string {
	suffix := ""
	if try > 1 {
		suffix = "-r" + strconv.Itoa(try)
	}
	name := run + "-" + member
	if len(name)+len(suffix) <= maxChildName && !tryNumber.MatchString(member) {
		return name + suffix
	}
	sum := sha256.Sum256([]byte(run + "/" + member))
	end := "-" + hex.EncodeToString(sum[:5]) + suffix
	return strings.TrimRight(name[:min(len(name), maxChildName-len(end))], "-.") + end
}

// labelValue cuts a name to what a label's value bears.
func labelValue(s string) string {
	return strings.TrimRight(s[:min(len(s), 63)], "-_.")
}
