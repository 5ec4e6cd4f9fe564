package sidecars

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"

	apps "github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/cli/hub"
	"github.com/periplus-dev/periplus/pkg/cli/screen"
	"github.com/periplus-dev/periplus/pkg/cli/terminal"
	"github.com/periplus-dev/periplus/pkg/sidecar"
)

// atOnce is how many pods are asked for in one request.
const atOnce = 500

type missedCommand struct {
	command
	set string
	all bool
}

func newMissed(connect Connect, clk clock.PassiveClock) *cobra.Command {
	c := &missedCommand{command: command{connect: connect, clock: clk}}
	cmd := &cobra.Command{
		Use:   "missed",
		Short: "List pods that were created without the sidecars they should have",
		Long: `List the pods of a member that a SidecarSet means and that were created without its sidecars: because the webhook did not
answer, or left the set out of them, or because they got their labels later. What it says is the same as status.missed of
the sets. It reads the member itself, with your own kubeconfig: name the member by --context.

It ends with exit code 0 when no pod was missed, 1 when some were, 2 when a flag is wrong or the member does not answer, and
130 when interrupted.`,
		Example: `  periplus sidecars missed --context m1 -A
  periplus sidecars missed --context m1 -n shop --set mesh -o name`,
		Args: func(cmd *cobra.Command, args []string) error { return wrong(cobra.NoArgs(cmd, args)) },
		RunE: func(cmd *cobra.Command, _ []string) error {
			c.out = terminal.Of(cmd.OutOrStdout())
			return wrong(c.run(cmd.Context()))
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	c.bind(cmd)
	fs := cmd.Flags()
	fs.StringVarP(&c.flags.Namespace, "namespace", "n", "", "`name` of the pods' namespace; the context's where empty")
	fs.BoolVarP(&c.all, "all-namespaces", "A", false, "pods of all namespaces")
	fs.StringVar(&c.set, "set", "", "`name` of the SidecarSet; all where empty")
	_ = cmd.RegisterFlagCompletionFunc("set", c.completeSets)
	return cmd
}

func (c *missedCommand) completeSets(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	m, err := c.connect(&c.flags)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	all, err := sets(cmd.Context(), m)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	names := make([]string, len(all))
	for i := range all {
		names[i] = all[i].Name
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

func (c *missedCommand) run(ctx context.Context) error {
	if err := c.check(); err != nil {
		return err
	}
	if c.all && c.flags.Namespace != "" {
		return errors.New("-A is all namespaces, and -n is one: leave one of them out")
	}
	m, err := c.connect(&c.flags)
	if err != nil {
		return err
	}
	ctx, done := context.WithTimeout(ctx, patience)
	defer done()
	asked, err := sets(ctx, m)
	if err == nil && c.set != "" {
		asked, err = only(asked, c.set)
	}
	if err != nil {
		return err
	}
	found, err := c.look(ctx, m, asked)
	if err != nil {
		return err
	}
	switch {
	case c.output == "name":
		err = c.names(found)
	case c.output != "":
		err = c.out.Encode(found, c.output)
	default:
		_, err = io.WriteString(c.out, screen.RenderMissed(found, c.clock.Now(), c.out.Look()))
	}
	if err == nil && len(found.Pods) > 0 {
		return ended{code: someMissed}
	}
	return err
}

func (c *missedCommand) names(found *screen.Missed) error {
	var names []string
	for i := range found.Pods {
		names = append(names, found.Pods[i].Namespace+"/"+found.Pods[i].Name+"\n")
	}
	slices.Sort(names)
	_, err := io.WriteString(c.out, strings.Join(slices.Compact(names), ""))
	return err
}

// look for pods that sets missed.
func (c *missedCommand) look(ctx context.Context, m *hub.Hub, asked []apps.SidecarSet) (*screen.Missed, error) {
	in := m.Namespace
	if c.all {
		in = metav1.NamespaceAll
	}
	found := &screen.Missed{Format: screen.MissedFormat, Namespace: in, Pods: []screen.MissedPod{}}
	namespaces, err := labelsOf(ctx, m, in)
	if err != nil {
		return nil, err
	}
	var matchers []sidecar.Matcher
	for i := range asked {
		matcher, _ := sidecar.MatcherOf(&asked[i], systemNamespace) // one that cannot be read means no pod; its condition says so.
		matchers = append(matchers, matcher)
		found.Notes = append(found.Notes, doubts(&asked[i])...)
	}
	var pods []podOf
	err = eachPod(ctx, m, in, func(pod *corev1.Pod) {
		view := sidecar.ViewOf(pod)
		for i := range asked {
			set := &asked[i]
			lack, lacks := view.Lacks(set.Name, &matchers[i], namespaces[pod.Namespace])
			if !lacks || !lack.Missed(set, since(set)) {
				continue
			}
			of := screen.MissedPod{Set: set.Name, Namespace: pod.Namespace, Name: pod.Name, Created: pod.CreationTimestamp, Why: lack.Why}
			if owner := metav1.GetControllerOfNoCopy(pod); owner != nil {
				of.Owner = owner.Kind + "/" + owner.Name
			}
			found.Pods = append(found.Pods, of)
			pods = append(pods, podOf{of, pod.Labels})
		}
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(found.Pods, func(a, b screen.MissedPod) int {
		return strings.Compare(a.Set+"\x00"+a.Namespace+"\x00"+a.Name, b.Set+"\x00"+b.Namespace+"\x00"+b.Name)
	})
	found.Next = next(pods, m.Flags)
	if !c.all {
		found.Elsewhere = elsewhere(asked, found)
	}
	return found, nil
}

// since when pods of a set could be missed. A change that the controller has not seen yet missed nobody so far.
func since(set *apps.SidecarSet) *metav1.Time {
	if set.Status.Matching != sidecar.MatchingOf(set) {
		return nil
	}
	return set.Status.MatchingSince
}

// doubts about what can be said of a set.
func doubts(set *apps.SidecarSet) []string {
	if since(set) == nil && !set.Spec.InjectionStrategy.Paused {
		return []string{fmt.Sprintf("the controller has not seen yet what SidecarSet %s matches now (is it running?): pods that it missed are not known", set.Name)}
	}
	return nil
}

// elsewhere is how many more were missed in other namespaces, as far as the sets' status tells.
func elsewhere(asked []apps.SidecarSet, found *screen.Missed) int {
	n := -len(found.Pods)
	for i := range asked {
		n += int(asked[i].Status.Missed)
	}
	return max(0, n)
}

// labelsOf namespaces, by name.
func labelsOf(ctx context.Context, m *hub.Hub, in string) (map[string]map[string]string, error) {
	out := map[string]map[string]string{}
	if in != metav1.NamespaceAll {
		namespace, err := m.Kube.CoreV1().Namespaces().Get(ctx, in, metav1.GetOptions{})
		if err != nil {
			return nil, m.ExplainAtMember(hub.Request{Verb: "get", Resource: "namespaces", Name: in, Everywhere: true}, err)
		}
		out[in] = namespace.Labels
		return out, nil
	}
	list, err := m.Kube.CoreV1().Namespaces().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, m.ExplainAtMember(hub.Request{Verb: "list", Resource: "namespaces", Everywhere: true}, err)
	}
	for i := range list.Items {
		out[list.Items[i].Name] = list.Items[i].Labels
	}
	return out, nil
}

// eachPod of a namespace, or of all, in pages: a member may have many.
func eachPod(ctx context.Context, m *hub.Hub, in string, do func(*corev1.Pod)) error {
	for more := ""; ; {
		list, err := m.Kube.CoreV1().Pods(in).List(ctx, metav1.ListOptions{Limit: atOnce, Continue: more})
		if err != nil {
			return m.ExplainAtMember(hub.Request{Verb: "list", Resource: "pods", Everywhere: in == metav1.NamespaceAll}, err)
		}
		for i := range list.Items {
			do(&list.Items[i])
		}
		if more = list.Continue; more == "" {
			return nil
		}
	}
}
