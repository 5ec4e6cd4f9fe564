package policy_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/policy"
)

var (
	shop = policy.Object{Name: "shop", Labels: map[string]string{"team": "web"}}
	prod = policy.Object{Name: "p1", Labels: map[string]string{"ring": "prod"}}
	dev  = policy.Object{Name: "d1", Labels: map[string]string{"ring": "dev"}}
)

func named(name string, change func(*v1alpha1.ReleasePolicySpec)) v1alpha1.ReleasePolicy {
	p := v1alpha1.ReleasePolicy{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if change != nil {
		change(&p.Spec)
	}
	return p
}

func byLabel(key string, values ...string) v1alpha1.Selection {
	return v1alpha1.Selection{Selector: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
		{Key: key, Operator: metav1.LabelSelectorOpIn, Values: values}}}}
}

var illegible = v1alpha1.Selection{Selector: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "ring", Operator: "Among"}}}}

func TestWhichMembersAreGiven(t *testing.T) {
	bake := func(s *v1alpha1.ReleasePolicySpec) { s.Require.MinBake = &metav1.Duration{Duration: time.Minute} }
	for name, tc := range map[string]struct {
		policies []v1alpha1.ReleasePolicy
		member   policy.Object
		given    []string
		refusal  string
	}{
		"none where there is no policy":                      {member: prod, refusal: `no ReleasePolicy gives member "p1" to namespace "shop"`},
		"all by a policy that selects nothing in particular": {policies: []v1alpha1.ReleasePolicy{named("open", nil)}, member: prod, given: []string{"open"}},
		"those named": {policies: []v1alpha1.ReleasePolicy{named("a", func(s *v1alpha1.ReleasePolicySpec) { s.Members.Names = []string{"p1"} })}, member: prod, given: []string{"a"}},
		"not those that are not named": {policies: []v1alpha1.ReleasePolicy{named("a", func(s *v1alpha1.ReleasePolicySpec) { s.Members.Names = []string{"p1"} })}, member: dev,
			refusal: `no ReleasePolicy gives member "d1"`},
		"those whose labels match": {policies: []v1alpha1.ReleasePolicy{named("a", func(s *v1alpha1.ReleasePolicySpec) { s.Members = byLabel("ring", "prod") })}, member: prod, given: []string{"a"}},
		"those named beside those whose labels match": {policies: []v1alpha1.ReleasePolicy{named("a", func(s *v1alpha1.ReleasePolicySpec) {
			s.Members = byLabel("ring", "prod")
			s.Members.Names = []string{"d1"}
		})}, member: dev, given: []string{"a"}},
		"to a namespace by its labels": {policies: []v1alpha1.ReleasePolicy{named("a", func(s *v1alpha1.ReleasePolicySpec) { s.Namespaces = byLabel("team", "web") })}, member: prod, given: []string{"a"}},
		"not to another namespace": {policies: []v1alpha1.ReleasePolicy{named("a", func(s *v1alpha1.ReleasePolicySpec) { s.Namespaces.Names = []string{"shop2"} })}, member: prod,
			refusal: "no ReleasePolicy gives"},
		"a selector without requirements selects all": {policies: []v1alpha1.ReleasePolicy{named("a", func(s *v1alpha1.ReleasePolicySpec) { s.Members.Selector = &metav1.LabelSelector{} })}, member: dev, given: []string{"a"}},
		"by any policy, in the order of their names":  {policies: []v1alpha1.ReleasePolicy{named("b", nil), named("a", nil)}, member: prod, given: []string{"a", "b"}},
		"not by a policy whose members cannot be read": {policies: []v1alpha1.ReleasePolicy{named("a", func(s *v1alpha1.ReleasePolicySpec) { s.Members = illegible })}, member: prod,
			refusal: "no ReleasePolicy gives"},
		"not by a policy whose namespaces cannot be read": {policies: []v1alpha1.ReleasePolicy{named("a", func(s *v1alpha1.ReleasePolicySpec) { s.Namespaces = illegible })}, member: prod,
			refusal: "no ReleasePolicy gives"},
		"a policy that cannot be read and demands nothing is in nobody's way": {policies: []v1alpha1.ReleasePolicy{named("open", nil), named("a", func(s *v1alpha1.ReleasePolicySpec) { s.Members = illegible })},
			member: prod, given: []string{"open"}},
		"nothing moves where it is not known what is demanded": {policies: []v1alpha1.ReleasePolicy{named("open", nil), named("a", func(s *v1alpha1.ReleasePolicySpec) {
			bake(s)
			s.Members = illegible
		})}, member: prod, given: []string{"open"}, refusal: `what ReleasePolicy "a" demands of namespace "shop" in member "p1" cannot be read`},
		"a demand that cannot be read stops the members it is for": {policies: []v1alpha1.ReleasePolicy{named("open", nil), named("a", func(s *v1alpha1.ReleasePolicySpec) {
			s.Members = byLabel("ring", "prod")
			s.Require.Windows = []v1alpha1.TimeWindow{{Schedule: "at nine"}}
		})}, member: prod, given: []string{"open"}, refusal: "spec.require.windows[0].schedule"},
		"and no other": {policies: []v1alpha1.ReleasePolicy{named("open", nil), named("a", func(s *v1alpha1.ReleasePolicySpec) {
			s.Members = byLabel("ring", "prod")
			s.Require.Windows = []v1alpha1.TimeWindow{{Schedule: "at nine"}}
		})}, member: dev, given: []string{"open"}},
	} {
		t.Run(name, func(t *testing.T) {
			terms := policy.For(tc.policies, shop).Member(tc.member)
			if !slices.Equal(terms.Given, tc.given) {
				t.Errorf("given by %v, want %v", terms.Given, tc.given)
			}
			why := terms.Refusal("shop")
			if (why == "") != (tc.refusal == "") || !strings.Contains(why, tc.refusal) {
				t.Errorf("refused with %q, want %q", why, tc.refusal)
			}
		})
	}
}

