package stage

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/periplus-dev/periplus/pkg/window"
)

// opened waits, before the stage takes a lock and makes its first move, until it is within the windows that policies demand.
func (p *moving) opened(context.Context) (*Outcome, error) {
	if p.state.FirstMoved != nil {
		return nil, nil // the move that is under way is looked after whatever the time.
	}
	return p.run.outsideWindow()
}

// reopened waits for the same before the first move of each further step. A step that has begun goes on to its end.
func (p *moving) reopened(context.Context) (*Outcome, error) {
	if p.state.Moved != nil || p.state.Step >= len(p.steps) {
		return nil, nil
	}
	return p.run.outsideWindow()
}

// outsideWindow says which demanded windows are closed, nil where none is.
func (r *Run) outsideWindow() (*Outcome, error) {
	if r.Admitted.Demands == nil {
		return nil, nil
	}
	var shut []string
	var first, last time.Time
	for _, d := range r.Admitted.Demands.Windows {
		set, err := window.New(d.Windows, d.TimeZone)
		if err != nil {
			return nil, invalid(fmt.Errorf("the windows that ReleasePolicy %q demands: %w", d.Policy, err))
		}
		at := set.At(r.Now)
		if at.Open {
			continue
		}
		opens := "do not open within five years"
		if !at.Next.IsZero() {
			opens = "open at " + at.Next.UTC().Format("2006-01-02 15:04 MST")
			first = earlier(first, at.Next)
			if at.Next.After(last) {
				last = at.Next
			}
		}
		shut = append(shut, fmt.Sprintf("the windows of ReleasePolicy %q %s", d.Policy, opens))
	}
	if len(shut) == 0 {
		return nil, nil
	}
	out := Wait(ReasonOutsideWindow, "moves nothing until then: "+strings.Join(shut, "; ")).WakeAt(first)
	out.Until = last
	return &out, nil
}
