package sidecarset

import (
	"context"
	"fmt"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"k8s.io/apimachinery/pkg/labels"

	listers "github.com/periplus-dev/periplus/pkg/client/listers/apps/v1alpha1"
)

const scope = "periplus.dev/sidecarset"

// changes counts pods that were begun to change in place, and that were brought to the end of it, by set.
type changes struct {
	begun, done metric.Int64Counter
}

func newChanges() changes {
	meter := otel.Meter(scope)
	var c changes
	var err error
	c.begun, err = meter.Int64Counter("periplus_sidecarset_pods_begun", metric.WithDescription("Pods whose sidecars were begun to change in place, by set."))
	must(err) // the names are constants.
	c.done, err = meter.Int64Counter("periplus_sidecarset_pods_done", metric.WithDescription("Pods whose change of sidecars in place came to its end, by set."))
	must(err)
	return c
}

// wrote notes what a write did to a pod: was and is say whether the set had begun something on it.
func (c changes) wrote(ctx context.Context, set string, was, is bool) {
	of := metric.WithAttributes(attribute.String("set", set))
	switch {
	case !was && is:
		c.begun.Add(ctx, 1, of)
	case was && !is:
		c.done.Add(ctx, 1, of)
	}
}

// observeSets tells of each set what its status says: all replicas say the same.
func observeSets(sets listers.SidecarSetLister) error {
	meter := otel.Meter(scope)
	gauge := func(name, what string) metric.Int64ObservableGauge {
		g, err := meter.Int64ObservableGauge(name, metric.WithDescription(what))
		must(err)
		return g
	}
	missed := gauge("periplus_sidecarset_missed_pods", "Pods that were created without the sidecars they should have, by set.")
	injected := gauge("periplus_sidecarset_injected_pods", "Pods that carry the sidecars, by set.")
	updated := gauge("periplus_sidecarset_updated_pods", "Pods that run the update revision of the sidecars and are ready, by set.")
	_, err := meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		all, err := sets.List(labels.Everything())
		if err != nil {
			return fmt.Errorf("listing SidecarSets: %w", err)
		}
		for _, set := range all {
			of := metric.WithAttributes(attribute.String("set", set.Name))
			o.ObserveInt64(missed, int64(set.Status.Missed), of)
			o.ObserveInt64(injected, int64(set.Status.Injected), of)
			o.ObserveInt64(updated, int64(set.Status.UpdatedReady), of)
		}
		return nil
	}, missed, injected, updated)
	if err != nil {
		return fmt.Errorf("making metrics of SidecarSets: %w", err)
	}
	return nil
}
