// Command webhook puts the sidecars of SidecarSets into the pods of a member when they are created. Its flags are those of pkg/boot, and --webhook-address and
// --webhook-hosts.
package main

import (
	"flag"

	"knative.dev/pkg/signals"

	"github.com/periplus-dev/periplus/pkg/boot"
	"github.com/periplus-dev/periplus/pkg/webhook"
)

func main() {
	var options webhook.Options
	options.Bind(flag.CommandLine)
	boot.RunWithContext(webhook.WithSelector(signals.NewContext()), "webhook", webhook.NewController(&options))
}
