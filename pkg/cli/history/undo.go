package history

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/periplus-dev/periplus/pkg/cli/act"
	"github.com/periplus-dev/periplus/pkg/cli/hub"
	"github.com/periplus-dev/periplus/pkg/cli/screen"
	"github.com/periplus-dev/periplus/pkg/podtemplate"
	"github.com/periplus-dev/periplus/pkg/sidecar"
)

// fieldManager is the name that the template is written under.
const fieldManager = "periplus-undo"

type undoCommand struct {
	flags      hub.Flags
	toRevision string
	diff       bool
	yes        bool
	dryRun     bool

	connect Connect
	program string
}

func newUndo(connect Connect) *cobra.Command {
	c := &undoCommand{connect: connect}
	cmd := &cobra.Command{
		Use:   "undo KIND/NAME",
		Short: "Give a workload in a member the pod template of an earlier revision",
		Long: `Write the pod template of an earlier revision back into a CafeDeployment, an InPlaceSet or a SidecarSet, by your own kubeconfig: name the
member by --context. Without --to-revision it is the revision before the present one.

Before it acts it shows what will happen, and asks; --yes does it without asking, --dry-run only shows it. A workload that
a release moves is not touched: that is taken back by rollback, on the hub. Where the workload is at rest the template is
held back, as any change is, until a release carries it.

It ends with exit code 0 once the template is written, or is there already, and with 1 where it is refused, where you do
not say yes, or where there is nobody to ask.`,
		Example: `  periplus undo cafedeployment/productpage --context m1 -n shop
  periplus undo ips/web-dca --to-revision 3 --dry-run --diff`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			c.program = cmd.Root().CommandPath()
			return c.run(cmd.Context(), act.At(cmd.InOrStdin(), cmd.OutOrStdout()), args)
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	fs := cmd.Flags()
	addMember(&c.flags, fs)
	fs.StringVar(&c.toRevision, "to-revision", "", "`number or hash` of the revision to go to; the one before the present one where empty")
	fs.BoolVar(&c.diff, "diff", false, "show how the pod template changes, line by line")
	fs.BoolVarP(&c.yes, "yes", "y", false, "do it without asking, as scripts need it")
	fs.BoolVar(&c.dryRun, "dry-run", false, "show what would happen, have the member try it, and do nothing")
	return cmd
}

func (c *undoCommand) run(ctx context.Context, s act.Stage, args []string) error {
	k, name, err := parse(args)
	if err != nil {
		return err
	}
	m, err := c.connect(&c.flags)
	if err != nil {
		return err
	}
	looking, done := context.WithTimeout(ctx, patience)
	defer done()
	w, err := read(looking, m, k, name)
	if err != nil {
		return err
	}
	if err := c.free(w); err != nil {
		return err
	}
	all, err := revisions(looking, m, w)
	if err != nil {
		return err
	}
	to, err := c.target(w, all)
	if err != nil {
		return err
	}
	if equality.Semantic.DeepEqual(w.template, to.template) {
		_, err := fmt.Fprintf(s.Out, "%s %s has the template of revision %d (%s) already: nothing was done\n", k.name, name, to.number, to.hash)
		return err
	}
	on, _, err := pods(looking, m, w)
	if err != nil {
		return err
	}
	plan := screen.Plan{Title: fmt.Sprintf("undo %s %s to revision %d (%s)", k.name, name, to.number, to.hash), Facts: []string{w.where(m.Server)}}
	foretell(&plan, w, all, to, on)
	if c.diff {
		if err := c.showDiff(s, w, to); err != nil {
			return err
		}
	}
	if c.dryRun {
		if err := write(looking, m, w, to, metav1.DryRunAll); err != nil {
			return err
		}
	}
	flags := act.Flags{Yes: c.yes, DryRun: c.dryRun}
	agreed, err := flags.Agreed(ctx, s, plan, "Undo?")
	if err != nil || !agreed {
		return err
	}
	acting, done := context.WithTimeout(ctx, patience)
	defer done()
	if err := write(acting, m, w, to); err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.Out, "%s %s has the template of revision %d (%s)\n", k.name, name, to.number, to.hash)
	return err
}

