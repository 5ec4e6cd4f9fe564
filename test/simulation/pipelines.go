package simulation

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	pipelinev1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	stagesv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

const (
	guardRestarts = "no-restarts"
	guardThere    = "all-there"
	approver      = "carol"
	initiator     = "alice"
	// onePipeline is what a ClusterHop runs for each member.
	onePipeline = "web-one"
)

var (
	hour   = metav1.Duration{Duration: time.Hour}
	guards = []guardOf{{"health/" + guardRestarts, stagesv1alpha1.During}, {"health/" + guardThere, stagesv1alpha1.After}}
)

// release is the pipeline of a whole release: canary, confirm, bump, hop, bump; and rollback where that did not succeed.
func (s *story) release(name, image string) *pipeline {
	guards := guards
	if s.law == lawDemands || s.law == lawLacking {
		guards = append([]guardOf{{"policy/careful/strict/" + guardRestarts, stagesv1alpha1.During}}, guards...)
	}
	if s.convoy {
		return &pipeline{name: name, tasks: []task{{name: "carry", kind: "ClusterHop", timeout: metav1.Duration{Duration: 24 * time.Hour}, spec: fmt.Sprintf(
			`{"pipelineRef":{"name":%q},"waves":[{"members":["m001","m002","m003"],"maxParallel":1},{"memberSelector":{}}],"maxParallel":25,"maxFailures":"10%%","onUnreachable":"Skip","silentPeriod":"2s"}`,
			onePipeline)}}}
	}
	one, everything, units := s.oneEach(), s.everything(), jsonText(s.units())
	backwards := s.units()
	slices.Reverse(backwards)
	if s.broken && s.noFinally {
		guards = nil // on a retry a stage may find its pods where they should be, with verdicts of the attempt before; the rule on pods holds it all the same.
	}
	canary := task{name: "canary", kind: "Canary", spec: moving(image, `"m1"`, `"pods":1,"bake":"5s"`), timeout: hour, retries: 1, image: image, members: []string{"m1"}, want: one, guards: guards}
	asks := fmt.Sprintf("%q,%q", approver, initiator)
	if s.law != lawOpen {
		asks = fmt.Sprintf("%q", approver) // nobody else, as is demanded.
	}
	confirm := task{name: "confirm", kind: "Confirm", spec: `{"approvers":{"users":[` + asks + `]},"forbidInitiator":true,"message":"go on?"}`, timeout: hour}
	bump := task{name: "bump", kind: "PartitionBump", spec: moving(image, `"m1"`, `"order":`+units), timeout: hour, image: image, members: []string{"m1"}, want: everything, guards: guards}
	hop := task{name: "hop", kind: "ClusterHop", spec: `{"target":"web","from":["m1"],"to":["m2","m3"],"silentPeriod":"5s"}`, timeout: hour}
	fleet := task{name: "fleet", kind: "PartitionBump", spec: moving(image, `"m2","m3"`, `"order":`+jsonText(backwards)+`,"by":"50%"`), timeout: hour, image: image, members: []string{"m2", "m3"}, want: everything, guards: guards}
	if s.cafe != nil {
		fleet = s.betaBatch(image)
		fleet.want, fleet.guards = everything, guards
	}
	p := &pipeline{name: name, tasks: []task{canary}}
	add := func(tasks ...task) { p.tasks = append(p.tasks, tasks...) }
	if s.stands {
		add(task{name: "soak", kind: "Soak", spec: `{"target":"web","members":["m1"],"duration":"10s","guardSets":["health"],"onGuardFailure":"Hold"}`, timeout: hour})
	}
	if s.law != lawLacking {
		add(confirm)
	}
	add(bump)
	if s.stands {
		add(task{name: "check", kind: "Check", spec: `{"target":"web","members":["m1"],"guards":[{"name":"some","expr":"pods.size() > 0"}]}`, timeout: hour},
			task{name: "window", kind: "Window", spec: `{"windows":[{"schedule":"*/5 * * * *","duration":"2m"}],"members":["m2"]}`, timeout: hour})
	}
	if s.carries {
		waves := `{"members":["m2"]},{"memberSelector":{"matchLabels":{"name":"m3"}}}`
		if s.sickIn != "" {
			waves = `{"members":["m2","m3"]}` // one goes back while the other is on.
		}
		add(task{name: "carry", kind: "ClusterHop", timeout: hour,
			spec: fmt.Sprintf(`{"pipelineRef":{"name":%q},"waves":[%s],"target":"web","silentPeriod":"4s","maxParallel":2}`, onePipeline, waves)})
	} else {
		add(hop, fleet)
	}
	if !s.noFinally {
		p.finally = []task{{name: "rollback", kind: "Rollback", spec: `{"onUnreachable":"Wait"}`, timeout: hour}}
	}
	return p
}

