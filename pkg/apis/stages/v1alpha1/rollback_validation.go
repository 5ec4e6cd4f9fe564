package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// SetDefaults fills in what is empty.
func (s *RollbackSpec) SetDefaults() {
	for i := range s.Guards {
		s.Guards[i].SetDefaults()
	}
	if s.Scope == "" {
		s.Scope = RollbackRelease
	}
	if s.OnUnreachable == "" {
		s.OnUnreachable = UnreachableSkip
	}
	if s.OnGuardFailure == "" {
		s.OnGuardFailure = Fail
	}
	if s.ProgressDeadline == nil {
		s.ProgressDeadline = &metav1.Duration{Duration: DefaultProgressDeadline}
	}
}

// Validate says all that is wrong with the spec by itself, after params were expanded and defaults set.
func (s *RollbackSpec) Validate(p *field.Path) field.ErrorList {
	errs := oneOf(string(s.Scope), p.Child("scope"), string(RollbackRelease), string(RollbackMember))
	switch {
	case s.Scope == RollbackMember:
		errs = append(errs, validateNames(s.Members, p.Child("members"), true)...)
	case s.FromMembers != nil:
		errs = append(errs, validateNames(s.Members, p.Child("members"), false)...)
	case len(s.Members) > 0:
		errs = append(errs, field.Forbidden(p.Child("members"), "go with scope: Member only; with scope: Release all members go back"))
	}
	if s.Release != "" {
		errs = append(errs, validateName(s.Release, p.Child("release"), "")...)
	}
	if f := s.FromMembers; f != nil {
		at := p.Child("fromMembers")
		if s.Release != "" {
			errs = append(errs, field.Forbidden(at, "names the release itself; leave out release"))
		}
		errs = append(errs, validateName(f.Release, at.Child("release"), "name the release as the locks in the members do")...)
	}
	errs = append(errs, oneOf(string(s.OnUnreachable), p.Child("onUnreachable"), string(UnreachableSkip), string(UnreachableWait))...)
	errs = append(errs, oneOf(string(s.OnGuardFailure), p.Child("onGuardFailure"), string(Hold), string(Fail))...)
	if d := s.ProgressDeadline; d != nil && d.Duration <= 0 {
		errs = append(errs, field.Invalid(p.Child("progressDeadline"), d.Duration.String(), "must be longer than 0"))
	}
	errs = append(errs, validateSets(s.GuardSets, p.Child("guardSets"))...)
	return append(errs, ValidateGuards(s.Guards, p.Child("guards"))...)
}
