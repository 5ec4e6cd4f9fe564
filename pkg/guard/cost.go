package guard

import (
	"math"
	"math/bits"
	"slices"
	"strings"

	"github.com/google/cel-go/checker"
	"github.com/google/cel-go/common/types"
)

// Limits are the declared greatest sizes of what expressions see, and what judging one may cost. Fields left zero take their defaults.
type Limits struct {
	// Pods is the greatest number of pods of a target in one member, 10,000 where zero. Units is that of its units, 32 where zero.
	Pods, Units uint64
	// CostPerPod and CostBase make up the cost limit of one expression: CostBase + CostPerPod for each pod. At admission the estimate for
	// the greatest sizes is held against the limit for Pods; when judging, the turns of loops, each as dear as its body has nodes, against
	// the limit for the pods there are. 1,000 and 100,000 where zero.
	CostPerPod, CostBase uint64
	// Params are the names that `params` has. A selection of any other does not compile. Nil means that they are not known.
	Params []string
}

// Defaults of Limits. A unit of estimated cost takes some 30 ns, so that the dearest expression over 10,000 pods takes a third of a second of CPU (BenchmarkDearest);
// a simple condition on every pod costs 5 to 20 units a pod.
const (
	DefaultPods       = 10_000
	DefaultUnits      = 32
	DefaultCostPerPod = 1_000
	DefaultCostBase   = 100_000
)

func (l Limits) withDefaults() Limits {
	for _, d := range []struct {
		field *uint64
		value uint64
	}{{&l.Pods, DefaultPods}, {&l.Units, DefaultUnits}, {&l.CostPerPod, DefaultCostPerPod}, {&l.CostBase, DefaultCostBase}} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	return l
}

// budget is what judging one expression over pods may cost.
func (l Limits) budget(pods uint64) uint64 {
	hi, perPods := bits.Mul64(l.CostPerPod, pods)
	sum, carry := bits.Add64(perPods, l.CostBase, 0)
	if hi != 0 || carry != 0 {
		return math.MaxUint64
	}
	return sum
}

// Greatest lengths, from what Kubernetes allows: names and nodes are DNS subdomains, units are label values, params are ours.
const (
	maxNameLength  = 253
	maxLabelLength = 63
	maxWordLength  = 64
	maxLabels      = 256
	maxLabelKey    = 317
	maxParams      = 256
	maxParamLength = 4096
	maxSeriesKey   = 1024
	// maxMadeString bounds strings whose length nothing else tells, such as numbers and times turned into strings.
	maxMadeString = 256
)

// sizes tells the checker how large the variables can get.
type sizes struct{ limits Limits }

// EstimateSize implements checker.CostEstimator.
func (s sizes) EstimateSize(node checker.AstNode) *checker.SizeEstimate {
	path := node.Path()
	if t := node.Type(); t != nil && (t.Kind() == types.TypeKind || t.Kind() == types.StructKind) {
		return &checker.SizeEstimate{Min: 1, Max: 1}
	}
	if len(path) == 0 {
		return nil
	}
	upTo := func(n uint64) *checker.SizeEstimate { return &checker.SizeEstimate{Max: n} }
	last := path[len(path)-1]
	switch path[0] {
	case varUpdated, varStable, varPods, varUnits:
		if len(path) == 1 {
			if path[0] == varUnits {
				return upTo(s.limits.Units)
			}
			return upTo(s.limits.Pods)
		}
	case varParams:
		return upTo(mapSize(len(path) == 1, last, maxParams, maxNameLength, maxParamLength))
	case varMember:
		if slices.Contains(path, "labels") {
			return upTo(mapSize(last == "labels", last, maxLabels, maxLabelKey, maxLabelLength))
		}
	case varWorkload:
	default:
		if strings.HasPrefix(path[0], ofMetrics+".") {
			return upTo(mapSize(len(path) == 1, last, s.limits.Pods, maxSeriesKey, 0))
		}
		return nil
	}
	if node.Type() == nil || node.Type().Kind() != types.StringKind {
		return nil
	}
	switch last {
	case "phase", "reason", "kind":
		return upTo(maxWordLength)
	case "unit":
		return upTo(maxLabelLength)
	}
	return upTo(maxNameLength)
}

func mapSize(whole bool, last string, entries, key, value uint64) uint64 {
	switch {
	case whole:
		return entries
	case last == "@keys":
		return key
	}
	return value
}

// EstimateCallCost implements checker.CostEstimator, for calls that cel-go counts as one unit although they walk lists.
func (s sizes) EstimateCallCost(_, overload string, target *checker.AstNode, args []checker.AstNode) *checker.CallEstimate {
	size := func(n checker.AstNode) checker.SizeEstimate {
		if sz := n.ComputedSize(); sz != nil {
			return *sz
		}
		if sz := s.EstimateSize(n); sz != nil {
			return *sz
		}
		return checker.UnknownSizeEstimate()
	}
	switch {
	case slices.Contains(setOverloads, overload) && len(args) == 2:
		return &checker.CallEstimate{CostEstimate: size(args[0]).Multiply(size(args[1])).AsCost().Add(checker.FixedCostEstimate(1))}
	case slices.Contains(listMathOverloads, overload) && len(args) == 1:
		return &checker.CallEstimate{CostEstimate: size(args[0]).AsCost().Add(checker.FixedCostEstimate(1))}
	case slices.Contains(toStringOverloads, overload):
		return &checker.CallEstimate{CostEstimate: checker.FixedCostEstimate(1), ResultSize: &checker.SizeEstimate{Max: maxMadeString}}
	}
	return nil
}

var (
	setOverloads      = []string{"list_sets_contains_list", "list_sets_equivalent_list", "list_sets_intersects_list"}
	listMathOverloads = []string{"math_@min_list_double", "math_@min_list_int", "math_@min_list_uint", "math_@max_list_double",
		"math_@max_list_int", "math_@max_list_uint"}
	toStringOverloads = []string{"bool_to_string", "int64_to_string", "uint64_to_string", "double_to_string", "timestamp_to_string", "duration_to_string"}
)

// staticCosts correct estimates of cel-go's that are too low: it takes a flattened list to be as long as the outer one.
func staticCosts() []checker.CostOption {
	boundless := func(checker.CostEstimator, *checker.AstNode, []checker.AstNode) *checker.CallEstimate {
		size := checker.UnknownSizeEstimate()
		return &checker.CallEstimate{CostEstimate: size.AsCost(), ResultSize: &size}
	}
	return []checker.CostOption{
		checker.OverloadCostEstimate("list_flatten", boundless),
		checker.OverloadCostEstimate("list_flatten_int", boundless),
	}
}
