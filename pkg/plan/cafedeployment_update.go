package plan

import (
	"fmt"
	"strconv"
	"strings"
)

// update decides how many pods of each unit stay on another revision than the template's.
func (c *cafe) update() error {
	if c.s.Driven {
		return c.follow()
	}
	allowed := make([]int32, len(c.s.Units))
	if c.s.Current == c.s.Update {
		for i := range c.s.Units {
			if !c.s.Units[i].Draining {
				allowed[i] = c.plan.Units[i].Keep
			}
		}
		c.goBack()
	} else {
		c.groups(allowed)
	}
	for i := range c.s.Units {
		u, to := &c.s.Units[i], &c.plan.Units[i]
		to.Allowed = max(allowed[i], u.Updated) // those that went are let go, for nothing starts by that.
		if c.s.Pause && c.s.Current != c.s.Update {
			to.Allowed = u.Updated
		}
		to.Allowed = min(to.Allowed, to.Keep)
		if c.s.Confirm && c.s.Current != c.s.Update && u.Kept > 0 && u.Updated >= u.Kept {
			// A set whose pods are all updated has no other revision to make pods on: it grows no further than somebody confirmed.
			to.Keep = min(to.Keep, max(u.Kept, to.Allowed))
		}
		to.Stay = to.Keep - to.Allowed
	}
	return nil
}

// follow the partitions that somebody else writes. A unit that is not named is held back whole.
func (c *cafe) follow() error {
	for i := range c.plan.Units {
		to := &c.plan.Units[i]
		to.Stay = to.Keep
		if p, ok := c.s.Partitions[to.Name]; ok && !c.s.Units[i].Draining {
			var err error
			if to.Stay, err = Partition(&p, min(to.Keep, to.Wanted)); err != nil {
				return fmt.Errorf("unit %s: %w", to.Name, err)
			}
			to.Stay += max(to.Keep-to.Wanted, 0) // pods that only stand in for others are none that the partition was cut for.
		}
		if c.s.Pause {
			to.Stay = max(to.Stay, to.Keep-c.s.Units[i].Updated)
		}
		to.Allowed = to.Keep - to.Stay
	}
	return nil
}

// goBack shows pods of another revision on their way back to the current one as one group.
func (c *cafe) goBack() {
	var strays int32
	for i := range c.s.Units {
		u := &c.s.Units[i]
		if !u.Draining {
			strays += max(int32(len(u.Goes))-u.Updated, 0) // #nosec G115 -- a deployment has at most 10000 pods.
		}
	}
	if strays == 0 || c.plan.Group != nil {
		return
	}
	c.plan.Group = &CafeGroup{For: GroupsOfUpdate, Index: 1, Total: 1, What: fmt.Sprintf("back: %d pods", strays), Waits: WaitPods, Missing: strays}
	if c.s.Pause {
		c.plan.Group.Waits = WaitPause
	}
}

// groups lets go the pods of the group that is to be worked on.
func (c *cafe) groups(allowed []int32) {
	var spans []Span
	for i := range c.s.Units {
		if !c.s.Units[i].Draining {
			spans = append(spans, Span{Unit: c.s.Units[i].Name, To: c.plan.Units[i].Wanted})
		}
	}
	groups := Groups(spans, c.grouping)
	if len(groups) == 0 {
		return
	}
	// A pod that its unit does not keep yet is not waited for: it may itself wait for an old pod that this update repairs.
	open, missing := c.position(groups, func(i int, want int32) int32 { return min(want, c.plan.Units[i].Keep) - c.s.Units[i].UpdatedAvailable })
	lets := min(open, len(groups)-1)
	if open < len(groups) {
		group := &CafeGroup{
			For: GroupsOfUpdate, Index: int32(open) + 1, Total: int32(len(groups)), What: groups[open].What, Waits: WaitPods, Missing: missing, // #nosec G115 -- at most 10000.
		}
		c.plan.Group = group
		if c.s.Pause {
			group.Waits = WaitPause
		}
	}
	if unconfirmed := c.unconfirmed(groups, lets); unconfirmed > 0 && !c.s.Pause {
		c.plan.Group = &CafeGroup{
			For: GroupsOfUpdate, Index: int32(unconfirmed) + 1, Total: int32(len(groups)), What: groups[unconfirmed].What, Waits: WaitConfirmation, Missing: c.lacking(groups[unconfirmed]), // #nosec G115 -- at most 10000.
		}
		lets = unconfirmed - 1
	}
	for _, want := range groups[lets].Wants {
		for i := range c.s.Units {
			if c.s.Units[i].Name == want.Unit {
				allowed[i] = want.Updated
			}
		}
	}
}

// unconfirmed is the first group up to the last one that may begin which somebody has to confirm still, or 0. A group that only waits for nobody because its pods
// are not kept yet is among them: they would come on the update revision. One whose pods are all updated is not.
func (c *cafe) unconfirmed(groups []Step, last int) int {
	for i := 1; i <= last; i++ {
		if c.lacking(groups[i]) > 0 && !c.confirmed(c.s.Change, i) {
			return i
		}
	}
	return 0
}

// lacking is how many updated and available pods a group lacks, those included that its units do not keep yet.
func (c *cafe) lacking(g Step) (n int32) {
	for _, want := range g.Wants {
		for i := range c.s.Units {
			if u := &c.s.Units[i]; u.Name == want.Unit {
				n += max(want.Updated-u.UpdatedAvailable, 0)
			}
		}
	}
	return n
}

// confirmed says whether the group after the first done ones may begin, and asks for it where nobody was asked yet: first the annotation says no, and once it
// does the question is recorded. So an answer that was given before its question does not count. The first group needs no confirmation.
func (c *cafe) confirmed(change string, done int) bool {
	if !c.s.Confirm || done == 0 {
		return true
	}
	before, index := parseAsked(c.s.Asked)
	switch {
	case before == change && index > done: // a pod of a group that was done is down again; the group after it was let go long ago.
		return true
	case before == change && index == done:
		return c.s.Confirmed == "true"
	case c.s.Confirmed != "false":
		c.plan.Reset = true
	default:
		c.plan.Asked = fmt.Sprintf("%s/%d", change, done)
	}
	return false
}

func parseAsked(asked string) (change string, index int) {
	change, text, ok := strings.Cut(asked, "/")
	if !ok {
		return "", 0
	}
	index, err := strconv.Atoi(text)
	if err != nil {
		return "", 0
	}
	return change, index
}
