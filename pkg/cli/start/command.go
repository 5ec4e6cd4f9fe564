package start

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	pipelinev1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"

	stages "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/cli/follow"
	"github.com/periplus-dev/periplus/pkg/cli/hub"
	"github.com/periplus-dev/periplus/pkg/cli/run"
	"github.com/periplus-dev/periplus/pkg/cli/screen"
	"github.com/periplus-dev/periplus/pkg/cli/terminal"
)

// patience is how long a hub may take to answer what is asked once.
const patience = 30 * time.Second

// Connect reaches the hub that flags name.
type Connect func(*hub.Flags) (*hub.Hub, error)

// command is what `periplus start` works with.
type command struct {
	flags     hub.Flags
	wish      wish
	wait      bool
	orFollow  bool
	heldAfter time.Duration
	output    string

	connect Connect
	clock   clock.WithTicker
	program string
	in      io.Reader
	out     terminal.Terminal
}

// NewCommand returns `periplus start`.
func NewCommand() *cobra.Command { return newCommand((*hub.Flags).Connect, clock.RealClock{}) }

func newCommand(connect Connect, c clock.WithTicker) *cobra.Command {
	s := &command{connect: connect, clock: c}
	cmd := &cobra.Command{
		Use:   "start PIPELINE",
		Short: "Start a release, and follow it to an exit code",
		Long: `Start a run of a pipeline, or of a PipelineRun in a file. Params are checked against the pipeline before anything is made. Without --timeout the run has no
timeout of its own: Tekton's is an hour, which a release that waits for people does not keep.

With --or-follow a run of that --name which is there already and asks for the same is followed instead: a CI job that is run again starts nothing twice.

With --wait each change is printed as a line until the run is over. The exit code then says how it went:

  0    succeeded
  1    failed or was cancelled, or could not be started
  2    was started, and cannot be followed any more; it may go on
  3    failed and was rolled back
  4    somebody rejected it
  5    is held: it waits for people for longer than --held-after; it goes on once they act
  130  interrupted; it goes on`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s.program, s.in, s.out = cmd.Root().CommandPath(), cmd.InOrStdin(), terminal.Of(cmd.OutOrStdout())
			if len(args) > 0 {
				s.wish.pipeline = args[0]
			}
			return s.run(cmd.Context())
		},
	}
	s.flags.AddTo(cmd.Flags())
	f := cmd.Flags()
	f.StringArrayVarP(&s.wish.params, "param", "p", nil, "`name=value` of a param; may be given several times; an array's values are separated by commas")
	f.StringVarP(&s.wish.file, "file", "f", "", "`file` with the PipelineRun, in place of PIPELINE and --param; - is the standard input")
	f.StringVar(&s.wish.name, "name", "", "`name` of the run; the pipeline's with a random ending where empty")
	f.StringVar(&s.wish.behalf, "on-behalf-of", "", "`user` that the caller vouches for as the one who releases; a ReleasePolicy must let it")
	f.StringToStringVarP(&s.wish.labels, "label", "l", nil, "`key=value` of a label of the run; may be given several times")
	f.StringVar(&s.wish.account, "serviceaccount", "", "`name` of the ServiceAccount of the pipeline's own TaskRuns")
	f.DurationVar(&s.wish.timeout, "timeout", 0, "`duration` that the run may take in all; no limit where 0")
	f.BoolVar(&s.wait, "wait", false, "follow the run until it is over, and end with its exit code")
	f.BoolVar(&s.orFollow, "or-follow", false, "with --wait and --name: follow the run of that name where it is there already and asks for the same")
	f.DurationVar(&s.heldAfter, "held-after", 0, "with --wait, the `duration` after which a run that waits for people is left alone (exit code 5); never where 0")
	f.StringVarP(&s.output, "output", "o", "", "`name` prints nothing but the run's name; with --wait, json prints a document on a line for each change")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"name", "json"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (s *command) check() error {
	w := &s.wish
	switch {
	case (w.pipeline == "") == (w.file == ""):
		return errors.New("give the name of a PIPELINE, or a PipelineRun by --file")
	case w.file != "" && (len(w.params) > 0 || w.account != "" || w.timeout != 0):
		return errors.New("--param, --serviceaccount and --timeout go with PIPELINE; what --file holds says these itself")
	case w.timeout < 0:
		return fmt.Errorf("--timeout is %s, and must be 0 or more", w.timeout)
	case s.heldAfter < 0:
		return fmt.Errorf("--held-after is %s, and must be 0 or more", s.heldAfter)
	case s.heldAfter > 0 && !s.wait:
		return errors.New("--held-after goes with --wait")
	case s.orFollow && (!s.wait || w.name == "" || w.file != ""):
		return errors.New("--or-follow goes with PIPELINE, --name and --wait")
	case s.output != "" && s.output != "name" && s.output != "json":
		return fmt.Errorf("--output is %q, and must be name or json", s.output)
	case s.output == "json" && !s.wait:
		return errors.New("--output json goes with --wait; `get -o json` shows a run at any time")
	case s.output == "name" && s.wait:
		return errors.New("--output name goes without --wait, whose lines it would leave out")
	}
	return nil
}

