package release

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	tektonclient "github.com/tektoncd/pipeline/pkg/client/clientset/versioned"
	pipelinev1listers "github.com/tektoncd/pipeline/pkg/client/listers/pipeline/v1"
	pipelinev1beta1listers "github.com/tektoncd/pipeline/pkg/client/listers/pipeline/v1beta1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"knative.dev/pkg/apis"
	"knative.dev/pkg/controller"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/client/clientset/versioned"
	stageslisters "github.com/periplus-dev/periplus/pkg/client/listers/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/fleet"
	record "github.com/periplus-dev/periplus/pkg/release"
	"github.com/periplus-dev/periplus/pkg/stage"
	"github.com/periplus-dev/periplus/pkg/workload"
)

// unreachableRecheck is how often a member that does not answer is tried again, should no event say that it is back.
const unreachableRecheck = 30 * time.Second

// closer closes the records of releases whose run is over.
type closer struct {
	releases      stageslisters.ReleaseLister
	pipelineRuns  pipelinev1listers.PipelineRunLister
	customRuns    pipelinev1beta1listers.CustomRunLister
	interventions stageslisters.InterventionLister
	approvals     stageslisters.ApprovalLister
	client        versioned.Interface
	retention     time.Duration
	tekton        tektonclient.Interface
	fleet         stage.Fleet
	kinds         workload.Kinds
	records       *record.Records
	locks         *record.Locks
	clock         clock.PassiveClock
	enqueue       func(types.NamespacedName)
	// opened are the UIDs of releases that have members open, by name, to close them once only the name is known.
	opened sync.Map
}

// ending is how a root run ended.
type ending struct {
	succeeded bool
	message   string
}

func (c *closer) reconcile(ctx context.Context, key types.NamespacedName) error {
	rel, err := c.releases.Releases(key.Namespace).Get(key.Name)
	if apierrors.IsNotFound(err) {
		c.close(key)
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading release %s: %w", key, err)
	}
	var end *ending
	if !record.Over(rel) {
		if end, err = c.ended(ctx, rel); err != nil {
			return err
		}
	}
	goesBack, err := c.back(ctx, rel, end)
	if err != nil {
		return retrySoon(err)
	}
	switch {
	case goesBack:
		return nil
	case rel.Status.Released && record.Over(rel):
		c.close(key)
		return c.retire(ctx, rel)
	case !record.Over(rel) && end == nil:
		return nil
	case !record.Over(rel):
		if rel, err = c.conclude(ctx, rel, *end); err != nil {
			return retrySoon(err)
		}
		if !record.Over(rel) {
			return nil // a rollback was first; its end brings us back.
		}
	}
	return c.letGo(ctx, rel)
}

// wakeCarried enqueues the releases that a run carries on for another.
func (c *closer) wakeCarried(namespace string, run types.UID) {
	all, err := c.releases.Releases(namespace).List(labels.Everything())
	if err != nil {
		return // there is no such cache: nothing was carried.
	}
	for _, rel := range all {
		if slices.ContainsFunc(rel.Status.Runs, func(r v1alpha1.ReleaseRun) bool { return r.UID == run && r.Role != v1alpha1.RoleRoot }) {
			c.enqueue(types.NamespacedName{Namespace: rel.Namespace, Name: rel.Name})
		}
	}
}

// ended says how the root run ended, nil while it is not over or while a stage of it still holds back what it moved.
func (c *closer) ended(ctx context.Context, rel *v1alpha1.Release) (*ending, error) {
	end, err := c.rootEnding(ctx, rel)
	if err != nil || end == nil {
		return nil, err
	}
	carriers, running, err := c.runsOf(rel)
	if err != nil || running {
		return nil, err
	}
	all, err := c.customRuns.CustomRuns(rel.Namespace).List(labels.Everything())
	if err != nil {
		return nil, fmt.Errorf("listing the stages of release %s/%s: %w", rel.Namespace, rel.Name, err)
	}
	for _, cr := range all {
		owned := slices.ContainsFunc(cr.OwnerReferences, func(o metav1.OwnerReference) bool { return carriers[o.UID] })
		if owned && cr.Status.CompletionTime == nil && cr.Status.StartTime != nil && hasFinalizer(cr.Finalizers) {
			return nil, nil
		}
	}
	return end, nil
}

// rootEnding asks the API server itself before it takes a run for deleted: the cache may not have it yet.
func (c *closer) rootEnding(ctx context.Context, rel *v1alpha1.Release) (*ending, error) {
	root := rel.Spec.Root
	for _, r := range rel.Status.Runs {
		if r.Role == v1alpha1.RoleRetry {
			root = v1alpha1.RootRef{Kind: r.Kind, Name: r.Name, UID: r.UID} // each began once the one before was over.
		}
	}
	var cond *apis.Condition
	switch root.Kind {
	case "PipelineRun":
		pr, err := c.pipelineRuns.PipelineRuns(rel.Namespace).Get(root.Name)
		if apierrors.IsNotFound(err) || (err == nil && pr.UID != root.UID) {
			pr, err = c.tekton.TektonV1().PipelineRuns(rel.Namespace).Get(ctx, root.Name, metav1.GetOptions{})
		}
		if apierrors.IsNotFound(err) || (err == nil && pr.UID != root.UID) {
			return &ending{message: "its PipelineRun was deleted"}, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading PipelineRun %s/%s: %w", rel.Namespace, root.Name, err)
		}
		cond = pr.Status.GetCondition(apis.ConditionSucceeded)
	default:
		cr, err := c.customRuns.CustomRuns(rel.Namespace).Get(root.Name)
		if apierrors.IsNotFound(err) || (err == nil && cr.UID != root.UID) {
			cr, err = c.tekton.TektonV1beta1().CustomRuns(rel.Namespace).Get(ctx, root.Name, metav1.GetOptions{})
		}
		if apierrors.IsNotFound(err) || (err == nil && cr.UID != root.UID) {
			return &ending{message: "its CustomRun was deleted"}, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading CustomRun %s/%s: %w", rel.Namespace, root.Name, err)
		}
		cond = cr.Status.GetCondition(apis.ConditionSucceeded)
	}
	switch {
	case cond == nil || cond.Status == corev1.ConditionUnknown:
		return nil, nil
	case cond.Status == corev1.ConditionTrue:
		return &ending{succeeded: true, message: cond.Message}, nil
	}
	return &ending{message: cond.Reason + ": " + cond.Message}, nil
}

