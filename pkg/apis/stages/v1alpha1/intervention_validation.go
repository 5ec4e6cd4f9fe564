package v1alpha1

import (
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Validate says all that is wrong with the spec by itself. Who intervenes is for admission to say.
func (s *InterventionSpec) Validate(p *field.Path) field.ErrorList {
	at := p.Child("runRef")
	errs := validateRun(s.RunRef.Name, string(s.RunRef.UID), at)
	if s.RunRef.Kind == "" {
		errs = append(errs, field.Required(at.Child("kind"), "PipelineRun, or CustomRun for one that no pipeline made"))
	}
	errs = append(errs, oneOf(s.RunRef.Kind, at.Child("kind"), "PipelineRun", "CustomRun")...)
	if s.Action == "" {
		errs = append(errs, field.Required(p.Child("action"), "say what is to be done"))
	}
	errs = append(errs, oneOf(string(s.Action), p.Child("action"), string(ActionPause), string(ActionResume), string(ActionRetry), string(ActionSkip),
		string(ActionAbort), string(ActionRollback))...)
	switch {
	case (s.Action == ActionSkip || s.Member != "") && s.StageRef == nil:
		errs = append(errs, field.Required(p.Child("stageRef"), "name the stage that is skipped, or the ClusterHop that carries the member"))
	case s.StageRef != nil && (s.Action == ActionSkip || s.Member != ""):
		errs = append(errs, validateRun(s.StageRef.Name, string(s.StageRef.UID), p.Child("stageRef"))...)
	case s.StageRef != nil:
		errs = append(errs, field.Forbidden(p.Child("stageRef"), "goes with action: Skip, or with member"))
	}
	if s.Member != "" {
		errs = append(errs, validateName(s.Member, p.Child("member"), "")...)
		if s.Action != ActionSkip && s.Action != ActionRetry {
			errs = append(errs, field.Forbidden(p.Child("member"), "goes with action: Skip or Retry only"))
		}
	}
	return append(errs, validateMessage(s.Message, p.Child("message"))...)
}

func validateRun(name, uid string, p *field.Path) field.ErrorList {
	errs := validateName(name, p.Child("name"), "name the run")
	if uid == "" {
		errs = append(errs, field.Required(p.Child("uid"), "of the very run that is meant, and not of another of the same name"))
	}
	return errs
}
