package inplaceset

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/inplace"
)

// byHeld indexes pods that are being deleted and that load balancers hold, by namespace/name of their set, which may be gone itself.
const byHeld = "held"

func indexHeld(object any) ([]string, error) {
	pod, ok := object.(*corev1.Pod)
	if !ok || pod.DeletionTimestamp == nil || !slices.ContainsFunc(pod.Finalizers, inplace.IsBalancer) {
		return nil, nil
	}
	if owner := ownerOf(pod); owner != nil {
		return []string{pod.Namespace + "/" + owner.Name}, nil
	}
	return nil, nil
}

// letGo takes the finalizers of load balancers from pods that were deleted so long ago that the balancers are not going to answer: a balancer that is
// dead must not wedge a namespace. No other finalizer is touched. It returns when to look again, 0 where there is nothing to look at. set is nil where it is
// gone.
func (r *reconciler) letGo(ctx context.Context, key types.NamespacedName, set *v1alpha1.InPlaceSet) (again time.Duration, err error) {
	found, err := r.pods.ByIndex(byHeld, key.String())
	if err != nil {
		return 0, fmt.Errorf("listing the pods of InPlaceSet %s that are being deleted: %w", key, err)
	}
	var errs []error
	for _, object := range found {
		pod, ok := object.(*corev1.Pod)
		if !ok {
			continue
		}
		timeout, about := defaultDrainTimeout, runtime.Object(pod)
		if set != nil && ownerUID(pod) == string(set.UID) {
			timeout, about = drainTimeoutOf(set), set
		}
		left := pod.DeletionTimestamp.Add(timeout).Sub(r.clock.Now())
		if left > 0 {
			if again == 0 || left < again {
				again = left
			}
			continue
		}
		errs = append(errs, r.takeFinalizers(ctx, pod, about, timeout))
	}
	return again, mostImportant(errs)
}

func (r *reconciler) takeFinalizers(ctx context.Context, pod *corev1.Pod, about runtime.Object, timeout time.Duration) error {
	var silent []string
	kept := []string{}
	for _, finalizer := range pod.Finalizers {
		if inplace.IsBalancer(finalizer) {
			silent = append(silent, finalizer)
		} else {
			kept = append(kept, finalizer)
		}
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": pod.UID, "resourceVersion": pod.ResourceVersion, "finalizers": kept}})
	if err != nil {
		return fmt.Errorf("writing a patch of pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	_, err = r.kube.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.MergePatchType, patch, metav1.PatchOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return fmt.Errorf("taking finalizers of load balancers from pod %s/%s, which is being deleted: %w", pod.Namespace, pod.Name, err)
	}
	r.recorder.Eventf(about, corev1.EventTypeWarning, EventBalancerSilent, "%s did not let go of pod %s within %s of its deletion; the finalizer was taken away",
		strings.Join(silent, ", "), pod.Name, timeout)
	return nil
}

// heldKeys are the sets, be they there or gone, of pods that load balancers hold while they are being deleted.
func heldKeys(pods cache.Indexer) ([]types.NamespacedName, error) {
	var out []types.NamespacedName
	for _, key := range pods.ListIndexFuncValues(byHeld) {
		namespace, name, err := cache.SplitMetaNamespaceKey(key)
		if err != nil {
			return nil, errors.Join(errors.New("reading the index of held pods"), err)
		}
		out = append(out, types.NamespacedName{Namespace: namespace, Name: name})
	}
	return out, nil
}
