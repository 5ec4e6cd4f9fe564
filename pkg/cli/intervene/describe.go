package intervene

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	stages "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/cli/hub"
	"github.com/periplus-dev/periplus/pkg/cli/screen"
)

// Beyond these numbers units are summed up by member, and children and members are counted.
const mostUnits, mostLines = 16, 40

// describe adds to a plan what it is about: the release and its run, what runs now, and what was touched and how far. What will happen comes last.
func (c *command) describe(h *hub.Hub, d *decision) {
	happens := d.plan.Parts
	d.plan = screen.Plan{Title: fmt.Sprintf("%s %s in %s", strings.ToLower(string(c.action)), d.ref.Name, h.Namespace)}
	if d.member != "" {
		d.plan.Title = fmt.Sprintf("%s member %s of %s in %s", strings.ToLower(string(c.action)), d.member, d.ref.Name, h.Namespace)
	}
	d.plan.Facts = d.facts(c.clock.Now())
	d.plan.Add("", d.led...)
	d.plan.Add("now", d.now()...)
	d.plan.Add("touched", d.touched()...)
	if c.action != stages.ActionPause && c.action != stages.ActionResume && c.action != stages.ActionRetry {
		if p := d.standing().Paused; p != nil {
			d.plan.Warn("paused", "by "+said(p))
		}
	}
	for _, f := range d.model.Freezes {
		d.plan.Warn("frozen", d.frozen(f))
	}
	switch c.action {
	case stages.ActionPause:
		d.plan.Add("then", d.afterPause()...)
	case stages.ActionResume:
		d.plan.Add("then", d.afterResume()...)
	case stages.ActionAbort:
		d.plan.Add("then", d.afterAbort(c.program)...)
	}
	d.plan.Parts = append(d.plan.Parts, happens...)
	if d.carrier != nil {
		d.plan.Add("note", d.carrier.Notes...)
	}
}

func (d *decision) frozen(f screen.Freeze) string {
	out := fmt.Sprintf("by %s: %s (%s)", who(f.User), f.Message, f.Scope)
	if f.Until != nil {
		out += ", until " + f.Until.Format(time.RFC3339)
	}
	if f.Unsure {
		out = "perhaps " + out
	}
	return out + ": " + f.Name
}

func (d *decision) facts(now time.Time) []string {
	var out []string
	initiator := d.model.Initiator
	if r := d.release; r != nil && initiator == "" {
		initiator = r.Spec.Initiator
	}
	began := "started by " + who(initiator)
	if d.model.Started != nil {
		began += ", " + screen.Lasting(now.Sub(d.model.Started.Time)) + " ago"
	}
	out = append(out, began)
	switch {
	case d.release != nil:
		return append(out, "release "+d.release.Name)
	case d.carrier.KnowsReleases():
		return append(out, "no release record: nothing was touched yet")
	}
	return out
}

// now is what runs, and what each stage waits for.
func (d *decision) now() []string {
	var out []string
	for _, s := range d.model.Stages {
		if isRunning(s) {
			out = append(out, doing(s))
		}
	}
	for _, part := range d.parts {
		out = append(out, part.Name+": "+part.Verdict.Text)
	}
	if len(out) == 0 {
		out = append(out, d.stands())
	}
	return shortened(out, "more that run")
}

func doing(s screen.Stage) string {
	out := fmt.Sprintf("%s (%s)", s.Name, s.Kind)
	switch {
	case s.Waiting != nil && s.Waiting.For != "":
		out += ": " + s.Waiting.For
	case s.Message != "":
		out += ": " + s.Message
	}
	if s.Waiting != nil && s.Waiting.Until != nil {
		out += ", until " + s.Waiting.Until.Format("15:04")
	}
	return out
}

// touched is what was touched and how far it is, by unit, or by member where there are many.
func (d *decision) touched() []string {
	var out []string
	type sum struct{ updated, available, replicas int32 }
	seen := map[string]bool{}
	byMember := map[string]sum{}
	var members []string
	for _, u := range d.units() {
		seen[u.Member+"/"+u.Workload] = true
		if _, known := byMember[u.Member]; !known {
			members = append(members, u.Member)
		}
		s := byMember[u.Member]
		byMember[u.Member] = sum{s.updated + u.Updated, s.available + u.UpdatedAvailable, s.replicas + u.Replicas}
		line := fmt.Sprintf("%s %s: %s", place(u), u.Workload, pods(u.Updated, u.UpdatedAvailable, u.Replicas))
		if u.Unreachable {
			line += ", as it was before the member was lost"
		}
		out = append(out, line)
	}
	if len(out) > mostUnits {
		out = nil
		for _, m := range members {
			out = append(out, m+": "+pods(byMember[m].updated, byMember[m].available, byMember[m].replicas))
		}
	}
	if d.release != nil {
		for _, t := range d.release.Status.Touched {
			if !seen[t.Member+"/"+t.Workload] {
				out = append(out, fmt.Sprintf("%s %s: touched before, %s -> %s", t.Member, t.Workload, short(t.Previous.Revision, t.Workload), short(t.Revision, t.Workload)))
			}
		}
	}
	if len(out) == 0 {
		return []string{"nothing"}
	}
	return shortened(out, "more")
}

func place(u screen.Unit) string {
	if u.Unit == "" {
		return u.Member
	}
	return u.Member + "/" + u.Unit
}

func pods(updated, available, replicas int32) string {
	out := fmt.Sprintf("%d of %s on the new revision", updated, counted(int(replicas), "pod"))
	if updated > 0 && available < updated {
		out += fmt.Sprintf(", %d of them available", available)
	}
	return out
}

func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// shortened keeps a list readable.
func shortened(lines []string, what string) []string {
	if len(lines) <= mostLines {
		return lines
	}
	return append(slices.Clone(lines[:mostLines]), fmt.Sprintf("and %d %s", len(lines)-mostLines, what))
}

// short takes the workload's name off a revision's, and says where none is known.
func short(revision, workload string) string {
	return cmp.Or(strings.TrimPrefix(revision, workload+"-"), "?")
}
