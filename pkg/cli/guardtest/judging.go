package guardtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-logr/logr"
	pipelinev1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	pipelinev1beta1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/klog/v2"
	"knative.dev/pkg/apis"

	stages "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/cli/act"
	"github.com/periplus-dev/periplus/pkg/cli/hub"
	"github.com/periplus-dev/periplus/pkg/cli/run"
	"github.com/periplus-dev/periplus/pkg/cli/screen"
)

const (
	// patience is how long the hub may take to create or delete the run. Neither is broken off: what may be there already has to be deleted.
	patience = 10 * time.Second
	// spare is how much longer than the command waits a run lasts that nobody deletes.
	spare = time.Minute
	// silence is how long is waited before it is said for what.
	silence = 2 * time.Second

	taskName      = "guards"
	reasonInvalid = "InvalidSpec"
)

// make is the run of one Check. Its name is made here, so that it is known whatever becomes of the answer to its creation.
func (c *command) make(guards []stages.Guard, params map[string]string) (*pipelinev1.PipelineRun, error) {
	spec := stages.CheckSpec{Target: c.target, Members: c.members, Guards: guards}
	if len(c.members) == 0 {
		spec.MemberSelector = &metav1.LabelSelector{}
	}
	if errs := spec.Validate(field.NewPath("spec")); len(errs) > 0 {
		return nil, errs.ToAggregate()
	}
	raw, err := json.Marshal(spec)
	if err != nil {
		return nil, fmt.Errorf("encoding the check: %w", err)
	}
	task := pipelinev1.PipelineTask{
		Name: taskName,
		TaskSpec: &pipelinev1.EmbeddedTask{
			TypeMeta: runtime.TypeMeta{APIVersion: stages.SchemeGroupVersion.String(), Kind: "Check"}, Spec: runtime.RawExtension{Raw: raw},
		},
	}
	for name, value := range params {
		task.Params = append(task.Params, pipelinev1.Param{Name: name, Value: *pipelinev1.NewStructuredValues(value)})
	}
	slices.SortFunc(task.Params, func(a, b pipelinev1.Param) int { return strings.Compare(a.Name, b.Name) })
	return &pipelinev1.PipelineRun{
		ObjectMeta: metav1.ObjectMeta{Name: "guard-test-" + rand.String(8)},
		Spec: pipelinev1.PipelineRunSpec{
			PipelineSpec: &pipelinev1.PipelineSpec{Tasks: []pipelinev1.PipelineTask{task}},
			Timeouts:     &pipelinev1.TimeoutFields{Pipeline: &metav1.Duration{Duration: (c.timeout + spare).Round(time.Second)}},
		},
	}, nil
}

// start creates the run in the caller's name.
func (c *command) start(ctx context.Context, h *hub.Hub, made *pipelinev1.PipelineRun) error {
	me, err := act.Who(ctx, h)
	if err != nil {
		return refused(ctx, err)
	}
	// Servers that stamp who it is write the same; the others want it written.
	made.Namespace, made.Annotations = h.Namespace, map[string]string{stages.AnnotationInitiator: me.User}
	creating, done := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer done()
	created, err := h.Tekton.TektonV1().PipelineRuns(h.Namespace).Create(creating, made, metav1.CreateOptions{})
	if err == nil {
		made.UID = created.UID
		return nil
	}
	if creating.Err() != nil {
		c.clear(ctx, h, made.Name) // it may have been made all the same.
	}
	return wrong(h.Explain(hub.Request{Verb: "create", Resource: "pipelineruns.tekton.dev", Name: made.Name}, err))
}

// refused is what ends the command before anything was judged.
func refused(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ended{code: interrupted}
	}
	return wrong(err)
}

// clear deletes the run, interrupted or not, and says where it could not.
func (c *command) clear(ctx context.Context, h *hub.Hub, name string) {
	if c.keep {
		_, _ = fmt.Fprintf(c.asides, "the run %s is kept: %s get %s%s\n", name, c.program, name, flagsOf(h))
		return
	}
	deleting, done := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer done()
	background := metav1.DeletePropagationBackground
	err := h.Tekton.TektonV1().PipelineRuns(h.Namespace).Delete(deleting, name, metav1.DeleteOptions{PropagationPolicy: &background})
	if err != nil && (!apierrors.IsNotFound(err) || hub.NoSuchAPI(err)) {
		err = h.Explain(hub.Request{Verb: "delete", Resource: "pipelineruns.tekton.dev", Name: name}, err)
		_, _ = fmt.Fprintf(c.asides, "the run %s is left behind; it moves nothing, and can be deleted: %v\n", name, err)
	}
}