func hasFinalizer(finalizers []string) bool {
	return slices.ContainsFunc(finalizers, func(f string) bool { return f == stage.FinalizerName })
}

func (c *closer) conclude(ctx context.Context, rel *v1alpha1.Release, end ending) (*v1alpha1.Release, error) {
	return c.records.Update(ctx, rel.Namespace, rel.Name, func(st *v1alpha1.ReleaseStatus) bool {
		if st.Phase != v1alpha1.ReleaseRunning && st.Phase != "" {
			return false // it is over, or goes back again.
		}
		st.Phase, st.Message = v1alpha1.ReleaseFailed, end.message
		switch {
		case backInPart(st):
			st.Message = "taken back in part: " + st.Rollback.Message
		case end.succeeded:
			st.Phase = v1alpha1.ReleaseSucceeded
		}
		if len(st.Message) > 1000 {
			st.Message = st.Message[:1000]
		}
		at := metav1.NewTime(c.clock.Now())
		st.CompletionTime = &at
		return true
	})
}

// backInPart says whether some of what a release touched was taken back and does not carry it again. A rollback that was cut off marks nothing as back: it counts
// until a retry that began after it has carried the release on.
func backInPart(st *v1alpha1.ReleaseStatus) bool {
	b := st.Rollback
	if b == nil || slices.ContainsFunc(st.Touched, func(t v1alpha1.Touched) bool { return t.Back != nil }) {
		return b != nil
	}
	return !slices.ContainsFunc(st.Runs, func(r v1alpha1.ReleaseRun) bool { return r.Role == v1alpha1.RoleRetry && r.Since.After(b.Since.Time) })
}

// letGo puts every touched workload to rest and takes the lock off, in one write each. A member that does not answer keeps no other waiting.
func (c *closer) letGo(ctx context.Context, rel *v1alpha1.Release) error {
	key := types.NamespacedName{Namespace: rel.Namespace, Name: rel.Name}
	if old, had := c.opened.Swap(key, rel.UID); had && old != rel.UID {
		c.fleet.Close(old.(types.UID))
	}
	var later, failures []error
	for i := range rel.Status.Touched {
		err := c.rest(ctx, rel, &rel.Status.Touched[i], func() { c.enqueue(key) })
		var gone *fleet.UnreachableError
		switch {
		case err == nil:
		case errors.As(err, &gone), errors.Is(err, fleet.ErrBusy):
			later = append(later, err)
		default:
			failures = append(failures, err)
		}
	}
	if len(failures) > 0 {
		return retrySoon(errors.Join(failures...))
	}
	if len(later) > 0 {
		return controller.NewRequeueAfter(unreachableRecheck)
	}
	if _, err := c.records.Update(ctx, rel.Namespace, rel.Name, func(st *v1alpha1.ReleaseStatus) bool {
		if !record.Over(&v1alpha1.Release{Status: *st}) || st.Released {
			return false // a retry or a rollback has taken the release up again.
		}
		st.Released = true
		if st.CompletionTime == nil {
			at := metav1.NewTime(c.clock.Now())
			st.CompletionTime = &at
		}
		return true
	}); err != nil {
		return retrySoon(err)
	}
	c.close(key)
	return nil
}

// close closes the members that a release has open.
func (c *closer) close(key types.NamespacedName) {
	if uid, ok := c.opened.LoadAndDelete(key); ok {
		c.fleet.Close(uid.(types.UID))
	}
}

// rest puts the partitions of one workload back to rest, all pods held, where the release's lock is still on it.
func (c *closer) rest(ctx context.Context, rel *v1alpha1.Release, t *v1alpha1.Touched, wake func()) error {
	kind, ok := c.kinds[t.Kind]
	if !ok {
		return fmt.Errorf("release %s/%s touched a %s, which no adapter moves", rel.Namespace, rel.Name, t.Kind)
	}
	s, err := c.fleet.Open(rel.UID, t.Member, wake)
	if errors.Is(err, fleet.ErrUnknownMember) {
		return nil // the member left the fleet, and its workloads with it.
	}
	if err != nil {
		return fmt.Errorf("letting go of %s in member %s: %w", t.Workload, t.Member, err)
	}
	o, err := kind.Get(ctx, s, t.Member, rel.Namespace, t.Workload)
	if errors.Is(err, workload.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if u := o.First(); u.UID != t.UID || !c.locks.Mine(rel, u.Lock) {
		return nil
	}
	// A retry or a rollback may have taken the release up again since: then its locks are in use.
	now, err := c.records.Read(ctx, rel.Namespace, rel.Name)
	if err != nil || now == nil || !record.Over(now) {
		return err
	}
	return kind.Write(ctx, s, o, workload.Write{What: "letting go of the lock and holding pods back", Partitions: o.Held(), Unlock: true})
}

// retrySoon keeps a conflict, which passes by itself, from being logged as a failure.
func retrySoon(err error) error {
	if apierrors.IsConflict(err) {
		return controller.NewRequeueAfter(100 * time.Millisecond)
	}
	return err
}
