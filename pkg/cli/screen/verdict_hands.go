package screen

import (
	"cmp"

	stages "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

// reasonPaused is what a stage that a pause holds waits with.
const reasonPaused = "Paused"

// pausedVerdict says who paused, and what the stages that have not come to a safe point yet still do.
func pausedVerdict(r root, m *Model, parts, running []part) Verdict {
	v, p := runningVerdict(r, m, parts, running), m.paused()
	if v.Reason == reasonPaused || v.State == StateStarting {
		v.For, v.Message, v.Until = "", "", nil // says no more than the pause does
	}
	v.State, v.Who, v.Since, v.asked = StatePaused, "", timeOf(p.Time), false
	v.Command = "periplus resume " + m.Name + ` --message "…"`
	return v
}

// goesBack says whether all of what the release touched is being taken back.
func (m *Model) goesBack() bool {
	r := m.Release
	return r != nil && r.Phase == stages.ReleaseRollingBack && r.Rollback != nil && (m.Finished != nil || r.Rollback.Scope != stages.RollbackMember)
}

// heldStill says who paused and why, and what the stage that leads is at.
func (m *Model) heldStill(say func(string, ...any)) {
	v, p := m.Verdict, m.paused()
	say("Paused by %s since %s", nobody(p.User), clock(p.Time.Time, m.At.Time, seconds))
	say("%s", p.Message)
	switch doing := cmp.Or(v.For, v.Message); {
	case v.Stage == "":
	case doing == "":
		say("%s holds still", v.Stage)
	default:
		say("%s: %s", v.Stage, doing)
	}
}

// wayBackVerdict is that of a release that is taken back, or was, with the stage whose failure led to it.
func wayBackVerdict(s State, r root, m *Model, failed []part) Verdict {
	v := Verdict{State: s, Message: m.Release.Message}
	if b := m.Release.Rollback; b != nil {
		v.Message, v.Since = b.Message, timeOf(b.Since)
		if s == StateRolledBack {
			v.Since = b.CompletionTime
		}
	}
	if r.done() && len(failed) > 0 {
		v.Stage, v.Reason = failed[0].Name, failed[0].Reason
	}
	return v
}

// wayBack says who takes the release back since when, or when it was back, and what it had come to.
func (m *Model) wayBack(say func(string, ...any)) {
	v, now := m.Verdict, m.At.Time
	said, joint := "Rolling back", " since "
	if v.State == StateRolledBack {
		said, joint = "Rolled back", " at "
	}
	if v.Since != nil {
		said += joint + clock(v.Since.Time, now, seconds)
	}
	if b := m.Release.Rollback; b != nil && b.Initiator != "" {
		said += " by " + b.Initiator
	}
	say("%s", said)
	if v.Message != "" {
		say("%s", v.Message)
	}
	if v.Stage != "" {
		say("%s failed: %s", v.Stage, v.Reason)
	}
}