func flagsOf(h *hub.Hub) string {
	out := ""
	for _, f := range []string{h.NamespaceFlag, h.Flags} {
		if f != "" {
			out += " " + f
		}
	}
	return out
}

// verdicts follows the run until every guard of the file has a verdict in every member, the run is over, or the time is.
func (c *command) verdicts(ctx context.Context, h *hub.Hub, made *pipelinev1.PipelineRun, f *file) (*screen.GuardTest, error) {
	deadline := c.clock.NewTimer(c.timeout)
	defer deadline.Stop()
	quiet := c.clock.NewTimer(silence)
	defer quiet.Stop()
	// What the watches log would stand between the lines.
	watching, stop := context.WithCancel(klog.NewContext(ctx, logr.Discard()))
	defer stop()
	first, err := run.Read(watching, h, made.Name)
	if err != nil {
		return nil, refused(ctx, err)
	}
	following, err := run.Follow(watching, h, first, c.clock)
	if err != nil {
		return nil, refused(ctx, err)
	}
	loud, said := false, ""
	for {
		o, there := following.Objects()
		s, err := c.look(o, f)
		switch {
		case err != nil:
			return nil, err
		case !there:
			return nil, ended{notPassed, fmt.Errorf("the run %s was deleted before all guards were judged", made.Name)}
		case s.settled:
			return s.test, nil
		}
		if waits := s.waits(); loud && waits != said && waits != "" {
			said = waits
			_, _ = fmt.Fprintf(c.asides, "waits: %s\n", said)
		}
		select {
		case <-ctx.Done():
			return nil, ended{code: interrupted}
		case <-following.Changed():
		case <-quiet.C():
			loud = true
		case <-deadline.C():
			s.test.Message = fmt.Sprintf("not all was judged within %s; --timeout waits longer: %s", c.timeout, s.waits())
			return s.test, nil
		}
	}
}

// sight is what is known of the test at one time.
type sight struct {
	test    *screen.GuardTest
	settled bool
	// verdict of the run, for when no guard was judged yet.
	verdict screen.Verdict
	stale   string
}

// look reads the verdicts out of the run. It fails where the hub refused the guards.
func (c *command) look(o screen.Objects, f *file) (*sight, error) {
	t := &screen.GuardTest{Format: screen.GuardTestFormat, At: metav1.NewTime(c.clock.Now()), Namespace: o.Namespace(), Run: o.Name(), Kept: c.keep, Target: c.target, Members: c.members}
	m := screen.Build(o, screen.Options{Now: c.clock.Now(), Program: c.program})
	s := &sight{test: t, verdict: m.Verdict, stale: m.Stale}
	var stage *pipelinev1beta1.CustomRun
	for _, cr := range o.CustomRuns {
		if screen.OwnedBy(cr.ObjectMeta, o.UID()) && run.StageOf(cr) == taskName {
			stage = cr
		}
	}
	if stage == nil {
		// What the watches of runs and of their stages see has no order between them: the stage may still be to come.
		if o.PipelineRun.IsDone() && len(o.PipelineRun.Status.ChildReferences) == 0 {
			return nil, ended{notPassed, fmt.Errorf("the run %s ended before the hub judged anything: %s", o.Name(), m.Verdict.Text)}
		}
		return s, nil
	}
	status, err := screen.RunStatus(stage)
	if err != nil {
		return nil, ended{notPassed, err}
	}
	over := stage.Status.CompletionTime != nil
	condition := stage.Status.GetCondition(apis.ConditionSucceeded)
	if over && condition != nil && condition.IsFalse() && (status.Admitted == nil || condition.Reason == reasonInvalid) {
		return nil, wrong(errors.New(f.located(screen.Clean(condition.Message))))
	}
	if status.Admitted != nil {
		t.Members, t.LeftOut = status.Admitted.Members, status.Admitted.LeftOut
	}
	s.settled = t.Fill(f.guards, status.Guards) || over
	if s.settled && condition != nil && condition.IsFalse() && !t.Passed {
		t.Message = screen.Clean(condition.Message)
	}
	return s, nil
}

// waits says what is waited for.
func (s *sight) waits() string {
	if s.stale != "" {
		return s.stale
	}
	for _, g := range s.test.Guards {
		if g.Verdict == stages.VerdictPending && g.Judged() {
			return fmt.Sprintf("guard %s in %s: %s", g.Name, g.Member, g.Message)
		}
	}
	return s.verdict.Text
}