// free refuses what somebody else keeps.
func (c *undoCommand) free(w *workload) error {
	lock, err := w.lock()
	switch {
	case err != nil:
		return err
	case lock != nil:
		return fmt.Errorf("release %s/%s (run %s) moves %s %s since %s UTC: take it back on the hub instead: %s rollback %s -n %s --message \"…\"",
			lock.Namespace, lock.Release, lock.Root, w.kind.name, w.name, lock.Since.UTC().Format(time.DateTime), c.program, lock.Root, lock.Namespace)
	case w.owner != "":
		kind, name, _ := strings.Cut(w.owner, " ")
		return fmt.Errorf("%s %s is kept by %s, which would write its own template over it: %s undo %s/%s", w.kind.name, w.name, w.owner, c.program, strings.ToLower(kind), name)
	}
	return nil
}

// target is the revision to go to.
func (c *undoCommand) target(w *workload, all []revision) (*revision, error) {
	if c.toRevision != "" {
		return find(all, c.toRevision)
	}
	for i := len(all) - 1; i >= 0; i-- {
		if !equality.Semantic.DeepEqual(all[i].template, w.template) {
			return &all[i], nil
		}
	}
	return nil, errors.New("there is no revision before the present one in the history")
}

func (c *undoCommand) showDiff(s act.Stage, w *workload, to *revision) error {
	diff, err := podtemplate.Diff(w.template, to.template, "now", fmt.Sprintf("revision %d (%s)", to.number, to.hash))
	if err != nil {
		return err
	}
	var b strings.Builder
	screen.WriteDiff(&b, diff, s.Out.Look())
	_, err = s.Out.Write([]byte(b.String()))
	return err
}

// write gives the workload the template, if it is still as it was read: a release that took it meanwhile is not written over.
func write(ctx context.Context, m *hub.Hub, w *workload, to *revision, dryRun ...string) error {
	opts := metav1.PatchOptions{FieldManager: fieldManager, DryRun: dryRun}
	if w.sidecars != nil {
		return writeSidecars(ctx, m, w, to, opts)
	}
	patch, err := json.Marshal([]map[string]any{
		{"op": "test", "path": "/metadata/uid", "value": w.uid},
		{"op": "replace", "path": "/metadata/resourceVersion", "value": w.resourceVersion},
		{"op": "replace", "path": "/spec/template", "value": to.template},
	})
	if err != nil {
		return fmt.Errorf("encoding the template: %w", err)
	}
	if w.set != nil {
		_, err = m.Periplus.AppsV1alpha1().InPlaceSets(w.namespace).Patch(ctx, w.name, types.JSONPatchType, patch, opts)
	} else {
		_, err = m.Periplus.AppsV1alpha1().CafeDeployments(w.namespace).Patch(ctx, w.name, types.JSONPatchType, patch, opts)
	}
	if err != nil {
		return explain(m, "patch", w.resource+".apps.periplus.dev", w.name, err)
	}
	return nil
}

// writeSidecars gives a SidecarSet what a revision held.
func writeSidecars(ctx context.Context, m *hub.Hub, w *workload, to *revision, opts metav1.PatchOptions) error {
	content, err := sidecar.FromTemplate(to.template)
	if err != nil {
		return fmt.Errorf("revision %d: %w", to.number, err)
	}
	set := w.sidecars.DeepCopy() // with the resource version that it was read at.
	set.Spec.InitContainers, set.Spec.Containers, set.Spec.Volumes, set.Spec.ImagePullSecrets = content.InitContainers, content.Containers, content.Volumes, content.ImagePullSecrets
	_, err = m.Periplus.AppsV1alpha1().SidecarSets().Update(ctx, set, metav1.UpdateOptions{FieldManager: opts.FieldManager, DryRun: opts.DryRun})
	if err != nil {
		return explain(m, "update", w.resource+".apps.periplus.dev", w.name, err)
	}
	return nil
}
