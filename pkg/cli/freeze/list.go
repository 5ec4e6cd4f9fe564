package freeze

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"k8s.io/utils/clock"

	stages "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/cli/screen"
	"github.com/periplus-dev/periplus/pkg/cli/terminal"
)

func newFreezes(connect Connect, clock clock.PassiveClock) *cobra.Command {
	c := &command{connect: connect, clock: clock}
	all := false
	cmd := &cobra.Command{
		Use:   "freezes",
		Short: "List the freezes that are in force",
		Long:  `List the freezes that are in force, newest first: what they stop, since and until when, who froze and why.`,
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.show(cmd.Context(), terminal.Of(cmd.OutOrStdout()), all)
		},
	}
	c.flags.AddHubTo(cmd.Flags())
	cmd.Flags().BoolVar(&all, "all", false, "list those too that were lifted or ran out")
	return cmd
}

func (c *command) show(ctx context.Context, out terminal.Terminal, all bool) error {
	h, err := c.connect(&c.flags)
	if err != nil {
		return err
	}
	ctx, done := context.WithTimeout(ctx, patience)
	defer done()
	list, err := c.list(ctx, h)
	if err != nil {
		return err
	}
	var shown []stages.Freeze
	for _, f := range list {
		if all || screen.InForce(&f, c.clock.Now()) {
			shown = append(shown, f)
		}
	}
	if len(shown) == 0 {
		said := "Nothing is frozen."
		if all {
			said = "There are no freezes."
		}
		_, err := fmt.Fprintln(out, said)
		return err
	}
	_, err = io.WriteString(out, screen.RenderFreezes(shown, c.clock.Now(), out.Look()))
	return err
}
