package stage

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tektoncd/pipeline/pkg/apis/config"
	pipelinev1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"knative.dev/pkg/apis"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/spelling"
)

// maxNested is how often the default of a param may lead to that of another one.
const maxNested = 10

// resolve finds the pipeline and puts the run's params in it, and keeps that as Tekton would in the run's status. It says whether there is one.
func (p *planning) resolve(ctx context.Context, pr *pipelinev1.PipelineRun) (bool, error) {
	tekton := config.ToContext(ctx, config.FromContextOrDefaults(ctx))
	p.out.Timeout = planTimeout(nil)
	if pr.Spec.Timeouts != nil && pr.Spec.Timeouts.Pipeline != nil {
		p.out.Timeout = planTimeout(pr.Spec.Timeouts.Pipeline)
	}
	pr.SetDefaults(tekton)
	p.refusedByTekton(pr.Validate(tekton))
	var spec *pipelinev1.PipelineSpec
	switch ref := pr.Spec.PipelineRef; {
	case pr.Spec.PipelineSpec != nil:
		spec = pr.Spec.PipelineSpec.DeepCopy()
	case ref == nil:
		return false, nil // Tekton's validation says so.
	case ref.Resolver != "":
		p.wrong("", "spec.pipelineRef.resolver", fmt.Sprintf("what the resolver %s would find is not known before the run: name a Pipeline of the namespace, or embed one by pipelineSpec", ref.Resolver))
		return false, nil
	default:
		found, err := p.Tekton.TektonV1().Pipelines(pr.Namespace).Get(ctx, ref.Name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			p.wrong("", "spec.pipelineRef.name", fmt.Sprintf("there is no Pipeline %q in namespace %s", ref.Name, pr.Namespace))
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("reading Pipeline %s/%s: %w", pr.Namespace, ref.Name, err)
		}
		spec, p.out.Pipeline = found.Spec.DeepCopy(), found.Name
		spec.SetDefaults(tekton)
	}
	p.run = pr
	for _, lack := range filled(pr, spec, p.out.Pipeline) {
		p.wrong("", "spec.params", lack)
	}
	return true, nil
}

// refusedByTekton notes what Tekton's own validation says, a mistake a line.
func (p *planning) refusedByTekton(err *apis.FieldError) {
	if err == nil {
		return
	}
	for _, e := range err.Filter(apis.ErrorLevel).WrappedErrors() {
		message := e.Message
		if e.Details != "" {
			message += ": " + strings.Join(strings.Fields(e.Details), " ")
		}
		p.wrong("", strings.Join(e.Paths, ", "), message)
	}
}

// filled puts a run's params and context in the place of references in a pipeline, as Tekton does, keeps it in the run's status, and says what is wrong with the params.
func filled(pr *pipelinev1.PipelineRun, spec *pipelinev1.PipelineSpec, name string) (wrong []string) {
	texts := map[string]string{
		"context.pipelineRun.name": pr.Name, "context.pipelineRun.namespace": pr.Namespace, "context.pipelineRun.uid": string(pr.UID), "context.pipeline.name": name,
	}
	lists, objects := map[string][]string{}, map[string]map[string]string{}
	have := func(name string, v pipelinev1.ParamValue) {
		for _, form := range []string{"params.%s", "params[%q]", "params['%s']"} {
			key := fmt.Sprintf(form, name)
			switch v.Type {
			case pipelinev1.ParamTypeArray:
				lists[key] = v.ArrayVal
				for i, e := range v.ArrayVal {
					texts[fmt.Sprintf("%s[%d]", key, i)] = e
				}
			case pipelinev1.ParamTypeObject:
				objects[key] = v.ObjectVal
				for k, e := range v.ObjectVal {
					texts[key+"."+k] = e
				}
			default:
				texts[key] = v.StringVal
			}
		}
	}
	given := map[string]pipelinev1.ParamValue{}
	for _, v := range pr.Spec.Params {
		given[v.Name] = v.Value
		have(v.Name, v.Value)
	}
	var declared []string
	for _, want := range spec.Params {
		declared = append(declared, want.Name)
		v, ok := given[want.Name]
		switch {
		case !ok && want.Default == nil:
			wrong = append(wrong, fmt.Sprintf("the pipeline wants the param %s (%s), which is not given", want.Name, want.Type))
		case ok && want.Type != "" && v.Type != want.Type:
			wrong = append(wrong, fmt.Sprintf("the param %s must be of type %s, and is of type %s", want.Name, want.Type, v.Type))
		}
	}
	for _, v := range pr.Spec.Params {
		// Tekton takes a param that nobody wants; where one is wanted and not given, that is most likely why.
		if near := spelling.Nearest(v.Name, declared); len(wrong) > 0 && near != "" && !slices.Contains(declared, v.Name) {
			wrong = append(wrong, fmt.Sprintf("the pipeline has no param %s; did you mean %s?", v.Name, near))
		}
	}
	for range maxNested {
		for _, want := range spec.Params {
			if _, ok := given[want.Name]; ok || want.Default == nil {
				continue
			}
			v := *want.Default.DeepCopy()
			v.ApplyReplacements(texts, lists, objects)
			have(want.Name, v)
		}
	}
	for _, tasks := range [][]pipelinev1.PipelineTask{spec.Tasks, spec.Finally} {
		for i := range tasks {
			tasks[i].Params = tasks[i].Params.ReplaceVariables(texts, lists, objects)
			tasks[i].When = tasks[i].When.ReplaceVariables(texts, lists)
		}
	}
	pr.Status.PipelineSpec = spec
	return wrong
}

// inOrder are tasks in an order that keeps to what they wait for, and else to how they are written. Those of a circle come last: Tekton refuses it.
func tasksInOrder(tasks []pipelinev1.PipelineTask) []*pipelinev1.PipelineTask {
	var out []*pipelinev1.PipelineTask
	placed := map[string]bool{}
	names := pipelinev1.PipelineTaskList(tasks).Names()
	for len(out) < len(tasks) {
		at := slices.IndexFunc(tasks, func(t pipelinev1.PipelineTask) bool {
			return !placed[t.Name] && !slices.ContainsFunc(t.Deps(), func(d string) bool { return names.Has(d) && !placed[d] })
		})
		if at < 0 {
			at = slices.IndexFunc(tasks, func(t pipelinev1.PipelineTask) bool { return !placed[t.Name] })
		}
		if at < 0 {
			break // two of one name.
		}
		placed[tasks[at].Name] = true
		out = append(out, &tasks[at])
	}
	return out
}

// whenOf says under which conditions a task runs, and whether they are known not to hold.
func whenOf(pt *pipelinev1.PipelineTask) (words []string, skipped bool) {
	known := true
	for _, w := range pt.When {
		text := w.CEL
		if text == "" {
			text = fmt.Sprintf("%s %s [%s]", w.Input, w.Operator, strings.Join(w.Values, ", "))
		}
		words = append(words, text)
		known = known && w.CEL == "" && !strings.Contains(text, "$(")
	}
	return words, known && len(words) > 0 && !pt.When.AllowsExecution(nil)
}

// planTimeout says how long something may take; nil means that nobody said, and Tekton's 60 minutes hold.
func planTimeout(d *metav1.Duration) v1alpha1.PlannedTimeout {
	switch {
	case d == nil:
		return v1alpha1.PlannedTimeout{Limit: (config.DefaultTimeoutMinutes * time.Minute).String(), Default: true}
	case d.Duration == 0:
		return v1alpha1.PlannedTimeout{Limit: "none"}
	}
	return v1alpha1.PlannedTimeout{Limit: d.Duration.String()}
}
