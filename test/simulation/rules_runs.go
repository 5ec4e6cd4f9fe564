package simulation

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apitypes "k8s.io/apimachinery/pkg/types"
	"knative.dev/pkg/apis"

	stagesv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/fleet"
	"github.com/periplus-dev/periplus/pkg/stage"
)

func lockOf(of metav1.Object) *stagesv1alpha1.Lock {
	raw, ok := of.GetAnnotations()[stagesv1alpha1.AnnotationLock]
	if !ok {
		return nil
	}
	lock := &stagesv1alpha1.Lock{}
	if json.Unmarshal([]byte(raw), lock) != nil {
		return nil
	}
	return lock
}

func (r *rules) release(uid apitypes.UID) *stagesv1alpha1.Release {
	for _, rel := range r.w.hub.releases() {
		if rel.UID == uid {
			return rel
		}
	}
	return nil
}

// madeBy is the PipelineRun that made a stage, nil where the hub made it by itself.
func madeBy(cr *v1beta1.CustomRun) *metav1.OwnerReference {
	for i := range cr.OwnerReferences {
		if o := &cr.OwnerReferences[i]; o.Kind == "PipelineRun" {
			return o
		}
	}
	return nil
}

// releaseOf is the release that a pass of the hub acts for: that which its run carries or takes back, or the record itself.
func (r *rules) releaseOf(p pass) *stagesv1alpha1.Release {
	var root, own apitypes.UID
	takesBack := ""
	for _, cr := range r.w.hub.runs() {
		if cr.Name != p.key.Name || p.queue == "Release" {
			continue
		}
		if own = cr.UID; madeBy(cr) != nil {
			root = madeBy(cr).UID
		} else {
			takesBack = cr.Annotations[stagesv1alpha1.AnnotationRelease]
		}
	}
	for _, rel := range r.w.hub.releases() {
		switch {
		case p.queue == "Release" && rel.Name == p.key.Name, takesBack != "" && rel.Name == takesBack:
			return rel
		case own == "":
		case rel.Spec.Root.UID == own, root != "" && slices.Contains(carriersOf(rel), root):
			return rel
		}
	}
	return nil
}

// carriersOf are the UIDs of the runs that carry a release.
func carriersOf(rel *stagesv1alpha1.Release) []apitypes.UID {
	out := []apitypes.UID{rel.Spec.Root.UID}
	for _, run := range rel.Status.Runs {
		out = append(out, run.UID)
	}
	return out
}

// task of a pipeline that a run is of, or nil.
func (r *rules) task(cr *v1beta1.CustomRun) *task {
	p := r.w.tekton.ran[cr.Labels["tekton.dev/pipelineRun"]]
	if p == nil {
		return nil
	}
	for i := range p.tasks {
		if p.tasks[i].name == cr.Labels["tekton.dev/pipelineTask"] {
			return &p.tasks[i]
		}
	}
	return nil
}

// runWritten is rules 2, 5, 6 and 8 for the status of a stage.
func (r *rules) runWritten(d deed, before, now *v1beta1.CustomRun) {
	task := r.task(now)
	if task == nil {
		return
	}
	st, was := runStatus(now), runStatus(before)
	succeeded := now.Status.GetCondition(apis.ConditionSucceeded).IsTrue()
	if ended := before.Status.CompletionTime; ended != nil {
		old := before.Status.GetCondition(apis.ConditionSucceeded)
		if is := now.Status.GetCondition(apis.ConditionSucceeded); old != nil && (is == nil || is.Status != old.Status || !now.Status.CompletionTime.Equal(ended)) {
			r.broken(6, "%s was over, and is written to be %v", now.Name, is)
		}
		return
	}
	is := now.Status.GetCondition(apis.ConditionSucceeded)
	if is.IsFalse() && len(now.Status.RetriesStatus) < now.Spec.Retries && now.Spec.Status == "" && !r.aborted(now) {
		r.broken(6, "%s is said to have failed while attempts are left", now.Name)
	}
	if len(now.Status.RetriesStatus) > now.Spec.Retries {
		r.broken(7, "%s made attempt %d of %d", now.Name, len(now.Status.RetriesStatus)+1, now.Spec.Retries+1)
	}
	if succeeded && (is.Reason == stage.ReasonSkipped || is.Reason == stage.ReasonCarriedOver) {
		r.excused(now, is.Reason)
		return
	}
	if task.kind == "Confirm" {
		if succeeded {
			r.confirmed(now)
		}
		return
	}
	r.told(d, now, st)
	if len(task.want) == 0 {
		return
	}
	advanced := was.Step != nil && st.Step != nil && st.Step.Index > was.Step.Index && st.Attempt == was.Attempt
	if advanced && task.confirms {
		r.asksBetween(now)
	}
	if succeeded || advanced {
		r.passed(now, task, st)
	}
	if succeeded {
		r.brought(now, task)
	}
}

