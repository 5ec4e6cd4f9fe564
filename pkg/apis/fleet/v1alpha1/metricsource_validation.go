package v1alpha1

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// DefaultMetricTimeout is how long a source is waited for where its spec does not say.
const DefaultMetricTimeout = 5 * time.Second

// Bounds of a MetricSource.
const (
	leastTimeout = time.Second
	mostTimeout  = 30 * time.Second
	mostLag      = time.Hour
	mostMatchers = 8
)

// metricName is what the name of a series is as a label.
const metricName = "__name__"

var labelRE = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]{0,127}$`)

// SetDefaults fills in what is empty.
func (s *MetricSourceSpec) SetDefaults() {
	if s.Timeout == nil {
		s.Timeout = &metav1.Duration{Duration: DefaultMetricTimeout}
	}
	if s.Lag == nil {
		s.Lag = &metav1.Duration{}
	}
}

// Validate says all that is wrong with the spec by itself. Whether the server answers is in the status.
func (s *MetricSourceSpec) Validate(p *field.Path) field.ErrorList {
	var errs field.ErrorList
	if s.Prometheus == nil {
		errs = append(errs, field.Required(p.Child("prometheus"), "say where the numbers are asked for"))
	} else {
		errs = append(errs, s.Prometheus.validate(p.Child("prometheus"))...)
	}
	if t := s.Timeout; t != nil && (t.Duration < leastTimeout || t.Duration > mostTimeout) {
		errs = append(errs, field.Invalid(p.Child("timeout"), t.Duration.String(), "must be from 1s to 30s"))
	}
	if l := s.Lag; l != nil && (l.Duration < 0 || l.Duration > mostLag) {
		errs = append(errs, field.Invalid(p.Child("lag"), l.Duration.String(), "must be from 0s to 1h"))
	}
	for i := range s.Members {
		errs = append(errs, s.Members[i].validate(p.Child("members").Index(i))...)
	}
	return errs
}

func (m *MemberSource) validate(p *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(m.Names) == 0 && m.Selector == nil {
		errs = append(errs, field.Required(p.Child("names"), "name members, or select them by selector"))
	}
	for i, n := range m.Names {
		for _, why := range validation.IsDNS1123Subdomain(n) {
			errs = append(errs, field.Invalid(p.Child("names").Index(i), n, why))
		}
	}
	if m.Selector != nil {
		errs = append(errs, metav1validation.ValidateLabelSelector(m.Selector, metav1validation.LabelSelectorValidationOptions{}, p.Child("selector"))...)
	}
	if m.Prometheus == nil {
		return append(errs, field.Required(p.Child("prometheus"), "say where the numbers of these members are asked for"))
	}
	return append(errs, m.Prometheus.validate(p.Child("prometheus"))...)
}

func (s *Prometheus) validate(p *field.Path) field.ErrorList {
	errs := validateAddress(s.Address, p.Child("address"))
	if s.BearerToken != nil && s.BasicAuth != nil {
		errs = append(errs, field.Forbidden(p.Child("basicAuth"), "bearerToken and basicAuth exclude each other"))
	}
	errs = append(errs, s.BearerToken.validate(p.Child("bearerToken"))...)
	if b := s.BasicAuth; b != nil {
		if b.Username == "" || strings.Contains(b.Username, ":") {
			errs = append(errs, field.Invalid(p.Child("basicAuth", "username"), b.Username, `must be a name without ":"`))
		}
		errs = append(errs, b.Password.validate(p.Child("basicAuth", "password"))...)
	}
	if t := s.TLS; t != nil {
		at := p.Child("tls")
		if (t.Certificate == nil) != (t.PrivateKey == nil) {
			errs = append(errs, field.Required(at, "certificate and privateKey go together"))
		}
		errs = append(errs, t.CA.validate(at.Child("ca"))...)
		errs = append(errs, t.Certificate.validate(at.Child("certificate"))...)
		errs = append(errs, t.PrivateKey.validate(at.Child("privateKey"))...)
	}
	return append(errs, validateMatchers(s.Matchers, p.Child("matchers"))...)
}

// validateAddress never shows what is refused: it may have credentials in it.
func validateAddress(address string, p *field.Path) field.ErrorList {
	const shape = "must be a URL such as http://prometheus.example.com:9090, without user, query and fragment"
	u, err := url.Parse(address)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" || u.User != nil || strings.ContainsAny(address, "?#@ ") {
		return field.ErrorList{field.Invalid(p, field.OmitValueType{}, shape)}
	}
	return nil
}

func (k *SecretKey) validate(p *field.Path) field.ErrorList {
	if k == nil {
		return nil
	}
	var errs field.ErrorList
	for _, why := range validation.IsDNS1123Subdomain(k.Name) {
		errs = append(errs, field.Invalid(p.Child("name"), k.Name, why))
	}
	for _, why := range validation.IsConfigMapKey(k.Key) {
		errs = append(errs, field.Invalid(p.Child("key"), k.Key, why))
	}
	return errs
}

func validateMatchers(matchers map[string]string, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(matchers) > mostMatchers {
		errs = append(errs, field.TooMany(p, len(matchers), mostMatchers))
	}
	for name, value := range matchers {
		at := p.Key(name)
		switch {
		case name == metricName:
			errs = append(errs, field.Invalid(at, name, "would let queries see one metric only; bound them by other labels"))
		case !labelRE.MatchString(name):
			errs = append(errs, field.Invalid(at, name, "must be the name of a label"))
		}
		errs = append(errs, validateReferences(value, at)...)
	}
	slices.SortFunc(errs, func(a, b *field.Error) int { return strings.Compare(a.Field, b.Field) })
	return errs
}

func validateReferences(value string, p *field.Path) field.ErrorList {
	for rest := value; ; {
		_, after, found := strings.Cut(rest, "$(")
		if !found {
			return nil
		}
		ref, behind, closed := strings.Cut(after, ")")
		key, ofLabel := strings.CutPrefix(ref, "member.labels.")
		if !closed || (ref != "member.name" && ref != "namespace" && (!ofLabel || key == "")) {
			return field.ErrorList{field.Invalid(p, value, "can refer to $(member.name), $(member.labels.KEY) and $(namespace) only")}
		}
		rest = behind
	}
}
