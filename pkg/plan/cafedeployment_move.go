package plan

// move applies the moves that are recorded, as far as shares still bear them, or takes them back where the spec changed and nobody waits for room. The sum
// stays what it is, and a unit that gives keeps one pod.
func (c *cafe) move() {
	if c.s.Restore && !c.waitsForRoom() {
		for i := range c.plan.Units {
			c.plan.Units[i].Full = false
		}
		return
	}
	var given, taken int32
	gives := func(i int) int32 {
		if c.s.Units[i].Draining {
			return 0
		}
		return max(min(-c.s.Units[i].Moved, c.plan.Units[i].Share-1), 0)
	}
	takes := func(i int) int32 {
		if c.s.Units[i].Draining {
			return 0
		}
		return max(c.s.Units[i].Moved, 0)
	}
	for i := range c.s.Units {
		given, taken = given+gives(i), taken+takes(i)
	}
	out := min(given, taken)
	in := out
	for i := range c.s.Units {
		n := min(gives(i), out)
		m := min(takes(i), in)
		out, in = out-n, in-m
		c.plan.Units[i].Moved = m - n
		c.plan.Units[i].Wanted = c.plan.Units[i].Share + m - n
	}
}

// waitsForRoom says whether pods of a unit that gave some away still find no room in it.
func (c *cafe) waitsForRoom() bool {
	for i := range c.s.Units {
		if u := &c.s.Units[i]; u.Moved < 0 && u.Pending > 0 {
			return true
		}
	}
	return false
}

// reschedule records moves of pods that find no room, to units in which no pod waits and that were not full themselves since the spec last changed: the one that
// is to have the fewest pods takes each, of equals the first. A unit keeps one pod.
func (c *cafe) reschedule() {
	if !c.s.Reschedule {
		return
	}
	moved := make([]int32, len(c.s.Units))
	for i := range c.s.Units {
		u, of := &c.s.Units[i], &c.plan.Units[i]
		if u.Draining {
			continue
		}
		goAnyway := max(int32(len(u.Goes))-of.Wanted, 0) // #nosec G115 -- a deployment has at most 10000 pods.
		for n := min(u.Movable-goAnyway, of.Wanted-1); n > 0; n-- {
			to := c.room(i, moved)
			if to < 0 {
				break
			}
			moved[i]--
			moved[to]++
			of.Full = true
		}
	}
	for i, n := range moved {
		c.plan.Units[i].Moved += n
	}
}

func (c *cafe) room(from int, moved []int32) int {
	best := -1
	for i := range c.s.Units {
		u := &c.s.Units[i]
		if i == from || u.Draining || u.Pending > 0 || u.Full || c.plan.Units[i].Full {
			continue
		}
		if best < 0 || c.plan.Units[i].Wanted+moved[i] < c.plan.Units[best].Wanted+moved[best] {
			best = i
		}
	}
	return best
}
