package v1alpha1

import (
	"k8s.io/apimachinery/pkg/util/validation/field"

	appsv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
)

// SetDefaults fills in what is empty.
func (s *BetaBatchSpec) SetDefaults() {
	s.Rollout.setDefaults()
	if s.UpgradeType == "" {
		s.UpgradeType = appsv1alpha1.UpgradeBeta
		if len(s.Batches) > 0 {
			s.UpgradeType = appsv1alpha1.UpgradeBatch
		}
	}
	if s.Confirm != nil {
		s.Confirm.SetDefaults()
	}
	if s.OnUnreachable == "" {
		s.OnUnreachable = UnreachableHold
	}
}

// Validate says all that is wrong with the spec by itself, after params were expanded and defaults set.
func (s *BetaBatchSpec) Validate(p *field.Path) field.ErrorList {
	errs := s.Rollout.validate(p)
	errs = append(errs, oneOf(string(s.UpgradeType), p.Child("upgradeType"), string(appsv1alpha1.UpgradeBeta), string(appsv1alpha1.UpgradeBatch))...)
	if (s.BatchSize == nil) == (len(s.Batches) == 0) {
		errs = append(errs, field.Required(p.Child("batchSize"), "give exactly one of batchSize and batches"))
	}
	if s.BatchSize != nil {
		errs = append(errs, validateCount(*s.BatchSize, p.Child("batchSize"), 1)...)
	}
	for i, n := range s.Batches {
		if n < 1 {
			errs = append(errs, field.Invalid(p.Child("batches").Index(i), n, "must be 1 or more"))
		}
	}
	if s.UpTo != nil {
		errs = append(errs, validateCount(*s.UpTo, p.Child("upTo"), 1)...)
	}
	if s.MaxUnavailable != nil {
		errs = append(errs, validateCount(*s.MaxUnavailable, p.Child("maxUnavailable"), 1)...)
	}
	if s.Confirm != nil {
		errs = append(errs, s.Confirm.Validate(p.Child("confirm"))...)
	}
	errs = append(errs, oneOf(string(s.OnUnreachable), p.Child("onUnreachable"), string(UnreachableHold), string(UnreachableSkip))...)
	return append(errs, notNegative(s.Bake, p.Child("bake"))...)
}
