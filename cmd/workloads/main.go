// Command workloads runs the workload controllers of a member. Its flags are those of pkg/boot.
package main

import (
	filteredfactory "knative.dev/pkg/client/injection/kube/informers/factory/filtered"
	"knative.dev/pkg/signals"

	"github.com/periplus-dev/periplus/pkg/boot"
	"github.com/periplus-dev/periplus/pkg/loop"
	"github.com/periplus-dev/periplus/pkg/reconciler/cafedeployment"
	"github.com/periplus-dev/periplus/pkg/reconciler/inplaceset"
	"github.com/periplus-dev/periplus/pkg/reconciler/sidecarset"
	"github.com/periplus-dev/periplus/pkg/taken"
)

func main() {
	// Each controller's informers select by a label. Pods with sidecars are watched by the controller of these, too, whoever else owns them.
	ctx := filteredfactory.WithSelectors(signals.NewContext(), append(sidecarset.Selectors, inplaceset.Selector, cafedeployment.Selector)...)
	// A SidecarSet keeps the limits of the InPlaceSets whose pods it changes: their controllers share what each is taking, and so lead together.
	ctx = loop.Together(taken.NewContext(ctx))
	boot.RunWithContext(ctx, "workloads", inplaceset.NewController, cafedeployment.NewController, sidecarset.NewController, sidecarset.NewGates)
}
