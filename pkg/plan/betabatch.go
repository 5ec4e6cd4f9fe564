package plan

import (
	"fmt"

	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"

	appsv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

// BetaBatch plans the groups of a BetaBatch over all units of all members together: Beta where the stage begins with it, then batches, up to what the
// stage updates in the end. Percentages are of all pods there are now, rounded up.
func BetaBatch(units []Unit, spec *v1alpha1.BetaBatchSpec) []Step {
	total := allPods(units)
	upTo := total
	if spec.UpTo != nil {
		n, err := Count(*spec.UpTo, total)
		if err != nil {
			return nil // refused by CheckBetaBatch.
		}
		upTo = min(n, total)
	}
	g := Grouping{Beta: spec.UpgradeType == appsv1alpha1.UpgradeBeta, Sizes: spec.Batches}
	if spec.BatchSize != nil {
		n, err := Count(*spec.BatchSize, total)
		if err != nil {
			return nil // refused by CheckBetaBatch.
		}
		g.Size = max(n, 1)
	}
	steps := Groups(spansUpTo(units, upTo, g.Beta), g)
	if spec.UpTo == nil || isAll(*spec.UpTo) {
		markAll(steps, units)
	}
	return steps
}

// markAll marks what is wanted of units in the steps that come to the end of them.
func markAll(steps []Step, units []Unit) {
	size := map[[2]string]int32{}
	for _, u := range units {
		size[[2]string{u.Member, u.Name}] = u.Replicas
	}
	for _, s := range steps {
		for i := range s.Wants {
			w := &s.Wants[i]
			w.All = w.Updated == size[[2]string{w.Member, w.Unit}]
		}
	}
}

// CheckBetaBatch says all that is wrong with a BetaBatch over these units, which are those of all of its members.
func CheckBetaBatch(units []Unit, spec *v1alpha1.BetaBatchSpec, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	total := allPods(units)
	upTo, ok := total, true
	if spec.UpTo != nil {
		upTo, ok = checkUpTo(total, *spec.UpTo, p.Child("upTo"), &errs)
	}
	if !ok {
		return errs
	}
	inBeta := int32(0)
	if spec.UpgradeType == appsv1alpha1.UpgradeBeta {
		inBeta = withPods(units)
		if inBeta > upTo {
			errs = append(errs, field.Invalid(p.Child("upTo"), spec.UpTo.String(),
				fmt.Sprintf("is %d pods, and Beta begins with one in each of the %d units that have any; raise it, or say upgradeType: Batch", upTo, inBeta)))
			return errs
		}
	}
	if len(spec.Batches) > 0 {
		sum := int64(inBeta)
		for _, n := range spec.Batches {
			sum += int64(n)
		}
		if sum < int64(upTo) {
			errs = append(errs, field.Invalid(p.Child("batches"), spec.Batches,
				fmt.Sprintf("are %d pods%s, and there are %d to update: add batches, or say upTo", sum, withBeta(inBeta), upTo)))
		}
	}
	return errs
}

func withBeta(pods int32) string {
	if pods == 0 {
		return ""
	}
	return fmt.Sprintf(" with the %d of Beta", pods)
}

// checkUpTo refuses what is none of the pods, or more than there are.
func checkUpTo(total int32, count intstr.IntOrString, p *field.Path, errs *field.ErrorList) (n int32, ok bool) {
	n, err := Count(count, total)
	switch {
	case err != nil:
		*errs = append(*errs, field.Invalid(p, count.String(), err.Error()))
	case n > total:
		*errs = append(*errs, field.Invalid(p, count.String(), fmt.Sprintf("there are only %d pods in all units together", total)))
	case n == 0 && total > 0:
		*errs = append(*errs, field.Invalid(p, count.String(), "is no pod"))
	default:
		return n, true
	}
	return 0, false
}

// spansUpTo is the way of each unit when upTo pods of all units together are updated: each gets its fair share, and with Beta at least its one pod.
func spansUpTo(units []Unit, upTo int32, beta bool) []Span {
	spans := make([]Span, 0, len(units))
	for _, u := range units {
		spans = append(spans, Span{Member: u.Member, Unit: u.Name, To: u.Replicas})
	}
	c := newCut(spans)
	if beta {
		for i := range c.spans {
			if upTo > 0 {
				c.give(i)
				upTo--
			}
		}
	}
	c.take(upTo)
	for i := range c.spans {
		c.spans[i].To = c.given[i]
	}
	return c.spans
}

func allPods(units []Unit) int32 {
	total := int32(0)
	for _, u := range units {
		total += u.Replicas
	}
	return total
}

func withPods(units []Unit) int32 {
	n := int32(0)
	for _, u := range units {
		if u.Replicas > 0 {
			n++
		}
	}
	return n
}
