package localfleet

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// part is one process of the fleet: everything needed to start it and to tell that it is ready.
type part struct {
	cluster, name string
	// binary is the name of the program, as in State.Binaries.
	binary string
	args   []string
	env    []string
	// files are read by the part when it starts: another content restarts it.
	files []string
	// port is the one people ask for; ports are all of them.
	port  int
	ports []int
	// ready is polled after the start until it returns nil. No ready: the part is ready once it runs.
	ready func(ctx context.Context) error
	// patience is how long ready may take. Zero: a minute.
	patience time.Duration
	// grace is how long the part may take to stop. Zero: five seconds.
	grace time.Duration
}

func (p part) String() string { return p.cluster + "/" + p.name }

// partError is a part that could not be started: what happened, where its log is and how it ends.
type partError struct {
	part string
	log  string
	tail []string
	err  error
}

func (e *partError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %v\nlog: %s", e.part, e.err, e.log)
	if len(e.tail) > 0 {
		b.WriteString("\nits last lines:")
		for _, line := range e.tail {
			b.WriteString("\n  " + line)
		}
	}
	return b.String()
}

func (e *partError) Unwrap() error { return e.err }

// portPatience bounds the wait for a port that is taken.
const portPatience = 2 * time.Second

// errDied is wrapped where a part ended by itself.
var errDied = errors.New("it ended right after it was started")

// ensurePart starts a part that does not run, or runs with another binary or other arguments, and waits until it is
// ready. It tells whether it started it.
func ensurePart(ctx context.Context, l Layout, s *State, p part) (bool, error) {
	path, fingerprint, err := identify(s, p)
	if err != nil {
		return false, fmt.Errorf("%s: %w", p, err)
	}
	proc, _, err := readProcess(l.run(p.cluster, p.name))
	if err != nil {
		return false, fmt.Errorf("%s: %w", p, err)
	}
	if proc.Alive() {
		if proc.Fingerprint == fingerprint {
			return false, awaitReady(ctx, l, p, proc, nil)
		}
		if err := proc.end(ctx, p.stopGrace()); err != nil {
			return false, fmt.Errorf("stopping %s to start it anew: %w", p, err)
		}
	}
	proc, ended, err := startPart(ctx, l, p, path, fingerprint)
	if err != nil {
		return false, err
	}
	return true, awaitReady(ctx, l, p, proc, ended)
}

func startPart(ctx context.Context, l Layout, p part, path, fingerprint string) (Process, <-chan struct{}, error) {
	portCtx, cancel := context.WithTimeout(ctx, portPatience)
	defer cancel()
	fail := func(err error) (Process, <-chan struct{}, error) {
		return Process{}, nil, &partError{part: p.String(), log: l.Log(p.cluster, p.name), err: err}
	}
	for _, port := range p.ports {
		// A process that ended a moment ago may still be closing its sockets.
		var taken error
		_ = poll(portCtx, 20*time.Millisecond, func() bool { taken = checkPort(port); return taken == nil })
		if taken != nil {
			return fail(taken)
		}
	}
	proc, ended, err := startProcess(path, p.args, p.env, l.Dir, l.Log(p.cluster, p.name), fingerprint)
	if err != nil {
		return fail(err)
	}
	if err := writeProcess(l.run(p.cluster, p.name), proc); err != nil {
		return fail(errors.Join(err, proc.Signal(syscall.SIGKILL)))
	}
	return proc, ended, nil
}

func awaitReady(ctx context.Context, l Layout, p part, proc Process, ended <-chan struct{}) error {
	if p.ready == nil {
		return nil
	}
	patience := p.patience
	if patience == 0 {
		patience = time.Minute
	}
	waitCtx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	died := false
	var last error
	err := poll(waitCtx, 50*time.Millisecond, func() bool {
		select {
		case <-ended:
			died = true
		default:
			died = !proc.Alive()
		}
		if died {
			return true
		}
		last = p.ready(waitCtx)
		return last == nil
	})
	switch {
	case died:
		err = errDied
	case err != nil && ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		err = fmt.Errorf("it runs but is not ready after %s: %w", patience, last)
	default:
		return nil
	}
	log := l.Log(p.cluster, p.name)
	return &partError{part: p.String(), log: log, tail: tailLines(log, 15), err: err}
}

func (p part) stopGrace() time.Duration {
	if p.grace == 0 {
		return 5 * time.Second
	}
	return p.grace
}

// identify returns the program's file and the fingerprint of how it would be run.
func identify(s *State, p part) (string, string, error) {
	path := s.Binaries[p.binary]
	if path == "" {
		return "", "", fmt.Errorf("the program %s was not built; run `periplus local up`", p.binary)
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", "", fmt.Errorf("the program %s is gone; run `periplus local up` to build it: %w", p.binary, err)
	}
	h := sha256.New()
	fmt.Fprintf(h, "%s %d %d\n", path, info.Size(), info.ModTime().UnixNano())
	fmt.Fprintf(h, "%q\n%q\n", p.args, p.env)
	for _, file := range p.files {
		sum, err := fileSum(file)
		if err != nil {
			return "", "", err
		}
		fmt.Fprintf(h, "%x\n", sum)
	}
	return path, hex.EncodeToString(h.Sum(nil)[:8]), nil
}

// tailLines returns the last lines of a log, each cut where it is very long.
func tailLines(path string, n int) []string {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	const window = 64 << 10
	var from int64
	if info, err := f.Stat(); err == nil && info.Size() > window {
		from = info.Size() - window
	}
	buf := make([]byte, window)
	read, _ := f.ReadAt(buf, from)
	lines := strings.Split(strings.TrimRight(string(buf[:read]), "\n"), "\n")
	if from > 0 && len(lines) > 1 {
		lines = lines[1:]
	}
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	for i, line := range lines {
		if r := []rune(line); len(r) > 400 {
			lines[i] = string(r[:400]) + " …"
		}
	}
	return lines
}

// dataDir is where a part may write, below the fleet's directory.
func dataDir(l Layout, cluster, name string) string {
	return filepath.Join(l.Dir, "data", cluster+"-"+name)
}
