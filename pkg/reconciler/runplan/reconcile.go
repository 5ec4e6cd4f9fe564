package runplan

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"knative.dev/pkg/controller"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	typed "github.com/periplus-dev/periplus/pkg/client/clientset/versioned/typed/stages/v1alpha1"
	listers "github.com/periplus-dev/periplus/pkg/client/listers/stages/v1alpha1"
)

const (
	// keep is how long a RunPlan is kept after it was made.
	keep = 15 * time.Minute
	// patience is how long members may take to be seen, from when they were first looked for; then what is not seen is a problem.
	patience = 20 * time.Second
	// resigned is how long trouble with the hub's own API server is borne.
	resigned = 2 * patience
)

// planner is what the reconciler needs of stage.Planner.
type planner interface {
	Plan(ctx context.Context, p *v1alpha1.RunPlan, last bool, wake func()) (*v1alpha1.RunPlanStatus, error)
}

type reconciler struct {
	planner planner
	// close lets go of the members that were looked at for a plan.
	close   func(owner types.UID)
	plans   listers.RunPlanLister
	client  typed.RunPlansGetter
	clock   clock.PassiveClock
	enqueue func(types.NamespacedName)
}

func (r *reconciler) reconcile(ctx context.Context, key types.NamespacedName) error {
	p, err := r.plans.RunPlans(key.Namespace).Get(key.Name)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading RunPlan %s: %w", key, err)
	}
	left := keep - r.clock.Since(p.CreationTimestamp.Time)
	switch {
	case p.DeletionTimestamp != nil:
		return nil
	case left <= 0:
		err := r.client.RunPlans(p.Namespace).Delete(ctx, p.Name, metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(p.UID))})
		if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
			return fmt.Errorf("deleting RunPlan %s, %s after it was made: %w", key, keep, err)
		}
		return nil
	case answered(p):
		return controller.NewRequeueAfter(left)
	}
	since := p.Status.At
	if since == nil {
		at := metav1.NewTime(r.clock.Now())
		since = &at
	}
	waited := r.clock.Since(since.Time)
	status, err := r.planner.Plan(ctx, p, waited >= patience, func() { r.enqueue(key) })
	switch {
	case err != nil && waited < resigned:
		status = &v1alpha1.RunPlanStatus{ObservedGeneration: p.Generation, Phase: v1alpha1.PlanPending, Message: "tries again: " + err.Error()}
	case err != nil:
		at := metav1.NewTime(r.clock.Now())
		status = &v1alpha1.RunPlanStatus{ObservedGeneration: p.Generation, Phase: v1alpha1.PlanRefused, At: &at, ProblemCount: 1, Message: "the hub cannot tell",
			Problems: []v1alpha1.PlanProblem{{Message: fmt.Sprintf("the hub cannot tell what the run would do: %v", err)}}}
	}
	wait := left
	if status.Phase == v1alpha1.PlanPending {
		status.At = since
		if wait = patience - waited; wait <= 0 || err != nil {
			wait = time.Second
		}
	} else {
		r.close(p.UID)
	}
	if err := r.write(ctx, p, status); err != nil {
		return err
	}
	return controller.NewRequeueAfter(wait)
}

// answered says whether the plan is made. The spec never changes.
func answered(p *v1alpha1.RunPlan) bool {
	return p.Status.Phase == v1alpha1.PlanReady || p.Status.Phase == v1alpha1.PlanRefused
}

func (r *reconciler) write(ctx context.Context, p *v1alpha1.RunPlan, status *v1alpha1.RunPlanStatus) error {
	if equality.Semantic.DeepEqual(&p.Status, status) {
		return nil
	}
	next := p.DeepCopy()
	next.Status = *status
	_, err := r.client.RunPlans(p.Namespace).UpdateStatus(ctx, next, metav1.UpdateOptions{})
	if apierrors.IsNotFound(err) {
		return nil // whoever asked does not want to know any more.
	}
	if err != nil {
		return fmt.Errorf("answering RunPlan %s/%s: %w", p.Namespace, p.Name, err)
	}
	return nil
}
