package stage_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/stage"
	"github.com/periplus-dev/periplus/tasks/canary"
	"github.com/periplus-dev/periplus/tasks/clusterhop"
	"github.com/periplus-dev/periplus/tasks/partitionbump"
)

const (
	devOnly = `{members: {names: [d1]}}`
	twoSRE  = `{members: {selector: {matchLabels: {ring: prod}}}, require: {confirms: [{approvers: {groups: [sre]}, required: 2, forbidInitiator: true}]}}`
)

func TestAStageActsOnlyInMembersGivenToItsNamespace(t *testing.T) {
	for name, tc := range map[string]struct {
		task     stage.Task
		spec     string
		params   map[string]string
		policies map[string]string
		want     []string
	}{
		"without any policy nothing is given": {task: canary.Task{}, spec: `{"target":"web","members":["d1"],"pods":1}`,
			want: []string{"spec.members[0]: Forbidden", `"d1"`, `"shop"`, "no ReleasePolicy", "periplus-platform"}},
		"another's member by name": {task: canary.Task{}, spec: `{"target":"web","members":["d1","p1"],"pods":1}`, policies: map[string]string{"dev": devOnly},
			want: []string{"spec.members[1]: Forbidden", `"p1"`, `"shop"`}},
		"another's member by a param": {task: canary.Task{}, spec: `{"target":"web","members":["$(params.member)"],"pods":1}`, params: map[string]string{"member": "p1"}, policies: map[string]string{"dev": devOnly},
			want: []string{"spec.members[0]: Forbidden", `"p1"`}},
		"another's members by a list of a param": {task: canary.Task{}, spec: `{"target":"web","members":["$(params.m[*])"],"pods":1}`, params: map[string]string{"m": "d1,p1"}, policies: map[string]string{"dev": devOnly},
			want: []string{"spec.members[1]: Forbidden", `"p1"`}},
		"another's member by a selector": {task: canary.Task{}, spec: `{"target":"web","memberSelector":{"matchLabels":{"ring":"prod"}},"pods":1}`, policies: map[string]string{"dev": devOnly},
			want: []string{"spec.memberSelector: Forbidden: selects p1", `"shop"`}},
		"another's member to look at": {task: clusterhop.Task{}, spec: `{"target":"web","from":["d1"],"to":["p1"]}`, policies: map[string]string{"dev": devOnly},
			want: []string{"spec.to[0]: Forbidden", `"p1"`}},
		"a member that is given to others": {task: canary.Task{}, spec: `{"target":"web","members":["p1"],"pods":1}`, policies: map[string]string{"dev": devOnly, "theirs": `{namespaces: {names: [shop2]}}`},
			want: []string{"spec.members[0]: Forbidden"}},
		"a member that is given to other teams": {task: canary.Task{}, spec: `{"target":"web","members":["p1"],"pods":1}`, policies: map[string]string{"theirs": `{namespaces: {selector: {matchLabels: {team: db}}}}`},
			want: []string{"spec.members[0]: Forbidden"}},
		"a policy that cannot be read": {task: canary.Task{}, spec: `{"target":"web","members":["p1"],"pods":1}`, policies: map[string]string{"open": `{}`, "prod": `{members: {selector: {matchExpressions: [{key: ring, operator: Among}]}}, require: {minBake: 1h}}`},
			want: []string{`ReleasePolicy "prod"`, "cannot be read", "spec.members.selector"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := guarded(t, tc.policies)
			message := s.sail(tc.task, s.pipelineRun("web-1", "x"), "x", tc.spec, with(tc.params)).refused()
			for _, w := range tc.want {
				if !strings.Contains(message, w) {
					t.Errorf("the refusal does not say %q: %s", w, message)
				}
			}
			s.untouched()
		})
	}
}

