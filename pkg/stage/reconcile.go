package stage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	customrunreconciler "github.com/tektoncd/pipeline/pkg/client/injection/reconciler/pipeline/v1beta1/customrun"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"knative.dev/pkg/controller"
	"knative.dev/pkg/logging"
	pkgreconciler "knative.dev/pkg/reconciler"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/guard"
	"github.com/periplus-dev/periplus/pkg/release"
)

// endingPatience is how long a run that ends may try to hold back what it moved.
const endingPatience = time.Minute

// lateness is how long what a stage names may be missing when it starts: who applies a run together with its Target need not mind the order.
const lateness = 5 * time.Second

// Reconciler runs one kind of stage.
type Reconciler struct {
	*Frame
	Task    Task
	enqueue func(types.NamespacedName)
	// seen are the UIDs of runs by name, to forget a run by once only its name is known.
	seen sync.Map
}

var (
	_ customrunreconciler.Interface     = (*Reconciler)(nil)
	_ customrunreconciler.Finalizer     = (*Reconciler)(nil)
	_ pkgreconciler.OnDeletionInterface = (*Reconciler)(nil)
)

// ReconcileKind implements knative's generated reconciler. The status is written here, against the version that was read, and not by the
// generated code, which would lay a status decided on an old cache over a newer one.
func (r *Reconciler) ReconcileKind(ctx context.Context, cr *v1beta1.CustomRun) pkgreconciler.Event {
	if !Ours(cr, r.Task.Kind()) {
		return nil
	}
	r.seen.Store(types.NamespacedName{Namespace: cr.Namespace, Name: cr.Name}, cr.UID)
	if r.behind(cr) {
		return nil // the event of our own last write is still to come, and wakes us.
	}
	if cr.Status.CompletionTime != nil {
		return r.keepEnded(ctx, cr)
	}
	began := r.Clock.Now()
	defer func() { r.metrics.step(r.Task.Kind(), r.Clock.Since(began)) }()

	before := cr.DeepCopy()
	wake, err := r.pass(ctx, cr)
	if err != nil {
		return r.failedPass(ctx, before, err)
	}
	later, err := r.writeStatus(ctx, before, cr)
	if err != nil {
		logging.FromContext(ctx).Errorw("the pass is made again", "error", err)
		later = r.Clock.Now().Add(troubleFirst)
	}
	return r.sleep(earlier(wake, later))
}

// Trouble that nobody foresaw is tried again after as long as it has lasted, at least troubleFirst and at most troubleMost.
const (
	troubleFirst = time.Second
	troubleMost  = 30 * time.Second
)

// failedPass shows an error that stands in the way, so that nobody has to look for it in a log, and has the pass tried again. The queue's own back-off would
// not do: it grows past timeouts, which have to be noticed. Nothing else of the pass is kept: it may be half done, and starts over from what is
// observed then.
func (r *Reconciler) failedPass(ctx context.Context, before *v1beta1.CustomRun, err error) error {
	if apierrors.IsConflict(err) {
		return r.sleep(r.Clock.Now().Add(time.Second))
	}
	err = fmt.Errorf("%s %s/%s: %w", r.Task.Kind(), before.Namespace, before.Name, err)
	logging.FromContext(ctx).Errorw("the pass failed and is tried again", "error", err)
	cr := before.DeepCopy()
	if cr.Status.StartTime == nil {
		r.begin(cr)
	}
	st, bad := statusOf(cr)
	if bad != nil {
		return r.sleep(r.Clock.Now().Add(troubleMost))
	}
	run := &Run{Status: st, Now: r.Clock.Now(), Started: cr.Status.StartTime.Time, Timeout: cr.GetTimeout()}
	r.wait(ctx, cr, run, Wait(ReasonRetrying, err.Error()))
	again := run.Now.Add(min(max(run.Now.Sub(run.Status.Waiting.Since.Time), troubleFirst), troubleMost))
	later, werr := r.writeStatus(ctx, before, cr)
	if werr != nil {
		logging.FromContext(ctx).Errorw("the trouble is not shown", "error", werr)
	}
	if deadline := run.Deadline(); run.Now.Before(deadline) {
		again = earlier(again, deadline)
	}
	return r.sleep(earlier(again, later))
}

// sleep asks for another pass at a time.
func (r *Reconciler) sleep(at time.Time) error {
	if at.IsZero() {
		return nil
	}
	return controller.NewRequeueAfter(max(at.Sub(r.Clock.Now()), 10*time.Millisecond))
}

