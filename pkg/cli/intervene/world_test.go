package intervene

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	pipelinev1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	pipelinev1beta1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clienttesting "k8s.io/client-go/testing"
	clocktesting "k8s.io/utils/clock/testing"
	"knative.dev/pkg/apis"

	stages "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/cli/act"
	"github.com/periplus-dev/periplus/pkg/cli/clitest"
	"github.com/periplus-dev/periplus/pkg/cli/terminal"
)

const (
	root = "productpage-v2"
	m    = time.Minute
)

// world is a hub with the release of productpage, which alice started and bob looks at.
type world struct {
	t       *testing.T
	pr      *pipelinev1.PipelineRun
	stages  []*pipelinev1beta1.CustomRun
	release *stages.Release
	others  []runtime.Object
	kinds   []runtime.Object
	hub     *clitest.Hub
	now     time.Duration
}

// releasing is the release in the middle: the canary is done, the bump of m1 moves, and m2 has not begun.
func releasing(t *testing.T) *world {
	pr := clitest.PipelineRun(root, "canary-m1:Canary", "bump-m1:PartitionBump", "hop-m2:ClusterHop", "bump-m2:PartitionBump")
	pr.Annotations = map[string]string{stages.AnnotationInitiator: "alice"}
	finally := pipelinev1.PipelineTask{Name: "rollback", TaskRef: &pipelinev1.TaskRef{APIVersion: "stages.periplus.dev/v1alpha1", Kind: "Rollback", Name: "x"}}
	pr.Spec.PipelineSpec.Finally = append(pr.Spec.PipelineSpec.Finally, finally)
	w := &world{t: t, pr: pr, now: 12 * m}
	canary := w.stage("canary-m1", "Canary", stages.RunStatus{})
	clitest.End(canary, 3*m, true, "Succeeded", "")
	w.stage("bump-m1", "PartitionBump", stages.RunStatus{
		Waiting: &stages.Waiting{Reason: "UpdatingPods", For: "m1/dca: 3 of 4 pods updated, 1 available", Until: clitest.At(15 * m)},
		Members: []stages.MemberProgress{{Name: "m1", Reachable: true, Units: []stages.UnitProgress{
			{Unit: "dca", Workload: "productpage-dca", Replicas: 4, Updated: 2, UpdatedAvailable: 1, UpdatedReady: 1, Ready: 3, Available: 3, Want: 3, Partition: "25%"},
			{Unit: "dcb", Workload: "productpage-dcb", Replicas: 4, Updated: 1, UpdatedAvailable: 1, UpdatedReady: 1, Ready: 4, Available: 4, Want: 1, Partition: "3"},
		}}},
		Guards: []stages.GuardStatus{{Name: "no-restarts", Member: "m1", When: stages.During, Verdict: stages.VerdictPass}, {Name: "ready", Member: "m1", When: stages.After, Verdict: stages.VerdictPending}},
	})
	w.release = &stages.Release{
		ObjectMeta: metav1.ObjectMeta{Name: root + "-8xk2p", Namespace: "shop", UID: "rel", Labels: map[string]string{stages.LabelRootUID: "uid-" + root}},
		Spec:       stages.ReleaseSpec{Root: stages.RootRef{Kind: "PipelineRun", Name: root, UID: "uid-" + root}, Initiator: "alice"},
		Status: stages.ReleaseStatus{
			Phase:  stages.ReleaseRunning,
			Runs:   []stages.ReleaseRun{{Kind: "PipelineRun", Name: root, UID: "uid-" + root, Role: stages.RoleRoot, Initiator: "alice", Since: *clitest.At(0)}},
			Stages: []stages.StageRecord{{Name: "canary-m1", Kind: "Canary", Run: root + "-canary-m1", Time: *clitest.At(3 * m)}},
		},
	}
	for i, unit := range []string{"dca", "dcb"} {
		w.release.Status.Touched = append(w.release.Status.Touched, stages.Touched{
			Member: "m1", Kind: "InPlaceSet", Workload: "productpage-" + unit, Unit: unit, Time: *clitest.At(time.Duration(i+1) * time.Second),
			Revision: "productpage-" + unit + "-84fb", Previous: stages.Previous{Revision: "productpage-" + unit + "-6c7d"},
		})
	}
	return w
}

// hopping is the release while the hop carries it to m3 and m4.
func hopping(t *testing.T) *world {
	w := releasing(t)
	w.stage("hop-m2", "ClusterHop", stages.RunStatus{Admitted: &stages.Admitted{Kind: "ClusterHop", Members: []string{"m3", "m4"}}})
	return w
}

func (w *world) stage(task, kind string, s stages.RunStatus) *pipelinev1beta1.CustomRun {
	s.Attempt = 1
	c := clitest.Stage(w.t, w.pr.Name, task, kind, s)
	w.stages = append(w.stages, c)
	return c
}

// stop ends the run and its stages.
func (w *world) stop(ok bool, reason string) *world {
	status := corev1.ConditionFalse
	if ok {
		status = corev1.ConditionTrue
	}
	w.pr.Status.CompletionTime = clitest.At(8 * m)
	w.pr.Status.SetCondition(&apis.Condition{Type: apis.ConditionSucceeded, Status: status, Reason: reason, Message: "over"})
	for _, c := range w.stages {
		if c.Status.CompletionTime == nil {
			clitest.End(c, 8*m, ok, "GuardFailed", "guard errors: false on m1")
		}
	}
	if w.release != nil {
		w.release.Status.Phase = stages.ReleaseFailed
		if ok {
			w.release.Status.Phase = stages.ReleaseSucceeded
		}
	}
	return w
}

