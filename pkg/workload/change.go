package workload

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

// Apply returns the template with the change for member laid over it. Applied to its own result it changes nothing. All that does not fit
// is reported together.
func Apply(template *corev1.PodTemplateSpec, change *v1alpha1.Change, member string, p *field.Path) (*corev1.PodTemplateSpec, field.ErrorList) {
	out := template.DeepCopy()
	if change == nil {
		return out, nil
	}
	out, errs := applyValues(out, change.ChangeValues, p)
	if v, ok := change.PerMember[member]; ok {
		var more field.ErrorList
		out, more = applyValues(out, v, p.Child("perMember").Key(member))
		errs = append(errs, more...)
	}
	return out, errs
}

func applyValues(t *corev1.PodTemplateSpec, v v1alpha1.ChangeValues, p *field.Path) (*corev1.PodTemplateSpec, field.ErrorList) {
	var errs field.ErrorList
	for _, name := range slices.Sorted(maps.Keys(v.Images)) {
		if !setImage(t, name, v.Images[name]) {
			errs = append(errs, field.NotFound(p.Child("images").Key(name), fmt.Sprintf("no container of that name; there are %v", containerNames(t))))
		}
	}
	if v.Patch != nil && len(v.Patch.Raw) > 0 {
		patched, err := patchTemplate(t, v.Patch.Raw)
		if err != nil {
			return t, append(errs, field.Invalid(p.Child("patch"), string(v.Patch.Raw), err.Error()))
		}
		t = patched
	}
	return t, errs
}

func setImage(t *corev1.PodTemplateSpec, name, image string) bool {
	for _, cs := range [][]corev1.Container{t.Spec.Containers, t.Spec.InitContainers} {
		for i := range cs {
			if cs[i].Name == name {
				cs[i].Image = image
				return true
			}
		}
	}
	return false
}

func containerNames(t *corev1.PodTemplateSpec) []string {
	var out []string
	for _, c := range t.Spec.Containers {
		out = append(out, c.Name)
	}
	for _, c := range t.Spec.InitContainers {
		out = append(out, c.Name)
	}
	return out
}

// defaultPorts fills in what the API server would, the one default of a template in our schemas: else the change would never look applied.
func defaultPorts(t *corev1.PodTemplateSpec) {
	for _, cs := range [][]corev1.Container{t.Spec.Containers, t.Spec.InitContainers} {
		for i := range cs {
			for j := range cs[i].Ports {
				if p := &cs[i].Ports[j]; p.Protocol == "" {
					p.Protocol = corev1.ProtocolTCP
				}
			}
		}
	}
}

func patchTemplate(t *corev1.PodTemplateSpec, patch []byte) (*corev1.PodTemplateSpec, error) {
	original, err := json.Marshal(t)
	if err != nil {
		return nil, fmt.Errorf("encoding the pod template: %w", err)
	}
	merged, err := strategicpatch.StrategicMergePatch(original, patch, corev1.PodTemplateSpec{})
	if err != nil {
		return nil, fmt.Errorf("not a strategic merge patch of a pod template: %w", err)
	}
	out := &corev1.PodTemplateSpec{}
	if err := yaml.UnmarshalStrict(merged, out); err != nil {
		return nil, fmt.Errorf("the patched pod template cannot be read: %w", err)
	}
	defaultPorts(out)
	return out, nil
}