// keepEnded restores the condition of a run that ended, should anybody have reset it, and forgets it.
func (r *Reconciler) keepEnded(ctx context.Context, cr *v1beta1.CustomRun) error {
	r.forget(ctx, cr.UID)
	before := cr.DeepCopy()
	if st, err := statusOf(cr); err == nil && st.Outcome != nil { // else it was ended by another hand: nothing to restore.
		setOutcome(cr, cr.Status.CompletionTime.Time, *st.Outcome)
	}
	_, err := r.writeStatus(ctx, before, cr)
	return err
}

// FinalizeKind holds back what a run that is deleted in the middle moves.
func (r *Reconciler) FinalizeKind(ctx context.Context, cr *v1beta1.CustomRun) pkgreconciler.Event {
	if !Ours(cr, r.Task.Kind()) {
		return nil
	}
	r.seen.Store(types.NamespacedName{Namespace: cr.Namespace, Name: cr.Name}, cr.UID)
	begun := cr.Status.StartTime != nil && cr.Status.CompletionTime == nil
	if begun && cr.DeletionTimestamp != nil && r.Clock.Since(cr.DeletionTimestamp.Time) < endingPatience {
		run, err := r.load(ctx, cr)
		if err == nil {
			err = run.recall(ctx)
		}
		if err == nil {
			_, _, err = run.halt(ctx)
		}
		if carrier, ok := r.Task.(Carrier); ok && err == nil && run.Admitted != nil {
			_, _, err = carrier.End(ctx, run) // told to end, they run their `finally` by themselves.
		}
		if errors.Is(err, errNotSeenYet) {
			return controller.NewRequeueAfter(time.Second)
		}
		if err != nil {
			return err
		}
	}
	r.forget(ctx, cr.UID)
	r.written.drop(cr.UID)
	return nil
}

// ObserveDeletion implements knative's interface. A finalizer's last pass may have run on an old cache and opened what it had closed.
func (r *Reconciler) ObserveDeletion(ctx context.Context, key types.NamespacedName) error {
	if uid, ok := r.seen.LoadAndDelete(key); ok {
		r.forget(ctx, uid.(types.UID))
		r.written.drop(uid.(types.UID))
	}
	return nil
}

// pass makes one pass over a run that is not over, and returns when to make the next though nothing happened.
func (r *Reconciler) pass(ctx context.Context, cr *v1beta1.CustomRun) (time.Time, error) {
	if cr.Status.StartTime == nil {
		r.begin(cr)
	}
	run, err := r.load(ctx, cr)
	var wrong *invalidError
	if errors.As(err, &wrong) {
		// What run this belongs to is not what it says: nothing was done for it.
		return r.finish(ctx, cr, &Run{Status: &v1alpha1.RunStatus{Attempt: len(cr.Status.RetriesStatus) + 1}, Now: r.Clock.Now(), frame: r.Frame},
			v1alpha1.Outcome{Reason: ReasonInvalid, Message: wrong.Error()}, r.Task.Results())
	}
	if err != nil {
		if o := r.unheard(cr); o != nil {
			return r.finish(ctx, cr, &Run{Status: &v1alpha1.RunStatus{Attempt: len(cr.Status.RetriesStatus) + 1}, Now: r.Clock.Now(), frame: r.Frame}, *o, r.Task.Results())
		}
		return time.Time{}, err
	}
	standing, err := run.standing()
	if err != nil {
		return time.Time{}, err
	}
	if e := run.Status.Ending; e != nil && e.Succeeded && standing.Skipped[cr.UID] == nil {
		run.Status.Ending = nil // a stage ends so only where somebody skips it: what says so is damaged.
	}
	switch {
	case run.Status.Ending != nil:
		return r.end(ctx, cr, run)
	case cr.IsCancelled():
		return r.decide(ctx, cr, run, v1alpha1.Outcome{Reason: v1beta1.CustomRunReasonCancelled.String(), Message: cancelMessage(cr)})
	case standing.Aborted != nil && !run.goesBack(r.Task):
		return r.decide(ctx, cr, run, v1alpha1.Outcome{Reason: ReasonAborted, Message: release.Words(standing.Aborted, "aborted")})
	case standing.Skipped[cr.UID] != nil && skippable(r.Task):
		return r.decide(ctx, cr, run, v1alpha1.Outcome{Succeeded: true, Reason: ReasonSkipped, Message: release.Words(standing.Skipped[cr.UID], "skipped")})
	case !run.Deadline().IsZero() && !run.Now.Before(run.Deadline()):
		return r.decide(ctx, cr, run, v1alpha1.Outcome{Reason: v1beta1.CustomRunReasonTimedOut.String(), Message: timeoutMessage(run)})
	case run.Admitted == nil:
		return r.admit(ctx, cr, run)
	}
	if done := run.carriedOver(); done != nil {
		results := r.Task.Results()
		for k, v := range done.Results {
			results[k] = v
		}
		return r.finish(ctx, cr, run, v1alpha1.Outcome{Succeeded: true, Reason: ReasonCarriedOver,
			Message: fmt.Sprintf("done by %s at %s UTC, and not done again", done.Run, done.Time.UTC().Format(time.DateTime))}, results)
	}
	out, err := r.Task.Step(ctx, run)
	var bad *invalidError
	if errors.As(err, &bad) {
		out, err = Fail(ReasonInvalid, bad.Error()), nil
	}
	if err != nil {
		return time.Time{}, err
	}
	switch out.phase {
	case waiting:
		r.wait(ctx, cr, run, out)
		return earlier(earlier(out.Wake, run.wakeAt), run.Deadline()), nil
	case succeeded:
		results := r.Task.Results()
		for k, v := range out.Results {
			results[k] = v
		}
		return r.finish(ctx, cr, run, v1alpha1.Outcome{Succeeded: true, Reason: out.Reason, Message: out.Message}, results)
	}
	if len(out.Results) > 0 {
		setResults(cr, out.Results)
	}
	return r.decide(ctx, cr, run, v1alpha1.Outcome{Reason: out.Reason, Message: out.Message})
}

