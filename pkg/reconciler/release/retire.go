package release

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"knative.dev/pkg/controller"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

// DefaultRetention is how long the record of a release is kept after its end.
const DefaultRetention = 30 * 24 * time.Hour

// retire deletes the record of a release that ended long ago, and with it the answers and interventions that were given to it. What belongs to it goes first: as
// long as any of it is there, so is the record.
func (c *closer) retire(ctx context.Context, rel *v1alpha1.Release) error {
	if rel.Status.CompletionTime == nil || c.retention <= 0 {
		return nil
	}
	if left := rel.Status.CompletionTime.Add(c.retention).Sub(c.clock.Now()); left > 0 {
		return controller.NewRequeueAfter(left)
	}
	runs := []types.UID{rel.Spec.Root.UID}
	for _, r := range rel.Status.Runs {
		runs = append(runs, r.UID)
	}
	interventions, err := c.interventions.Interventions(rel.Namespace).List(labels.Everything())
	if err != nil {
		return fmt.Errorf("listing interventions in namespace %s: %w", rel.Namespace, err)
	}
	approvals, err := c.approvals.Approvals(rel.Namespace).List(labels.Everything())
	if err != nil {
		return fmt.Errorf("listing approvals in namespace %s: %w", rel.Namespace, err)
	}
	api := c.client.StagesV1alpha1()
	var errs []error
	for _, i := range interventions {
		if slices.Contains(runs, i.Spec.RunRef.UID) {
			errs = append(errs, gone(api.Interventions(rel.Namespace).Delete(ctx, i.Name, only(i.UID))))
		}
	}
	for _, a := range approvals {
		mine := slices.ContainsFunc(rel.Status.Stages, func(s v1alpha1.StageRecord) bool { return s.UID == a.Spec.RunRef.UID })
		if mine || c.orphaned(a) {
			errs = append(errs, gone(api.Approvals(rel.Namespace).Delete(ctx, a.Name, only(a.UID))))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("cleaning up after release %s/%s: %w", rel.Namespace, rel.Name, err)
	}
	return gone(api.Releases(rel.Namespace).Delete(ctx, rel.Name, only(rel.UID)))
}

// orphaned says whether an answer is as old as records get, and the run that it was given to is gone.
func (c *closer) orphaned(a *v1alpha1.Approval) bool {
	if c.clock.Since(a.CreationTimestamp.Time) < c.retention {
		return false
	}
	cr, err := c.customRuns.CustomRuns(a.Namespace).Get(a.Spec.RunRef.Name)
	return apierrors.IsNotFound(err) || (err == nil && cr.UID != a.Spec.RunRef.UID)
}

func only(uid types.UID) metav1.DeleteOptions {
	return metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}}
}

// gone takes what is not there any more, or is another of the name by now, for deleted.
func gone(err error) error {
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}
