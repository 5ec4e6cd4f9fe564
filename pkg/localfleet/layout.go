package localfleet

import (
	"fmt"
	"os"
	"path/filepath"
)

// Layout is the directory of a fleet:
//
//	state.json             what the fleet is: members, nodes, units, ports (see State)
//	lock                   held while one `periplus local` command works on the fleet
//	pki/                   certificate authority, serving certificate, service account keys, tokens.csv
//	etcd/                  etcd's data
//	run/<cluster>-<part>.json   process id and start time of a part (see Process)
//	logs/<cluster>-<part>.log   what a part wrote, all its lives one after the other
//	kubeconfig/<context>.yaml   hub, m1, …, hub-alice, …, and all.yaml with every context
//	kubeconfig/parts/           identities of the parts themselves
//	kwok/stages.yaml       the stages the simulated nodes play
//	nodes/<node>/          configuration, images, containers and volumes of a real node
//	data/                  what parts write for themselves
type Layout struct{ Dir string }

// DefaultDir is where the fleet of a checkout is when nobody says otherwise.
func DefaultDir(checkout string) string { return filepath.Join(checkout, ".periplus", "fleet") }

// BinDir is where the commands for people are put: periplus, kubectl, tkn, and our own programs.
func BinDir(checkout string) string { return filepath.Join(checkout, ".periplus", "bin") }

func (l Layout) state() string          { return filepath.Join(l.Dir, "state.json") }
func (l Layout) pki(name string) string { return filepath.Join(l.Dir, "pki", name) }
func (l Layout) lock() string           { return filepath.Join(l.Dir, "lock") }
func (l Layout) etcd() string           { return filepath.Join(l.Dir, "etcd") }
func (l Layout) stages() string         { return filepath.Join(l.Dir, "kwok", "stages.yaml") }

// node is a file of a real node.
func (l Layout) node(node string, path ...string) string {
	return filepath.Join(append([]string{l.Dir, "nodes", node}, path...)...)
}

// Log is the log file of a part.
func (l Layout) Log(cluster, part string) string {
	return filepath.Join(l.Dir, "logs", cluster+"-"+part+".log")
}

func (l Layout) run(cluster, part string) string {
	return filepath.Join(l.Dir, "run", cluster+"-"+part+".json")
}

// Kubeconfig is the kubeconfig of one context: a cluster for its admin, or <cluster>-<user>; or "all".
func (l Layout) Kubeconfig(context string) string {
	return filepath.Join(l.Dir, "kubeconfig", context+".yaml")
}

func (l Layout) partKubeconfig(cluster, part string) string {
	return filepath.Join(l.Dir, "kubeconfig", "parts", cluster+"-"+part+".yaml")
}

// make makes the directories of the fleet.
func (l Layout) make() error {
	for _, dir := range l.dirs() {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("making the fleet's directory: %w", err)
		}
	}
	return nil
}

func (l Layout) dirs() []string {
	var out []string
	for _, d := range []string{"pki", "etcd", "run", "logs", "kubeconfig/parts", "kwok"} {
		out = append(out, filepath.Join(l.Dir, filepath.FromSlash(d)))
	}
	return out
}
