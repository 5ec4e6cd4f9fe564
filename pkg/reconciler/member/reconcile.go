package member

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	typed "github.com/periplus-dev/periplus/pkg/client/clientset/versioned/typed/fleet/v1alpha1"
	listers "github.com/periplus-dev/periplus/pkg/client/listers/fleet/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/fleet"
)

type reconciler struct {
	fleet   *fleet.Fleet
	members listers.MemberLister
	client  typed.MemberInterface
}

// reconcile writes what the Fleet knows of one Member into its status. Each heartbeat brings it here again.
func (r *reconciler) reconcile(ctx context.Context, key types.NamespacedName) error {
	obj, err := r.members.Get(key.Name)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking up Member %q: %w", key.Name, err)
	}
	r.fleet.Attend(obj.Name)
	info, err := r.fleet.Info(obj.Name)
	if errors.Is(err, fleet.ErrUnknownMember) {
		return nil
	}
	if err != nil {
		return err
	}
	next, write := statusOf(obj, info)
	if !write {
		return nil
	}
	updated := obj.DeepCopy()
	updated.Status = next
	if _, err := r.client.UpdateStatus(ctx, updated, metav1.UpdateOptions{}); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("writing the status of Member %q: %w", obj.Name, err)
	}
	return nil
}
