package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"testing"
)

func run(t *testing.T, invoked string, args ...string) (string, error) {
	t.Helper()
	root := NewRoot(invoked)
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&out)
	root.SetArgs(args)
	err := root.ExecuteContext(context.Background())
	return out.String(), err
}

func TestTextsNameTheCommandAsThePersonTypedIt(t *testing.T) {
	for _, tc := range []struct{ name, invoked, want string }{
		{"by itself", "/usr/local/bin/periplus", "periplus get [RUN]"},
		{"under another name", "/tmp/x", "periplus get [RUN]"},
		{"as a plugin of kubectl", "/home/bob/bin/kubectl-periplus", "kubectl periplus get [RUN]"},
		{"as a plugin of tkn", "/home/bob/.config/tkn/plugins/tkn-periplus", "tkn periplus get [RUN]"},
		{"as a plugin of kubectl on Windows", `C:\bin\kubectl-periplus.exe`, "kubectl periplus get [RUN]"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out, err := run(t, tc.invoked, "get", "--help")
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(out, "Usage:\n  "+tc.want) {
				t.Errorf("%q is missing in\n%s", tc.want, out)
			}
		})
	}
}

func TestShellCompletionIsThere(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		out, err := run(t, "periplus", "completion", shell)
		if err != nil || !strings.Contains(out, "periplus") {
			t.Errorf("%s: %v, %d bytes", shell, err, len(out))
		}
	}
	out, err := run(t, "periplus", "__complete", "get", "-o", "")
	if err != nil || !strings.HasPrefix(out, "json\nyaml\n") {
		t.Errorf("got %q, %v", out, err)
	}
}

type coded struct{ error }

func (coded) ExitCode() int { return 130 }

func TestReport(t *testing.T) {
	for _, tc := range []struct {
		name string
		err  error
		code int
		said string
	}{
		{"success says nothing", nil, 0, ""},
		{"an error is said and gives 1", errors.New("no"), 1, "Error: no\n"},
		{"an error that has a code of its own", fmt.Errorf("watching: %w", coded{errors.New("stopped")}), 130, "Error: watching: stopped\n"},
		{"an error that was said on the screen already", coded{errors.New("")}, 130, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var out bytes.Buffer
			if code := Report(&out, tc.err); code != tc.code || out.String() != tc.said {
				t.Errorf("got %d %q, want %d %q", code, out.String(), tc.code, tc.said)
			}
		})
	}
}

func TestVersionSaysWhatTheBinaryWasMadeOf(t *testing.T) {
	info := &debug.BuildInfo{Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "0123456789abcdef"}, {Key: "vcs.modified", Value: "true"}}}
	info.Main.Version = "v0.2.0"
	got := buildOf(info, true).String()
	if !strings.HasPrefix(got, "periplus v0.2.0 (commit 0123456789ab, with local changes) go") {
		t.Errorf("got %s", got)
	}
	if out, err := run(t, "periplus", "version", "-o", "json"); err != nil || !strings.Contains(out, `"platform"`) {
		t.Errorf("got %s, %v", out, err)
	}
}
