package simulation

import (
	"context"
	"fmt"
	"slices"
	"strings"

	pipelinev1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	"github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"
	"knative.dev/pkg/apis"

	stagesv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

// pipeline is what a PipelineRun of the simulation runs: tasks one after the other, then, where that did not succeed, those of finally.
type pipeline struct {
	name string
	// perMember pipelines take the param member, for which a ClusterHop runs each.
	perMember bool
	tasks     []task
	finally   []task
}

// paramMember stands for the member in the specs of a pipeline that is run for each.
const paramMember = "$(params.member)"

// spec is the pipeline as Tekton knows it.
func (p *pipeline) spec() pipelinev1.PipelineSpec {
	var out pipelinev1.PipelineSpec
	of := func(t *task) pipelinev1.PipelineTask {
		pt := pipelinev1.PipelineTask{Name: t.name, Timeout: &t.timeout, Retries: t.retries, TaskSpec: &pipelinev1.EmbeddedTask{
			TypeMeta: runtime.TypeMeta{APIVersion: "stages.periplus.dev/v1alpha1", Kind: t.kind}, Spec: runtime.RawExtension{Raw: []byte(t.spec)},
		}}
		if p.perMember {
			pt.Params = pipelinev1.Params{{Name: "member", Value: *pipelinev1.NewStructuredValues(paramMember)}}
		}
		return pt
	}
	if p.perMember {
		out.Params = pipelinev1.ParamSpecs{{Name: "member", Type: pipelinev1.ParamTypeString}}
	}
	for i := range p.tasks {
		pt := of(&p.tasks[i])
		if pt.RunAfter = p.tasks[i].after; len(pt.RunAfter) == 0 && i > 0 {
			pt.RunAfter = []string{p.tasks[i-1].name}
		}
		out.Tasks = append(out.Tasks, pt)
	}
	for i := range p.finally {
		out.Finally = append(out.Finally, of(&p.finally[i]))
	}
	return out
}

// forRun is the pipeline as one run of it has it: the rules hold its stages to the member that it was made for.
func (p *pipeline) forRun(pr *pipelinev1.PipelineRun) *pipeline {
	if !p.perMember {
		return p
	}
	out := *p
	out.tasks = slices.Clone(p.tasks)
	for i := range out.tasks {
		t := &out.tasks[i]
		t.members = slices.Clone(t.members)
		for j := range t.members {
			for _, prm := range pr.Spec.Params {
				t.members[j] = strings.ReplaceAll(t.members[j], "$(params."+prm.Name+")", prm.Value.StringVal)
			}
		}
	}
	return &out
}

// task is one custom task of a pipeline.
type task struct {
	name string
	kind string
	// spec of the stage, as JSON.
	spec    string
	retries int
	timeout metav1.Duration
	// after names the tasks that come before; the one above where it is empty.
	after []string
	// image that it brings, where the rules hold it to pods. members and want are what the rules hold the stage to: how many pods of each unit it brings to the new revision. guards are those that must pass.
	image   string
	members []string
	want    map[string]int
	guards  []guardOf
	// confirms: it asks people between its groups.
	confirms bool
}

// guardOf is a guard that a stage must have passed before it goes on.
type guardOf struct {
	name string
	when stagesv1alpha1.GuardWhen
}

// tekton stands in for Tekton's pipeline controller. It makes its moves on what is true: it is not what is tried here.
type tekton struct {
	c         *cluster
	w         *World
	pipelines map[string]*pipeline
	// ran are the pipelines of runs by the runs' names, also of those that are gone.
	ran map[string]*pipeline
	// idle is true where there was nothing to do at version looked.
	idle   bool
	looked uint64
}

// of is the pipeline of a run, nil where there is none.
func (t *tekton) of(pr *pipelinev1.PipelineRun) *pipeline {
	if t.ran[pr.Name] == nil && pr.Spec.PipelineRef != nil && t.pipelines[pr.Spec.PipelineRef.Name] != nil {
		t.ran[pr.Name] = t.pipelines[pr.Spec.PipelineRef.Name].forRun(pr)
	}
	return t.ran[pr.Name]
}

// move is the next thing to do, or nil.
func (t *tekton) move() (string, func(context.Context) error) {
	if v := t.c.api.Version(); t.idle && t.looked == v {
		return "", nil
	}
	for _, pr := range t.c.pipelineRuns() {
		if pr.DeletionTimestamp != nil || pr.Status.CompletionTime != nil {
			continue
		}
		p := t.of(pr)
		if p == nil {
			continue
		}
		if what, do := t.next(pr, p); do != nil {
			t.idle = false
			return pr.Name + ": " + what, do
		}
	}
	t.idle, t.looked = true, t.c.api.Version()
	return "", nil
}

func (t *tekton) next(pr *pipelinev1.PipelineRun, p *pipeline) (string, func(context.Context) error) {
	if pr.Status.StartTime == nil {
		return "starts", t.status(pr, func(st *pipelinev1.PipelineRunStatus) {
			st.StartTime, st.PipelineSpec = ptr.To(metav1.NewTime(t.w.clock.Now())), ptr.To(p.spec())
			st.SetCondition(&apis.Condition{Type: apis.ConditionSucceeded, Status: corev1.ConditionUnknown, Reason: "Running"})
		})
	}
	cancelled := pr.Spec.Status == pipelinev1.PipelineRunSpecStatusCancelled || pr.Spec.Status == pipelinev1.PipelineRunSpecStatusCancelledRunFinally
	runs := map[string]*v1beta1.CustomRun{}
	for _, cr := range t.c.runs() {
		if metav1.IsControlledBy(cr, pr) {
			runs[cr.Labels["tekton.dev/pipelineTask"]] = cr
			// A cancel reaches every child, also one that is over.
			if cancelled && cr.Spec.Status != v1beta1.CustomRunSpecStatusCancelled && !isFinal(p, cr) {
				return "cancels " + cr.Name, t.cancel(cr)
			}
		}
	}
	if pr.Spec.Status == pipelinev1.PipelineRunSpecStatusCancelled {
		return "is cancelled", t.done(pr, corev1.ConditionFalse, "Cancelled", "PipelineRun was cancelled")
	}
	failed, busy := cancelled, false
	for i := range p.tasks {
		cr := runs[p.tasks[i].name]
		switch {
		case cr == nil && t.wasMade(pr, &p.tasks[i]) && !failed:
			return "makes again " + p.tasks[i].name, t.create(pr, &p.tasks[i])
		case cr == nil && !failed && !busy && ready(p, i, runs):
			return "makes " + p.tasks[i].name, t.create(pr, &p.tasks[i])
		case cr == nil:
		case cr.Status.CompletionTime == nil:
			busy = true
		case !cr.Status.GetCondition(apis.ConditionSucceeded).IsTrue():
			failed = true
		}
	}
	if busy {
		return "", nil
	}
	for i := range p.finally { // each of them has when: not succeeded.
		cr := runs[p.finally[i].name]
		switch {
		case !failed:
		case cr == nil:
			return "makes " + p.finally[i].name, t.create(pr, &p.finally[i])
		case cr.Status.CompletionTime == nil:
			return "", nil
		}
	}
	switch {
	case cancelled:
		return "is cancelled", t.done(pr, corev1.ConditionFalse, "Cancelled", "PipelineRun was cancelled")
	case failed:
		return "failed", t.done(pr, corev1.ConditionFalse, "Failed", "Tasks Completed, some failed")
	}
	return "succeeded", t.done(pr, corev1.ConditionTrue, "Succeeded", "Tasks Completed")
}

func isFinal(p *pipeline, cr *v1beta1.CustomRun) bool {
	for i := range p.finally {
		if p.finally[i].name == cr.Labels["tekton.dev/pipelineTask"] {
			return true
		}
	}
	return false
}

// ready says whether all that the i-th task comes after succeeded.
func ready(p *pipeline, i int, runs map[string]*v1beta1.CustomRun) bool {
	after := p.tasks[i].after
	if len(after) == 0 && i > 0 {
		after = []string{p.tasks[i-1].name}
	}
	for _, name := range after {
		cr := runs[name]
		if cr == nil || cr.Status.CompletionTime == nil || !cr.Status.GetCondition(apis.ConditionSucceeded).IsTrue() {
			return false
		}
	}
	return true
}

func (t *tekton) wasMade(pr *pipelinev1.PipelineRun, task *task) bool {
	for _, ref := range pr.Status.ChildReferences {
		if ref.PipelineTaskName == task.name {
			return true
		}
	}
	return false
}

func (t *tekton) create(pr *pipelinev1.PipelineRun, task *task) func(context.Context) error {
	return func(ctx context.Context) error {
		cr := &v1beta1.CustomRun{
			ObjectMeta: metav1.ObjectMeta{
				Name: pr.Name + "-" + task.name, Namespace: pr.Namespace,
				Labels: map[string]string{"tekton.dev/pipelineRun": pr.Name, "tekton.dev/pipelineTask": task.name},
				OwnerReferences: []metav1.OwnerReference{{
					APIVersion: "tekton.dev/v1", Kind: "PipelineRun", Name: pr.Name, UID: pr.UID, Controller: ptr.To(true), BlockOwnerDeletion: ptr.To(true),
				}},
			},
			Spec: v1beta1.CustomRunSpec{
				CustomSpec: &v1beta1.EmbeddedCustomRunSpec{
					TypeMeta: runtime.TypeMeta{APIVersion: "stages.periplus.dev/v1alpha1", Kind: task.kind}, Spec: runtime.RawExtension{Raw: []byte(task.spec)},
				},
				Retries: task.retries, Timeout: &task.timeout,
			},
		}
		for _, prm := range pr.Spec.Params {
			cr.Spec.Params = append(cr.Spec.Params, v1beta1.Param{Name: prm.Name, Value: *v1beta1.NewStructuredValues(prm.Value.StringVal)})
		}
		made, err := t.c.admin.tekton.TektonV1beta1().CustomRuns(pr.Namespace).Create(ctx, cr, metav1.CreateOptions{})
		if err != nil {
			return fmt.Errorf("making %s: %w", cr.Name, err)
		}
		if t.wasMade(pr, task) {
			return nil
		}
		return t.status(pr, func(st *pipelinev1.PipelineRunStatus) {
			st.ChildReferences = append(st.ChildReferences, pipelinev1.ChildStatusReference{
				TypeMeta: runtime.TypeMeta{APIVersion: "tekton.dev/v1beta1", Kind: "CustomRun"}, Name: made.Name, PipelineTaskName: task.name,
			})
		})(ctx)
	}
}

func (t *tekton) cancel(cr *v1beta1.CustomRun) func(context.Context) error {
	return func(ctx context.Context) error {
		cr = cr.DeepCopy()
		cr.Spec.Status = v1beta1.CustomRunSpecStatusCancelled
		cr.Spec.StatusMessage = "CustomRun cancelled as the PipelineRun it belongs to has been cancelled."
		_, err := t.c.admin.tekton.TektonV1beta1().CustomRuns(cr.Namespace).Update(ctx, cr, metav1.UpdateOptions{})
		return err
	}
}

func (t *tekton) done(pr *pipelinev1.PipelineRun, is corev1.ConditionStatus, reason, message string) func(context.Context) error {
	return t.status(pr, func(st *pipelinev1.PipelineRunStatus) {
		st.CompletionTime = ptr.To(metav1.NewTime(t.w.clock.Now()))
		st.SetCondition(&apis.Condition{Type: apis.ConditionSucceeded, Status: is, Reason: reason, Message: message})
	})
}

func (t *tekton) status(pr *pipelinev1.PipelineRun, change func(*pipelinev1.PipelineRunStatus)) func(context.Context) error {
	return func(ctx context.Context) error {
		pr := pr.DeepCopy()
		change(&pr.Status)
		_, err := t.c.admin.tekton.TektonV1().PipelineRuns(pr.Namespace).UpdateStatus(ctx, pr, metav1.UpdateOptions{})
		return err
	}
}
