package cli

import (
	"github.com/spf13/cobra"

	"github.com/periplus-dev/periplus/pkg/cli/local"
)

// NewRoot returns the periplus command. Each command has its flags to itself: there are no global ones.
func NewRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "periplus",
		Short:         "Carry a release across clusters, stage by stage",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(local.NewCommand())
	return root
}
