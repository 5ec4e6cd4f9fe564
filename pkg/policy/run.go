package policy

import (
	"fmt"
	"slices"
	"time"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

// Stage is a stage of a run, as far as it is known before the run comes to it. What hangs on results of others is not known.
type Stage struct {
	// Name of its task, unique in the run.
	Name string
	// After are the tasks that it waits for. Finally stages come after all that are not.
	After   []string
	Finally bool
	// Hidden is true where what the stage does is not known yet; then Confirms, Moves and Bakes say what its kind can do.
	Hidden bool

	// Confirms is true for a Confirm, which is Confirm where it is not hidden.
	Confirms bool
	Confirm  *v1alpha1.ConfirmSpec

	// Moves is true where it moves Target in Members.
	Moves   bool
	Target  string
	Members []Object
	// Bakes is true where it moves a few pods first and lets them run for Bake.
	Bakes bool
	Bake  time.Duration
}

// Lack is what a run lacks that is demanded.
type Lack struct {
	// Stage that would be refused.
	Stage string
	What  string
}

// Lacks says what a run lacks for its stages to be let through, all that can be known before it moves anything. above are stages of other runs that
// are behind when this run begins, such as those before the ClusterHop that made it.
func (b *Book) Lacks(run, above []Stage) []Lack {
	var out []Lack
	for i := range run {
		s := &run[i]
		if !s.Moves || s.Hidden {
			continue
		}
		behind := append(before(run, s), above...)
		for _, m := range s.Members {
			t := b.Member(m)
			if why := t.Refusal(b.namespace.Name); why != "" {
				out = append(out, Lack{s.Name, why})
				continue
			}
			for j := range t.Confirms {
				if why := t.Confirms[j].lacking(behind, m.Name); why != "" {
					out = append(out, Lack{s.Name, why})
				}
			}
			if why := t.unbaked(s, behind); why != "" {
				out = append(out, Lack{s.Name, why})
			}
		}
	}
	return out
}

func (c *Confirm) lacking(before []Stage, member string) string {
	asks := ""
	for i := range before {
		switch s := &before[i]; {
		case !s.Confirms:
		case s.Hidden || c.MetBy(s.Confirm):
			return ""
		default:
			asks = fmt.Sprintf("; Confirm %q before it asks others, or fewer", s.Name)
		}
	}
	return fmt.Sprintf("ReleasePolicy %q demands that before anything moves in member %q %s: put a Confirm of these approvers before it%s",
		c.Policy, member, c.Words(), asks)
}

func (t *Terms) unbaked(s *Stage, before []Stage) string {
	switch {
	case t.Bake == 0:
		return ""
	case s.Bakes && s.Bake < t.Bake:
		return fmt.Sprintf("ReleasePolicy %q demands that canaries in member %q bake for %s or longer; this one bakes for %s", t.BakePolicy, t.Member.Name, t.Bake, s.Bake)
	case s.Bakes:
		return ""
	}
	for i := range before {
		c := &before[i]
		there := slices.ContainsFunc(c.Members, func(m Object) bool { return m.Name == t.Member.Name })
		if c.Bakes && (c.Hidden || c.Target == s.Target && there && c.Bake >= t.Bake) {
			return ""
		}
	}
	return fmt.Sprintf("ReleasePolicy %q demands that canaries in member %q bake for %s or longer: put such a Canary of target %q before this stage",
		t.BakePolicy, t.Member.Name, t.Bake, s.Target)
}

// before are the stages of a run that are surely over when one begins.
func before(run []Stage, s *Stage) []Stage {
	seen := map[string]bool{}
	var visit func(names []string)
	visit = func(names []string) {
		for _, n := range names {
			if seen[n] {
				continue
			}
			seen[n] = true
			if i := slices.IndexFunc(run, func(x Stage) bool { return x.Name == n }); i >= 0 {
				visit(run[i].After)
			}
		}
	}
	visit(s.After)
	var out []Stage
	for i := range run {
		if seen[run[i].Name] || s.Finally && !run[i].Finally {
			out = append(out, run[i])
		}
	}
	return out
}

// Before are the stages of a run that are surely over when the named one begins.
func Before(run []Stage, name string) []Stage {
	i := slices.IndexFunc(run, func(s Stage) bool { return s.Name == name })
	if i < 0 {
		return nil
	}
	return before(run, &run[i])
}
