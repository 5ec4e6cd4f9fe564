package sidecars

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"

	apps "github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/cli/hub"
	"github.com/periplus-dev/periplus/pkg/cli/terminal"
	"github.com/periplus-dev/periplus/pkg/spelling"
)

// Exit codes beside 0.
const (
	someMissed  = 1
	wrongUse    = 2
	interrupted = 130
)

const (
	// patience is how long the member may take to answer.
	patience = 30 * time.Second
	// systemNamespace is where Periplus is installed, as published: no set means pods there.
	systemNamespace = "periplus-system"
)

// ended is how a command ended that has no 0 to give. It has nothing to say where the screen said it.
type ended struct {
	code int
	err  error
}

func (e ended) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e ended) Unwrap() error { return e.err }

// ExitCode is the process's.
func (e ended) ExitCode() int { return e.code }

// wrong is an error after which it is not known whether pods were missed.
func wrong(err error) error {
	var already ended
	switch {
	case err == nil || errors.As(err, &already):
		return err
	case errors.Is(err, context.Canceled):
		return ended{interrupted, err}
	}
	return ended{wrongUse, err}
}

// Connect reaches the member that flags name.
type Connect func(*hub.Flags) (*hub.Hub, error)

// command is what both commands work with.
type command struct {
	flags  hub.Flags
	output string

	connect Connect
	clock   clock.PassiveClock
	out     terminal.Terminal
}

// NewCommand returns `periplus sidecars`.
func NewCommand() *cobra.Command { return newCommand((*hub.Flags).Connect, clock.RealClock{}) }

func newCommand(connect Connect, clk clock.PassiveClock) *cobra.Command {
	c := &command{connect: connect, clock: clk}
	cmd := &cobra.Command{
		Use:   "sidecars",
		Short: "List the SidecarSets of a member",
		Long: `List the SidecarSets of a member, a line each: the revision that is wanted and the one that new pods get, how many pods a set
means, how many carry its sidecars and are ready on the revision, wait for their next creation, or were missed. It reads the
member itself, with your own kubeconfig: name the member by --context.`,
		Example: `  periplus sidecars --context m1
  periplus sidecars missed --context m1 -A`,
		Args: func(cmd *cobra.Command, args []string) error { return wrong(cobra.NoArgs(cmd, args)) },
		RunE: func(cmd *cobra.Command, _ []string) error {
			c.out = terminal.Of(cmd.OutOrStdout())
			return wrong(c.list(cmd.Context()))
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	c.bind(cmd)
	cmd.AddCommand(newMissed(connect, clk))
	return cmd
}

// bind the flags that both have.
func (c *command) bind(cmd *cobra.Command) {
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return wrong(err) })
	c.flags.AddMemberTo(cmd.Flags())
	cmd.Flags().StringVarP(&c.output, "output", "o", "", "print `json, yaml or name`; docs/cli.md describes the fields")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"json", "yaml", "name"}, cobra.ShellCompDirectiveNoFileComp))
}

func (c *command) check() error {
	if !slices.Contains([]string{"", "json", "yaml", "name"}, c.output) {
		return fmt.Errorf("--output is %q, and must be json, yaml or name", c.output)
	}
	return nil
}

// sets of the member, by name.
func sets(ctx context.Context, m *hub.Hub) ([]apps.SidecarSet, error) {
	list, err := m.Periplus.AppsV1alpha1().SidecarSets().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, m.ExplainAtMember(hub.Request{Verb: "list", Resource: "sidecarsets.apps.periplus.dev", Everywhere: true}, err)
	}
	slices.SortFunc(list.Items, func(a, b apps.SidecarSet) int { return strings.Compare(a.Name, b.Name) })
	return list.Items, nil
}

// only the set of a name; an error that names those there are where it is none of them.
func only(all []apps.SidecarSet, name string) ([]apps.SidecarSet, error) {
	var names []string
	for i := range all {
		if all[i].Name == name {
			return all[i : i+1], nil
		}
		names = append(names, all[i].Name)
	}
	switch near := spelling.Nearest(name, names); {
	case len(names) == 0:
		return nil, fmt.Errorf("there is no SidecarSet %s: this cluster has none (is it the member? see --context)", name)
	case near != "":
		return nil, fmt.Errorf("there is no SidecarSet %s; did you mean %s?", name, near)
	}
	return nil, fmt.Errorf("there is no SidecarSet %s; there are %s", name, strings.Join(names, ", "))
}
