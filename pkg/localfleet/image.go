package localfleet

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// Image is one static program as a container image. The same program, arguments and environment make the same digest, whatever the names.
type Image struct {
	// Names with a registry and a tag, such as local.invalid/app:v1.
	Names []string
	// Program is the file on this machine. It is /program in the image, and what a container of it runs.
	Program string
	Args    []string
	// Env as NAME=value.
	Env []string
}

// write writes the image as an archive that container runtimes import. Times are left out, so that a digest says what is in it.
func (i Image) write(w io.Writer) error {
	program, err := os.ReadFile(i.Program)
	if err != nil {
		return err
	}
	var layer bytes.Buffer
	if err := archive(&layer, entry{"program", 0o755, program}); err != nil {
		return err
	}
	config, err := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH, "os": "linux",
		"config": map[string]any{"Entrypoint": append([]string{"/program"}, i.Args...), "Env": i.Env, "WorkingDir": "/"},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + digest(layer.Bytes())}},
	})
	if err != nil {
		return err
	}
	configFile, layerFile := digest(config)+".json", digest(layer.Bytes())+".tar"
	manifest, err := json.Marshal([]map[string]any{{"Config": configFile, "RepoTags": i.Names, "Layers": []string{layerFile}}})
	if err != nil {
		return err
	}
	return archive(w, entry{configFile, 0o644, config}, entry{layerFile, 0o644, layer.Bytes()}, entry{"manifest.json", 0o644, manifest})
}

type entry struct {
	name string
	mode int64
	data []byte
}

func archive(w io.Writer, entries ...entry) error {
	out := tar.NewWriter(w)
	for _, e := range entries {
		if err := out.WriteHeader(&tar.Header{Name: e.name, Mode: e.mode, Size: int64(len(e.data)), Typeflag: tar.TypeReg}); err != nil {
			return err
		}
		if _, err := out.Write(e.data); err != nil {
			return err
		}
	}
	return out.Close()
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// addImages imports images into a node and waits until its kubelet can have them.
func addImages(ctx context.Context, l Layout, n realNode, images ...Image) error {
	for _, image := range images {
		if err := addImage(ctx, l, n, image); err != nil {
			return fmt.Errorf("adding image %s to node %s: %w", strings.Join(image.Names, ", "), n.name(), err)
		}
	}
	return nil
}

func addImage(ctx context.Context, l Layout, n realNode, image Image) error {
	file, err := os.CreateTemp(l.node(n.name()), ".image-*.tar")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	defer file.Close()
	if err := image.write(file); err != nil {
		return err
	}
	if _, err := ctr(ctx, l, n, "images", "import", "--snapshotter="+snapshotter, file.Name()); err != nil {
		return err
	}
	// The part of containerd that kubelets talk to hears of an image a moment later, and marks it.
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for _, name := range image.Names {
		err := poll(ctx, 50*time.Millisecond, func() bool {
			out, err := ctr(ctx, l, n, "images", "list", "name=="+name)
			return err == nil && strings.Contains(out, "io.cri-containerd.image=managed")
		})
		if err != nil {
			return fmt.Errorf("waiting until %s is known: %w", filepath.Base(name), err)
		}
	}
	return nil
}

func ctr(ctx context.Context, l Layout, n realNode, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "ctr", append([]string{"--address", l.containerdSocket(n.name()), "--namespace", "k8s.io"}, args...)...)
	cmd.Env = append(os.Environ(), "PATH="+fullPath)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("ctr %s: %w: %s", strings.Join(args[:2], " "), err, strings.TrimSpace(string(out)))
	}
	return string(out), nil
}
