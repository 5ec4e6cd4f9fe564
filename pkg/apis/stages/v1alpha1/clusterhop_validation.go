package v1alpha1

import (
	"regexp"

	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// SetDefaults fills in what is empty.
func (s *ClusterHopSpec) SetDefaults() {
	for i := range s.Guards {
		s.Guards[i].SetDefaults()
	}
	if s.OnGuardFailure == "" {
		s.OnGuardFailure = Fail
	}
	if !s.Carries() {
		return
	}
	if s.MemberParam == "" {
		s.MemberParam = DefaultMemberParam
	}
	if s.MaxParallel == 0 {
		s.MaxParallel = DefaultMaxParallel
	}
	if s.MaxFailures == nil {
		s.MaxFailures = &intstr.IntOrString{}
	}
	if s.OnUnreachable == "" {
		s.OnUnreachable = UnreachableHold
	}
}

// Validate says all that is wrong with the spec by itself, after params were expanded and defaults set.
func (s *ClusterHopSpec) Validate(p *field.Path) field.ErrorList {
	var errs field.ErrorList
	if s.Carries() {
		errs = s.validateCarrier(p)
	} else {
		errs = s.validateGate(p)
	}
	errs = append(errs, notNegative(s.SilentPeriod, p.Child("silentPeriod"))...)
	errs = append(errs, oneOf(string(s.OnGuardFailure), p.Child("onGuardFailure"), string(Hold), string(Fail))...)
	errs = append(errs, validateSets(s.GuardSets, p.Child("guardSets"))...)
	return append(errs, ValidateGuards(s.Guards, p.Child("guards"))...)
}

func (s *ClusterHopSpec) validateGate(p *field.Path) field.ErrorList {
	errs := validateName(s.Target, p.Child("target"), "name a Target in the run's namespace")
	errs = append(errs, validateNames(s.From, p.Child("from"), true)...)
	errs = append(errs, validateNames(s.To, p.Child("to"), true)...)
	from := map[string]bool{}
	for _, m := range s.From {
		from[m] = true
	}
	for i, m := range s.To {
		if from[m] {
			errs = append(errs, field.Invalid(p.Child("to").Index(i), m, "is in from as well"))
		}
	}
	for _, f := range []struct {
		name  string
		given bool
	}{
		{"waves", len(s.Waves) > 0}, {"params", len(s.Params) > 0}, {"memberParam", s.MemberParam != ""}, {"orderBy", s.OrderBy != nil},
		{"maxParallel", s.MaxParallel != 0}, {"maxFailures", s.MaxFailures != nil}, {"wavePause", s.WavePause != nil}, {"onUnreachable", s.OnUnreachable != ""},
	} {
		if f.given {
			errs = append(errs, field.Forbidden(p.Child(f.name), "goes with pipelineRef only"))
		}
	}
	return errs
}

func (s *ClusterHopSpec) validateCarrier(p *field.Path) field.ErrorList {
	errs := validateName(s.PipelineRef.Name, p.Child("pipelineRef", "name"), "name a Pipeline in the run's namespace")
	if s.Target != "" {
		errs = append(errs, validateName(s.Target, p.Child("target"), "")...)
	} else if len(s.Guards)+len(s.GuardSets) > 0 {
		errs = append(errs, field.Required(p.Child("target"), "guards are judged on the pods of a Target; name one in the run's namespace"))
	}
	if len(s.From)+len(s.To) > 0 {
		errs = append(errs, field.Forbidden(p.Child("from"), "from and to are a gate's; a carrier's members stand in waves"))
	}
	seen := map[string]bool{s.MemberParam: true}
	for i, prm := range s.Params {
		at := p.Child("params").Index(i).Child("name")
		switch {
		case prm.Name == "":
			errs = append(errs, field.Required(at, "name a param of the Pipeline"))
		case prm.Name == s.MemberParam:
			errs = append(errs, field.Invalid(at, prm.Name, "is the one that names the member (memberParam)"))
		case seen[prm.Name]:
			errs = append(errs, field.Duplicate(at, prm.Name))
		}
		seen[prm.Name] = true
	}
	errs = append(errs, s.validateWaves(p.Child("waves"))...)
	if s.MaxParallel < 1 {
		errs = append(errs, field.Invalid(p.Child("maxParallel"), s.MaxParallel, "must be 1 or more"))
	}
	if s.MaxFailures != nil {
		errs = append(errs, validateFailures(*s.MaxFailures, p.Child("maxFailures"))...)
	}
	errs = append(errs, notNegative(s.WavePause, p.Child("wavePause"))...)
	errs = append(errs, oneOf(string(s.OnUnreachable), p.Child("onUnreachable"), string(UnreachableHold), string(UnreachableSkip))...)
	if o := s.OrderBy; o != nil {
		at := p.Child("orderBy")
		if (o.Label == "") == (o.Importance == "") {
			errs = append(errs, field.Required(at, "give exactly one of label and importance"))
		}
		if o.Label != "" {
			errs = append(errs, metav1validation.ValidateLabelName(o.Label, at.Child("label"))...)
		}
		errs = append(errs, oneOf(string(o.Importance), at.Child("importance"), string(Ascending), string(Descending))...)
	}
	return errs
}

// validateWaves wants each member named once: one that stands in two waves is a mistake, one that labels add to a later wave is not.
func (s *ClusterHopSpec) validateWaves(p *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(s.Waves) == 0 {
		errs = append(errs, field.Required(p, "give at least one wave of members"))
	}
	first := map[string]int{}
	for i := range s.Waves {
		w, at := &s.Waves[i], p.Index(i)
		errs = append(errs, validateWhere(w.Members, w.MemberSelector, at)...)
		for j, m := range w.Members {
			if k, ok := first[m]; ok && k != i {
				errs = append(errs, field.Duplicate(at.Child("members").Index(j), m))
			}
			first[m] = i
		}
		if w.MaxParallel < 0 {
			errs = append(errs, field.Invalid(at.Child("maxParallel"), w.MaxParallel, "must be 1 or more"))
		}
	}
	return errs
}

var failuresRE = regexp.MustCompile(`^(100|[1-9]?[0-9])%$`)

func validateFailures(v intstr.IntOrString, p *field.Path) field.ErrorList {
	if v.Type == intstr.Int && v.IntVal >= 0 || v.Type == intstr.String && failuresRE.MatchString(v.StrVal) {
		return nil
	}
	return field.ErrorList{field.Invalid(p, v.String(), "must be a number of members, 0 or more, or a percentage from 0% to 100%")}
}
