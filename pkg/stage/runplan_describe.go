package stage

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/freeze"
)

// describe says what was admitted.
func (p *planning) describe(s *v1alpha1.PlannedStage, run *Run, scope *Scope) {
	a := run.Admitted
	s.Members, s.LeftOut = a.Members, a.LeftOut
	if scope != nil && a.Target != nil {
		s.Target, s.Workload = scope.Target, describeRef(a.Target.Workload)
	}
	for i := range a.Guards {
		g := &a.Guards[i]
		x := v1alpha1.PlannedGuard{Name: g.Name, When: g.When, Expr: g.Expr, DryRun: g.DryRun}
		if g.For != nil {
			x.For = g.For.Duration.String()
		}
		if g.Deadline != nil {
			x.Deadline = g.Deadline.Duration.String()
		}
		for _, m := range g.Metrics {
			if !slices.Contains(x.Sources, m.Source) {
				x.Sources = append(x.Sources, m.Source)
			}
		}
		slices.Sort(x.Sources)
		if run.demanded(g.Name) {
			x.Members = a.Demands.GuardMembers[g.Name]
		}
		s.Guards = append(s.Guards, x)
	}
}

func describeRef(ref v1alpha1.WorkloadRef) string {
	if ref.Name != "" {
		return ref.Kind + " " + ref.Name
	}
	var parts []string
	for k, v := range ref.Selector {
		parts = append(parts, k+"="+v)
	}
	slices.Sort(parts)
	return ref.Kind + " " + strings.Join(parts, ",")
}

// demanded says what policies still want of people and of time before the stage may move, and what stops it now.
func (p *planning) demanded(ctx context.Context, a *admitter, s *v1alpha1.PlannedStage) error {
	run := a.run
	terms, err := a.termsOf(ctx, run.Admitted.Members)
	if err != nil {
		return err
	}
	add := func(what string) {
		if !slices.Contains(s.Demands, what) {
			s.Demands = append(s.Demands, what)
		}
	}
	for i := range terms {
		t := &terms[i]
		for j := range t.Confirms {
			c := &t.Confirms[j]
			add(fmt.Sprintf("before anything moves in %s, %s (ReleasePolicy %s)", t.Member.Name, c.Words(), c.Policy))
		}
		if t.Bake > 0 {
			add(fmt.Sprintf("canaries in %s bake for %s or longer (ReleasePolicy %s)", t.Member.Name, t.Bake, t.BakePolicy))
		}
	}
	if d := run.Admitted.Demands; d != nil {
		for _, w := range d.Windows {
			add(fmt.Sprintf("groups begin only within %s (ReleasePolicy %s)", WindowWords(w.Windows, w.TimeZone), w.Policy))
		}
	}
	shut, err := run.outsideWindow()
	if err != nil {
		return err
	}
	if shut != nil {
		s.Notes = append(s.Notes, "now: "+shut.Message)
	}
	freezes, err := run.Frozen(run.Admitted.Members, false)
	if err != nil {
		return err
	}
	if len(freezes) > 0 {
		s.Notes = append(s.Notes, "now: "+freeze.Describe(freezes))
	}
	return nil
}

// WindowWords names windows, and their zone.
func WindowWords(windows []v1alpha1.TimeWindow, zone string) string {
	var parts []string
	for _, w := range windows {
		parts = append(parts, fmt.Sprintf("%q for %s", w.Schedule, w.Duration.Duration))
	}
	if zone == "" {
		zone = "UTC"
	}
	return strings.Join(parts, " or ") + " (" + zone + ")"
}

// asked says what people are asked, and by whose answer it does not go on.
func (p *planning) asked(run *Run, s *v1alpha1.PlannedStage) {
	var ask *v1alpha1.ConfirmSpec
	times := int32(max(0, len(s.Groups)-1)) // #nosec G115 -- as many as fit into an object.
	switch spec := run.Spec.(type) {
	case *v1alpha1.ConfirmSpec:
		ask, times = spec, 1
	case *v1alpha1.BetaBatchSpec:
		ask = spec.Confirm
	case *v1alpha1.SidecarUpgradeSpec:
		ask = spec.Confirm
	}
	if ask == nil {
		return
	}
	q := &v1alpha1.PlannedQuestion{Message: ask.Message, Approvers: ask.Approvers, Required: max(ask.Required, 1), Times: times}
	if ask.ForbidInitiator {
		if run.Initiator == "" {
			p.wrong(s.Name, "spec.forbidInitiator", "is set, and it is not known who starts the run: install the admission policies of config/hub")
		}
		q.Excluded = append(q.Excluded, run.starters()...)
		if run.Initiator != "" && !slices.Contains(q.Excluded, run.Initiator) {
			q.Excluded = append(q.Excluded, run.Initiator)
		}
		slices.Sort(q.Excluded)
		q.Excluded = slices.Compact(q.Excluded)
	}
	if left := slices.DeleteFunc(slices.Clone(ask.Approvers.Users), func(u string) bool { return slices.Contains(q.Excluded, u) }); len(ask.Approvers.Users) > 0 && len(ask.Approvers.Groups) == 0 && len(left) < int(q.Required) {
		s.Notes = append(s.Notes, fmt.Sprintf("%d must say yes, and only %d of those who may answer are not behind the run: it is never answered", q.Required, len(left)))
	}
	s.Question = q
}
