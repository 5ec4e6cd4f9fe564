package stage_test

import (
	"context"
	"strings"
	"testing"

	"github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/tasks/canary"
)

func TestWhoStartedARunForSomebodyIsBelievedOnlyByPolicy(t *testing.T) {
	const ci = "system:serviceaccount:ci:releaser"
	start := func(s *sea, account, who string) *voyage {
		pr := s.resolved("web-1", `tasks:
- {name: ask, taskSpec: {apiVersion: stages.periplus.dev/v1alpha1, kind: Confirm, spec: {approvers: {groups: [sre]}, forbidInitiator: true}}}
`)
		pr.Annotations = map[string]string{v1alpha1.AnnotationOnBehalfOf: who}
		if account != "" {
			pr.Annotations[v1alpha1.AnnotationInitiator] = account
		}
		return s.begin(pr, "ask")
	}
	t.Run("an account that no policy names is refused", func(t *testing.T) {
		s := guarded(t, map[string]string{"dev": devOnly})
		if why := start(s, "mallory", "bob").refused(); !strings.Contains(why, `on behalf of "bob"`) || !strings.Contains(why, `believes "mallory"`) {
			t.Errorf("%q", why)
		}
	})
	t.Run("nor is one that is not known", func(t *testing.T) {
		s := guarded(t, map[string]string{"ci": `{onBehalfOf: ["` + ci + `"]}`})
		if why := start(s, "", "bob").refused(); !strings.Contains(why, "it is not known who says so") {
			t.Errorf("%q", why)
		}
	})
	t.Run("neither the person nor the account may answer", func(t *testing.T) {
		s := guarded(t, map[string]string{"ci": `{onBehalfOf: ["` + ci + `"]}`})
		v := start(s, ci, "alice")
		v.approve("alice", "sre")
		v.approve(ci, "sre")
		v.pass()
		q := v.status().Question
		if len(q.Answers) != 0 || len(q.Ignored) != 2 || q.Initiator != "alice" || q.Account != ci {
			t.Errorf("%+v", q)
		}
		v.approve("bob", "sre")
		v.until("Succeeded")
	})
	t.Run("the record names the person", func(t *testing.T) {
		s := guarded(t, map[string]string{"ci": `{onBehalfOf: ["` + ci + `"]}`})
		pr := s.pipelineRun("web-1")
		pr.Annotations = map[string]string{v1alpha1.AnnotationOnBehalfOf: "alice", v1alpha1.AnnotationInitiator: ci}
		v := s.sail(canary.Task{}, pr, "x", `{"target":"web","members":["d1"],"pods":1,"change":{"images":{"app":"shop/web:v2"}}}`)
		v.until("Succeeded")
		rel, err := s.periplus.StagesV1alpha1().Releases("shop").Get(context.Background(), v.status().Release, metav1.GetOptions{})
		if err != nil || rel.Spec.Initiator != "alice" {
			t.Errorf("%+v %v", rel, err)
		}
	})
	t.Run("a Tekton copy of the annotation on a stage says nothing", func(t *testing.T) {
		s := guarded(t, map[string]string{"dev": devOnly})
		v := s.sail(canary.Task{}, s.pipelineRun("web-1"), "x", `{"target":"web","members":["d1"],"pods":1}`, func(cr *v1beta1.CustomRun) {
			cr.Annotations = map[string]string{v1alpha1.AnnotationOnBehalfOf: "bob"}
		})
		if out, message := v.admitted(); out == nil || out.OnBehalfOf != "" {
			t.Errorf("%+v %s", out, message)
		}
	})
}
