package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// SetDefaults fills in what is empty.
func (s *SoakSpec) SetDefaults() {
	for i := range s.Guards {
		if s.Guards[i].When == "" {
			s.Guards[i].When = During
		}
		s.Guards[i].SetDefaults()
	}
	if s.OnGuardFailure == "" {
		s.OnGuardFailure = Fail
	}
}

// Validate says all that is wrong with the spec by itself, after params were expanded and defaults set.
func (s *SoakSpec) Validate(p *field.Path) field.ErrorList {
	var errs field.ErrorList
	if s.Duration.Duration <= 0 {
		errs = append(errs, field.Invalid(p.Child("duration"), s.Duration.Duration.String(), "must be longer than 0"))
	}
	switch {
	case s.Target != "":
		errs = append(errs, validateName(s.Target, p.Child("target"), "")...)
		errs = append(errs, validateWhere(s.Members, s.MemberSelector, p)...)
	case len(s.Guards)+len(s.GuardSets) > 0:
		errs = append(errs, field.Required(p.Child("target"), "guards are judged on the pods of a Target; name one in the run's namespace"))
	case len(s.Members) > 0 || s.MemberSelector != nil:
		errs = append(errs, field.Required(p.Child("target"), "name the Target, in the run's namespace, that is looked at in the members"))
	}
	errs = append(errs, oneOf(string(s.OnGuardFailure), p.Child("onGuardFailure"), string(Hold), string(Fail))...)
	errs = append(errs, validateSets(s.GuardSets, p.Child("guardSets"))...)
	return append(errs, ValidateGuards(s.Guards, p.Child("guards"))...)
}

// validateWhere wants members, by name or by labels.
func validateWhere(members []string, selector *metav1.LabelSelector, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(members) == 0 && selector == nil {
		errs = append(errs, field.Required(p.Child("members"), "name members, or select them by memberSelector"))
	}
	errs = append(errs, validateNames(members, p.Child("members"), false)...)
	return append(errs, validateSelector(selector, p.Child("memberSelector"))...)
}

func validateSelector(selector *metav1.LabelSelector, p *field.Path) field.ErrorList {
	if selector == nil {
		return nil
	}
	return metav1validation.ValidateLabelSelector(selector, metav1validation.LabelSelectorValidationOptions{}, p)
}
