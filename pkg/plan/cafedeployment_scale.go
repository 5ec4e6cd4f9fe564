package plan

// scale decides how many pods each unit keeps.
func (c *cafe) scale() {
	for i := range c.s.Units {
		c.plan.Units[i].Keep = c.s.Units[i].Kept
	}
	record := c.record()
	switch {
	case record == nil: // none are added anywhere. Those that are too many may still stand in for pods that are not available.
		c.takeAway()
		return
	case c.added(record):
		return
	}
	c.plan.Scaling = record
	if c.s.Scaling != nil && same(record, c.s.Scaling) {
		c.add(record)
	}
	c.takeAway()
}

// record is where pods that are added began, and where they go; nil where none are. One that is recorded is kept while units are to have what it says; another
// begins where that one began, so that nothing counts as done that is not.
func (c *cafe) record() *CafeScaling {
	r := &CafeScaling{From: map[string]int32{}, To: map[string]int32{}, Change: c.s.Next}
	grows := false
	for i := range c.s.Units {
		u, wanted := &c.s.Units[i], c.plan.Units[i].Wanted
		from := u.Kept
		if c.s.Scaling != nil {
			began, ok := c.s.Scaling.From[u.Name]
			switch {
			case !ok:
			case wanted < from:
				from = max(from, began)
			default:
				from = min(from, began)
			}
		}
		r.From[u.Name], r.To[u.Name] = from, wanted
		grows = grows || wanted > from
	}
	if was := c.s.Scaling; was != nil && same(&CafeScaling{From: was.From, To: r.To}, was) && c.knowsAll(was) {
		return was
	}
	if !grows {
		return nil
	}
	return r
}

// knowsAll says whether a record names every unit that there is.
func (c *cafe) knowsAll(r *CafeScaling) bool {
	for i := range c.s.Units {
		if _, ok := r.From[c.s.Units[i].Name]; !ok {
			return false
		}
	}
	return true
}

func same(a, b *CafeScaling) bool {
	return sameCounts(a.From, b.From) && sameCounts(a.To, b.To)
}

// sameCounts takes a unit that is not named as one with none: drained units leave no trace.
func sameCounts(a, b map[string]int32) bool {
	for unit, n := range a {
		if b[unit] != n {
			return false
		}
	}
	for unit, n := range b {
		if a[unit] != n {
			return false
		}
	}
	return true
}

// added says whether all that a record says is done: units keep what they are to, and the pods are available.
func (c *cafe) added(r *CafeScaling) bool {
	for i := range c.s.Units {
		u := &c.s.Units[i]
		to := r.To[u.Name]
		if u.Kept != c.plan.Units[i].Wanted || to > r.From[u.Name] && u.available() < to {
			return false
		}
	}
	return true
}

// add the pods of the group that is to be worked on.
func (c *cafe) add(r *CafeScaling) {
	var spans []Span
	var from, to int32
	for i := range c.s.Units {
		name := c.s.Units[i].Name
		spans = append(spans, Span{Unit: name, From: r.From[name], To: r.To[name]})
		from, to = from+r.From[name], to+r.To[name]
	}
	g := c.grouping
	if to <= from || c.s.Driven {
		g = Grouping{} // they only move between units, or somebody else cuts the groups.
	}
	groups := Groups(spans, g)
	open, missing := c.position(groups, func(i int, want int32) int32 { return want - c.s.Units[i].available() })
	if open == len(groups) {
		return
	}
	group := &CafeGroup{
		For: GroupsOfScale, Index: int32(open) + 1, Total: int32(len(groups)), What: groups[open].What, Waits: WaitPods, Missing: missing, // #nosec G115 -- at most 10000.
	}
	updating := c.s.Current != c.s.Update && !c.s.Driven
	c.plan.Group = group
	if c.s.Pause {
		group.Waits = WaitPause
		return
	}
	if to > from && !updating && !c.s.Driven && !c.confirmed(r.Change, open) {
		group.Waits = WaitConfirmation
		return
	}
	for _, want := range groups[open].Wants {
		for i := range c.plan.Units {
			if u := &c.plan.Units[i]; u.Name == want.Unit {
				u.Keep = max(u.Keep, want.Updated)
			}
		}
	}
}

// position returns the first group that lacks pods in some unit, and how many; len(groups) where none does. lacks says how many a unit does that is to have so many.
func (c *cafe) position(groups []Step, lacks func(unit int, want int32) int32) (open int, missing int32) {
	for i, g := range groups {
		missing = 0
		for _, want := range g.Wants {
			for j := range c.s.Units {
				if c.s.Units[j].Name == want.Unit {
					missing += max(lacks(j, want.Updated), 0)
				}
			}
		}
		if missing > 0 {
			return i, missing
		}
	}
	return len(groups), 0
}

// takeAway pods that a unit has too many, those of draining units first, as far as enough stay available in all units together.
func (c *cafe) takeAway() {
	left := c.limit - c.s.Replicas
	for i := range c.s.Units {
		u := &c.s.Units[i]
		left += u.available() - u.loses(min(u.Kept, c.plan.Units[i].Keep)) // what it was told to take away already is gone.
	}
	for _, draining := range []bool{true, false} {
		for i := range c.s.Units {
			u, to := &c.s.Units[i], &c.plan.Units[i]
			if u.Draining != draining || to.Keep <= to.Wanted {
				continue
			}
			keep, cost := to.Keep, int32(0)
			for keep > to.Wanted {
				next := u.loses(keep-1) - u.loses(u.Kept)
				if next > cost && next > max(left, 0) {
					break
				}
				keep, cost = keep-1, next
			}
			left -= cost
			to.Keep = keep
			c.plan.Held += keep - to.Wanted
		}
	}
}