func TestPoliciesThatCannotBeReadAreReported(t *testing.T) {
	book := policy.For([]v1alpha1.ReleasePolicy{named("open", nil), named("a", func(s *v1alpha1.ReleasePolicySpec) {
		s.Namespaces.Names = []string{"elsewhere"}
		s.Members = illegible
	})}, shop)
	if got := book.Broken(); len(got) != 1 || !strings.Contains(got["a"].Error(), "spec.members.selector") {
		t.Errorf("reported: %v", got)
	}
}

func TestWhenARunMustBeForeseen(t *testing.T) {
	for name, tc := range map[string]struct {
		policies []v1alpha1.ReleasePolicy
		want     bool
	}{
		"not where everything is given and nothing demanded": {[]v1alpha1.ReleasePolicy{named("open", nil), named("a", func(s *v1alpha1.ReleasePolicySpec) { s.Members.Names = []string{"p1"} })}, false},
		"where nothing is given":                             {nil, true},
		"where some members are":                             {[]v1alpha1.ReleasePolicy{named("a", func(s *v1alpha1.ReleasePolicySpec) { s.Members.Names = []string{"p1"} })}, true},
		"where a bake is demanded": {[]v1alpha1.ReleasePolicy{named("open", nil), named("a", func(s *v1alpha1.ReleasePolicySpec) {
			s.Require.MinBake = &metav1.Duration{Duration: time.Second}
		})}, true},
		"where a policy cannot be read": {[]v1alpha1.ReleasePolicy{named("open", nil), named("a", func(s *v1alpha1.ReleasePolicySpec) { s.Members = illegible })}, true},
		"not for what is demanded of others": {[]v1alpha1.ReleasePolicy{named("open", nil), named("a", func(s *v1alpha1.ReleasePolicySpec) {
			s.Namespaces.Names = []string{"elsewhere"}
			s.Require.MinBake = &metav1.Duration{Duration: time.Second}
		})}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := policy.For(tc.policies, shop).Foresees(); got != tc.want {
				t.Errorf("%t, want %t", got, tc.want)
			}
		})
	}
}

func TestAllDemandsOfAllPoliciesApply(t *testing.T) {
	sre := v1alpha1.Approvers{Groups: []string{"sre"}}
	health := v1alpha1.GuardSetRef{Namespace: "platform", Name: "health"}
	book := policy.For([]v1alpha1.ReleasePolicy{
		named("a", func(s *v1alpha1.ReleasePolicySpec) {
			s.Require.GuardSets = []v1alpha1.GuardSetRef{health}
			s.Require.MinBake = &metav1.Duration{Duration: time.Minute}
		}),
		named("b", func(s *v1alpha1.ReleasePolicySpec) {
			s.Members = byLabel("ring", "prod")
			s.Require.GuardSets = []v1alpha1.GuardSetRef{health, {Namespace: "platform", Name: "errors"}}
			s.Require.MinBake = &metav1.Duration{Duration: time.Hour}
			s.Require.Confirms = []v1alpha1.DemandedConfirm{{Approvers: sre}, {Approvers: sre, Members: v1alpha1.Selection{Names: []string{"p2"}}}}
			s.Require.Windows = []v1alpha1.TimeWindow{{Schedule: "0 9 * * *", Duration: metav1.Duration{Duration: time.Hour}}}
		}),
		named("c", func(s *v1alpha1.ReleasePolicySpec) {
			s.Namespaces.Names = []string{"elsewhere"}
			s.Require.Confirms = []v1alpha1.DemandedConfirm{{Approvers: sre}}
		}),
	}, shop)
	in := book.Member(prod)
	if got := fmt.Sprint(in.GuardSets); got != "[{{platform health} [a b]} {{platform errors} [b]}]" {
		t.Errorf("guard sets %s", got)
	}
	if len(in.Confirms) != 1 || in.Confirms[0].Policy != "b" || in.Confirms[0].Required != 1 {
		t.Errorf("confirms %+v", in.Confirms)
	}
	if in.Bake != time.Hour || in.BakePolicy != "b" {
		t.Errorf("bake %s by %s", in.Bake, in.BakePolicy)
	}
	if len(in.Windows) != 1 || in.Windows[0].Policy != "b" {
		t.Errorf("windows %+v", in.Windows)
	}
	if in = book.Member(dev); len(in.Confirms)+len(in.Windows) != 0 || in.Bake != time.Minute || len(in.GuardSets) != 1 {
		t.Errorf("in dev: %+v", in)
	}
}

