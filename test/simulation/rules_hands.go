package simulation

import (
	"slices"
	"strings"
	"time"

	pipelinev1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	"github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	"k8s.io/apimachinery/pkg/runtime"
	apitypes "k8s.io/apimachinery/pkg/types"
	"knative.dev/pkg/apis"

	stagesv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/stage"
)

// isOver says whether a release moves nothing any more.
func isOver(rel *stagesv1alpha1.Release) bool {
	switch rel.Status.Phase {
	case stagesv1alpha1.ReleaseSucceeded, stagesv1alpha1.ReleaseFailed, stagesv1alpha1.ReleaseRolledBack:
		return true
	}
	return false
}

// visible are the objects of a kind that a process's cache was given, as the API server had them.
func visible[T runtime.Object](p *process, resource string) []T {
	var out []T
	for _, i := range p.informers {
		if i.selection.Kind.Resource != resource {
			continue
		}
		for _, o := range i.seen {
			if t, ok := i.source.truth(o).(T); ok {
				out = append(out, t)
			}
		}
	}
	return out
}

// moves is what people and policies say to a move forward of a release, or to its way back: rules 5, 6, 7 and 9.
func (r *rules) moves(d deed, mine *stagesv1alpha1.Release) {
	if why := r.heldBy(d, mine, d.c.name); why != "" {
		r.broken(9, "%s moves %s in member %s, though %s", d.pass, d.event.Object.Name, d.c.name, why)
	}
	if mine == nil || d.pass.queue == "Rollback" {
		return
	}
	if r.goesBack(d, mine) {
		r.broken(6, "%s moves %s in member %s while release %s is being taken back", d.pass, d.event.Object.Name, d.c.name, mine.Name)
	}
	if l := r.w.story.law; l == lawLacking || (l.demands(d.c.name) && !r.saidYes()) {
		r.broken(5, "%s moves %s in member %s, and the yes that a policy demands before was not given", d.pass, d.event.Object.Name, d.c.name)
	}
	for _, cr := range r.w.hub.runs() {
		if cr.Name == d.pass.key.Name && r.doneBefore(cr, mine) {
			r.broken(7, "%s moves %s in member %s again, which an earlier run of release %s had done", d.pass, d.event.Object.Name, d.c.name, mine.Name)
		}
	}
}

// heldBy is rule 9: nothing moves between the moment that a pause or a freeze is visible to a process and that at which its end is. It says who holds, or nothing.
// Of a pause that was ended within its own second it is not said.
func (r *rules) heldBy(d deed, mine *stagesv1alpha1.Release, member string) string {
	for _, f := range visible[*stagesv1alpha1.Freeze](d.p, "freezes") {
		s := &f.Spec
		switch {
		case s.Lifted != nil, s.Until != nil && !r.w.clock.Now().Before(s.Until.Time):
		case s.Rollbacks == stagesv1alpha1.RollbacksAllow && d.pass.queue == "Rollback":
		case len(s.Members) == 0, slices.Contains(s.Members, member):
			return "it sees freeze " + f.Name
		}
	}
	if mine == nil {
		return ""
	}
	var paused *stagesv1alpha1.Intervention
	ended := time.Time{}
	runs := carriersOf(mine)
	for _, i := range visible[*stagesv1alpha1.Intervention](d.p, "interventions") {
		switch at := i.CreationTimestamp.Time; {
		case !slices.Contains(runs, i.Spec.RunRef.UID), i.Spec.Action == stagesv1alpha1.ActionSkip:
		case i.Spec.Action != stagesv1alpha1.ActionPause:
			if at.After(ended) {
				ended = at
			}
		case paused == nil || at.After(paused.CreationTimestamp.Time):
			paused = i
		}
	}
	if paused != nil && paused.CreationTimestamp.After(ended) {
		return "it sees pause " + paused.Name
	}
	return ""
}

// goesBack says whether a release is being taken back, and a process knows.
func (r *rules) goesBack(d deed, rel *stagesv1alpha1.Release) bool {
	back := func(x *stagesv1alpha1.Release) bool {
		return x.UID == rel.UID && x.Status.Phase == stagesv1alpha1.ReleaseRollingBack && x.Status.Rollback != nil && x.Status.Rollback.CompletionTime == nil
	}
	return back(rel) && slices.ContainsFunc(visible[*stagesv1alpha1.Release](d.p, "releases"), back)
}

// saidYes says whether the approver said yes to a question of a run.
func (r *rules) saidYes() bool {
	return slices.ContainsFunc(r.w.hub.approvals(), func(a *stagesv1alpha1.Approval) bool {
		return a.Spec.User == approver && a.Spec.Decision == stagesv1alpha1.Approve && a.Spec.Question == "confirm"
	})
}

