package simulation

import (
	"context"
	"encoding/json"
	"fmt"

	pipelinev1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	"github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	stagesv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

// runStatus is what a stage keeps in its run, empty where nothing can be read.
func runStatus(cr *v1beta1.CustomRun) *stagesv1alpha1.RunStatus {
	st := &stagesv1alpha1.RunStatus{}
	if cr != nil && len(cr.Status.ExtraFields.Raw) > 0 {
		_ = json.Unmarshal(cr.Status.ExtraFields.Raw, st) // what is damaged is empty.
	}
	return st
}

// asked is the run whose question is open, with it.
func (w *World) asked() (*v1beta1.CustomRun, *stagesv1alpha1.Question) {
	if v := w.hub.api.Version(); w.open.at != v {
		w.open.at = v
		w.open.run, w.open.question = w.ask()
	}
	return w.open.run, w.open.question
}

// open is the question that is open as of a version of the hub.
type open struct {
	at       uint64
	run      *v1beta1.CustomRun
	question *stagesv1alpha1.Question
}

func (w *World) ask() (*v1beta1.CustomRun, *stagesv1alpha1.Question) {
	for _, cr := range w.hub.runs() {
		if cr.Status.CompletionTime != nil || cr.DeletionTimestamp != nil || cr.Spec.Status != "" {
			continue
		}
		if kind := cr.Spec.CustomSpec; kind == nil || kind.Kind != "Confirm" && kind.Kind != "BetaBatch" {
			continue
		}
		if q := runStatus(cr).Question; q != nil {
			return cr, q
		}
	}
	return nil, nil
}

// answers are given to each question in this order: those that must not count, and then the one that does.
func (w *World) answers(cr *v1beta1.CustomRun, q *stagesv1alpha1.Question) []stagesv1alpha1.ApprovalSpec {
	right := stagesv1alpha1.ApprovalSpec{RunRef: stagesv1alpha1.RunRef{Name: cr.Name, UID: cr.UID}, Question: q.ID, Decision: stagesv1alpha1.Approve, User: approver}
	if w.story.reject {
		right.Decision = stagesv1alpha1.Reject
	}
	byInitiator, byStranger, ofAnother, toAnother := right, right, right, right
	byInitiator.User, byStranger.User = initiator, "mallory"
	ofAnother.RunRef.UID, toAnother.Question = "another", "another"
	return []stagesv1alpha1.ApprovalSpec{byInitiator, byStranger, ofAnother, toAnother, right}
}

// person is the next thing that somebody could do, or nil.
func (w *World) person() (string, func(context.Context) error) {
	if what, do := w.hand(false); do != nil {
		return what, do
	}
	if w.story.act != "" && w.acted == 0 && w.step-w.began > w.story.actAfter {
		return w.story.act, w.act
	}
	if s := w.story.cafe; s != nil && s.grows > 0 && !w.grown && w.began > 0 && w.step-w.began > s.growsAfter {
		return "somebody wants more pods", w.grow
	}
	cr, q := w.asked()
	if cr == nil {
		return "", nil
	}
	asked := string(cr.UID) + "/" + q.ID
	given := w.given[asked]
	all := w.answers(cr, q)
	if given >= len(all) {
		return "", nil
	}
	return fmt.Sprintf("%s answers %s (%d)", all[given].User, cr.Name, given), func(ctx context.Context) error {
		w.given[asked]++
		_, err := w.hub.admin.periplus.StagesV1alpha1().Approvals(namespace).Create(ctx, &stagesv1alpha1.Approval{
			ObjectMeta: metav1.ObjectMeta{GenerateName: "answer-", Namespace: namespace}, Spec: all[given],
		}, metav1.CreateOptions{})
		return err
	}
}

// act does what the story has somebody do.
func (w *World) act(ctx context.Context) error {
	w.acted = w.step
	prs := w.hub.admin.tekton.TektonV1().PipelineRuns(namespace)
	switch w.story.act {
	case actCancel, actCancelFinal:
		pr, err := prs.Get(ctx, "web", metav1.GetOptions{})
		if err != nil || pr.Status.CompletionTime != nil {
			return ignoreGone(err)
		}
		pr.Spec.Status = pipelinev1.PipelineRunSpecStatusCancelled
		if w.story.act == actCancelFinal {
			pr.Spec.Status = pipelinev1.PipelineRunSpecStatusCancelledRunFinally
		}
		_, err = prs.Update(ctx, pr, metav1.UpdateOptions{})
		return ignoreGone(err)
	case actDeleteRun:
		return ignoreGone(prs.Delete(ctx, "web", metav1.DeleteOptions{}))
	case actDeleteStage:
		for _, cr := range w.hub.runs() {
			if cr.Status.CompletionTime == nil && cr.DeletionTimestamp == nil {
				return ignoreGone(w.hub.admin.tekton.TektonV1beta1().CustomRuns(namespace).Delete(ctx, cr.Name, metav1.DeleteOptions{}))
			}
		}
	case actEditTemplate:
		c := w.members[0]
		if w.story.cafe != nil {
			d := c.cafes()[0].DeepCopy()
			d.Spec.Template.Spec.Containers[0].Image = imageRival
			_, err := c.admin.periplus.AppsV1alpha1().CafeDeployments(namespace).Update(ctx, d, metav1.UpdateOptions{})
			return ignoreGone(err)
		}
		set := c.sets()[0].DeepCopy()
		set.Spec.Template.Spec.Containers[0].Image = imageRival
		_, err := c.admin.periplus.AppsV1alpha1().InPlaceSets(namespace).Update(ctx, set, metav1.UpdateOptions{})
		return ignoreGone(err)
	}
	return nil
}
