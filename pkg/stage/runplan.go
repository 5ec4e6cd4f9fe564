package stage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/go-multierror"
	pipelinev1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/policy"
	"github.com/periplus-dev/periplus/pkg/workload"
)

// maxPlan is how long a plan may be in bytes: etcd takes objects of 1.5 MiB, and the run is in it too.
const maxPlan = 1 << 20

// Planner says what runs would do, by the code that they would be admitted and moved by. It moves, locks and records nothing.
type Planner struct {
	*Frame
	// Ways finds out how a workload changes its pods; UpdateWay where nil.
	Ways func(ctx context.Context, s workload.Session, u *workload.Unit) (Way, error)
}

// planning is one pass over a RunPlan. It starts over from what is observed, and keeps nothing for the next.
type planning struct {
	*Planner
	plan *v1alpha1.RunPlan
	wake func()
	// last is true where nothing is waited for any more: what cannot be seen is a problem.
	last bool

	out v1alpha1.RunPlanStatus
	// run as Tekton would have it, its pipeline resolved, and the release that it retries, nil where it retries none.
	run     *pipelinev1.PipelineRun
	release *v1alpha1.Release
	// book and stored are read once for all stages.
	book   *policy.Book
	stored map[string][]byte
	// ground is how workloads would be after the stages that were planned so far, touched the order in which stages come to them.
	ground  map[groundKey]*ground
	touched []groundKey
	waits   []string
	// diffs is how many bytes of differences there are so far.
	diffs int
}

// groundKey names a unit of a workload.
type groundKey struct{ member, kind, workload, unit string }

func groundOf(u *workload.Unit) groundKey { return groundKey{u.Member, u.Kind, u.Workload, u.Name} }

// ground is what the stages that were planned so far make of a unit.
type ground struct {
	// stage that came first, and the template that it brings.
	stage    string
	template *corev1.PodTemplateSpec
	// updated pods are on the release's revision.
	updated  int32
	replicas int32
	// before is the revision that the unit was on.
	before string
}

// Plan makes one pass: it says what the run would do, or, in the phase Pending, what it waits for to know that. wake is called when something that was looked at
// may have changed. With last set nothing is waited for any more. An error is worth another try.
func (pl *Planner) Plan(ctx context.Context, rp *v1alpha1.RunPlan, last bool, wake func()) (*v1alpha1.RunPlanStatus, error) {
	p := &planning{Planner: pl, plan: rp, wake: wake, last: last, stored: map[string][]byte{}, ground: map[groundKey]*ground{}}
	at := metav1.NewTime(pl.Clock.Now())
	p.out = v1alpha1.RunPlanStatus{ObservedGeneration: rp.Generation, At: &at}
	if err := p.all(ctx); err != nil {
		return nil, err
	}
	p.out.Problems = slices.DeleteFunc(slices.Clone(p.out.Problems), p.saidBetter)
	if n := size(&p.out); n > maxPlan {
		p.out.Stages = nil
		p.wrong("", "", fmt.Sprintf("the plan is %d bytes long, and an object of the hub holds %d: plan fewer members at once, or without differences", n, maxPlan))
	}
	p.out.ProblemCount = int32(len(p.out.Problems)) // #nosec G115 -- as many as fit into an object.
	switch {
	case len(p.waits) > 0:
		return &v1alpha1.RunPlanStatus{ObservedGeneration: rp.Generation, Phase: v1alpha1.PlanPending, Message: shorten(strings.Join(p.waits, "; "), 1024)}, nil
	case len(p.out.Problems) > 0:
		p.out.Phase, p.out.Message = v1alpha1.PlanRefused, fmt.Sprintf("%d reasons for which the run would be refused", len(p.out.Problems))
		if len(p.out.Problems) == 1 {
			p.out.Message = "1 reason for which the run would be refused"
		}
	default:
		p.out.Phase = v1alpha1.PlanReady
	}
	return &p.out, nil
}

func (p *planning) all(ctx context.Context) error {
	pr, ok := p.decode()
	if !ok {
		return nil
	}
	ok, err := p.resolve(ctx, pr)
	if err != nil || !ok {
		return err
	}
	if err := p.retrying(ctx); err != nil {
		return err
	}
	all, err := p.stages(ctx, p.run, "", []carrier{{run: p.run}})
	p.out.Stages = all
	return err
}

