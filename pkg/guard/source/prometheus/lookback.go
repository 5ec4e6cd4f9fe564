package prometheus

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/prometheus/promql/parser"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

// longestWindow that a metric can have.
const longestWindow = 24 * time.Hour

// within refuses a query that looks back farther than its window: a sample counts only where its window began after the new revision was ready, and what is older
// than the window would be of the old one. With a range, each of its values may look back a step.
func within(query string, window time.Duration, ranged *v1alpha1.MetricRange) error {
	expr, err := parse(query)
	if err != nil {
		return err
	}
	back, from, err := lookBack(expr)
	if err != nil {
		return placed(query, from, err)
	}
	if ranged != nil {
		if step := ranged.Step.Duration; back > step {
			return placed(query, from, fmt.Errorf("looks back %s at each value, longer than the metric's range.step %s: write [$(window)], which is the step here", short(back), short(step)))
		}
		return nil
	}
	switch {
	case back <= window:
		return nil
	case back > longestWindow:
		return placed(query, from, fmt.Errorf("looks back %s, longer than the metric's window %s, and than any can be: write [$(window)]", short(back), short(window)))
	}
	return placed(query, from, fmt.Errorf("looks back %s, longer than the metric's window %[2]s: set window: %[1]s, or write [$(window)]", short(back), short(window)))
}

// lookBack is how far a query looks back, and the selector that looks farthest: ranges, offsets and ranges of subqueries together, from the selector up to the query's
// top. Values that are older, since nothing newer was scraped, are not counted. An offset into the future takes nothing away.
func lookBack(expr parser.Expr) (farthest time.Duration, from parser.Node, err error) {
	parser.Inspect(expr, func(node parser.Node, path []parser.Node) error {
		if fixed(node) {
			from, err = node, errors.New("@ asks about a time that does not move with the samples: leave it out")
			return err
		}
		if _, ok := node.(*parser.VectorSelector); !ok {
			return nil
		}
		back := reachOf(node)
		for _, above := range path {
			back += reachOf(above)
		}
		if back > farthest {
			farthest, from = back, node
		}
		return nil
	})
	return farthest, from, err
}

// reachOf is how far a node of the syntax tree moves what is below it into the past.
func reachOf(node parser.Node) time.Duration {
	switch n := node.(type) {
	case *parser.VectorSelector:
		return max(n.OriginalOffset, 0)
	case *parser.MatrixSelector:
		return n.Range
	case *parser.SubqueryExpr:
		return n.Range + max(n.OriginalOffset, 0)
	}
	return 0
}

// fixed says whether a node is bound to a time by @.
func fixed(node parser.Node) bool {
	switch n := node.(type) {
	case *parser.VectorSelector:
		return n.Timestamp != nil || n.StartOrEnd != 0
	case *parser.SubqueryExpr:
		return n.Timestamp != nil || n.StartOrEnd != 0
	}
	return false
}

// placed puts line and column, from 1, before what is wrong with a node.
func placed(query string, node parser.Node, err error) error {
	at := min(max(int(node.PositionRange().Start), 0), len(query))
	before := query[:at]
	return fmt.Errorf("%d:%d: %w", 1+strings.Count(before, "\n"), at-strings.LastIndexByte(before, '\n'), err)
}

// short writes a duration as people would: 1h, not 1h0m0s.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
