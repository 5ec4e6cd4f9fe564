package screen

import (
	"fmt"
	"slices"
	"strings"

	stages "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

// RunPlanFormat names the form of a RunPlan's document. Under one name fields may be added, never changed or taken away.
const RunPlanFormat = "periplus.dev/plan/v1"

// RunPlan is what a run would do, as the hub says.
type RunPlan struct {
	Format    string `json:"format"`
	Namespace string `json:"namespace"`
	// Run is the name of the PipelineRun, or what it begins with where the server makes it.
	Run                  string `json:"run,omitempty"`
	stages.RunPlanStatus `json:",inline"`
}

// RenderRunPlan draws what a run would do. Nothing is left out but differences of templates, which are shown where the hub was asked for them.
func RenderRunPlan(p *RunPlan, look Look) string {
	g := unicodeGlyphs
	if look.ASCII {
		g = asciiGlyphs
	}
	var b strings.Builder
	b.WriteString(RenderPlan(headOf(p), look))
	for i := range p.Stages {
		b.WriteByte('\n')
		b.WriteString(RenderPlan(stagePlan(p, &p.Stages[i], g), look))
		diffs(&b, &p.Stages[i], look)
	}
	b.WriteByte('\n')
	b.WriteString(RenderPlan(endOf(p, g), look))
	return b.String()
}

func headOf(p *RunPlan) Plan {
	head := Plan{Title: p.Run}
	if strings.HasSuffix(p.Run, "-") {
		head.Title += "…" // the server makes the rest.
	}
	if p.Pipeline != "" {
		head.Facts = append(head.Facts, "of pipeline "+p.Pipeline)
	}
	head.Facts = append(head.Facts, "in "+p.Namespace)
	if p.Initiator != "" {
		by := "started by " + p.Initiator
		if p.Account != "" {
			by += ", for whom " + p.Account + " starts it"
		}
		head.Facts = append(head.Facts, by)
	}
	if n := len(p.Stages); n == 1 {
		head.Facts = append(head.Facts, "1 stage")
	} else if n > 1 {
		head.Facts = append(head.Facts, fmt.Sprintf("%d stages", n))
	}
	if t := p.Timeout; t.Default {
		head.Warn("timeout", fmt.Sprintf("the whole run ends after %s, Tekton's default: timeouts: {pipeline: \"0\"} gives it as long as its stages take", plainTime(t.Limit)))
	} else if t.Limit != "" {
		head.Add("timeout", plainTime(t.Limit))
	}
	head.Warn("note", p.Notes...)
	return head
}

// plainTime leaves zeros out of a duration.
func plainTime(d string) string {
	d = strings.TrimSpace(d)
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(d, zero) {
			d = d[:len(d)-len(zero)+1]
		}
	}
	return d
}

func stagePlan(p *RunPlan, s *stages.PlannedStage, g glyphs) Plan {
	mark := ""
	if slices.ContainsFunc(p.Problems, func(x stages.PlanProblem) bool { return x.Stage == s.Name }) {
		mark = g.failed + " "
	}
	out := Plan{Title: mark + s.Name, Facts: []string{s.Kind}}
	if s.Target != "" {
		out.Facts = append(out.Facts, fmt.Sprintf("target %s (%s)", s.Target, s.Workload))
	}
	if len(s.Members) > 0 && len(s.Waves) == 0 {
		out.Facts = append(out.Facts, "in "+strings.Join(s.Members, ", "))
	}
	if len(s.After) > 0 {
		out.Facts = append(out.Facts, "after "+strings.Join(s.After, ", "))
	}
	if s.Finally {
		out.Facts = append(out.Facts, "finally")
	}
	whether(&out, s)
	moves(&out, s, g)
	judges(&out, s)
	if !s.Foreign && !s.Skipped {
		limits(&out, s)
	}
	out.Warn("note", s.Notes...)
	return out
}

// whether says if and when the stage runs, and what is known of it.
func whether(out *Plan, s *stages.PlannedStage) {
	switch {
	case s.Skipped:
		out.Add("skipped", "when "+strings.Join(s.When, " and "))
	case len(s.When) > 0:
		out.Add("when", strings.Join(s.When, " and "))
	}
	if s.Foreign {
		out.Add("does", "not a stage of Periplus: nothing is known of it")
	}
	if s.CarriedOver != "" {
		out.Add("does", "nothing again: run "+s.CarriedOver+" did it")
	}
	if len(s.KnownAfter) > 0 {
		out.Add("does", "known only when "+strings.Join(s.KnownAfter, ", ")+" has run")
	}
	out.Add("does", s.Facts...)
	if len(s.LeftOut) > 0 {
		out.Warn("left out", strings.Join(s.LeftOut, ", ")+": selected, and given to this namespace by no ReleasePolicy")
	}
	for i, w := range s.Waves {
		name := fmt.Sprintf("wave %d", i+1)
		if w.Name != "" {
			name += " " + w.Name
		}
		members := strings.Join(w.Members, ", ")
		if members == "" {
			members = "nobody: other waves have all that it selects"
		}
		out.Add(name, fmt.Sprintf("%d at a time: %s", w.MaxParallel, members))
	}
}

