package stage

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"knative.dev/pkg/logging"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/release"
)

// decide makes the decision that an attempt ends without success. It is kept first and then carried out, so that a crash in between changes nothing.
func (r *Reconciler) decide(ctx context.Context, cr *v1beta1.CustomRun, run *Run, o v1alpha1.Outcome) (time.Time, error) {
	if err := run.recall(ctx); err != nil {
		return time.Time{}, err
	}
	run.Status.Ending = &v1alpha1.Ending{Outcome: o, Since: run.Stamp()}
	if run.Release == nil {
		return r.end(ctx, cr, run) // nothing was moved, so nothing is to be held back.
	}
	setRunning(cr, run.Now, o.Reason, "ending: "+shorten(o.Message, 900))
	return run.Now, storeStatus(cr, run.Status)
}

// end holds back what the run moves, and ends the attempt.
func (r *Reconciler) end(ctx context.Context, cr *v1beta1.CustomRun, run *Run) (time.Time, error) {
	o := run.Status.Ending.Outcome
	if err := run.recall(ctx); err != nil {
		return time.Time{}, err
	}
	if again, err := r.endChildren(ctx, cr, run, &o); err != nil || !again.IsZero() {
		return again, err
	}
	left, wrote, err := run.halt(ctx)
	patience := run.Status.Ending.Since.Add(endingPatience)
	switch {
	case run.Now.After(patience):
		if err != nil {
			left = append(left, err.Error())
		}
	case errors.Is(err, errNotSeenYet), err == nil && wrote:
		return run.Now.Add(time.Second), storeStatus(cr, run.Status)
	case err != nil:
		return time.Time{}, err
	}
	if len(left) > 0 {
		o.Message += "; could not be held back: " + strings.Join(left, "; ")
	}
	asked := o.Succeeded || o.Reason == v1beta1.CustomRunReasonCancelled.String() || o.Reason == ReasonAborted
	if !asked && len(cr.Status.RetriesStatus) < cr.Spec.Retries {
		return r.retry(ctx, cr, run, o)
	}
	results := r.Task.Results()
	for _, known := range cr.Status.Results {
		results[known.Name] = known.Value
	}
	if rev := r.revisionResult(run); rev != "" {
		if _, ok := results["revision"]; ok {
			results["revision"] = rev
		}
	}
	return r.finish(ctx, cr, run, o, results)
}

// retry keeps the attempt that failed and starts the next one. False is never set while attempts are left.
func (r *Reconciler) retry(ctx context.Context, cr *v1beta1.CustomRun, run *Run, o v1alpha1.Outcome) (time.Time, error) {
	err := r.recordVerdicts(ctx, run)
	if err != nil {
		return time.Time{}, err
	}
	now := metav1.NewTime(run.Now)
	run.Status.Ending = nil
	old := cr.Status.DeepCopy()
	if old.ExtraFields.Raw, err = trimmed(run.Status); err != nil {
		return time.Time{}, err
	}
	old.RetriesStatus = nil
	old.CompletionTime = &now
	kept := cr.DeepCopy()
	kept.Status = *old
	setOutcome(kept, run.Now, o)
	cr.Status.RetriesStatus = append(cr.Status.RetriesStatus, kept.Status)
	cr.Status.StartTime, cr.Status.CompletionTime, cr.Status.Results = &now, nil, nil
	r.forget(ctx, cr.UID)
	setRunning(cr, run.Now, ReasonStarted, "trying again after: "+shorten(o.Message, 900))
	return time.Time{}, storeStatus(cr, &v1alpha1.RunStatus{Attempt: run.Status.Attempt + 1, Release: run.Status.Release, Baselines: run.Status.Baselines})
}

// finish sets the terminal condition, with every result that the kind declares.
func (r *Reconciler) finish(ctx context.Context, cr *v1beta1.CustomRun, run *Run, o v1alpha1.Outcome, results map[string]string) (time.Time, error) {
	if err := r.recordVerdicts(ctx, run); err != nil {
		return time.Time{}, err
	}
	if o.Succeeded && o.Reason == ReasonSucceeded {
		if err := run.recordStage(ctx, results); err != nil {
			return time.Time{}, err
		}
	}
	o.Message = shorten(o.Message, 2000)
	now := metav1.NewTime(run.Now)
	cr.Status.CompletionTime = &now
	setResults(cr, results)
	run.Status.Ending, run.Status.Waiting, run.Status.Outcome = nil, nil, &o
	if err := storeStatus(cr, run.Status); err != nil {
		return time.Time{}, err
	}
	setOutcome(cr, run.Now, o)
	return time.Time{}, nil
}

func (r *Reconciler) recordVerdicts(ctx context.Context, run *Run) error {
	if run.Release == nil || len(run.Status.Guards) == 0 {
		return nil
	}
	verdicts := verdictsOf(run.Task, run.Status.Guards)
	err := run.record(ctx, func(st *v1alpha1.ReleaseStatus) bool { return release.AddVerdicts(st, run.Task, verdicts) })
	if apierrors.IsInvalid(err) || apierrors.IsNotFound(err) {
		// A record that cannot take them, or is gone, does not keep a run from ending: its status has them too.
		logging.FromContext(ctx).Errorw("the verdicts are not in the record", "error", err)
		return nil
	}
	return err
}

// trimmed is what is kept of an attempt that failed: what people look for, and not what a restart needed. All attempts together live in one object.
func trimmed(st *v1alpha1.RunStatus) ([]byte, error) {
	kept := v1alpha1.RunStatus{Attempt: st.Attempt, Release: st.Release, Step: st.Step, Question: st.Question}
	for _, g := range st.Guards {
		g.Expr, g.Metrics, g.Value, g.Message = "", nil, shorten(g.Value, 256), shorten(g.Message, 256)
		kept.Guards = append(kept.Guards, g)
	}
	return encode(&kept)
}

func (r *Reconciler) revisionResult(run *Run) string {
	if run.Release == nil || run.Admitted == nil {
		return ""
	}
	return RevisionOf(run.Release, run.Admitted.Members)
}
