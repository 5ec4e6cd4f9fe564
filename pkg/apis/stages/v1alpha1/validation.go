package v1alpha1

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

var percentRE = regexp.MustCompile(`^[0-9]{1,3}%$`)

// Validate says all that is wrong with the spec by itself, after params were expanded and defaults set.
func (s *CanarySpec) Validate(p *field.Path) field.ErrorList {
	errs := s.Rollout.validate(p)
	errs = append(errs, validateCount(s.Pods, p.Child("pods"), 1)...)
	return append(errs, notNegative(s.Bake, p.Child("bake"))...)
}

// Validate says all that is wrong with the spec by itself, after params were expanded and defaults set.
func (s *PartitionBumpSpec) Validate(p *field.Path) field.ErrorList {
	errs := s.Rollout.validate(p)
	if (len(s.Steps) == 0) == (len(s.Order) == 0) {
		errs = append(errs, field.Required(p.Child("steps"), "give exactly one of steps and order"))
	}
	if s.By != nil {
		if len(s.Order) == 0 {
			errs = append(errs, field.Forbidden(p.Child("by"), "goes with order only"))
		}
		errs = append(errs, validateCount(*s.By, p.Child("by"), 1)...)
	}
	seen := map[string]bool{}
	for i, u := range s.Order {
		if u == "" {
			errs = append(errs, field.Required(p.Child("order").Index(i), "name a unit"))
		}
		if seen[u] {
			errs = append(errs, field.Duplicate(p.Child("order").Index(i), u))
		}
		seen[u] = true
	}
	for i, st := range s.Steps {
		at := p.Child("steps").Index(i)
		if st.Unit == "" {
			errs = append(errs, field.Required(at.Child("unit"), "name a unit"))
		}
		errs = append(errs, validateCount(st.Updated, at.Child("updated"), 1)...)
	}
	return errs
}

// Validate says all that is wrong with the spec by itself, after params were expanded and defaults set.
func (s *ConfirmSpec) Validate(p *field.Path) field.ErrorList {
	var errs field.ErrorList
	if s.Required < 1 {
		errs = append(errs, field.Invalid(p.Child("required"), s.Required, "must be 1 or more"))
	}
	named := append(validateNamed(s.Approvers.Users, p.Child("approvers", "users"), "name a user"),
		validateNamed(s.Approvers.Groups, p.Child("approvers", "groups"), "name a group")...)
	errs = append(errs, named...)
	if n := len(s.Approvers.Users); n > 0 && len(s.Approvers.Groups) == 0 && int(s.Required) > n && len(named) == 0 {
		errs = append(errs, field.Invalid(p.Child("required"), s.Required,
			fmt.Sprintf("only %d users may answer (approvers.users), so this can never be reached", n)))
	}
	return errs
}

func (r *Rollout) validate(p *field.Path) field.ErrorList {
	var errs field.ErrorList
	errs = append(errs, validateName(r.Target, p.Child("target"), "name a Target in the run's namespace")...)
	errs = append(errs, validateSets(r.GuardSets, p.Child("guardSets"))...)
	if len(r.Members) == 0 && r.MemberSelector == nil {
		errs = append(errs, field.Required(p.Child("members"), "name members, or select them by memberSelector"))
	}
	errs = append(errs, validateNames(r.Members, p.Child("members"), false)...)
	if r.MemberSelector != nil {
		errs = append(errs, metav1validation.ValidateLabelSelector(r.MemberSelector,
			metav1validation.LabelSelectorValidationOptions{}, p.Child("memberSelector"))...)
	}
	if r.Change != nil {
		errs = append(errs, r.Change.validate(p.Child("change"))...)
	}
	errs = append(errs, oneOf(string(r.OnGuardFailure), p.Child("onGuardFailure"), string(Hold), string(Fail))...)
	errs = append(errs, oneOf(string(r.OnLocked), p.Child("onLocked"), string(LockWait), string(LockFail))...)
	if d := r.ProgressDeadline; d != nil && d.Duration <= 0 {
		errs = append(errs, field.Invalid(p.Child("progressDeadline"), d.Duration.String(), "must be longer than 0"))
	}
	return append(errs, ValidateGuards(r.Guards, p.Child("guards"))...)
}

func (c *Change) validate(p *field.Path) field.ErrorList {
	errs := c.ChangeValues.validate(p)
	for m, v := range c.PerMember {
		errs = append(errs, v.validate(p.Child("perMember").Key(m))...)
	}
	return errs
}

func (c *ChangeValues) validate(p *field.Path) field.ErrorList {
	var errs field.ErrorList
	for name, image := range c.Images {
		if strings.TrimSpace(image) == "" || strings.ContainsAny(image, " \t\n") {
			errs = append(errs, field.Invalid(p.Child("images").Key(name), image, "must be an image reference without spaces"))
		}
	}
	return errs
}

// maxGuardName is the greatest length of a guard's name, in bytes. In statuses and records a guard of a set is called <set>/<name>.
const maxGuardName = 63

// ValidateGuards says all that is wrong with guards but for their expressions, which pkg/guard compiles.
func ValidateGuards(guards []Guard, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	seen := map[string]bool{}
	for i := range guards {
		at := p.Index(i)
		if seen[guards[i].Name] {
			errs = append(errs, field.Duplicate(at.Child("name"), guards[i].Name))
		}
		seen[guards[i].Name] = true
		errs = append(errs, guards[i].Validate(at)...)
	}
	return errs
}

