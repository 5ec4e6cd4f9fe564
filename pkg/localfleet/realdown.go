package localfleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// removeRealNodes ends what the nodes started and takes away what they made outside of the fleet's directory. It goes by the directory and its mark and not by
// the state. A fleet without real nodes has nothing of it.
func removeRealNodes(ctx context.Context, l Layout) error {
	if _, err := os.Stat(filepath.Join(l.Dir, "nodes")); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	sandboxes := sandboxSockets(subdirectories(filepath.Join(l.Dir, "nodes")))
	if err := removeCgroup(ctx, l.cgroup(), realNodeGrace); err != nil {
		return err
	}
	if err := unmountBelow(l.Dir); err != nil {
		return err
	}
	if err := removeBridges(ctx, l.bridges()); err != nil {
		return err
	}
	var errs []error
	for _, file := range slices.Concat(sandboxes, networkResults(l.bridges()), containerLinks(l.Dir)) {
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("removing what the nodes left: %w", err)
	}
	if err := removeDeviceSocket(); err != nil {
		return fmt.Errorf("removing what the nodes left: %w", err)
	}
	return restoreKernelSettings(l)
}

// removeDeviceSocket removes the socket that every kubelet makes at this place, and its directories, where no kubelet has it any more.
func removeDeviceSocket() error {
	const socket = "/var/lib/kubelet/device-plugins/kubelet.sock"
	if conn, err := net.Dial("unix", socket); err == nil {
		return conn.Close() // another kubelet's.
	}
	if err := os.Remove(socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	dir := filepath.Dir(socket)
	// As far as nothing of others is in it.
	for dir != "/var/lib" && os.Remove(dir) == nil {
		dir = filepath.Dir(dir)
	}
	return nil
}

// sandboxSockets are the sockets of the containers' shims. containerd puts them in /run/containerd/s, and a shim that is killed leaves its own.
func sandboxSockets(nodes []string) []string {
	var out []string
	for _, dir := range nodes {
		files, err := filepath.Glob(filepath.Join(dir, "run", "io.containerd.runtime.v2.task", "*", "*", "address"))
		if err != nil {
			continue
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if path, ok := strings.CutPrefix(strings.TrimSpace(string(data)), "unix://"); err == nil && ok && strings.HasPrefix(path, "/run/containerd/s/") {
				out = append(out, path)
			}
		}
	}
	return out
}

// networkResults are the notes that the network library keeps of each sandbox, under the name of the network, and beside each one of its loopback.
func networkResults(network string) []string {
	const dir = "/var/lib/cni/results"
	files, err := filepath.Glob(filepath.Join(dir, network+"*-eth0"))
	if err != nil {
		return nil
	}
	var out []string
	for _, file := range files {
		out = append(out, file)
		_, rest, _ := strings.Cut(filepath.Base(file), "-")
		out = append(out, filepath.Join(dir, "cni-loopback-"+strings.TrimSuffix(rest, "-eth0")+"-lo"))
	}
	return out
}

// containerLinks are the links to logs that kubelets put into a directory all of them share.
func containerLinks(dir string) []string {
	const links = "/var/log/containers"
	entries, err := os.ReadDir(links)
	if err != nil {
		return nil
	}
	var out []string
	for _, e := range entries {
		link := filepath.Join(links, e.Name())
		if at, err := os.Readlink(link); err == nil && strings.HasPrefix(at, dir+string(filepath.Separator)) {
			out = append(out, link)
		}
	}
	return out
}

// unmountBelow unmounts everything below a directory, the last mounted first.
func unmountBelow(dir string) error {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return fmt.Errorf("looking for the mounts of the nodes: %w", err)
	}
	for _, point := range slices.Backward(mountsBelow(string(data), dir)) {
		if err := syscall.Unmount(point, syscall.MNT_DETACH); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.ENOENT) {
			return fmt.Errorf("unmounting %s: %w", point, err)
		}
	}
	return nil
}

var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

// mountsBelow reads mountinfo: the mount points below a directory, in the order in which they were mounted.
func mountsBelow(mountinfo, dir string) []string {
	var out []string
	for line := range strings.Lines(mountinfo) {
		fields := strings.Fields(line)
		if len(fields) < 5 {
			continue
		}
		if point := unescape.Replace(fields[4]); strings.HasPrefix(point, dir+string(filepath.Separator)) {
			out = append(out, point)
		}
	}
	return out
}

// kernelSettings are what a kubelet sets on the machine it runs on.
var kernelSettings = []string{"vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops", "kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes"}

func kernelSettingsFile(l Layout) string { return l.node("kernel.json") }

// keepKernelSettings notes what was set before the first kubelet of the fleet.
func keepKernelSettings(l Layout) error {
	if _, err := os.Stat(kernelSettingsFile(l)); err == nil {
		return nil
	}
	was := map[string]string{}
	for _, name := range kernelSettings {
		data, err := os.ReadFile("/proc/sys/" + name)
		if err != nil {
			return fmt.Errorf("noting the kernel's settings: %w", err)
		}
		was[name] = strings.TrimSpace(string(data))
	}
	data, err := json.Marshal(was)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(kernelSettingsFile(l)), 0o700); err != nil {
		return fmt.Errorf("noting the kernel's settings: %w", err)
	}
	return writeFile(kernelSettingsFile(l), data, 0o600)
}

func restoreKernelSettings(l Layout) error {
	data, err := os.ReadFile(kernelSettingsFile(l))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	was := map[string]string{}
	if err == nil {
		err = json.Unmarshal(data, &was)
	}
	for _, name := range kernelSettings {
		if value, ok := was[name]; ok {
			err = errors.Join(err, os.WriteFile("/proc/sys/"+name, []byte(value), 0o644))
		}
	}
	if err != nil {
		return fmt.Errorf("restoring the kernel's settings: %w", err)
	}
	return nil
}
