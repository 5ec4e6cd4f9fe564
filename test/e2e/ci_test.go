//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/localfleet"
)

// ci is a GitLab that runs the job of docs/examples/ci, with the credentials that docs/ci.md makes.
type ci struct {
	p    *port
	dir  string
	kube string
	job  string
}

func (p *port) withCI() *ci {
	p.t.Helper()
	c := &ci{p: p, dir: p.t.TempDir()}
	p.t.Cleanup(func() {
		if !p.t.Failed() {
			p.kubectl("hub", "", "delete", "namespace", p.ns+"-ci", "--wait=false")
			p.kubectl("hub", "", "delete", "releasepolicy", p.ns+"-ci", "--ignore-not-found")
		}
	})
	p.apply("hub", p.words("docs/examples/ci/account.yaml"))
	p.apply("hub", p.words("docs/examples/ci/policy.yaml"))
	p.eventually("the account's token is there", func() (bool, string) {
		out := p.kubectl("hub", "", "get", "secret", "releaser", "-n", p.ns+"-ci", "-o", "jsonpath={.data.token}")
		return out != "", out
	})
	_, block, _ := strings.Cut(p.words("docs/ci.md"), "kubectl apply -f docs/examples/ci/account.yaml\n")
	block, _, ok := strings.Cut(block, "```")
	if !ok {
		p.t.Fatal("docs/ci.md does not say how to make the kubeconfig")
	}
	if out, err := c.bash(block, "KUBECONFIG="+p.fleet.KubeconfigOf("hub", "")).CombinedOutput(); err != nil {
		p.t.Fatalf("making the kubeconfig as docs/ci.md says: %v\n%s", err, out)
	}
	c.kube = filepath.Join(c.dir, "hub-for-ci")
	var file struct {
		Release struct {
			Script []string `json:"script"`
		} `json:"release"`
	}
	if err := yaml.Unmarshal([]byte(p.words("docs/examples/ci/gitlab-ci.yaml")), &file); err != nil || len(file.Release.Script) != 1 {
		p.t.Fatalf("the job of gitlab-ci.yaml: %v, %v", file.Release.Script, err)
	}
	c.job = file.Release.Script[0]
	return c
}

func (c *ci) bash(script string, env ...string) *exec.Cmd {
	cmd := exec.Command("bash", "-euo", "pipefail", "-c", script)
	cmd.Dir = c.dir
	cmd.Env = append(append(os.Environ(), "PATH="+localfleet.BinDir(c.p.checks)+":"+os.Getenv("PATH"), "NO_COLOR=1"), env...)
	return cmd
}

// runs the job for a tag that somebody pushed. What is done to the process is done once it printed some words.
func (c *ci) runs(tag, login, words string, do func(*os.Process)) (code int, printed string) {
	t := c.p.t
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*limit)
	defer cancel()
	// As bash would for its last command: signals of the CI reach periplus itself.
	cmd := c.bash("exec "+c.job, "HUB_KUBECONFIG="+c.kube, "CI_COMMIT_TAG="+tag, "CI_COMMIT_REF_SLUG="+strings.ReplaceAll(tag, ".", "-"), "GITLAB_USER_LOGIN="+login, "KUBECONFIG=/dev/null")
	out := &watched{words: words, seen: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case <-out.seen:
			out.seen = nil
			do(cmd.Process)
		case <-ctx.Done():
			_ = cmd.Process.Kill()
			t.Fatalf("the job does not end: %v\n%s", <-ended, out.text.String())
		case err := <-ended:
			var exit *exec.ExitError
			if err != nil && !errors.As(err, &exit) {
				t.Fatal(err)
			}
			return cmd.ProcessState.ExitCode(), out.text.String()
		}
	}
}

// watched is output that tells when it holds some words.
type watched struct {
	words string
	seen  chan struct{}
	told  bool
	text  bytes.Buffer
}

func (w *watched) Write(b []byte) (int, error) {
	n, err := w.text.Write(b)
	if !w.told && w.words != "" && strings.Contains(w.text.String(), w.words) {
		w.told = true
		close(w.seen)
	}
	return n, err
}

func TestACIJobStartsAReleaseAndRunAgainFollowsIt(t *testing.T) {
	t.Parallel()
	p := newPort(t).withExample()
	c := p.withCI()
	const run = "productpage-v2-1"

	// The job is cancelled while people are asked: it ends at once, and the release goes on.
	code, out := c.runs("v2.1", "alice", "Waiting at confirm", func(job *os.Process) { _ = job.Signal(syscall.SIGTERM) })
	if code != 130 {
		t.Fatalf("a cancelled job ends with %d\n%s\n%s", code, out, p.scene())
	}
	if pr := p.pipelineRun(run); pr.IsDone() || pr.Annotations[v1alpha1.AnnotationInitiator] != "system:serviceaccount:"+p.ns+"-ci:releaser" {
		t.Errorf("the run: %+v", pr)
	}
	if rel := p.record(run); rel == nil || rel.Spec.Initiator != "alice" {
		t.Errorf("the record does not say that alice released: %+v", rel)
	}

	// Run again, it follows the same release, to its end.
	code, out = c.runs("v2.1", "alice", "Waiting at confirm", func(*os.Process) { p.confirms(run) })
	if code != 0 {
		t.Fatalf("the job ends with %d\n%s\n%s", code, out, p.scene())
	}
	for _, m := range members {
		if got := p.updated(m, "productpage:v2.1"); got != "dca=4 dcb=4" {
			t.Errorf("at the end %s has %s", m, got)
		}
	}
	// And once more, when all is over.
	if code, out := c.runs("v2.1", "alice", "", nil); code != 0 {
		t.Errorf("the job ends with %d\n%s", code, out)
	}
	if runs := p.runs(); runs != run {
		t.Errorf("there are runs: %s", runs)
	}
	// The same tag in another's name is another thing.
	if code, out := c.runs("v2.1", "bob", "", nil); code != 1 || !strings.Contains(out, "for alice, not of") {
		t.Errorf("the job ends with %d\n%s", code, out)
	}

	// A sick version is found out by its canary and taken back, and the job says so.
	if code, out := c.runs("crash-v3", "alice", "", nil); code != 3 {
		t.Errorf("the job ends with %d\n%s\n%s", code, out, p.scene())
	}

	// What the account may not do.
	for _, verb := range [][]string{{"create", "approvals"}, {"create", "interventions"}, {"patch", "pipelineruns"}, {"delete", "pipelineruns"}, {"update", "targets"}, {"create", "customruns"}} {
		out, err := p.command("", "hub", "", "kubectl", append([]string{"--as=system:serviceaccount:" + p.ns + "-ci:releaser", "auth", "can-i", "-n", p.ns}, verb...)...)
		if err == nil || !strings.HasPrefix(out, "no") {
			t.Errorf("CI may %v: %s", verb, out)
		}
	}
}
