package inplace

import (
	"cmp"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
)

// gatePatch is a strategic merge patch of the pod's status. The API server takes annotations there too, so who claimed a pod that is taken out of service, and that a
// change is done, cost no write of their own.
func gatePatch(pod *corev1.Pod, gate corev1.PodCondition, annotations map[string]any) ([]byte, error) {
	metadata := preconditions(pod)
	if len(annotations) > 0 {
		metadata["annotations"] = annotations
	}
	return marshal(pod, map[string]any{
		"metadata": metadata,
		"status":   map[string]any{"conditions": []corev1.PodCondition{gate}},
	})
}

// orNil takes a key away that would be empty.
func orNil(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// annotationsPatch writes annotations alone.
func annotationsPatch(pod *corev1.Pod, annotations map[string]any) ([]byte, error) {
	metadata := preconditions(pod)
	metadata["annotations"] = annotations
	return marshal(pod, map[string]any{"metadata": metadata})
}

// resizePatch is a strategic merge patch of the pod's resize subresource, which takes nothing but cpu and memory.
func resizePatch(pod *corev1.Pod, resize map[string]corev1.ResourceRequirements) ([]byte, error) {
	return marshal(pod, map[string]any{"metadata": preconditions(pod), "spec": spec(pod, func(c *corev1.Container) map[string]any {
		if r, ok := resize[c.Name]; ok {
			return map[string]any{"name": c.Name, "resources": r}
		}
		return nil
	})})
}

// spec of a patch that has what change returns of native sidecars and containers.
func spec(pod *corev1.Pod, change func(*corev1.Container) map[string]any) map[string]any {
	out := map[string]any{}
	add := func(key string, list []corev1.Container, lives func(*corev1.Container) bool) {
		var items []map[string]any
		for i := range list {
			if item := change(&list[i]); lives(&list[i]) && item != nil {
				items = append(items, item)
			}
		}
		if items != nil {
			out[key] = items
		}
	}
	add("initContainers", pod.Spec.InitContainers, isNativeSidecar)
	add("containers", pod.Spec.Containers, func(*corev1.Container) bool { return true })
	return out
}

// changePatch is a strategic merge patch of the pod: images whose turn it is, labels and annotations, and the record at once, so that no crash leaves one without
// the other.
func changePatch(in Input, images map[string]string, change Change, record Record) ([]byte, error) {
	pod := in.Pod
	text, err := json.Marshal(record)
	if err != nil {
		return nil, fmt.Errorf("writing the record of a change of pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	labels := map[string]any{cmp.Or(in.RevisionLabel, v1alpha1.LabelRevision): record.Revision}
	put(labels, change.Labels)
	annotations := map[string]any{v1alpha1.AnnotationUpdate: string(text)}
	put(annotations, change.Annotations)
	metadata := preconditions(pod)
	metadata["labels"] = labels
	metadata["annotations"] = annotations
	patch := map[string]any{"metadata": metadata}

	if s := spec(pod, func(c *corev1.Container) map[string]any {
		if image, ok := images[c.Name]; ok && image != c.Image {
			return map[string]any{"name": c.Name, "image": image}
		}
		return nil
	}); len(s) > 0 {
		patch["spec"] = s
	}
	return marshal(pod, patch)
}

// preconditions make the API server answer with a conflict if the pod is not the one that was looked at.
func preconditions(pod *corev1.Pod) map[string]any {
	return map[string]any{"uid": pod.UID, "resourceVersion": pod.ResourceVersion}
}

// ours are labels and annotations that no template decides.
var ours = map[string]bool{
	v1alpha1.LabelInPlaceSet: true, v1alpha1.LabelUnit: true, v1alpha1.AnnotationUpdate: true, v1alpha1.AnnotationClaims: true, v1alpha1.AnnotationSameNode: true,
	v1alpha1.AnnotationHolder: true,
}

// put copies what the template wants, but for the keys that are ours.
func put(into map[string]any, keys map[string]*string) {
	for k, v := range keys {
		if _, written := into[k]; written || ours[k] {
			continue
		}
		into[k] = v
	}
}

func marshal(pod *corev1.Pod, patch any) ([]byte, error) {
	data, err := json.Marshal(patch)
	if err != nil {
		return nil, fmt.Errorf("writing a patch of pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	return data, nil
}
