package sidecar

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
)

const (
	// Injected and Skipped are the values of LabelSidecars.
	Injected = "injected"
	Skipped  = "skipped"
)

// Record is the annotation apps.periplus.dev/sidecars: what SidecarSets put into a pod, by the names of the sets. Fields may be added; a reader ignores what it does
// not know.
type Record struct {
	// Sets that meant the pod when it was created.
	Sets []Part `json:"sets"`
	// Gate: the readiness gate apps.periplus.dev/in-service is of a SidecarSet, so the controller of SidecarSets opens it.
	Gate bool `json:"gate,omitempty"`
}

// Part is what one set put into a pod.
type Part struct {
	Set string `json:"set"`
	// Revision that the pod was created with or last changed to.
	Revision string `json:"revision,omitempty"`
	// InitContainers and Containers are the names of what was put in, in the pod's order.
	InitContainers []string `json:"initContainers,omitempty"`
	Containers     []string `json:"containers,omitempty"`
	// Skipped is why nothing was; empty where it was.
	Skipped string `json:"skipped,omitempty"`
}

// RecordOf a pod; an empty one where it has none. An error says that somebody damaged it.
func RecordOf(pod *corev1.Pod) (Record, error) {
	var r Record
	text, ok := pod.Annotations[v1alpha1.AnnotationSidecars]
	if !ok {
		return r, nil
	}
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return Record{}, fmt.Errorf("annotation %s of pod %s/%s: %w", v1alpha1.AnnotationSidecars, pod.Namespace, pod.Name, err)
	}
	return r, nil
}

// Part of a set in a record; false where it has none.
func (r Record) Part(set string) (Part, bool) {
	for _, p := range r.Sets {
		if p.Set == set {
			return p, true
		}
	}
	return Part{}, false
}

// PartOf is what a set put into a pod; false where it put in nothing, or the pod does not have what its annotation says, such as one that was copied.
func PartOf(pod *corev1.Pod, set string) (Part, bool) {
	r, err := RecordOf(pod)
	if err != nil {
		return Part{}, false
	}
	p, ok := r.Part(set)
	return p, ok && p.holds(pod)
}

// PartsOf are what sets put into a pod, by set, as PartOf.
func PartsOf(pod *corev1.Pod) map[string]Part {
	r, err := RecordOf(pod)
	if err != nil {
		return nil
	}
	out := make(map[string]Part, len(r.Sets))
	for _, p := range r.Sets {
		if first, _ := r.Part(p.Set); first.holds(pod) { // one that somebody wrote twice is what PartOf says.
			out[p.Set] = first
		}
	}
	return out
}

// holds says whether the pod has what the part names.
func (p Part) holds(pod *corev1.Pod) bool {
	if p.Skipped != "" || len(p.InitContainers)+len(p.Containers) == 0 {
		return false
	}
	has := func(list []corev1.Container, names []string) bool {
		for _, name := range names {
			if !slices.ContainsFunc(list, func(c corev1.Container) bool { return c.Name == name }) {
				return false
			}
		}
		return true
	}
	return has(pod.Spec.InitContainers, p.InitContainers) && has(pod.Spec.Containers, p.Containers)
}

// Ready says whether what was put in is ready. Init containers that end are done.
func (p Part) Ready(pod *corev1.Pod) bool {
	for i := range pod.Status.ContainerStatuses {
		if s := &pod.Status.ContainerStatuses[i]; !s.Ready && slices.Contains(p.Containers, s.Name) {
			return false
		}
	}
	for i := range pod.Status.InitContainerStatuses {
		if s := &pod.Status.InitContainerStatuses[i]; !s.Ready && slices.Contains(p.InitContainers, s.Name) {
			return false
		}
	}
	return len(pod.Status.ContainerStatuses) > 0
}

// Names of the containers that were put in, in the pod's order.
func (p Part) Names() []string { return slices.Concat(p.InitContainers, p.Containers) }

// with a part in the place of the one of the same set.
func (r Record) with(p Part) Record {
	sets := slices.DeleteFunc(slices.Clone(r.Sets), func(other Part) bool { return other.Set == p.Set })
	sets = append(sets, p)
	slices.SortFunc(sets, func(a, b Part) int { return cmp.Compare(a.Set, b.Set) })
	r.Sets = sets
	return r
}

func (r Record) text() string {
	text, err := json.Marshal(r)
	if err != nil {
		return "" // strings and booleans can be written.
	}
	return string(text)
}

// HasGate says whether a pod's readiness gate came with a SidecarSet.
func HasGate(pod *corev1.Pod) bool {
	r, err := RecordOf(pod)
	return err == nil && r.Gate
}

// Holder is how a set calls itself where it holds a pod: in records of changes, and on gates that it closed.
func Holder(set string) string { return "SidecarSet/" + set }
