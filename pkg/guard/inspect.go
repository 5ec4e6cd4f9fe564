package guard

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/types"

	"github.com/periplus-dev/periplus/pkg/spelling"
)

// names is a set of variables.
type names map[string]bool

// inspect walks a checked expression: which variables it refers to, whether time alone can change its value, and what is wrong that types
// do not say. A loop variable that is named like one of ours counts as ours: then more data is asked for than is needed, never less.
func inspect(a *ast.AST, params []string) (uses names, timed bool, wrong []Issue) {
	uses = names{}
	report := func(e ast.Expr, format string, args ...any) {
		loc := a.SourceInfo().GetStartLocation(e.ID())
		wrong = append(wrong, Issue{loc.Line(), loc.Column() + 1, fmt.Sprintf(format, args...)})
	}
	param := func(e, operand ast.Expr, name string) {
		if params != nil && operand.Kind() == ast.IdentKind && operand.AsIdent() == varParams && !slices.Contains(params, name) {
			report(e, "params has no %q; it has %s", name, list(params))
		}
	}
	ast.PreOrderVisit(a.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		switch e.Kind() {
		case ast.IdentKind:
			name := e.AsIdent()
			if _, ours := variables[name]; ours || strings.HasPrefix(name, ofMetrics+".") || strings.HasPrefix(name, ofBaseline+".") {
				uses[name] = true
			}
		case ast.StructKind:
			report(e, "a guard cannot make a %s", e.AsStruct().TypeName())
		case ast.SelectKind:
			s := e.AsSelect()
			// The operand can be of any type where dyn() hides it.
			timed = timed || s.FieldName() == fieldAge
			if !s.IsTestOnly() {
				param(e, s.Operand(), s.FieldName())
			}
		case ast.LiteralKind:
			if s, ok := e.AsLiteral().(types.String); ok && string(s) == fieldAge {
				timed = true
			}
		case ast.CallKind:
			c := e.AsCall()
			if c.FunctionName() == operators.Index && len(c.Args()) == 2 && c.Args()[1].Kind() == ast.LiteralKind {
				if name, ok := c.Args()[1].AsLiteral().(types.String); ok {
					param(e, c.Args()[0], string(name))
				}
			}
		}
	}))
	return uses, timed || uses[varNow] || uses[varElapsed], wrong
}

var (
	undeclared = regexp.MustCompile(`^undeclared reference to '([^']+)' \(in container '[^']*'\)$`)
	undefined  = regexp.MustCompile(`^undefined field '([^']+)'$`)
)

// explain turns what CEL found wrong into issues, with what was likely meant.
func explain(issues *cel.Issues) []Issue {
	var out []Issue
	for i, e := range issues.Errors() {
		message := oneLine(e.Message)
		if m := undeclared.FindStringSubmatch(message); m != nil {
			message = fmt.Sprintf("unknown name %q%s", m[1], meant(m[1], variableNames(), i == 0))
		} else if m := undefined.FindStringSubmatch(message); m != nil {
			message = fmt.Sprintf("unknown field %q%s", m[1], meant(m[1], fieldNames(), i == 0))
		}
		out = append(out, Issue{e.Location.Line(), max(0, e.Location.Column()) + 1, message})
	}
	return out
}

func variableNames() []string {
	out := make([]string, 0, len(variables))
	for name := range variables {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

func fieldNames() []string {
	var out []string
	for _, o := range objectTypes {
		out = append(out, o.names...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// meant names the known word that is nearest to one that is not, where one is near, else all of them if listed.
func meant(word string, known []string, listed bool) string {
	best := spelling.Nearest(word, known)
	switch {
	case best != "":
		return fmt.Sprintf("; did you mean %q?", best)
	case listed:
		return "; known are " + list(known)
	}
	return ""
}

func list(words []string) string {
	if len(words) == 0 {
		return "none"
	}
	return strings.Join(words, ", ")
}
