package start

import (
	"fmt"
	"io"
	"strings"
	"time"

	pipelinev1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	stages "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

// wish is what a run is to be, as the flags say it.
type wish struct {
	pipeline string
	params   []string
	file     string
	name     string
	behalf   string
	labels   map[string]string
	account  string
	timeout  time.Duration
}

// makeRun is a run of a pipeline. Tekton gives a run an hour where it says nothing, which a release that waits for people does not keep: without a timeout of the
// wish there is none.
func (w *wish) makeRun(p *pipelinev1.Pipeline) (*pipelinev1.PipelineRun, error) {
	values, err := params(p.Spec.Params, w.params)
	if err != nil {
		return nil, fmt.Errorf("pipeline %s: %w", p.Name, err)
	}
	pr := &pipelinev1.PipelineRun{
		ObjectMeta: metav1.ObjectMeta{Namespace: p.Namespace},
		Spec: pipelinev1.PipelineRunSpec{
			PipelineRef: &pipelinev1.PipelineRef{Name: p.Name}, Params: values,
			Timeouts: &pipelinev1.TimeoutFields{Pipeline: &metav1.Duration{Duration: w.timeout}},
		},
	}
	if w.account != "" {
		pr.Spec.TaskRunTemplate.ServiceAccountName = w.account
	}
	w.label(pr)
	return pr, nil
}

// label names the run and says for whom it is made.
func (w *wish) label(pr *pipelinev1.PipelineRun) {
	switch {
	case w.name != "":
		pr.Name, pr.GenerateName = w.name, ""
	case pr.Name == "" && pr.GenerateName == "" && pr.Spec.PipelineRef != nil && pr.Spec.PipelineRef.Name != "":
		pr.GenerateName = pr.Spec.PipelineRef.Name + "-"
	case pr.Name == "" && pr.GenerateName == "":
		pr.GenerateName = "release-"
	}
	for k, v := range w.labels {
		if pr.Labels == nil {
			pr.Labels = map[string]string{}
		}
		pr.Labels[k] = v
	}
	if w.behalf != "" {
		if pr.Annotations == nil {
			pr.Annotations = map[string]string{}
		}
		pr.Annotations[stages.AnnotationOnBehalfOf] = w.behalf
	}
}

// readRun reads one PipelineRun, strictly.
func readRun(r io.Reader, name string) (*pipelinev1.PipelineRun, error) {
	raw, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	pr := &pipelinev1.PipelineRun{}
	if err := yaml.UnmarshalStrict(raw, pr); err != nil {
		return nil, fmt.Errorf("%s is no PipelineRun: %w", name, err)
	}
	if pr.Kind != "PipelineRun" || !strings.HasPrefix(pr.APIVersion, "tekton.dev/") {
		return nil, fmt.Errorf("%s holds a %s of %s, and must hold one PipelineRun of tekton.dev/v1", name, orNothing(pr.Kind), orNothing(pr.APIVersion))
	}
	return pr, nil
}

func orNothing(s string) string {
	if s == "" {
		return "nothing"
	}
	return s
}
