package policy_test

import (
	"strings"
	"testing"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/policy"
)

func TestWhichSidecarSetsAreGiven(t *testing.T) {
	gives := func(names ...string) v1alpha1.ReleasePolicy {
		return named("mesh", func(s *v1alpha1.ReleasePolicySpec) { s.SidecarSets = names })
	}
	onlyDev := named("dev", func(s *v1alpha1.ReleasePolicySpec) { s.SidecarSets, s.Members.Names = []string{"*"}, []string{"d1"} })
	broken := named("broken", func(s *v1alpha1.ReleasePolicySpec) { s.SidecarSets, s.Members = []string{"*"}, illegible })
	for name, tc := range map[string]struct {
		policies []v1alpha1.ReleasePolicy
		set      string
		refusal  string
	}{
		"none by a policy that gives everything else":       {[]v1alpha1.ReleasePolicy{named("open", nil)}, "mesh", `no ReleasePolicy gives SidecarSet "mesh" in member "p1" to namespace "shop" (spec.sidecarSets)`},
		"the one that is named":                             {[]v1alpha1.ReleasePolicy{gives("mesh", "logs")}, "mesh", ""},
		"not another":                                       {[]v1alpha1.ReleasePolicy{gives("logs")}, "mesh", `SidecarSet "mesh"`},
		"all by a star":                                     {[]v1alpha1.ReleasePolicy{gives("*")}, "mesh", ""},
		"not in a member that the policy does not speak of": {[]v1alpha1.ReleasePolicy{named("open", nil), onlyDev}, "mesh", `SidecarSet "mesh"`},
		"not by a policy that cannot be read":               {[]v1alpha1.ReleasePolicy{named("open", nil), broken}, "mesh", `SidecarSet "mesh"`},
		"several by labels only where all are given":        {[]v1alpha1.ReleasePolicy{gives("mesh")}, "", "name one in workload.name"},
		"several by labels where all are given":             {[]v1alpha1.ReleasePolicy{gives("*")}, "", ""},
		"none of the other namespace's, though it is the same": {[]v1alpha1.ReleasePolicy{named("x", func(s *v1alpha1.ReleasePolicySpec) {
			s.SidecarSets, s.Namespaces.Names = []string{"*"}, []string{"platform"}
		})}, "mesh", `SidecarSet "mesh"`},
	} {
		t.Run(name, func(t *testing.T) {
			terms := policy.For(tc.policies, shop).Member(prod)
			got := terms.RefusesSidecarSet(tc.set, "shop")
			if (got == "") != (tc.refusal == "") || !strings.Contains(got, tc.refusal) {
				t.Errorf("got %q, want %q", got, tc.refusal)
			}
		})
	}
}
