package clusterhop

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	pipelinev1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/fleet"
	"github.com/periplus-dev/periplus/pkg/plan"
	"github.com/periplus-dev/periplus/pkg/stage"
)

// first checks the Pipeline before anything is begun, and remembers it: all members get the same.
func (h *hop) first(ctx context.Context) (*stage.Outcome, error) {
	p, err := h.run.Pipeline(ctx, h.spec.PipelineRef.Name)
	if err != nil {
		return nil, err
	}
	if wrong := misfit(h.run, h.spec, p); wrong != "" {
		out := stage.Fail(stage.ReasonInvalid, wrong)
		return &out, nil
	}
	if err := h.look(ctx); err != nil { // what a run before this one did gives no pause between waves.
		return nil, err
	}
	h.decide()
	h.log.Pipeline = hashOf(p)
	return nil, nil
}

// misfit says what is wrong with a Pipeline that is to be carried: that it is not there, takes no such param, or wants one that is not given.
func misfit(run *stage.Run, spec *v1alpha1.ClusterHopSpec, p *pipelinev1.Pipeline) string {
	at := "spec.pipelineRef.name: "
	if p == nil {
		return fmt.Sprintf("%sthere is no Pipeline %q in namespace %s", at, spec.PipelineRef.Name, run.Namespace)
	}
	given := []string{spec.MemberParam}
	for _, prm := range spec.Params {
		given = append(given, prm.Name)
	}
	var wrong, declared []string
	for _, prm := range p.Spec.Params {
		declared = append(declared, prm.Name)
		if prm.Default == nil && !slices.Contains(given, prm.Name) {
			wrong = append(wrong, fmt.Sprintf("spec.params: Pipeline %s wants the param %s", p.Name, prm.Name))
		}
	}
	for i, name := range given {
		if slices.Contains(declared, name) {
			continue
		}
		field := "spec.memberParam"
		if i > 0 {
			field = fmt.Sprintf("spec.params[%d].name", i-1)
		}
		wrong = append(wrong, fmt.Sprintf("%s: Pipeline %s takes no param %s; it takes %s", field, p.Name, name, strings.Join(declared, ", ")))
	}
	return strings.Join(wrong, "; ")
}

func hashOf(p *pipelinev1.Pipeline) string {
	raw, err := json.Marshal(p.Spec)
	if err != nil {
		return "none"
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:8])
}

// same says whether the Pipeline is still the one that the first member got.
func (h *hop) same(ctx context.Context) (bool, error) {
	p, err := h.run.Pipeline(ctx, h.spec.PipelineRef.Name)
	if err != nil {
		return false, err
	}
	switch {
	case p == nil:
		h.changed = fmt.Sprintf("Pipeline %s was deleted since the hop began", h.spec.PipelineRef.Name)
	case hashOf(p) != h.log.Pipeline:
		h.changed = fmt.Sprintf("Pipeline %s was changed since the hop began: the members before got another one", p.Name)
	}
	return h.changed == "", nil
}

// standsStill says whether somebody wants nothing further to begin in some members. Runs that are on hear of it themselves.
func (h *hop) standsStill(members []*member) (bool, error) {
	var names []string
	for _, m := range members {
		names = append(names, m.name)
	}
	still, err := h.run.StandStill(names)
	h.still = still
	return still != nil, err
}

// make makes the runs that an earlier pass meant to make, and kept. Nobody is begun any more once the hop is stopped.
func (h *hop) make(ctx context.Context) error {
	var meantNow []*member
	for _, m := range h.members {
		if m.mark == meant {
			meantNow = append(meantNow, m)
		}
	}
	if len(meantNow) == 0 {
		return nil
	}
	if still, err := h.standsStill(meantNow); err != nil || still {
		return err
	}
	stop := h.count(failed) > h.limit
	if !stop {
		same, err := h.same(ctx)
		if err != nil {
			return err
		}
		stop = !same
	}
	for _, m := range meantNow {
		name := h.log.Runs[m.name]
		if stop || h.skipAsked(m) {
			c, err := h.run.Child(ctx, name, m.name)
			if err != nil && !errors.Is(err, stage.ErrNameTaken) {
				return err
			}
			if c == nil {
				m.mark = waiting
				delete(h.log.Runs, m.name)
				continue
			}
		}
		params := append([]v1alpha1.HopParam{{Name: h.spec.MemberParam, Value: m.name}}, h.spec.Params...)
		c, err := h.run.StartChild(ctx, stage.NewChild{Name: name, Member: m.name, Pipeline: h.spec.PipelineRef.Name, Params: params})
		var refused *stage.RefusedError
		switch {
		case errors.Is(err, stage.ErrNameTaken), errors.As(err, &refused):
			h.over(m, failed, err.Error(), h.run.Now)
		case err != nil:
			return err
		default:
			m.mark, m.child = begun, c
			h.progress(m)
		}
	}
	return nil
}

