package guard

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	"github.com/google/cel-go/interpreter"
)

const (
	// maxValue is the greatest length of a GuardStatus's value, maxPart that of one part's source text, in runes.
	maxValue = 200
	maxPart  = 80
	// maxParts is how many parts of an expression are shown, maxCulprits how many pods or units of one are named.
	maxParts    = 8
	maxCulprits = 3
)

// part is a piece of an expression whose value helps people: an operand of a comparison, or a condition.
type part struct {
	// id of its node: its value is tapped while the whole is evaluated.
	id   int64
	text string
	// plan is for parts that were not reached, because what came before decided already. It is nil for those that loop.
	plan cel.Program
	// each is set where the part is an all(…) loop: the plan of its condition, and of what it loops over, to name who breaks it.
	each, over cel.Program
	loopVar    string
}

// partsOf cuts an expression along &&, || and ! into conditions, and comparisons into their operands.
func partsOf(env *cel.Env, a *ast.AST) []part {
	var parts []part
	seen := map[string]bool{}
	planned := func(e ast.Expr) cel.Program {
		p, err := plan(env, ast.NewCheckedAST(ast.NewAST(e, a.SourceInfo()), a.TypeMap(), a.ReferenceMap()), nil)
		if err != nil {
			return nil
		}
		return p
	}
	add := func(e ast.Expr) {
		if constant(e) {
			return
		}
		text, err := cel.ExprToString(e, a.SourceInfo())
		if err != nil || seen[text] || len(parts) == maxParts {
			return
		}
		seen[text] = true
		p := part{id: e.ID(), text: cut(oneLine(text), maxPart)}
		if !loops(e) {
			p.plan = planned(e)
		}
		if condition, loop, ok := allLoop(a, e); ok {
			p.each, p.over, p.loopVar = planned(condition), planned(loop.IterRange()), loop.IterVar()
		}
		parts = append(parts, p)
	}
	var walk func(e ast.Expr)
	walk = func(e ast.Expr) {
		if e.Kind() != ast.CallKind {
			add(e)
			return
		}
		call := e.AsCall()
		switch call.FunctionName() {
		case operators.LogicalAnd, operators.LogicalOr, operators.LogicalNot, operators.Conditional:
			for _, arg := range call.Args() {
				walk(arg)
			}
		case operators.Equals, operators.NotEquals, operators.Less, operators.LessEquals, operators.Greater, operators.GreaterEquals:
			for _, arg := range call.Args() {
				add(arg)
			}
		default:
			add(e)
		}
	}
	walk(a.Expr())
	return parts
}

func loops(e ast.Expr) bool {
	found := false
	ast.PreOrderVisit(e, ast.NewExprVisitor(func(e ast.Expr) { found = found || e.Kind() == ast.ComprehensionKind }))
	return found
}

// constant is true of literals, of lists of them, and of calls on them, such as duration('1m').
func constant(e ast.Expr) bool {
	switch e.Kind() {
	case ast.LiteralKind:
		return true
	case ast.ListKind:
		for _, el := range e.AsList().Elements() {
			if !constant(el) {
				return false
			}
		}
		return true
	case ast.CallKind:
		c := e.AsCall()
		if c.IsMemberFunction() && !constant(c.Target()) {
			return false
		}
		for _, arg := range c.Args() {
			if !constant(arg) {
				return false
			}
		}
		return true
	}
	return false
}

// allLoop returns the condition of an all(x, …) loop as the macro expands it: accumulator && condition.
func allLoop(a *ast.AST, e ast.Expr) (condition ast.Expr, loop ast.ComprehensionExpr, ok bool) {
	if e.Kind() != ast.ComprehensionKind {
		return nil, nil, false
	}
	macro, isMacro := a.SourceInfo().GetMacroCall(e.ID())
	loop = e.AsComprehension()
	if !isMacro || macro.Kind() != ast.CallKind || macro.AsCall().FunctionName() != operators.All || loop.HasIterVar2() {
		return nil, nil, false
	}
	step := loop.LoopStep()
	if step.Kind() != ast.CallKind || step.AsCall().FunctionName() != operators.LogicalAnd || len(step.AsCall().Args()) != 2 {
		return nil, nil, false
	}
	return step.AsCall().Args()[1], loop, true
}

