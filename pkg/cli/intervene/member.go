package intervene

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	stages "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/cli/act"
	"github.com/periplus-dev/periplus/pkg/cli/hub"
	"github.com/periplus-dev/periplus/pkg/cli/run"
	"github.com/periplus-dev/periplus/pkg/cli/screen"
)

// kindHop is the kind of stage that carries members.
const kindHop = "ClusterHop"

// oneMember is about a single member that a ClusterHop carries the release to, while the hop goes on with the others: it is left out, or tried again.
func (c *command) oneMember(h *hub.Hub, d *decision) error {
	if d.over() {
		return d.isOver(strings.ToLower(string(c.action)))
	}
	if c.stage == "" {
		hops := d.runningHops()
		if len(hops) != 1 {
			return fmt.Errorf("say which ClusterHop of %s carries %s: --stage NAME; running now: %s", d.name(), c.member, orNothing(hops))
		}
		c.stage = hops[0]
	}
	found, of, err := d.findStage(c.stage)
	if err != nil {
		return err
	}
	m := c.model(h, of)
	at := slices.IndexFunc(m.Stages, func(s screen.Stage) bool { return s.Run == found.Name })
	switch {
	case at < 0 || m.Stages[at].Kind != kindHop:
		return fmt.Errorf("stage %s is no ClusterHop: --member is for one of the members that a ClusterHop carries the release to", run.StageOf(found))
	case !isRunning(m.Stages[at]):
		return fmt.Errorf("ClusterHop %s does not run (%s): its members are left out and tried again while it does", run.StageOf(found), strings.ToLower(string(m.Stages[at].State)))
	}
	status, err := screen.RunStatus(found)
	if err != nil {
		return err
	}
	if status.Admitted == nil || len(status.Admitted.Members) == 0 {
		return errors.New("ClusterHop " + run.StageOf(found) + " has not fixed its members yet: try again in a moment")
	}
	if !slices.Contains(status.Admitted.Members, c.member) {
		return fmt.Errorf("ClusterHop %s does not carry the release to %s%s", run.StageOf(found), c.member, act.Meant(c.member, status.Admitted.Members))
	}
	d.stage, d.member = found, c.member
	if c.action == stages.ActionSkip {
		d.question = "Leave it out?"
		d.plan.Warn("then", fmt.Sprintf("member %s is left out of %s; its run, where it has one, ends where it is, and what it touched stays so", c.member, run.StageOf(found)),
			"the hop goes on with the others")
		return nil
	}
	d.question = "Try it again?"
	d.plan.Add("then", fmt.Sprintf("where %s failed in %s, or was left out, it is tried again by another run; else nothing happens", c.member, run.StageOf(found)),
		"the hop goes on with the others meanwhile")
	return nil
}

// runningHops names the ClusterHops that run.
func (t *target) runningHops() []string {
	var out []string
	for _, s := range t.model.Stages {
		if s.Kind == kindHop && isRunning(s) {
			out = append(out, s.Name)
		}
	}
	return out
}