// doneBefore is rule 7 for retries: what an earlier run of the release did is not done again, unless it was taken back.
func (r *rules) doneBefore(cr *v1beta1.CustomRun, rel *stagesv1alpha1.Release) bool {
	if !r.retries(cr) {
		return false
	}
	back := rel.Status.Rollback != nil || slices.ContainsFunc(rel.Status.Touched, func(t stagesv1alpha1.Touched) bool { return t.Back != nil })
	return !back && slices.ContainsFunc(rel.Status.Stages, func(s stagesv1alpha1.StageRecord) bool {
		return s.Name == cr.Labels["tekton.dev/pipelineTask"] && s.Carrier == "" && s.UID != cr.UID
	})
}

// retries says whether a stage is one of a run that carries on for another.
func (r *rules) retries(cr *v1beta1.CustomRun) bool {
	return slices.ContainsFunc(r.w.hub.pipelineRuns(), func(pr *pipelinev1.PipelineRun) bool {
		return pr.Name == cr.Labels["tekton.dev/pipelineRun"] && pr.Annotations[stagesv1alpha1.AnnotationRetryOf] != ""
	})
}

// excused is rule 5 for stages that succeed without doing what they are for: somebody skipped this very stage, or an earlier run of the release did it.
func (r *rules) excused(cr *v1beta1.CustomRun, reason string) {
	if reason == stage.ReasonSkipped && !r.w.said(r.runsOf(cr), cr.UID, stagesv1alpha1.ActionSkip) {
		r.broken(5, "%s is skipped, and nobody asked for that", cr.Name)
	}
	if reason != stage.ReasonCarriedOver {
		return
	}
	task := cr.Labels["tekton.dev/pipelineTask"]
	for _, earlier := range r.w.hub.runs() {
		cond := earlier.Status.GetCondition(apis.ConditionSucceeded)
		if earlier.UID != cr.UID && earlier.Labels["tekton.dev/pipelineTask"] == task && cond.IsTrue() && cond.Reason == stage.ReasonSucceeded {
			return
		}
	}
	// A process that is killed between entering a stage in the record and ending its run leaves one that did all that it is for.
	for _, rel := range r.w.hub.releases() {
		if slices.ContainsFunc(rel.Status.Stages, func(s stagesv1alpha1.StageRecord) bool { return s.Name == task && s.UID != cr.UID }) {
			return
		}
	}
	r.broken(2, "%s is said to have been done before, and was not", cr.Name)
}

// runsOf are the runs that an intervention may name to mean a stage.
func (r *rules) runsOf(cr *v1beta1.CustomRun) []apitypes.UID {
	var out []apitypes.UID
	for _, o := range cr.OwnerReferences {
		out = append(out, o.UID)
		for _, rel := range r.w.hub.releases() {
			if runs := carriersOf(rel); slices.Contains(runs, o.UID) {
				out = append(out, runs...)
			}
		}
	}
	return out
}

// aborted says whether somebody ended the release of a stage.
func (r *rules) aborted(cr *v1beta1.CustomRun) bool {
	return r.w.said(r.runsOf(cr), "", stagesv1alpha1.ActionAbort, stagesv1alpha1.ActionRollback)
}

// childMade is rules 7 and 9 for the runs that a ClusterHop makes.
func (r *rules) childMade(d deed, pr *pipelinev1.PipelineRun) {
	carrier := pr.Annotations[stagesv1alpha1.AnnotationCarrier]
	_, member, ok := strings.Cut(carrier, "/")
	if !ok {
		return
	}
	rel := pr.Annotations[stagesv1alpha1.AnnotationRelease]
	var mine *stagesv1alpha1.Release
	for _, x := range r.w.hub.releases() {
		if x.Name == rel {
			mine = x
		}
	}
	if mine == nil {
		r.broken(6, "%s makes %s for release %s, of which there is no record", d.pass, pr.Name, rel)
		return
	}
	if why := r.heldBy(d, mine, member); why != "" {
		r.broken(9, "%s begins member %s, though %s", d.pass, member, why)
	}
	back := slices.ContainsFunc(mine.Status.Touched, func(t stagesv1alpha1.Touched) bool { return t.Member == member && t.Back != nil })
	for _, other := range r.w.hub.pipelineRuns() {
		if other.UID == pr.UID || other.Annotations[stagesv1alpha1.AnnotationCarrier] != carrier || other.Annotations[stagesv1alpha1.AnnotationRelease] != rel {
			continue
		}
		switch {
		case other.Status.CompletionTime == nil:
			r.broken(7, "%s makes %s while %s is on in the same member", d.pass, pr.Name, other.Name)
		case other.Annotations[stagesv1alpha1.AnnotationSettled] != "" && !back:
			r.broken(7, "%s makes %s, though %s was done with the member", d.pass, pr.Name, other.Name)
		}
	}
	r.begun[member]++
}
