package prom

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"

	"github.com/periplus-dev/periplus/test/debian"
)

// Programs are the files of a real Prometheus and of the tool of the same version.
type Programs struct{ Prometheus, Promtool string }

// Find gives the programs that are on PATH, else those of Debian's package, which is fetched into the cache of programs once. What takes time is said.
func Find(ctx context.Context, say func(format string, args ...any)) (Programs, error) {
	if p, ok := onPath(); ok {
		return p, nil
	}
	dir, err := debian.Package{
		Name: "prometheus", Keep: filepath.Join("usr", "bin"), Try: func(ctx context.Context, dir string) error { return in(dir).try(ctx) },
		ByHand: "install prometheus and promtool, of version 2.42 or later, and put both on PATH",
	}.Get(ctx, say)
	return in(dir), err
}

func onPath() (Programs, bool) {
	server, err := exec.LookPath("prometheus")
	if err != nil {
		return Programs{}, false
	}
	tool, err := exec.LookPath("promtool")
	return Programs{Prometheus: server, Promtool: tool}, err == nil
}

func in(dir string) Programs {
	return Programs{Prometheus: filepath.Join(dir, "prometheus"), Promtool: filepath.Join(dir, "promtool")}
}

// try runs both.
func (p Programs) try(ctx context.Context) error {
	var errs []error
	for _, program := range []string{p.Prometheus, p.Promtool} {
		if err := exec.CommandContext(ctx, program, "--version").Run(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", program, err))
		}
	}
	return errors.Join(errs...)
}
