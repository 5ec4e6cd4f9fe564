package run

import (
	"cmp"
	"context"
	"slices"
	"strings"

	pipelinev1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	pipelinev1beta1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	stagesgroup "github.com/periplus-dev/periplus/pkg/apis/stages"
	"github.com/periplus-dev/periplus/pkg/cli/hub"
	"github.com/periplus-dev/periplus/pkg/cli/screen"
)

// All lists the runs of the hub's namespace, or of all where that is empty, newest first, each with its stages. Only PipelineRuns that have stages of
// ours are runs; one that has not begun and names its Pipeline is one until it is known.
func All(ctx context.Context, h *hub.Hub) ([]screen.Objects, error) {
	everywhere := h.Namespace == metav1.NamespaceAll
	prs, err := h.Tekton.TektonV1().PipelineRuns(h.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, h.Explain(hub.Request{Verb: "list", Resource: pipelineRuns, Everywhere: everywhere}, err)
	}
	customs, err := h.Tekton.TektonV1beta1().CustomRuns(h.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, h.Explain(hub.Request{Verb: "list", Resource: customRuns, Everywhere: everywhere}, err)
	}
	byRun := map[types.NamespacedName][]*pipelinev1beta1.CustomRun{}
	var all []screen.Objects
	for i := range customs.Items {
		c := &customs.Items[i]
		if parent := parentOf(c); parent != "" {
			key := types.NamespacedName{Namespace: c.Namespace, Name: parent}
			byRun[key] = append(byRun[key], c)
		} else if screen.Ours(c) {
			all = append(all, screen.Objects{Root: c})
		}
	}
	for i := range prs.Items {
		pr := &prs.Items[i]
		children := byRun[types.NamespacedName{Namespace: pr.Namespace, Name: pr.Name}]
		if carries(pr, children) {
			all = append(all, screen.Objects{PipelineRun: pr, CustomRuns: children})
		}
	}
	slices.SortStableFunc(all, func(a, b screen.Objects) int {
		return cmp.Or(created(b).Compare(created(a).Time), cmp.Compare(a.Namespace(), b.Namespace()), cmp.Compare(a.Name(), b.Name()))
	})
	return all, nil
}

func created(o screen.Objects) *metav1.Time {
	if o.PipelineRun != nil {
		return &o.PipelineRun.CreationTimestamp
	}
	return &o.Root.CreationTimestamp
}

// carries says whether a PipelineRun has stages of ours.
func carries(pr *pipelinev1.PipelineRun, children []*pipelinev1beta1.CustomRun) bool {
	if slices.ContainsFunc(children, screen.Ours) {
		return true
	}
	spec := pr.Status.PipelineSpec
	if spec == nil {
		spec = pr.Spec.PipelineSpec
	}
	if spec == nil {
		return !pr.IsDone()
	}
	return slices.ContainsFunc(slices.Concat(spec.Tasks, spec.Finally), func(t pipelinev1.PipelineTask) bool {
		return t.TaskRef != nil && strings.HasPrefix(t.TaskRef.APIVersion, stagesgroup.GroupName+"/") ||
			t.TaskSpec != nil && strings.HasPrefix(t.TaskSpec.APIVersion, stagesgroup.GroupName+"/")
	})
}
