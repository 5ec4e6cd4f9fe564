// Command workloads runs the workload controllers of a member. Its flags are those of pkg/boot.
package main

import (
	"knative.dev/pkg/signals"

	"github.com/periplus-dev/periplus/pkg/boot"
	"github.com/periplus-dev/periplus/pkg/reconciler/inplaceset"
)

func main() {
	boot.RunWithContext(inplaceset.WithSelector(signals.NewContext()), "workloads", inplaceset.NewController)
}
