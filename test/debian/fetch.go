package debian

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/periplus-dev/periplus/pkg/localfleet"
)

// Package is what is to be had.
type Package struct {
	// Name of the package. The cache has it as <name>-<version>.
	Name string
	// Libraries are taken along, those that the package depends on: the machine may lack them.
	Libraries bool
	// Keep is the folder of the package that is kept, such as usr/bin.
	Keep string
	// Try tells whether the kept folder at dir is of use here.
	Try func(ctx context.Context, dir string) error
	// ByHand is what a person can do where this cannot; it ends errors.
	ByHand string
}

// Get returns the kept folder of the latest version in the cache, after fetching one where there is none. What takes time is said.
func (p Package) Get(ctx context.Context, say func(format string, args ...any)) (string, error) {
	cache, err := localfleet.CacheDir()
	if err != nil {
		return "", err
	}
	bin := filepath.Join(cache, "bin")
	if dir, ok := p.cached(ctx, bin); ok {
		return dir, nil
	}
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return "", fmt.Errorf("making the cache of programs: %w", err)
	}
	unlock, err := lock(filepath.Join(bin, p.Name+".lock"))
	if err != nil {
		return "", fmt.Errorf("waiting for others who fetch %s: %w", p.Name, err)
	}
	defer unlock()
	if dir, ok := p.cached(ctx, bin); ok {
		return dir, nil
	}
	dir, err := p.fetch(ctx, bin, say)
	if err != nil {
		return "", fmt.Errorf("fetching Debian's package %s: %w; %s", p.Name, err, p.ByHand)
	}
	return dir, nil
}

func (p Package) cached(ctx context.Context, bin string) (string, bool) {
	dirs, err := filepath.Glob(filepath.Join(bin, p.Name+"-*"))
	if err != nil {
		return "", false
	}
	slices.Sort(dirs)
	for _, dir := range slices.Backward(dirs) {
		if p.Try(ctx, dir) == nil {
			return dir, true
		}
	}
	return "", false
}

// fetch works with lists and caches of apt of our own: the machine's are left as they are.
func (p Package) fetch(ctx context.Context, bin string, say func(format string, args ...any)) (string, error) {
	for _, tool := range []string{"apt-get", "apt-cache", "dpkg-deb"} {
		if _, err := exec.LookPath(tool); err != nil {
			return "", fmt.Errorf("this machine has no %s", tool)
		}
	}
	work, err := os.MkdirTemp(bin, "."+p.Name+"-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(work)
	for _, dir := range []string{"lists/partial", "cache/archives/partial", "root"} {
		if err := os.MkdirAll(filepath.Join(work, dir), 0o755); err != nil {
			return "", err
		}
	}
	apt := []string{"-q", "-o", "Dir::State::lists=" + filepath.Join(work, "lists"), "-o", "Dir::Cache=" + filepath.Join(work, "cache"),
		"-o", "APT::Sandbox::User=", "-o", "Acquire::Languages=none", "-o", "Acquire::Retries=3"}
	say("%s: fetching Debian's package by apt, up to 30 MB with the lists, once", p.Name)
	if _, err := run(ctx, work, "apt-get", append(apt, "update")...); err != nil {
		return "", err
	}
	wanted := []string{p.Name}
	if p.Libraries {
		libraries, err := p.libraries(ctx, work, apt)
		if err != nil {
			return "", err
		}
		wanted = append(wanted, libraries...)
	}
	if _, err := run(ctx, work, "apt-get", slices.Concat(apt, []string{"download"}, wanted)...); err != nil {
		return "", err
	}
	files, err := filepath.Glob(filepath.Join(work, "*.deb"))
	if err != nil || len(files) != len(wanted) {
		return "", fmt.Errorf("apt left %d packages, want %d", len(files), len(wanted))
	}
	version := ""
	for _, file := range files {
		if _, err := run(ctx, work, "dpkg-deb", "-x", file, filepath.Join(work, "root")); err != nil {
			return "", err
		}
		if parts := strings.Split(filepath.Base(file), "_"); parts[0] == p.Name && len(parts) > 1 {
			version = strings.ReplaceAll(parts[1], "%3a", "-")
		}
	}
	from, to := filepath.Join(work, "root", p.Keep), filepath.Join(bin, p.Name+"-"+version)
	if err := p.Try(ctx, from); err != nil {
		return "", fmt.Errorf("trying what was fetched: %w", err)
	}
	if err := errors.Join(os.RemoveAll(to), os.Rename(from, to)); err != nil {
		return "", fmt.Errorf("keeping it: %w", err)
	}
	say("%s: %s is in %s", p.Name, version, to)
	return to, nil
}

// libraries that the package depends on, and they on others, but for those that every program here runs with.
func (p Package) libraries(ctx context.Context, work string, apt []string) ([]string, error) {
	found := map[string]bool{}
	for next := []string{p.Name}; len(next) > 0; {
		out, err := run(ctx, work, "apt-cache", slices.Concat(apt, []string{"depends", "--no-recommends", "--no-suggests", "--no-conflicts", "--no-breaks",
			"--no-replaces", "--no-enhances"}, next)...)
		if err != nil {
			return nil, err
		}
		next = nil
		for line := range strings.Lines(out) {
			// A name that others only provide is in angle brackets.
			_, name, depends := strings.Cut(strings.TrimSpace(line), "Depends: ")
			if depends && strings.HasPrefix(name, "lib") && !found[name] && !slices.Contains([]string{"libc6", "libgcc-s1", "libstdc++6", "libcrypt1"}, name) {
				found[name] = true
				next = append(next, name)
			}
		}
	}
	return slices.Sorted(maps.Keys(found)), nil
}

// run runs a command and returns its output, which an error tells the end of.
func run(ctx context.Context, dir, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", filepath.Base(name), args[len(args)-1], err, tail(string(out), 10))
	}
	return string(out), nil
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
