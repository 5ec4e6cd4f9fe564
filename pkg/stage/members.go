package stage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/fleet"
)

// members are those named, in that order, then those selected, by name. Each must be given to the namespace; of those selected the others are left out.
func (a *admitter) members(ctx context.Context, scope *Scope, out *v1alpha1.Admitted, p *field.Path) ([]string, field.ErrorList, error) {
	var members []string
	var errs field.ErrorList
	have := map[string]bool{}
	for i, name := range scope.Members {
		if !nameable(name) {
			continue
		}
		known, err := a.member(ctx, name)
		switch {
		case err != nil:
			return nil, nil, fmt.Errorf("%s: %w", scope.MemberPath(p, i), err)
		case !known:
			errs = append(errs, field.NotFound(scope.MemberPath(p, i), name))
		case !have[name]:
			have[name] = true
			why, err := a.refusal(ctx, name)
			if err != nil {
				return nil, nil, err
			}
			if why != "" {
				errs = append(errs, forbidden(scope.MemberPath(p, i), why))
				continue
			}
			members = append(members, name)
		}
	}
	if scope.MemberSelector == nil {
		return members, errs, nil
	}
	sel, ok := selectorOf(scope.MemberSelector)
	if !ok {
		return members, errs, nil
	}
	at := p.Child("memberSelector")
	if scope.Back {
		at = p.Child("fromMembers")
	}
	selected, err := a.selected(ctx, sel)
	if err != nil {
		return nil, nil, err
	}
	given, leftOut, err := a.given(ctx, selected)
	if err != nil {
		return nil, nil, err
	}
	out.LeftOut = leftOut
	for _, name := range given {
		if !have[name] {
			members = append(members, name)
		}
	}
	switch {
	case len(selected) == 0 && len(scope.Members) == 0:
		errs = append(errs, field.Invalid(at, metav1.FormatLabelSelector(scope.MemberSelector), "selects no member"))
	case len(given) == 0 && len(scope.Members) == 0:
		why, err := a.refusal(ctx, leftOut[0])
		if err != nil {
			return nil, nil, err
		}
		errs = append(errs, forbidden(at, fmt.Sprintf("selects %s, none of which this namespace may release to: %s",
			shorten(strings.Join(leftOut, ", "), maxQuoted), why)))
	}
	return members, errs, nil
}

// member says whether there is a Member of this name. One that only the API server knows was made a moment ago: the error has it tried again, as
// nothing can be done with a member before the fleet knows it.
func (a *admitter) member(ctx context.Context, name string) (bool, error) {
	_, err := a.fleet.Info(name)
	if err == nil || !errors.Is(err, fleet.ErrUnknownMember) {
		return err == nil, err
	}
	_, err = a.client.FleetV1alpha1().Members().Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading Member %s: %w", name, err)
	}
	return false, fmt.Errorf("member %q was just made, and this controller is yet to hear of it", name)
}

// selected are the members that a selector matches, by name.
func (a *admitter) selected(ctx context.Context, sel labels.Selector) ([]string, error) {
	infos, err := a.fleet.List(sel)
	if err != nil {
		return nil, fmt.Errorf("listing members: %w", err)
	}
	var out []string
	for _, in := range infos {
		out = append(out, in.Name)
	}
	all, err := a.client.FleetV1alpha1().Members().List(ctx, metav1.ListOptions{LabelSelector: sel.String()})
	if err != nil {
		return nil, fmt.Errorf("listing members: %w", err)
	}
	for i := range all.Items {
		if name := all.Items[i].Name; !slices.Contains(out, name) {
			return nil, fmt.Errorf("member %q was just made or labelled, and this controller is yet to hear of it", name)
		}
	}
	return out, nil
}

// selectorOf reads a selector; one that is none is what the spec's validation speaks of.
func selectorOf(s *metav1.LabelSelector) (labels.Selector, bool) {
	sel, err := metav1.LabelSelectorAsSelector(s)
	return sel, err == nil
}
