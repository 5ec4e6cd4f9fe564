package stage

import (
	"context"

	"github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	corev1 "k8s.io/api/core/v1"
	"knative.dev/pkg/apis"
	"knative.dev/pkg/controller"
)

// announce tells people by events, and counts, what a write of a run's status brought. It is derived from what was written, and only once it was: what did not
// land did not happen.
func (r *Reconciler) announce(ctx context.Context, before, after *v1beta1.CustomRun) {
	rec := controller.GetEventRecorder(ctx)
	say := func(kind, reason, message string) {
		if rec != nil {
			rec.Event(after, kind, reason, shorten(message, 1000))
		}
	}
	cond := after.Status.GetCondition(apis.ConditionSucceeded)
	switch {
	case cond == nil:
	case after.Status.CompletionTime != nil:
		if before.Status.CompletionTime != nil {
			return
		}
		kind := corev1.EventTypeNormal
		if cond.Status != corev1.ConditionTrue {
			kind = corev1.EventTypeWarning
		}
		say(kind, cond.Reason, cond.Message)
		r.metrics.run(r.Task.Kind(), cond.Reason)
	case len(after.Status.RetriesStatus) > len(before.Status.RetriesStatus):
		last := after.Status.RetriesStatus[len(after.Status.RetriesStatus)-1]
		if c := last.GetCondition(apis.ConditionSucceeded); c != nil {
			say(corev1.EventTypeWarning, c.Reason, "attempt failed, trying again: "+c.Message)
		}
	default:
		if old := before.Status.GetCondition(apis.ConditionSucceeded); old == nil || old.Reason != cond.Reason {
			say(corev1.EventTypeNormal, cond.Reason, cond.Message)
		}
	}
}
