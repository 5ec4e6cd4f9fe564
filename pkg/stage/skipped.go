package stage

import (
	"context"
	"maps"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

// leaveOut takes what is seen of the members, without those that the stage leaves out: members that have not answered for a moment, where it says so. Once left out
// a member stays so until the stage is over, for what is planned and judged without it would not hold with it. What was touched there stays in the record.
func (p *moving) leaveOut(seen *World) {
	if p.OnUnreachable != v1alpha1.UnreachableSkip {
		p.world = seen
		return
	}
	silent := map[string]metav1.Time{}
	for _, m := range seen.Missing {
		if m.Reason != ReasonUnreachable || !m.Unreachable || p.skips(m.Member) {
			continue
		}
		since, ok := p.state.Silent[m.Member]
		if !ok {
			since = p.run.Stamp()
		}
		if until := since.Add(goneGrace); p.run.Now.Before(until) {
			silent[m.Member] = since
			p.wake(until)
			continue
		}
		if p.state.Skipped == nil {
			p.state.Skipped = map[string]string{}
		}
		p.state.Skipped[m.Member] = shorten(m.Message, 256)
	}
	p.state.Silent = silent
	p.world = seen.Only(p.members())
}

func (p *moving) skips(member string) bool {
	_, ok := p.state.Skipped[member]
	return ok
}

// members are those that the stage acts in, and has not left out.
func (p *moving) members() []string {
	return slices.DeleteFunc(slices.Clone(p.run.Admitted.Members), p.skips)
}

func (p *moving) skipped() []string { return slices.Sorted(maps.Keys(p.state.Skipped)) }

// anyLeft fails a stage that has left out every member.
func (p *moving) anyLeft(context.Context) (*Outcome, error) {
	if len(p.members()) > 0 {
		return nil, nil
	}
	out := Fail(ReasonUnreachable, "no member is left to act in"+p.leftOut())
	return &out, nil
}

// leftOut names the members that were left out, as the end of a sentence.
func (p *moving) leftOut() string {
	var parts []string
	for _, m := range p.skipped() {
		parts = append(parts, p.state.Skipped[m])
	}
	if len(parts) == 0 {
		return ""
	}
	return "; left out: " + strings.Join(parts, "; ")
}

// ended names in the results which members were left out, however the stage ends.
func (p *moving) ended(o Outcome) Outcome {
	if o.phase == waiting || len(p.state.Skipped) == 0 {
		return o
	}
	results := map[string]string{"skipped": JSONList(p.skipped())}
	maps.Copy(results, o.Results)
	o.Results = results
	return o
}