// next finds whose turn it is, and means to begin those who are clear.
func (h *hop) next(ctx context.Context) error {
	course := h.decide()
	if len(course.Turn) == 0 {
		return nil
	}
	if same, err := h.same(ctx); err != nil || !same {
		return err
	}
	waves := map[int][]*member{}
	for _, m := range h.members {
		waves[m.wave] = append(waves[m.wave], m)
	}
	var turn []*member
	for _, p := range course.Turn {
		turn = append(turn, waves[p.Wave][p.Index])
	}
	if still, err := h.standsStill(turn); err != nil || still {
		return err
	}
	clear, err := h.clear(turn)
	if err != nil {
		return err
	}
	held := ""
	for i, as := range plan.Admit(clear, h.spec.OnUnreachable) {
		m := turn[i]
		switch as {
		case plan.MemberWorking:
			h.log.Runs[m.name] = h.free(m)
			m.mark, m.reason, m.at = meant, stage.ReasonCarrying, "PipelineRun "+h.log.Runs[m.name]+" is about to be made"
			h.kept = false
		case plan.MemberFailed, plan.MemberSkipped:
			mk := failed
			if as == plan.MemberSkipped {
				mk = skipped
			}
			if err := h.run.SettleGuards(ctx, m.name); err != nil {
				return err
			}
			h.over(m, mk, m.at, h.run.Now)
			h.kept = false
		default:
			if clear[i] == plan.CutOff && held == "" {
				held = m.name
			}
			if clear[i] == plan.Clear {
				m.reason, m.at = stage.ReasonUnreachable, "waits for member "+held
			}
		}
	}
	h.decide()
	return nil
}

// free is the name of a member's next run: the first that none of its runs has.
func (h *hop) free(m *member) string {
	for try := 1; ; try++ {
		name := stage.ChildName(h.run.Name, m.name, try)
		if !slices.ContainsFunc(m.tries, func(c stage.Child) bool { return c.Name == name }) {
			return name
		}
	}
}

// clear finds who of those whose turn it is may be begun.
func (h *hop) clear(turn []*member) ([]plan.Clearance, error) {
	out := make([]plan.Clearance, len(turn))
	var asked []string
	for i, m := range turn {
		reach, known, err := h.run.Reach(m.name)
		switch {
		case err != nil:
			return nil, err
		case !known:
			out[i], m.at = plan.Gone, "left the fleet since the hop began"
		case reach.State == fleet.Unreachable:
			out[i], m.reason = plan.CutOff, stage.ReasonUnreachable
			m.at = fmt.Sprintf("cannot be reached since %s UTC: %s", reach.Since.UTC().Format(time.TimeOnly), reach.Message)
		case reach.State != fleet.Reachable:
			m.reason, m.at = stage.ReasonConnecting, "connecting"
		default:
			out[i] = plan.Clear
			asked = append(asked, m.name)
		}
	}
	if h.run.Admitted.Target == nil || len(asked) == 0 {
		return out, nil
	}
	world, err := h.run.Observe(asked)
	if err != nil {
		return nil, err
	}
	for i, m := range turn {
		if out[i] == plan.Clear {
			out[i] = h.before(m, world.Only([]string{m.name}))
		}
	}
	return out, nil
}

// before judges the Before guards on one member.
func (h *hop) before(m *member, world *stage.World) plan.Clearance {
	if len(world.Missing) > 0 {
		x := world.Missing[0]
		m.reason, m.at = x.Reason, x.Message
		switch {
		case x.NotFound:
			return plan.Refused
		case x.Reason == stage.ReasonUnreachable:
			return plan.CutOff
		}
		return plan.NotYet
	}
	sum, wake := h.run.Judge(v1alpha1.Before, stage.Judging{World: world, Members: []string{m.name}})
	out := stage.GuardOutcome(sum, h.spec.OnGuardFailure, wake)
	if out == nil {
		return plan.Clear
	}
	h.wake = earlier(h.wake, wake)
	m.reason, m.at = out.Reason, "guards before its run: "+cut(out.Message, maxWhy)
	if out.Reason == stage.ReasonGuardFailed {
		return plan.Refused
	}
	return plan.NotYet
}
