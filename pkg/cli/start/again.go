package start

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	pipelinev1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	stages "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/cli/hub"
)

// startedBefore is the run that has the name of a wanted one already, where it asks for the same: then a CI job that is run again follows what its first try
// began. One that asks for something else is an error.
func startedBefore(ctx context.Context, h *hub.Hub, wanted *pipelinev1.PipelineRun) (*pipelinev1.PipelineRun, error) {
	there, err := h.Tekton.TektonV1().PipelineRuns(h.Namespace).Get(ctx, wanted.Name, metav1.GetOptions{})
	if err != nil {
		return nil, h.Explain(hub.Request{Verb: "get", Resource: "pipelineruns.tekton.dev", Name: wanted.Name}, err)
	}
	if is, want := asks(there), asks(wanted); is != want {
		return nil, fmt.Errorf("there is a run named %s already, and it is of %s, not of %s; give another --name", wanted.Name, is, want)
	}
	return there, nil
}

// asks tells what a run of a stored pipeline releases: the pipeline, the params in the order of their names, and for whom it was started.
func asks(pr *pipelinev1.PipelineRun) string {
	var b strings.Builder
	if ref := pr.Spec.PipelineRef; ref != nil && ref.Name != "" {
		b.WriteString("pipeline " + ref.Name)
	} else {
		b.WriteString("a pipeline of its own")
	}
	params := slices.SortedFunc(slices.Values(pr.Spec.Params), func(a, b pipelinev1.Param) int { return cmp.Compare(a.Name, b.Name) })
	for i, p := range params {
		sep := ", "
		if i == 0 {
			sep = " with "
		}
		fmt.Fprintf(&b, "%s%s=%s", sep, p.Name, valueOf(p.Value))
	}
	if who := pr.Annotations[stages.AnnotationOnBehalfOf]; who != "" {
		b.WriteString(" for " + who)
	}
	return b.String()
}

func valueOf(v pipelinev1.ParamValue) string {
	switch v.Type {
	case pipelinev1.ParamTypeArray:
		return fmt.Sprintf("%q", v.ArrayVal)
	case pipelinev1.ParamTypeObject:
		return fmt.Sprintf("%q", v.ObjectVal)
	}
	return fmt.Sprintf("%q", v.StringVal)
}
