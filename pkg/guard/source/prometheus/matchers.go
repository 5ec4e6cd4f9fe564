package prometheus

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// parse reads a query and makes sure that its value is numbers at one time.
func parse(query string) (parser.Expr, error) {
	expr, err := parser.ParseExpr(query)
	if err != nil {
		return nil, fmt.Errorf("the query cannot be read: %w", err)
	}
	switch t := expr.Type(); t {
	case parser.ValueTypeVector, parser.ValueTypeScalar:
		return expr, nil
	case parser.ValueTypeMatrix:
		return nil, errors.New("1:1: the query's value is a range vector: make one number of each range, as with rate(…) or max_over_time(…)")
	default:
		return nil, fmt.Errorf("1:1: the query's value is a %s: guards need numbers, an instant vector or a scalar", parser.DocumentedType(t))
	}
}

// confine puts matchers into every selector of a query. They are set as values of the query's syntax tree, so that nothing in them is read as PromQL, and beside
// the matchers that a selector has already: all of them must match. The result is read again and looked through before it is believed.
func confine(query string, matchers map[string]string) (string, error) {
	expr, err := parse(query)
	if err != nil {
		return "", err
	}
	if len(matchers) == 0 {
		return query, nil
	}
	names := slices.Sorted(maps.Keys(matchers))
	var refused error
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		switch n := node.(type) {
		case *parser.VectorSelector:
			for _, name := range names {
				n.LabelMatchers = append(n.LabelMatchers, labels.MustNewMatcher(labels.MatchEqual, name, matchers[name]))
			}
		case *parser.Call:
			// It selects series that are not written in the query.
			if n.Func.Name == "info" {
				refused = errors.New("info(…) cannot be asked of a source that has matchers: join with the info metric instead")
			}
		}
		return nil
	})
	if refused != nil {
		return "", refused
	}
	confined := expr.String()
	if err := confinedBy(confined, matchers); err != nil {
		return "", err
	}
	return confined, nil
}

// confinedBy makes sure that every selector of a query has the matchers.
func confinedBy(query string, matchers map[string]string) error {
	expr, err := parser.ParseExpr(query)
	if err != nil {
		return fmt.Errorf("the source's matchers cannot be put into the query: %w", err)
	}
	var free error
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		s, ok := node.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		for name, value := range matchers {
			if !slices.ContainsFunc(s.LabelMatchers, func(m *labels.Matcher) bool {
				return m.Type == labels.MatchEqual && m.Name == name && m.Value == value
			}) {
				free = fmt.Errorf("the source's matchers cannot be put into the query: %s would be without %s", s, name)
			}
		}
		return nil
	})
	return free
}
