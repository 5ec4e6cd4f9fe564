package local

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/periplus-dev/periplus/pkg/localfleet"
)

func newListen(opts *localfleet.Options) *cobra.Command {
	return &cobra.Command{
		Use:   "listen NAMESPACE/NAME",
		Short: "Play an EventListener of the hub, and print its address",
		Long: "Play an EventListener of the hub: its sink runs here, as its ServiceAccount, where Tekton Triggers' controller would\n" +
			"make a Deployment of it. The fleet must have Tekton Triggers (up --triggers). `up` plays it again until it is deleted.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			namespace, name, ok := strings.Cut(args[0], "/")
			if !ok || namespace == "" || name == "" {
				return fmt.Errorf("%q: name the EventListener as NAMESPACE/NAME", args[0])
			}
			fleet, err := load(*opts)
			if err != nil {
				return err
			}
			url, err := fleet.Listen(cmd.Context(), namespace, name)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), url)
			return err
		},
	}
}