func (s *command) run(ctx context.Context) error {
	if err := s.check(); err != nil {
		return err
	}
	h, err := s.connect(&s.flags)
	if err != nil {
		return err
	}
	asking, done := context.WithTimeout(ctx, patience)
	defer done()
	pr, err := s.begin(asking, h)
	if err != nil {
		return err
	}
	if s.output == "name" {
		_, err := fmt.Fprintln(s.out, pr.Name)
		return err
	}
	if !s.wait {
		_, err := fmt.Fprintf(s.out, "%s is started; follow it: %s\n", pr.Name, s.again(h, "get "+pr.Name+" --watch"))
		return err
	}
	return s.follow(ctx, h, pr)
}

// begin makes the run.
func (s *command) begin(ctx context.Context, h *hub.Hub) (*pipelinev1.PipelineRun, error) {
	pr, err := s.wanted(ctx, h)
	if err != nil {
		return nil, err
	}
	user, _, err := h.WhoAmI(ctx)
	if err != nil {
		return nil, err
	}
	if pr.Annotations == nil {
		pr.Annotations = map[string]string{}
	}
	// Servers that stamp it write the same; the others want it written.
	pr.Annotations[stages.AnnotationInitiator] = user
	made, err := h.Tekton.TektonV1().PipelineRuns(h.Namespace).Create(ctx, pr, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) && s.orFollow {
		return startedBefore(ctx, h, pr)
	}
	if apierrors.IsAlreadyExists(err) {
		return nil, fmt.Errorf("there is a run named %s already; give another --name: %s", pr.Name, s.again(h, "get "+pr.Name))
	}
	if err != nil {
		return nil, h.Explain(hub.Request{Verb: "create", Resource: "pipelineruns.tekton.dev", Name: pr.Name}, err)
	}
	return made, nil
}

// wanted is the run that the flags ask for.
func (s *command) wanted(ctx context.Context, h *hub.Hub) (*pipelinev1.PipelineRun, error) {
	if s.wish.file != "" {
		return s.read(h)
	}
	p, err := h.Tekton.TektonV1().Pipelines(h.Namespace).Get(ctx, s.wish.pipeline, metav1.GetOptions{})
	if apierrors.IsNotFound(err) && !hub.NoSuchAPI(err) {
		return nil, fmt.Errorf("there is no pipeline %s in namespace %s", s.wish.pipeline, h.Namespace)
	}
	if err != nil {
		return nil, h.Explain(hub.Request{Verb: "get", Resource: "pipelines.tekton.dev", Name: s.wish.pipeline}, err)
	}
	return s.wish.makeRun(p)
}

func (s *command) read(h *hub.Hub) (*pipelinev1.PipelineRun, error) {
	from := s.in
	if s.wish.file != "-" {
		f, err := os.Open(s.wish.file)
		if err != nil {
			return nil, fmt.Errorf("--file: %w", err)
		}
		defer f.Close()
		from = f
	}
	pr, err := readRun(from, s.wish.file)
	if err != nil {
		return nil, err
	}
	if pr.Namespace != "" && pr.Namespace != h.Namespace {
		return nil, fmt.Errorf("%s is for namespace %s, and the command for %s: give -n %s", s.wish.file, pr.Namespace, h.Namespace, pr.Namespace)
	}
	pr.Namespace = h.Namespace
	s.wish.label(pr)
	return pr, nil
}

// follow prints the run's changes until it is over or held for too long.
func (s *command) follow(ctx context.Context, h *hub.Hub, pr *pipelinev1.PipelineRun) error {
	reading, done := context.WithTimeout(ctx, patience)
	defer done()
	r, err := run.Read(reading, h, pr.Name)
	if err != nil {
		return follow.Ended{Code: follow.CannotFollow, Err: fmt.Errorf("%s was started: %w", pr.Name, err)}
	}
	held := holding{after: s.heldAfter}
	last, err := follow.Run(ctx, follow.Options{
		Hub: h, Run: r, Clock: s.clock, Out: s.out, Format: s.output, Lines: true, Enough: held.tooLong,
		Model: func(o screen.Objects) *screen.Model {
			return screen.Build(o, screen.Options{Now: s.clock.Now(), Program: s.program, Namespace: h.NamespaceFlag, Flags: h.Flags})
		},
	})
	if err != nil {
		return err
	}
	code := codeOf(last, !last.Over)
	if code == codeSucceeded {
		return nil
	}
	e := follow.Ended{Code: code}
	if code == codeHeld {
		e.Err = fmt.Errorf("%s is held for %s and is left to people: %s", last.Name, s.heldAfter, last.Verdict.Text)
	}
	return e
}

// again is a command of ours that reaches the same hub.
func (s *command) again(h *hub.Hub, what string) string {
	for _, more := range []string{h.NamespaceFlag, h.Flags} {
		if more != "" {
			what += " " + more
		}
	}
	return s.program + " " + what
}