// render says what the parts of the expression are, for people, after it was evaluated on the view. Parts that cannot be evaluated, or that
// loop and were not reached, are left out.
func (p *Program) render(v *View) string {
	var b strings.Builder
	v.budget = p.limits.budget(uint64(len(v.in.Pods)))
	for i, part := range p.parts {
		out := v.taps[i]
		if out == nil && part.plan != nil {
			out, _, _ = part.plan.Eval(v)
		}
		if out == nil || types.IsUnknownOrError(out) {
			continue
		}
		s := part.text + " = " + show(out)
		if out == types.False && part.each != nil && part.over != nil {
			s += part.culprits(v)
		}
		if b.Len() > 0 {
			b.WriteString(", ")
		}
		b.WriteString(s)
		if b.Len() > 4*maxValue {
			break
		}
	}
	return cut(b.String(), maxValue)
}

// culprits names who breaks an all(…) loop.
func (p *part) culprits(v *View) string {
	over, _, err := p.over.Eval(v)
	elements, ok := over.(traits.Lister)
	if err != nil || !ok {
		return ""
	}
	var named []string
	broken, total := 0, 0
	scope := &loopScope{Activation: v, name: p.loopVar}
	for it := elements.Iterator(); it.HasNext() == types.True; {
		total++
		scope.element = it.Next()
		out, _, err := p.each.Eval(scope)
		if errors.As(err, new(interpreter.EvalCancelledError)) {
			return "" // The rest would cost too much, and a count of some is not one of all.
		}
		if err != nil || out != types.False {
			continue
		}
		broken++
		if name := nameOf(scope.element); name != "" && len(named) < maxCulprits {
			named = append(named, name)
		}
	}
	if broken > len(named) && len(named) > 0 {
		named = append(named, "…")
	}
	s := fmt.Sprintf(" (not so for %d of %d", broken, total)
	if len(named) > 0 {
		s += ": " + strings.Join(named, ", ")
	}
	return s + ")"
}

// loopScope adds a loop's variable to a view.
type loopScope struct {
	cel.Activation
	name    string
	element ref.Val
}

// ResolveName implements cel.Activation.
func (s *loopScope) ResolveName(name string) (any, bool) {
	if name == s.name {
		return s.element, true
	}
	return s.Activation.ResolveName(name)
}

// Parent implements cel.Activation.
func (s *loopScope) Parent() cel.Activation { return s.Activation }

func nameOf(v ref.Val) string {
	switch o := v.(type) {
	case *value[podRow]:
		return o.of.Name
	case *value[Unit]:
		return o.of.Name
	case types.String:
		return string(o)
	}
	return ""
}

func show(v ref.Val) string {
	switch o := v.(type) {
	case types.Bool:
		return strconv.FormatBool(bool(o))
	case types.Int:
		return strconv.FormatInt(int64(o), 10)
	case types.Uint:
		return strconv.FormatUint(uint64(o), 10)
	case types.Double:
		return strconv.FormatFloat(float64(o), 'g', 4, 64)
	case types.String:
		return strconv.Quote(cut(string(o), maxPart))
	case types.Duration:
		return o.Round(time.Second).String()
	case types.Timestamp:
		return clockTime(o.Time)
	case traits.Lister:
		return showList(o)
	case traits.Mapper:
		return fmt.Sprintf("%v entries", o.Size().Value())
	}
	if name := nameOf(v); name != "" {
		return name
	}
	return v.Type().TypeName()
}

func showList(l traits.Lister) string {
	var words []string
	for it := l.Iterator(); it.HasNext() == types.True; {
		if len(words) == maxCulprits {
			words = append(words, "…")
			break
		}
		el := it.Next()
		word := nameOf(el)
		if word == "" {
			if _, nested := el.(traits.Lister); nested {
				word = "[…]"
			} else {
				word = show(el)
			}
		}
		words = append(words, word)
	}
	return "[" + strings.Join(words, ", ") + "]"
}

// cut shortens s to n runes.
func cut(s string, n int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-1]) + "…"
}

// clockTime is how times stand in messages.
func clockTime(t time.Time) string { return t.UTC().Format(time.RFC3339) }