// Validate says all that is wrong with the guard but for its expression, which pkg/guard compiles.
func (g *Guard) Validate(p *field.Path) field.ErrorList {
	var errs field.ErrorList
	switch {
	case g.Name == "":
		errs = append(errs, field.Required(p.Child("name"), "a guard has a name"))
	case len(g.Name) > maxGuardName:
		errs = append(errs, field.TooLong(p.Child("name"), g.Name, maxGuardName))
	case strings.Contains(g.Name, "/"):
		errs = append(errs, field.Invalid(p.Child("name"), g.Name, `must not have a "/", which stands between a guard set's name and its guard's`))
	}
	if strings.TrimSpace(g.Expr) == "" {
		errs = append(errs, field.Required(p.Child("expr"), "a CEL expression of type bool"))
	}
	errs = append(errs, oneOf(string(g.When), p.Child("when"), string(Before), string(During), string(After))...)
	errs = append(errs, oneOf(string(g.OnError), p.Child("onError"), string(Hold), string(Fail))...)
	errs = append(errs, oneOf(string(g.OnNoData), p.Child("onNoData"), string(Hold), string(Fail))...)
	if d := g.Interval; d != nil && d.Duration < time.Second {
		errs = append(errs, field.Invalid(p.Child("interval"), d.Duration.String(), "must be 1s or longer"))
	}
	errs = append(errs, notNegative(g.For, p.Child("for"))...)
	errs = append(errs, notNegative(g.InitialDelay, p.Child("initialDelay"))...)
	if g.For != nil && g.For.Duration > 0 && g.When != After && g.When != "" {
		errs = append(errs, field.Forbidden(p.Child("for"), "goes with when: After only"))
	}
	if d := g.Deadline; d != nil {
		if d.Duration <= 0 {
			errs = append(errs, field.Invalid(p.Child("deadline"), d.Duration.String(), "must be longer than 0"))
		} else if least := max(lengthOf(g.InitialDelay), g.longestWindow()) + lengthOf(g.For); least >= d.Duration {
			errs = append(errs, field.Invalid(p.Child("deadline"), d.Duration.String(), "must be longer than for and the longer of initialDelay and the metrics' windows together, "+least.String()))
		}
	}
	if g.Limits.Failures < 0 {
		errs = append(errs, field.Invalid(p.Child("limits", "failures"), g.Limits.Failures, "must be 1 or more"))
	}
	errs = append(errs, g.validateMetrics(p)...)
	if g.Limits.MinSamples < 0 {
		errs = append(errs, field.Invalid(p.Child("limits", "minSamples"), g.Limits.MinSamples, "must be 1 or more"))
	}
	if g.Limits.ConsecutiveErrors < 0 {
		errs = append(errs, field.Invalid(p.Child("limits", "consecutiveErrors"), g.Limits.ConsecutiveErrors, "must be 1 or more"))
	}
	return errs
}

// validateCount accepts a number of at least least, or a percentage from 1% to 100%.
func validateCount(v intstr.IntOrString, p *field.Path, least int) field.ErrorList {
	if v.Type == intstr.Int {
		if v.IntValue() < least {
			return field.ErrorList{field.Invalid(p, v.IntValue(), fmt.Sprintf("must be %d or more, or a percentage", least))}
		}
		return nil
	}
	if percentRE.MatchString(v.StrVal) {
		if n, err := strconv.Atoi(strings.TrimSuffix(v.StrVal, "%")); err == nil && n >= 1 && n <= 100 {
			return nil
		}
	}
	return field.ErrorList{field.Invalid(p, v.StrVal, "must be a whole number, or a percentage from 1% to 100%")}
}

// validateName accepts what the API server takes as a name of an object.
func validateName(name string, p *field.Path, what string) field.ErrorList {
	if name == "" {
		return field.ErrorList{field.Required(p, what)}
	}
	var errs field.ErrorList
	for _, why := range validation.IsDNS1123Subdomain(name) {
		errs = append(errs, field.Invalid(p, name, why))
	}
	return errs
}

func validateSets(names []string, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, n := range names {
		errs = append(errs, validateName(n, p.Index(i), "name a GuardSet in the run's namespace")...)
	}
	return errs
}

func validateNames(names []string, p *field.Path, required bool) field.ErrorList {
	var errs field.ErrorList
	if required && len(names) == 0 {
		errs = append(errs, field.Required(p, "name at least one member"))
	}
	seen := map[string]bool{}
	for i, n := range names {
		errs = append(errs, validateName(n, p.Index(i), "name a member")...)
		if seen[n] {
			errs = append(errs, field.Duplicate(p.Index(i), n))
		}
		seen[n] = true
	}
	return errs
}

// validateNamed accepts names of people, whatever they are made of.
func validateNamed(names []string, p *field.Path, what string) field.ErrorList {
	var errs field.ErrorList
	for i, n := range names {
		if strings.TrimSpace(n) == "" {
			errs = append(errs, field.Required(p.Index(i), what))
		}
	}
	return errs
}

func notNegative(d *metav1.Duration, p *field.Path) field.ErrorList {
	if d != nil && d.Duration < 0 {
		return field.ErrorList{field.Invalid(p, d.Duration.String(), "must not be negative")}
	}
	return nil
}

func lengthOf(d *metav1.Duration) time.Duration {
	if d == nil {
		return 0
	}
	return d.Duration
}

func oneOf(v string, p *field.Path, allowed ...string) field.ErrorList {
	if v == "" {
		return nil
	}
	for _, a := range allowed {
		if v == a {
			return nil
		}
	}
	return field.ErrorList{field.NotSupported(p, v, allowed)}
}
