package podtemplate

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pmezard/go-difflib/difflib"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/periplus-dev/periplus/pkg/inplace"
)

// Words are what of a change can be made in place, sorted, such as "image of app: shop/web:v2".
func Words(c inplace.Change) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(c.Images)) {
		out = append(out, fmt.Sprintf("image of %s: %s", name, c.Images[name]))
	}
	for _, name := range slices.Sorted(maps.Keys(c.Resources)) {
		out = append(out, "cpu and memory of "+name)
	}
	for what, keys := range map[string]map[string]*string{"label": c.Labels, "annotation": c.Annotations} {
		for key := range keys {
			out = append(out, what+" "+key)
		}
	}
	slices.Sort(out)
	return out
}

// Diff is how one pod template becomes another, as YAML in the unified format with three lines around each change; empty where they are the same.
func Diff(from, to *corev1.PodTemplateSpec, fromName, toName string) (string, error) {
	a, err := yaml.Marshal(from)
	if err != nil {
		return "", fmt.Errorf("writing a pod template as YAML: %w", err)
	}
	b, err := yaml.Marshal(to)
	if err != nil {
		return "", fmt.Errorf("writing a pod template as YAML: %w", err)
	}
	out, err := difflib.GetUnifiedDiffString(difflib.UnifiedDiff{A: lines(a), B: lines(b), FromFile: fromName, ToFile: toName, Context: 3})
	if err != nil {
		return "", fmt.Errorf("comparing two pod templates: %w", err)
	}
	return out, nil
}

// lines of a text that ends with one, each with its end.
func lines(text []byte) []string {
	all := strings.SplitAfter(string(text), "\n")
	return all[:len(all)-1] // what comes after the last end is empty.
}
