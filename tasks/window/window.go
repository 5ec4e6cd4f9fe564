// Package window is the stage that moves nothing and waits until a release may go on: within a window, and not frozen.
package window

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/fleet"
	"github.com/periplus-dev/periplus/pkg/stage"
	windows "github.com/periplus-dev/periplus/pkg/window"
)

// patience is how long a member that nobody knows may yet come to be known: it may have been made together with the run.
const patience = 5 * time.Second

// Task is the window.
type Task struct{}

var (
	_ stage.Task   = Task{}
	_ stage.Teller = Task{}
)

// Kind implements stage.Task.
func (Task) Kind() string { return "Window" }

// Results implements stage.Task: when the way was open (RFC 3339, UTC); empty where it was not.
func (Task) Results() map[string]string { return map[string]string{"opened": ""} }

// NewSpec implements stage.Task.
func (Task) NewSpec() stage.Spec { return &v1alpha1.WindowSpec{} }

// Scope implements stage.Task: a window looks at no member, only at what freezes it.
func (Task) Scope(stage.Spec) *stage.Scope { return nil }

// Tell implements stage.Teller.
func (Task) Tell(_ context.Context, run *stage.Run) (stage.Told, error) {
	spec, ok := run.Spec.(*v1alpha1.WindowSpec)
	if !ok {
		return stage.Told{}, fmt.Errorf("a %T is not the spec of a window", run.Spec)
	}
	var told stage.Told
	frozen, err := run.Frozen(spec.Members, false)
	if errors.Is(err, fleet.ErrUnknownMember) {
		told.Wrong, err = append(told.Wrong, "spec.members: "+err.Error()), nil
	}
	if err != nil {
		return stage.Told{}, err
	}
	if out := stage.FrozenOutcome(frozen); out != nil {
		told.Notes = append(told.Notes, "now: "+out.Message)
	}
	if len(spec.Windows) == 0 {
		told.Facts = append(told.Facts, "waits until nothing is frozen")
		return told, nil
	}
	told.Facts = append(told.Facts, "waits for "+stage.WindowWords(spec.Windows, spec.TimeZone))
	set, err := windows.New(spec.Windows, spec.TimeZone)
	if err != nil {
		return stage.Told{}, fmt.Errorf("spec.windows, which were admitted: %w", err)
	}
	if standing := set.At(run.Now); !standing.Open {
		told.Notes = append(told.Notes, "now: "+closed(standing, spec))
	}
	return told, nil
}

// Step implements stage.Task.
func (Task) Step(_ context.Context, run *stage.Run) (stage.Outcome, error) {
	spec, ok := run.Spec.(*v1alpha1.WindowSpec)
	if !ok {
		return stage.Outcome{}, fmt.Errorf("a %T is not the spec of a window", run.Spec)
	}
	frozen, err := run.Frozen(spec.Members, false)
	if errors.Is(err, fleet.ErrUnknownMember) {
		if until := run.Started.Add(patience); run.Now.Before(until) {
			return stage.Wait(stage.ReasonConnecting, err.Error()).WakeAt(until), nil
		}
		return stage.Fail(stage.ReasonInvalid, "spec.members: "+err.Error()), nil
	}
	if err != nil {
		return stage.Outcome{}, err
	}
	set, err := windows.New(spec.Windows, spec.TimeZone)
	if err != nil {
		return stage.Outcome{}, fmt.Errorf("spec.windows, which were admitted: %w", err)
	}
	standing := set.At(run.Now)
	if out := stage.FrozenOutcome(frozen); out != nil {
		if !standing.Open {
			out.Message += "; " + closed(standing, spec)
		}
		return *out, nil
	}
	if !standing.Open {
		return stage.Wait(stage.ReasonWindowClosed, closed(standing, spec)).LimitedBy(standing.Next), nil
	}
	opened := run.Now.UTC().Format(time.RFC3339)
	return stage.Done("open at "+opened, map[string]string{"opened": opened}), nil
}

// closed says when the next window opens, by the clock of its zone.
func closed(s windows.Standing, spec *v1alpha1.WindowSpec) string {
	if s.Next.IsZero() {
		return "no window opens within five years"
	}
	at := s.Next
	if zone, err := v1alpha1.ParseTimeZone(spec.TimeZone); err == nil {
		at = at.In(zone)
	}
	return "the next window opens on " + at.Format("Mon 2006-01-02 at 15:04 MST")
}
