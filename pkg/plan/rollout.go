package plan

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

// Unit is one unit of one member, as a planner needs it.
type Unit struct {
	Member   string
	Name     string
	Replicas int32
}

// Want is how many pods of a unit are to be on the new revision.
type Want struct {
	Member  string
	Unit    string
	Updated int32
	// All pods that the unit has, and will have: what is created in it from then on is of the new revision, too.
	All bool
}

// Step is a state of the units that is brought about, settles and is judged before the next.
type Step struct {
	// What it brings about, in words.
	What string
	// Wants of the units that the step moves.
	Wants []Want
}

// Canary plans the one step of a canary: pods in each unit, or in unit alone. Numbers above a unit's replicas are cut to them, so that
// a unit that was scaled down in the middle does not stop the stage; CheckCanary refuses them at the start.
func Canary(units []Unit, pods intstr.IntOrString, unit string) []Step {
	var wants []Want
	for _, u := range units {
		if unit != "" && u.Name != unit {
			continue
		}
		n, err := Count(pods, u.Replicas)
		if err != nil {
			continue // refused by CheckCanary.
		}
		wants = append(wants, Want{Member: u.Member, Unit: u.Name, Updated: min(n, u.Replicas), All: isAll(pods)})
	}
	where := "each unit"
	if unit != "" {
		where = "unit " + unit
	}
	return []Step{{What: fmt.Sprintf("%s canary pods in %s", pods.String(), where), Wants: wants}}
}

// CheckCanary says all that is wrong with a canary over these units.
func CheckCanary(units []Unit, pods intstr.IntOrString, unit string, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	if unit != "" {
		errs = append(errs, checkUnit(units, unit, p.Child("unit"))...)
	}
	for _, u := range units {
		if unit != "" && u.Name != unit {
			continue
		}
		errs = append(errs, checkCount(u, pods, p.Child("pods"))...)
	}
	return errs
}

// Bump plans the steps of a partition bump. Exactly one of steps and order is given. With order each unit is brought to all of its pods, by
// at a time, before the next unit; in every member at once.
func Bump(units []Unit, spec *v1alpha1.PartitionBumpSpec) []Step {
	if len(spec.Steps) > 0 {
		out := make([]Step, 0, len(spec.Steps))
		for _, s := range spec.Steps {
			out = append(out, stepTo(units, s.Unit, s.Updated))
		}
		return out
	}
	var out []Step
	for _, name := range spec.Order {
		out = append(out, ramp(units, name, spec.By)...)
	}
	return out
}

// CheckBump says all that is wrong with a partition bump over these units.
func CheckBump(units []Unit, spec *v1alpha1.PartitionBumpSpec, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, s := range spec.Steps {
		at := p.Child("steps").Index(i)
		errs = append(errs, checkUnit(units, s.Unit, at.Child("unit"))...)
		for _, u := range units {
			if u.Name == s.Unit {
				errs = append(errs, checkCount(u, s.Updated, at.Child("updated"))...)
			}
		}
		for _, before := range spec.Steps[:i] {
			if before.Unit == s.Unit && less(units, s, before) {
				errs = append(errs, field.Invalid(at.Child("updated"), s.Updated.String(),
					fmt.Sprintf("is less than an earlier step's %s of unit %s: a bump goes one way", before.Updated.String(), s.Unit)))
				break
			}
		}
	}
	for i, name := range spec.Order {
		errs = append(errs, checkUnit(units, name, p.Child("order").Index(i))...)
	}
	return errs
}

func less(units []Unit, a, b v1alpha1.PartitionStep) bool {
	for _, u := range units {
		if u.Name != a.Unit {
			continue
		}
		x, errX := Count(a.Updated, u.Replicas)
		y, errY := Count(b.Updated, u.Replicas)
		if errX == nil && errY == nil && x < y {
			return true
		}
	}
	return false
}

func stepTo(units []Unit, name string, updated intstr.IntOrString) Step {
	s := Step{What: fmt.Sprintf("%s of unit %s updated", updated.String(), name)}
	for _, u := range units {
		if u.Name != name {
			continue
		}
		if n, err := Count(updated, u.Replicas); err == nil {
			s.Wants = append(s.Wants, Want{Member: u.Member, Unit: u.Name, Updated: min(n, u.Replicas), All: isAll(updated)})
		}
	}
	return s
}

// ramp brings one unit to all of its pods, by at a time. Where members have units of different size, the largest sets how many steps there are,
// so that the number of steps does not hang on which member is looked at.
func ramp(units []Unit, name string, by *intstr.IntOrString) []Step {
	all := intstr.FromString("100%")
	if by == nil {
		return []Step{stepTo(units, name, all)}
	}
	total := 1
	for _, u := range units {
		if u.Name != name || u.Replicas == 0 {
			continue
		}
		if n, err := Count(*by, u.Replicas); err == nil && n > 0 {
			total = max(total, int((u.Replicas+n-1)/n))
		}
	}
	out := make([]Step, 0, total)
	for i := 1; i <= total; i++ {
		s := Step{What: fmt.Sprintf("unit %s updated by %s, %d of %d", name, by.String(), i, total)}
		for _, u := range units {
			if u.Name != name {
				continue
			}
			n, err := Count(*by, u.Replicas)
			if err != nil {
				continue
			}
			updated := min(n*int32(i), u.Replicas) // #nosec G115 -- total is at most replicas.
			if i == total {
				updated = u.Replicas
			}
			s.Wants = append(s.Wants, Want{Member: u.Member, Unit: u.Name, Updated: updated, All: i == total})
		}
		out = append(out, s)
	}
	return out
}

// isAll says whether a count is of all pods, however many there are.
func isAll(count intstr.IntOrString) bool { return count.String() == "100%" }

func checkCount(u Unit, count intstr.IntOrString, p *field.Path) field.ErrorList {
	n, err := Count(count, u.Replicas)
	switch {
	case err != nil:
		return field.ErrorList{field.Invalid(p, count.String(), err.Error())}
	case n > u.Replicas:
		return field.ErrorList{field.Invalid(p, count.String(), fmt.Sprintf("unit %s in member %s has only %d pods", u.Name, u.Member, u.Replicas))}
	case n == 0 && u.Replicas > 0:
		return field.ErrorList{field.Invalid(p, count.String(), fmt.Sprintf("is no pod of unit %s in member %s", u.Name, u.Member))}
	}
	return nil
}

// checkUnit refuses a unit that any of the members lacks.
func checkUnit(units []Unit, name string, p *field.Path) field.ErrorList {
	byMember := map[string][]string{}
	var members []string
	for _, u := range units {
		if _, ok := byMember[u.Member]; !ok {
			members = append(members, u.Member)
		}
		byMember[u.Member] = append(byMember[u.Member], u.Name)
	}
	var errs field.ErrorList
	for _, m := range members {
		if !slices.Contains(byMember[m], name) {
			errs = append(errs, field.Invalid(p, name, fmt.Sprintf("there is no such unit in member %s, which has %v", m, byMember[m])))
		}
	}
	return errs
}
