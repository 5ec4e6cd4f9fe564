package localfleet

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/mod/modfile"
)

// binary is a program that is built from a module of its own below test/local/modules.
type binary struct {
	// name is the program's file name.
	name string
	// module is the folder below test/local/modules, pkg the package to build.
	module, pkg string
	// of is the required module whose version is the program's.
	of string
	// stamped programs get their version by the linker, as Kubernetes needs; else they say v0.0.0.
	stamped bool
	// edits are made in a copy of the source, of a program that would listen on all addresses without them.
	edits []edit
	// asset programs may be taken from KUBEBUILDER_ASSETS.
	asset bool
	// real programs are of fleets with real nodes only, triggers programs of fleets with Tekton Triggers.
	real, triggers bool
}

const (
	kubernetesModule = "k8s.io/kubernetes"
	tektonModule     = "github.com/tektoncd/pipeline"
	triggersModule   = "github.com/tektoncd/triggers"
)

// binaries in the order they are built: what takes longest first.
var binaries = []binary{
	{name: "kube-apiserver", module: "kubernetes", of: kubernetesModule, pkg: kubernetesModule + "/cmd/kube-apiserver", stamped: true, asset: true},
	{name: "kube-controller-manager", module: "kubernetes", of: kubernetesModule, pkg: kubernetesModule + "/cmd/kube-controller-manager", stamped: true},
	{name: "kube-scheduler", module: "kubernetes", of: kubernetesModule, pkg: kubernetesModule + "/cmd/kube-scheduler", stamped: true},
	{name: "kubectl", module: "kubernetes", of: kubernetesModule, pkg: kubernetesModule + "/cmd/kubectl", stamped: true, asset: true},
	// A module of its own: the others need not be linked anew because this one needs more modules.
	{name: "kubelet", module: "kubelet", of: kubernetesModule, pkg: kubernetesModule + "/cmd/kubelet", stamped: true, real: true},
	{name: "tekton-controller", module: "tekton", of: tektonModule, pkg: tektonModule + "/cmd/controller", edits: loopbackEdits},
	{name: "tekton-webhook", module: "tekton", of: tektonModule, pkg: tektonModule + "/cmd/webhook", edits: loopbackEdits},
	{name: "eventlistenersink", module: "triggers", of: triggersModule, pkg: triggersModule + "/cmd/eventlistenersink", edits: triggersEdits, triggers: true},
	{name: "interceptors", module: "triggers", of: triggersModule, pkg: triggersModule + "/cmd/interceptors", edits: triggersEdits, triggers: true},
	{name: "tkn", module: "tkn", of: "github.com/tektoncd/cli", pkg: "github.com/tektoncd/cli/cmd/tkn"},
	{name: "kwok", module: "kwok", of: "sigs.k8s.io/kwok", pkg: "sigs.k8s.io/kwok/cmd/kwok"},
	{name: "etcd", module: "etcd", of: "go.etcd.io/etcd/server/v3", pkg: "go.etcd.io/etcd/server/v3", asset: true},
}

// version reads from the module's go.mod which version of the program it builds.
func (b binary) version(checkout string) (string, error) {
	file := filepath.Join(b.dir(checkout), "go.mod")
	data, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("reading which version of %s to build: %w", b.name, err)
	}
	mod, err := modfile.ParseLax(file, data, nil)
	if err != nil {
		return "", fmt.Errorf("reading which version of %s to build: %w", b.name, err)
	}
	for _, r := range mod.Require {
		if r.Mod.Path == b.of {
			return r.Mod.Version, nil
		}
	}
	return "", fmt.Errorf("reading which version of %s to build: %s does not require %s", b.name, file, b.of)
}

func (b binary) dir(checkout string) string {
	return filepath.Join(checkout, filepath.FromSlash(modulesDir), b.module)
}

// ldflags strip the program and stamp its version.
func (b binary) ldflags(version string) string {
	flags := "-s -w"
	if b.stamped {
		for _, pkg := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
			flags += " -X " + pkg + ".gitVersion=" + version
			// kubectl and the servers parse these two apart from gitVersion.
			if major, minor, ok := majorMinor(version); ok {
				flags += " -X " + pkg + ".gitMajor=" + major + " -X " + pkg + ".gitMinor=" + minor
			}
		}
	}
	return flags
}
