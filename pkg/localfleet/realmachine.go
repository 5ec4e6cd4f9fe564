package localfleet

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// machine is what real nodes ask of the machine they run on.
type machine struct {
	root func() bool
	// exists tells whether a file is there.
	exists func(file string) bool
	// cgroups are the controllers that are mounted.
	cgroups func() []string
}

var thisMachine = machine{
	root: func() bool { return os.Geteuid() == 0 },
	exists: func(file string) bool {
		_, err := os.Stat(file)
		return err == nil
	},
	cgroups: mountedControllers,
}

// cniPlugins is the directory of the network plugins among State.Binaries.
const cniPlugins = "cni-plugins"

// realPrograms finds the programs of Debian's packages that real nodes need: a file by name, and the directory of the network plugins. Whatever the machine
// lacks is told at once.
func realPrograms(m machine) (map[string]string, error) {
	found := map[string]string{}
	var lacks, packages []string
	lack := func(what, pkg string) {
		lacks = append(lacks, what)
		if pkg != "" && !slices.Contains(packages, pkg) {
			packages = append(packages, pkg)
		}
	}
	if !m.root() {
		lack("to be root (containers and networks are made)", "")
	}
	for _, p := range []struct{ name, pkg string }{
		{"containerd", "containerd"}, {"ctr", "containerd"}, {"containerd-shim-runc-v2", "containerd"}, {"runc", "runc"},
		{"ip", "iproute2"}, {"mount", "mount"},
	} {
		file, ok := m.program(p.name)
		if !ok {
			lack("the program "+p.name, p.pkg)
		}
		found[p.name] = file
	}
	plugins := []string{"bridge", "host-local", "loopback"}
	for _, dir := range []string{"/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"} {
		if !slices.ContainsFunc(plugins, func(p string) bool { return !m.exists(filepath.Join(dir, p)) }) {
			found[cniPlugins] = dir
			break
		}
	}
	if found[cniPlugins] == "" {
		lack("the network plugins "+strings.Join(plugins, ", "), "containernetworking-plugins")
	}
	has := m.cgroups()
	for _, c := range []string{"cpu", "cpuset", "memory", "pids"} {
		if !slices.Contains(has, c) {
			lack("the control group "+c+" in "+cgroupMount, "")
		}
	}
	if len(lacks) == 0 {
		return found, nil
	}
	text := "this machine cannot run real nodes, it lacks: " + strings.Join(lacks, "; ")
	if len(packages) > 0 {
		text += fmt.Sprintf(". On Debian: apt-get install -y %s", strings.Join(packages, " "))
	}
	return nil, errors.New(text)
}

func (m machine) program(name string) (string, bool) {
	for _, dir := range filepath.SplitList(fullPath) {
		if file := filepath.Join(dir, name); m.exists(file) {
			return file, true
		}
	}
	return "", false
}