func TestWhoIsBelieved(t *testing.T) {
	const ci = "system:serviceaccount:ci:releaser"
	for name, tc := range map[string]struct {
		policy v1alpha1.ReleasePolicy
		user   string
		want   string
	}{
		"an account that is named": {named("ci", func(s *v1alpha1.ReleasePolicySpec) { s.OnBehalfOf = []string{ci} }), ci, "ci"},
		"nobody else":              {named("ci", func(s *v1alpha1.ReleasePolicySpec) { s.OnBehalfOf = []string{ci} }), "mallory", ""},
		"nobody who is not known":  {named("ci", func(s *v1alpha1.ReleasePolicySpec) { s.OnBehalfOf = []string{ci} }), "", ""},
		"not for another namespace": {named("ci", func(s *v1alpha1.ReleasePolicySpec) {
			s.OnBehalfOf, s.Namespaces.Names = []string{ci}, []string{"other"}
		}), ci, ""},
		"not by a policy that cannot be read":      {named("ci", func(s *v1alpha1.ReleasePolicySpec) { s.OnBehalfOf, s.Members = []string{ci}, illegible }), ci, ""},
		"not where no policy names anybody at all": {named("open", nil), ci, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := policy.For([]v1alpha1.ReleasePolicy{tc.policy}, shop).Believes(tc.user); got != tc.want {
				t.Errorf("believed by %q, want %q", got, tc.want)
			}
		})
	}
}

// TestMorePoliciesNeverDemandLess: adding a policy never takes a demand away, and never gives back what another one withholds because it cannot be
// read; the order of policies does not matter.
func TestMorePoliciesNeverDemandLess(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	selections := []v1alpha1.Selection{{}, illegible, byLabel("ring", "prod"), byLabel("ring", "dev"), {Names: []string{"p1", "shop"}}, byLabel("team", "web"), {Names: []string{"x"}}}
	random := func(name string) v1alpha1.ReleasePolicy {
		return named(name, func(s *v1alpha1.ReleasePolicySpec) {
			s.Namespaces, s.Members = selections[r.IntN(len(selections))], selections[r.IntN(len(selections))]
			if r.IntN(2) == 0 {
				s.Require.MinBake = &metav1.Duration{Duration: time.Duration(r.IntN(5)) * time.Minute}
			}
			for range r.IntN(3) {
				s.Require.Confirms = append(s.Require.Confirms, v1alpha1.DemandedConfirm{Approvers: v1alpha1.Approvers{Groups: []string{name}}, Members: selections[r.IntN(len(selections))]})
			}
		})
	}
	for range 2000 {
		var ps []v1alpha1.ReleasePolicy
		for i := range 1 + r.IntN(4) {
			ps = append(ps, random(fmt.Sprintf("p%d", i)))
		}
		fewer := policy.For(ps[:len(ps)-1], shop).Member(prod)
		all := policy.For(ps, shop).Member(prod)
		switch {
		case all.Bake < fewer.Bake, len(all.Confirms) < len(fewer.Confirms), len(all.Unread) < len(fewer.Unread):
			t.Fatalf("%+v demand less than all but the last of them", ps)
		case len(all.Given) < len(fewer.Given):
			t.Fatalf("%+v give less than all but the last of them", ps)
		}
		slices.Reverse(ps)
		if again := policy.For(ps, shop).Member(prod); fmt.Sprintf("%+v", again) != fmt.Sprintf("%+v", all) {
			t.Fatalf("%+v say another thing in another order", ps)
		}
	}
}
