package run

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	stages "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/cli/hub"
	"github.com/periplus-dev/periplus/pkg/cli/screen"
)

// readHands reads what people did to releases of the namespace, and what is frozen. A hub that knows neither kind has neither.
func (r *Run) readHands(ctx context.Context, h *hub.Hub) error {
	did, err := h.Periplus.StagesV1alpha1().Interventions(h.Namespace).List(ctx, metav1.ListOptions{})
	if err := r.allowMissing(h, interventions, err); err != nil {
		return err
	}
	if err == nil {
		for i := range did.Items {
			r.Interventions = append(r.Interventions, &did.Items[i])
		}
	}
	frozen, err := h.Periplus.StagesV1alpha1().Freezes().List(ctx, metav1.ListOptions{})
	if err := r.allowMissing(h, freezes, err); err != nil {
		return err
	}
	if err == nil {
		for i := range frozen.Items {
			r.Freezes = append(r.Freezes, &frozen.Items[i])
		}
	}
	r.MemberLabels, err = LabelsFor(ctx, h, r.Freezes)
	return err
}

// allowMissing notes a missing permission, and takes a kind that the hub does not know for one that there is nothing of.
func (r *Run) allowMissing(h *hub.Hub, resource string, err error) error {
	if hub.NoSuchAPI(err) {
		r.denied[resource] = true
		return nil
	}
	if apierrors.IsForbidden(err) && resource == freezes {
		r.denied[resource] = true
		if r.PipelineRun == nil || !r.PipelineRun.IsDone() {
			r.Notes = append(r.Notes, fmt.Sprintf("you may not read %s, so what is frozen is left out", freezes))
		}
		return nil
	}
	return r.allow(h, resource, err)
}

// LabelsFor reads the labels of members where a Freeze that was not lifted selects members by them. It gives nil where they need or may not be read.
func LabelsFor(ctx context.Context, h *hub.Hub, frozen []*stages.Freeze) (screen.MemberLabels, error) {
	needed := false
	for _, f := range frozen {
		needed = needed || f.Spec.MemberSelector != nil && f.Spec.Lifted == nil
	}
	if !needed {
		return nil, nil
	}
	labels, err := Members(ctx, h)
	if apierrors.IsForbidden(err) {
		return nil, nil
	}
	return labels, err
}

// Members reads the members there are, each with its labels.
func Members(ctx context.Context, h *hub.Hub) (screen.MemberLabels, error) {
	list, err := h.Periplus.FleetV1alpha1().Members().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, h.Explain(hub.Request{Verb: "list", Resource: members, Everywhere: true}, err)
	}
	out := screen.MemberLabels{}
	for _, m := range list.Items {
		out[m.Name] = m.Labels
	}
	return out, nil
}
