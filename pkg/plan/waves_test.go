package plan_test

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/plan"
)

func named(members ...string) v1alpha1.Wave { return v1alpha1.Wave{Members: members} }

func ring(value string) v1alpha1.Wave {
	return v1alpha1.Wave{MemberSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"ring": value}}}
}

func everybody() v1alpha1.Wave { return v1alpha1.Wave{MemberSelector: &metav1.LabelSelector{}} }

func TestMembersOfWaves(t *testing.T) {
	fleet := []plan.Candidate{
		{Name: "e", Importance: 1, Labels: map[string]string{"ring": "2", "order": "10"}},
		{Name: "a", Importance: 5, Labels: map[string]string{"ring": "1", "order": "9"}},
		{Name: "d", Importance: 5, Labels: map[string]string{"ring": "2", "order": "x"}},
		{Name: "b", Importance: 2, Labels: map[string]string{"ring": "1"}},
		{Name: "c", Importance: 9, Labels: map[string]string{"ring": "1", "order": "9.5"}},
	}
	for name, tc := range map[string]struct {
		waves []v1alpha1.Wave
		by    *v1alpha1.OrderBy
		want  string
		wrong string
	}{
		"members are taken as they are named":                              {waves: []v1alpha1.Wave{named("d", "a"), named("b")}, want: "d a|b"},
		"selected members go by name":                                      {waves: []v1alpha1.Wave{ring("2"), ring("1")}, want: "d e|a b c"},
		"those named come before those selected":                           {waves: []v1alpha1.Wave{{Members: []string{"e"}, MemberSelector: ring("1").MemberSelector}}, want: "e a b c"},
		"a member goes with the first wave that has it":                    {waves: []v1alpha1.Wave{named("c"), ring("1"), everybody()}, want: "c|a b|d e"},
		"a member that is named twice in a wave goes once":                 {waves: []v1alpha1.Wave{named("c", "c")}, want: "c"},
		"a wave whose members all went before is empty":                    {waves: []v1alpha1.Wave{everybody(), ring("1")}, want: "a b c d e|"},
		"the least important go first":                                     {waves: []v1alpha1.Wave{everybody()}, by: &v1alpha1.OrderBy{Importance: v1alpha1.Ascending}, want: "e b a d c"},
		"the most important go first, equal ones by name":                  {waves: []v1alpha1.Wave{everybody()}, by: &v1alpha1.OrderBy{Importance: v1alpha1.Descending}, want: "c a d b e"},
		"numbers in a label go as numbers, then words, then those without": {waves: []v1alpha1.Wave{everybody()}, by: &v1alpha1.OrderBy{Label: "order"}, want: "a c e d b"},
		"an order is within each wave":                                     {waves: []v1alpha1.Wave{ring("2"), ring("1")}, by: &v1alpha1.OrderBy{Importance: v1alpha1.Ascending}, want: "e d|b a c"},
		"an order holds for those named as well":                           {waves: []v1alpha1.Wave{named("a", "e")}, by: &v1alpha1.OrderBy{Importance: v1alpha1.Ascending}, want: "e a"},
		"a member that is not there is a mistake":                          {waves: []v1alpha1.Wave{named("a"), named("b", "zz")}, wrong: "spec.waves[1].members[1]"},
		"a selector that selects nobody is a mistake":                      {waves: []v1alpha1.Wave{named("a"), ring("9")}, wrong: "spec.waves[1].memberSelector"},
	} {
		t.Run(name, func(t *testing.T) {
			got, errs := plan.Waves(&v1alpha1.ClusterHopSpec{Waves: tc.waves, OrderBy: tc.by}, fleet, field.NewPath("spec"))
			if tc.wrong != "" {
				if len(errs) != 1 || errs[0].Field != tc.wrong {
					t.Fatalf("mistakes %v; want one at %s", errs, tc.wrong)
				}
				return
			}
			if len(errs) > 0 {
				t.Fatal(errs)
			}
			var all []string
			for _, w := range got {
				all = append(all, strings.Join(w, " "))
			}
			if s := strings.Join(all, "|"); s != tc.want {
				t.Errorf("got %s; want %s", s, tc.want)
			}
		})
	}
	t.Run("more members than a hop carries are a mistake", func(t *testing.T) {
		many := make([]plan.Candidate, plan.MaxCarried+1)
		for i := range many {
			many[i].Name = strings.Repeat("m", i+1)
		}
		if _, errs := plan.Waves(&v1alpha1.ClusterHopSpec{Waves: []v1alpha1.Wave{everybody()}}, many, field.NewPath("spec")); len(errs) != 1 {
			t.Errorf("mistakes %v; want one", errs)
		}
	})
}

func TestHowManyMayFail(t *testing.T) {
	for name, tc := range map[string]struct {
		v     intstr.IntOrString
		total int
		want  int
	}{
		"a number is that many":                          {v: intstr.FromInt32(3), total: 10, want: 3},
		"a percentage is rounded down":                   {v: intstr.FromString("10%"), total: 19, want: 1},
		"a percentage of few may be nobody":              {v: intstr.FromString("10%"), total: 9, want: 0},
		"everybody may fail":                             {v: intstr.FromString("100%"), total: 7, want: 7},
		"a third of three hundred is a hundred less one": {v: intstr.FromString("33%"), total: 300, want: 99},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := plan.Failures(&tc.v, tc.total); err != nil || got != tc.want {
				t.Errorf("got %d, %v; want %d", got, err, tc.want)
			}
		})
	}
	if bad := intstr.FromString("some"); true {
		if _, err := plan.Failures(&bad, 3); err == nil {
			t.Error("a word is no number of members")
		}
	}
}
