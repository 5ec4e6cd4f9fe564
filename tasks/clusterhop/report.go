package clusterhop

import (
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/plan"
	"github.com/periplus-dev/periplus/pkg/stage"
)

// maxStrangers is how many members the status names of those that joined or left.
const maxStrangers = 20

// report sums up for people.
func (h *hop) report() {
	waves := len(h.run.Admitted.Waves)
	st := &v1alpha1.HopStatus{Total: len(h.members), Waves: waves, Wave: min(h.course.Wave+1, waves), MaxFailures: h.limit}
	if i := st.Wave - 1; i >= 0 && i < len(h.spec.Waves) {
		st.WaveName = h.spec.Waves[i].Name
	}
	for _, m := range h.members {
		one := v1alpha1.HopMember{Name: m.name, Run: h.log.Runs[m.name], Message: m.at}
		n := h.log.Notes[m.index]
		switch m.mark {
		case done:
			st.Done++
		case meant, begun:
			if m.child != nil {
				at := metav1.NewTime(m.child.Created)
				one.Since = &at
			}
			if len(st.Working) >= maxReasons {
				one = v1alpha1.HopMember{Name: m.name}
			}
			st.Working = append(st.Working, one)
		case failed:
			st.Failed = append(st.Failed, over(m, n, len(st.Failed)))
		case skipped:
			st.Skipped = append(st.Skipped, over(m, n, len(st.Skipped)))
		default:
			st.Waiting++
			if m.at != "" { // its turn has come, and it is not clear to go.
				st.Working = append(st.Working, one)
				st.Waiting--
			}
		}
	}
	st.Joined, st.Left = h.strangers()
	h.run.Status.Hop = st
	h.run.Status.Step = &v1alpha1.StepStatus{Index: max(1, st.Wave), Total: waves, What: "wave " + h.waveName(st.Wave-1)}
	if h.run.Admitted.Target == nil || len(st.Working) == 0 {
		h.run.Status.Members = nil
	}
}

// over is a member that is over; beyond the first of many there is only its name.
func over(m *member, n note, before int) v1alpha1.HopMember {
	one := v1alpha1.HopMember{Name: m.name}
	if before >= maxReasons {
		return one
	}
	at := metav1.Unix(n.At, 0)
	one.Message, one.Since = n.Why, &at
	if len(m.tries) > 0 {
		one.Run = m.tries[len(m.tries)-1].Name
	}
	return one
}

// strangers are members that joined since the hop began, and that are left alone; and members of it that left the fleet before they were done.
func (h *hop) strangers() (joined, left []string) {
	all, err := h.run.Candidates()
	if err != nil {
		return nil, nil // the next pass says it.
	}
	have := map[string]bool{}
	for _, c := range all {
		have[c.Name] = true
	}
	for _, m := range h.members {
		if !have[m.name] && m.mark != done {
			left = append(left, m.name)
		}
		have[m.name] = false
	}
	for i := range h.spec.Waves {
		for _, name := range plan.Selected(h.spec.Waves[i].MemberSelector, all) {
			if have[name] && !slices.Contains(joined, name) {
				joined = append(joined, name)
			}
		}
	}
	return joined[:min(len(joined), maxStrangers)], left[:min(len(left), maxStrangers)]
}

func (h *hop) waveName(i int) string {
	if i >= 0 && i < len(h.spec.Waves) && h.spec.Waves[i].Name != "" {
		return h.spec.Waves[i].Name
	}
	return fmt.Sprint(i + 1)
}

// outcome says what the hop waits for, or how it ended.
func (h *hop) outcome() (stage.Outcome, error) {
	st := h.run.Status.Hop
	working := h.count(meant) + h.count(begun)
	course := h.course
	switch {
	case !h.kept:
		return stage.Wait(stage.ReasonCarrying, h.sentence()).WakeAt(h.run.Now), nil
	case course.Stopped && course.Ended:
		return h.fail(stage.ReasonMembersFailed, h.why()), nil
	case course.Stopped:
		return stage.Wait(stage.ReasonMembersFailed, h.why()+"; nobody further is begun; waits for "+h.workers()).WakeAt(h.wake), nil
	case course.Ended:
		out := stage.Done(h.sentence(), h.results())
		return out, nil
	case h.changed != "" && working == 0:
		return h.fail(stage.ReasonChanged, h.changed+"; "+h.sentence()), nil
	case h.changed != "":
		return stage.Wait(stage.ReasonChanged, h.changed+"; nobody further is begun; waits for "+h.workers()).WakeAt(h.wake), nil
	case !course.PausedUntil.IsZero() && working == 0:
		return stage.Wait(stage.ReasonWavePause, "pause before wave "+h.waveName(course.Wave)+"; "+h.sentence()).LimitedBy(course.PausedUntil).WakeAt(h.wake), nil
	}
	if h.still != nil {
		out := *h.still
		out.Message += "; nobody further is begun; " + h.sentence()
		return out.WakeAt(h.wake), nil
	}
	reason := ""
	for _, m := range h.members {
		if m.reason != "" && (reason == "" || m.reason == stage.ReasonCarrying) {
			reason = m.reason
		}
	}
	if reason == "" {
		reason = stage.ReasonCarrying
	}
	if st.Wave > 0 {
		return stage.Wait(reason, "wave "+h.waveName(st.Wave-1)+": "+h.sentence()).WakeAt(h.wake).WakeAt(course.PausedUntil), nil
	}
	return stage.Wait(reason, h.sentence()).WakeAt(h.wake), nil
}

func (h *hop) fail(reason, message string) stage.Outcome {
	out := stage.Fail(reason, message)
	out.Results = h.results()
	return out
}

// why says who failed, and that it is more than is borne.
func (h *hop) why() string {
	n := h.count(failed)
	return fmt.Sprintf("%d of %d members failed, and at most %d may: %s", n, len(h.members), h.limit, few(h.run.Status.Hop.Failed, true))
}

// sentence says how far the hop is.
func (h *hop) sentence() string {
	st := h.run.Status.Hop
	parts := []string{fmt.Sprintf("%d of %d members done", st.Done, st.Total)}
	if len(st.Working) > 0 {
		parts = append(parts, "working on "+few(st.Working, true))
	}
	if len(st.Failed) > 0 {
		parts = append(parts, fmt.Sprintf("%d failed: %s", len(st.Failed), few(st.Failed, false)))
	}
	if len(st.Skipped) > 0 {
		parts = append(parts, fmt.Sprintf("%d skipped: %s", len(st.Skipped), few(st.Skipped, true)))
	}
	if len(st.Joined) > 0 {
		parts = append(parts, "joined since it began and left out: "+strings.Join(st.Joined, ", "))
	}
	if len(st.Left) > 0 {
		parts = append(parts, "left the fleet: "+strings.Join(st.Left, ", "))
	}
	return strings.Join(parts, "; ")
}

// workers names those that are worked on.
func (h *hop) workers() string { return few(h.run.Status.Hop.Working, false) }

// few names the first of many members.
func few(list []v1alpha1.HopMember, why bool) string {
	const most = 5
	var out []string
	for _, m := range list[:min(len(list), most)] {
		if why && m.Message != "" {
			out = append(out, m.Name+" ("+m.Message+")")
			continue
		}
		out = append(out, m.Name)
	}
	if n := len(list) - most; n > 0 {
		out = append(out, fmt.Sprintf("%d more", n))
	}
	return strings.Join(out, ", ")
}
