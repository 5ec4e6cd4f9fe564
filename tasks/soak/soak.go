// Package soak is the stage that moves nothing and lets a time pass during which its guards hold.
package soak

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/stage"
)

// Task is the soak.
type Task struct{}

var (
	_ stage.Task   = Task{}
	_ stage.Teller = Task{}
)

// Kind implements stage.Task.
func (Task) Kind() string { return "Soak" }

// Results implements stage.Task: the verdicts as a JSON array of guard@member=Verdict.
func (Task) Results() map[string]string { return map[string]string{"verdicts": "[]"} }

// NewSpec implements stage.Task.
func (Task) NewSpec() stage.Spec { return &v1alpha1.SoakSpec{} }

// Scope implements stage.Task: a soak without a target looks at no member.
func (Task) Scope(spec stage.Spec) *stage.Scope {
	s := spec.(*v1alpha1.SoakSpec)
	if s.Target == "" {
		return nil
	}
	return &stage.Scope{
		Target: s.Target, Members: s.Members, MemberSelector: s.MemberSelector,
		MemberPath: func(p *field.Path, i int) *field.Path { return p.Child("members").Index(i) },
		Guards:     s.Guards, GuardSets: s.GuardSets,
	}
}

// Tell implements stage.Teller.
func (Task) Tell(_ context.Context, run *stage.Run) (stage.Told, error) {
	spec, ok := run.Spec.(*v1alpha1.SoakSpec)
	if !ok {
		return stage.Told{}, fmt.Errorf("a %T is not the spec of a soak", run.Spec)
	}
	return stage.Told{Facts: []string{fmt.Sprintf("lets %s pass", spec.Duration.Duration)}}, nil
}

// state of the soak.
type state struct {
	// Begun once the Before guards passed: guards count from here.
	Begun *metav1.Time `json:"begun,omitempty"`
	// Since when the time runs without a break; none while it stands still.
	Since *metav1.Time `json:"since,omitempty"`
	// Soaked is what had run before the last time it stood still.
	Soaked metav1.Duration `json:"soaked,omitempty"`
	// Over is when the time had run.
	Over *metav1.Time `json:"over,omitempty"`
}

// soaking is one pass.
type soaking struct {
	run   *stage.Run
	spec  *v1alpha1.SoakSpec
	state state
	world *stage.World
	// wake is when guards want to be judged again.
	wake time.Time
	// open are During guards that do not stop the time, and do not pass either: a failure that is borne, a first sample that is not due.
	open *stage.Outcome
}

// Step implements stage.Task.
func (Task) Step(ctx context.Context, run *stage.Run) (stage.Outcome, error) {
	spec, ok := run.Spec.(*v1alpha1.SoakSpec)
	if !ok {
		return stage.Outcome{}, fmt.Errorf("a %T is not the spec of a soak", run.Spec)
	}
	p := &soaking{run: run, spec: spec}
	if err := run.LoadState(&p.state); err != nil {
		p.state = state{} // damaged: the soak begins anew.
	}
	links := []func() *stage.Outcome{
		p.seen,   // every member
		p.before, // Before guards
		p.during, // During guards; the time stands still while they cannot be judged
		p.passed, // the time
		p.after,  // After guards
	}
	if spec.Target == "" {
		links = []func() *stage.Outcome{p.begin, p.passed}
	} else if err := p.look(ctx); err != nil {
		return stage.Outcome{}, err
	}
	for _, link := range links {
		out := link()
		if err := run.SaveState(p.state); err != nil {
			return stage.Outcome{}, err
		}
		if out != nil {
			*out = out.WakeAt(p.wake)
			out.Results = map[string]string{"verdicts": run.Verdicts()}
			return *out, nil
		}
	}
	return stage.Done("soaked for "+spec.Duration.Duration.String(), map[string]string{"verdicts": run.Verdicts()}), nil
}

func (p *soaking) look(ctx context.Context) error {
	if err := p.run.SeeRelease(ctx); err != nil {
		return err
	}
	world, err := p.run.Observe(p.run.Admitted.Members)
	if err != nil {
		return err
	}
	p.world = world
	p.run.Progress(world, p.run.Admitted.Members, stage.LetGo)
	return nil
}

func (p *soaking) seen() *stage.Outcome {
	out := p.world.Unseen()
	if out == nil {
		return nil
	}
	p.stand()
	return p.soFar(out)
}

func (p *soaking) before() *stage.Outcome {
	if p.state.Begun != nil {
		return nil
	}
	sum, wake := p.run.Judge(v1alpha1.Before, stage.Judging{World: p.world, Members: p.run.Admitted.Members, Want: stage.LetGo})
	if out := stage.GuardOutcome(sum, p.spec.OnGuardFailure, wake); out != nil {
		return out
	}
	return p.begin()
}

// begin begins the soak, once.
func (p *soaking) begin() *stage.Outcome {
	if p.state.Begun == nil {
		at := p.run.Stamp()
		p.state.Begun, p.state.Since = &at, &at
	}
	return nil
}

// during judges the guards that must hold all the time. A guard that failed, and holds the stage, makes the time begin anew.
func (p *soaking) during() *stage.Outcome {
	sum, wake := p.run.Judge(v1alpha1.During, p.judging(p.state.Begun.Time))
	p.wake = wake
	if len(sum.Failed) > 0 {
		p.state.Since, p.state.Soaked, p.state.Over = nil, metav1.Duration{}, nil
	}
	out := stage.GuardOutcome(sum, p.spec.OnGuardFailure, wake)
	if out == nil || !stage.Stops(sum) {
		p.open = out
		return nil
	}
	p.stand()
	return p.soFar(out)
}

// soFar adds how far the soak is to what it waits for.
func (p *soaking) soFar(out *stage.Outcome) *stage.Outcome {
	if p.state.Begun != nil && p.state.Over == nil {
		out.Message += fmt.Sprintf("; soaked for %s of %s", p.state.Soaked.Duration, p.spec.Duration.Duration)
	}
	return out
}

func (p *soaking) judging(moved time.Time) stage.Judging {
	return stage.Judging{World: p.world, Members: p.run.Admitted.Members, FirstMoved: p.state.Begun.Time, Moved: moved, Step: 1, Want: stage.LetGo}
}

// stand makes the time stand still: what nobody sees holding does not count.
func (p *soaking) stand() {
	if p.state.Since == nil || p.state.Over != nil {
		return
	}
	p.state.Soaked.Duration += max(0, p.run.Now.Sub(p.state.Since.Time).Truncate(time.Second))
	p.state.Since = nil
}

func (p *soaking) passed() *stage.Outcome {
	if p.state.Over != nil {
		return nil
	}
	if p.state.Since == nil {
		at := p.run.Stamp()
		p.state.Since = &at
	}
	until := p.state.Since.Add(p.spec.Duration.Duration - p.state.Soaked.Duration)
	if p.run.Now.Before(until) {
		out := stage.Wait(stage.ReasonSoaking, fmt.Sprintf("soaks for %s", p.spec.Duration.Duration)).LimitedBy(until)
		return &out
	}
	if p.open != nil {
		return p.open
	}
	at := p.run.Stamp()
	p.state.Over = &at
	return nil
}

func (p *soaking) after() *stage.Outcome {
	sum, wake := p.run.Judge(v1alpha1.After, p.judging(p.state.Over.Time))
	return stage.GuardOutcome(sum, p.spec.OnGuardFailure, wake)
}
