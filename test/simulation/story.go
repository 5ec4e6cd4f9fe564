package simulation

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	pipelinev1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	stagesv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

// story is what people want in one run, and what goes wrong by itself.
type story struct {
	name string
	// image that the release brings.
	image        string
	sick, broken bool
	// cuts, flaps and jumps may happen.
	cuts, flaps, jumps bool
	// rival is a second release of the same workloads.
	rival bool
	// act is done once, after a number of steps of the release.
	act      string
	actAfter int
	reject   bool
	replicas map[string]int32
	// limit is the target's maxUnavailable.
	limit int32
}

// The ways in which a release is cut off.
const (
	actCancel       = "cancel"
	actCancelFinal  = "cancel, run finally"
	actDeleteRun    = "delete the PipelineRun"
	actDeleteStage  = "delete a CustomRun"
	actEditTemplate = "somebody else changes a template"
)

const (
	imageOld    = "shop/web:v1"
	imageNew    = "shop/web:v2"
	imageSick   = "shop/web:v2-sick"
	imageBroken = "shop/web:v2-broken"
	imageRival  = "shop/web:v3"
)

// tell makes up the story of a seed.
func tell(r *rand.Rand) *story {
	s := &story{
		name: "a release", image: imageNew, limit: 1 + r.Int32N(2), replicas: map[string]int32{"dca": 2 + r.Int32N(2), "dcb": 1 + r.Int32N(2)},
		cuts: r.IntN(3) == 0, flaps: r.IntN(3) == 0, jumps: r.IntN(5) == 0,
	}
	switch n := r.IntN(100); {
	case n < 40:
	case n < 52:
		s.name, s.image, s.sick = "pods of the new image restart", imageSick, true
	case n < 60:
		s.name, s.image, s.broken = "the new image cannot be pulled", imageBroken, true
	case n < 68:
		s.name, s.rival = "a second release of the same workloads", true
	case n < 72:
		s.name, s.reject = "somebody says no", true
	default:
		acts := []string{actCancel, actCancelFinal, actDeleteRun, actDeleteStage, actEditTemplate}
		s.act = acts[r.IntN(len(acts))]
		s.name, s.actAfter = s.act, r.IntN(1200)
	}
	return s
}

// calm stories succeed: nothing in them may stop a release but for a while.
func (s *story) calm() bool {
	return !s.sick && !s.broken && s.act == "" && !s.cuts && !s.jumps && !s.reject && !s.rival
}

const (
	guardRestarts = "no-restarts"
	guardThere    = "all-there"
	approver      = "carol"
	initiator     = "alice"
)

// release is the pipeline of a whole release: canary, confirm, bump, hop, bump; and rollback where that did not succeed.
func (s *story) release(name, image string) *pipeline {
	moving := func(members, more string) string {
		return fmt.Sprintf(`{"target":"web","members":[%s],"change":{"images":{"app":%q}},"progressDeadline":"5m","guardSets":["health"],%s}`, members, image, more)
	}
	guards := []guardOf{{"health/" + guardRestarts, stagesv1alpha1.During}, {"health/" + guardThere, stagesv1alpha1.After}}
	one, everything := map[string]int{"dca": 1, "dcb": 1}, map[string]int{"dca": int(s.replicas["dca"]), "dcb": int(s.replicas["dcb"])}
	hour := metav1.Duration{Duration: time.Hour}
	return &pipeline{name: name, tasks: []task{
		{name: "canary", kind: "Canary", spec: moving(`"m1"`, `"pods":1,"bake":"5s"`), timeout: hour, retries: 1, members: []string{"m1"}, want: one, guards: guards},
		{name: "confirm", kind: "Confirm", spec: fmt.Sprintf(`{"approvers":{"users":[%q,%q]},"forbidInitiator":true,"message":"go on?"}`, approver, initiator), timeout: hour},
		{name: "bump", kind: "PartitionBump", spec: moving(`"m1"`, `"order":["dca","dcb"]`), timeout: hour, members: []string{"m1"}, want: everything, guards: guards},
		{name: "hop", kind: "ClusterHop", spec: `{"target":"web","from":["m1"],"to":["m2","m3"],"silentPeriod":"5s"}`, timeout: hour},
		{name: "fleet", kind: "PartitionBump", spec: moving(`"m2","m3"`, `"order":["dcb","dca"],"by":"50%"`), timeout: hour, members: []string{"m2", "m3"}, want: everything, guards: guards},
	}, finally: []task{{name: "rollback", kind: "Rollback", spec: `{"onUnreachable":"Wait"}`, timeout: hour}}}
}

// rival is a release that canaries another image on the same workloads.
func (s *story) rivalRelease(name string) *pipeline {
	hour := metav1.Duration{Duration: time.Hour}
	return &pipeline{name: name, tasks: []task{{
		name: "canary", kind: "Canary", timeout: hour, members: []string{"m1", "m2"}, want: map[string]int{"dca": 1, "dcb": 1},
		spec: fmt.Sprintf(`{"target":"web","members":["m1","m2"],"change":{"images":{"app":%q}},"pods":1,"progressDeadline":"5m"}`, imageRival),
	}}}
}

func (w *World) submit(p *pipeline) {
	w.tekton.pipelines[p.name] = p
	_, err := w.hub.admin.tekton.TektonV1().PipelineRuns(namespace).Create(context.Background(), &pipelinev1.PipelineRun{
		ObjectMeta: metav1.ObjectMeta{Name: p.name, Namespace: namespace, Annotations: map[string]string{stagesv1alpha1.AnnotationInitiator: initiator}},
		Spec:       pipelinev1.PipelineRunSpec{PipelineRef: &pipelinev1.PipelineRef{Name: p.name}},
	}, metav1.CreateOptions{})
	w.must("submitting "+p.name, err)
}
