package plan

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// spansOf reads "m1/dca:0-5 dcb:2-4".
func spansOf(t *testing.T, s string) []Span {
	t.Helper()
	var out []Span
	for _, part := range strings.Fields(s) {
		where, way, _ := strings.Cut(part, ":")
		span := Span{Unit: where}
		if m, u, ok := strings.Cut(where, "/"); ok {
			span.Member, span.Unit = m, u
		}
		if _, err := fmt.Sscanf(way, "%d-%d", &span.From, &span.To); err != nil {
			t.Fatalf("%q is no span: %v", part, err)
		}
		out = append(out, span)
	}
	return out
}

func TestGroupsAreCutOverAllUnitsTogether(t *testing.T) {
	for _, c := range []struct {
		sentence string
		spans    string
		by       Grouping
		want     []string
	}{
		{"ten pods over two units by four are two, four and four", "dca:0-5 dcb:0-5", Grouping{Beta: true, Size: 4},
			[]string{"beta: 1 in dca, 1 in dcb", "batch 1: 2 in dca, 2 in dcb", "batch 2: 2 in dca, 2 in dcb"}},
		{"without beta they are four, four and two", "dca:0-5 dcb:0-5", Grouping{Size: 4},
			[]string{"batch 1: 2 in dca, 2 in dcb", "batch 2: 2 in dca, 2 in dcb", "batch 3: 1 in dca, 1 in dcb"}},
		{"seven pods over three units by two after beta", "dca:0-3 dcb:0-2 dcc:0-2", Grouping{Beta: true, Size: 2},
			[]string{"beta: 1 in dca, 1 in dcb, 1 in dcc", "batch 1: 1 in dca, 1 in dcb", "batch 2: 1 in dca, 1 in dcc"}},
		{"a unit of six gets more of a batch than one of four", "dca:0-4 dcb:0-6", Grouping{Beta: true, Size: 4},
			[]string{"beta: 1 in dca, 1 in dcb", "batch 1: 1 in dca, 3 in dcb", "batch 2: 2 in dca, 2 in dcb"}},
		{"a list of sizes is taken one by one, wherever the pods are", "m1/dca:0-3 m1/dcb:0-3 m2/dca:0-4", Grouping{Sizes: []int32{1, 2, 2, 2, 3}},
			[]string{"batch 1: 1 in m2/dca", "batch 2: 1 in m1/dca, 1 in m1/dcb", "batch 3: 1 in m1/dca, 1 in m2/dca", "batch 4: 1 in m1/dcb, 1 in m2/dca", "batch 5: 1 in m1/dca, 1 in m1/dcb, 1 in m2/dca"}},
		{"what a list leaves is one batch more", "dca:0-5", Grouping{Sizes: []int32{1, 2}},
			[]string{"batch 1: 1 in dca", "batch 2: 2 in dca", "batch 3: 2 in dca"}},
		{"what a list has too much is not missed", "dca:0-2", Grouping{Sizes: []int32{1, 9, 9}}, []string{"batch 1: 1 in dca", "batch 2: 1 in dca"}},
		{"without a size all that is left goes at once", "dca:0-5 dcb:0-5", Grouping{Beta: true}, []string{"beta: 1 in dca, 1 in dcb", "batch 1: 4 in dca, 4 in dcb"}},
		{"a scale-out begins where the pods are", "dca:2-5 dcb:2-5", Grouping{Beta: true, Size: 4},
			[]string{"beta: 1 in dca, 1 in dcb", "batch 1: 2 in dca, 2 in dcb"}},
		{"a unit that does not grow has no part", "dca:5-5 dcb:4-2 dcc:0-2", Grouping{Beta: true, Size: 1}, []string{"beta: 1 in dcc", "batch 1: 1 in dcc"}},
		{"a unit of one is done with beta", "dca:0-1 dcb:0-3", Grouping{Beta: true, Size: 5}, []string{"beta: 1 in dca, 1 in dcb", "batch 1: 2 in dcb"}},
		{"where nothing grows there are no groups", "dca:3-3", Grouping{Beta: true, Size: 1}, nil},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			var got []string
			for _, s := range Groups(spansOf(t, c.spans), c.by) {
				got = append(got, s.What)
			}
			if strings.Join(got, "; ") != strings.Join(c.want, "; ") {
				t.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(c.want, "\n  "))
			}
		})
	}
}

func TestGroupsInRandomWorldsEndWithAllAndNeverGoBack(t *testing.T) {
	for _, seed := range worldSeeds() {
		r := rand.New(rand.NewPCG(seed, 2)) // #nosec G404 -- a test's worlds.
		var spans []Span
		for i := range 1 + r.IntN(5) {
			from := r.Int32N(6)
			spans = append(spans, Span{Member: fmt.Sprintf("m%d", i%2), Unit: fmt.Sprintf("u%d", i), From: from, To: from + r.Int32N(12) - 2})
		}
		g := Grouping{Beta: r.IntN(2) == 0, Size: r.Int32N(6)}
		if r.IntN(3) == 0 {
			for range 1 + r.IntN(4) {
				g.Sizes = append(g.Sizes, 1+r.Int32N(5))
			}
		}
		steps := Groups(spans, g)
		what := fmt.Sprintf("-seed=%d: %+v by %+v: %+v", seed, spans, g, steps)
		at := map[string]int32{}
		end := map[string]int32{}
		total := int32(0)
		for _, s := range spans {
			if s.To > s.From {
				at[s.Unit], end[s.Unit] = s.From, s.To
				total += s.To - s.From
			}
		}
		for i, step := range steps {
			more := int32(0)
			for _, w := range step.Wants {
				if w.Updated < at[w.Unit] || w.Updated > end[w.Unit] {
					t.Fatalf("%s: group %d takes unit %s from %d to %d of %d", what, i+1, w.Unit, at[w.Unit], w.Updated, end[w.Unit])
				}
				if g.Beta && i == 0 && w.Updated != at[w.Unit]+1 {
					t.Fatalf("%s: beta brings %d pods to unit %s", what, w.Updated-at[w.Unit], w.Unit)
				}
				more += w.Updated - at[w.Unit]
				at[w.Unit] = w.Updated
			}
			batch := i + 1
			if g.Beta {
				batch--
			}
			switch {
			case more == 0:
				t.Fatalf("%s: group %d is empty", what, i+1)
			case batch > 0 && more != g.batch(batch, total):
				t.Fatalf("%s: group %d has %d pods", what, i+1, more)
			}
			total -= more
		}
		if total != 0 {
			t.Fatalf("%s: %d pods have no group", what, total)
		}
	}
}
