package localfleet

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// Names of clusters and parts. A part's pid file and log are called <cluster>-<part>; etcd serves all clusters and
// belongs to the cluster "fleet".
const (
	Hub   = "hub"
	Fleet = "fleet"

	PartEtcd              = "etcd"
	PartAPIServer         = "apiserver"
	PartControllerManager = "controller-manager"
	PartScheduler         = "scheduler"
	PartKwok              = "kwok"
	PartTektonController  = "tekton-controller"
	PartTektonWebhook     = "tekton-webhook"
	PartController        = "controller"
	PartWorkloads         = "workloads"
	PartWebhook           = "webhook"
)

// State is what a fleet is, kept in state.json: enough to tell every part's arguments, so that a part can be
// restarted years later exactly as it was started.
type State struct {
	Source  string `json:"source"`
	Members int    `json:"members"`
	// Lean of them, the last ones, have no scheduler and no nodes.
	Lean    int      `json:"lean,omitempty"`
	Nodes   int      `json:"nodesPerUnit"`
	Units   []string `json:"units"`
	Install bool     `json:"install"`
	// RealNodes is true where every node is a kubelet and a containerd.
	RealNodes bool `json:"realNodes,omitempty"`
	// PodNetworks by member, where nodes are real: the /16 that was free when the member was made.
	PodNetworks map[string]string `json:"podNetworks,omitempty"`
	// Ports by "<cluster>/<part>/<purpose>".
	Ports map[string]int `json:"ports"`
	// Binaries by name: the file that is run.
	Binaries map[string]string `json:"binaries"`
	// Installed is true for clusters on which Tekton (hub) was applied once: from then on its webhook must run
	// before its ConfigMaps can be applied again.
	TektonInstalled bool `json:"tektonInstalled,omitempty"`
	// Triggers is true where Tekton Triggers is on the hub.
	Triggers bool `json:"triggers,omitempty"`
	// Prometheus is true where there is one, and pods get requests.
	Prometheus bool `json:"prometheus,omitempty"`
	// Listeners are the EventListeners that are played, in the order in which they were asked for.
	Listeners []Listener `json:"listeners,omitempty"`
}

// MemberNames are m1, m2, …
func (s *State) MemberNames() []string {
	out := make([]string, s.Members)
	for i := range out {
		out[i] = fmt.Sprintf("m%d", i+1)
	}
	return out
}

// IsLean says whether a cluster is a member without a scheduler and without nodes.
func (s *State) IsLean(cluster string) bool {
	return slices.Contains(s.MemberNames()[s.Members-s.Lean:], cluster)
}

// Clusters are the hub and the members.
func (s *State) Clusters() []string { return append([]string{Hub}, s.MemberNames()...) }

// Port returns the port of a part for a purpose, 0 where it has none.
func (s *State) Port(cluster, part, purpose string) int {
	return s.Ports[portKey(cluster, part, purpose)]
}

func portKey(cluster, part, purpose string) string { return cluster + "/" + part + "/" + purpose }

// readState returns an empty State where the fleet does not exist.
func readState(l Layout) (*State, error) {
	s := &State{Ports: map[string]int{}, Binaries: map[string]string{}, PodNetworks: map[string]string{}}
	data, err := os.ReadFile(l.state())
	if errors.Is(err, os.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the fleet's state: %w", err)
	}
	if err := json.Unmarshal(data, s); err != nil {
		return nil, fmt.Errorf("reading the fleet's state %s: %w; run `periplus local down` to start afresh", l.state(), err)
	}
	if s.Ports == nil {
		s.Ports = map[string]int{}
	}
	if s.Binaries == nil {
		s.Binaries = map[string]string{}
	}
	if s.PodNetworks == nil {
		s.PodNetworks = map[string]string{}
	}
	return s, nil
}

func writeState(l Layout, s *State) error {
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("writing the fleet's state: %w", err)
	}
	return writeFile(l.state(), append(data, '\n'), 0o600)
}

// writeFile replaces a file in one step, so that a reader or a crash never sees half of it.
func writeFile(path string, data []byte, mode os.FileMode) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(data)
	err = errors.Join(err, tmp.Chmod(mode), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}
