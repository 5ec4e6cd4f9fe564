package plan

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

// SidecarUpgrade plans the steps of a sidecar upgrade: one unit after the other, each by so many pods at a time, in every member at once.
func SidecarUpgrade(units []Unit, spec *v1alpha1.SidecarUpgradeSpec) []Step {
	var out []Step
	for _, name := range sidecarOrder(units, spec) {
		out = append(out, ramp(units, name, spec.By)...)
	}
	return out
}

// sidecarOrder is the order of the spec, and after it units that came since the stage began, by name.
func sidecarOrder(units []Unit, spec *v1alpha1.SidecarUpgradeSpec) []string {
	var others []string
	for _, u := range units {
		if !slices.Contains(spec.Order, u.Name) && !slices.Contains(others, u.Name) {
			others = append(others, u.Name)
		}
	}
	slices.Sort(others)
	return slices.Concat(spec.Order, others)
}

// CheckSidecarUpgrade says all that is wrong with a sidecar upgrade over these units. An order names units that any of the members has: applications come to a data
// centre and go, and with them the pods that have the sidecars there.
func CheckSidecarUpgrade(units []Unit, spec *v1alpha1.SidecarUpgradeSpec, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	var have []string
	for _, u := range units {
		if !slices.Contains(have, u.Name) {
			have = append(have, u.Name)
		}
		if len(spec.Order) > 0 && u.Replicas > 0 && !slices.Contains(spec.Order, u.Name) {
			errs = append(errs, field.Invalid(p.Child("order"), spec.Order, fmt.Sprintf("leaves out unit %s, which has %d pods in member %s", u.Name, u.Replicas, u.Member)))
		}
		if spec.By != nil && u.Replicas > 0 {
			if n, err := Count(*spec.By, u.Replicas); err != nil || n == 0 {
				errs = append(errs, field.Invalid(p.Child("by"), spec.By.String(), fmt.Sprintf("is no pod of unit %s in member %s", u.Name, u.Member)))
			}
		}
	}
	slices.Sort(have)
	for i, name := range spec.Order {
		if !slices.Contains(have, name) {
			errs = append(errs, field.Invalid(p.Child("order").Index(i), name, fmt.Sprintf("no member has pods with the sidecars in such a unit; there are %v", have)))
		}
	}
	return errs
}
