package screen

import (
	"fmt"
	"slices"
	"strings"

	stages "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

// Changes says what is new in after since before, a line for each change, for logs and for terminals that cannot be drawn on. Without a
// before it gives the verdict. Countdowns, sample counts and the like are no changes: the same thing is never said twice in a row.
func Changes(before, after *Model, look Look) []string {
	var out []string
	say := func(format string, args ...any) {
		s := clean(oneLine(fmt.Sprintf(format, args...)))
		if look.ASCII {
			s = asciiGlyphs.plainly(s)
		}
		out = append(out, s)
	}
	if before == nil {
		say("%s in %s: %s", after.Name, after.Namespace, saidInFull(after))
		return out
	}
	stageChanges(before, after, say)
	memberChanges(before, after, say)
	guardChanges(before, after, say)
	answerChanges(before, after, say)
	handChanges(before, after, say)
	if verdictKey(before) != verdictKey(after) {
		say("%s: %s", after.Name, saidInFull(after))
	}
	switch {
	case after.Stale != "" && before.Stale == "":
		say("%s", after.Stale)
	case after.Stale == "" && before.Stale != "":
		say("the hub answers again")
	}
	for _, n := range after.Notes {
		if !slices.Contains(before.Notes, n) {
			say("note: %s", n)
		}
	}
	return out
}

func saidInFull(m *Model) string {
	if m.Verdict.Command == "" {
		return m.Verdict.Text
	}
	return m.Verdict.Text + " · " + m.Verdict.Command
}

// reasonCarrying is that of a ClusterHop whose members are worked on (stage.ReasonCarrying: the frame of stages is no part of the CLI).
const reasonCarrying = "CarryingMembers"

// verdictKey is what makes a verdict another one. Counts of pods are said where the units are; where a release is carried to members, what their runs are at is said nowhere else.
func verdictKey(m *Model) string {
	v := m.Verdict
	key := fmt.Sprint(v.State, v.Stage, v.Reason, v.Attempt, v.Step, v.Also, v.Command)
	if v.asked || v.Reason == reasonCarrying {
		key += v.For
	}
	if v.State == StateStarting {
		key += v.Trouble
	}
	return key
}

func stageChanges(before, after *Model, say func(string, ...any)) {
	type was struct {
		state   StageState
		attempt int
	}
	old := map[string]was{}
	for _, s := range before.Stages {
		old[s.Name] = was{s.State, s.Attempt}
	}
	for _, s := range after.Stages {
		o := old[s.Name]
		if o.state == s.State && (o.attempt == s.Attempt || !s.running()) {
			continue
		}
		took := ""
		if d, ok := between(s.Started, s.Finished, after.At.Time); ok && s.Finished != nil {
			took = " after " + lasting(d)
		}
		switch s.State {
		case StageRunning, StageAsking:
			if s.Attempt > 1 && o.attempt < s.Attempt {
				say("%s: attempt %d of %d; the one before: %s", s.Name, s.Attempt, s.Attempts, s.LastFailure)
			} else if o.state != StageRunning {
				say("%s: begun", s.Name)
			}
		case StageDone:
			if s.Message != "" {
				took += ": " + s.Message
			}
			say("%s: done%s", s.Name, took)
		case StageFailed, StageCancelled:
			say("%s: %s%s: %s", s.Name, strings.ToLower(string(s.State)), took, reasonAndMessage(s.Reason, s.Message))
		case StageSkipped:
			if s.Message != "" {
				say("%s: skipped: %s", s.Name, s.Message)
			} else {
				say("%s: skipped", s.Name)
			}
		}
	}
}

func memberChanges(before, after *Model, say func(string, ...any)) {
	type key struct{ member, unit, workload string }
	old := map[key]Unit{}
	for _, u := range before.Units {
		old[key{u.Member, u.Unit, u.Workload}] = u
	}
	for _, u := range after.Units {
		o, known := old[key{u.Member, u.Unit, u.Workload}]
		counts := func(u Unit) [6]int32 {
			return [6]int32{u.Replicas, u.Updated, u.UpdatedAvailable, u.Ready, u.Available, u.Want}
		}
		where := u.Member + "/" + unitLabel(u.Unit)
		if !known || counts(o) != counts(u) {
			say("%s: old %d, new %d (%d available), ready %d/%d, want %d", where, u.Old(), u.Updated, u.UpdatedAvailable, u.Ready, u.Replicas, u.Want)
		}
		switch {
		case u.Trouble != "" && u.Trouble != o.Trouble:
			say("%s: trouble: %s", where, u.Trouble)
		case u.Trouble == "" && o.Trouble != "":
			say("%s: no more trouble", where)
		}
	}
	gone := func(m *Model) map[string]bool {
		out := map[string]bool{}
		for _, u := range m.Unreachable {
			out[u.Member] = true
		}
		return out
	}
	lost, lostNow := gone(before), gone(after)
	for _, u := range after.Unreachable {
		if !lost[u.Member] {
			say("%s", u.said())
		}
	}
	for _, u := range before.Unreachable {
		if !lostNow[u.Member] && !after.Over {
			say("member %s answers again", u.Member)
			lostNow[u.Member] = true
		}
	}
}

func guardChanges(before, after *Model, say func(string, ...any)) {
	type key struct{ stage, name, member string }
	old := map[key]stages.Verdict{}
	for _, g := range before.Guards {
		old[key{g.Stage, g.Name, g.Member}] = g.Verdict
	}
	for _, g := range after.Guards {
		o, known := old[key{g.Stage, g.Name, g.Member}]
		if o == g.Verdict || !known && g.Verdict == stages.VerdictPending {
			continue
		}
		what := fmt.Sprintf("guard %s", g.Name)
		if g.Member != "" {
			what += " on " + g.Member
		}
		if g.DryRun {
			what += " (dry run)"
		}
		what += ": " + string(g.Verdict)
		if g.Value != "" {
			what += ", " + g.Value
		}
		if g.Message != "" && g.Verdict != stages.VerdictPass {
			what += ": " + g.Message
		}
		say("%s", what)
	}
}

func answerChanges(before, after *Model, say func(string, ...any)) {
	counted, ignored := map[string]bool{}, map[string]bool{}
	for _, q := range before.Questions {
		for _, a := range q.Answers {
			counted[a.Approval] = true
		}
		for _, i := range q.Ignored {
			ignored[i] = true
		}
	}
	for _, q := range after.Questions {
		for _, a := range q.Answers {
			if !counted[a.Approval] {
				say("%s: %s answered %s: %s", q.Stage, a.User, a.Decision, a.Message)
			}
		}
		for _, i := range q.Ignored {
			if !ignored[i] {
				say("%s: an answer does not count: %s", q.Stage, i)
			}
		}
	}
}

func handChanges(before, after *Model, say func(string, ...any)) {
	done, frozen, is := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, i := range before.Interventions {
		done[i.Name] = true
	}
	for _, i := range after.Interventions {
		if !done[i.Name] {
			say("%s: %s", i.did(), i.Message)
		}
	}
	for _, f := range before.Freezes {
		frozen[f.Name] = true
	}
	for _, f := range after.Freezes {
		is[f.Name] = true
		if !frozen[f.Name] {
			say("%s · %s", f.said(after, false), f.Command)
		}
	}
	for _, f := range before.Freezes {
		if !is[f.Name] && !after.Over {
			say("freeze %s stops it no more", f.Name)
		}
	}
	if r := after.Release; r != nil && r.Rollback != nil {
		if was := before.Release; was == nil || was.Rollback == nil || was.Rollback.Message != r.Rollback.Message {
			say("%s", rollbackSaid(after, *r.Rollback))
		}
	}
}
