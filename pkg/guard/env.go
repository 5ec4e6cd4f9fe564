package guard

import (
	"fmt"
	"sync"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/ext"
)

// maxExprLength is the greatest length of an expression in code points, the same as in the CRD schema.
const maxExprLength = 4096

// Names of the variables.
const (
	varUpdated  = "updated"
	varStable   = "stable"
	varPods     = "pods"
	varUnits    = "units"
	varWorkload = "workload"
	varWant     = "want"
	varParams   = "params"
	varMember   = "member"
	varElapsed  = "elapsed"
	varNow      = "now"
)

// Numbers of a guard's metrics are variables of two words: metrics.errors is a name, not a field.
const (
	ofMetrics  = "metrics"
	ofBaseline = "baseline"
)

func metricVar(name string) string   { return ofMetrics + "." + name }
func baselineVar(name string) string { return ofBaseline + "." + name }

var variables = map[string]*types.Type{
	varUpdated:  types.NewListType(podType.typ),
	varStable:   types.NewListType(podType.typ),
	varPods:     types.NewListType(podType.typ),
	varUnits:    types.NewListType(unitType.typ),
	varWorkload: workloadType.typ,
	varWant:     types.IntType,
	varParams:   types.NewMapType(types.StringType, types.StringType),
	varMember:   memberType.typ,
	varElapsed:  types.DurationType,
	varNow:      types.TimestampType,
}

// environment is immutable once it is made, and shared by all compilations. Library versions are pinned, so that a new cel-go does not
// change the language of stored guards.
var environment = sync.OnceValues(func() (*cel.Env, error) {
	provider, err := newProvider()
	if err != nil {
		return nil, fmt.Errorf("making the types of guards: %w", err)
	}
	opts := []cel.EnvOption{
		cel.CustomTypeProvider(provider),
		cel.CustomTypeAdapter(provider),
		ext.Strings(ext.StringsVersion(5)),
		ext.Lists(ext.ListsVersion(3)),
		ext.Math(ext.MathVersion(2)),
		ext.Sets(),
		cel.CrossTypeNumericComparisons(true),
		cel.DefaultUTCTimeZone(true),
		cel.EnableMacroCallTracking(),
		cel.ExtendedValidations(),
		cel.ParserExpressionSizeLimit(maxExprLength),
		cel.CostEstimatorOptions(staticCosts()...),
	}
	for name, typ := range variables {
		opts = append(opts, cel.Variable(name, typ))
	}
	env, err := cel.NewEnv(opts...)
	if err != nil {
		return nil, fmt.Errorf("making the CEL environment of guards: %w", err)
	}
	return env, nil
})
