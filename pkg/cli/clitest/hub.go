// Package clitest makes hubs out of fake clients, and runs to put into them, for tests of commands.
package clitest

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/tektoncd/pipeline/pkg/apis/pipeline"
	pipelinev1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	pipelinev1beta1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	tektonfake "github.com/tektoncd/pipeline/pkg/client/clientset/versioned/fake"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	kubefake "k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	"knative.dev/pkg/apis"

	stages "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/cli/hub"
	periplusfake "github.com/periplus-dev/periplus/pkg/client/clientset/versioned/fake"
)

// Hub is a hub of fake clients.
type Hub struct {
	*hub.Hub
	Tekton   *tektonfake.Clientset
	Periplus *periplusfake.Clientset
	Kube     *kubefake.Clientset
}

// NewHub makes a hub that holds Tekton's objects, whose caller is bob of sre.
func NewHub(tekton ...runtime.Object) *Hub {
	h := &Hub{Tekton: tektonfake.NewSimpleClientset(tekton...), Periplus: periplusfake.NewSimpleClientset(), Kube: kubefake.NewClientset()}
	h.Kube.PrependReactor("create", "selfsubjectreviews", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, &authenticationv1.SelfSubjectReview{Status: authenticationv1.SelfSubjectReviewStatus{
			UserInfo: authenticationv1.UserInfo{Username: "bob", Groups: []string{"system:authenticated", "sre", "sre"}},
		}}, nil
	})
	h.Hub = &hub.Hub{Tekton: h.Tekton, Periplus: h.Periplus, Kube: h.Kube, Namespace: "shop", Server: "https://hub.example"}
	return h
}

// Connect reaches the hub, whatever the flags say.
func (h *Hub) Connect(*hub.Flags) (*hub.Hub, error) { return h.Hub, nil }

// Began is when runs made here began.
var Began = time.Date(2026, 11, 21, 12, 10, 0, 0, time.UTC)

// At is a time after Began.
func At(after time.Duration) *metav1.Time {
	t := metav1.NewTime(Began.Add(after))
	return &t
}

// PipelineRun of stages of our kinds, one after the other, that runs. Tasks are written as "canary-m1:Canary".
func PipelineRun(name string, tasks ...string) *pipelinev1.PipelineRun {
	spec := &pipelinev1.PipelineSpec{}
	for i, t := range tasks {
		task, kind := split(t)
		pt := pipelinev1.PipelineTask{Name: task, TaskRef: &pipelinev1.TaskRef{APIVersion: "stages.periplus.dev/v1alpha1", Kind: pipelinev1.TaskKind(kind), Name: "x"}}
		if i > 0 {
			before, _ := split(tasks[i-1])
			pt.RunAfter = []string{before}
		}
		spec.Tasks = append(spec.Tasks, pt)
	}
	pr := &pipelinev1.PipelineRun{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "shop", UID: types.UID("uid-" + name), CreationTimestamp: *At(0)},
		Spec:       pipelinev1.PipelineRunSpec{PipelineSpec: spec},
	}
	pr.Status.StartTime, pr.Status.PipelineSpec = At(0), spec
	pr.Status.SetCondition(&apis.Condition{Type: apis.ConditionSucceeded, Status: corev1.ConditionUnknown, Reason: "Running"})
	return pr
}

func split(task string) (name, kind string) {
	for i := range task {
		if task[i] == ':' {
			return task[:i], task[i+1:]
		}
	}
	return task, "Canary"
}

// Stage is the CustomRun of a task of a PipelineRun.
func Stage(t *testing.T, root, task, kind string, status stages.RunStatus) *pipelinev1beta1.CustomRun {
	t.Helper()
	run := &pipelinev1beta1.CustomRun{
		ObjectMeta: metav1.ObjectMeta{
			Name: root + "-" + task, Namespace: "shop", UID: types.UID("uid-" + root + "-" + task), CreationTimestamp: *At(time.Second),
			Labels:          map[string]string{pipeline.PipelineRunLabelKey: root, pipeline.PipelineTaskLabelKey: task},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "tekton.dev/v1", Kind: "PipelineRun", Name: root, UID: types.UID("uid-" + root)}},
		},
		Spec: pipelinev1beta1.CustomRunSpec{
			CustomRef: &pipelinev1beta1.TaskRef{APIVersion: "stages.periplus.dev/v1alpha1", Kind: pipelinev1beta1.TaskKind(kind), Name: "x"},
		},
	}
	run.Status.StartTime = At(time.Second)
	run.Status.SetCondition(&apis.Condition{Type: apis.ConditionSucceeded, Status: corev1.ConditionUnknown, Reason: "Running"})
	SetStatus(t, run, status)
	return run
}

// SetStatus writes what the stage keeps in its run.
func SetStatus(t *testing.T, run *pipelinev1beta1.CustomRun, status stages.RunStatus) {
	t.Helper()
	raw, err := json.Marshal(status)
	if err != nil {
		t.Fatal(err)
	}
	run.Status.ExtraFields = runtime.RawExtension{Raw: raw}
}

// End ends a run.
func End(run *pipelinev1beta1.CustomRun, after time.Duration, ok bool, reason, message string) {
	status := corev1.ConditionFalse
	if ok {
		status = corev1.ConditionTrue
	}
	run.Status.CompletionTime = At(after)
	run.Status.SetCondition(&apis.Condition{Type: apis.ConditionSucceeded, Status: status, Reason: reason, Message: message})
}
