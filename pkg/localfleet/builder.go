package localfleet

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// buildDisk is what a first build needs: 0.6 GB of programs and the rest Go's module and build caches.
	buildDisk = 6 << 30
	// runDisk is what a fleet needs: etcd's data and the logs.
	runDisk = 1 << 30
)

// Builder builds the programs of a fleet once per version into a cache that all checkouts of a user share:
// <cache>/bin/<module>-<version>/<program>. Beside a program, <program>.stamp tells what it was built from.
type Builder struct {
	Source string
	Cache  string
	Assets string
	// Real says that the programs of real nodes are needed too.
	Real bool
	// Triggers says that those of Tekton Triggers are.
	Triggers bool
	progress *Progress
}

// CacheDir is PERIPLUS_CACHE, or .cache/periplus of the home directory.
func CacheDir() (string, error) {
	if dir := os.Getenv("PERIPLUS_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("finding a place for built programs: %w; set PERIPLUS_CACHE", err)
	}
	return filepath.Join(home, ".cache", "periplus"), nil
}

func newBuilder(source string, progress *Progress) (*Builder, error) {
	cache, err := CacheDir()
	if err != nil {
		return nil, err
	}
	return &Builder{Source: source, Cache: cache, Assets: os.Getenv("KUBEBUILDER_ASSETS"), progress: progress}, nil
}

// Build makes sure every program is there and returns the file of each.
func (b *Builder) Build(ctx context.Context) (map[string]string, error) {
	type missing struct {
		binary
		version, file, stamp string
	}
	out := map[string]string{}
	var todo []missing
	for _, bin := range binaries {
		if bin.real && !b.Real || bin.triggers && !b.Triggers {
			continue
		}
		if file, ok := b.asset(bin); ok {
			out[bin.name] = file
			continue
		}
		version, err := bin.version(b.Source)
		if err != nil {
			return nil, err
		}
		stamp, err := b.stamp(bin, version)
		if err != nil {
			return nil, err
		}
		file := filepath.Join(b.Cache, "bin", bin.module+"-"+version, bin.name)
		out[bin.name] = file
		if !built(file, stamp) {
			todo = append(todo, missing{bin, version, file, stamp})
		}
	}
	if len(todo) == 0 {
		return out, nil
	}

	tool, err := findGo()
	if err != nil {
		return nil, err
	}
	tool.env = []string{"CGO_ENABLED=0"}
	if err := os.MkdirAll(filepath.Join(b.Cache, "bin"), 0o755); err != nil {
		return nil, fmt.Errorf("making the cache of built programs: %w", err)
	}
	if err := checkDisk(b.Cache, buildDisk, "building the programs of a fleet"); err != nil {
		return nil, err
	}
	var names []string
	for _, m := range todo {
		names = append(names, m.name)
	}
	b.progress.Say("build: %d programs (%s), once per version; with nothing cached this takes about ten minutes on two cores", len(todo), strings.Join(names, ", "))

	// Compilers use all cores by themselves; two builds at once let one link while the other compiles.
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(min(2, runtime.NumCPU()))
	var mu sync.Mutex
	left := len(todo)
	for _, m := range todo {
		group.Go(func() error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			done := b.progress.Begin("build " + m.name + " " + m.version)
			if err := b.one(ctx, tool, m.binary, m.version, m.file, m.stamp); err != nil {
				done("")
				return fmt.Errorf("building %s %s: %w", m.name, m.version, err)
			}
			mu.Lock()
			defer mu.Unlock()
			left--
			done(fmt.Sprintf("built, %d to go", left))
			return nil
		})
	}
	return out, group.Wait()
}

