package sidecar

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
)

// Excluded are the namespaces that no set means, beside Periplus's own.
var Excluded = []string{"kube-node-lease", "kube-public", "kube-system"}

// Matcher says which pods a set means.
type Matcher struct {
	pods, namespaces labels.Selector
	// system is Periplus's own namespace.
	system string
}

// MatcherOf a set; an error where a selector cannot be read, with a matcher that means no pod.
func MatcherOf(set *v1alpha1.SidecarSet, system string) (Matcher, error) {
	m := Matcher{pods: labels.Everything(), namespaces: labels.Everything(), system: system}
	nothing := Matcher{pods: labels.Nothing(), namespaces: labels.Nothing(), system: system}
	var err error
	switch {
	case set.Spec.All:
	case set.Spec.Selector == nil || len(set.Spec.Selector.MatchLabels)+len(set.Spec.Selector.MatchExpressions) == 0:
		return nothing, fmt.Errorf("spec.selector: is empty and would match every pod; name a label, or say all: true instead")
	default:
		if m.pods, err = metav1.LabelSelectorAsSelector(set.Spec.Selector); err != nil {
			return nothing, fmt.Errorf("spec.selector: %w", err)
		}
	}
	if set.Spec.NamespaceSelector != nil {
		if m.namespaces, err = metav1.LabelSelectorAsSelector(set.Spec.NamespaceSelector); err != nil {
			return nothing, fmt.Errorf("spec.namespaceSelector: %w", err)
		}
	}
	return m, nil
}

// Namespace says whether the set means pods of a namespace.
func (m *Matcher) Namespace(name string, of map[string]string) bool {
	return name != m.system && !slices.Contains(Excluded, name) && of[v1alpha1.LabelInject] != "false" && m.namespaces.Matches(labels.Set(of))
}

// Pod says whether the set means a pod of a namespace that it means.
func (m *Matcher) Pod(pod metav1.Object) bool {
	if _, mirror := pod.GetAnnotations()[corev1.MirrorPodAnnotationKey]; mirror {
		return false // the kubelet's own copy of a file: nobody can put anything into it.
	}
	return pod.GetLabels()[v1alpha1.LabelInject] != "false" && m.pods.Matches(labels.Set(pod.GetLabels()))
}

// Claims are the names of containers that sets claim together, in words, by the set that comes second and so does not get into pods that several mean. Sets that
// cannot mean the same pod, because they ask one label for different values, are left out.
func Claims(sets []*v1alpha1.SidecarSet) map[string][]string {
	sorted := slices.SortedFunc(slices.Values(sets), func(a, b *v1alpha1.SidecarSet) int { return strings.Compare(a.Name, b.Name) })
	out := map[string][]string{}
	for i, second := range sorted {
		mine := ContentOf(second)
		for _, first := range sorted[:i] {
			theirs := ContentOf(first)
			names := theirs.names()
			for _, name := range mine.names() {
				if slices.Contains(names, name) && mayMeet(first, second) {
					out[second.Name] = append(out[second.Name], fmt.Sprintf("container %s is SidecarSet %s's, which comes first", name, first.Name))
				}
			}
		}
	}
	return out
}

func mayMeet(a, b *v1alpha1.SidecarSet) bool {
	return agree(a.Spec.Selector, b.Spec.Selector) && agree(a.Spec.NamespaceSelector, b.Spec.NamespaceSelector)
}

// agree says whether two selectors ask for no label with different values. nil asks for nothing.
func agree(a, b *metav1.LabelSelector) bool {
	if a == nil || b == nil {
		return true
	}
	for key, value := range a.MatchLabels {
		if other, ok := b.MatchLabels[key]; ok && other != value {
			return false
		}
	}
	return true
}

// UnitOf a pod with sidecars: what its label says, or the one unit by the set's own name of all pods without.
func UnitOf(pod metav1.Object, set string) string {
	if unit := pod.GetLabels()[v1alpha1.LabelUnit]; unit != "" {
		return unit
	}
	return set
}
