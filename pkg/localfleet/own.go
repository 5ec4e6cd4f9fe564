package localfleet

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// ownProgram is built from the checkout itself: package and file name.
type ownProgram struct{ pkg, name string }

// ownPrograms are those of a fleet that has Periplus.
var ownPrograms = []ownProgram{
	{"./cmd/controller", "controller"},
	{"./cmd/workloads", "workloads"},
	{"./cmd/webhook", "webhook"},
	{"./cmd/periplus", "periplus"},
}

// trafficProgram is that of a fleet with Prometheus.
var trafficProgram = ownProgram{"./test/local/traffic", "traffic"}

// links are the other names of a program in the bin directory: kubectl and tkn find plugins by them.
var links = map[string]string{"kubectl-periplus": "periplus", "tkn-periplus": "periplus"}

// buildOwn builds programs of the checkout into its bin directory and returns the file of each. A program that did
// not change keeps its file, so that its part is not restarted. What has no source yet is left out.
func buildOwn(ctx context.Context, checkout string, programs []ownProgram, progress *Progress) (map[string]string, error) {
	tool, err := findGo()
	if err != nil {
		return nil, err
	}
	bin := BinDir(checkout)
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return nil, fmt.Errorf("making the directory of programs: %w", err)
	}
	waited := progress.Begin("wait for another periplus command at work in " + bin)
	unlock, err := lock(ctx, filepath.Join(bin, ".lock"))
	waited("")
	if err != nil {
		return nil, err
	}
	defer unlock()
	work, err := os.MkdirTemp(bin, ".build-*")
	if err != nil {
		return nil, fmt.Errorf("making a directory to build in: %w", err)
	}
	defer os.RemoveAll(work)
	done := progress.Begin("build periplus")
	// With the settings of a plain `go build` or `go test`, whose compiled packages are then used again; all at once, so
	// that one links while the other compiles.
	args := []string{"build", "-ldflags=-s -w", "-o", work + string(filepath.Separator)}
	out := map[string]string{}
	for _, p := range programs {
		if _, err := os.Stat(filepath.Join(checkout, filepath.FromSlash(p.pkg))); errors.Is(err, os.ErrNotExist) {
			continue
		}
		args = append(args, p.pkg)
		out[p.name] = filepath.Join(bin, p.name)
	}
	if _, err := tool.run(ctx, checkout, args...); err != nil {
		done("")
		return nil, fmt.Errorf("building the programs of %s: %w", checkout, err)
	}
	for name, file := range out {
		if err := replaceIfChanged(filepath.Join(work, name), file); err != nil {
			done("")
			return nil, err
		}
	}
	done("built")
	return out, nil
}

func replaceIfChanged(from, to string) error {
	a, err := fileSum(from)
	if err != nil {
		return err
	}
	if b, err := fileSum(to); err == nil && a == b {
		return nil
	}
	if err := os.Rename(from, to); err != nil {
		return fmt.Errorf("putting a program in place: %w", err)
	}
	return nil
}

func fileSum(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("looking whether a file changed: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("looking whether a file changed: %w", err)
	}
	return string(h.Sum(nil)), nil
}

// linkCommands puts kubectl and tkn beside periplus, and periplus under the names it has as their plugin.
func linkCommands(checkout string, programs map[string]string) error {
	bin := BinDir(checkout)
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return fmt.Errorf("making the directory of programs: %w", err)
	}
	want := map[string]string{}
	for name, target := range links {
		want[name] = target
	}
	for _, name := range []string{"kubectl", "tkn"} {
		if programs[name] != "" {
			want[name] = programs[name]
		}
	}
	for name, target := range want {
		path := filepath.Join(bin, name)
		if at, err := os.Readlink(path); err == nil && at == target {
			continue
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("linking %s: %w", path, err)
		}
		if err := os.Symlink(target, path); err != nil {
			return fmt.Errorf("linking %s: %w", path, err)
		}
	}
	return nil
}