// unheard is how a run ends that cannot be loaded, and whose cancel or timeout would not be heard for ever: only where nothing was admitted, so that there is nothing to
// hold back.
func (r *Reconciler) unheard(cr *v1beta1.CustomRun) *v1alpha1.Outcome {
	if st, err := statusOf(cr); err != nil || st.Admitted != nil {
		return nil
	}
	if cr.IsCancelled() {
		return &v1alpha1.Outcome{Reason: v1beta1.CustomRunReasonCancelled.String(), Message: cancelMessage(cr)}
	}
	if timeout := cr.GetTimeout(); timeout > 0 && !r.Clock.Now().Before(cr.Status.StartTime.Add(timeout)) {
		return &v1alpha1.Outcome{Reason: v1beta1.CustomRunReasonTimedOut.String(), Message: fmt.Sprintf("timed out after %s, before it could begin", timeout)}
	}
	return nil
}

// begin starts the first attempt.
func (r *Reconciler) begin(cr *v1beta1.CustomRun) {
	now := metav1.NewTime(r.Clock.Now())
	cr.Status.StartTime = &now
	setRunning(cr, now.Time, ReasonStarted, "the stage is being admitted")
}

// admit fixes what the stage is, before anything moves; the next pass is woken by the write of it.
func (r *Reconciler) admit(ctx context.Context, cr *v1beta1.CustomRun, run *Run) (time.Time, error) {
	a := admitter{task: r.Task, client: r.Periplus, fleet: r.Fleet, run: run, tasks: r.tasks, tekton: r.Tekton, namespaces: r.Namespaces, sources: r.Sources}
	admitted, err := a.admit(ctx, cr)
	var bad *invalidError
	if until := run.Started.Add(lateness); errors.As(err, &bad) && onlyMissing(bad) && run.Now.Before(until) {
		r.wait(ctx, cr, run, Wait(ReasonStarted, "waits for what may have been applied together with the run: "+bad.Error()).LimitedBy(until))
		return earlier(until, run.Now.Add(time.Second)), nil
	}
	if bad != nil {
		return r.decide(ctx, cr, run, v1alpha1.Outcome{Reason: bad.Reason(), Message: bad.Error()})
	}
	if err != nil {
		return time.Time{}, err
	}
	run.Status.Admitted = admitted
	return time.Time{}, storeStatus(cr, run.Status)
}

// load reads a run's status back and gives the task what it needs.
func (r *Reconciler) load(ctx context.Context, cr *v1beta1.CustomRun) (*Run, error) {
	key := types.NamespacedName{Namespace: cr.Namespace, Name: cr.Name}
	run := &Run{
		Namespace: cr.Namespace, Name: cr.Name, UID: cr.UID, Task: taskName(cr),
		Now: r.Clock.Now(), Started: cr.Status.StartTime.Time, Timeout: cr.GetTimeout(),
		frame: r.Frame, wake: func() { r.enqueue(key) }, serviceAccount: cr.Spec.ServiceAccountName,
	}
	st, err := statusOf(cr)
	if err != nil {
		// A status that cannot be read is not trusted: the attempt starts over, and finds in the record and the members how far it was.
		logging.FromContext(ctx).Warnw("starting the attempt over: its status cannot be read", "error", err)
		st = &v1alpha1.RunStatus{}
	}
	st.Attempt = len(cr.Status.RetriesStatus) + 1
	run.Status, run.Admitted = st, st.Admitted
	if err := r.rootOf(ctx, run, cr); err != nil {
		return nil, err
	}
	run.hands, run.joined = handsOf(run, cr), r.joinedAt(cr)
	if run.carriers, err = r.carriersOf(ctx, run, cr); err != nil {
		return nil, err
	}
	for _, c := range run.carriers {
		if !slices.Contains(run.hands, c.run.UID) {
			run.hands = append(run.hands, c.run.UID)
		}
	}
	if a := st.Admitted; a != nil && a.OnBehalfOf != "" {
		run.Initiator, run.Account = a.OnBehalfOf, a.Account
	}
	if st.Release != "" {
		if run.Release, err = r.knownRelease(ctx, cr.Namespace, st.Release, run.Root.UID); err != nil {
			return nil, err
		}
	}
	if st.Admitted == nil {
		return run, nil
	}
	if err := r.resume(run); err != nil {
		// Damaged: what was admitted cannot be what we wrote. It is admitted anew.
		logging.FromContext(ctx).Warnw("admitting the stage anew", "error", err)
		run.Status.Admitted, run.Admitted = nil, nil
		return run, nil
	}
	return run, r.loadApprovals(run)
}

