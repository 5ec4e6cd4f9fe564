package guard

import (
	"strings"
	"testing"

	"github.com/google/cel-go/cel"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

func TestAMetricHasANameThatExpressionsCanWrite(t *testing.T) {
	env, err := cel.NewEnv()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range strings.Fields(`in true false null as break const continue else for function if import let loop package namespace return var void while
		has all exists map size double int string type dyn metrics baseline updated inn True _ __in__`) {
		_, issues := env.Parse("metrics." + name + " < 1.0")
		g := v1alpha1.Guard{Name: "g", Expr: "true", Metrics: map[string]v1alpha1.GuardMetric{name: {Source: "prom", Query: "up"}}}
		g.SetDefaults()
		errs := g.Validate(field.NewPath("guards").Index(0))
		switch {
		case issues.Err() == nil && len(errs) > 0:
			t.Errorf("metric %q is refused, and CEL knows it: %v", name, errs)
		case issues.Err() != nil && len(errs) == 0:
			t.Errorf("metric %q is taken, and CEL does not parse it: %v", name, issues.Err())
		case len(errs) > 0 && !strings.Contains(errs.ToAggregate().Error(), `guards[0].metrics[`+name+`]: Invalid value: "`+name+`": is a word of CEL itself, and no expression can write metrics.`+name):
			t.Errorf("%q is refused with %v", name, errs)
		}
	}
}
