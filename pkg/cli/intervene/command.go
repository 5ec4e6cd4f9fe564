package intervene

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/utils/clock"

	stages "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/cli/act"
	"github.com/periplus-dev/periplus/pkg/cli/hub"
	"github.com/periplus-dev/periplus/pkg/cli/run"
)

// patience is how long a hub may take to answer what is asked once.
const patience = 30 * time.Second

// Connect reaches the hub that flags name.
type Connect func(*hub.Flags) (*hub.Hub, error)

// command is one of the commands; action says which.
type command struct {
	action stages.Action
	flags  hub.Flags
	act    act.Flags
	// stage that is skipped, or that carries member.
	stage string
	// member of a ClusterHop that alone is left out or tried again.
	member string
	back   backFlags

	connect Connect
	clock   clock.PassiveClock
	program string
}

// New returns the commands, in the order that help shows them.
func New() []*cobra.Command {
	var out []*cobra.Command
	for _, a := range []stages.Action{
		stages.ActionPause, stages.ActionResume, stages.ActionRetry, stages.ActionSkip, stages.ActionAbort, stages.ActionRollback,
	} {
		out = append(out, newCommand(&command{action: a, connect: (*hub.Flags).Connect, clock: clock.RealClock{}}))
	}
	return out
}

func newCommand(c *command) *cobra.Command {
	h := helps[c.action]
	cmd := &cobra.Command{
		Use: h.use, Short: h.short, Long: h.long + "\n\n" + howAll, Example: h.example, Args: cobra.ExactArgs(1),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return run.Complete(cmd.Context(), c.hub)
		},
	}
	if c.action == stages.ActionRollback {
		cmd.Args = cobra.MaximumNArgs(1)
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c.program = cmd.Root().CommandPath()
		name := ""
		if len(args) > 0 {
			name = args[0]
		}
		return c.run(cmd.Context(), act.At(cmd.InOrStdin(), cmd.OutOrStdout()), name)
	}
	c.flags.AddTo(cmd.Flags())
	c.act.AddTo(cmd.Flags())
	switch c.action {
	case stages.ActionSkip:
		cmd.Flags().StringVar(&c.stage, "stage", "", "`name` of the stage, by its task in the pipeline or by its CustomRun; required")
		cmd.Flags().StringVar(&c.member, "member", "", "`name` of the member that alone is left out, of those that the ClusterHop in --stage carries the release to")
		_ = cmd.RegisterFlagCompletionFunc("stage", c.completeStages)
	case stages.ActionRetry:
		cmd.Flags().StringVar(&c.stage, "stage", "", "with --member, `name` of the ClusterHop; the one that runs where empty")
		cmd.Flags().StringVar(&c.member, "member", "", "`name` of the member that alone is tried again, of those that a ClusterHop that runs carries the release to")
		_ = cmd.RegisterFlagCompletionFunc("stage", c.completeStages)
	case stages.ActionRollback:
		c.back.addTo(cmd.Flags())
		_ = cmd.RegisterFlagCompletionFunc("member", c.completeMembers)
	}
	cmd.Flags().SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		if name == "members" {
			name = "member"
		}
		return pflag.NormalizedName(name)
	})
	return cmd
}

func (c *command) hub() (*hub.Hub, error) { return c.connect(&c.flags) }

// run shows what the intervention reaches, asks, and carries it out.
func (c *command) run(ctx context.Context, s act.Stage, name string) error {
	if err := c.check(name); err != nil {
		return err
	}
	h, err := c.hub()
	if err != nil {
		return err
	}
	d, err := c.decide(ctx, h, name)
	if err != nil {
		return err
	}
	if d.already == "" {
		agreed, err := c.act.Agreed(ctx, s, d.plan, d.question)
		if err != nil || !agreed {
			return err
		}
		if !c.act.Yes {
			// The release went on while a person thought.
			if d, err = c.decide(ctx, h, name); err != nil {
				return fmt.Errorf("nothing was done: meanwhile %w", err)
			}
		}
	}
	if d.already != "" {
		_, err := fmt.Fprintln(s.Out, d.already)
		return err
	}
	acting, done := context.WithTimeout(ctx, patience)
	defer done()
	said, err := c.carryOut(acting, h, d)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(s.Out, said)
	return err
}

// check says what is wrong with the flags by themselves.
func (c *command) check(name string) error {
	if err := c.act.Check(); err != nil {
		return err
	}
	switch {
	case c.action == stages.ActionRollback:
		return c.back.check(name)
	case c.action == stages.ActionRetry && c.stage != "" && c.member == "":
		return errors.New("--stage goes with --member: a release is carried on where it failed, whatever stage that is")
	}
	return nil
}

func (c *command) completeStages(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return c.complete(cmd, func(ctx context.Context, h *hub.Hub) []string {
		t, err := c.find(ctx, h, args[0])
		if err != nil {
			return nil
		}
		return t.running()
	})
}

func (c *command) completeMembers(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	return c.complete(cmd, func(ctx context.Context, h *hub.Hub) []string {
		if len(args) > 0 {
			if t, err := c.find(ctx, h, args[0]); err == nil && t.release != nil {
				return membersTouched(t.release)
			}
		}
		known, err := run.Members(ctx, h)
		if err != nil {
			return nil
		}
		var out []string
		for m := range known {
			out = append(out, m)
		}
		slices.Sort(out)
		return out
	})
}

// complete offers what a hub that is quick to answer knows.
func (c *command) complete(cmd *cobra.Command, names func(context.Context, *hub.Hub) []string) ([]string, cobra.ShellCompDirective) {
	h, err := c.hub()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, done := context.WithTimeout(cmd.Context(), 3*time.Second)
	defer done()
	return names(ctx, h), cobra.ShellCompDirectiveNoFileComp
}
