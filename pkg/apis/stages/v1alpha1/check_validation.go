package v1alpha1

import (
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// SetDefaults fills in what is empty.
func (s *CheckSpec) SetDefaults() {
	for i := range s.Guards {
		if s.Guards[i].When == "" {
			s.Guards[i].When = Before
		}
		s.Guards[i].SetDefaults()
	}
}

// Validate says all that is wrong with the spec by itself, after params were expanded and defaults set.
func (s *CheckSpec) Validate(p *field.Path) field.ErrorList {
	errs := validateName(s.Target, p.Child("target"), "name a Target in the run's namespace")
	errs = append(errs, validateWhere(s.Members, s.MemberSelector, p)...)
	errs = append(errs, validateSets(s.GuardSets, p.Child("guardSets"))...)
	for i := range s.Guards {
		if s.Guards[i].When != Before {
			errs = append(errs, field.NotSupported(p.Child("guards").Index(i).Child("when"), s.Guards[i].When, []GuardWhen{Before}))
		}
	}
	return append(errs, ValidateGuards(s.Guards, p.Child("guards"))...)
}
