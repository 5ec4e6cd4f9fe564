package stage

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/go-multierror"
	"github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
)

// reference is $(…) as Tekton writes it.
var reference = regexp.MustCompile(`\$\(([^()\s]+)\)`)

// reserved are names that are expanded at each sample of a guard, not here.
var reserved = []string{"updated.", "stable.", "pods.", "member."}

// values are what references stand for.
type values struct {
	scalars map[string]string
	arrays  map[string][]string
}

// valuesOf returns what a run's params and context stand for.
func valuesOf(cr *v1beta1.CustomRun) values {
	v := values{scalars: map[string]string{
		"context.customRun.name":        cr.Name,
		"context.customRun.namespace":   cr.Namespace,
		"context.customRun.uid":         string(cr.UID),
		"context.customRun.retry-count": strconv.Itoa(len(cr.Status.RetriesStatus)),
		"context.pipelineRun.name":      cr.Labels["tekton.dev/pipelineRun"],
		"context.pipelineRun.namespace": cr.Namespace,
		"context.pipelineTask.name":     cr.Labels["tekton.dev/pipelineTask"],
	}, arrays: map[string][]string{}}
	for _, o := range cr.OwnerReferences {
		if o.Kind == "PipelineRun" {
			v.scalars["context.pipelineRun.uid"] = string(o.UID)
		}
	}
	for _, p := range cr.Spec.Params {
		v.addParam(p.Name, p.Value)
	}
	return v
}

func (v *values) addParam(name string, value v1beta1.ParamValue) {
	switch value.Type {
	case v1beta1.ParamTypeArray:
		v.arrays["params."+name] = value.ArrayVal
		for i, e := range value.ArrayVal {
			v.scalars[fmt.Sprintf("params.%s[%d]", name, i)] = e
		}
	case v1beta1.ParamTypeObject:
		for k, e := range value.ObjectVal {
			v.scalars["params."+name+"."+k] = e
		}
	default:
		v.scalars["params."+name] = value.StringVal
	}
}

// paramMap are the scalar params by name, as guards see them.
func (v *values) paramMap() map[string]string {
	out := map[string]string{}
	for k, s := range v.scalars {
		if n, ok := strings.CutPrefix(k, "params."); ok {
			out[n] = s
		}
	}
	return out
}

// expand replaces every reference in the strings of a JSON document. References with unknown names are reported all together; a list item
// that is just $(params.x[*]) becomes the array's elements.
func (v *values) expand(raw []byte) ([]byte, error) {
	var doc any
	if err := json.Unmarshal(raw, &doc); err != nil {
		return nil, fmt.Errorf("spec is not a JSON object: %w", err)
	}
	var errs *multierror.Error
	doc = v.walk(doc, "spec", &errs)
	if err := errs.ErrorOrNil(); err != nil {
		return nil, err
	}
	out, err := json.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("encoding the expanded spec: %w", err)
	}
	return out, nil
}

func (v *values) walk(node any, at string, errs **multierror.Error) any {
	switch n := node.(type) {
	case string:
		return v.text(n, at, errs)
	case []any:
		out := make([]any, 0, len(n))
		for i, e := range n {
			here := fmt.Sprintf("%s[%d]", at, i)
			if items, ok := v.star(e); ok {
				for _, it := range items {
					out = append(out, it)
				}
				continue
			}
			out = append(out, v.walk(e, here, errs))
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(n))
		for _, k := range slices.Sorted(maps.Keys(n)) {
			out[v.text(k, at, errs)] = v.walk(n[k], at+"."+k, errs)
		}
		return out
	}
	return node
}

// star says whether an item is $(params.x[*]) and gives the elements it stands for.
func (v *values) star(item any) ([]string, bool) {
	s, ok := item.(string)
	if !ok {
		return nil, false
	}
	m := reference.FindStringSubmatch(s)
	if m == nil || m[0] != s {
		return nil, false
	}
	name, ok := strings.CutSuffix(m[1], "[*]")
	if !ok {
		return nil, false
	}
	items, known := v.arrays[name]
	return items, known
}

func (v *values) text(s, at string, errs **multierror.Error) string {
	return reference.ReplaceAllStringFunc(s, func(ref string) string {
		name := ref[2 : len(ref)-1]
		if name == "window" || slices.ContainsFunc(reserved, func(p string) bool { return strings.HasPrefix(name, p) }) {
			return ref
		}
		if val, ok := v.scalars[name]; ok {
			return val
		}
		*errs = multierror.Append(*errs, fmt.Errorf("%s: %s: %s", at, ref, v.unknown(name)))
		return ref
	})
}

func (v *values) unknown(name string) string {
	if base, ok := strings.CutSuffix(name, "[*]"); ok {
		if _, scalar := v.scalars[base]; scalar {
			return "is not an array"
		}
		if _, array := v.arrays[base]; array {
			return "an array's elements can only stand as an item of a list"
		}
	}
	if _, array := v.arrays[name]; array {
		return fmt.Sprintf("is an array: write $(%s[*]) as an item of a list, or $(%s[0])", name, name)
	}
	if strings.HasPrefix(name, "params.") {
		return fmt.Sprintf("the run has no such param; it has %v: pass it in the pipeline task's params", slices.Sorted(maps.Keys(v.paramMap())))
	}
	return "is not a name that a stage knows: use $(params.…) or $(context.…)"
}
