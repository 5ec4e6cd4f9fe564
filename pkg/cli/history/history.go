package history

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"

	"github.com/periplus-dev/periplus/pkg/cli/hub"
	"github.com/periplus-dev/periplus/pkg/cli/screen"
	"github.com/periplus-dev/periplus/pkg/cli/terminal"
	"github.com/periplus-dev/periplus/pkg/podtemplate"
)

// patience is how long a member may take to answer.
const patience = 30 * time.Second

// Connect reaches the member that flags name.
type Connect func(*hub.Flags) (*hub.Hub, error)

// New returns `periplus history` and `periplus undo`.
func New() []*cobra.Command { return newCommands((*hub.Flags).Connect, clock.RealClock{}) }

func newCommands(connect Connect, c clock.PassiveClock) []*cobra.Command {
	return []*cobra.Command{newHistory(connect, c), newUndo(connect)}
}

// addMember adds the flags that say which member and as whom.
func addMember(f *hub.Flags, fs *pflag.FlagSet) {
	f.AddMemberTo(fs)
	fs.StringVarP(&f.Namespace, "namespace", "n", "", "`name` of the workload's namespace; the context's where empty")
}

type historyCommand struct {
	flags    hub.Flags
	revision string
	diff     bool
	output   string

	connect Connect
	clock   clock.PassiveClock
	out     terminal.Terminal
}

func newHistory(connect Connect, clk clock.PassiveClock) *cobra.Command {
	c := &historyCommand{connect: connect, clock: clk}
	cmd := &cobra.Command{
		Use:   "history KIND/NAME",
		Short: "Show the revisions that a workload in a member had",
		Long: `Show the revisions of a CafeDeployment or an InPlaceSet: what each changed, and how many pods are on it. It reads the member
itself, with your own kubeconfig: name the member by --context.

With --revision it prints the pod template of that revision; with --diff too, how that differs from the template as it is
now. With --diff alone each revision is shown with what it changed, line by line.`,
		Example: `  periplus history cafedeployment/productpage --context m1 -n shop
  periplus history ips/web-dca --revision 3 --diff`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			c.out = terminal.Of(cmd.OutOrStdout())
			return c.run(cmd.Context(), args)
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	fs := cmd.Flags()
	addMember(&c.flags, fs)
	fs.StringVar(&c.revision, "revision", "", "`number or hash` of the revision whose pod template is printed")
	fs.BoolVar(&c.diff, "diff", false, "show how pod templates differ, line by line")
	fs.StringVarP(&c.output, "output", "o", "", "print the revisions as `json or yaml`; docs/cli.md describes the fields")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"json", "yaml"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (c *historyCommand) run(ctx context.Context, args []string) error {
	k, name, err := parse(args)
	switch {
	case err != nil:
		return err
	case c.output != "" && c.output != "json" && c.output != "yaml":
		return fmt.Errorf("--output is %q, and must be json or yaml", c.output)
	case c.output != "" && c.diff:
		return fmt.Errorf("--diff is for people; leave it out with -o %s", c.output)
	}
	m, err := c.connect(&c.flags)
	if err != nil {
		return err
	}
	ctx, done := context.WithTimeout(ctx, patience)
	defer done()
	w, err := read(ctx, m, k, name)
	if err != nil {
		return err
	}
	all, err := revisions(ctx, m, w)
	if err != nil {
		return err
	}
	if c.revision != "" {
		return c.one(w, all)
	}
	on, counted, err := pods(ctx, m, w)
	if err != nil {
		return err
	}
	h, err := c.told(w, all, on)
	if err != nil {
		return err
	}
	if !counted {
		h.Notes = append(h.Notes, "you may not list pods there: how many are on each revision is not known")
	}
	if !w.seen {
		h.Notes = append(h.Notes, fmt.Sprintf("the controller of %s %s has not seen its template as it is now", w.kind.name, w.name))
	}
	if c.output != "" {
		return c.out.Encode(h, c.output)
	}
	look := c.out.Look()
	look.Height = 0
	_, err = io.WriteString(c.out, screen.RenderHistory(h, c.clock.Now(), look))
	return err
}

// one prints the template of a revision, or how it differs from the one of now.
func (c *historyCommand) one(w *workload, all []revision) error {
	r, err := find(all, c.revision)
	if err != nil {
		return err
	}
	if !c.diff {
		format := c.output
		if format == "" {
			format = "yaml"
		}
		return c.out.Encode(r.template, format)
	}
	diff, err := podtemplate.Diff(w.template, r.template, "now", fmt.Sprintf("revision %d (%s)", r.number, r.hash))
	if err != nil {
		return err
	}
	var b strings.Builder
	if diff == "" {
		fmt.Fprintf(&b, "revision %d (%s) is the template as it is now\n", r.number, r.hash)
	} else {
		screen.WriteDiff(&b, diff, c.out.Look())
	}
	_, err = io.WriteString(c.out, b.String())
	return err
}

// told is the history, the newest revision first.
func (c *historyCommand) told(w *workload, all []revision, on map[string]int) (*screen.History, error) {
	h := &screen.History{Format: screen.HistoryFormat, Kind: w.kind.name, Namespace: w.namespace, Name: w.name}
	lock, err := w.lock()
	if err != nil {
		h.Notes = append(h.Notes, err.Error())
	}
	if lock != nil {
		h.Notes = append(h.Notes, fmt.Sprintf("release %s/%s (run %s) holds it since %s UTC", lock.Namespace, lock.Release, lock.Root, lock.Since.UTC().Format(time.DateTime)))
	}
	for i, r := range all {
		x := screen.Revision{Number: r.number, Hash: r.hash, Created: r.object.CreationTimestamp, Images: images(r.template), Current: r.hash == w.current, Update: r.hash == w.update}
		if on != nil {
			n := on[r.hash]
			x.Pods = &n
		}
		if i > 0 {
			before := all[i-1]
			change := w.change(before.template, r.template)
			x.Changes, x.Rebuilds = podtemplate.Words(change), change.Misfits
			if c.diff {
				if x.Diff, err = podtemplate.Diff(before.template, r.template, fmt.Sprintf("revision %d (%s)", before.number, before.hash), fmt.Sprintf("revision %d (%s)", r.number, r.hash)); err != nil {
					return nil, err
				}
			}
		}
		h.Revisions = append(h.Revisions, x)
	}
	slices.Reverse(h.Revisions)
	return h, nil
}

// images of a template, by container.
func images(t *corev1.PodTemplateSpec) map[string]string {
	out := map[string]string{}
	for _, cs := range [][]corev1.Container{t.Spec.InitContainers, t.Spec.Containers} {
		for i := range cs {
			out[cs[i].Name] = cs[i].Image
		}
	}
	return out
}
