package v1alpha1

import (
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// SetDefaults fills in what is empty.
func (s *SidecarUpgradeSpec) SetDefaults() {
	s.Rollout.setDefaults()
	if s.Confirm != nil {
		s.Confirm.SetDefaults()
	}
	if s.OnWaitingForCreation == "" {
		s.OnWaitingForCreation = WaitingFail
	}
	if s.OnUnreachable == "" {
		s.OnUnreachable = UnreachableHold
	}
}

// Validate says all that is wrong with the spec by itself, after params were expanded and defaults set.
func (s *SidecarUpgradeSpec) Validate(p *field.Path) field.ErrorList {
	errs := s.Rollout.validate(p)
	for i, u := range s.Order {
		at := p.Child("order").Index(i)
		if u == "" {
			errs = append(errs, field.Required(at, "name a unit"))
		}
		if slices.Contains(s.Order[:i], u) {
			errs = append(errs, field.Duplicate(at, u))
		}
	}
	if s.By != nil {
		errs = append(errs, validateCount(*s.By, p.Child("by"), 1)...)
	}
	if s.MaxUnavailable != nil {
		errs = append(errs, validateCount(*s.MaxUnavailable, p.Child("maxUnavailable"), 1)...)
	}
	if s.Confirm != nil {
		errs = append(errs, s.Confirm.Validate(p.Child("confirm"))...)
	}
	errs = append(errs, oneOf(string(s.OnWaitingForCreation), p.Child("onWaitingForCreation"), string(WaitingFail), string(WaitingLeave))...)
	errs = append(errs, oneOf(string(s.OnUnreachable), p.Child("onUnreachable"), string(UnreachableHold), string(UnreachableSkip))...)
	return append(errs, notNegative(s.Bake, p.Child("bake"))...)
}
