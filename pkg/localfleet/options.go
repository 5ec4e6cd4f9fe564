package localfleet

import (
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"slices"
)

const (
	// DefaultMembers and DefaultNodes are what `periplus local up` makes when not told otherwise.
	DefaultMembers = 2
	DefaultNodes   = 3
	maxMembers     = 16
)

// The kinds of nodes there are: played by kwok, or a kubelet and a containerd each.
const (
	Simulated = "simulated"
	Real      = "real"
)

// DefaultUnits are the data centres of every member when not told otherwise.
var DefaultUnits = []string{"dca", "dcb"}

// Options say what fleet Up makes. A zero field keeps what a fleet that exists has, or takes the default.
type Options struct {
	// Dir is where the fleet keeps everything it writes. Default: <checkout>/.periplus/fleet.
	Dir string
	// Source is the checkout whose modules, stages, manifests and binaries are used. Default: found upward from the
	// working directory.
	Source string
	// Members is how many member clusters there are, 1 to 16. A fleet can grow but not shrink.
	Members int
	// Lean is how many of the members, the last ones, have no scheduler and no nodes: enough for what moves no pods, at half the memory. -1 makes all whole.
	Lean int
	// Nodes is how many nodes every unit of every member has. A unit of real nodes has one.
	Nodes int
	// NodesKind is Simulated (the default) or Real. It is chosen when the fleet is made.
	NodesKind string
	// Units names the units of every member; nodes carry the name as topology.kubernetes.io/zone.
	Units []string
	// Triggers adds Tekton Triggers to the hub. A fleet that has it keeps it.
	Triggers bool
	// Prometheus adds one that scrapes what is played for pods of the members. A fleet that has it keeps it.
	Prometheus bool
	// SkipInstall leaves Periplus itself out: the clusters, Tekton and nodes only.
	SkipInstall bool
	// Out gets the progress, one line an event. Default: nothing is printed.
	Out io.Writer
}

var unitName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,18}[a-z0-9])?$`)

// resolve finds the checkout and the directory.
func (o Options) resolve() (Options, error) {
	if o.Out == nil {
		o.Out = io.Discard
	}
	var err error
	if o.Source == "" {
		o.Source, err = FindCheckout(".")
	} else {
		o.Source, err = checkCheckout(o.Source)
	}
	if err != nil {
		return o, err
	}
	if o.Dir == "" {
		o.Dir = DefaultDir(o.Source)
	}
	if o.Dir, err = filepath.Abs(o.Dir); err != nil {
		return o, fmt.Errorf("making the fleet directory absolute: %w", err)
	}
	return o, nil
}

// merge says what the fleet shall be, from what it is and what is asked. It refuses to shrink a fleet: ending a member
// that carries somebody's test is what Down is for.
func (s *State) merge(o Options) error {
	fresh, whole := s.Members == 0, s.Members-s.Lean
	if fresh {
		s.Members, s.Nodes, s.Units = DefaultMembers, DefaultNodes, slices.Clone(DefaultUnits)
	}
	if err := s.mergeKind(o, fresh); err != nil {
		return err
	}
	if o.Members != 0 {
		if o.Members < 1 || o.Members > maxMembers {
			return fmt.Errorf("--members %d: a fleet has 1 to %d members", o.Members, maxMembers)
		}
		if !fresh && o.Members < s.Members {
			return fmt.Errorf("--members %d: this fleet has %d; run `periplus local down` first to make a smaller one", o.Members, s.Members)
		}
		s.Members = o.Members
	}
	if o.Lean != 0 {
		lean := max(0, o.Lean)
		if lean > s.Members {
			return fmt.Errorf("--lean %d: this fleet has %d members", lean, s.Members)
		}
		s.Lean = lean
	}
	if !fresh && s.Members-s.Lean < whole {
		return fmt.Errorf("--lean %d: %d members of this fleet have nodes; run `periplus local down` first to make one with fewer", s.Lean, whole)
	}
	if o.Nodes != 0 {
		if o.Nodes < 1 || o.Nodes > 100 {
			return fmt.Errorf("--nodes %d: a unit has 1 to 100 nodes", o.Nodes)
		}
		if !fresh && o.Nodes < s.Nodes {
			return fmt.Errorf("--nodes %d: units of this fleet have %d; run `periplus local down` first to make a smaller one", o.Nodes, s.Nodes)
		}
		s.Nodes = o.Nodes
	}
	if len(o.Units) != 0 {
		for _, u := range o.Units {
			if !unitName.MatchString(u) {
				return fmt.Errorf("--units: %q is not a unit name: lower case letters, digits and dashes, at most 20", u)
			}
		}
		if !fresh {
			for _, u := range s.Units {
				if !slices.Contains(o.Units, u) {
					return fmt.Errorf("--units: this fleet has the unit %s; run `periplus local down` first to make one without it", u)
				}
			}
		}
		s.Units = slices.Compact(slices.Clone(o.Units))
	}
	s.Source = o.Source
	// A fleet that has Periplus keeps it: an `up` that skips the install only does not touch it.
	s.Install = s.Install || !o.SkipInstall
	s.Triggers = s.Triggers || o.Triggers
	s.Prometheus = s.Prometheus || o.Prometheus
	return nil
}

// mergeKind says what the nodes are. Pods do not move from one kind of node to the other, so a fleet keeps its kind.
func (s *State) mergeKind(o Options, fresh bool) error {
	switch {
	case o.NodesKind == "":
	case o.NodesKind != Simulated && o.NodesKind != Real:
		return fmt.Errorf("--nodes-kind %s: nodes are %s or %s", o.NodesKind, Simulated, Real)
	case !fresh && (o.NodesKind == Real) != s.RealNodes:
		return fmt.Errorf("--nodes-kind %s: nodes of this fleet are of the other kind; run `periplus local down` first", o.NodesKind)
	default:
		s.RealNodes = o.NodesKind == Real
	}
	if !s.RealNodes {
		return nil
	}
	if o.Nodes > 1 {
		return fmt.Errorf("--nodes %d: a unit has one real node: leave --nodes out, or name more --units", o.Nodes)
	}
	s.Nodes = 1
	return nil
}
