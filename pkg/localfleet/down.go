package localfleet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// stopLimit bounds the wait for a process after SIGKILL.
const stopLimit = 5 * time.Second

// Down ends every process of the fleet in dir and removes dir. It goes by the pid files and not by the state, so that
// a fleet whose state is broken, or that was brought up halfway, goes too.
func Down(ctx context.Context, opts Options) error {
	opts, err := opts.resolve()
	if err != nil {
		return err
	}
	l := Layout{opts.Dir}
	if err := looksLikeFleet(opts.Dir); err != nil {
		return err
	}
	if _, err := os.Stat(opts.Dir); errors.Is(err, os.ErrNotExist) {
		fmt.Fprintf(opts.Out, "there is no fleet in %s\n", opts.Dir)
		return nil
	}
	// A command that works on the fleet is waited for; then the lock goes with the directory.
	unlock, err := lock(ctx, l.lock())
	if err != nil {
		return err
	}
	defer unlock()

	files, err := filepath.Glob(filepath.Join(l.Dir, "run", "*.json"))
	if err != nil {
		return fmt.Errorf("looking for the parts of the fleet: %w", err)
	}
	// API servers flush to etcd while they stop: etcd goes last.
	var clients, etcds []string
	for _, f := range files {
		if strings.HasPrefix(filepath.Base(f), Fleet+"-") {
			etcds = append(etcds, f)
		} else {
			clients = append(clients, f)
		}
	}
	ended := 0
	for _, batch := range [][]string{clients, etcds} {
		group, ctx := errgroup.WithContext(ctx)
		for _, file := range batch {
			p, _, err := readProcess(file)
			if err != nil {
				return err
			}
			if p.Alive() {
				ended++
			}
			group.Go(func() error {
				if err := p.end(ctx, downGrace); err != nil {
					return fmt.Errorf("ending %s: %w", strings.TrimSuffix(filepath.Base(file), ".json"), err)
				}
				return nil
			})
		}
		if err := group.Wait(); err != nil {
			return err
		}
	}
	if err := removeRealNodes(ctx, l); err != nil {
		return err
	}
	if err := os.RemoveAll(opts.Dir); err != nil {
		return fmt.Errorf("removing the fleet's directory: %w", err)
	}
	fmt.Fprintf(opts.Out, "ended %d processes and removed %s\n", ended, opts.Dir)
	return nil
}

// downGrace is short: nothing of the fleet is kept.
const downGrace = 2 * time.Second

// looksLikeFleet keeps a mistyped --dir from removing somebody's files.
func looksLikeFleet(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking at the fleet's directory: %w", err)
	}
	known := map[string]bool{"state.json": true, "lock": true, "pki": true, "etcd": true, "run": true, "logs": true, "kubeconfig": true, "kwok": true, "data": true, "nodes": true}
	for _, e := range entries {
		if !known[e.Name()] && !strings.HasPrefix(e.Name(), ".state.json-") {
			return fmt.Errorf("%s does not look like the directory of a fleet: it holds %s; nothing was removed", dir, e.Name())
		}
	}
	return nil
}
