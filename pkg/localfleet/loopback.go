package localfleet

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
)

// edit is one replacement in one file of a required module, made in a copy that is built instead of it.
type edit struct{ module, file, old, new string }

// loopbackEdits make Tekton listen on 127.0.0.1: its probe, profiling and webhook servers, and those of knative.dev/pkg
// below it, take a port from the environment but always listen on all addresses, and one of the two probe
// servers cannot even be moved from port 8080. A fleet on somebody's laptop must not be reachable from his network.
// Nothing else of these programs is changed. An edit that no longer fits its file fails the build.
var loopbackEdits = []edit{
	{tektonModule, "cmd/controller/main.go", `http.ListenAndServe(":"+port, mux)`, `http.ListenAndServe("127.0.0.1:"+port, mux)`},
	{tektonModule, "cmd/webhook/main.go", `http.ListenAndServe(":"+port, mux)`, `http.ListenAndServe("127.0.0.1:"+port, mux)`},
	{knativeModule, "webhook/webhook.go", `fmt.Sprint(":", wh.Options.Port)`, `fmt.Sprint("127.0.0.1:", wh.Options.Port)`},
	{knativeModule, "observability/runtime/pprof.go", `":" + port`, `"127.0.0.1:" + port`},
	{knativeModule, "injection/health_check.go", `":" + strconv.Itoa(port)`, `"127.0.0.1:" + strconv.Itoa(port)`},
	{knativeModule, "injection/sharedmain/main.go", `if !healthProbesDisabled(ctx) {`, `if os.Getenv("PROBES_PORT") == "" && !healthProbesDisabled(ctx) {`},
}

const knativeModule = "knative.dev/pkg"

// loopbackModfile writes a go.mod, and go.sum beside it, that are those of the module in dir with edited copies in
// place of the modules that edits name. Modules that are not required are left out. (go build -overlay would do with
// less, but refuses to replace files of the module cache.)
func loopbackModfile(ctx context.Context, tool goTool, cache, dir, work string, edits []edit) (string, error) {
	data, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		return "", fmt.Errorf("reading what to build: %w", err)
	}
	mod, err := modfile.Parse("go.mod", data, nil)
	if err != nil {
		return "", fmt.Errorf("reading what to build in %s: %w", dir, err)
	}
	for _, require := range slices.Clone(mod.Require) {
		var mine []edit
		for _, e := range edits {
			if e.module == require.Mod.Path {
				mine = append(mine, e)
			}
		}
		if len(mine) == 0 {
			continue
		}
		source, err := tool.moduleDir(ctx, dir, require.Mod.Path)
		if err != nil {
			return "", err
		}
		at, err := editedCopy(ctx, cache, source, require.Mod.Path+"@"+require.Mod.Version, mine)
		if err != nil {
			return "", err
		}
		if err := mod.AddReplace(require.Mod.Path, "", at, ""); err != nil {
			return "", fmt.Errorf("replacing %s: %w", require.Mod.Path, err)
		}
	}
	out, err := mod.Format()
	if err != nil {
		return "", fmt.Errorf("writing a go.mod: %w", err)
	}
	sum, err := os.ReadFile(filepath.Join(dir, "go.sum"))
	if err != nil {
		return "", fmt.Errorf("reading what to build: %w", err)
	}
	file := filepath.Join(work, "loopback.mod")
	if err := errors.Join(os.WriteFile(file, out, 0o600), os.WriteFile(filepath.Join(work, "loopback.sum"), sum, 0o600)); err != nil {
		return "", fmt.Errorf("writing a go.mod: %w", err)
	}
	return file, nil
}

// editedCopy returns a copy of a module with edits made. It is kept in the cache under its own name, so that Go's
// build cache knows it again.
func editedCopy(ctx context.Context, cache, source, name string, edits []edit) (string, error) {
	h := sha256.Sum256(fmt.Appendf(nil, "%q", edits))
	dir := filepath.Join(cache, "src", strings.ReplaceAll(name, "/", "_")+"-"+hex.EncodeToString(h[:4]))
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", fmt.Errorf("making the cache of edited modules: %w", err)
	}
	unlock, err := lock(ctx, dir+".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), ".copy-*")
	if err != nil {
		return "", fmt.Errorf("making the cache of edited modules: %w", err)
	}
	defer os.RemoveAll(tmp)
	if err := copyModule(source, tmp); err != nil {
		return "", fmt.Errorf("copying %s: %w", name, err)
	}
	for _, e := range edits {
		if err := e.apply(tmp); err != nil {
			return "", err
		}
	}
	if err := os.Rename(tmp, dir); err != nil {
		return "", fmt.Errorf("putting the copy of %s in place: %w", name, err)
	}
	return dir, nil
}

func (e edit) apply(root string) error {
	file := filepath.Join(root, filepath.FromSlash(e.file))
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("making %s listen on loopback: %w", e.module, err)
	}
	if !bytes.Contains(text, []byte(e.old)) {
		return fmt.Errorf("making %s listen on loopback: %s does not hold %q any more; adapt loopbackEdits to this version", e.module, e.file, e.old)
	}
	if err := os.WriteFile(file, bytes.ReplaceAll(text, []byte(e.old), []byte(e.new)), 0o644); err != nil {
		return fmt.Errorf("making %s listen on loopback: %w", e.module, err)
	}
	return nil
}

// copyModule copies a module's files; those of the module cache are read-only, the copies are not.
func copyModule(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		if d.IsDir() {
			return os.MkdirAll(target, 0o755)
		}
		if !d.Type().IsRegular() || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(target, data, 0o644)
	})
}
