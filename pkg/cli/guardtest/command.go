package guardtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"

	"github.com/periplus-dev/periplus/pkg/cli/hub"
	"github.com/periplus-dev/periplus/pkg/cli/run"
	"github.com/periplus-dev/periplus/pkg/cli/screen"
	"github.com/periplus-dev/periplus/pkg/cli/terminal"
)

// Exit codes beside 0.
const (
	notPassed   = 1
	wrongUse    = 2
	interrupted = 130
)

// ended is how a test ended when not with passing guards. It has nothing to say where the screen said it.
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

func wrong(err error) error {
	if err == nil {
		return nil
	}
	return ended{wrongUse, err}
}

// Connect reaches the hub that flags name.
type Connect func(*hub.Flags) (*hub.Hub, error)

// command is what `periplus guard test` works with.
type command struct {
	flags   hub.Flags
	file    string
	target  string
	members []string
	params  []string
	timeout time.Duration
	keep    bool
	output  string

	connect Connect
	clock   clock.WithTicker
	program string
	in      io.Reader
	out     terminal.Terminal
	// asides are where is said what is not the answer: what is waited for, and what is left behind.
	asides io.Writer
}

// NewCommand returns `periplus guard`.
func NewCommand() *cobra.Command {
	top := &cobra.Command{Use: "guard", Short: "Try guards before a stage depends on them", Args: cobra.NoArgs}
	top.AddCommand(newTest(&command{connect: (*hub.Flags).Connect, clock: clock.RealClock{}}))
	return top
}

func newTest(c *command) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "test -f FILE --target NAME",
		Short: "Judge guards once on a target that runs, and show query, value and verdict",
		Long: `Judge the guards of a file once, on the pods that a target has now, and show for each guard and member the verdict, the
values that were compared, and what was asked of metric sources.

The file holds a guard, a list of guards, a GuardSet, or several of these as YAML documents; - reads them from the
standard input. The hub judges them, under the policies of the namespace: a run of one Check is made, which moves
nothing, and deleted again. Every guard is judged as a Before guard, whatever it says of when, for and deadline. A metric
whose window began before the newest pods were ready is waited for.

It ends with exit code 0 when all guards pass or do not apply, 1 when one fails or cannot be judged, 2 when a guard, a
flag or a name is wrong or refused, 130 when interrupted.`,
		Example: `  periplus guard test -f guard.yaml --target productpage --member m1
  kubectl get guardset service-health -o yaml | periplus guard test -f - --target productpage -o json`,
		Args: func(cmd *cobra.Command, args []string) error { return wrong(cobra.NoArgs(cmd, args)) },
		RunE: func(cmd *cobra.Command, _ []string) error {
			c.program, c.in = cmd.Root().CommandPath(), cmd.InOrStdin()
			c.out, c.asides = terminal.Of(cmd.OutOrStdout()), cmd.ErrOrStderr()
			return c.run(cmd.Context())
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return wrong(err) })
	fs := cmd.Flags()
	c.flags.AddTo(fs)
	fs.StringVarP(&c.file, "filename", "f", "", "`file` with the guards, - for the standard input; required")
	fs.StringVar(&c.target, "target", "", "`name` of the Target whose pods the guards are judged on; required")
	fs.StringSliceVar(&c.members, "member", nil, "`name` of a member to judge in; may be given several times, also as --members; all that the namespace may release to where empty")
	fs.StringArrayVar(&c.params, "param", nil, "`name=value` that guards see as params.name, and that stands for $(params.name); may be given several times")
	fs.DurationVar(&c.timeout, "timeout", time.Minute, "`time` to wait for all verdicts")
	fs.BoolVar(&c.keep, "keep", false, "keep the run that was made, to look at it")
	fs.StringVarP(&c.output, "output", "o", "", "print the verdicts as `json or yaml`; docs/cli.md describes the fields")
	fs.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		if name == "members" {
			name = "member"
		}
		return pflag.NormalizedName(name)
	})
	_ = cmd.MarkFlagFilename("filename", "yaml", "yml", "json")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"json", "yaml"}, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("target", c.complete(func(ctx context.Context, h *hub.Hub) ([]string, error) {
		l, err := h.Periplus.StagesV1alpha1().Targets(h.Namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return nil, err
		}
		var names []string
		for i := range l.Items {
			names = append(names, l.Items[i].Name)
		}
		return names, nil
	}))
	_ = cmd.RegisterFlagCompletionFunc("member", c.complete(func(ctx context.Context, h *hub.Hub) ([]string, error) {
		known, err := run.Members(ctx, h)
		return slices.Sorted(maps.Keys(known)), err
	}))
	return cmd
}

// complete offers what a hub that is quick to answer knows.
func (c *command) complete(names func(context.Context, *hub.Hub) ([]string, error)) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		h, err := c.connect(&c.flags)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, done := context.WithTimeout(cmd.Context(), 3*time.Second)
		defer done()
		found, err := names(ctx, h)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return found, cobra.ShellCompDirectiveNoFileComp
	}
}

// check says what is wrong with the flags by themselves, and gives the params.
func (c *command) check() (map[string]string, error) {
	switch {
	case c.file == "":
		return nil, errors.New("say which file holds the guards: -f guard.yaml, or -f - for the standard input")
	case c.target == "":
		return nil, errors.New("say on whose pods the guards are judged: --target NAME")
	case c.timeout <= 0:
		return nil, fmt.Errorf("--timeout is %s, and must be longer than 0", c.timeout)
	case c.output != "" && c.output != "json" && c.output != "yaml":
		return nil, fmt.Errorf("--output is %q, and must be json or yaml", c.output)
	}
	params := map[string]string{}
	for _, p := range c.params {
		name, value, ok := strings.Cut(p, "=")
		if _, twice := params[name]; !ok || name == "" || twice {
			return nil, fmt.Errorf("--param is %q, and must be name=value, once for each name", p)
		}
		params[name] = value
	}
	return params, nil
}

func (c *command) read(params map[string]string) (*file, error) {
	if c.file == "-" {
		return readFile("the standard input", c.in, params)
	}
	in, err := os.Open(c.file)
	if err != nil {
		return nil, fmt.Errorf("reading the guards: %w", err)
	}
	defer func() { _ = in.Close() }() // it was only read.
	return readFile(c.file, in, params)
}

func (c *command) run(ctx context.Context) error {
	params, err := c.check()
	if err != nil {
		return wrong(err)
	}
	f, err := c.read(params)
	if err != nil {
		return wrong(err)
	}
	guards, err := f.asked(slices.Sorted(maps.Keys(params)))
	if err != nil {
		return wrong(err)
	}
	h, err := c.connect(&c.flags)
	if err != nil {
		return wrong(err)
	}
	made, err := c.make(guards, params)
	if err != nil {
		return wrong(err)
	}
	if err := c.start(ctx, h, made); err != nil {
		return err
	}
	t, err := c.verdicts(ctx, h, made, f)
	c.clear(ctx, h, made.Name)
	if err != nil {
		return err
	}
	return c.show(t)
}

// show prints the verdicts, and gives how they end the command.
func (c *command) show(t *screen.GuardTest) error {
	var err error
	if c.output != "" {
		err = c.out.Encode(t, c.output)
	} else {
		_, err = io.WriteString(c.out, screen.RenderGuardTest(t, c.out.Look()))
	}
	if err != nil {
		return fmt.Errorf("writing the verdicts: %w", err)
	}
	if !t.Passed {
		return ended{code: notPassed}
	}
	return nil
}
