package stage

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"

	"github.com/periplus-dev/periplus/pkg/spelling"
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

// star gives the elements that a list's item stands for, where it is $(params.x[*]) and x is an array.
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

// isReserved says whether a name is for guards to expand.
func isReserved(name string) bool {
	return name == "window" || slices.ContainsFunc(reserved, func(p string) bool { return strings.HasPrefix(name, p) })
}

// unknown says why a name stands for nothing.
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
		have := slices.Sorted(maps.Keys(v.paramMap()))
		if near := spelling.Nearest(strings.TrimPrefix(name, "params."), have); near != "" {
			return fmt.Sprintf("the run has no such param; did you mean $(params.%s)?", near)
		}
		return fmt.Sprintf("the run has no such param; it has %v: pass it in the pipeline task's params", have)
	}
	return "is not a name that a stage knows: use $(params.…) or $(context.…)"
}
