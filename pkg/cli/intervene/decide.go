package intervene

import (
	"context"
	"fmt"
	"strings"
	"time"

	pipelinev1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	pipelinev1beta1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"

	stages "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/cli/act"
	"github.com/periplus-dev/periplus/pkg/cli/hub"
	"github.com/periplus-dev/periplus/pkg/cli/run"
	"github.com/periplus-dev/periplus/pkg/cli/screen"
)

// decision is what a command is about to do, from one look at the hub.
type decision struct {
	*target
	plan     screen.Plan
	question string
	// already says that there is nothing to do, because it is so.
	already string

	// stage that is skipped, or the ClusterHop that carries member.
	stage  *pipelinev1beta1.CustomRun
	member string
	// retry is the run that is made.
	retry *pipelinev1.PipelineRun
	// byHand is the run that is made for a rollback that no intervention can ask for.
	byHand *pipelinev1.PipelineRun
}

// decide looks at the hub and judges whether the intervention would have an effect, and which. It changes nothing.
func (c *command) decide(ctx context.Context, h *hub.Hub, name string) (*decision, error) {
	ctx, done := context.WithTimeout(ctx, patience)
	defer done()
	if c.back.fromMembers {
		return c.decideFromMembers(ctx, h)
	}
	t, err := c.find(ctx, h, name)
	if err != nil {
		return nil, err
	}
	d := &decision{target: t}
	switch {
	case c.member != "":
		err = c.oneMember(h, d)
	case c.action == stages.ActionPause:
		err = d.pause()
	case c.action == stages.ActionResume:
		err = c.resume(d)
	case c.action == stages.ActionAbort:
		err = d.abort()
	case c.action == stages.ActionSkip:
		err = c.skip(h, d)
	case c.action == stages.ActionRetry:
		err = c.retry(ctx, h, d)
	case c.action == stages.ActionRollback:
		err = c.rollback(ctx, h, d)
	}
	if err != nil || d.already != "" {
		return d, err
	}
	c.describe(h, d)
	return d, nil
}

// isOver is the error of an intervention in a release that nothing moves in any more.
func (d *decision) isOver(what string) error {
	return fmt.Errorf("run %s is over (%s): there is nothing to %s", d.name(), d.stands(), what)
}

// name of the run that carries the release, or did.
func (d *decision) name() string {
	if d.carrier != nil {
		return d.carrier.Name()
	}
	return d.ref.Name
}

// notKnown is the error where the record decides and cannot be read.
func (d *decision) notKnown() error {
	return fmt.Errorf("what %s touched is not known: %s", d.name(), strings.Join(d.carrier.Notes, "; "))
}

func (d *decision) pause() error {
	if d.over() {
		return d.isOver("pause")
	}
	if p := d.standing().Paused; p != nil {
		d.already = fmt.Sprintf("%s is paused already: %s", d.ref.Name, said(p))
	}
	d.question = "Pause it?"
	return nil
}

func (c *command) resume(d *decision) error {
	if d.over() {
		return d.isOver("resume")
	}
	if d.standing().Paused == nil {
		hint := ""
		for _, f := range d.model.Freezes {
			hint += fmt.Sprintf("; a freeze by %s stops it: %s", who(f.User), f.Command)
		}
		return fmt.Errorf("%s is not paused (%s)%s", d.ref.Name, d.stands(), hint)
	}
	d.question = "Resume it?"
	return nil
}

func (d *decision) abort() error {
	switch {
	case d.over():
		return d.isOver("abort")
	case d.model.Verdict.State == screen.StateRollingBack:
		return fmt.Errorf("run %s is being taken back (%s), which is not aborted; pause holds it where it is", d.name(), d.stands())
	case d.ended() && len(d.children) == 0:
		return fmt.Errorf("run %s has ended already, and its stages are stopping (%s)", d.name(), d.stands())
	}
	if a := d.standing().Aborted; a != nil {
		d.already = fmt.Sprintf("%s is being ended already: %s", d.ref.Name, said(a))
	}
	d.question = "Abort it?"
	return nil
}

func (c *command) skip(h *hub.Hub, d *decision) error {
	running := strings.Join(d.running(), ", ")
	if running == "" {
		running = "none"
	}
	switch {
	case d.over():
		return d.isOver("skip")
	case c.stage == "":
		return fmt.Errorf("say which stage of %s is skipped: --stage NAME; running now: %s", d.name(), running)
	}
	found, of, err := d.findStage(c.stage)
	if err != nil {
		return fmt.Errorf("%w; running now: %s", err, running)
	}
	m := c.model(h, of)
	for _, s := range m.Stages {
		if s.Run != found.Name {
			continue
		}
		switch {
		case s.State == screen.StageAsking || s.Kind == "Confirm":
			return fmt.Errorf("stage %s asks people, and is answered, not skipped: %s confirm %s --stage %s --message \"…\", or reject", s.Name, c.program, of.Name(), s.Name)
		case !isRunning(s):
			return fmt.Errorf("stage %s of run %s does not run (%s): only a stage that runs is skipped; running now: %s", s.Name, of.Name(), strings.ToLower(string(s.State)), running)
		}
		c.describeSkip(d, m, s)
	}
	d.stage = found
	if i := d.standing().Skipped[found.UID]; i != nil {
		d.already = fmt.Sprintf("stage %s is being skipped already: %s", run.StageOf(found), said(i))
	}
	d.question = "Skip it?"
	return nil
}

// findStage finds a stage by its task or its CustomRun: in the run that was named, in the one that carries the release, and, by CustomRun, in those
// of ClusterHops.
func (d *decision) findStage(name string) (*pipelinev1beta1.CustomRun, *run.Run, error) {
	var names []string
	for i, r := range append([]*run.Run{d.named, d.carrier}, d.children...) {
		if r == nil {
			continue
		}
		var found []*pipelinev1beta1.CustomRun
		for _, custom := range customRuns(r) {
			if custom.Name == name {
				return custom, r, nil
			}
			if i < 2 && run.StageOf(custom) == name {
				found = append(found, custom)
			}
			names = append(names, run.StageOf(custom))
		}
		switch len(found) {
		case 0:
		case 1:
			return found[0], r, nil
		default:
			var several []string
			for _, f := range found {
				several = append(several, f.Name)
			}
			return nil, nil, fmt.Errorf("run %s has %d stages %s: say which with --stage: %s", r.Name(), len(found), name, strings.Join(several, ", "))
		}
	}
	for _, s := range d.model.Stages {
		if s.Name == name {
			return nil, nil, fmt.Errorf("stage %s of run %s has not begun", name, d.name())
		}
		names = append(names, s.Name)
	}
	return nil, nil, fmt.Errorf("run %s has no stage %s%s", d.name(), name, act.Meant(name, names))
}

// said is an intervention in words, as in "bob at 12:14:03: errors in dca".
func said(i *stages.Intervention) string {
	return fmt.Sprintf("%s at %s: %s", who(i.Spec.User), i.CreationTimestamp.Format(time.TimeOnly), screen.Clean(i.Spec.Message))
}

func who(user string) string {
	if user == "" {
		return "somebody"
	}
	return screen.Clean(user)
}
