package plan

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"

	stages "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/cli/hub"
	"github.com/periplus-dev/periplus/pkg/cli/screen"
	"github.com/periplus-dev/periplus/pkg/cli/terminal"
)

// Exit codes beside 0.
const (
	refused     = 1
	wrongUse    = 2
	interrupted = 130
)

// ended is how a plan ended when the run would not be taken. It has nothing to say where the screen said it.
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

// command is what `periplus plan` works with.
type command struct {
	flags   hub.Flags
	file    string
	params  []string
	diff    bool
	output  string
	timeout time.Duration

	connect Connect
	clock   clock.WithTicker
	in      io.Reader
	out     terminal.Terminal
	// asides are where is said what is not the answer.
	asides io.Writer
}

// NewCommand returns `periplus plan`.
func NewCommand() *cobra.Command { return newCommand((*hub.Flags).Connect, clock.RealClock{}) }

func newCommand(connect Connect, c clock.WithTicker) *cobra.Command {
	p := &command{connect: connect, clock: c}
	cmd := &cobra.Command{
		Use:   "plan (-f FILE | PIPELINE [--param NAME=VALUE])",
		Short: "Show what a run would do, and whether it would be refused, before anything moves",
		Long: `Show what a PipelineRun would do: for each stage and member the groups of pods with their numbers, guards, who is asked,
timeouts, what is rebuilt instead of changed in place, and what ReleasePolicies demand. The hub looks for you: nothing
is moved, locked or recorded. Later stages are planned as if those before them had done their work.

The file holds the PipelineRun as you would create it; - reads it from the standard input. Or name a Pipeline of the
namespace, and give its params.

It ends with exit code 0 when nothing of the run would be refused, as far as that can be known before it begins; 1 when
something would, with all reasons; 2 when a flag or a name is wrong or the hub does not answer; 130 when interrupted.`,
		Example: `  periplus plan -f run.yaml
  periplus plan -f run.yaml --diff
  periplus plan productpage --param image=shop/productpage:v2`,
		Args: func(cmd *cobra.Command, args []string) error { return wrong(cobra.MaximumNArgs(1)(cmd, args)) },
		RunE: func(cmd *cobra.Command, args []string) error {
			p.in, p.out, p.asides = cmd.InOrStdin(), terminal.Of(cmd.OutOrStdout()), cmd.ErrOrStderr()
			return p.run(cmd.Context(), args)
		},
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return wrong(err) })
	fs := cmd.Flags()
	p.flags.AddTo(fs)
	fs.StringVarP(&p.file, "filename", "f", "", "`file` with the PipelineRun, - for the standard input")
	fs.StringArrayVar(&p.params, "param", nil, "`name=value` of a param of the Pipeline; may be given several times, a,b for an array")
	fs.BoolVar(&p.diff, "diff", false, "show how pod templates change, line by line")
	fs.StringVarP(&p.output, "output", "o", "", "print the plan as `json or yaml`; docs/cli.md describes the fields")
	fs.DurationVar(&p.timeout, "timeout", 90*time.Second, "`time` to wait for the hub's answer")
	_ = cmd.MarkFlagFilename("filename", "yaml", "yml", "json")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"json", "yaml"}, cobra.ShellCompDirectiveNoFileComp))
	cmd.ValidArgsFunction = p.completePipelines
	return cmd
}

// completePipelines offers what a hub that is quick to answer knows.
func (c *command) completePipelines(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	h, err := c.connect(&c.flags)
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, done := context.WithTimeout(cmd.Context(), 3*time.Second)
	defer done()
	all, err := h.Tekton.TektonV1().Pipelines(h.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for i := range all.Items {
		names = append(names, all.Items[i].Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// check says what is wrong with the flags by themselves.
func (c *command) check(args []string) error {
	switch {
	case c.file == "" && len(args) == 0:
		return errors.New("say what would be run: -f run.yaml, or the name of a Pipeline")
	case c.file != "" && len(args) > 0:
		return fmt.Errorf("the file %s says which pipeline is run; leave %s out, or leave -f out", c.file, args[0])
	case c.file != "" && len(c.params) > 0:
		return errors.New("--param goes with the name of a Pipeline; the params of a file stand in its spec.params")
	case c.timeout <= 0:
		return fmt.Errorf("--timeout is %s, and must be longer than 0", c.timeout)
	case c.output != "" && c.output != "json" && c.output != "yaml":
		return fmt.Errorf("--output is %q, and must be json or yaml", c.output)
	}
	return nil
}

func (c *command) run(ctx context.Context, args []string) error {
	if err := c.check(args); err != nil {
		return wrong(err)
	}
	r, err := c.read(args)
	if err != nil {
		return wrong(err)
	}
	h, err := c.connect(&c.flags)
	if err != nil {
		return wrong(err)
	}
	if ns := r.typed.Namespace; ns != "" && ns != h.Namespace {
		if h.NamespaceFlag != "" {
			return wrong(fmt.Errorf("the run is in namespace %s, and -n says %s", ns, h.Namespace))
		}
		at := *h
		at.Namespace, at.NamespaceFlag = ns, "-n "+ns
		h = &at
	}
	asking, done := context.WithTimeout(ctx, c.timeout)
	defer done()
	status, err := c.ask(asking, h, r)
	switch {
	case ctx.Err() != nil:
		return ended{code: interrupted}
	case err != nil:
		return wrong(err)
	}
	c.tryCreate(asking, h, r, status)
	return c.show(h, r, status)
}

// show prints the plan, and gives how it ends the command.
func (c *command) show(h *hub.Hub, r *runFile, status *stages.RunPlanStatus) error {
	p := &screen.RunPlan{Format: screen.RunPlanFormat, Namespace: h.Namespace, Run: r.name(), RunPlanStatus: *status}
	var err error
	if c.output != "" {
		err = c.out.Encode(p, c.output)
	} else {
		look := c.out.Look()
		look.Height = 0 // what does not fit can be scrolled back to
		_, err = io.WriteString(c.out, screen.RenderRunPlan(p, look))
	}
	if err != nil {
		return fmt.Errorf("writing the plan: %w", err)
	}
	if len(p.Problems) > 0 {
		return ended{code: refused}
	}
	return nil
}

// name of the run, or what it begins with.
func (r *runFile) name() string {
	if r.typed.Name != "" {
		return r.typed.Name
	}
	return r.typed.GenerateName
}
