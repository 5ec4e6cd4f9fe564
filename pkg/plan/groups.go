package plan

import (
	"fmt"
	"strings"
)

// Span is the way of one unit: how many of its pods are there, or updated, before and after.
type Span struct {
	Member string
	Unit   string
	From   int32
	To     int32
}

// Grouping says in what groups pods go.
type Grouping struct {
	// Beta begins with one pod in each unit.
	Beta bool
	// Size is how many pods a batch has; all that are left where 0. Sizes are those of the batches one by one, in place of Size; what they leave is
	// one batch more.
	Size  int32
	Sizes []int32
}

// Groups cuts the way of all units together into groups: Beta, one pod in each unit that has any to go; then batches over all units, of which each gets its
// fair share. What a group wants is cumulative: the sum of all before it too. Groups are cut from the spans alone, so the same spans give the same groups;
// and more groups never take a pod from a unit again. A span that does not grow has no part in it. None where no span grows.
//
// Fair: each pod goes to the unit whose share is furthest behind its size (the method of Sainte-Laguë, which never takes back when the total grows); of
// equals, to the first.
func Groups(spans []Span, g Grouping) []Step {
	c := newCut(spans)
	var out []Step
	if g.Beta && c.left > 0 {
		for i := range c.spans {
			c.give(i)
		}
		out = append(out, c.step("beta"))
	}
	for n := 1; c.left > 0; n++ {
		c.take(g.batch(n, c.left))
		out = append(out, c.step(fmt.Sprintf("batch %d", n)))
	}
	return out
}

// batch is the size of the n-th batch, from 1, of at most left pods.
func (g Grouping) batch(n int, left int32) int32 {
	size := g.Size
	if len(g.Sizes) > 0 {
		size = 0
		if n <= len(g.Sizes) {
			size = g.Sizes[n-1]
		}
	}
	if size <= 0 {
		return left
	}
	return min(size, left)
}

// cut is how far the units are while groups are cut.
type cut struct {
	spans []Span
	given []int32
	// before is what was given when the last group ended.
	before []int32
	left   int32
}

func newCut(spans []Span) *cut {
	c := &cut{}
	for _, s := range spans {
		if s.To <= s.From {
			continue
		}
		c.spans = append(c.spans, s)
		c.left += s.To - s.From
	}
	c.given, c.before = make([]int32, len(c.spans)), make([]int32, len(c.spans))
	return c
}

func (c *cut) give(i int) {
	c.given[i]++
	c.left--
}

// take gives n pods to the units that are furthest behind.
func (c *cut) take(n int32) {
	for range n {
		best := -1
		for i, s := range c.spans {
			if c.given[i] >= s.To-s.From {
				continue
			}
			if best < 0 || c.behind(i, best) {
				best = i
			}
		}
		if best < 0 {
			return
		}
		c.give(best)
	}
}

// behind says whether unit i is further behind its share than unit j: its size over twice what it has and one is larger.
func (c *cut) behind(i, j int) bool {
	x := int64(c.spans[i].To-c.spans[i].From) * int64(2*c.given[j]+1)
	y := int64(c.spans[j].To-c.spans[j].From) * int64(2*c.given[i]+1)
	return x > y
}

func (c *cut) step(name string) Step {
	s := Step{}
	several := false
	for _, span := range c.spans {
		several = several || span.Member != c.spans[0].Member
	}
	var parts []string
	for i, span := range c.spans {
		s.Wants = append(s.Wants, Want{Member: span.Member, Unit: span.Unit, Updated: span.From + c.given[i]})
		if more := c.given[i] - c.before[i]; more > 0 {
			where := span.Unit
			if several {
				where = span.Member + "/" + span.Unit
			}
			parts = append(parts, fmt.Sprintf("%d in %s", more, where))
		}
		c.before[i] = c.given[i]
	}
	const most = 8
	if len(parts) > most {
		parts = append(parts[:most], fmt.Sprintf("and so on in %d more", len(parts)-most))
	}
	s.What = name + ": " + strings.Join(parts, ", ")
	return s
}
