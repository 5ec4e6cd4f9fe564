package screen

import (
	"fmt"
	"math"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	stages "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

// GuardTestFormat names the shape of GuardTest in JSON and YAML. Fields may be added under this name, never changed or taken away.
const GuardTestFormat = "periplus.dev/guard-test/v1"

// GuardTest is what came of judging guards once. It is what `periplus guard test -o json` prints; docs/cli.md describes it to users.
type GuardTest struct {
	Format    string      `json:"format"`
	At        metav1.Time `json:"at"`
	Namespace string      `json:"namespace"`
	Target    string      `json:"target"`
	Members   []string    `json:"members,omitempty"`
	// LeftOut are members that no ReleasePolicy gives to the namespace.
	LeftOut []string `json:"leftOut,omitempty"`
	// Run that judged, and whether it is kept.
	Run  string `json:"run"`
	Kept bool   `json:"kept,omitempty"`
	// Passed is true where every guard passed or does not apply, in every member.
	Passed bool `json:"passed"`
	// Message says why not all was judged, or what failed.
	Message string        `json:"message,omitempty"`
	Guards  []TestedGuard `json:"guards"`
}

// TestedGuard is a guard as judged in one member.
type TestedGuard struct {
	stages.GuardStatus
}

// Judged is false where nobody looked at the guard.
func (g TestedGuard) Judged() bool { return g.Since != nil }

// Fill takes the verdicts on the guards of a file out of a stage's status, in the order of the file, and says whether each guard has one in each member.
func (t *GuardTest) Fill(guards []stages.Guard, judged []stages.GuardStatus) bool {
	t.Guards, t.Passed = nil, len(t.Members) > 0
	all := len(t.Members) > 0
	for _, g := range guards {
		for _, member := range t.Members {
			found := stages.GuardStatus{Name: g.Name, Member: member, Expr: g.Expr, When: stages.Before, Verdict: stages.VerdictPending, Message: "not judged"}
			for _, st := range judged {
				if st.Name == g.Name && st.Member == member {
					found = st
				}
			}
			found.DryRun = g.DryRun
			t.Guards = append(t.Guards, TestedGuard{found})
			all = all && found.Verdict != stages.VerdictPending
			t.Passed = t.Passed && !matters(found.Verdict)
		}
	}
	return all
}

// RenderGuardTest draws verdicts with everything that they stand on. Every line ends with a newline, and nothing is left out.
func RenderGuardTest(t *GuardTest, look Look) string {
	g := unicodeGlyphs
	if look.ASCII {
		g = asciiGlyphs
	}
	var out []line
	for i, gd := range t.Guards {
		if i > 0 {
			out = append(out, line{})
		}
		out = append(out, tested(gd, g, look.Width)...)
	}
	good := 0
	for _, gd := range t.Guards {
		if !matters(gd.Verdict) {
			good++
		}
	}
	facts := []string{fmt.Sprintf("%d of %d pass or do not apply", good, len(t.Guards)), "target " + t.Target + " in " + t.Namespace}
	if len(t.Guards) == 0 {
		facts[0] = "nothing was judged"
	}
	if len(t.LeftOut) > 0 {
		facts = append(facts, "left out, as no policy gives them to the namespace: "+list(t.LeftOut, "and"))
	}
	if len(out) > 0 {
		out = append(out, line{})
	}
	out = append(out, wrapped(facts, g, look.Width)...)
	if t.Message != "" && !t.Passed {
		out = append(out, note{"", t.Message, faint, math.MaxInt}.draw(0, look.Width, g)...)
	}
	var b strings.Builder
	for _, l := range out {
		l.write(&b, look.Colour)
		b.WriteByte('\n')
	}
	return b.String()
}

// tested draws one verdict.
func tested(gd TestedGuard, g glyphs, room int) []line {
	mark, colour := g.guard(gd.Verdict)
	head := gd.Name + " in " + gd.Member + ": " + string(gd.Verdict)
	if gd.DryRun {
		head = gd.Name + " (dry run) in " + gd.Member + ": " + string(gd.Verdict)
	}
	if gd.Message != "" {
		head += ": " + gd.Message
	}
	out := note{mark + " ", head, colour, math.MaxInt}.draw(0, room, g)
	indent := columns(mark) + 1
	facts := [][2]string{{"expr", gd.Expr}, {"value", gd.Value}}
	for _, m := range gd.Metrics {
		value := m.Value
		switch {
		case value == "" && m.Message == gd.Message:
			value = "no value"
		case value == "":
			value = m.Message
		}
		facts = append(facts, [2]string{m.Name, strings.Join(append([]string{value, "source " + m.Source}, baselineOf(m)...), " · ")}, [2]string{"query", m.Query})
	}
	labels := 0
	for _, f := range facts {
		labels = max(labels, columns(f[0]))
	}
	for _, f := range facts {
		if f[1] != "" {
			label := f[0] + strings.Repeat(" ", labels-columns(f[0])+gap)
			out = append(out, note{label, f[1], plain, math.MaxInt}.draw(indent, room, g)...)
		}
	}
	return out
}

func baselineOf(m stages.MetricStatus) []string {
	if m.Baseline == "" {
		return nil
	}
	return []string{"baseline " + m.Baseline}
}
