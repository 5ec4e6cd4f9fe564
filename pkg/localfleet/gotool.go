package localfleet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/mod/modfile"
)

// goTool runs the go command.
type goTool struct {
	path string
	// env is added to every run's environment.
	env []string
}

func findGo() (goTool, error) {
	path, err := exec.LookPath("go")
	if err != nil {
		return goTool{}, fmt.Errorf("the programs of a fleet are built with Go, and there is no go command in PATH; install Go 1.26 or later (https://go.dev/dl): %w", err)
	}
	return goTool{path: path}, nil
}

// run runs the go command in dir. Its error holds what the command wrote.
func (g goTool) run(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, g.path, args...)
	cmd.Dir = dir
	// GOFLAGS and GOWORK of the caller could make a module of ours something else.
	cmd.Env = append(append(os.Environ(), "GOFLAGS=", "GOWORK=off"), g.env...)
	// The whole group ends with us: go leaves its compilers behind otherwise.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w:\n%s", err, lastLines(stderr.String(), 15))
		}
		return "", fmt.Errorf("go %s in %s: %w", strings.Join(args, " "), dir, err)
	}
	return stdout.String(), nil
}

// moduleDir is where the source of a module is that the module in dir requires; empty where it does not require it.
func (g goTool) moduleDir(ctx context.Context, dir, module string) (string, error) {
	file := filepath.Join(dir, "go.mod")
	data, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("finding the source of %s: %w", module, err)
	}
	mod, err := modfile.ParseLax(file, data, nil)
	if err != nil {
		return "", fmt.Errorf("finding the source of %s: %w", module, err)
	}
	if !slices.ContainsFunc(mod.Require, func(r *modfile.Require) bool { return r.Mod.Path == module }) {
		return "", nil
	}
	for range 2 {
		out, err := g.run(ctx, dir, "list", "-m", "-f", "{{.Dir}}", module)
		if err != nil {
			return "", fmt.Errorf("finding the source of %s: %w", module, err)
		}
		if out = strings.TrimSpace(out); out != "" {
			return out, nil
		}
		if _, err := g.run(ctx, dir, "mod", "download", module); err != nil {
			return "", fmt.Errorf("downloading the source of %s: %w", module, err)
		}
	}
	return "", fmt.Errorf("finding the source of %s: it is required by %s but go list does not say where it is", module, file)
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return strings.Join(lines, "\n")
}
