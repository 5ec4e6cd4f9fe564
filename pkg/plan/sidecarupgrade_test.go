package plan_test

import (
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/plan"
)

func TestTheStepsOfASidecarUpgrade(t *testing.T) {
	for _, tc := range []struct {
		name, fleet, order, by string
		want, wrong            string
	}{
		{"one unit after the other, by name", "m1/dcb:5 m1/dca:3", "", "", "m1/dca 3; m1/dcb 5", ""},
		{"in the order given", "m1/dca:3 m1/dcb:5", "dcb dca", "", "m1/dcb 5; m1/dca 3", ""},
		{"so many at a time", "m1/dca:5 m1/dcb:2", "", "2", "m1/dca 2; m1/dca 4; m1/dca 5; m1/dcb 2", ""},
		{"a share at a time, in all members together", "m1/dca:4 m2/dca:10", "", "50%", "m1/dca 2, m2/dca 5; m1/dca 4, m2/dca 10", ""},
		{"a unit that only one member has", "m1/dca:2 m2/dca:2 m2/dcz:1", "dca dcz", "", "m1/dca 2, m2/dca 2; m2/dcz 1", ""},
		{"a unit that came after the stage began goes last", "m1/dca:2 m1/dcn:1", "dca", "", "m1/dca 2; m1/dcn 1", "order: Invalid value: [\"dca\"]: leaves out unit dcn, which has 1 pods in member m1"},
		{"an empty unit need not be named", "m1/dca:2 m1/dcz:0", "dca", "", "m1/dca 2; m1/dcz 0", ""},
		{"a unit that is nowhere is refused", "m1/dca:2", "dca dcq", "", "m1/dca 2; ", "order[1]: Invalid value: \"dcq\": no member has pods"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			spec := &v1alpha1.SidecarUpgradeSpec{Order: strings.Fields(tc.order)}
			if tc.by != "" {
				by := intstr.Parse(tc.by)
				spec.By = &by
			}
			units := fleetOf(t, tc.fleet)
			var steps []string
			for _, s := range plan.SidecarUpgrade(units, spec) {
				var wants []string
				for _, w := range s.Wants {
					wants = append(wants, fmt.Sprintf("%s/%s %d", w.Member, w.Unit, w.Updated))
				}
				steps = append(steps, strings.Join(wants, ", "))
			}
			if got := strings.Join(steps, "; "); got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
			errs := plan.CheckSidecarUpgrade(units, spec, field.NewPath("spec"))
			if (len(errs) > 0) != (tc.wrong != "") || len(errs) > 0 && !strings.Contains(errs[0].Error(), tc.wrong) {
				t.Errorf("wrong: %v, want %q", errs, tc.wrong)
			}
		})
	}
}
