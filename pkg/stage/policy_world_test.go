package stage_test

import (
	"context"
	"encoding/json"
	"testing"

	pipelinev1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	"github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	fleetv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/fleet/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/fleet"
	"github.com/periplus-dev/periplus/pkg/stage"
	"github.com/periplus-dev/periplus/tasks/canary"
	"github.com/periplus-dev/periplus/tasks/clusterhop"
	"github.com/periplus-dev/periplus/tasks/confirm"
	"github.com/periplus-dev/periplus/tasks/partitionbump"
)

// guarded is a sea with a production member p1 and a member d1 for everything else, whose platform team keeps policies, by name, in YAML. Nothing else is given.
func guarded(t *testing.T, policies map[string]string) *sea {
	t.Helper()
	s := newSea(t)
	for name, ring := range map[string]string{"p1": "prod", "d1": "dev"} {
		m := s.members.Add(t, name, fleet.Clients{})
		m.Labels = map[string]string{"ring": ring}
		s.store(&fleetv1alpha1.Member{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: m.Labels}})
		for _, unit := range []string{"dca", "dcb"} {
			s.ships.launch(name, unit, 4)
		}
	}
	if err := s.periplus.StagesV1alpha1().ReleasePolicies().Delete(context.Background(), openPolicy, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	for name, spec := range policies {
		s.policy(name, spec)
	}
	return s
}

// policy stores a ReleasePolicy.
func (s *sea) policy(name, spec string) {
	s.t.Helper()
	p := &v1alpha1.ReleasePolicy{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if err := yaml.UnmarshalStrict([]byte(spec), &p.Spec); err != nil {
		s.t.Fatalf("policy %s: %v", name, err)
	}
	s.store(p)
}

// resolved makes a PipelineRun of alice's whose stages Tekton has resolved, but run none of them.
func (s *sea) resolved(name, spec string) *pipelinev1.PipelineRun {
	s.t.Helper()
	pr := s.pipelineRun(name)
	if err := yaml.Unmarshal([]byte(spec), pr.Status.PipelineSpec); err != nil {
		s.t.Fatalf("pipeline %s: %v", name, err)
	}
	for i := range pr.Status.PipelineSpec.Tasks {
		pr.Status.PipelineSpec.Tasks[i].SetDefaults(context.Background())
	}
	if err := s.tekton.Tracker().Add(pr); err != nil {
		s.t.Fatal(err)
	}
	return pr
}

// begin makes the CustomRun of one task of a pipeline, as Tekton does.
func (s *sea) begin(pr *pipelinev1.PipelineRun, task string, change ...func(*v1beta1.CustomRun)) *voyage {
	s.t.Helper()
	kinds := map[string]stage.Task{"Canary": canary.Task{}, "Confirm": confirm.Task{}, "PartitionBump": partitionbump.Task{}, "ClusterHop": clusterhop.Task{}}
	for _, pt := range append(pr.Status.PipelineSpec.Tasks, pr.Status.PipelineSpec.Finally...) {
		if pt.Name != task {
			continue
		}
		as := func(cr *v1beta1.CustomRun) {
			cr.UID = types.UID(pr.Name + "-" + task + "-uid")
			cr.Labels["tekton.dev/pipelineTask"] = task
			for _, p := range pt.Params {
				cr.Spec.Params = append(cr.Spec.Params, v1beta1.Param{Name: p.Name, Value: v1beta1.ParamValue{Type: v1beta1.ParamTypeString, StringVal: p.Value.StringVal}})
			}
			if pt.TaskRef != nil {
				cr.Spec.CustomSpec = nil
				cr.Spec.CustomRef = &v1beta1.TaskRef{APIVersion: pt.TaskRef.APIVersion, Kind: v1beta1.TaskKind(pt.TaskRef.Kind), Name: pt.TaskRef.Name}
			}
		}
		var kind string
		spec := []byte("{}")
		if pt.TaskRef != nil {
			kind = string(pt.TaskRef.Kind)
		} else {
			kind, spec = pt.TaskSpec.Kind, pt.TaskSpec.Spec.Raw
		}
		return s.sail(kinds[kind], pr, pr.Name+"-"+task, string(spec), append([]func(*v1beta1.CustomRun){as}, change...)...)
	}
	s.t.Fatalf("%s has no task %s", pr.Name, task)
	return nil
}

// approve answers a Confirm that asks.
func (v *voyage) approve(user string, groups ...string) {
	v.t.Helper()
	v.until("AwaitingApproval")
	v.answer(v.name+"-"+user, v1alpha1.ApprovalSpec{RunRef: v1alpha1.RunRef{Name: v.name, UID: v.run().UID}, Question: v.status().Question.ID,
		Decision: v1alpha1.Approve, User: user, Groups: groups})
}

// refused makes a pass and gives the message with which policy refused the stage; empty where it was let through.
func (v *voyage) refused() string {
	v.t.Helper()
	_, message := v.admitted()
	if message == "" {
		return ""
	}
	if reason := v.run().Status.GetCondition("Succeeded").Reason; reason != stage.ReasonForbidden {
		return reason + " and not by policy: " + message
	}
	return message
}

// untouched fails the test where anything was written to any workload.
func (s *sea) untouched() {
	s.t.Helper()
	if all := s.log.all(); len(all) > 0 {
		s.t.Errorf("something was written: %v", all)
	}
}

func encoded(v any) json.RawMessage {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return raw
}
