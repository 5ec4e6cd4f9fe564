package policy

import (
	"slices"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

// MetBy says whether a Confirm, once it succeeded, is surely the yes that is demanded: all whom it asks are among those demanded, and it asks for as
// many of them.
func (c *Confirm) MetBy(spec *v1alpha1.ConfirmSpec) bool {
	asked := &spec.Approvers
	if len(asked.Users)+len(asked.Groups) == 0 || spec.Required < c.Required || c.ForbidInitiator && !spec.ForbidInitiator {
		return false
	}
	return within(asked.Users, c.Approvers.Users) && within(asked.Groups, c.Approvers.Groups)
}

func within(some, of []string) bool {
	return !slices.ContainsFunc(some, func(s string) bool { return !slices.Contains(of, s) })
}

// Yes says whether the answers to a question that got its yes are the yes that is demanded. starters are all who are behind the run, by name; none
// means that they are not known.
func (c *Confirm) Yes(q *v1alpha1.Question, starters []string) bool {
	if q == nil || c.ForbidInitiator && len(starters) == 0 {
		return false
	}
	people := map[string]bool{}
	for _, a := range q.Answers {
		if a.Decision != v1alpha1.Approve {
			return false
		}
		among := slices.Contains(c.Approvers.Users, a.User) ||
			slices.ContainsFunc(a.Groups, func(g string) bool { return slices.Contains(c.Approvers.Groups, g) })
		counts := !c.ForbidInitiator || !slices.Contains(starters, a.User)
		if a.User != "" && among && counts {
			people[a.User] = true
		}
	}
	return len(people) >= int(max(c.Required, 1))
}
