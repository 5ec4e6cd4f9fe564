package intervene

import (
	"context"
	"fmt"
	"slices"

	pipelinev1beta1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	stages "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/cli/hub"
	"github.com/periplus-dev/periplus/pkg/cli/run"
	"github.com/periplus-dev/periplus/pkg/cli/screen"
	"github.com/periplus-dev/periplus/pkg/release"
)

// target is the release that a person means, and the runs that carry it.
type target struct {
	// ref is the root run of the release, which interventions name.
	ref stages.RootRef
	// named is the run that was asked for; carrier the one that carries the release now or did so last. nil where they are gone.
	named, carrier *run.Run
	// model of the carrier; one that is gone is over and has no stages.
	model   *screen.Model
	release *stages.Release
	// children are the runs of ClusterHops that go on, with their models.
	children []*run.Run
	parts    []*screen.Model
	// led says how what was asked for led to the release.
	led []string
}

// find finds the release of a run by the run's name, or by that of one of its stages. For a rollback the run may be gone, as long as the record is
// there, and the record's own name will do.
func (c *command) find(ctx context.Context, h *hub.Hub, name string) (*target, error) {
	r, err := run.Read(ctx, h, name)
	if run.IsNotFound(err) && c.action == stages.ActionRollback {
		if lost, lerr := run.OfLostRoot(ctx, h, name); lerr == nil && lost != nil {
			t := &target{ref: lost.Spec.Root, release: lost, led: []string{fmt.Sprintf("%s is not there any more; its record, release %s, is", lost.Spec.Root.Name, lost.Name)}}
			return t, t.follow(ctx, h, c)
		}
	}
	if err != nil {
		return nil, err
	}
	t := &target{ref: refOf(r), named: r, carrier: r, release: r.Release}
	if name != r.Name() {
		t.led = append(t.led, fmt.Sprintf("%s is a stage of %s", name, r.Name()))
	}
	if t.release != nil {
		t.ref = t.release.Spec.Root
	} else if of := partOf(r); of != "" {
		return nil, fmt.Errorf("%s is a part of release %s, whose record is gone or may not be read by you: without it nobody knows which run carries it", name, of)
	}
	return t, t.follow(ctx, h, c)
}

// partOf is the release that a ClusterHop made the run for, empty where none did.
func partOf(r *run.Run) string {
	if r.PipelineRun == nil {
		return ""
	}
	return r.PipelineRun.Annotations[stages.AnnotationRelease]
}

func refOf(r *run.Run) stages.RootRef {
	kind := "PipelineRun"
	if r.Root != nil {
		kind = "CustomRun"
	}
	return stages.RootRef{Kind: kind, Name: r.Name(), UID: r.UID()}
}

// follow goes from the run that was named to the one that carries the release, and on to its children.
func (t *target) follow(ctx context.Context, h *hub.Hub, c *command) error {
	if t.release != nil {
		last := lastCarrier(t.release)
		if t.named == nil || last.UID != t.named.UID() {
			if err := t.change(ctx, h, last); err != nil {
				return err
			}
		} else if last.Role == stages.RoleRetry {
			t.led = append(t.led, fmt.Sprintf("%s carries the release of %s on", last.Name, t.ref.Name))
		}
		children, err := run.Children(ctx, h, t.release)
		if err != nil {
			return err
		}
		for _, child := range children {
			if t.carrier == nil || child.UID() != t.carrier.UID() {
				t.children, t.parts = append(t.children, child), append(t.parts, c.model(h, child))
			}
		}
	}
	if t.carrier == nil {
		t.model = &screen.Model{At: metav1.NewTime(c.clock.Now()), Over: true, Verdict: screen.Verdict{Text: "its run is gone"}}
		return nil
	}
	t.model = c.model(h, t.carrier)
	return nil
}

// lastCarrier is the newest of the root run and its retries.
func lastCarrier(release *stages.Release) stages.ReleaseRun {
	root := release.Spec.Root
	last := stages.ReleaseRun{Kind: root.Kind, Name: root.Name, UID: root.UID, Role: stages.RoleRoot}
	for _, r := range release.Status.Runs {
		if r.Role == stages.RoleRetry && !r.Since.Before(&last.Since) {
			last = r
		}
	}
	return last
}

// change makes another run the carrier. One that is gone leaves none.
func (t *target) change(ctx context.Context, h *hub.Hub, to stages.ReleaseRun) error {
	if t.named != nil {
		said := fmt.Sprintf("%s was carried on by %s", t.named.Name(), to.Name)
		if roleOf(t.release, t.named) == stages.RoleChild {
			said = fmt.Sprintf("%s is a part of the release of %s: it is about the whole of that", t.named.Name(), t.ref.Name)
		}
		t.led = append(t.led, said)
	}
	r, err := run.Read(ctx, h, to.Name)
	switch {
	case run.IsNotFound(err) || err == nil && r.UID() != to.UID:
		t.carrier = nil
	case err != nil:
		return err
	default:
		t.carrier = r
		if r.Release != nil {
			t.release = r.Release
		}
	}
	return nil
}

// roleOf says what a run is to a release. One that a ClusterHop has only just made is a child, though the record does not say so yet.
func roleOf(release *stages.Release, r *run.Run) stages.RunRole {
	for _, of := range release.Status.Runs {
		if of.UID == r.UID() {
			return of.Role
		}
	}
	if r.PipelineRun != nil && r.PipelineRun.Annotations[stages.AnnotationParent] != "" {
		return stages.RoleChild
	}
	return stages.RoleRoot
}

func (c *command) model(h *hub.Hub, r *run.Run) *screen.Model {
	return screen.Build(r.Objects, screen.Options{Now: c.clock.Now(), Program: c.program, Namespace: h.NamespaceFlag, Flags: h.Flags})
}

// over says whether nothing of the release moves any more.
func (t *target) over() bool { return t.model.Over && len(t.children) == 0 }

// ended says whether the run that carries the release has ended; its stages may still stop, and what it touched be taken back.
func (t *target) ended() bool { return t.model.Finished != nil || t.model.Over }

// units of all members, as the stages of the carrier and of its children last saw them.
func (t *target) units() []screen.Unit {
	out := slices.Clone(t.model.Units)
	for _, part := range t.parts {
		out = append(out, part.Units...)
	}
	return out
}

// stands says in one line how the release stands.
func (t *target) stands() string { return t.model.Verdict.Text }

// hands are the interventions in the release.
func (t *target) hands() []*stages.Intervention {
	if t.carrier == nil {
		return nil
	}
	return t.carrier.Hands()
}

// standing is what they come to.
func (t *target) standing() release.Standing { return screen.StandingOf(t.hands()) }

// running names the stages of the carrier that run.
func (t *target) running() []string {
	var out []string
	for _, s := range t.model.Stages {
		if isRunning(s) {
			out = append(out, s.Name)
		}
	}
	return out
}

func isRunning(s screen.Stage) bool {
	return s.State == screen.StageRunning || s.State == screen.StageAsking
}

// customRuns of a run: its stages, or itself.
func customRuns(r *run.Run) []*pipelinev1beta1.CustomRun {
	if r.Root != nil {
		return []*pipelinev1beta1.CustomRun{r.Root}
	}
	var out []*pipelinev1beta1.CustomRun
	for _, c := range r.CustomRuns {
		if screen.OwnedBy(c.ObjectMeta, r.UID()) {
			out = append(out, c)
		}
	}
	return out
}
