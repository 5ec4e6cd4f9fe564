package screen

import (
	"sort"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	stages "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

// Build makes the model of a run. Objects without a root give nil.
func Build(o Objects, opts Options) *Model {
	if o.PipelineRun == nil && o.Root == nil {
		return nil
	}
	r := rootOf(o)
	parts, problems := partsOf(o, r)
	m := &Model{
		Format: Format, At: metav1.NewTime(opts.Now), Kind: r.kind, Namespace: r.meta.Namespace, Name: r.meta.Name, UID: r.meta.UID,
		Started: r.started, Finished: r.finished, Release: releaseOf(o.Release, r), Stale: o.Stale, Notes: append(append([]string(nil), o.Notes...), problems...),
	}
	m.Initiator = r.meta.Annotations[stages.AnnotationInitiator]
	if m.Initiator == "" && o.Release != nil {
		m.Initiator = o.Release.Spec.Initiator
	}
	m.Over = r.done() && (m.Release == nil || m.Release.Phase != stages.ReleaseRollingBack)
	for _, p := range parts {
		m.Stages = append(m.Stages, p.Stage)
		m.Over = m.Over && !p.running()
	}
	m.Questions = questions(m, parts, opts)
	m.Interventions = interventions(o, parts)
	if !m.Over {
		m.Freezes = freezes(o, m.Namespace, parts, opts)
	}
	m.Units, m.Unreachable = members(parts)
	m.Guards = guards(parts)
	m.Verdict = judge(r, m, parts)
	if !m.Verdict.asked { // a question's command is spelled already
		m.Verdict.Command = spell(m.Verdict.Command, opts)
	}
	m.Verdict.Text = strings.Join(m.phrases(false), " · ")
	if t := m.Verdict.Trouble; t != "" {
		m.Verdict.Text = strings.Join(append(m.phrases(false), oneLine(t)), " · ")
	}
	return m
}

// spell writes a command as the person calls us, with the flags that reach this hub.
func spell(command string, opts Options) string {
	rest, ours := strings.CutPrefix(command, "periplus ")
	if !ours {
		return command
	}
	program := opts.Program
	if program == "" {
		program = "periplus"
	}
	out := program + " " + rest
	if opts.Namespace != "" && !strings.Contains(rest, " -n ") {
		out += " " + opts.Namespace
	}
	if opts.Flags != "" {
		out += " " + opts.Flags
	}
	return out
}

func questions(m *Model, parts []part, opts Options) []Question {
	var out []Question
	for _, p := range parts {
		if p.run == nil {
			continue
		}
		q := OpenQuestion(p.run)
		if q == nil {
			continue
		}
		yes, _ := count(q)
		out = append(out, Question{Stage: p.Name, Run: p.Run, RunUID: p.run.UID, Question: *q, Yes: yes})
	}
	for i := range out {
		out[i].Command = spell(AnswerCommand(m.Name, out[i].Stage, len(out) > 1), opts)
	}
	return out
}

// AnswerCommand is what a person types to approve; with several open questions it names the stage.
func AnswerCommand(run, stage string, several bool) string {
	command := "periplus confirm " + run
	if several {
		command += " --stage " + stage
	}
	return command + ` --message "…"`
}

// members gathers what the stages saw of the members, a later stage's sight over an earlier one's, in the order of the stages.
func members(parts []part) ([]Unit, []Unreachable) {
	byStart := append([]part(nil), parts...)
	sort.SliceStable(byStart, func(i, j int) bool { return later(byStart[j].Started, byStart[i].Started) })
	type key struct{ member, unit, workload string }
	var (
		units       []Unit
		at          = map[key]int{}
		unreachable []Unreachable
	)
	for _, p := range byStart {
		for _, member := range p.status.Members {
			for _, u := range member.Units {
				seen := Unit{Member: member.Name, UnitProgress: u, Stage: p.Name, Unreachable: !member.Reachable && p.running()}
				if p.over() {
					seen.AsOf = p.Finished
				}
				k := key{member.Name, u.Unit, u.Workload}
				if i, known := at[k]; known {
					units[i] = seen
					continue
				}
				at[k] = len(units)
				units = append(units, seen)
			}
			if !member.Reachable && p.running() {
				unreachable = append(unreachable, Unreachable{Member: member.Name, Message: member.Message, Stage: p.Name})
			}
		}
	}
	first := map[string]int{}
	for i, u := range units {
		if _, known := first[u.Member]; !known {
			first[u.Member] = i
		}
	}
	sort.SliceStable(units, func(i, j int) bool { return first[units[i].Member] < first[units[j].Member] })
	return units, unreachable
}

// guards lists all guards. Current are those of the stages that run; where these have none, of the stage that failed; else of the one
// that ended last: a person who is asked to approve wants to see how the guards of the canary did.
func guards(parts []part) []Guard {
	withGuards := pick(parts, func(p part) bool { return len(p.status.Guards) > 0 })
	current := map[string]bool{}
	for _, p := range withGuards {
		if p.running() {
			current[p.Run] = true
		}
	}
	if len(current) == 0 {
		var last *part
		for i, p := range withGuards {
			if p.State == StageFailed {
				last = &withGuards[i]
				break
			}
			if last == nil || later(p.Started, last.Started) {
				last = &withGuards[i]
			}
		}
		if last != nil {
			current[last.Run] = true
		}
	}
	var out []Guard
	for _, p := range withGuards {
		for _, g := range p.status.Guards {
			out = append(out, Guard{Stage: p.Name, Current: current[p.Run], GuardStatus: g})
		}
	}
	return out
}

func releaseOf(release *stages.Release, r root) *Release {
	// What a child's annotation says is as true as the record: only our controller sets it.
	if release == nil || !Carries(release, r.meta.UID) && r.meta.Annotations[stages.AnnotationRelease] != release.Name {
		return nil
	}
	s := release.Status
	return &Release{
		Name: release.Name, Root: release.Spec.Root.Name, Phase: s.Phase, Message: s.Message, Touched: s.Touched, Moves: s.Moves,
		Runs: s.Runs, Stages: s.Stages, Rollback: s.Rollback,
	}
}

// unitLabel names a unit; a workload that is not cut into units is a unit without a name.
func unitLabel(unit string) string {
	if unit == "" {
		return "-"
	}
	return unit
}

// said is what is known of a member that does not answer.
func (u Unreachable) said() string {
	if u.Message == "" {
		return "member " + u.Member + " does not answer"
	}
	return u.Message
}
