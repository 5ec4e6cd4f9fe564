package inplace

import (
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
)

// gatePatch is a strategic merge patch of the pod's status.
func gatePatch(pod *corev1.Pod, gate corev1.PodCondition) ([]byte, error) {
	return marshal(pod, map[string]any{
		"metadata": preconditions(pod),
		"status":   map[string]any{"conditions": []corev1.PodCondition{gate}},
	})
}

// changePatch is a strategic merge patch of the pod: all of the change and its record at once, so that no crash leaves one without the other.
func changePatch(pod *corev1.Pod, change Change, record Record) ([]byte, error) {
	text, err := json.Marshal(record)
	if err != nil {
		return nil, fmt.Errorf("writing the record of a change of pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	labels := map[string]any{v1alpha1.LabelRevision: record.Revision}
	put(labels, change.Labels)
	annotations := map[string]any{v1alpha1.AnnotationUpdate: string(text)}
	put(annotations, change.Annotations)
	metadata := preconditions(pod)
	metadata["labels"] = labels
	metadata["annotations"] = annotations
	patch := map[string]any{"metadata": metadata}

	var containers []map[string]string
	for _, c := range pod.Spec.Containers {
		if image, ok := change.Images[c.Name]; ok && image != c.Image {
			containers = append(containers, map[string]string{"name": c.Name, "image": image})
		}
	}
	if len(containers) > 0 {
		patch["spec"] = map[string]any{"containers": containers}
	}
	return marshal(pod, patch)
}

// preconditions make the API server answer with a conflict if the pod is not the one that was looked at.
func preconditions(pod *corev1.Pod) map[string]any {
	return map[string]any{"uid": pod.UID, "resourceVersion": pod.ResourceVersion}
}

// put copies what the template wants, but for the keys that are ours.
func put(into map[string]any, keys map[string]*string) {
	for k, v := range keys {
		if _, ours := into[k]; ours || k == v1alpha1.LabelInPlaceSet || k == v1alpha1.LabelUnit {
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
