package inplace

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
)

// Change is the difference between two pod templates.
type Change struct {
	// Images by container, native sidecars included, of the containers whose image differs.
	Images map[string]string
	// Resources by container, of the containers whose cpu or memory differ.
	Resources map[string]corev1.ResourceRequirements
	// Labels and Annotations to write. A nil value takes the key away.
	Labels, Annotations map[string]*string
	// Misfits are the paths of the fields that differ and cannot change in place, sorted: the pod has to be rebuilt for them.
	Misfits []string
}

// Fits says whether all of the change can be made in place.
func (c Change) Fits() bool { return len(c.Misfits) == 0 }

// Empty says whether the templates are the same.
func (c Change) Empty() bool {
	return c.Fits() && len(c.Images) == 0 && len(c.Resources) == 0 && len(c.Labels) == 0 && len(c.Annotations) == 0
}

// maxMisfits is how many paths are worth naming.
const maxMisfits = 10

// Compare returns what brings a pod from one template to another. In place can change: images of containers and native sidecars; their cpu and memory, where the
// class of service stays; labels and annotations; a label or annotation that a container reads into its environment only together with that container's image,
// for nothing else restarts it.
func Compare(from, to *corev1.PodTemplateSpec) Change {
	c := Change{
		Images:      map[string]string{},
		Resources:   map[string]corev1.ResourceRequirements{},
		Labels:      keysThatDiffer(from.Labels, to.Labels),
		Annotations: keysThatDiffer(from.Annotations, to.Annotations),
	}
	same := from.DeepCopy()
	same.Labels, same.Annotations = to.Labels, to.Annotations
	resizes := classOf(&from.Spec) == classOf(&to.Spec) && from.Spec.Resources == nil && to.Spec.Resources == nil
	take := func(have, want []corev1.Container, lives func(*corev1.Container) bool) {
		for i := range have {
			for j := range want {
				if h, w := &have[i], &want[j]; w.Name == h.Name && lives(h) && lives(w) {
					c.take(h, w, resizes)
				}
			}
		}
	}
	take(same.Spec.Containers, to.Spec.Containers, func(*corev1.Container) bool { return true })
	take(same.Spec.InitContainers, to.Spec.InitContainers, isNativeSidecar)
	if !apiequality.Semantic.DeepEqual(same, to) {
		c.Misfits = differingPaths(same, to)
	}
	c.Misfits = append(c.Misfits, c.staleEnvironment(to)...)
	slices.Sort(c.Misfits)
	c.Misfits = slices.Compact(c.Misfits)
	if len(c.Misfits) > maxMisfits {
		c.Misfits = c.Misfits[:maxMisfits]
	}
	return c
}

// take what can change in place of one container, and write it into have.
func (c *Change) take(have, want *corev1.Container, resizes bool) {
	if want.Image != have.Image {
		c.Images[want.Name] = want.Image
		have.Image = want.Image
	}
	if resizes && !apiequality.Semantic.DeepEqual(have.Resources, want.Resources) && resizable(&have.Resources, &want.Resources) {
		c.Resources[want.Name] = want.Resources
		have.Resources = want.Resources
	}
}

// isNativeSidecar says whether an init container stays and is restarted like the containers.
func isNativeSidecar(c *corev1.Container) bool {
	return c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
}

// staleEnvironment returns the environment variables that would keep an old label, annotation, or amount of cpu or memory because their container is not restarted.
func (c Change) staleEnvironment(to *corev1.PodTemplateSpec) []string {
	var paths []string
	check := func(kind string, containers []corev1.Container) {
		for _, container := range containers {
			if _, restarts := c.Images[container.Name]; restarts {
				continue
			}
			for _, env := range container.Env {
				if env.ValueFrom == nil {
					continue
				}
				if of := env.ValueFrom.ResourceFieldRef; of != nil {
					if _, resized := c.Resources[cmp.Or(of.ContainerName, container.Name)]; resized {
						paths = append(paths, fmt.Sprintf("spec.template.spec.%s[%s].env[%s]", kind, container.Name, env.Name))
					}
				}
				if env.ValueFrom.FieldRef == nil {
					continue
				}
				if c.touches(env.ValueFrom.FieldRef.FieldPath) {
					paths = append(paths, fmt.Sprintf("spec.template.spec.%s[%s].env[%s]", kind, container.Name, env.Name))
				}
			}
		}
	}
	check("containers", to.Spec.Containers)
	check("initContainers", to.Spec.InitContainers)
	return paths
}

// touches says whether the change writes the label or annotation that a downward path such as metadata.annotations['key'] reads.
func (c Change) touches(path string) bool {
	for prefix, keys := range map[string]map[string]*string{"metadata.labels['": c.Labels, "metadata.annotations['": c.Annotations} {
		if key, ok := strings.CutPrefix(path, prefix); ok {
			_, ok = keys[strings.TrimSuffix(key, "']")]
			return ok
		}
	}
	return false
}

func keysThatDiffer(from, to map[string]string) map[string]*string {
	out := map[string]*string{}
	for k, v := range to {
		if old, ok := from[k]; !ok || old != v {
			out[k] = &v
		}
	}
	for k := range from {
		if _, ok := to[k]; !ok {
			out[k] = nil
		}
	}
	return out
}

// differingPaths compares the templates as users write them. Lists whose items have names are compared name by name.
func differingPaths(a, b *corev1.PodTemplateSpec) []string {
	x, errX := asTree(a)
	y, errY := asTree(b)
	if errX != nil || errY != nil {
		return []string{"spec.template"} // cannot be written as JSON: then no path can be told.
	}
	return diffTrees("spec.template", x, y)
}

func asTree(t *corev1.PodTemplateSpec) (any, error) {
	data, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	var tree any
	return tree, json.Unmarshal(data, &tree)
}

func diffTrees(path string, a, b any) []string {
	if apiequality.Semantic.DeepEqual(a, b) {
		return nil
	}
	if x, y, ok := bothMaps(a, b); ok {
		return diffMaps(x, y, func(key string) string { return path + "." + key })
	}
	if x, y, ok := bothNamed(a, b); ok {
		paths := diffMaps(x, y, func(key string) string { return path + "[" + key + "]" })
		if len(paths) == 0 {
			return []string{path} // the order differs.
		}
		return paths
	}
	return []string{path}
}

func diffMaps(a, b map[string]any, path func(key string) string) []string {
	keys := maps.Clone(a)
	maps.Copy(keys, b)
	var out []string
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		x, inA := a[key]
		y, inB := b[key]
		if inA && inB {
			out = append(out, diffTrees(path(key), x, y)...)
		} else {
			out = append(out, path(key))
		}
	}
	return out
}

func bothMaps(a, b any) (x, y map[string]any, ok bool) {
	x, okX := a.(map[string]any)
	y, okY := b.(map[string]any)
	return x, y, okX && okY
}

func bothNamed(a, b any) (x, y map[string]any, ok bool) {
	x, okX := byName(a)
	y, okY := byName(b)
	return x, y, okX && okY
}

func byName(list any) (map[string]any, bool) {
	items, ok := list.([]any)
	if !ok || len(items) == 0 {
		return nil, false
	}
	out := make(map[string]any, len(items))
	for _, item := range items {
		m, ok := item.(map[string]any)
		if !ok {
			return nil, false
		}
		name, ok := m["name"].(string)
		if !ok {
			return nil, false
		}
		out[name] = item
	}
	return out, true
}
