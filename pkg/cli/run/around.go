package run

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	stages "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/cli/hub"
	"github.com/periplus-dev/periplus/pkg/cli/screen"
)

// Around is what there is beside the runs of a namespace, or of all, for lists: records and what people did.
type Around struct {
	releases map[types.UID]*stages.Release
	did      map[string][]*stages.Intervention
}

// AroundAll reads it. What the caller may not read, or the hub does not know, is left out.
func AroundAll(ctx context.Context, h *hub.Hub) (*Around, error) {
	a := &Around{releases: map[types.UID]*stages.Release{}, did: map[string][]*stages.Intervention{}}
	records, err := h.Periplus.StagesV1alpha1().Releases(h.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil && !apierrors.IsForbidden(err) && !hub.NoSuchAPI(err) {
		return nil, h.Explain(hub.Request{Verb: "list", Resource: releases}, err)
	}
	if err == nil {
		for i := range records.Items {
			r := &records.Items[i]
			a.releases[r.Spec.Root.UID] = r
			for _, carrier := range r.Status.Runs {
				a.releases[carrier.UID] = r
			}
		}
	}
	did, err := h.Periplus.StagesV1alpha1().Interventions(h.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil && !apierrors.IsForbidden(err) && !hub.NoSuchAPI(err) {
		return nil, h.Explain(hub.Request{Verb: "list", Resource: interventions}, err)
	}
	if err == nil {
		for i := range did.Items {
			a.did[did.Items[i].Namespace] = append(a.did[did.Items[i].Namespace], &did.Items[i])
		}
	}
	return a, nil
}

// Of adds to a run's objects what is around it.
func (a *Around) Of(o screen.Objects) screen.Objects {
	o.Release = a.releases[o.UID()]
	o.Interventions = a.did[o.Namespace()]
	return o
}
