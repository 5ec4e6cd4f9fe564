package localfleet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// Running is a fleet that Up made, as tests and the CLI use it. Every call looks at the files and processes anew, so a
// Running stays true when another command repairs the fleet.
type Running struct{ Layout }

// ErrNoFleet is wrapped by Load where there is no fleet.
var ErrNoFleet = errors.New("there is no local fleet")

// Load opens the fleet in dir.
func Load(dir string) (*Running, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("making the fleet directory absolute: %w", err)
	}
	l := Layout{dir}
	if _, err := os.Stat(l.state()); err != nil {
		return nil, fmt.Errorf("%w in %s; run `periplus local up`", ErrNoFleet, dir)
	}
	return &Running{l}, nil
}

// State is what the fleet is now.
func (r *Running) State() (*State, error) { return readState(r.Layout) }

// Members are the names of the members: m1, m2, …
func (r *Running) Members() ([]string, error) {
	s, err := r.State()
	if err != nil {
		return nil, err
	}
	return s.MemberNames(), nil
}

// KubeconfigOf is the path of the kubeconfig of a user of a cluster; the admin's where user is empty.
func (r *Running) KubeconfigOf(cluster, user string) string {
	return r.Kubeconfig(contextName(cluster, user))
}

// RESTConfig is a client configuration for a user of a cluster; the admin's where user is empty.
func (r *Running) RESTConfig(cluster, user string) (*rest.Config, error) {
	config, err := clientcmd.BuildConfigFromFlags("", r.KubeconfigOf(cluster, user))
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig of %s in %s: %w", orAdmin(user), cluster, err)
	}
	return config, nil
}

func orAdmin(user string) string {
	if user == "" {
		return Admin
	}
	return user
}

// Process is the process of a part. ok is false where the part was never started or was stopped.
func (r *Running) Process(cluster, partName string) (p Process, ok bool, err error) {
	return readProcess(r.run(cluster, partName))
}

// Kill sends a signal to a part and, for SIGKILL, waits until it is gone. A part that does not run is no error.
func (r *Running) Kill(ctx context.Context, cluster, partName string, sig syscall.Signal) error {
	p, ok, err := r.Process(cluster, partName)
	if err != nil || !ok {
		return err
	}
	if err := p.Signal(sig); err != nil {
		return err
	}
	if sig == syscall.SIGKILL && !p.waitGone(ctx, stopLimit) {
		return fmt.Errorf("%s/%s: process %d still runs after SIGKILL", cluster, partName, p.PID)
	}
	return nil
}

// Stop ends a part: SIGTERM, and SIGKILL after its grace.
func (r *Running) Stop(ctx context.Context, cluster, partName string) error {
	return r.withPart(ctx, cluster, partName, func(_ *State, p part) error { return stopPart(ctx, r.Layout, p) })
}

// Start starts a part that does not run and waits until it is ready. It builds nothing and applies nothing.
func (r *Running) Start(ctx context.Context, cluster, partName string) error {
	return r.withPart(ctx, cluster, partName, func(s *State, p part) error {
		_, err := ensurePart(ctx, r.Layout, s, p)
		return err
	})
}

// withPart does something to a part while no other command changes the fleet.
func (r *Running) withPart(ctx context.Context, cluster, partName string, do func(*State, part) error) error {
	return r.withState(ctx, func(s *State) error {
		p, err := findPart(r.Layout, s, cluster, partName)
		if err != nil {
			return err
		}
		return do(s, p)
	})
}

// Restart stops a part and starts it again.
func (r *Running) Restart(ctx context.Context, cluster, partName string) error {
	if err := r.Stop(ctx, cluster, partName); err != nil {
		return err
	}
	return r.Start(ctx, cluster, partName)
}

func stopPart(ctx context.Context, l Layout, p part) error {
	proc, ok, err := readProcess(l.run(p.cluster, p.name))
	if err != nil || !ok {
		return err
	}
	if err := proc.end(ctx, p.stopGrace()); err != nil {
		return fmt.Errorf("stopping %s: %w", p, err)
	}
	if err := os.Remove(l.run(p.cluster, p.name)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("stopping %s: %w", p, err)
	}
	return nil
}

// findPart finds a part by cluster and name. Without a cluster, the name must be that of one part only.
func findPart(l Layout, s *State, cluster, name string) (part, error) {
	var found []part
	var all []string
	for _, p := range allParts(l, s) {
		all = append(all, p.String())
		if p.name == name && (cluster == "" || p.cluster == cluster) {
			found = append(found, p)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return part{}, fmt.Errorf("there is no part %q%s; the parts of this fleet are %v", name, inCluster(cluster), all)
	default:
		return part{}, fmt.Errorf("%d clusters have a part %q; say which with --cluster", len(found), name)
	}
}

func inCluster(cluster string) string {
	if cluster == "" {
		return ""
	}
	return " in cluster " + cluster
}