// one builds one program under a lock, so that two commands that need it at the same time build it once.
func (b *Builder) one(ctx context.Context, tool goTool, bin binary, version, file, stamp string) error {
	dir := filepath.Dir(file)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("making the cache of built programs: %w", err)
	}
	unlock, err := lock(ctx, file+".lock")
	if err != nil {
		return err
	}
	defer unlock()
	if built(file, stamp) {
		return nil
	}
	work, err := os.MkdirTemp(dir, ".build-*")
	if err != nil {
		return fmt.Errorf("making a directory to build in: %w", err)
	}
	defer os.RemoveAll(work)

	tmp := filepath.Join(work, bin.name)
	args := []string{"build", "-trimpath", "-ldflags", bin.ldflags(version), "-o", tmp}
	if len(bin.edits) > 0 {
		mod, err := loopbackModfile(ctx, tool, b.Cache, bin.dir(b.Source), work, bin.edits)
		if err != nil {
			return err
		}
		args = append(args, "-modfile", mod)
	}
	if _, err := tool.run(ctx, bin.dir(b.Source), append(args, bin.pkg)...); err != nil {
		return err
	}
	if err := os.Rename(tmp, file); err != nil {
		return fmt.Errorf("putting the program in place: %w", err)
	}
	return writeFile(file+".stamp", []byte(stamp+"\n"), 0o644)
}

// asset finds a prebuilt program.
func (b *Builder) asset(bin binary) (string, bool) {
	if b.Assets == "" || !bin.asset {
		return "", false
	}
	file := filepath.Join(b.Assets, bin.name)
	info, err := os.Stat(file)
	return file, err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// stamp is of everything a program is built from, the compiler left out: a new Go alone rebuilds nothing.
func (b *Builder) stamp(bin binary, version string) (string, error) {
	h := sha256.New()
	for _, name := range []string{"go.mod", "go.sum"} {
		data, err := os.ReadFile(filepath.Join(bin.dir(b.Source), name))
		if err != nil {
			return "", fmt.Errorf("reading what %s is built from: %w", bin.name, err)
		}
		h.Write(data)
	}
	fmt.Fprintf(h, "%s %s %s/%s\n", bin.pkg, bin.ldflags(version), runtime.GOOS, runtime.GOARCH)
	if len(bin.edits) > 0 {
		fmt.Fprintf(h, "%q\n", bin.edits)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func built(file, stamp string) bool {
	if _, err := os.Stat(file); err != nil {
		return false
	}
	data, err := os.ReadFile(file + ".stamp")
	return err == nil && strings.TrimSpace(string(data)) == stamp
}

// majorMinor splits v1.36.3 into 1 and 36.
func majorMinor(version string) (major, minor string, ok bool) {
	parts := strings.SplitN(strings.TrimPrefix(version, "v"), ".", 3)
	if len(parts) != 3 || parts[0] == "" || parts[1] == "" {
		return "", "", false
	}
	return parts[0], parts[1], true
}

// diskFree is a variable so that a test can have a full disk.
var diskFree = func(dir string) (uint64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return st.Bavail * uint64(st.Bsize), nil
}

// checkDisk refuses to begin what would fill the disk halfway.
func checkDisk(dir string, need uint64, what string) error {
	free, err := diskFree(dir)
	if err != nil {
		return fmt.Errorf("looking at the free space of %s: %w", dir, err)
	}
	if free < need {
		return fmt.Errorf("too little disk: %s needs %.1f GB in %s and %.1f GB are free; free some, or put the cache (PERIPLUS_CACHE) and the fleet (--dir) on another disk",
			what, gigabytes(need), dir, gigabytes(free))
	}
	return nil
}

func gigabytes(n uint64) float64 { return float64(n) / (1 << 30) }

// lock takes a lock file, waiting for whoever holds it. The kernel lets go of it when the holder ends in any way.
func lock(ctx context.Context, file string) (func(), error) {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the lock %s: %w", file, err)
	}
	var last error
	err = poll(ctx, lockPoll, func() bool {
		last = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		return !errors.Is(last, syscall.EWOULDBLOCK) && !errors.Is(last, syscall.EINTR)
	})
	if err = errors.Join(err, ignoreBlocked(last)); err != nil {
		f.Close()
		return nil, fmt.Errorf("waiting for the lock %s, which another periplus command holds: %w", file, err)
	}
	return func() { f.Close() }, nil
}

func ignoreBlocked(err error) error {
	if errors.Is(err, syscall.EWOULDBLOCK) || errors.Is(err, syscall.EINTR) {
		return nil
	}
	return err
}

const lockPoll = 200 * time.Millisecond