// did is what somebody did to the release before.
func (w *world) did(action stages.Action, after time.Duration, user, message string) *world {
	w.kinds = append(w.kinds, &stages.Intervention{
		ObjectMeta: metav1.ObjectMeta{Name: strings.ToLower(string(action)) + after.String(), Namespace: "shop", CreationTimestamp: *clitest.At(after)},
		Spec: stages.InterventionSpec{
			RunRef: stages.RootRef{Kind: "PipelineRun", Name: root, UID: "uid-" + root}, Action: action, User: user, Message: message,
		},
	})
	return w
}

// retried is a run of the release that carries it on.
func (w *world) retried(name string, over bool) *world {
	pr := clitest.PipelineRun(name, "canary-m1:Canary", "bump-m1:PartitionBump", "hop-m2:ClusterHop", "bump-m2:PartitionBump")
	pr.CreationTimestamp = *clitest.At(9 * m)
	pr.Annotations = map[string]string{stages.AnnotationRetryOf: root, stages.AnnotationInitiator: "carol"}
	bump := clitest.Stage(w.t, name, "bump-m1", "PartitionBump", stages.RunStatus{Attempt: 1, Waiting: &stages.Waiting{Reason: "UpdatingPods", For: "m1/dca: going on"}})
	if over {
		pr.Status.CompletionTime = clitest.At(10 * m)
		pr.Status.SetCondition(&apis.Condition{Type: apis.ConditionSucceeded, Status: corev1.ConditionFalse, Reason: "Failed", Message: "again"})
		clitest.End(bump, 10*m, false, "GuardFailed", "again")
	} else {
		w.release.Status.Phase = stages.ReleaseRunning
	}
	w.others = append(w.others, pr, bump)
	w.release.Status.Runs = append(w.release.Status.Runs, stages.ReleaseRun{
		Kind: "PipelineRun", Name: name, UID: types.UID("uid-" + name), Role: stages.RoleRetry, Initiator: "carol", Since: *clitest.At(9 * m),
	})
	return w
}

// child is a run that the hop made for a member.
func (w *world) child(member string) *world {
	name := root + "-hop-m2-" + member
	pr := clitest.PipelineRun(name, "bump:PartitionBump")
	pr.Annotations = map[string]string{stages.AnnotationRelease: w.release.Name, stages.AnnotationParent: root + "-hop-m2/uid-" + root + "-hop-m2"}
	bump := clitest.Stage(w.t, name, "bump", "PartitionBump", stages.RunStatus{
		Attempt: 1, Waiting: &stages.Waiting{Reason: "UpdatingPods", For: member + "/dca: 1 of 4 pods updated"},
		Members: []stages.MemberProgress{{Name: member, Reachable: true, Units: []stages.UnitProgress{{Unit: "dca", Workload: "productpage-dca", Replicas: 4, Updated: 1, UpdatedAvailable: 1, Want: 4}}}},
	})
	w.others = append(w.others, pr, bump)
	return w
}

func (w *world) open() *clitest.Hub {
	if w.hub != nil {
		return w.hub
	}
	var objects []runtime.Object
	if w.pr != nil {
		objects = append(objects, w.pr)
	}
	for _, c := range w.stages {
		objects = append(objects, c)
	}
	w.hub = clitest.NewHub(append(objects, w.others...)...)
	for _, o := range w.kinds {
		w.must(w.hub.Periplus.Tracker().Add(o))
	}
	if w.release != nil {
		w.must(w.hub.Periplus.Tracker().Add(w.release))
	}
	return w.hub
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// run runs the command without a terminal, and gives what it said.
func (w *world) run(action stages.Action, args ...string) (string, error) {
	w.t.Helper()
	return w.runAt(action, nil, args...)
}

// runAt runs it on a terminal at which a person types an answer.
func (w *world) runAt(action stages.Action, answer *string, args ...string) (string, error) {
	w.t.Helper()
	h := w.open()
	c := &command{action: action, connect: h.Connect, clock: clocktesting.NewFakePassiveClock(clitest.Began.Add(w.now))}
	cmd := newCommand(c)
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	if answer == nil {
		cmd.SetArgs(args)
		err := cmd.ExecuteContext(context.Background())
		return out.String(), err
	}
	w.must(cmd.ParseFlags(args))
	c.program = "periplus"
	name := ""
	if left := cmd.Flags().Args(); len(left) > 0 {
		name = left[0]
	}
	s := act.Stage{In: strings.NewReader(*answer), Out: terminal.Of(&out), Interactive: true}
	err := c.run(context.Background(), s, name)
	return out.String(), err
}

// made are the objects that the command created.
func (w *world) made() (did []*stages.Intervention, runs []*pipelinev1.PipelineRun, customs []*pipelinev1beta1.CustomRun) {
	all := append(w.hub.Periplus.Actions(), w.hub.Tekton.Actions()...)
	for _, a := range all {
		create, ok := a.(clienttesting.CreateAction)
		if !ok || a.GetVerb() != "create" {
			if v := a.GetVerb(); v != "get" && v != "list" && v != "watch" {
				w.t.Errorf("the command did %s %s, and may create only", v, a.GetResource().Resource)
			}
			continue
		}
		switch o := create.GetObject().(type) {
		case *stages.Intervention:
			did = append(did, o)
		case *pipelinev1.PipelineRun:
			runs = append(runs, o)
		case *pipelinev1beta1.CustomRun:
			customs = append(customs, o)
		}
	}
	return did, runs, customs
}

func (w *world) nothingMade() {
	w.t.Helper()
	if did, runs, customs := w.made(); len(did)+len(runs)+len(customs) > 0 {
		w.t.Errorf("something was made: %d interventions, %d runs, %d stages", len(did), len(runs), len(customs))
	}
}