func TestWhatIsGivenIsAdmitted(t *testing.T) {
	for name, tc := range map[string]struct {
		spec     string
		policies map[string]string
		members  string
		leftOut  string
	}{
		"by name":                              {`{"target":"web","members":["d1"],"pods":1}`, map[string]string{"dev": devOnly}, "[d1]", "[]"},
		"to the team that the namespace is of": {`{"target":"web","members":["d1"],"pods":1}`, map[string]string{"web": `{namespaces: {selector: {matchLabels: {team: web}}}}`}, "[d1]", "[]"},
		"of those that a selector matches":     {`{"target":"web","memberSelector":{},"pods":1}`, map[string]string{"dev": devOnly}, "[d1]", "[p1]"},
		"beside one that is given by name":     {`{"target":"web","members":["d1"],"memberSelector":{"matchLabels":{"ring":"prod"}},"pods":1}`, map[string]string{"dev": devOnly}, "[d1]", "[p1]"},
	} {
		t.Run(name, func(t *testing.T) {
			s := guarded(t, tc.policies)
			out, message := s.sail(canary.Task{}, s.pipelineRun("web-1", "x"), "x", tc.spec).admitted()
			if out == nil {
				t.Fatal(message)
			}
			if fmt.Sprint(out.Members) != tc.members || fmt.Sprint(out.LeftOut) != tc.leftOut {
				t.Errorf("acts in %v and leaves out %v, want %s and %s", out.Members, out.LeftOut, tc.members, tc.leftOut)
			}
		})
	}
}

func TestWhatAPolicyTakesAwayCountsForTheNextStage(t *testing.T) {
	s := guarded(t, map[string]string{"dev": devOnly})
	pr := s.pipelineRun("web-1", "x", "y")
	s.sail(canary.Task{}, pr, "x", `{"target":"web","members":["d1"],"pods":1,"change":{"images":{"app":"shop/web:v2"}}}`).until("Succeeded")
	if err := s.periplus.StagesV1alpha1().ReleasePolicies().Delete(context.Background(), "dev", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if why := s.sail(partitionbump.Task{}, pr, "y", `{"target":"web","members":["d1"],"order":["dca","dcb"]}`).refused(); !strings.Contains(why, "no ReleasePolicy") {
		t.Errorf("let through: %q", why)
	}
}

func TestAStoredStageOrATargetOfAnotherNamespaceIsOutOfReach(t *testing.T) {
	s := guarded(t, map[string]string{"open": `{}`})
	s.store(&v1alpha1.Target{ObjectMeta: metav1.ObjectMeta{Name: "ledger", Namespace: "payments"}, Spec: v1alpha1.TargetSpec{Workload: v1alpha1.WorkloadRef{APIVersion: "apps.periplus.dev/v1alpha1", Kind: "InPlaceSet", Name: "ledger"}}})
	s.store(&v1alpha1.Canary{ObjectMeta: metav1.ObjectMeta{Name: "theirs", Namespace: "payments"}})
	if _, err := s.kube.CoreV1().Namespaces().Create(context.Background(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "payments"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		spec   string
		change func(*v1beta1.CustomRun)
		want   string
	}{
		"a target by a path":             {spec: `{"target":"../payments/ledger","members":["p1"],"pods":1}`, want: "spec.target"},
		"a target by namespace and name": {spec: `{"target":"payments/ledger","members":["p1"],"pods":1}`, want: "spec.target"},
		"a target by name":               {spec: `{"target":"ledger","members":["p1"],"pods":1}`, want: `spec.target: Not found: "ledger"`},
		"a namespace in the spec":        {spec: `{"target":"ledger","namespace":"payments","members":["p1"],"pods":1}`, want: "spec.namespace"},
		"a guard set by a path":          {spec: `{"target":"web","members":["p1"],"pods":1,"guardSets":["../payments/x"]}`, want: "spec.guardSets[0]"},
		"a stored stage by a path": {change: func(cr *v1beta1.CustomRun) {
			cr.Spec.CustomRef, cr.Spec.CustomSpec = &v1beta1.TaskRef{APIVersion: "stages.periplus.dev/v1alpha1", Kind: "Canary", Name: "../../payments/canaries/theirs"}, nil
		}, want: "taskRef.name"},
	} {
		t.Run(name, func(t *testing.T) {
			var changes []func(*v1beta1.CustomRun)
			if tc.change != nil {
				changes = append(changes, tc.change)
			}
			run := short(name)
			_, message := s.sail(canary.Task{}, s.pipelineRun("run-"+run), run, tc.spec, changes...).admitted()
			if !strings.Contains(message, tc.want) {
				t.Errorf("%q does not say %q", message, tc.want)
			}
			s.untouched()
		})
	}
}
