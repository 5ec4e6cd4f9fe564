package intervene

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	stages "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/cli/act"
	"github.com/periplus-dev/periplus/pkg/cli/hub"
	"github.com/periplus-dev/periplus/pkg/cli/run"
	"github.com/periplus-dev/periplus/pkg/cli/screen"
)

// carryOut records the intervention and gives what is to be said of it. A retry is on record before its run is made: a record of something that
// did not come about misleads nobody, a run without a record does.
func (c *command) carryOut(ctx context.Context, h *hub.Hub, d *decision) (string, error) {
	me, err := act.Who(ctx, h)
	if err != nil {
		return "", err
	}
	if d.byHand != nil {
		return c.start(ctx, h, d, me.User)
	}
	if err := c.record(ctx, h, d, me); err != nil {
		return "", err
	}
	if d.member != "" {
		did := map[stages.Action]string{stages.ActionSkip: "leaves member %s out of %s", stages.ActionRetry: "has member %s tried again in %s"}
		return fmt.Sprintf("recorded: %s "+did[c.action]+"; see %s", me.User, d.member, run.StageOf(d.stage), c.again(h, "get "+d.name()+" --watch")), nil
	}
	see := c.again(h, "get "+d.name()+" --watch")
	switch c.action {
	case stages.ActionRetry:
		if err := c.startRetry(ctx, h, d, me.User); err != nil {
			return "", err
		}
		return fmt.Sprintf("recorded: %s retries %s by the run %s; follow it: %s", me.User, d.ref.Name, d.retry.Name, c.again(h, "get "+d.retry.Name+" --watch")), nil
	case stages.ActionSkip:
		return fmt.Sprintf("recorded: %s skips %s of %s; see %s", me.User, run.StageOf(d.stage), d.ref.Name, see), nil
	}
	did := map[stages.Action]string{
		stages.ActionPause: "pauses %s", stages.ActionResume: "resumes %s", stages.ActionAbort: "aborts %s", stages.ActionRollback: "takes %s back",
	}
	return fmt.Sprintf("recorded: %s "+did[c.action]+"; see %s", me.User, d.ref.Name, see), nil
}

func (c *command) record(ctx context.Context, h *hub.Hub, d *decision, me act.Person) error {
	i := &stages.Intervention{
		ObjectMeta: metav1.ObjectMeta{GenerateName: d.ref.Name + "-", Namespace: h.Namespace},
		Spec:       stages.InterventionSpec{RunRef: d.ref, Action: c.action, Member: d.member, Message: c.act.Message, User: me.User, Groups: me.Groups},
	}
	if d.stage != nil {
		i.Spec.StageRef = &stages.RunRef{Name: d.stage.Name, UID: d.stage.UID}
	}
	made, err := h.Periplus.StagesV1alpha1().Interventions(h.Namespace).Create(ctx, i, metav1.CreateOptions{})
	if err != nil {
		return h.Explain(hub.Request{Verb: "create", Resource: "interventions.stages.periplus.dev"}, err)
	}
	if p := screen.StandingOf(append(d.hands(), made)).Paused; c.action == stages.ActionResume && p != nil && !made.CreationTimestamp.IsZero() {
		return fmt.Errorf("it was paused in the very second in which you resumed it, and then the pause counts: %s; resume it once more", said(p))
	}
	return nil
}

// again is a command as the person types it, with the flags that reach the same place.
func (c *command) again(h *hub.Hub, rest string) string {
	out := c.program + " " + rest
	if h.NamespaceFlag != "" {
		out += " " + h.NamespaceFlag
	}
	if h.Flags != "" {
		out += " " + h.Flags
	}
	return out
}