// moves says which pods move, and how they change.
func moves(out *Plan, s *stages.PlannedStage, g glyphs) {
	var lines []string
	for i, group := range s.Groups {
		var units []string
		for _, u := range group.Units {
			units = append(units, fmt.Sprintf("%s/%s %d %s %d of %d", u.Member, u.Unit, u.From, g.arrow, u.To, u.Replicas))
		}
		what := "nothing to move"
		if len(units) > 0 {
			what = strings.Join(units, ", ")
		}
		lines = append(lines, fmt.Sprintf("%d. %s: %s", i+1, group.What, what))
	}
	out.Add("groups", lines...)
	if s.Bake != "" {
		out.Add("bake", plainTime(s.Bake)+" after each group")
	}
	for _, c := range s.Changes {
		where := fmt.Sprintf("%s %s", c.Kind, c.Workload)
		if len(c.Units) > 1 || len(c.Units) == 1 && !strings.HasSuffix(c.Workload, c.Units[0]) {
			where += " (" + strings.Join(c.Units, ", ") + ")"
		}
		where = strings.Join(c.Members, ", ") + ": " + where
		what := ""
		if len(c.What) > 0 {
			what = ": " + strings.Join(c.What, ", ")
		}
		switch c.How {
		case stages.ChangeNone:
			out.Add("change", where+": the template stays as it is")
		case stages.ChangeInPlace:
			out.Add("in place", where+what)
		case stages.ChangeNextCreation:
			out.Warn("new pods", where+": pods get it as they are created anew, for "+strings.Join(c.Because, ", ")+what)
		default:
			if len(c.What) > 0 {
				what = " (beside " + strings.Join(c.What, ", ") + ")"
			}
			out.Warn("rebuild", where+": pods are made anew, with other IPs, for "+strings.Join(c.Because, ", ")+what)
		}
	}
}

// judges says which guards are judged and who is asked.
func judges(out *Plan, s *stages.PlannedStage) {
	var lines []string
	for _, guard := range s.Guards {
		line := fmt.Sprintf("%s %s: %s", guard.When, guard.Name, guard.Expr)
		var how []string
		if guard.For != "" {
			how = append(how, "for "+plainTime(guard.For))
		}
		if guard.Deadline != "" {
			how = append(how, "within "+plainTime(guard.Deadline))
		}
		if len(guard.Sources) > 0 {
			how = append(how, "asks "+strings.Join(guard.Sources, ", "))
		}
		if len(guard.Members) > 0 {
			how = append(how, "in "+strings.Join(guard.Members, ", "))
		}
		if guard.DryRun {
			how = append(how, "on trial")
		}
		if len(how) > 0 {
			line += " (" + strings.Join(how, ", ") + ")"
		}
		lines = append(lines, line)
	}
	out.Add("guards", lines...)
	if q := s.Question; q != nil {
		out.Add("asks", questionLines(q)...)
	}
	out.Add("policies", s.Demands...)
}

func questionLines(q *stages.PlannedQuestion) []string {
	var who []string
	if len(q.Approvers.Users) > 0 {
		who = append(who, strings.Join(q.Approvers.Users, ", "))
	}
	if len(q.Approvers.Groups) > 0 {
		who = append(who, "anybody of "+strings.Join(q.Approvers.Groups, ", "))
	}
	if len(who) == 0 {
		who = append(who, "anybody who may create approvals")
	}
	line := fmt.Sprintf("%d of %s", q.Required, strings.Join(who, " or "))
	if len(q.Excluded) > 0 {
		line += ", but not " + strings.Join(q.Excluded, ", ")
	}
	if q.Times != 1 {
		line += fmt.Sprintf("; %d times, after each group but the last", q.Times)
	}
	out := []string{line}
	if q.Message != "" {
		out = append(out, "“"+q.Message+"”")
	}
	return out
}

func limits(out *Plan, s *stages.PlannedStage) {
	line := plainTime(s.Timeout.Limit)
	if s.Retries > 0 {
		line += fmt.Sprintf(" for each of %d attempts", s.Retries+1)
	}
	if s.Timeout.Default {
		out.Warn("timeout", line+", Tekton's default where a task sets none")
		return
	}
	out.Add("timeout", line)
}

// diffs writes the differences of templates as they are, a colour for what comes and one for what goes.
func diffs(b *strings.Builder, s *stages.PlannedStage, look Look) {
	for _, c := range s.Changes {
		if c.Diff == "" {
			continue
		}
		text(fmt.Sprintf("  %s: %s %s", strings.Join(c.Members, ", "), c.Kind, c.Workload), strong).write(b, look.Colour)
		b.WriteByte('\n')
		WriteDiff(b, c.Diff, look)
	}
}

// WriteDiff writes a unified diff.
func WriteDiff(b *strings.Builder, diff string, look Look) {
	for _, l := range strings.Split(strings.TrimSuffix(diff, "\n"), "\n") {
		i := plain
		switch {
		case strings.HasPrefix(l, "+"):
			i = good
		case strings.HasPrefix(l, "-"):
			i = bad
		case strings.HasPrefix(l, "@@"):
			i = faint
		}
		line{{"  ", plain}}.and(l, i).trim().write(b, look.Colour)
		b.WriteByte('\n')
	}
}

// endOf says whether the run would be refused, and for what.
func endOf(p *RunPlan, g glyphs) Plan {
	if len(p.Problems) == 0 {
		return Plan{Title: g.done + " Nothing of it would be refused, as far as that can be known before it begins. Nothing was moved."}
	}
	out := Plan{Title: g.failed + " " + p.Message}
	for _, x := range p.Problems {
		line := x.Message
		if x.Field != "" {
			line = x.Field + ": " + line
		}
		label := x.Stage
		if label == "" {
			label = "run"
		}
		if n := len(out.Parts); n > 0 && out.Parts[n-1].Label == label {
			out.Parts[n-1].Lines = append(out.Parts[n-1].Lines, line)
			continue
		}
		out.Warn(label, line)
	}
	return out
}