// wrong notes a reason for which the run would be refused, each once.
func (p *planning) wrong(stage, at, message string) {
	x := v1alpha1.PlanProblem{Stage: stage, Field: at, Message: message}
	if !slices.Contains(p.out.Problems, x) {
		p.out.Problems = append(p.out.Problems, x)
	}
}

// saidBetter says whether a problem is told with a more exact field as well: what a stage lacks is also said by those before it.
func (p *planning) saidBetter(x v1alpha1.PlanProblem) bool {
	return slices.ContainsFunc(p.out.Problems, func(y v1alpha1.PlanProblem) bool {
		return y.Stage == x.Stage && y.Message == x.Message && y.Field != x.Field && within(y.Field, x.Field)
	})
}

// wrongs notes mistakes of a stage by their fields.
func (p *planning) wrongs(stage string, errs field.ErrorList) {
	for _, e := range errs {
		p.mistake(stage, brief(e))
	}
}

func (p *planning) mistake(stage string, err error) {
	var f *field.Error
	if !errors.As(err, &f) {
		p.wrong(stage, "", err.Error())
		return
	}
	// What a run lacks is said by each of its stages, with the name of the one that it is for.
	if name, ok := strings.CutPrefix(f.Field, "tasks["); ok && strings.HasSuffix(name, "]") {
		if hop, _, carried := strings.Cut(stage, "/"); carried {
			name = hop + "/" + name
		}
		stage, f.Field = strings.TrimSuffix(name, "]"), "spec"
	}
	p.wrong(stage, f.Field, f.ErrorBody())
}

// invalidOf are the single mistakes of an error that another try does not mend, nil where it is no such error.
func invalidOf(err error) []error {
	var bad *invalidError
	if !errors.As(err, &bad) {
		return nil
	}
	var several *multierror.Error
	if errors.As(bad.err, &several) {
		return several.Errors
	}
	return []error{bad.err}
}

// decode reads the PipelineRun, as Tekton would take it.
func (p *planning) decode() (*pipelinev1.PipelineRun, bool) {
	pr := &pipelinev1.PipelineRun{}
	if err := json.Unmarshal(p.plan.Spec.Run.Raw, pr); err != nil {
		p.wrong("", "spec.run", fmt.Sprintf("cannot be read as a PipelineRun: %v", err))
		return nil, false
	}
	if pr.APIVersion != "tekton.dev/v1" || pr.Kind != "PipelineRun" {
		p.wrong("", "spec.run", fmt.Sprintf("is a %s %s, and must be a tekton.dev/v1 PipelineRun", pr.APIVersion, pr.Kind))
		return nil, false
	}
	if pr.Namespace != "" && pr.Namespace != p.plan.Namespace {
		p.wrong("", "metadata.namespace", fmt.Sprintf("is %s, and the plan is made in %s: a run is planned in its own namespace", pr.Namespace, p.plan.Namespace))
		return nil, false
	}
	pr.Namespace = p.plan.Namespace
	pr.UID = types.UID("plan-" + string(p.plan.UID))
	if pr.Name == "" {
		pr.Name = strings.TrimRight(pr.GenerateName, "-.")
	}
	if pr.Annotations == nil {
		pr.Annotations = map[string]string{}
	}
	for _, k := range []string{v1alpha1.AnnotationRelease, v1alpha1.AnnotationParent, v1alpha1.AnnotationCarrier, v1alpha1.AnnotationAttempt, v1alpha1.AnnotationSettled} {
		if pr.Annotations[k] != "" {
			p.wrong("", "metadata.annotations["+k+"]", "is set by the controller only; leave it out")
			delete(pr.Annotations, k)
		}
	}
	// Who asks for the plan is who would start the run: admission says so, and not the file.
	delete(pr.Annotations, v1alpha1.AnnotationInitiator)
	if who := p.plan.Annotations[v1alpha1.AnnotationInitiator]; who != "" {
		pr.Annotations[v1alpha1.AnnotationInitiator] = who
	}
	return pr, true
}

// retrying finds the release that the run would carry on.
func (p *planning) retrying(ctx context.Context) error {
	old := p.run.Annotations[v1alpha1.AnnotationRetryOf]
	if old == "" {
		return nil
	}
	rel, err := p.joinable(ctx, p.run)
	if wrong := invalidOf(err); wrong != nil {
		for _, e := range wrong {
			p.mistake("", e)
		}
		return nil
	}
	if err != nil {
		return err
	}
	p.release = rel
	if rel.Status.Phase != v1alpha1.ReleaseFailed {
		p.out.Notes = append(p.out.Notes, stillCarried(rel).Error())
	}
	return nil
}
