package v1alpha1

import (
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// SetDefaults fills in what is empty.
func (s *ReleasePolicySpec) SetDefaults() {
	for i := range s.Require.Confirms {
		if c := &s.Require.Confirms[i]; c.Required == 0 {
			c.Required = DefaultRequired
		}
	}
}

// Validate says all that is wrong with the spec by itself, after defaults were set. A policy that is wrong must give nothing.
func (s *ReleasePolicySpec) Validate(p *field.Path) field.ErrorList {
	errs := validateNamespaces(s.Namespaces.Names, p.Child("namespaces", "names"))
	errs = append(errs, validateSelector(s.Namespaces.Selector, p.Child("namespaces", "selector"))...)
	errs = append(errs, validateMembers(s.Members, p.Child("members"))...)
	errs = append(errs, validateNamed(s.OnBehalfOf, p.Child("onBehalfOf"), "a user as the API server names him, such as system:serviceaccount:ci:releaser")...)
	return append(errs, s.Require.validate(p.Child("require"))...)
}

func validateMembers(s Selection, p *field.Path) field.ErrorList {
	return append(validateNames(s.Names, p.Child("names"), false), validateSelector(s.Selector, p.Child("selector"))...)
}

func (d *Demands) validate(p *field.Path) field.ErrorList {
	errs := ValidateWindows(d.Windows, d.TimeZone, p)
	errs = append(errs, notNegative(d.MinBake, p.Child("minBake"))...)
	for i, g := range d.GuardSets {
		at := p.Child("guardSets").Index(i)
		errs = append(errs, validateNamespaces([]string{g.Namespace}, at.Child("namespace"))...)
		errs = append(errs, validateName(g.Name, at.Child("name"), "name a GuardSet")...)
	}
	for i, c := range d.Confirms {
		at := p.Child("confirms").Index(i)
		errs = append(errs, validateNamed(c.Approvers.Users, at.Child("approvers", "users"), "name a user")...)
		errs = append(errs, validateNamed(c.Approvers.Groups, at.Child("approvers", "groups"), "name a group")...)
		n := len(c.Approvers.Users)
		switch {
		case n+len(c.Approvers.Groups) == 0:
			errs = append(errs, field.Required(at.Child("approvers"), "name users or groups; a yes of anybody is no demand"))
		case len(c.Approvers.Groups) == 0 && int(c.Required) > n:
			errs = append(errs, field.Invalid(at.Child("required"), c.Required, fmt.Sprintf("only %d users may answer (approvers.users), so this can never be reached", n)))
		}
		if c.Required < 1 {
			errs = append(errs, field.Invalid(at.Child("required"), c.Required, "must be 1 or more"))
		}
		errs = append(errs, validateMembers(c.Members, at.Child("members"))...)
	}
	return errs
}
