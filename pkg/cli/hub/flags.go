package hub

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/pflag"
	tekton "github.com/tektoncd/pipeline/pkg/client/clientset/versioned"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	periplus "github.com/periplus-dev/periplus/pkg/client/clientset/versioned"
)

// Flags say which hub, which namespace, and as whom.
type Flags struct {
	Kubeconfig string
	Context    string
	Namespace  string
	As         string
	AsGroups   []string
}

// AddTo adds the flags to a command's.
func (f *Flags) AddTo(fs *pflag.FlagSet) {
	f.AddHubTo(fs)
	fs.StringVarP(&f.Namespace, "namespace", "n", "", "`name` of the run's namespace; the context's where empty")
}

// AddHubTo adds the flags that say which hub and as whom, for commands about the whole hub.
func (f *Flags) AddHubTo(fs *pflag.FlagSet) {
	fs.StringVar(&f.Kubeconfig, "kubeconfig", "", "path of the kubeconfig `file`; $KUBECONFIG, then ~/.kube/config where empty")
	fs.StringVar(&f.Context, "context", "", "`name` of the kubeconfig's context that is the hub; its current one where empty")
	fs.StringVar(&f.As, "as", "", "`user` to act as")
	fs.StringArrayVar(&f.AsGroups, "as-group", nil, "`group` to act in, with --as; may be given several times")
}

// Hub is a cluster that is reached.
type Hub struct {
	Tekton   tekton.Interface
	Periplus periplus.Interface
	Kube     kubernetes.Interface
	// Namespace of the runs.
	Namespace string
	// Server is the address, for messages.
	Server string
	// NamespaceFlag and Flags are what a printed command needs to reach the same place, such as "-n shop" and "--context hub".
	NamespaceFlag string
	Flags         string
}

// Connect makes the clients. Nothing is sent yet.
func (f *Flags) Connect() (*Hub, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = f.Kubeconfig
	overrides := &clientcmd.ConfigOverrides{CurrentContext: f.Context}
	overrides.Context.Namespace = f.Namespace
	overrides.AuthInfo.Impersonate = f.As
	overrides.AuthInfo.ImpersonateGroups = f.AsGroups
	if f.As == "" && len(f.AsGroups) > 0 {
		return nil, errors.New("--as-group needs --as: say the user too")
	}
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, overrides)
	config, err := loader.ClientConfig()
	if err != nil {
		if clientcmd.IsEmptyConfig(err) {
			return nil, errors.New("no hub is configured: give --kubeconfig, or set KUBECONFIG (for a local fleet `periplus local status` prints its path)")
		}
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	namespace, _, err := loader.Namespace()
	if err != nil {
		return nil, fmt.Errorf("reading the namespace out of the kubeconfig: %w", err)
	}
	return f.connect(config, namespace)
}

func (f *Flags) connect(config *rest.Config, namespace string) (*Hub, error) {
	h := &Hub{Namespace: namespace, Server: config.Host, Flags: f.again()}
	if f.Namespace != "" {
		h.NamespaceFlag = "-n " + quoted(f.Namespace)
	}
	// Warnings of the server would tear a screen that is drawn.
	config.WarningHandler = rest.NoWarnings{}
	var err error
	if h.Tekton, err = tekton.NewForConfig(config); err != nil {
		return nil, fmt.Errorf("making a client for Tekton at %s: %w", config.Host, err)
	}
	if h.Periplus, err = periplus.NewForConfig(config); err != nil {
		return nil, fmt.Errorf("making a client for Periplus at %s: %w", config.Host, err)
	}
	if h.Kube, err = kubernetes.NewForConfig(config); err != nil {
		return nil, fmt.Errorf("making a client for %s: %w", config.Host, err)
	}
	return h, nil
}

// again gives the flags that a command needs to reach the same hub. As whom is left out: who answers says so himself.
func (f *Flags) again() string {
	var out []string
	if f.Kubeconfig != "" {
		out = append(out, "--kubeconfig "+quoted(f.Kubeconfig))
	}
	if f.Context != "" {
		out = append(out, "--context "+quoted(f.Context))
	}
	return strings.Join(out, " ")
}

// quoted writes a word as a POSIX shell takes it.
func quoted(s string) string {
	harmless := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("@%+=:,./_-", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !harmless(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
