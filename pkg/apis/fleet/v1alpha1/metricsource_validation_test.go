package v1alpha1

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func TestAMetricSourceSaysWhatIsWrongWithIt(t *testing.T) {
	key := func(name string) *SecretKey { return &SecretKey{Name: name, Key: "k"} }
	for _, tc := range []struct {
		name   string
		change func(*MetricSourceSpec)
		want   string
	}{
		{"nothing", func(*MetricSourceSpec) {}, ""},
		{"nothing with everything given", func(s *MetricSourceSpec) {
			s.Prometheus = &Prometheus{
				Address: "https://prom.example.com/tenant/", BasicAuth: &BasicAuth{Username: "me", Password: *key("prom")}, TLS: &TLS{CA: key("ca"), Certificate: key("c"), PrivateKey: key("c")},
				Matchers: map[string]string{"cluster": "$(member.name)", "a": "x-$(namespace)-$(member.labels.example.com/ring)"},
			}
			s.Members = []MemberSource{{Names: []string{"fra"}, Prometheus: s.Prometheus}, {Selector: &metav1.LabelSelector{}, Prometheus: s.Prometheus}}
		}, ""},
		{"no server", func(s *MetricSourceSpec) { s.Prometheus = nil }, "spec.prometheus: Required value"},
		{"an address without scheme", func(s *MetricSourceSpec) { s.Prometheus.Address = "prom:9090" }, "spec.prometheus.address: Invalid value: must be a URL"},
		{"an address without host", func(s *MetricSourceSpec) { s.Prometheus.Address = "http://:9090" }, "spec.prometheus.address"},
		{"credentials in the address", func(s *MetricSourceSpec) { s.Prometheus.Address = "http://me:s3cret@prom" }, "spec.prometheus.address"},
		{"credentials in an address that is none", func(s *MetricSourceSpec) { s.Prometheus.Address = "http://me:s3cret@%zz" }, "spec.prometheus.address"},
		{"a token in the address", func(s *MetricSourceSpec) { s.Prometheus.Address = "http://prom?token=s3cret" }, "spec.prometheus.address"},
		{"two ways to say who asks", func(s *MetricSourceSpec) {
			s.Prometheus.BearerToken, s.Prometheus.BasicAuth = key("a"), &BasicAuth{Username: "me", Password: *key("a")}
		}, "spec.prometheus.basicAuth: Forbidden"},
		{"a user that ends early", func(s *MetricSourceSpec) {
			s.Prometheus.BasicAuth = &BasicAuth{Username: "a:b", Password: *key("a")}
		}, "spec.prometheus.basicAuth.username"},
		{"a Secret that can have no such name", func(s *MetricSourceSpec) { s.Prometheus.BearerToken = key("../x") }, "spec.prometheus.bearerToken.name"},
		{"a key that can have no such name", func(s *MetricSourceSpec) { s.Prometheus.BearerToken = &SecretKey{Name: "a", Key: "a/b"} }, "spec.prometheus.bearerToken.key"},
		{"a certificate without key", func(s *MetricSourceSpec) { s.Prometheus.TLS = &TLS{Certificate: key("a")} }, "spec.prometheus.tls: Required value: certificate and privateKey go together"},
		{"a matcher of the metric's name", func(s *MetricSourceSpec) { s.Prometheus.Matchers = map[string]string{"__name__": "up"} }, "spec.prometheus.matchers[__name__]"},
		{"a matcher of no label", func(s *MetricSourceSpec) { s.Prometheus.Matchers = map[string]string{"a-b": "up"} }, "spec.prometheus.matchers[a-b]"},
		{"a reference that is not known", func(s *MetricSourceSpec) { s.Prometheus.Matchers = map[string]string{"a": "$(member.nam)"} }, "spec.prometheus.matchers[a]"},
		{"a reference without end", func(s *MetricSourceSpec) { s.Prometheus.Matchers = map[string]string{"a": "$(namespace"} }, "spec.prometheus.matchers[a]"},
		{"a reference to no label", func(s *MetricSourceSpec) { s.Prometheus.Matchers = map[string]string{"a": "$(member.labels.)"} }, "spec.prometheus.matchers[a]"},
		{"a timeout that is too short", func(s *MetricSourceSpec) { s.Timeout = &metav1.Duration{Duration: time.Millisecond} }, "spec.timeout"},
		{"a timeout that is too long", func(s *MetricSourceSpec) { s.Timeout = &metav1.Duration{Duration: time.Minute} }, "spec.timeout"},
		{"a negative lag", func(s *MetricSourceSpec) { s.Lag = &metav1.Duration{Duration: -time.Second} }, "spec.lag"},
		{"members that nothing chooses", func(s *MetricSourceSpec) { s.Members = []MemberSource{{Prometheus: s.Prometheus}} }, "spec.members[0].names: Required value"},
		{"members without a server", func(s *MetricSourceSpec) { s.Members = []MemberSource{{Names: []string{"fra"}}} }, "spec.members[0].prometheus: Required value"},
		{"a member that can have no such name", func(s *MetricSourceSpec) {
			s.Members = []MemberSource{{Names: []string{"Fra"}, Prometheus: s.Prometheus}}
		}, "spec.members[0].names[0]"},
		{"a selector that is none", func(s *MetricSourceSpec) {
			s.Members = []MemberSource{{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"a b": "c"}}, Prometheus: s.Prometheus}}
		}, "spec.members[0].selector"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := &MetricSourceSpec{Prometheus: &Prometheus{Address: "http://prom:9090"}}
			tc.change(s)
			s.SetDefaults()
			errs := s.Validate(field.NewPath("spec"))
			if tc.want == "" {
				if len(errs) > 0 {
					t.Error(errs)
				}
				return
			}
			if len(errs) != 1 || !strings.HasPrefix(errs[0].Error(), tc.want) || strings.Contains(errs[0].Error(), "s3cret") {
				t.Errorf("got %v, want %s", errs, tc.want)
			}
		})
	}
}

func TestWhatAMetricSourceDoesNotSay(t *testing.T) {
	s := &MetricSourceSpec{}
	s.SetDefaults()
	if s.Timeout.Duration != 5*time.Second || s.Lag.Duration != 0 {
		t.Errorf("timeout %s, lag %s", s.Timeout.Duration, s.Lag.Duration)
	}
}
