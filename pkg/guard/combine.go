package guard

import (
	"fmt"
	"slices"
	"strings"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

// Summary is what guards together mean for a stage.
type Summary struct {
	// GoOn is true when every guard that counts passed or does not apply. Without any guard it is true.
	GoOn bool
	// Worst verdict of the guards that count; empty without any.
	Worst v1alpha1.Verdict
	// Failed guards, and those that Hold: errors first, then without data, then pending.
	Failed, Holding []v1alpha1.GuardStatus
	// DryRun guards that would have failed or held.
	DryRun []v1alpha1.GuardStatus
}

// Severity of verdicts; the worst is the greatest. A verdict that is not known holds like an error.
func Severity(v v1alpha1.Verdict) int {
	switch v {
	case v1alpha1.VerdictNotApplicable:
		return 0
	case v1alpha1.VerdictPass:
		return 1
	case v1alpha1.VerdictPending:
		return 2
	case v1alpha1.VerdictInconclusive:
		return 3
	case v1alpha1.VerdictFail:
		return 5
	}
	return 4
}

// Worst combines statuses: the worst verdict over guards and members counts, dry runs never do. Give it the statuses that matter now, all of
// them.
func Worst(statuses []v1alpha1.GuardStatus) Summary {
	s := Summary{GoOn: true}
	worst := -1
	for _, st := range statuses {
		sev := Severity(st.Verdict)
		bad := sev > Severity(v1alpha1.VerdictPass)
		if st.DryRun {
			if bad {
				s.DryRun = append(s.DryRun, st)
			}
			continue
		}
		if sev > worst {
			worst, s.Worst = sev, st.Verdict
		}
		switch {
		case st.Verdict == v1alpha1.VerdictFail:
			s.Failed = append(s.Failed, st)
		case bad:
			s.Holding = append(s.Holding, st)
		}
	}
	s.GoOn = len(s.Failed) == 0 && len(s.Holding) == 0
	slices.SortStableFunc(s.Holding, func(a, b v1alpha1.GuardStatus) int { return Severity(b.Verdict) - Severity(a.Verdict) })
	return s
}

// Spare returns the summary without what only holds, and for which spared is true. What failed is never spared.
func (s Summary) Spare(spared func(v1alpha1.GuardStatus) bool) Summary {
	s.Holding = slices.DeleteFunc(slices.Clone(s.Holding), spared)
	s.GoOn = len(s.Failed) == 0 && len(s.Holding) == 0
	switch {
	case len(s.Failed) > 0:
	case len(s.Holding) > 0:
		s.Worst = s.Holding[0].Verdict // they are in order, the worst first.
	case s.Worst != "":
		s.Worst = v1alpha1.VerdictPass
	}
	return s
}

// Message says in one line what failed or holds; empty when the stage may go on.
func (s Summary) Message() string {
	all := slices.Concat(s.Failed, s.Holding)
	if len(all) == 0 {
		return ""
	}
	out := Describe(all[0])
	if n := len(all) - 1; n > 0 {
		out += fmt.Sprintf("; and %d more of %s", n, list(guardNames(all[1:])))
	}
	return out
}

// Describe says in one line what a guard found: `guard errors in fra: Fail: false in 1 samples of 3; the limit is 1 (want = 2)`.
func Describe(st v1alpha1.GuardStatus) string {
	var b strings.Builder
	b.WriteString("guard " + st.Name)
	if st.Member != "" {
		b.WriteString(" in " + st.Member)
	}
	b.WriteString(": " + string(st.Verdict))
	if st.Message != "" {
		b.WriteString(": " + st.Message)
	}
	if st.Value != "" {
		b.WriteString(" (" + st.Value + ")")
	}
	return b.String()
}

func guardNames(statuses []v1alpha1.GuardStatus) []string {
	var out []string
	for _, st := range statuses {
		if !slices.Contains(out, st.Name) {
			out = append(out, st.Name)
		}
	}
	return out
}