// passed is rule 2: no step past a guard that did not pass on the new revision.
func (r *rules) passed(cr *v1beta1.CustomRun, task *task, st *stagesv1alpha1.RunStatus) {
	for _, g := range task.guards {
		for _, m := range task.members {
			verdict := stagesv1alpha1.Verdict("none")
			for _, s := range st.Guards {
				if s.Name == g.name && s.Member == m {
					verdict = s.Verdict
				}
			}
			if verdict == stagesv1alpha1.VerdictNotApplicable && task.kind == "BetaBatch" && !r.reaches(m, task.image) {
				continue // its groups so far have no pod there.
			}
			if verdict != stagesv1alpha1.VerdictPass {
				r.broken(2, "%s goes on past guard %s, whose verdict in member %s is %s", cr.Name, g.name, m, verdict)
			}
		}
	}
	if len(task.guards) > 0 && r.w.story.sick {
		for _, m := range r.w.members {
			if !slices.Contains(task.members, m.name) {
				continue
			}
			for _, pod := range m.pods() {
				if pod.Spec.Containers[0].Image == imageSick && len(pod.Status.ContainerStatuses) > 0 && m.nodes.crashed[pod.Status.ContainerStatuses[0].ContainerID] {
					r.broken(2, "%s goes on though pod %s in member %s restarted on the new revision", cr.Name, pod.Name, m.name)
				}
			}
		}
	}
}

// reaches says whether there are pods on an image in a member.
func (r *rules) reaches(member, image string) bool {
	for _, c := range r.w.members {
		if c.name == member && slices.ContainsFunc(c.pods(), func(pod *corev1.Pod) bool { return pod.Spec.Containers[0].Image == image }) {
			return true
		}
	}
	return false
}

// brought is rule 2 seen from the nodes: a stage that is done had all the pods that it wants ready on the new image at one time.
func (r *rules) brought(cr *v1beta1.CustomRun, task *task) {
	for _, m := range task.members {
		for unit, want := range task.want {
			if got := r.peaks[m+"/"+unit+"/"+task.image]; got < want {
				r.broken(2, "%s is done, but at most %d of %d pods of unit %s in member %s were ever ready on %s", cr.Name, got, want, unit, m, task.image)
			}
		}
	}
}

// confirmed is rule 5: an answer counts only for the person who gave it, for the one question that it was given to, once.
func (r *rules) confirmed(cr *v1beta1.CustomRun) {
	question := cr.Labels["tekton.dev/pipelineTask"]
	yes := map[string]bool{}
	for _, a := range r.w.hub.approvals() {
		s := &a.Spec
		if s.RunRef.UID == cr.UID && s.RunRef.Name == cr.Name && s.Question == question && s.User == approver && s.Decision == stagesv1alpha1.Approve {
			yes[s.User] = true
		}
	}
	if len(yes) == 0 {
		r.broken(5, "%s is confirmed, and nobody who may has said yes to its question", cr.Name)
	}
}

// told is rule 8: a stage that works on a member which the hub knows not to answer says so, and since when.
func (r *rules) told(d deed, cr *v1beta1.CustomRun, st *stagesv1alpha1.RunStatus) {
	if cr.Status.CompletionTime != nil || st.Ending != nil || st.Waiting == nil || st.Waiting.Reason == "Retrying" || d.p.fleet == nil {
		return
	}
	for _, m := range st.Members {
		seen := d.p.fleet.members[m.Name]
		if seen == nil || seen.reach.State != fleet.Unreachable || !r.w.clock.Now().After(seen.reach.Since) {
			continue
		}
		if m.Reachable || !strings.Contains(m.Message, "since "+seen.reach.Since.UTC().Format("15:04:05")) {
			r.broken(8, "%s does not say that member %s cannot be reached since %s: reachable %v, %q", cr.Name, m.Name, seen.reach.Since.UTC().Format("15:04:05"), m.Reachable, m.Message)
		}
	}
}
