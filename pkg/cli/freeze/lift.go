package freeze

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"
	"k8s.io/utils/clock"

	stages "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/cli/act"
	"github.com/periplus-dev/periplus/pkg/cli/hub"
	"github.com/periplus-dev/periplus/pkg/cli/run"
	"github.com/periplus-dev/periplus/pkg/cli/screen"
)

func newUnfreeze(connect Connect, clock clock.PassiveClock) *cobra.Command {
	c := &command{connect: connect, clock: clock}
	cmd := &cobra.Command{
		Use:     "unfreeze FREEZE --message TEXT",
		Aliases: []string{"lift"},
		Short:   "Lift a freeze",
		Long: `Lift a freeze: what it alone stopped goes on. Who lifted it and why is recorded in it, once. Names are those that
"periplus freezes" lists.

Before it acts it shows which stages go on, and asks; --yes does it without asking, --dry-run only shows it. It ends with
exit code 0 once it is lifted, or was so already, and with 1 where it is refused, where you do not say yes, or where there
is nobody to ask.`,
		Example: `  periplus unfreeze freeze-x7k2p --message "the network is fine again"`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c.program = cmd.Root().CommandPath()
			return c.unfreeze(cmd.Context(), act.At(cmd.InOrStdin(), cmd.OutOrStdout()), args[0])
		},
	}
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return c.completions(func(ctx context.Context, h *hub.Hub) ([]string, error) {
			list, err := c.list(ctx, h)
			return names(list, func(f *stages.Freeze) bool { return f.Spec.Lifted == nil }), err
		})(cmd, args, toComplete)
	}
	c.flags.AddHubTo(cmd.Flags())
	c.act.AddTo(cmd.Flags())
	return cmd
}

// unfreeze shows what would go on, asks, and lifts the Freeze.
func (c *command) unfreeze(ctx context.Context, s act.Stage, name string) error {
	if err := c.act.Check(); err != nil {
		return err
	}
	h, err := c.connect(&c.flags)
	if err != nil {
		return err
	}
	looking, done := context.WithTimeout(ctx, glance)
	f, plan, err := c.liftPlan(looking, h, name)
	done()
	if err != nil {
		return err
	}
	if l := f.Spec.Lifted; l != nil {
		_, err := fmt.Fprintln(s.Out, already(f, l))
		return err
	}
	agreed, err := c.act.Agreed(ctx, s, plan, "Lift it?")
	if err != nil || !agreed {
		return err
	}
	acting, done := context.WithTimeout(ctx, patience)
	defer done()
	said, err := c.lift(acting, h, f)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(s.Out, said)
	return err
}

func already(f *stages.Freeze, l *stages.Lifting) string {
	who := screen.Clean(l.User)
	if who == "" {
		who = "somebody"
	}
	out := fmt.Sprintf("%s was lifted already, by %s", f.Name, who)
	if l.Time != nil {
		out += " at " + l.Time.Format(time.RFC3339)
	}
	return out + ": " + screen.Clean(l.Message)
}

func (c *command) liftPlan(ctx context.Context, h *hub.Hub, name string) (*stages.Freeze, screen.Plan, error) {
	var p screen.Plan
	list, err := c.list(ctx, h)
	if err != nil {
		return nil, p, err
	}
	at := slices.IndexFunc(list, func(f stages.Freeze) bool { return f.Name == name })
	if at < 0 {
		there := names(list, func(f *stages.Freeze) bool { return screen.InForce(f, c.clock.Now()) })
		if len(there) == 0 {
			return nil, p, fmt.Errorf("there is no freeze %s, nor any that is in force", name)
		}
		return nil, p, fmt.Errorf("there is no freeze %s%s", name, act.Meant(name, there))
	}
	f := &list[at]
	p.Title = "unfreeze " + f.Name
	p.Facts = []string{screen.ScopeOf(&f.Spec), "frozen by " + f.Spec.User + " " + screen.Lasting(c.clock.Now().Sub(f.CreationTimestamp.Time)) + " ago"}
	p.Add("because", f.Spec.Message)
	if !screen.InForce(f, c.clock.Now()) && f.Spec.Lifted == nil {
		p.Add("goes on", "nothing: it ran out at "+f.Spec.Until.Format(time.RFC3339)+"; once it is lifted it may be deleted")
		return f, p, nil
	}
	frozen := make([]*stages.Freeze, 0, len(list))
	for i := range list {
		frozen = append(frozen, &list[i])
	}
	members, err := run.LabelsFor(ctx, h, frozen)
	if err != nil {
		return nil, p, err
	}
	var others []*stages.FreezeSpec
	var still []string
	for _, other := range frozen {
		if other.Name != f.Name && screen.InForce(other, c.clock.Now()) {
			others = append(others, &other.Spec)
			still = append(still, fmt.Sprintf("%s, by %s: %s (%s)", screen.ScopeOf(&other.Spec), other.Spec.User, other.Spec.Message, other.Name))
		}
	}
	all, unseen := runsSeen(ctx, h, &f.Spec)
	lines := stopped(&f.Spec, all, members, others...)
	if len(lines) == 0 && len(unseen) == 0 {
		lines = []string{"no stage that runs now"}
	}
	p.Add("goes on", lines...)
	p.Warn("still frozen", still...)
	p.Warn("not seen", unseen...)
	return f, p, nil
}

// lift writes who lifted it, into the object as it is now.
func (c *command) lift(ctx context.Context, h *hub.Hub, f *stages.Freeze) (string, error) {
	me, err := act.Who(ctx, h)
	if err != nil {
		return "", err
	}
	said := fmt.Sprintf("%s is lifted by %s", f.Name, me.User)
	api := h.Periplus.StagesV1alpha1().Freezes()
	err = retry.RetryOnConflict(retry.DefaultRetry, func() error {
		now, err := api.Get(ctx, f.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if now.UID != f.UID {
			return fmt.Errorf("freeze %s was made anew meanwhile: nothing was done", f.Name)
		}
		if l := now.Spec.Lifted; l != nil {
			said = already(now, l)
			return nil
		}
		at := metav1.NewTime(c.clock.Now())
		now.Spec.Lifted = &stages.Lifting{Message: c.act.Message, User: me.User, Groups: me.Groups, Time: &at}
		_, err = api.Update(ctx, now, metav1.UpdateOptions{})
		return err
	})
	switch {
	case apierrors.IsNotFound(err):
		return "", fmt.Errorf("freeze %s was deleted meanwhile: it stops nothing any more: %w", f.Name, err)
	case err != nil:
		return "", h.Explain(hub.Request{Verb: "update", Resource: freezes, Name: f.Name, Everywhere: true}, err)
	}
	return said, nil
}

// list reads all Freezes, newest first.
func (c *command) list(ctx context.Context, h *hub.Hub) ([]stages.Freeze, error) {
	list, err := h.Periplus.StagesV1alpha1().Freezes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, h.Explain(hub.Request{Verb: "list", Resource: freezes, Everywhere: true}, err)
	}
	slices.SortStableFunc(list.Items, func(a, b stages.Freeze) int { return b.CreationTimestamp.Compare(a.CreationTimestamp.Time) })
	return list.Items, nil
}

func names(list []stages.Freeze, want func(*stages.Freeze) bool) []string {
	var out []string
	for i := range list {
		if want(&list[i]) {
			out = append(out, list[i].Name)
		}
	}
	return out
}
