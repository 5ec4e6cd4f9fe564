package get

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/utils/clock"

	"github.com/periplus-dev/periplus/pkg/cli/follow"
	"github.com/periplus-dev/periplus/pkg/cli/hub"
	"github.com/periplus-dev/periplus/pkg/cli/run"
	"github.com/periplus-dev/periplus/pkg/cli/screen"
	"github.com/periplus-dev/periplus/pkg/cli/terminal"
)

// notSucceeded is the exit code of --watch for a run that did not succeed.
const notSucceeded = 1

// patience is how long a hub may take to answer what is asked once.
const patience = 30 * time.Second

// Connect reaches the hub that flags name.
type Connect func(*hub.Flags) (*hub.Hub, error)

// command is what `periplus get` works with.
type command struct {
	flags         hub.Flags
	watch         bool
	untilHeld     bool
	output        string
	allNamespaces bool

	connect Connect
	clock   clock.WithTicker
	program string
	out     terminal.Terminal
}

// NewCommand returns `periplus get`.
func NewCommand() *cobra.Command { return newCommand((*hub.Flags).Connect, clock.RealClock{}) }

func newCommand(connect Connect, c clock.WithTicker) *cobra.Command {
	g := &command{connect: connect, clock: c}
	cmd := &cobra.Command{
		Use:   "get [RUN]",
		Short: "Show a run on one screen, or list the runs of a namespace",
		Long: `Show how a run stands: what it waits for, until when, who can unblock it and by which command; its stages, the
members by unit, the guards with their values, and the record of the release. Without a name, list the runs.

A run is a PipelineRun, or a CustomRun of Periplus that no pipeline made.

With --watch the screen follows the run until it is over. Without a terminal each change is printed as a line. It
ends with exit code 0 when the run succeeded, 1 when it did not, 2 when it cannot be watched, 130 when interrupted.
With --until-held it also ends, with exit code 0, as soon as the run waits for people, a pause or a freeze.`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeRuns(connect, &g.flags),
		RunE: func(cmd *cobra.Command, args []string) error {
			g.program, g.out = cmd.Root().CommandPath(), terminal.Of(cmd.OutOrStdout())
			return g.run(cmd.Context(), args)
		},
	}
	g.flags.AddTo(cmd.Flags())
	cmd.Flags().BoolVarP(&g.watch, "watch", "w", false, "follow the run until it is over")
	cmd.Flags().BoolVar(&g.untilHeld, "until-held", false, "with --watch: end, too, once the run waits for people, a pause or a freeze")
	cmd.Flags().StringVarP(&g.output, "output", "o", "", "print the run as `json or yaml`; docs/cli.md describes the fields")
	cmd.Flags().BoolVarP(&g.allNamespaces, "all-namespaces", "A", false, "list the runs of all namespaces")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"json", "yaml"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (g *command) run(ctx context.Context, args []string) error {
	switch {
	case g.output != "" && g.output != "json" && g.output != "yaml":
		return fmt.Errorf("--output is %q, and must be json or yaml", g.output)
	case g.watch && len(args) == 0:
		return errors.New("--watch needs the name of a run")
	case g.untilHeld && !g.watch:
		return errors.New("--until-held goes with --watch")
	case g.allNamespaces && len(args) > 0:
		return errors.New("--all-namespaces lists runs; a run is named in one namespace, with -n")
	}
	h, err := g.connect(&g.flags)
	if err != nil {
		return err
	}
	if len(args) == 0 {
		return g.list(ctx, h)
	}
	reading, done := context.WithTimeout(ctx, patience)
	defer done()
	r, err := run.Read(reading, h, args[0])
	if err != nil {
		if g.watch {
			return follow.Ended{Code: follow.CannotFollow, Err: err}
		}
		return err
	}
	if g.watch {
		return g.follow(ctx, h, r)
	}
	m := g.model(h, r.Objects)
	if g.output != "" {
		return g.out.Encode(m, g.output)
	}
	look := g.out.Look()
	look.Height = 0 // what does not fit can be scrolled back to
	_, err = g.out.Write([]byte(screen.Render(m, look)))
	return err
}

// follow shows the run as it goes until it is over.
func (g *command) follow(ctx context.Context, h *hub.Hub, r *run.Run) error {
	o := follow.Options{
		Hub: h, Run: r, Clock: g.clock, Out: g.out, Format: g.output,
		Model: func(o screen.Objects) *screen.Model { return g.model(h, o) },
	}
	if g.untilHeld {
		o.Enough = (*screen.Model).Held
	}
	last, err := follow.Run(ctx, o)
	if err == nil && last.Over && last.Verdict.State != screen.StateSucceeded {
		return follow.Ended{Code: notSucceeded}
	}
	return err
}

func (g *command) model(h *hub.Hub, o screen.Objects) *screen.Model {
	namespace := h.NamespaceFlag
	if g.allNamespaces {
		namespace = "-n " + o.Namespace()
	}
	return screen.Build(o, screen.Options{Now: g.clock.Now(), Program: g.program, Namespace: namespace, Flags: h.Flags})
}

// completeRuns offers the names of runs to the shell.
func completeRuns(connect Connect, flags *hub.Flags) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return run.Complete(cmd.Context(), func() (*hub.Hub, error) { return connect(flags) })
	}
}