// perMember is the pipeline that a ClusterHop runs for each member.
func (s *story) perMember(image string) *pipeline {
	return &pipeline{name: onePipeline, perMember: true, tasks: []task{{
		name: "one", kind: "PartitionBump", spec: moving(image, `"`+paramMember+`"`, `"order":["`+strings.Join(s.units(), `","`)+`"]`), timeout: hour, image: image, members: []string{paramMember},
		want: s.everything(), guards: guards,
	}}, finally: []task{{name: "back", kind: "Rollback", spec: `{"scope":"Member","members":["` + paramMember + `"],"onUnreachable":"Wait"}`, timeout: hour}}}
}

// oneEach is one pod of each unit.
func (s *story) oneEach() map[string]int {
	out := map[string]int{}
	for unit := range s.replicas {
		out[unit] = 1
	}
	return out
}

// everything is all pods of each unit.
func (s *story) everything() map[string]int {
	out := map[string]int{}
	for unit, n := range maps.All(s.replicas) {
		out[unit] = int(n)
	}
	return out
}

// moving is the spec of a stage that moves pods.
func moving(image, members, more string) string {
	return fmt.Sprintf(`{"target":"web","members":[%s],"change":{"images":{"app":%q}},"progressDeadline":"5m","guardSets":["health"],%s}`, members, image, more)
}

// rivalRelease is one that canaries another image on the same workloads.
func (s *story) rivalRelease(name string) *pipeline {
	return &pipeline{name: name, tasks: []task{{
		name: "canary", kind: "Canary", timeout: hour, image: imageRival, members: []string{"m1", "m2"}, want: s.oneEach(),
		spec: fmt.Sprintf(`{"target":"web","members":["m1","m2"],"change":{"images":{"app":%q}},"pods":1,"progressDeadline":"5m"}`, imageRival),
	}}}
}

// store makes the Pipeline, where there is none of the name.
func (w *World) store(p *pipeline) {
	w.tekton.pipelines[p.name] = p
	_, err := w.hub.admin.tekton.TektonV1().Pipelines(namespace).Create(ctx, &pipelinev1.Pipeline{
		ObjectMeta: metav1.ObjectMeta{Name: p.name, Namespace: namespace}, Spec: p.spec(),
	}, metav1.CreateOptions{})
	if !apierrors.IsAlreadyExists(err) {
		w.must("storing pipeline "+p.name, err)
	}
}

// submit starts a run of a pipeline, of its name.
func (w *World) submit(p *pipeline) {
	w.store(p)
	w.must("submitting "+p.name, w.start(ctx, p.name, p.name, map[string]string{stagesv1alpha1.AnnotationInitiator: initiator}))
}

// start starts a run of a stored pipeline.
func (w *World) start(ctx context.Context, run, pipeline string, annotations map[string]string) error {
	_, err := w.hub.admin.tekton.TektonV1().PipelineRuns(namespace).Create(ctx, &pipelinev1.PipelineRun{
		ObjectMeta: metav1.ObjectMeta{Name: run, Namespace: namespace, Annotations: annotations},
		Spec:       pipelinev1.PipelineRunSpec{PipelineRef: &pipelinev1.PipelineRef{Name: pipeline}},
	}, metav1.CreateOptions{})
	return err
}
