package v1alpha1

import (
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// SetDefaults fills in what is empty.
func (s *FreezeSpec) SetDefaults() {
	if s.Rollbacks == "" {
		s.Rollbacks = RollbacksStop
	}
}

// Validate says all that is wrong with the spec by itself. Who froze is for admission to say.
func (s *FreezeSpec) Validate(p *field.Path) field.ErrorList {
	errs := validateNames(s.Members, p.Child("members"), false)
	if len(s.Members) > 0 && s.MemberSelector != nil {
		errs = append(errs, field.Forbidden(p.Child("memberSelector"), "give members or memberSelector, not both; another Freeze stops the others"))
	}
	errs = append(errs, validateSelector(s.MemberSelector, p.Child("memberSelector"))...)
	errs = append(errs, validateNamespaces(s.Namespaces, p.Child("namespaces"))...)
	errs = append(errs, oneOf(string(s.Rollbacks), p.Child("rollbacks"), string(RollbacksStop), string(RollbacksAllow))...)
	errs = append(errs, validateMessage(s.Message, p.Child("message"))...)
	if s.Lifted != nil {
		errs = append(errs, validateMessage(s.Lifted.Message, p.Child("lifted", "message"))...)
	}
	return errs
}

func validateNamespaces(names []string, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, n := range names {
		for _, why := range validation.IsDNS1123Label(n) {
			errs = append(errs, field.Invalid(p.Index(i), n, why))
		}
	}
	return errs
}

// validateMessage wants words: what people did is recorded with why.
func validateMessage(message string, p *field.Path) field.ErrorList {
	const most = 1024
	switch {
	case strings.TrimSpace(message) == "":
		return field.ErrorList{field.Required(p, "say why, for those who read it later")}
	case len([]rune(message)) > most:
		return field.ErrorList{field.TooLong(p, message, most)}
	}
	return nil
}
