package intervene

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	pipelinev1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/apimachinery/pkg/util/validation/field"

	stages "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/cli/act"
	"github.com/periplus-dev/periplus/pkg/cli/hub"
	"github.com/periplus-dev/periplus/pkg/cli/run"
	"github.com/periplus-dev/periplus/pkg/cli/screen"
)

// annotationMessage keeps what a person said of a run that he made: the name that Kubernetes has for descriptions of objects.
const annotationMessage = "kubernetes.io/description"

// decideMembers makes the run that takes members of a release back. An intervention takes back all of it, so this is a run of its own.
func (c *command) decideMembers(d *decision) error {
	for _, m := range c.back.members {
		if touched := membersTouched(d.release); !slices.Contains(touched, m) {
			return fmt.Errorf("release of %s did not touch %s%s", d.ref.Name, m, act.Meant(m, touched))
		}
	}
	var err error
	if d.byHand, err = c.byHand(stages.RollbackSpec{Scope: stages.RollbackMember, Members: c.back.members, Release: d.release.Name}); err != nil {
		return err
	}
	then := []string{
		fmt.Sprintf("a run %s of one Rollback is made, for %s alone; what was touched elsewhere stays", d.byHand.Name, strings.Join(c.back.members, ", ")),
	}
	if !d.ended() {
		then = append(then, "the run is not ended; the other stages of the release stand still meanwhile")
	}
	d.plan.Add("then", then...)
	return nil
}

// decideFromMembers makes the run that reads the record from members.
func (c *command) decideFromMembers(ctx context.Context, h *hub.Hub) (*decision, error) {
	b := c.back
	if b.hub == "" {
		known, err := h.Periplus.StagesV1alpha1().Releases(h.Namespace).Get(ctx, b.release, metav1.GetOptions{})
		switch {
		case err == nil:
			return nil, fmt.Errorf("this hub has the record of release %s: %s rollback %s takes it back by that", b.release, c.program, known.Spec.Root.Name)
		case !apierrors.IsNotFound(err) || hub.NoSuchAPI(err):
			return nil, h.Explain(hub.Request{Verb: "get", Resource: "releases.stages.periplus.dev", Name: b.release}, err)
		}
	}
	where, err := membersThere(ctx, h, b.members)
	if err != nil {
		return nil, err
	}
	spec := stages.RollbackSpec{FromMembers: &stages.FromMembers{Release: b.release, Hub: b.hub}}
	if len(b.members) > 0 {
		spec.Scope, spec.Members = stages.RollbackMember, b.members
	}
	d := &decision{target: &target{ref: stages.RootRef{Name: b.release}}, question: "Take it back?"}
	if d.byHand, err = c.byHand(spec); err != nil {
		return nil, err
	}
	d.plan = screen.Plan{Title: fmt.Sprintf("rollback of release %s in %s, by what the members know", b.release, h.Namespace)}
	of := "this hub"
	if b.hub != "" {
		of = "the hub " + b.hub
	}
	d.plan.Add("members", where)
	d.plan.Add("back", fmt.Sprintf("each workload of namespace %s there that carries a lock of release %s and %s, to the revision and partition that its lock gives", h.Namespace, b.release, of))
	d.plan.Warn("not known", "which workloads these are: the hub has no record, and only the members do")
	d.plan.Add("then", fmt.Sprintf("a run %s of one Rollback is made; its record says what it found before anything moves", d.byHand.Name))
	return d, nil
}

// membersThere checks names of members, and says which are meant.
func membersThere(ctx context.Context, h *hub.Hub, names []string) (string, error) {
	known, err := run.Members(ctx, h)
	switch {
	case apierrors.IsForbidden(err) && len(names) > 0:
		return strings.Join(names, ", ") + " (you may not read members, so nobody looked whether they are there)", nil
	case apierrors.IsForbidden(err):
		return "all there are", nil
	case err != nil:
		return "", err
	}
	var all []string
	for m := range known {
		all = append(all, m)
	}
	slices.Sort(all)
	for _, n := range names {
		if _, there := known[n]; !there {
			return "", fmt.Errorf("there is no member %s%s", n, act.Meant(n, all))
		}
	}
	switch {
	case len(names) > 0:
		return strings.Join(names, ", "), nil
	case len(all) == 0:
		return "", errors.New("this hub has no members yet: create a Member for each in which the release touched something, and then ask them")
	}
	return strings.Join(shortened(all, "more"), ", "), nil
}

// byHand makes the run, of the same name however often the hub is looked at.
func (c *command) byHand(spec stages.RollbackSpec) (*pipelinev1.PipelineRun, error) {
	if c.back.made == "" {
		c.back.made = "rollback-" + rand.String(10)
	}
	return rollbackRun(c.back.made, spec)
}

// rollbackRun is a PipelineRun of one Rollback: people may start PipelineRuns, and admission stamps who did. It has no timeout, because half a way
// back helps nobody; progressDeadline ends one that gets nowhere.
func rollbackRun(name string, spec stages.RollbackSpec) (*pipelinev1.PipelineRun, error) {
	defaulted := spec.DeepCopy()
	defaulted.SetDefaults()
	if errs := defaulted.Validate(field.NewPath("spec")); len(errs) > 0 {
		return nil, fmt.Errorf("such a rollback is not possible: %w", errs.ToAggregate())
	}
	raw, err := json.Marshal(spec)
	if err != nil {
		return nil, fmt.Errorf("encoding the rollback: %w", err)
	}
	task := pipelinev1.PipelineTask{
		Name: "rollback", Timeout: &metav1.Duration{},
		TaskSpec: &pipelinev1.EmbeddedTask{
			TypeMeta: runtime.TypeMeta{APIVersion: stages.SchemeGroupVersion.String(), Kind: "Rollback"}, Spec: runtime.RawExtension{Raw: raw},
		},
	}
	return &pipelinev1.PipelineRun{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: pipelinev1.PipelineRunSpec{
			PipelineSpec: &pipelinev1.PipelineSpec{Tasks: []pipelinev1.PipelineTask{task}},
			Timeouts:     &pipelinev1.TimeoutFields{Pipeline: &metav1.Duration{}},
		},
	}, nil
}

// start makes the run, in the caller's name.
func (c *command) start(ctx context.Context, h *hub.Hub, d *decision, user string) (string, error) {
	made := d.byHand
	made.Namespace = h.Namespace
	// Servers that stamp who it is write the same; the others want it written.
	made.Annotations = map[string]string{stages.AnnotationInitiator: user, annotationMessage: c.act.Message}
	if _, err := h.Tekton.TektonV1().PipelineRuns(h.Namespace).Create(ctx, made, metav1.CreateOptions{}); err != nil {
		return "", h.Explain(hub.Request{Verb: "create", Resource: "pipelineruns.tekton.dev", Name: made.Name}, err)
	}
	return fmt.Sprintf("recorded: %s takes %s back by the run %s; follow it: %s", user, d.ref.Name, made.Name, c.again(h, "get "+made.Name+" --watch")), nil
}
