package fleet

import (
	"strings"
	"testing"
)

func TestKubeconfig(t *testing.T) {
	const good = `apiVersion: v1
kind: Config
current-context: x
clusters: [{name: c, cluster: {server: "https://member.example:6443"CLUSTER}}]
users: [{name: u, user: {token: sesame USER}} UNUSED]
contexts: [{name: x, context: {cluster: c, user: u}}]`
	tests := []struct {
		name                  string
		text                  string
		cluster, user, unused string
		want                  []string // pieces of the error; none means it is taken
	}{
		{name: "a token is taken"},
		{
			name:   "a user that the current context does not name may run programs, because it is not used",
			unused: ", {name: v, user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: /bin/evil, interactiveMode: Never}}}",
		},
		{name: "a program is refused", user: ", exec: {apiVersion: client.authentication.k8s.io/v1, command: /bin/evil, interactiveMode: Never}", want: []string{"exec is not allowed"}},
		{name: "a login flow is refused", user: ", auth-provider: {name: oidc}", want: []string{"auth-provider is not allowed"}},
		{name: "a token file is refused", user: ", tokenFile: /var/run/secrets/token", want: []string{"tokenFile is not allowed"}},
		{name: "a certificate authority file is refused", cluster: ", certificate-authority: /etc/ca", want: []string{"certificate-authority is not allowed"}},
		{
			name: "all that is refused is said together", user: ", client-certificate: /a, client-key: /b",
			want: []string{"client-certificate is not allowed", "client-key is not allowed"},
		},
		{name: "no current context is said", text: "apiVersion: v1\nkind: Config\n", want: []string{"no current-context"}},
		{name: "a current context that is not there is said", text: "apiVersion: v1\nkind: Config\ncurrent-context: nope\n", want: []string{`"nope" is not among its contexts`}},
		{name: "nonsense is said to be that", text: "{{{", want: []string{"parsing the kubeconfig"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			text := tt.text
			if text == "" {
				text = strings.NewReplacer("CLUSTER", tt.cluster, "USER", tt.user, "UNUSED", tt.unused).Replace(good)
			}
			cfg, err := restConfig([]byte(text))
			if len(tt.want) == 0 {
				if err != nil {
					t.Fatalf("refused: %v", err)
				}
				if cfg.Timeout != 0 || cfg.QPS != -1 || cfg.Proxy == nil {
					t.Errorf("timeout %s, QPS %v, proxy function set %t; want none, -1 and true", cfg.Timeout, cfg.QPS, cfg.Proxy != nil)
				}
				return
			}
			if err == nil {
				t.Fatal("taken, but should be refused")
			}
			for _, w := range tt.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("the error does not say %q: %v", w, err)
				}
			}
		})
	}
}

func TestPlainErrorsAreTheSameFromOneAttemptToTheNext(t *testing.T) {
	conn, err := Connect([]byte(`{apiVersion: v1, kind: Config, current-context: x,
clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}], users: [{name: u, user: {token: t}}], contexts: [{name: x, context: {cluster: c, user: u}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	want := "GET https://127.0.0.1:1/readyz: dial tcp 127.0.0.1:1: connect: connection refused"
	for range 2 {
		if got := plain(conn.Ready(t.Context())); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
