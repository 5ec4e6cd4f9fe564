package hub

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

const kubeconfig = `apiVersion: v1
kind: Config
current-context: here
clusters:
- {name: a, cluster: {server: "https://a.example"}}
- {name: b, cluster: {server: "https://b.example"}}
users: [{name: me, user: {token: x}}]
contexts:
- {name: here, context: {cluster: a, user: me, namespace: shop}}
- {name: there, context: {cluster: b, user: me}}
`

func TestTheHubIsTheOneThatFlagsAndKubeconfigName(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(file, []byte(kubeconfig), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name                                      string
		args                                      []string
		env                                       string
		server, namespace, namespaceFlag, printed string
		wantErr                                   string
	}{
		{name: "the current context, out of KUBECONFIG", env: file, server: "https://a.example", namespace: "shop"},
		{name: "a file that is named", args: []string{"--kubeconfig", file}, server: "https://a.example", namespace: "shop", printed: "--kubeconfig " + file},
		{name: "a context that is named", args: []string{"--context", "there"}, env: file, server: "https://b.example", namespace: "default", printed: "--context there"},
		{name: "a namespace that is named", args: []string{"-n", "till"}, env: file, server: "https://a.example", namespace: "till", namespaceFlag: "-n till"},
		{name: "as another, who is not in printed commands", args: []string{"--as", "bob", "--as-group", "sre", "--as-group", "dev"}, env: file, server: "https://a.example", namespace: "shop"},
		{name: "a group without a user", args: []string{"--as-group", "sre"}, env: file, wantErr: "--as-group needs --as"},
		{name: "a context that is not there", args: []string{"--context", "nowhere"}, env: file, wantErr: `"nowhere"`},
		{name: "a file that is not there", args: []string{"--kubeconfig", file + "x"}, wantErr: "reading the kubeconfig"},
		{name: "nothing at all", env: os.DevNull, wantErr: "no hub is configured"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Setenv("KUBECONFIG", tc.env)
			t.Setenv("HOME", t.TempDir())
			var f Flags
			fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
			f.AddTo(fs)
			if err := fs.Parse(tc.args); err != nil {
				t.Fatal(err)
			}
			h, err := f.Connect()
			if tc.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tc.wantErr) {
					t.Fatalf("got %v, want %q", err, tc.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got := []string{h.Server, h.Namespace, h.NamespaceFlag, h.Flags}
			want := []string{tc.server, tc.namespace, tc.namespaceFlag, tc.printed}
			for i := range want {
				if got[i] != want[i] {
					t.Errorf("got %q, want %q", got, want)
				}
			}
		})
	}
}

func TestPrintedWordsAreSafeInAShell(t *testing.T) {
	for in, want := range map[string]string{"hub": "hub", "a b": "'a b'", "it's": `'it'\''s'`, "": "''", "arn:aws:eks/x@1": "arn:aws:eks/x@1"} {
		if got := quoted(in); got != want {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
	}
}
