package localfleet

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

// realNode is a kubelet with a containerd of its own.
type realNode struct {
	cluster, unit string
	// index of the unit in its member: its pods have the addresses <network>.<index+1>.1 to .254.
	index int
}

func (n realNode) name() string { return n.cluster + "-" + n.unit + "-0" }

// user is who the node is for its API server.
func (n realNode) user() user { return user{"system:node:" + n.name(), []string{"system:nodes"}} }

func partContainerd(unit string) string { return "containerd-" + unit }
func partKubelet(unit string) string    { return "kubelet-" + unit }

// realNodes are the real nodes of a cluster; none where nodes are simulated, on the hub and in lean members.
func realNodes(s *State, cluster string) []realNode {
	if !s.RealNodes || cluster == Hub || s.IsLean(cluster) {
		return nil
	}
	var out []realNode
	for i, unit := range s.Units {
		out = append(out, realNode{cluster: cluster, unit: unit, index: i})
	}
	return out
}

func (s *State) nodesKind() string {
	if s.RealNodes {
		return Real
	}
	return Simulated
}

// mark is in the names of all that a fleet makes outside of its directory: control groups and bridges. It follows from the directory alone, so that
// a fleet whose state is lost can be removed.
func (l Layout) mark() string {
	sum := sha256.Sum256([]byte(l.Dir))
	return hex.EncodeToString(sum[:3])
}

// bridge is the name of the bridge that the nodes of a member share. The kernel takes 15 characters.
func (l Layout) bridge(cluster string) string { return l.bridges() + cluster }

func (l Layout) bridges() string { return "pp" + l.mark() }

// cgroup is the control group below which everything of the fleet's real nodes runs but the kubelets.
func (l Layout) cgroup() string { return "periplus-" + l.mark() }

func (l Layout) containerdSocket(node string) string { return l.node(node, "containerd.sock") }

// longestSocket is the longest path of a unix socket below a node's directory: kubelet and containerd do not say it well when the kernel refuses one.
var longestSocket = filepath.Join("kubelet", "device-plugins", "kubelet.sock")

const socketPathLimit = 107

func checkSocketPaths(l Layout, s *State) error {
	for _, c := range s.Clusters() {
		for _, n := range realNodes(s, c) {
			if over := len(l.node(n.name(), longestSocket)) - socketPathLimit; over > 0 {
				return fmt.Errorf("the directory %s is %d characters too long for the sockets of real nodes; choose a shorter one by --dir", l.Dir, over)
			}
		}
	}
	return nil
}

// fullPath is where the programs that containerd and kubelet start are looked for.
const fullPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

func containerdPart(l Layout, n realNode) part {
	return part{
		cluster: n.cluster, name: partContainerd(n.unit), binary: "containerd",
		args:  []string{"--config=" + l.node(n.name(), "containerd.toml")},
		env:   []string{"PATH=" + fullPath},
		files: []string{l.node(n.name(), "containerd.toml")},
		ready: func(ctx context.Context) error {
			conn, err := (&net.Dialer{}).DialContext(ctx, "unix", l.containerdSocket(n.name()))
			if err != nil {
				return err
			}
			return conn.Close()
		},
	}
}

func kubeletPart(l Layout, s *State, n realNode) part {
	name := partKubelet(n.unit)
	port, health := s.Port(n.cluster, name, "https"), s.Port(n.cluster, name, "health")
	return part{
		cluster: n.cluster, name: name, binary: "kubelet", port: port, ports: []int{health},
		args: []string{
			"--config=" + l.node(n.name(), "kubelet.yaml"), "--kubeconfig=" + l.partKubeconfig(n.cluster, name),
			"--hostname-override=" + n.name(), "--node-ip=" + gateway(s.PodNetworks[n.cluster]),
			"--root-dir=" + l.node(n.name(), "kubelet"), "--cert-dir=" + l.node(n.name(), "kubelet", "pki"),
			"--node-labels=topology.kubernetes.io/region=local,topology.kubernetes.io/zone=" + n.unit,
		},
		env:   []string{"PATH=" + fullPath},
		files: []string{l.node(n.name(), "kubelet.yaml"), l.partKubeconfig(n.cluster, name)},
		ready: httpOK(loopbackURL("http", health) + "/healthz"),
	}
}

