package run

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/periplus-dev/periplus/pkg/cli/hub"
)

// Complete offers the names of the namespace's runs to a shell. A hub that is slow to answer offers nothing.
func Complete(ctx context.Context, connect func() (*hub.Hub, error)) ([]string, cobra.ShellCompDirective) {
	h, err := connect()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, done := context.WithTimeout(ctx, 3*time.Second)
	defer done()
	names, err := Names(ctx, h)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return names, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
}
