package local

import (
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/periplus-dev/periplus/pkg/localfleet"
)

// NewCommand returns `periplus local` with its subcommands.
func NewCommand() *cobra.Command {
	opts := &localfleet.Options{}
	cmd := &cobra.Command{
		Use:   "local",
		Short: "Run a whole fleet on this machine: a hub with Tekton, members, simulated nodes",
		Long: "Run a whole fleet on this machine: a hub with Tekton, member clusters with real API servers and simulated\n" +
			"nodes, and Periplus itself. Everything listens on 127.0.0.1 only and lives in one directory.",
	}
	cmd.PersistentFlags().StringVar(&opts.Dir, "dir", "", "directory of the fleet (default <checkout>/.periplus/fleet)")
	cmd.PersistentFlags().StringVar(&opts.Source, "source", "", "checkout of Periplus (default: the one the working directory is in)")
	cmd.AddCommand(newUp(opts), newDown(opts), newStatus(opts), newBuild(opts), newRestart(opts), newStop(opts), newListen(opts), newAddress(opts))
	return cmd
}

func newUp(opts *localfleet.Options) *cobra.Command {
	install := true
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Bring the fleet up, or repair it",
		Long: "Bring the fleet up, or repair it: what runs is kept, what died is started. Flags that are not given keep\n" +
			"what the fleet has. A fleet can grow; to make it smaller, take it down first.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o := *opts
			o.SkipInstall, o.Out = !install, cmd.OutOrStdout()
			fleet, err := localfleet.Up(cmd.Context(), o)
			if err != nil {
				return err
			}
			return printNext(cmd.OutOrStdout(), fleet)
		},
	}
	cmd.Flags().IntVar(&opts.Members, "members", 0, fmt.Sprintf("member clusters, named m1, m2, … (default %d)", localfleet.DefaultMembers))
	cmd.Flags().IntVar(&opts.Lean, "lean", 0, "how many of the members, the last ones, have no scheduler and no nodes; -1 for none (default none)")
	cmd.Flags().IntVar(&opts.Nodes, "nodes", 0, fmt.Sprintf("nodes in each unit of each member (default %d simulated ones, 1 real one)", localfleet.DefaultNodes))
	cmd.Flags().StringVar(&opts.NodesKind, "nodes-kind", "", "what nodes are: simulated, or real ones with kubelets and containers, which need root (default simulated)")
	cmd.Flags().StringSliceVar(&opts.Units, "units", nil, "units (data centres) of each member (default dca,dcb)")
	cmd.Flags().BoolVar(&opts.Triggers, "triggers", false, "add Tekton Triggers to the hub, whose EventListeners periplus local listen plays; a fleet that has it keeps it")
	cmd.Flags().BoolVar(&opts.Prometheus, "prometheus", false, "add a Prometheus that scrapes what is played for the members' pods; a fleet that has it keeps it")
	cmd.Flags().BoolVar(&install, "install", true, "install Periplus on the fleet and run its controllers")
	return cmd
}

func printNext(out io.Writer, fleet *localfleet.Running) error {
	state, err := fleet.State()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, `
The fleet is up. To use it:
  export PATH=%s:$PATH KUBECONFIG=%s
  kubectl --context %s get nodes
  periplus local status
  periplus local down
`, localfleet.BinDir(state.Source), fleet.Kubeconfig("all"), state.MemberNames()[0])
	if err != nil || !state.Prometheus {
		return err
	}
	address, err := fleet.Address(localfleet.Fleet, localfleet.PartPrometheus)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "Prometheus answers at http://%s\n", address)
	return err
}

func newDown(opts *localfleet.Options) *cobra.Command {
	return &cobra.Command{
		Use:   "down",
		Short: "End every process of the fleet and remove its directory",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o := *opts
			o.Out = cmd.OutOrStdout()
			return localfleet.Down(cmd.Context(), o)
		},
	}
}

func newBuild(opts *localfleet.Options) *cobra.Command {
	return &cobra.Command{
		Use:   "build",
		Short: "Build every program of a fleet, and start nothing",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o := *opts
			o.Out = cmd.OutOrStdout()
			return localfleet.Build(cmd.Context(), o)
		},
	}
}

func newStatus(opts *localfleet.Options) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show every part of the fleet: up or down, process, port, memory",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "" && output != "json" {
				return fmt.Errorf("-o %s: only json is known", output)
			}
			fleet, err := load(*opts)
			if err != nil {
				return err
			}
			parts, err := fleet.Status()
			if err != nil {
				return err
			}
			if output == "json" {
				encoder := json.NewEncoder(cmd.OutOrStdout())
				encoder.SetIndent("", "  ")
				return encoder.Encode(parts)
			}
			return localfleet.PrintStatus(cmd.OutOrStdout(), parts)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "json for machines")
	return cmd
}

func newAddress(opts *localfleet.Options) *cobra.Command {
	var cluster string
	cmd := &cobra.Command{
		Use:   "address PART",
		Short: "Print where a part listens, as host and port",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			fleet, err := load(*opts)
			if err != nil {
				return err
			}
			address, err := fleet.Address(cluster, args[0])
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), address)
			return err
		},
	}
	cmd.Flags().StringVar(&cluster, "cluster", "", "cluster of the part, where several have one of that name")
	return cmd
}

func newRestart(opts *localfleet.Options) *cobra.Command {
	var cluster string
	cmd := &cobra.Command{
		Use:   "restart PART",
		Short: "Stop one part and start it again, as it was",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			fleet, err := load(*opts)
			if err != nil {
				return err
			}
			return fleet.Restart(cmd.Context(), cluster, args[0])
		},
	}
	cmd.Flags().StringVar(&cluster, "cluster", "", "cluster of the part, where several have one of that name")
	return cmd
}

func newStop(opts *localfleet.Options) *cobra.Command {
	var cluster string
	cmd := &cobra.Command{
		Use:   "stop PART",
		Short: "Stop one part; `up` or `restart` brings it back",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			fleet, err := load(*opts)
			if err != nil {
				return err
			}
			return fleet.Stop(cmd.Context(), cluster, args[0])
		},
	}
	cmd.Flags().StringVar(&cluster, "cluster", "", "cluster of the part, where several have one of that name")
	return cmd
}

func load(opts localfleet.Options) (*localfleet.Running, error) {
	if opts.Dir != "" {
		return localfleet.Load(filepath.Clean(opts.Dir))
	}
	if opts.Source == "" {
		opts.Source = "."
	}
	checkout, err := localfleet.FindCheckout(opts.Source)
	if err != nil {
		return nil, err
	}
	return localfleet.Load(localfleet.DefaultDir(checkout))
}
