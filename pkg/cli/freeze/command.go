package freeze

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/utils/clock"

	stages "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/cli/act"
	"github.com/periplus-dev/periplus/pkg/cli/hub"
	"github.com/periplus-dev/periplus/pkg/cli/run"
)

const (
	// patience is how long a hub may take to answer what is asked once.
	patience = 30 * time.Second
	// glance is how long it may take to say what a freeze would stop: whoever freezes is in a hurry.
	glance = 10 * time.Second
	// freezes in RBAC's words.
	freezes = "freezes.stages.periplus.dev"
)

// Connect reaches the hub that flags name.
type Connect func(*hub.Flags) (*hub.Hub, error)

type command struct {
	flags hub.Flags
	act   act.Flags
	scope scope

	connect Connect
	clock   clock.PassiveClock
	program string
}

// scope is what flags say is frozen.
type scope struct {
	all        bool
	members    []string
	selector   string
	namespaces []string
	until      string
	rollbacks  string
}

// New returns `periplus freeze`, `unfreeze` and `freezes`.
func New() []*cobra.Command { return newCommands((*hub.Flags).Connect, clock.RealClock{}) }

func newCommands(connect Connect, c clock.PassiveClock) []*cobra.Command {
	return []*cobra.Command{newFreeze(connect, c), newUnfreeze(connect, c), newFreezes(connect, c)}
}

func newFreeze(connect Connect, clock clock.PassiveClock) *cobra.Command {
	c := &command{connect: connect, clock: clock}
	cmd := &cobra.Command{
		Use:   "freeze (--all | --member NAME | --selector KEY=VALUE | --namespace NAME) --message TEXT",
		Short: "Stop every stage in a scope before its next move",
		Long: `Stop every stage in a scope before its next move, running ones and those to come, until the freeze is lifted or runs out.
Pods whose update has begun finish it. Where members and namespaces are given, both must match.

Before it acts it shows which stages it stops now, and asks; --yes does it without asking, --dry-run only shows it. Who
froze and why is recorded. It ends with exit code 0 once the freeze is in force, and with 1 where it is refused, where you
do not say yes, or where there is nobody to ask.`,
		Example: `  periplus freeze --all --message "network change in dca" --until 2h
  periplus freeze --member m1 --member m2 --rollbacks Allow --message "m1 and m2 move"
  periplus freeze --selector ring=1 --namespace shop --message "shop in ring 1 is sick"`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c.program = cmd.Root().CommandPath()
			return c.freeze(cmd.Context(), act.At(cmd.InOrStdin(), cmd.OutOrStdout()))
		},
	}
	c.flags.AddHubTo(cmd.Flags())
	c.act.AddTo(cmd.Flags())
	fs := cmd.Flags()
	fs.BoolVar(&c.scope.all, "all", false, "freeze everything: all members and all namespaces")
	fs.StringSliceVar(&c.scope.members, "member", nil, "freeze the member of this `name`; may be given several times, also as --members")
	fs.StringVarP(&c.scope.selector, "selector", "l", "", "freeze the members with these `labels`, such as ring=1, those that get them later too")
	fs.StringSliceVarP(&c.scope.namespaces, "namespace", "n", nil, "freeze the runs of the namespace of this `name`; may be given several times, also as --namespaces")
	fs.StringVar(&c.scope.until, "until", "", "`time` that it runs out: after a duration, such as 2h, or at a time as in RFC 3339; until it is lifted where empty")
	fs.StringVar(&c.scope.rollbacks, "rollbacks", string(stages.RollbacksStop), "whether rollbacks go on: `Stop or Allow`")
	fs.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		switch name {
		case "members", "namespaces":
			name = strings.TrimSuffix(name, "s")
		}
		return pflag.NormalizedName(name)
	})
	_ = cmd.RegisterFlagCompletionFunc("rollbacks", cobra.FixedCompletions([]string{string(stages.RollbacksStop), string(stages.RollbacksAllow)}, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("member", c.completions(func(ctx context.Context, h *hub.Hub) ([]string, error) {
		known, err := run.Members(ctx, h)
		var out []string
		for m := range known {
			out = append(out, m)
		}
		slices.Sort(out)
		return out, err
	}))
	return cmd
}

// completions offers what a hub that is quick to answer knows.
func (c *command) completions(names func(context.Context, *hub.Hub) ([]string, error)) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		h, err := c.connect(&c.flags)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, done := context.WithTimeout(cmd.Context(), 3*time.Second)
		defer done()
		out, err := names(ctx, h)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	}
}

// freeze shows what would be stopped, asks, and makes the Freeze.
func (c *command) freeze(ctx context.Context, s act.Stage) error {
	if err := c.act.Check(); err != nil {
		return err
	}
	spec, err := c.scope.spec(c.clock.Now(), c.act.Message)
	if err != nil {
		return err
	}
	h, err := c.connect(&c.flags)
	if err != nil {
		return err
	}
	looking, done := context.WithTimeout(ctx, glance)
	plan, err := c.plan(looking, h, spec)
	done()
	if err != nil {
		return err
	}
	agreed, err := c.act.Agreed(ctx, s, plan, "Freeze?")
	if err != nil || !agreed {
		return err
	}
	acting, done := context.WithTimeout(ctx, patience)
	defer done()
	made, err := c.create(acting, h, spec)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.Out, "frozen by %s as %s; to lift it: %s\n", made.Spec.User, made.Name, c.again(h, "unfreeze "+made.Name+` --message "…"`))
	return err
}

// again is a command as the person types it, with the flags that reach the same hub.
func (c *command) again(h *hub.Hub, rest string) string {
	out := c.program + " " + rest
	if h.Flags != "" {
		out += " " + h.Flags
	}
	return out
}

// errScope says that nothing was said to be frozen.
var errScope = errors.New("say what is frozen: --member, --selector or --namespace, or --all for everything everywhere")
