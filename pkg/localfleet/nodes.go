package localfleet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	applycorev1 "k8s.io/client-go/applyconfigurations/core/v1"

	"golang.org/x/sync/errgroup"
)

const (
	// LabelLean on a Member of the hub is "true" where that has no nodes, else "false".
	LabelLean = "local.periplus.dev/lean"
	// LabelSimulated is on every simulated node: kwok plays those nodes and no others.
	LabelSimulated = "local.periplus.dev/simulated"
	// LabelNodeFailure, with any value, on a simulated node makes it fail as a machine does whose power is cut: nothing
	// of it is reported any more, until the label is taken away.
	LabelNodeFailure = "local.periplus.dev/node-failure"
)

// nodeNames are the simulated nodes of a member: <member>-<unit>-<number>.
func nodeNames(s *State, member string) map[string][]string {
	out := map[string][]string{}
	for _, unit := range s.Units {
		for i := range s.Nodes {
			out[unit] = append(out[unit], fmt.Sprintf("%s-%s-%d", member, unit, i))
		}
	}
	return out
}

// writeStages puts the stages of the checkout into one file for kwok, with its own settings before them.
func writeStages(l Layout, source string) error {
	files, err := filepath.Glob(filepath.Join(source, "test", "local", "stages", "*.yaml"))
	if err != nil || len(files) == 0 {
		return errors.Join(fmt.Errorf("reading the stages of simulated nodes: none in test/local/stages of %s", source), err)
	}
	slices.Sort(files)
	out := []byte(kwokSettings)
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("reading the stages of simulated nodes: %w", err)
		}
		out = append(append(out, "---\n"...), data...)
	}
	return writeFile(l.stages(), out, 0o600)
}

// kwokSettings: no leases, because a kwok that is started again would wait for those of its former life to run out;
// heartbeats are a stage instead. Enough workers that a few hundred pods change at once.
const kwokSettings = `apiVersion: config.kwok.x-k8s.io/v1alpha1
kind: KwokConfiguration
options:
  nodeLeaseDurationSeconds: 0
  podPlayStageParallelism: 32
  nodePlayStageParallelism: 8
  podsOnNodeSyncParallelism: 4
  enableDebuggingHandlers: false
`

// ensureNodes makes the simulated nodes of a member and waits until they are ready.
func (c *clusterClient) ensureNodes(ctx context.Context, s *State) error {
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for unit, names := range nodeNames(s, c.name) {
		for _, name := range names {
			group.Go(func() error {
				node := applycorev1.Node(name).WithLabels(map[string]string{
					LabelSimulated:                 "true",
					corev1.LabelHostname:           name,
					corev1.LabelOSStable:           "linux",
					corev1.LabelArchStable:         "amd64",
					corev1.LabelTopologyZone:       unit,
					corev1.LabelTopologyRegion:     "local",
					corev1.LabelInstanceTypeStable: "simulated",
				})
				if _, err := c.typed.CoreV1().Nodes().Apply(groupCtx, node, metav1.ApplyOptions{FieldManager: fieldManager, Force: true}); err != nil {
					return fmt.Errorf("making node %s: %w", name, err)
				}
				return nil
			})
		}
	}
	return group.Wait()
}

func (c *clusterClient) awaitNodes(ctx context.Context, s *State) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	selector := LabelSimulated + "=true,!" + LabelNodeFailure
	if s.RealNodes {
		selector = ""
	}
	var waiting []string
	err := poll(ctx, 100*time.Millisecond, func() bool {
		nodes, err := c.typed.CoreV1().Nodes().List(ctx, metav1.ListOptions{LabelSelector: selector})
		if err != nil {
			return false
		}
		waiting = nil
		for _, n := range nodes.Items {
			if !nodeReady(&n) {
				waiting = append(waiting, n.Name)
			}
		}
		return len(waiting) == 0 && (!s.RealNodes || len(nodes.Items) >= len(realNodes(s, c.name)))
	})
	if err != nil {
		return fmt.Errorf("waiting for the %s nodes of %s to be Ready, which %v are not: %w", s.nodesKind(), c.name, waiting, err)
	}
	return nil
}

func nodeReady(n *corev1.Node) bool {
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}
