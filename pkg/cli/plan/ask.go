package plan

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/apimachinery/pkg/watch"

	stages "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/cli/act"
	"github.com/periplus-dev/periplus/pkg/cli/hub"
	"github.com/periplus-dev/periplus/pkg/cli/screen"
)

const (
	// patience is how long the hub may take to delete the plan.
	patience = 10 * time.Second
	// silence is how long is waited before it is said for what.
	silence  = 2 * time.Second
	runPlans = "runplans.stages.periplus.dev"
)

// ask makes a RunPlan, waits for the answer, and deletes it, interrupted or not.
func (c *command) ask(ctx context.Context, h *hub.Hub, r *runFile) (*stages.RunPlanStatus, error) {
	me, err := act.Who(ctx, h)
	if err != nil {
		return nil, err
	}
	api := h.Periplus.StagesV1alpha1().RunPlans(h.Namespace)
	p := &stages.RunPlan{
		// Its name is made here, so that it is known whatever becomes of the answer to its creation. Servers that stamp who asks write the same.
		ObjectMeta: metav1.ObjectMeta{Name: "plan-" + rand.String(8), Namespace: h.Namespace, Annotations: map[string]string{stages.AnnotationInitiator: me.User}},
		Spec:       stages.RunPlanSpec{Run: runtime.RawExtension{Raw: r.raw}, Diff: c.diff},
	}
	made, err := api.Create(ctx, p, metav1.CreateOptions{})
	if err == nil || ctx.Err() != nil {
		defer c.clear(ctx, h, p.Name)
	}
	if err != nil {
		return nil, h.Explain(hub.Request{Verb: "create", Resource: runPlans}, err)
	}
	return c.answer(ctx, h, made)
}

// answer waits until the hub has made the plan.
func (c *command) answer(ctx context.Context, h *hub.Hub, p *stages.RunPlan) (*stages.RunPlanStatus, error) {
	quiet := c.clock.NewTimer(silence)
	defer quiet.Stop()
	loud, said := false, ""
	for {
		w, err := h.Periplus.StagesV1alpha1().RunPlans(h.Namespace).Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + p.Name})
		if err != nil {
			return nil, h.Explain(hub.Request{Verb: "watch", Resource: runPlans, Name: p.Name}, err)
		}
		// What it became before the watch began is asked for.
		got, err := h.Periplus.StagesV1alpha1().RunPlans(h.Namespace).Get(ctx, p.Name, metav1.GetOptions{})
		if err != nil {
			w.Stop()
			return nil, h.Explain(hub.Request{Verb: "get", Resource: runPlans, Name: p.Name}, err)
		}
		p = got
		for open := true; open; {
			if done(p) {
				w.Stop()
				return &p.Status, nil
			}
			if waits := p.Status.Message; loud && waits != said && waits != "" {
				said = waits
				_, _ = fmt.Fprintf(c.asides, "waits: %s\n", screen.Clean(said))
			}
			select {
			case <-ctx.Done():
				w.Stop()
				return nil, c.unanswered(ctx, h, p)
			case <-quiet.C():
				loud = true
			case e, ok := <-w.ResultChan():
				seen, is := e.Object.(*stages.RunPlan)
				switch {
				case !ok || e.Type == watch.Error:
					open = false // the server ends watches from time to time.
				case is && e.Type == watch.Deleted && seen.Name == p.Name:
					w.Stop()
					return nil, fmt.Errorf("the plan %s was deleted before the hub answered", p.Name)
				case is && seen.Name == p.Name:
					p = seen
				}
			}
		}
		w.Stop()
	}
}

func done(p *stages.RunPlan) bool {
	return p.Status.Phase == stages.PlanReady || p.Status.Phase == stages.PlanRefused
}

// unanswered is why there is no plan.
func (c *command) unanswered(ctx context.Context, h *hub.Hub, p *stages.RunPlan) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err()
	}
	if p.Status.Phase == "" {
		return fmt.Errorf("the hub at %s took the question and did not answer it within %s: does periplus-controller run there, in a version that knows plans?", h.Server, c.timeout)
	}
	return fmt.Errorf("the hub at %s did not answer within %s; --timeout waits longer: %s", h.Server, c.timeout, p.Status.Message)
}

// clear deletes the plan; the hub does so too, after 15 minutes.
func (c *command) clear(ctx context.Context, h *hub.Hub, name string) {
	deleting, done := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer done()
	err := h.Periplus.StagesV1alpha1().RunPlans(h.Namespace).Delete(deleting, name, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		err = h.Explain(hub.Request{Verb: "delete", Resource: runPlans, Name: name}, err)
		_, _ = fmt.Fprintf(c.asides, "the plan %s is left behind; it moves nothing, and the hub deletes it within 15 minutes: %v\n", name, err)
	}
}

// tryCreate asks the API server whether it would take the run from the caller: permissions, admission policies, Tekton's webhook. What Tekton says is left out where the
// hub said it already, with its fields.
func (c *command) tryCreate(ctx context.Context, h *hub.Hub, r *runFile, status *stages.RunPlanStatus) {
	pr := r.typed.DeepCopy()
	pr.Namespace = h.Namespace
	_, err := h.Tekton.TektonV1().PipelineRuns(h.Namespace).Create(ctx, pr, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	if err == nil {
		return
	}
	for _, p := range status.Problems {
		if p.Stage == "" && strings.Contains(err.Error(), "webhook.pipeline.tekton.dev") {
			return
		}
	}
	x := stages.PlanProblem{Message: h.Explain(hub.Request{Verb: "create", Resource: "pipelineruns.tekton.dev", Name: pr.Name}, err).Error()}
	if apierrors.IsAlreadyExists(err) {
		x.Field, x.Message = "metadata.name", fmt.Sprintf("there is a PipelineRun %s in namespace %s already; write generateName, or another name", pr.Name, h.Namespace)
	}
	status.Problems = append(status.Problems, x)
	status.ProblemCount = int32(len(status.Problems)) // #nosec G115 -- few.
	status.Phase, status.Message = stages.PlanRefused, "1 reason for which the run would be refused"
	if n := len(status.Problems); n > 1 {
		status.Message = fmt.Sprintf("%d reasons for which the run would be refused", n)
	}
}