// knownRelease reads the record from the cache, which is good enough wherever what it says is checked again by the write that follows; before
// locks are taken it is read from the API server. It is nil where there is none any more.
func (r *Reconciler) knownRelease(ctx context.Context, namespace, name string, root types.UID) (*v1alpha1.Release, error) {
	rel, err := r.Releases.Releases(namespace).Get(name)
	if apierrors.IsNotFound(err) {
		rel, err = r.Periplus.StagesV1alpha1().Releases(namespace).Get(ctx, name, metav1.GetOptions{})
	}
	if apierrors.IsNotFound(err) || (err == nil && rel.Spec.Root.UID != root) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading release %s: %w", name, err)
	}
	return rel, nil
}

// resume decodes what was admitted, and refuses what admission would not have let through.
func (r *Reconciler) resume(run *Run) error {
	a := run.Admitted
	if a.Kind != r.Task.Kind() {
		return fmt.Errorf("a %s was admitted, not a %s", a.Kind, r.Task.Kind())
	}
	spec, err := decodeStrict(r.Task, a.Spec.Raw)
	if err != nil {
		return err
	}
	spec.SetDefaults()
	if errs := spec.Validate(field.NewPath("spec")); len(errs) > 0 {
		return errs.ToAggregate()
	}
	scope := r.Task.Scope(spec)
	if scope != nil && !scope.Back && (scope.Target != "" && a.Target == nil || len(a.Members) == 0) {
		return errors.New("no target or no member was admitted")
	}
	run.Spec, run.moves, run.back = spec, scope != nil && scope.Moves, scope != nil && scope.Back
	if s, ok := spec.(*v1alpha1.RollbackSpec); ok && s.Release != "" {
		run.of, run.Release = s.Release, nil // not the root run's own, which the cache was asked for.
	}
	run.guards, err = r.compiled(guardKey{run.UID, run.Status.Attempt}, a.Guards)
	return err
}

func (r *Reconciler) compiled(key guardKey, guards []v1alpha1.Guard) (*guard.Set, error) {
	if s := r.guards.get(key); s != nil {
		return s, nil
	}
	s, errs := guard.CompileAll(guards, field.NewPath("spec", "guards"), guard.Limits{})
	if len(errs) > 0 {
		return nil, errs.ToAggregate()
	}
	r.guards.put(key, s)
	return s, nil
}

// wait notes what a run waits for.
func (r *Reconciler) wait(ctx context.Context, cr *v1beta1.CustomRun, run *Run, out Outcome) {
	w := &v1alpha1.Waiting{Reason: out.Reason, For: shorten(out.Message, 1024), Since: run.Stamp(), Who: out.Who, Command: out.Command}
	if old := run.Status.Waiting; old != nil && old.Reason == out.Reason {
		w.Since = old.Since
	}
	limit := earlier(out.Until, run.Deadline())
	message := w.For
	if !limit.IsZero() {
		t := metav1.NewTime(limit)
		w.Until = &t
		message += " (until " + limit.UTC().Format("15:04:05 MST") + ")"
	}
	run.Status.Waiting = w
	setRunning(cr, run.Now, out.Reason, message)
	if err := storeStatus(cr, run.Status); err != nil {
		logging.FromContext(ctx).Errorw("keeping the run's status", "error", err)
	}
}

func cancelMessage(cr *v1beta1.CustomRun) string {
	if m := string(cr.Spec.StatusMessage); m != "" {
		return m
	}
	return "the run was cancelled"
}

func timeoutMessage(run *Run) string {
	msg := fmt.Sprintf("timed out after %s", run.Timeout)
	if w := run.Status.Waiting; w != nil {
		msg += "; it waited for: " + w.For
	}
	return msg
}
