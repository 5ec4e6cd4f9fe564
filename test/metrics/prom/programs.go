package prom

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/periplus-dev/periplus/pkg/localfleet"
)

// Programs are the files of a real Prometheus and of the tool of the same version.
type Programs struct{ Prometheus, Promtool string }

// byHand is what a person can do where we cannot.
const byHand = "install prometheus and promtool, of version 2.42 or later, and put both on PATH"

// Find gives the programs that are on PATH, else those in the cache of built programs, else those of Debian's package, which it fetches into
// that cache with apt: nothing is installed and no service is started, so it needs no root. What takes time is said.
func Find(ctx context.Context, say func(format string, args ...any)) (Programs, error) {
	if p, ok := onPath(); ok {
		return p, nil
	}
	cache, err := localfleet.CacheDir()
	if err != nil {
		return Programs{}, err
	}
	bin := filepath.Join(cache, "bin")
	if p, ok := cached(bin); ok {
		return p, nil
	}
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return Programs{}, fmt.Errorf("making the cache of programs: %w", err)
	}
	unlock, err := lock(filepath.Join(bin, "prometheus.lock"))
	if err != nil {
		return Programs{}, fmt.Errorf("waiting for others who fetch Prometheus: %w", err)
	}
	defer unlock()
	if p, ok := cached(bin); ok {
		return p, nil
	}
	return fetch(ctx, bin, say)
}

func onPath() (Programs, bool) {
	server, err := exec.LookPath("prometheus")
	if err != nil {
		return Programs{}, false
	}
	tool, err := exec.LookPath("promtool")
	return Programs{Prometheus: server, Promtool: tool}, err == nil
}

// cached gives the programs of the latest version in the cache.
func cached(bin string) (Programs, bool) {
	dirs, err := filepath.Glob(filepath.Join(bin, "prometheus-*"))
	if err != nil {
		return Programs{}, false
	}
	slices.Sort(dirs)
	for _, dir := range slices.Backward(dirs) {
		p := Programs{Prometheus: filepath.Join(dir, "prometheus"), Promtool: filepath.Join(dir, "promtool")}
		if executable(p.Prometheus) && executable(p.Promtool) {
			return p, true
		}
	}
	return Programs{}, false
}

func executable(file string) bool {
	info, err := os.Stat(file)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// fetch takes the two programs out of Debian's package, with lists and caches of apt of our own: the machine's are left as they are.
func fetch(ctx context.Context, bin string, say func(format string, args ...any)) (Programs, error) {
	for _, tool := range []string{"apt-get", "dpkg-deb"} {
		if _, err := exec.LookPath(tool); err != nil {
			return Programs{}, fmt.Errorf("fetching Prometheus: this machine has no %s; %s", tool, byHand)
		}
	}
	work, err := os.MkdirTemp(bin, ".prometheus-")
	if err != nil {
		return Programs{}, fmt.Errorf("fetching Prometheus: %w", err)
	}
	defer os.RemoveAll(work)
	for _, dir := range []string{"lists/partial", "cache/archives/partial", "root"} {
		if err := os.MkdirAll(filepath.Join(work, dir), 0o755); err != nil {
			return Programs{}, fmt.Errorf("fetching Prometheus: %w", err)
		}
	}
	apt := []string{"-q", "-o", "Dir::State::lists=" + filepath.Join(work, "lists"), "-o", "Dir::Cache=" + filepath.Join(work, "cache"),
		"-o", "APT::Sandbox::User=", "-o", "Acquire::Languages=none", "-o", "Acquire::Retries=3"}
	say("prometheus: fetching Debian's package by apt, about 30 MB with the lists, once")
	for _, args := range [][]string{{"update"}, {"download", "prometheus"}} {
		if err := run(ctx, work, "apt-get", append(apt, args...)...); err != nil {
			return Programs{}, fmt.Errorf("fetching Prometheus: %w; %s", err, byHand)
		}
	}
	packages, err := filepath.Glob(filepath.Join(work, "prometheus_*.deb"))
	if err != nil || len(packages) != 1 {
		return Programs{}, fmt.Errorf("fetching Prometheus: apt left %d packages; %s", len(packages), byHand)
	}
	if err := run(ctx, work, "dpkg-deb", "-x", packages[0], filepath.Join(work, "root")); err != nil {
		return Programs{}, fmt.Errorf("unpacking Prometheus: %w", err)
	}
	from := filepath.Join(work, "root", "usr", "bin")
	for _, program := range []string{"prometheus", "promtool"} {
		if err := run(ctx, work, filepath.Join(from, program), "--version"); err != nil {
			return Programs{}, fmt.Errorf("trying the %s that was fetched: %w; %s", program, err, byHand)
		}
	}
	version := strings.Split(filepath.Base(packages[0]), "_")[1]
	to := filepath.Join(bin, "prometheus-"+strings.ReplaceAll(version, "%3a", "-"))
	if err := os.RemoveAll(to); err != nil {
		return Programs{}, fmt.Errorf("keeping Prometheus: %w", err)
	}
	if err := os.Rename(from, to); err != nil {
		return Programs{}, fmt.Errorf("keeping Prometheus: %w", err)
	}
	say("prometheus: %s is in %s", version, to)
	return Programs{Prometheus: filepath.Join(to, "prometheus"), Promtool: filepath.Join(to, "promtool")}, nil
}

// run runs a command, and tells its output only where it fails.
func run(ctx context.Context, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w\n%s", filepath.Base(name), args[len(args)-1], err, tail(string(out), 10))
	}
	return nil
}

// lock waits until nobody else holds the file; it is let go of when we end, too.
func lock(file string) (func(), error) {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}

// tail is the last lines of a text.
func tail(text string, lines int) string {
	all := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
