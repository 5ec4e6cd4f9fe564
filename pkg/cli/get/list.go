package get

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/tektoncd/pipeline/pkg/apis/pipeline"
	pipelinev1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	pipelinev1beta1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	stagesgroup "github.com/periplus-dev/periplus/pkg/apis/stages"
	"github.com/periplus-dev/periplus/pkg/cli/hub"
	"github.com/periplus-dev/periplus/pkg/cli/run"
	"github.com/periplus-dev/periplus/pkg/cli/screen"
)

// runList is what `get -o json` prints without a name.
type runList struct {
	Format string          `json:"format"`
	Items  []*screen.Model `json:"items"`
}

// list shows the runs of the namespace, newest first, each with its verdict. Only PipelineRuns that have stages of ours are runs; one
// that has not begun and names its Pipeline is shown until it is known.
func (g *command) list(ctx context.Context, h *hub.Hub) error {
	ctx, done := context.WithTimeout(ctx, patience)
	defer done()
	at := *h
	if g.allNamespaces {
		at.Namespace = metav1.NamespaceAll
	}
	models, err := g.models(ctx, &at)
	if err != nil {
		return err
	}
	if g.output != "" {
		return g.out.Encode(runList{Format: screen.Format + "-list", Items: models}, g.output)
	}
	if len(models) == 0 {
		where := "namespace " + h.Namespace
		if g.allNamespaces {
			where = "any namespace"
		}
		_, err = fmt.Fprintf(g.out, "There are no runs in %s.\n", where)
		return err
	}
	_, err = g.out.Write([]byte(screen.RenderList(models, g.out.Look(), g.allNamespaces)))
	return err
}

func (g *command) models(ctx context.Context, h *hub.Hub) ([]*screen.Model, error) {
	prs, err := h.Tekton.TektonV1().PipelineRuns(h.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, h.Explain(hub.Request{Verb: "list", Resource: "pipelineruns.tekton.dev"}, err)
	}
	customs, err := h.Tekton.TektonV1beta1().CustomRuns(h.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, h.Explain(hub.Request{Verb: "list", Resource: "customruns.tekton.dev"}, err)
	}
	around, err := run.AroundAll(ctx, h)
	if err != nil {
		return nil, err
	}
	byRun := map[types.NamespacedName][]*pipelinev1beta1.CustomRun{}
	var models []*screen.Model
	for i := range customs.Items {
		c := &customs.Items[i]
		if parent := c.Labels[pipeline.PipelineRunLabelKey]; parent != "" {
			key := types.NamespacedName{Namespace: c.Namespace, Name: parent}
			byRun[key] = append(byRun[key], c)
		} else if screen.Ours(c) {
			models = append(models, g.model(h, around.Of(screen.Objects{Root: c})))
		}
	}
	for i := range prs.Items {
		pr := &prs.Items[i]
		children := byRun[types.NamespacedName{Namespace: pr.Namespace, Name: pr.Name}]
		if carries(pr, children) {
			models = append(models, g.model(h, around.Of(screen.Objects{PipelineRun: pr, CustomRuns: children})))
		}
	}
	created := map[types.UID]metav1.Time{}
	for _, c := range customs.Items {
		created[c.UID] = c.CreationTimestamp
	}
	for _, pr := range prs.Items {
		created[pr.UID] = pr.CreationTimestamp
	}
	slices.SortStableFunc(models, func(a, b *screen.Model) int {
		return cmp.Or(created[b.UID].Compare(created[a.UID].Time), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return models, nil
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
