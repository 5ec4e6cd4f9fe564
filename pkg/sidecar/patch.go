package sidecar

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
)

// operation of a JSON patch.
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value,omitempty"`
}

// Patch is a JSON patch that makes the addition to a pod. It adds to lists and never writes one anew, so that nothing of the application's is touched, not even
// fields that this build does not know. nil where there is nothing to do.
func (a *Addition) Patch(pod *corev1.Pod) ([]byte, error) {
	if a.Empty() {
		return nil, nil
	}
	var ops []operation
	ops = append(ops, a.keys("/metadata/labels", pod.Labels, a.labels(pod))...)
	ops = append(ops, a.keys("/metadata/annotations", pod.Annotations, a.annotations())...)
	ops = append(ops, prepend("/spec/initContainers", len(pod.Spec.InitContainers), a.InitContainers)...)
	ops = append(ops, appendTo("/spec/containers", len(pod.Spec.Containers), a.Containers)...)
	ops = append(ops, appendTo("/spec/volumes", len(pod.Spec.Volumes), a.Volumes)...)
	ops = append(ops, appendTo("/spec/imagePullSecrets", len(pod.Spec.ImagePullSecrets), a.ImagePullSecrets)...)
	if a.Gate {
		ops = append(ops, appendTo("/spec/readinessGates", len(pod.Spec.ReadinessGates), []corev1.PodReadinessGate{{ConditionType: v1alpha1.ReadinessGateInService}})...)
	}
	patch, err := json.Marshal(ops)
	if err != nil {
		return nil, fmt.Errorf("writing the sidecars of a pod in namespace %s: %w", pod.Namespace, err)
	}
	return patch, nil
}

// labels to write; those that are to go have an empty value.
func (a *Addition) labels(pod *corev1.Pod) map[string]string {
	out := a.Record.Labels()
	for key := range pod.Labels {
		if _, wanted := out[key]; !wanted && (key == v1alpha1.LabelSidecars || strings.HasPrefix(key, v1alpha1.SidecarSetPrefix)) {
			out[key] = "" // it was copied from another pod.
		}
	}
	return out
}

// annotations to write, and those to take away: what became of another pod, where one was copied, is none of a new one's.
func (a *Addition) annotations() map[string]string {
	out := map[string]string{
		v1alpha1.AnnotationSidecars: "", v1alpha1.AnnotationUpdate: "", v1alpha1.AnnotationHolder: "", v1alpha1.AnnotationClaims: "",
	}
	if len(a.Record.Sets) > 0 {
		out[v1alpha1.AnnotationSidecars] = a.Record.text()
	}
	return out
}

func (a *Addition) keys(path string, have, want map[string]string) []operation {
	fresh := map[string]string{}
	var ops []operation
	for _, key := range slices.Sorted(maps.Keys(want)) {
		value := want[key]
		was, there := have[key]
		switch {
		case value == "" && there:
			ops = append(ops, operation{Op: "remove", Path: path + "/" + escape(key)})
		case value != "" && was != value:
			fresh[key] = value
			ops = append(ops, operation{Op: "add", Path: path + "/" + escape(key), Value: value})
		}
	}
	if len(have) == 0 && len(fresh) > 0 {
		return []operation{{Op: "add", Path: path, Value: fresh}}
	}
	return ops
}

func prepend[T any](path string, have int, items []T) []operation {
	switch {
	case len(items) == 0:
		return nil
	case have == 0:
		return []operation{{Op: "add", Path: path, Value: items}}
	}
	ops := make([]operation, 0, len(items))
	for i := range items {
		ops = append(ops, operation{Op: "add", Path: fmt.Sprintf("%s/%d", path, i), Value: items[i]})
	}
	return ops
}

func appendTo[T any](path string, have int, items []T) []operation {
	if have == 0 {
		return prepend(path, have, items)
	}
	ops := make([]operation, 0, len(items))
	for i := range items {
		ops = append(ops, operation{Op: "add", Path: path + "/-", Value: items[i]})
	}
	return ops
}

// escape a key for a JSON pointer (RFC 6901).
func escape(key string) string { return strings.NewReplacer("~", "~0", "/", "~1").Replace(key) }
