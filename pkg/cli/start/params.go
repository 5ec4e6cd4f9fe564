package start

import (
	"fmt"
	"slices"
	"strings"

	pipelinev1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"

	"github.com/periplus-dev/periplus/pkg/spelling"
)

// params reads what was given as name=value by what the pipeline declares: an array's values are separated by commas. All that is wrong is said together:
// names that the pipeline does not have, names that were given twice, and params without a default that were not given.
func params(declared pipelinev1.ParamSpecs, given []string) (pipelinev1.Params, error) {
	var out pipelinev1.Params
	var errs []error
	var names []string
	for _, d := range declared {
		names = append(names, d.Name)
	}
	seen := map[string]bool{}
	for _, g := range given {
		name, value, ok := strings.Cut(g, "=")
		at := slices.Index(names, name)
		switch {
		case !ok || name == "":
			errs = append(errs, fmt.Errorf("--param %q: write it as name=value", g))
		case at < 0:
			errs = append(errs, fmt.Errorf("--param %s: %s", name, unknown(name, names)))
		case seen[name]:
			errs = append(errs, fmt.Errorf("--param %s: was given twice", name))
		case declared[at].Type == pipelinev1.ParamTypeObject:
			errs = append(errs, fmt.Errorf("--param %s: is an object, which one line cannot say; write a PipelineRun and give it by --file", name))
		case declared[at].Type == pipelinev1.ParamTypeArray:
			// An array of one value is made by hand: the constructor makes a string of it.
			out = append(out, pipelinev1.Param{Name: name, Value: pipelinev1.ParamValue{Type: pipelinev1.ParamTypeArray, ArrayVal: strings.Split(value, ",")}})
		case len(declared[at].Enum) > 0 && !slices.Contains(declared[at].Enum, value):
			errs = append(errs, fmt.Errorf("--param %s: is %q, and the pipeline takes %s", name, value, strings.Join(declared[at].Enum, ", ")))
		default:
			out = append(out, pipelinev1.Param{Name: name, Value: *pipelinev1.NewStructuredValues(value)})
		}
		seen[name] = true
	}
	for _, d := range declared {
		if d.Default == nil && !seen[d.Name] {
			what := d.Description
			if what != "" {
				what = " (" + what + ")"
			}
			errs = append(errs, fmt.Errorf("--param %s: the pipeline needs it%s", d.Name, what))
		}
	}
	return out, utilerrors.NewAggregate(errs)
}

func unknown(name string, known []string) string {
	if near := spelling.Nearest(name, known); near != "" {
		return fmt.Sprintf("the pipeline has no such param; is %s meant?", near)
	}
	if len(known) == 0 {
		return "the pipeline has no params"
	}
	return "the pipeline has no such param; it has " + strings.Join(known, ", ")
}
