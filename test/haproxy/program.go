package haproxy

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/periplus-dev/periplus/test/debian"
)

// Program is HAProxy's file, and what it needs in its environment.
type Program struct {
	Path string
	Env  []string
}

// Find gives the HAProxy of this machine, else that of Debian's package, which is fetched into the cache of programs once, with its libraries. What
// takes time is said.
func Find(ctx context.Context, say func(format string, args ...any)) (Program, error) {
	// Root's PATH has it, others' may not.
	for _, name := range []string{"haproxy", "/usr/sbin/haproxy"} {
		if path, err := exec.LookPath(name); err == nil {
			return Program{Path: path}, nil
		}
	}
	dir, err := debian.Package{
		Name: "haproxy", Libraries: true, Keep: "usr", Try: func(ctx context.Context, dir string) error { return in(dir).try(ctx) },
		ByHand: "apt-get install haproxy, of version 2.6 or later",
	}.Get(ctx, say)
	return in(dir), err
}

// in is the program of a package that was unpacked without being installed.
func in(dir string) Program {
	libraries, _ := filepath.Glob(filepath.Join(dir, "lib", "*-linux-*")) // an error is one of the pattern.
	return Program{Path: filepath.Join(dir, "sbin", "haproxy"), Env: []string{"LD_LIBRARY_PATH=" + strings.Join(libraries, ":")}}
}

func (p Program) try(ctx context.Context) error {
	cmd := p.command(ctx, "-v")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", p.Path, err, out)
	}
	return nil
}

func (p Program) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, p.Path, args...)
	cmd.Env = append(os.Environ(), p.Env...)
	return cmd
}
