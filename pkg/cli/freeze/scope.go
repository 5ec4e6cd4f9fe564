package freeze

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	stages "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/cli/act"
	"github.com/periplus-dev/periplus/pkg/cli/hub"
	"github.com/periplus-dev/periplus/pkg/cli/run"
	"github.com/periplus-dev/periplus/pkg/cli/screen"
)

// spec is the Freeze that flags ask for.
func (s *scope) spec(now time.Time, message string) (*stages.FreezeSpec, error) {
	narrowed := len(s.members) > 0 || s.selector != "" || len(s.namespaces) > 0
	switch {
	case !s.all && !narrowed:
		return nil, errScope
	case s.all && narrowed:
		return nil, errors.New("--all freezes everything everywhere: leave out --member, --selector and --namespace, or leave out --all")
	case len(s.members) > 0 && s.selector != "":
		return nil, errors.New("give --member or --selector, not both; another freeze stops the others")
	}
	spec := &stages.FreezeSpec{Members: s.members, Namespaces: s.namespaces, Rollbacks: stages.FreezeRollbacks(s.rollbacks), Message: message}
	if s.selector != "" {
		selector, err := metav1.ParseToLabelSelector(s.selector)
		if err != nil {
			return nil, fmt.Errorf("--selector is %q, and must be labels such as ring=1: %w", s.selector, err)
		}
		spec.MemberSelector = selector
	}
	if s.rollbacks != string(stages.RollbacksStop) && s.rollbacks != string(stages.RollbacksAllow) {
		return nil, fmt.Errorf("--rollbacks is %q, and must be Stop or Allow", s.rollbacks)
	}
	until, err := parseUntil(s.until, now)
	if err != nil {
		return nil, err
	}
	spec.Until = until
	checked := spec.DeepCopy()
	if checked.Message == "" {
		checked.Message = "dry run" // which needs none
	}
	if errs := checked.Validate(field.NewPath("spec")); len(errs) > 0 {
		return nil, fmt.Errorf("such a freeze is not possible: %w", errs.ToAggregate())
	}
	return spec, nil
}

// parseUntil reads a duration from now, or a time; nil where there is none.
func parseUntil(s string, now time.Time) (*metav1.Time, error) {
	if s == "" {
		return nil, nil
	}
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		d, derr := time.ParseDuration(s)
		if derr != nil {
			return nil, fmt.Errorf("--until is %q, and must be a duration, such as 2h or 90m, or a time as in RFC 3339, such as %s", s, now.Add(2*time.Hour).Format(time.RFC3339))
		}
		at = now.Add(d).Truncate(time.Second)
	}
	if !at.After(now) {
		return nil, fmt.Errorf("--until is %q, which is not in the future: it is %s", s, now.Format(time.RFC3339))
	}
	until := metav1.NewTime(at)
	return &until, nil
}

// check says whether the scope names what is there: a freeze of a name with a slip stops nothing. What may not be read is noted.
func check(ctx context.Context, h *hub.Hub, spec *stages.FreezeSpec) (members screen.MemberLabels, notes []string, err error) {
	if len(spec.Members) > 0 || spec.MemberSelector != nil {
		members, err = run.Members(ctx, h)
		switch {
		case apierrors.IsForbidden(err):
			notes = append(notes, "you may not read members, so nobody looked whether they are there")
		case err != nil:
			return nil, nil, err
		}
	}
	for _, name := range spec.Members {
		if _, there := members[name]; !there && members != nil {
			var all []string
			for m := range members {
				all = append(all, m)
			}
			return nil, nil, fmt.Errorf("there is no member %s%s", name, act.Meant(name, all))
		}
	}
	for _, name := range spec.Namespaces {
		_, err := h.Kube.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			return nil, nil, fmt.Errorf("there is no namespace %s%s", name, act.Meant(name, namespaces(ctx, h)))
		case apierrors.IsForbidden(err):
			notes = append(notes, "you may not read namespaces, so nobody looked whether "+name+" is there")
		case err != nil:
			return nil, nil, h.Explain(hub.Request{Verb: "get", Resource: "namespaces", Name: name, Everywhere: true}, err)
		}
	}
	return members, notes, nil
}

// namespaces lists those there are, as a courtesy.
func namespaces(ctx context.Context, h *hub.Hub) []string {
	list, err := h.Kube.CoreV1().Namespaces().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil
	}
	var out []string
	for _, n := range list.Items {
		out = append(out, n.Name)
	}
	slices.Sort(out)
	return out
}
