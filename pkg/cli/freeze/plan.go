package freeze

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	pipelinev1beta1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	stages "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/cli/hub"
	"github.com/periplus-dev/periplus/pkg/cli/run"
	"github.com/periplus-dev/periplus/pkg/cli/screen"
)

// mostLines of stages are shown; the others are counted.
const mostLines = 40

// plan says what a Freeze stops. That something could not be seen is said, and keeps nobody from freezing.
func (c *command) plan(ctx context.Context, h *hub.Hub, spec *stages.FreezeSpec) (screen.Plan, error) {
	p := screen.Plan{Title: "freeze " + screen.ScopeOf(spec)}
	if spec.Until != nil {
		p.Facts = append(p.Facts, "until "+spec.Until.Format(time.RFC3339)+", "+screen.Lasting(spec.Until.Sub(c.clock.Now().Truncate(time.Second))))
	} else {
		p.Facts = append(p.Facts, "until it is lifted")
	}
	members, notes, err := check(ctx, h, spec)
	if err != nil {
		return p, err
	}
	if spec.MemberSelector != nil && members != nil {
		p.Add("members", chosen(spec, members))
	}
	all, unseen := runsSeen(ctx, h, spec)
	lines := stopped(spec, all, members)
	if len(lines) == 0 && len(unseen) == 0 {
		lines = []string{"no stage that runs now; those to come, in its scope, make no move"}
	}
	p.Add("stops", lines...)
	if spec.Rollbacks == stages.RollbacksAllow {
		p.Add("goes on", "rollbacks, and pods whose update has begun")
	} else {
		p.Add("goes on", "pods whose update has begun; rollbacks do not (--rollbacks Allow lets them)")
	}
	p.Warn("not seen", unseen...)
	p.Add("note", notes...)
	return p, nil
}

// chosen names the members that a selector means now.
func chosen(spec *stages.FreezeSpec, members screen.MemberLabels) string {
	selector, err := metav1.LabelSelectorAsSelector(spec.MemberSelector)
	if err != nil {
		return "none: " + err.Error()
	}
	var out []string
	for name, l := range members {
		if selector.Matches(labels.Set(l)) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	if len(out) == 0 {
		return "none has these labels now"
	}
	return strings.Join(out, ", ")
}

// runsSeen reads the runs that a Freeze may reach: of the namespaces it names, or of all. Where the caller may not, those of his own namespace, and
// that is said.
func runsSeen(ctx context.Context, h *hub.Hub, spec *stages.FreezeSpec) (all []screen.Objects, unseen []string) {
	read := func(namespace string) error {
		at := *h
		at.Namespace = namespace
		found, err := run.All(ctx, &at)
		all = append(all, found...)
		return err
	}
	why := func(err error) string {
		switch {
		case apierrors.IsForbidden(err):
			return "you may not read them"
		case errors.Is(err, context.DeadlineExceeded):
			return "the hub did not say within " + glance.String()
		}
		return err.Error()
	}
	if len(spec.Namespaces) > 0 {
		for _, n := range spec.Namespaces {
			if err := read(n); err != nil {
				unseen = append(unseen, fmt.Sprintf("runs of namespace %s: %s", n, why(err)))
			}
		}
		return all, unseen
	}
	err := read(metav1.NamespaceAll)
	if err == nil {
		return all, nil
	}
	all = nil
	said := "runs of other namespaces than " + h.Namespace + ": " + why(err)
	if own := read(h.Namespace); own != nil {
		return nil, []string{"runs of all namespaces: " + why(err)}
	}
	return all, []string{said + "; it stops them all the same"}
}

// stopped lists the stages that run now and that a Freeze stops, a line each. Those that others stop for sure are left out.
func stopped(spec *stages.FreezeSpec, all []screen.Objects, members screen.MemberLabels, others ...*stages.FreezeSpec) []string {
	var out []string
	for _, o := range all {
		for _, c := range stagesOf(o) {
			if !running(c) {
				continue
			}
			s, err := screen.RunStatus(c)
			if err != nil {
				s = stages.RunStatus{}
			}
			in := membersOf(s)
			reachOf := func(f *stages.FreezeSpec) screen.Reach {
				if kindOf(c) == "Rollback" && f.Rollbacks == stages.RollbacksAllow {
					return screen.ReachesNot
				}
				return screen.ReachOf(f, c.Namespace, in, members)
			}
			reach := reachOf(spec)
			if reach == screen.ReachesNot || slices.ContainsFunc(others, func(f *stages.FreezeSpec) bool { return reachOf(f) == screen.Reaches }) {
				continue
			}
			line := fmt.Sprintf("%s/%s: %s", c.Namespace, o.Name(), run.StageOf(c))
			if len(in) > 0 {
				line += " in " + strings.Join(in, ", ")
			}
			if s.Waiting != nil && s.Waiting.For != "" {
				line += ", at: " + s.Waiting.For
			}
			if reach == screen.ReachesPerhaps {
				line = "perhaps " + line
			}
			out = append(out, line)
		}
	}
	if n := len(out) - mostLines; n > 0 {
		out = append(out[:mostLines], fmt.Sprintf("and %d more", n))
	}
	return out
}

func stagesOf(o screen.Objects) []*pipelinev1beta1.CustomRun {
	if o.Root != nil {
		return []*pipelinev1beta1.CustomRun{o.Root}
	}
	var out []*pipelinev1beta1.CustomRun
	for _, c := range o.CustomRuns {
		if screen.Ours(c) && screen.OwnedBy(c.ObjectMeta, o.UID()) {
			out = append(out, c)
		}
	}
	return out
}

func running(c *pipelinev1beta1.CustomRun) bool { return c.HasStarted() && !screen.Done(c) }

func kindOf(c *pipelinev1beta1.CustomRun) string {
	switch {
	case c.Spec.CustomRef != nil:
		return string(c.Spec.CustomRef.Kind)
	case c.Spec.CustomSpec != nil:
		return c.Spec.CustomSpec.Kind
	}
	return ""
}

func membersOf(s stages.RunStatus) []string {
	if s.Admitted != nil && len(s.Admitted.Members) > 0 {
		return s.Admitted.Members
	}
	var out []string
	for _, m := range s.Members {
		out = append(out, m.Name)
	}
	return out
}

func (c *command) create(ctx context.Context, h *hub.Hub, spec *stages.FreezeSpec) (*stages.Freeze, error) {
	f := &stages.Freeze{ObjectMeta: metav1.ObjectMeta{GenerateName: "freeze-"}, Spec: *spec}
	user, groups, err := h.WhoAmI(ctx)
	if err != nil {
		return nil, err
	}
	f.Spec.User, f.Spec.Groups = user, hub.RecordedGroups(groups, nil)
	made, err := h.Periplus.StagesV1alpha1().Freezes().Create(ctx, f, metav1.CreateOptions{})
	if err != nil {
		return nil, h.Explain(hub.Request{Verb: "create", Resource: freezes, Everywhere: true}, err)
	}
	return made, nil
}