// prepareRealNodes writes what the real nodes read, and makes their bridges and control groups, which a machine that was started again has lost.
func prepareRealNodes(ctx context.Context, l Layout, s *State, cred credentials) error {
	if err := keepKernelSettings(l); err != nil {
		return err
	}
	if err := buildPause(ctx, l, s.Source); err != nil {
		return err
	}
	if err := ensureKubeletClient(l); err != nil {
		return err
	}
	for _, c := range s.Clusters() {
		nodes := realNodes(s, c)
		if len(nodes) == 0 {
			continue
		}
		if err := ensureBridge(ctx, l.bridge(c), s.PodNetworks[c]); err != nil {
			return err
		}
		for _, n := range nodes {
			if err := makeCgroup(l.cgroup(), n.name(), "runtime"); err != nil {
				return err
			}
			if err := writeRealNode(l, s, n); err != nil {
				return err
			}
			own := access{context: n.name(), cluster: c, server: s.server(c), ca: cred.ca, token: cred.tokens[n.user().Name]}
			if err := writeKubeconfig(l.partKubeconfig(c, partKubelet(n.unit)), own); err != nil {
				return err
			}
		}
	}
	return nil
}

// startRealNodes starts the nodes of a member whose API server answers: a kubelet that was started before stays NotReady.
func (u *upRun) startRealNodes(ctx context.Context, cluster string) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, n := range realNodes(u.state, cluster) {
		group.Go(func() error {
			if err := u.ensureAll(ctx, []part{containerdPart(u.layout, n)}); err != nil {
				return err
			}
			pause := Image{Names: []string{pauseImage}, Program: pauseProgram(u.layout)}
			if err := addImages(ctx, u.layout, n, pause); err != nil {
				return err
			}
			return u.ensureAll(ctx, []part{kubeletPart(u.layout, u.state, n)})
		})
	}
	return group.Wait()
}

func pauseProgram(l Layout) string { return filepath.Join(l.Dir, "nodes", "pause") }

// buildPause builds the program of the containers that hold the pods' namespaces.
func buildPause(ctx context.Context, l Layout, source string) error {
	if err := os.MkdirAll(filepath.Join(l.Dir, "nodes"), 0o700); err != nil {
		return fmt.Errorf("making the directory of the nodes: %w", err)
	}
	return BuildProgram(ctx, source, "./test/local/pause", pauseProgram(l))
}

// BuildProgram builds a package of a checkout into a file that needs nothing of the machine it runs on, as a program of an Image must be. Settings are
// variables for the linker: <package>.<variable>=<value>.
func BuildProgram(ctx context.Context, checkout, pkg, file string, settings ...string) error {
	tool, err := findGo()
	if err != nil {
		return err
	}
	tool.env = []string{"CGO_ENABLED=0"}
	flags := "-s -w"
	for _, s := range settings {
		flags += " -X " + s
	}
	if _, err := tool.run(ctx, checkout, "build", "-trimpath", "-ldflags", flags, "-o", file, pkg); err != nil {
		return fmt.Errorf("building %s: %w", pkg, err)
	}
	return nil
}

// RealNodes are the names of the fleet's real nodes; none where nodes are simulated.
func (r *Running) RealNodes() ([]string, error) {
	s, err := r.State()
	if err != nil {
		return nil, err
	}
	var out []string
	for _, c := range s.Clusters() {
		for _, n := range realNodes(s, c) {
			out = append(out, n.name())
		}
	}
	slices.Sort(out)
	return out, nil
}

// AddImages makes images known to every real node of the fleet: those nodes have no registry and pull nothing.
func (r *Running) AddImages(ctx context.Context, images ...Image) error {
	s, err := r.State()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for _, c := range s.Clusters() {
		for _, n := range realNodes(s, c) {
			if err := addImages(ctx, r.Layout, n, images...); err != nil {
				return err
			}
		}
	}
	return nil
}
