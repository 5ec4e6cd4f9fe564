package stage_test

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/tasks/canary"
)

func TestDemandedGuardsAreThePlatformsAndAreJudgedWhereTheyAreDemanded(t *testing.T) {
	const prodHealth = `{members: {selector: {matchLabels: {ring: prod}}}, require: {guardSets: [{namespace: platform, name: health}]}}`
	set := func(expr string) *v1alpha1.GuardSet {
		return &v1alpha1.GuardSet{ObjectMeta: metav1.ObjectMeta{Name: "health", Namespace: "platform"}, Spec: v1alpha1.GuardSetSpec{Guards: []v1alpha1.Guard{{Name: "ok", Expr: expr}}}}
	}
	const both = `{"target":"web","members":["p1","d1"],"pods":1,"change":{"images":{"app":"shop/web:v2"}}}`
	policies := map[string]string{"dev": devOnly, "prod": prodHealth}
	t.Run("each in its members", func(t *testing.T) {
		s := guarded(t, policies)
		s.store(set(`updated.all(p, p.ready)`))
		// The namespace's own set of the same name is another one.
		s.store(&v1alpha1.GuardSet{ObjectMeta: metav1.ObjectMeta{Name: "health", Namespace: "shop"}, Spec: v1alpha1.GuardSetSpec{Guards: []v1alpha1.Guard{{Name: "ok", Expr: "true"}}}})
		v := s.sail(canary.Task{}, s.pipelineRun("web-1", "x"), "x", strings.Replace(both, `"pods":1`, `"pods":1,"guardSets":["health"]`, 1))
		v.until("Succeeded")
		var judged []string
		for _, g := range v.status().Guards {
			judged = append(judged, g.Name+"@"+g.Member)
		}
		if got := strings.Join(judged, " "); got != "policy/prod/health/ok@p1 health/ok@p1 health/ok@d1" && got != "health/ok@p1 health/ok@d1 policy/prod/health/ok@p1" {
			t.Errorf("judged were %s", got)
		}
	})
	t.Run("and stop the stage", func(t *testing.T) {
		s := guarded(t, policies)
		g := set(`false`)
		g.Spec.Guards[0].When = v1alpha1.Before
		s.store(g)
		v := s.sail(canary.Task{}, s.pipelineRun("web-1", "x"), "x", both)
		c := v.until("GuardFailed").Status.GetCondition("Succeeded")
		if !strings.Contains(c.Message, "policy/prod/health/ok") {
			t.Errorf("the failure does not name the guard: %s", c.Message)
		}
	})
	t.Run("one that is not there refuses", func(t *testing.T) {
		s := guarded(t, policies)
		why := s.sail(canary.Task{}, s.pipelineRun("web-1", "x"), "x", both).refused()
		if !strings.Contains(why, `ReleasePolicy "prod" demands GuardSet platform/health, which is not there`) {
			t.Errorf("%q", why)
		}
	})
	t.Run("one that hangs on what the run says refuses", func(t *testing.T) {
		s := guarded(t, policies)
		s.store(set(`params.strict != "yes"`))
		why := s.sail(canary.Task{}, s.pipelineRun("web-1", "x"), "x", both, with(map[string]string{"strict": "no"})).refused()
		if !strings.Contains(why, "in which something is wrong that those who keep it must mend") {
			t.Errorf("%q", why)
		}
	})
	t.Run("nor does one hear of params by another way", func(t *testing.T) {
		s := guarded(t, policies)
		g := set(`size(params) == 0`)
		g.Spec.Guards[0].When = v1alpha1.Before
		s.store(g)
		s.sail(canary.Task{}, s.pipelineRun("web-1", "x"), "x", both, with(map[string]string{"strict": "no"})).until("Succeeded")
	})
	t.Run("names stay short", func(t *testing.T) {
		long := strings.Repeat("a", 240)
		s := guarded(t, map[string]string{"dev": devOnly, long: strings.Replace(prodHealth, "name: health", "name: "+long, 1)})
		g := set("true")
		g.Name = long
		s.store(g)
		out, message := s.sail(canary.Task{}, s.pipelineRun("web-1", "x"), "x", both).admitted()
		if out == nil || len(out.Guards) != 1 || len(out.Guards[0].Name) > 140 {
			t.Errorf("%s %+v", message, out)
		}
	})
}
