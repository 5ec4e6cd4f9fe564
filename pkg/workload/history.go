package workload

import (
	"context"
	"encoding/json"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/periplus-dev/periplus/pkg/fleet"
)

// revisionOf reads a revision out of a namespace. A workload keeps a ControllerRevision <workload>-<revision> for each revision that its history limit bears (the
// field that limit names).
func revisionOf(ctx context.Context, s Session, u *Unit, namespace, revision, limit string) ([]byte, error) {
	name := u.Workload + "-" + revision
	var found *appsv1.ControllerRevision
	err := s.Do(ctx, "reading ControllerRevision "+name, func(ctx context.Context, c fleet.Clients) (err error) {
		found, err = c.Kube.AppsV1().ControllerRevisions(namespace).Get(ctx, name, metav1.GetOptions{})
		return err
	})
	if apierrors.IsNotFound(err) || err == nil && !metav1.IsControlledBy(found, &metav1.ObjectMeta{UID: u.UID}) {
		return nil, fmt.Errorf("%w: revision %s of %s %s in member %s is not in its history any more (%s)", ErrNotFound, revision, u.Kind, u.Workload, u.Member, limit)
	}
	if err != nil {
		return nil, err
	}
	return found.Data.Raw, nil
}

// templateOf reads the template of a revision of an InPlaceSet or CafeDeployment, which stands in the history where it does in the workload.
func templateOf(ctx context.Context, s Session, u *Unit, revision, limit string) (*corev1.PodTemplateSpec, error) {
	raw, err := revisionOf(ctx, s, u, u.Namespace, revision, limit)
	if err != nil {
		return nil, err
	}
	var data struct {
		Spec struct {
			Template *corev1.PodTemplateSpec `json:"template"`
		} `json:"spec"`
	}
	if err := json.Unmarshal(raw, &data); err != nil {
		return nil, fmt.Errorf("reading the template of revision %s of %s %s in member %s: %w", revision, u.Kind, u.Workload, u.Member, err)
	}
	if data.Spec.Template == nil {
		return nil, fmt.Errorf("revision %s of %s %s in member %s holds no template", revision, u.Kind, u.Workload, u.Member)
	}
	return data.Spec.Template, nil
}
