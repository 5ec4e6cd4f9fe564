package answer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	pipelinev1beta1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	stages "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/cli/hub"
	"github.com/periplus-dev/periplus/pkg/cli/run"
	"github.com/periplus-dev/periplus/pkg/cli/screen"
)

const (
	// patience is how long a hub may take to answer what is asked once.
	patience = 30 * time.Second
	// counting is how long a stage may take to count an answer before the command says that it does not know.
	counting = 10 * time.Second
	// mostMessage is how long a message an Approval holds, as its schema says.
	mostMessage = 1024
)

// Connect reaches the hub that flags name.
type Connect func(*hub.Flags) (*hub.Hub, error)

type command struct {
	decision stages.Decision
	flags    hub.Flags
	stage    string
	message  string

	connect  Connect
	counting time.Duration
	program  string
}

// NewConfirm returns `periplus confirm`.
func NewConfirm() *cobra.Command {
	return newCommand(&command{decision: stages.Approve, connect: (*hub.Flags).Connect, counting: counting})
}

// NewReject returns `periplus reject`.
func NewReject() *cobra.Command {
	return newCommand(&command{decision: stages.Reject, connect: (*hub.Flags).Connect, counting: counting})
}

func newCommand(a *command) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "confirm RUN",
		Short: "Say yes to the question that a run waits with",
		Long: `Say yes to the question that a run waits with, in your own name: the hub says who you are. The answer counts once, for
this question of this attempt, and cannot be taken away afterwards. The command waits until the stage has counted it or
said why it does not count.`,
		Example: `  periplus confirm productpage-v2 --message "graphs look fine"
  periplus confirm productpage-v2 --stage confirm-m2`,
	}
	if a.decision == stages.Reject {
		cmd.Use = "reject RUN --message TEXT"
		cmd.Short = "Say no to the question that a run waits with, which ends it"
		cmd.Long = `Say no to the question that a run waits with, in your own name: the hub says who you are. One no ends the stage, and the
run with it unless its pipeline says otherwise. The message tells the others why.`
		cmd.Example = `  periplus reject productpage-v2 --message "errors in dca"`
	}
	cmd.Args = cobra.ExactArgs(1)
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return run.Complete(cmd.Context(), func() (*hub.Hub, error) { return a.connect(&a.flags) })
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		a.program = cmd.Root().CommandPath()
		said, err := a.answer(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(cmd.OutOrStdout(), said)
		return err
	}
	a.flags.AddTo(cmd.Flags())
	cmd.Flags().StringVarP(&a.message, "message", "m", "", "`text` for the others, at most 1024 letters; a reject needs one")
	cmd.Flags().StringVar(&a.stage, "stage", "", "`name` of the stage that asks, where several do")
	return cmd
}

// answer gives the answer and returns what became of it.
func (a *command) answer(ctx context.Context, name string) (string, error) {
	a.message = strings.TrimSpace(a.message)
	switch {
	case a.decision == stages.Reject && a.message == "":
		return "", errors.New(`a reject needs a reason for the others: --message "…"`)
	case len([]rune(a.message)) > mostMessage:
		return "", fmt.Errorf("--message has %d letters, and may have %d", len([]rune(a.message)), mostMessage)
	}
	h, err := a.connect(&a.flags)
	if err != nil {
		return "", err
	}
	asking, done := context.WithTimeout(ctx, patience)
	defer done()
	r, err := run.Read(asking, h, name)
	if err != nil {
		return "", err
	}
	c, err := a.pick(h, r, name)
	if err != nil {
		return "", err
	}
	user, groups, err := h.WhoAmI(asking)
	if err != nil {
		return "", err
	}
	approval, err := a.create(asking, h, r, c, user, groups)
	if err != nil {
		return "", err
	}
	waiting, stop := context.WithTimeout(ctx, a.counting)
	defer stop()
	return a.outcome(waiting, h, r, c, approval)
}

// pick finds the CustomRun that is answered: the one that asks, or the one of the stage that is named.
func (a *command) pick(h *hub.Hub, r *run.Run, name string) (*pipelinev1beta1.CustomRun, error) {
	asking := r.Asking()
	if len(asking) == 0 {
		m := a.model(h, r)
		return nil, fmt.Errorf("run %s asks nothing now: %s", r.Name(), m.Verdict.Text)
	}
	var names []string
	for _, c := range asking {
		names = append(names, run.StageOf(c))
	}
	slices.Sort(names)
	switch {
	case a.stage != "":
		for _, c := range asking {
			if run.StageOf(c) == a.stage || c.Name == a.stage {
				return c, nil
			}
		}
		return nil, fmt.Errorf("stage %s of run %s asks nothing now; asking: %s", a.stage, r.Name(), strings.Join(names, ", "))
	case len(asking) == 1 && (name == r.Name() || name == asking[0].Name):
		return asking[0], nil
	}
	for _, c := range asking {
		if c.Name == name && c.Name != r.Name() {
			return c, nil
		}
	}
	if name != r.Name() {
		return nil, fmt.Errorf("%s, a stage of run %s, asks nothing now; asking: %s", name, r.Name(), strings.Join(names, ", "))
	}
	return nil, fmt.Errorf("%d stages of run %s ask: say which with --stage: %s", len(asking), r.Name(), strings.Join(names, ", "))
}

func (a *command) model(h *hub.Hub, r *run.Run) *screen.Model {
	return screen.Build(r.Objects, screen.Options{Now: time.Now(), Program: a.program, Namespace: h.NamespaceFlag, Flags: h.Flags})
}

func (a *command) create(ctx context.Context, h *hub.Hub, r *run.Run, c *pipelinev1beta1.CustomRun, user string, groups []string) (*stages.Approval, error) {
	q := screen.OpenQuestion(c)
	made, err := h.Periplus.StagesV1alpha1().Approvals(h.Namespace).Create(ctx, &stages.Approval{
		ObjectMeta: metav1.ObjectMeta{GenerateName: r.Name() + "-", Namespace: h.Namespace},
		Spec: stages.ApprovalSpec{
			RunRef: stages.RunRef{Name: c.Name, UID: c.UID}, Question: q.ID, Decision: a.decision, Message: a.message,
			User: user, Groups: hub.RecordedGroups(groups, q.Approvers.Groups),
		},
	}, metav1.CreateOptions{})
	if err != nil {
		return nil, h.Explain(hub.Request{Verb: "create", Resource: "approvals.stages.periplus.dev"}, err)
	}
	return made, nil
}
