package cafedeployment

import (
	"context"
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
)

// resetConfirmation has the annotation say that nothing is confirmed, before the next question is recorded. The status waits for the next pass, which sees the
// object that this one wrote.
func (r *reconciler) resetConfirmation(ctx context.Context, p *pass) error {
	if !p.plan.Reset {
		return nil
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"resourceVersion": p.d.ResourceVersion, "annotations": map[string]string{v1alpha1.AnnotationConfirmed: "false"},
	}})
	if err != nil {
		return fmt.Errorf("writing a patch: %w", err)
	}
	_, err = r.written.Write(string(p.d.UID), p.d.Name, func() (*v1alpha1.CafeDeployment, error) {
		return r.periplus.AppsV1alpha1().CafeDeployments(p.d.Namespace).Patch(ctx, p.d.Name, types.MergePatchType, patch, metav1.PatchOptions{})
	})
	if err != nil {
		return fmt.Errorf("writing annotation %s of CafeDeployment %s: %w", v1alpha1.AnnotationConfirmed, keyOf(p.d), err)
	}
	r.enqueue(keyOf(p.d))
	return nil
}
