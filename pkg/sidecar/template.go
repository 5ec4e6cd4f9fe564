package sidecar

import (
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
)

// annotationBorrowed on a template that stands for a content is what its containers get of the application's, which no pod template has a field for.
const annotationBorrowed = "apps.periplus.dev/borrowed"

// borrowed is what a container gets of the application's.
type borrowed struct {
	ShareVolumes bool                   `json:"shareVolumes,omitempty"`
	TransferEnv  []v1alpha1.TransferEnv `json:"transferEnv,omitempty"`
}

// Template is a pod template that stands for the content, for those who change, compare and show templates of any workload. FromTemplate leads back.
func (c *Content) Template() (*corev1.PodTemplateSpec, error) {
	t := c.template().DeepCopy()
	all := map[string]borrowed{}
	for _, list := range [][]v1alpha1.SidecarContainer{c.InitContainers, c.Containers} {
		for i := range list {
			if of := &list[i]; of.ShareVolumes || len(of.TransferEnv) > 0 {
				all[of.Name] = borrowed{of.ShareVolumes, of.TransferEnv}
			}
		}
	}
	if len(all) == 0 {
		return t, nil
	}
	text, err := json.Marshal(all)
	if err != nil {
		return nil, fmt.Errorf("writing what sidecars get of the application: %w", err)
	}
	t.Annotations = map[string]string{annotationBorrowed: string(text)}
	return t, nil
}

// FromTemplate reads the content that a template stands for. An error names what of the template no SidecarSet can hold.
func FromTemplate(t *corev1.PodTemplateSpec) (*Content, error) {
	all := map[string]borrowed{}
	if text, ok := t.Annotations[annotationBorrowed]; ok {
		if err := json.Unmarshal([]byte(text), &all); err != nil {
			return nil, fmt.Errorf("metadata.annotations[%s]: %w", annotationBorrowed, err)
		}
	}
	if err := onlySidecars(t); err != nil {
		return nil, err
	}
	c := &Content{Volumes: t.Spec.Volumes, ImagePullSecrets: t.Spec.ImagePullSecrets}
	of := func(list []corev1.Container) (out []v1alpha1.SidecarContainer) {
		for i := range list {
			b := all[list[i].Name]
			out = append(out, v1alpha1.SidecarContainer{Container: list[i], ShareVolumes: b.ShareVolumes, TransferEnv: b.TransferEnv})
		}
		return out
	}
	c.InitContainers, c.Containers = of(t.Spec.InitContainers), of(t.Spec.Containers)
	return c, nil
}

// onlySidecars refuses a template that says more than a SidecarSet can.
func onlySidecars(t *corev1.PodTemplateSpec) error {
	rest := t.DeepCopy()
	delete(rest.Annotations, annotationBorrowed)
	rest.Spec.Volumes, rest.Spec.ImagePullSecrets, rest.Spec.InitContainers, rest.Spec.Containers = nil, nil, nil, nil
	if len(rest.Annotations) == 0 {
		rest.Annotations = nil
	}
	empty := &corev1.PodTemplateSpec{}
	text, err := json.Marshal(rest)
	if err != nil {
		return fmt.Errorf("reading the template: %w", err)
	}
	none, err := json.Marshal(empty)
	if err != nil {
		return fmt.Errorf("reading the template: %w", err)
	}
	if string(text) != string(none) {
		return fmt.Errorf("a SidecarSet holds containers, initContainers, volumes and imagePullSecrets alone, and there is also %s", text)
	}
	return nil
}
