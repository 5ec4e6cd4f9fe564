package guard

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/interpreter"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

// Program is a compiled guard. It is immutable to its users, and several goroutines may judge with it at once.
type Program struct {
	guard  v1alpha1.Guard
	limits Limits
	plan   cel.Program
	// uses are the variables that the expression refers to; timed is true where its value can change by the passing of time alone.
	uses  names
	timed bool
	parts []part
	// metrics of the guard by name, sorted: all of them, those that the expression refers to, and those that it wants a baseline of. stable is true where
	// one that it refers to is about stable pods.
	metrics, decisive, baselines []string
	stable                       bool
	sources                      []string
	// identities of the metrics that it wants a baseline of.
	identities map[string]string
}

// Guard returns the guard as it was compiled, defaulted. It is the program's own, to be read only.
func (p *Program) Guard() *v1alpha1.Guard { return &p.guard }

// Issue is one thing that is wrong with an expression. Line and Column count from 1; they are 0 where the whole expression is meant.
type Issue struct {
	Line, Column int
	Message      string
}

// String says where and what.
func (i Issue) String() string {
	if i.Line == 0 {
		return i.Message
	}
	return fmt.Sprintf("line %d, column %d: %s", i.Line, i.Column, i.Message)
}

// ExprError is all that is wrong with one guard's expression.
type ExprError struct {
	Guard  string
	Issues []Issue
}

// Error implements error.
func (e *ExprError) Error() string {
	parts := make([]string, len(e.Issues))
	for i, issue := range e.Issues {
		parts[i] = issue.String()
	}
	return fmt.Sprintf("guard %q: %s", e.Guard, strings.Join(parts, "; "))
}

// Compile makes a program of a guard. What is wrong with its expression comes as an *ExprError, all of it. The guard's other fields are
// taken as they are, defaulted: v1alpha1.ValidateGuards judges them.
func Compile(g v1alpha1.Guard, limits Limits) (*Program, error) {
	env, err := environment()
	if err != nil {
		return nil, err
	}
	p := &Program{guard: *g.DeepCopy(), limits: limits.withDefaults()}
	p.guard.SetDefaults()
	fail := func(issues ...Issue) (*Program, error) { return nil, &ExprError{Guard: g.Name, Issues: issues} }

	if strings.TrimSpace(g.Expr) == "" {
		return fail(Issue{1, 1, "the expression is empty"})
	}
	if env, err = withMetrics(env, p.guard.Metrics); err != nil {
		return nil, fmt.Errorf("declaring the metrics of guard %q: %w", g.Name, err)
	}
	parsed, issues := env.Parse(g.Expr)
	if issues.Err() != nil {
		return fail(explain(issues)...)
	}
	if wrong := wrongMetrics(parsed.NativeRep(), p.guard.Metrics); len(wrong) > 0 {
		return fail(wrong...)
	}
	checked, issues := env.Check(parsed)
	if issues.Err() != nil {
		return fail(explain(issues)...)
	}
	expr := checked.NativeRep()
	if t := checked.OutputType(); t != cel.BoolType {
		return fail(Issue{1, 1, fmt.Sprintf("the expression must be of type bool, and is of type %s", cel.FormatCELType(t))})
	}
	var wrong []Issue
	p.uses, p.timed, wrong = inspect(expr, p.limits.Params)
	if len(wrong) > 0 {
		return fail(wrong...)
	}
	p.inspectMetrics()
	cost, err := env.EstimateCost(checked, sizes{p.limits})
	if err != nil {
		return nil, fmt.Errorf("estimating the cost of guard %q: %w", g.Name, err)
	}
	if limit := p.limits.budget(p.limits.Pods); cost.Max > limit {
		return fail(Issue{Message: tooDear(cost.Max, limit, p.limits)})
	}
	p.parts = partsOf(env, expr)
	taps := map[int64]int{}
	for i := range p.parts {
		taps[p.parts[i].id] = i
	}
	if p.plan, err = plan(env, expr, taps); err != nil {
		return fail(Issue{Message: oneLine(err.Error())})
	}
	return p, nil
}

func tooDear(estimate, limit uint64, l Limits) string {
	// Sizes without bounds saturate; multiplied by a factor below one they come out somewhat smaller.
	if estimate > math.MaxUint64/1000 {
		return "the cost of the expression cannot be estimated, because it loops over, or searches in, a list or string whose length nothing " +
			"tells: loop over pods, updated, stable or units themselves, and use their own fields"
	}
	return fmt.Sprintf("the expression may cost %d with %d pods and %d units in a member, and the limit is %d: do not loop over pods inside "+
		"another loop over pods, nor sort them, make them distinct or compare them as sets", estimate, l.Pods, l.Units, limit)
}

// evaluate returns what the expression is on the view.
func (p *Program) evaluate(v *View) (result bool, err error) {
	v.budget = p.limits.budget(uint64(len(v.in.Pods)))
	clear(v.taps[:])
	out, _, err := p.plan.Eval(v)
	var cancelled interpreter.EvalCancelledError
	if errors.As(err, &cancelled) && cancelled.Cause == interpreter.CostLimitExceeded {
		return false, fmt.Errorf("judging %d pods and %d units cost more than the limit", len(v.in.Pods), len(v.in.Units))
	}
	if err != nil {
		return false, err
	}
	b, ok := out.(types.Bool)
	if !ok {
		return false, fmt.Errorf("the expression gave a %s, not a bool", out.Type().TypeName())
	}
	return bool(b), nil
}

// CompileAll compiles guards into a set; guards stand at path, a list. What is wrong with any of them comes together, and there is no set then.
func CompileAll(guards []v1alpha1.Guard, path *field.Path, limits Limits) (*Set, field.ErrorList) {
	set := &Set{}
	var errs field.ErrorList
	for i := range guards {
		for name, m := range guards[i].Metrics {
			errs = append(errs, checkReferences(m.Query, path.Index(i).Child("metrics").Key(name).Child("query"))...)
		}
		p, err := Compile(guards[i], limits)
		if err == nil {
			set.programs = append(set.programs, p)
			continue
		}
		at := path.Index(i).Child("expr")
		var wrong *ExprError
		if !errors.As(err, &wrong) {
			errs = append(errs, field.InternalError(at, err))
			continue
		}
		for _, issue := range wrong.Issues {
			errs = append(errs, field.Invalid(at, guards[i].Expr, fmt.Sprintf("guard %q: %s", guards[i].Name, issue)))
		}
	}
	if len(errs) > 0 {
		return nil, errs
	}
	return set, nil
}

// oneLine keeps errors of CEL, which can draw the place in the source, fit for conditions and events.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
