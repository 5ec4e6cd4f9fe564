package guard

import (
	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/interpreter"
)

// plan makes the executable form of a checked expression. Turns of its loops are paid from the view's budget. (cel-go can count the cost of
// every step itself, but walks a stack that grows with each turn: its time is quadratic in the number of pods.)
//
// The values of the nodes in taps are left in the view by their index, so that showing them costs no second evaluation.
func plan(env *cel.Env, a *ast.AST, taps map[int64]int) (cel.Program, error) {
	turns := map[int64]uint64{}
	ast.PreOrderVisit(a.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() == ast.ComprehensionKind {
			loop := e.AsComprehension()
			turns[loop.LoopStep().ID()] = nodes(loop.LoopCondition()) + nodes(loop.LoopStep())
		}
	}))
	opts := []cel.ProgramOption{cel.EvalOptions(cel.OptOptimize)}
	if len(turns)+len(taps) > 0 {
		opts = append(opts, cel.CustomDecoratorV2(func(i interpreter.InterpretableV2) (interpreter.InterpretableV2, error) {
			if cost, ok := turns[i.ID()]; ok {
				return &metered{InterpretableV2: i, cost: cost}, nil
			}
			if index, ok := taps[i.ID()]; ok {
				return &tapped{InterpretableV2: i, index: index}, nil
			}
			return i, nil
		}))
	}
	return env.PlanProgram(a, opts...)
}

// nodes is the size of an expression. An inner loop's body is in it once: the turns of the inner loop pay for the rest.
func nodes(e ast.Expr) uint64 {
	n := uint64(0)
	ast.PreOrderVisit(e, ast.NewExprVisitor(func(ast.Expr) { n++ }))
	return n
}

// metered is the body of a loop, that pays for each turn.
type metered struct {
	interpreter.InterpretableV2
	cost uint64
}

// Exec implements interpreter.InterpretableV2.
func (m *metered) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	m.pay(frame)
	return m.InterpretableV2.Exec(frame)
}

// Eval implements interpreter.Interpretable.
func (m *metered) Eval(vars interpreter.Activation) ref.Val {
	m.pay(vars)
	return m.InterpretableV2.Eval(vars)
}

// pay stops the evaluation, the way cel-go's own limits do, when the budget is used up.
func (m *metered) pay(vars interpreter.Activation) {
	v := viewOf(vars)
	if v == nil || v.budget < m.cost {
		panic(interpreter.EvalCancelledError{Cause: interpreter.CostLimitExceeded, Message: "the cost limit is used up"})
	}
	v.budget -= m.cost
}

// viewOf finds the view below the scopes that loops lay over it.
func viewOf(vars interpreter.Activation) *View {
	for vars != nil {
		switch a := vars.(type) {
		case *View:
			return a
		case *interpreter.ExecutionFrame:
			vars = a.Activation
		default:
			vars = vars.Parent()
		}
	}
	return nil
}

// tapped is a node whose value is shown to people.
type tapped struct {
	interpreter.InterpretableV2
	index int
}

// Exec implements interpreter.InterpretableV2.
func (t *tapped) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	return t.keep(frame, t.InterpretableV2.Exec(frame))
}

// Eval implements interpreter.Interpretable.
func (t *tapped) Eval(vars interpreter.Activation) ref.Val {
	return t.keep(vars, t.InterpretableV2.Eval(vars))
}

func (t *tapped) keep(vars interpreter.Activation, val ref.Val) ref.Val {
	if v := viewOf(vars); v != nil {
		v.taps[t.index] = val
	}
	return val
}
