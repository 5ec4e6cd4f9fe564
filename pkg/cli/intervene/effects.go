package intervene

import (
	"fmt"
	"strings"

	"github.com/periplus-dev/periplus/pkg/cli/screen"
)

// What stages do when they are paused, ended or skipped, by kind: the words follow what the frame of the stages does.

// afterPause says for each stage where it comes to stand.
func (d *decision) afterPause() []string {
	var out []string
	for _, s := range d.model.Stages {
		switch {
		case s.State == screen.StageAsking:
			out = append(out, fmt.Sprintf("stage %s goes on asking; what comes after it makes no move", s.Name))
		case s.State == screen.StageRunning && s.Kind == kindHop:
			out = append(out, fmt.Sprintf("stage %s begins no further member", s.Name))
		case s.State == screen.StageRunning:
			out = append(out, fmt.Sprintf("stage %s stops before its next move", s.Name)+d.held(s.Name))
		}
	}
	if n := len(d.children); n > 0 {
		out = append(out, fmt.Sprintf("the stages of %s of ClusterHops stop before their next moves; pods whose update has begun finish it", counted(n, "run")))
	}
	if len(out) == 0 {
		out = append(out, "no stage runs now; the next one makes no move")
	}
	return append(out, "it holds until somebody resumes it")
}

func (d *decision) afterResume() []string {
	var out []string
	for _, s := range d.model.Stages {
		if isRunning(s) {
			out = append(out, fmt.Sprintf("stage %s goes on", s.Name))
		}
	}
	if n := len(d.children); n > 0 {
		out = append(out, fmt.Sprintf("%s of ClusterHops go on", counted(n, "run")))
	}
	if len(out) == 0 {
		out = append(out, "no stage runs now; the next one goes on as it comes")
	}
	if len(d.model.Freezes) > 0 {
		out = append(out, "what a freeze stops goes on standing still until that is lifted")
	}
	return out
}

func (d *decision) afterAbort(program string) []string {
	var out []string
	for _, s := range d.model.Stages {
		if !isRunning(s) {
			continue
		}
		out = append(out, fmt.Sprintf("stage %s ends", s.Name)+d.held(s.Name))
	}
	if n := len(d.children); n > 0 {
		out = append(out, fmt.Sprintf("%s of ClusterHops end the same way", counted(n, "run")))
	}
	if pending := d.pending(false); len(pending) > 0 {
		out = append(out, "never begun: "+strings.Join(pending, ", "))
	}
	if last := d.pending(true); len(last) > 0 {
		out = append(out, "the pipeline's finally comes after it as after every end: "+strings.Join(last, ", "))
	}
	if d.release != nil && len(d.release.Status.Touched) > 0 {
		out = append(out, fmt.Sprintf("what is on the new revision stays so unless finally takes it back; to take it back: %s rollback %s", program, d.ref.Name))
	}
	return out
}

// pending names the stages that have not begun.
func (d *decision) pending(finally bool) []string {
	var out []string
	for _, s := range d.model.Stages {
		if s.State == screen.StagePending && s.Finally == finally {
			name := s.Name
			if finally {
				name += " (" + s.Kind + ")"
			}
			out = append(out, name)
		}
	}
	return out
}

// describeSkip says what a stage leaves undone and what comes after it.
func (c *command) describeSkip(d *decision, m *screen.Model, s screen.Stage) {
	then := []string{fmt.Sprintf("stage %s ends as if it had succeeded, and moves nothing further", s.Name)}
	for _, u := range m.Units {
		if u.Stage == s.Name && u.AsOf == nil && u.Updated < u.Want {
			then = append(then, fmt.Sprintf("%s stays at %d of %s on the new revision; the stage wanted %d", place(u), u.Updated, counted(int(u.Replicas), "pod"), u.Want))
		}
	}
	for _, g := range m.Guards {
		if g.Stage == s.Name && g.Verdict != "Pass" && g.Verdict != "NotApplicable" {
			on := ""
			if g.Member != "" {
				on = " on " + g.Member
			}
			then = append(then, fmt.Sprintf("guard %s%s is not judged any more; it is at %s", g.Name, on, g.Verdict))
		}
	}
	var next []string
	for _, other := range m.Stages {
		for _, before := range other.After {
			if before == s.Name && other.State == screen.StagePending {
				next = append(next, other.Name)
			}
		}
	}
	if len(next) > 0 {
		then = append(then, "comes next: "+strings.Join(next, ", "))
	}
	d.plan.Warn("then", then...)
}

func (d *decision) unitsOf(stage string) []screen.Unit {
	var out []screen.Unit
	for _, u := range d.model.Units {
		if u.Stage == stage && u.AsOf == nil {
			out = append(out, u)
		}
	}
	return out
}

// held ends a sentence about a stage that makes no further move: what it holds back, and which pods get to the end of their update all the same.
func (d *decision) held(stage string) string {
	units := d.unitsOf(stage)
	if len(units) == 0 {
		return ""
	}
	var parts []string
	total := int32(0)
	for _, u := range units {
		if n := begun(u); n > 0 {
			total += n
			parts = append(parts, fmt.Sprintf("%s of %s", counted(int(n), "pod"), place(u)))
		}
	}
	out, verb := "; pods whose update has not begun are held back", "finish their update"
	if total == 1 {
		verb = "finishes its update"
	}
	switch {
	case len(parts) == 0:
		return out
	case len(parts) > mostUnits:
		return fmt.Sprintf("%s; %s in %s %s", out, counted(int(total), "pod"), counted(len(parts), "unit"), verb)
	}
	return out + "; " + strings.Join(parts, ", ") + " " + verb
}

// begun is how many pods of a unit are on the new revision, or on their way there, and not available yet.
func begun(u screen.Unit) int32 { return max(0, u.Updated-u.UpdatedAvailable) }
