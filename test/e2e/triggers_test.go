//go:build e2e

package e2e

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/localfleet"
)

// github is a repository on GitHub whose webhook leads to an EventListener of Tekton Triggers.
type github struct {
	p      *port
	at     localfleet.Listener
	url    string
	secret string
}

// listens applies docs/examples/triggers but for its policy, and has the EventListener played.
func (p *port) listens() *github {
	p.t.Helper()
	raw := make([]byte, 20)
	must(rand.Read(raw))(p.t)
	g := &github{p: p, at: localfleet.Listener{Namespace: p.ns + "-triggers", Name: "github"}, secret: hex.EncodeToString(raw)}
	p.t.Cleanup(func() {
		if err := p.fleet.Unlisten(context.Background(), g.at.Namespace, g.at.Name); err != nil {
			p.t.Error(err)
		}
		if p.t.Failed() {
			return
		}
		p.kubectl("hub", "", "delete", "namespace", g.at.Namespace, "--wait=false")
		p.kubectl("hub", "", "delete", "clusterrolebinding", g.at.Namespace+"-listener")
		p.kubectl("hub", "", "delete", "releasepolicy", g.at.Namespace, "--ignore-not-found")
	})
	for _, file := range []string{"account.yaml", "listener.yaml"} {
		p.apply("hub", p.words("docs/examples/triggers/"+file))
	}
	p.kubectl("hub", "", "create", "secret", "generic", "github-webhook", "-n", g.at.Namespace, "--from-literal=secret="+g.secret)
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	g.url = must(p.fleet.Listen(ctx, g.at.Namespace, g.at.Name))(p.t)
	return g
}

// pushes delivers what GitHub sends when somebody pushed a tag, signed with a secret, and returns how the listener calls the event. The listener takes everything
// and decides later.
func (g *github) pushes(login, tag, secret string) string {
	t := g.p.t
	t.Helper()
	raw := must(os.ReadFile("testdata/github-push-tag.json"))(t)
	body := strings.NewReplacer("LOGIN", login, "TAG", tag).Replace(string(raw))
	sum := hmac.New(sha256.New, []byte(secret))
	sum.Write([]byte(body))
	req := must(http.NewRequest(http.MethodPost, g.url, strings.NewReader(body)))(t)
	for name, value := range map[string]string{
		"Content-Type": "application/json", "User-Agent": "GitHub-Hookshot/f00", "X-GitHub-Event": "push", "X-GitHub-Delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
		"X-Hub-Signature-256": "sha256=" + hex.EncodeToString(sum.Sum(nil)),
	} {
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer := must(io.ReadAll(resp.Body))(t)
	var event struct {
		ID string `json:"eventID"`
	}
	if err := json.Unmarshal(answer, &event); err != nil || resp.StatusCode != http.StatusAccepted || event.ID == "" {
		t.Fatalf("the listener answers %s: %s (%v)", resp.Status, answer, err)
	}
	return event.ID
}

// nothingComesOf waits until the listener has said why an event starts nothing.
func (g *github) nothingComesOf(event, why string) {
	g.p.t.Helper()
	g.p.eventually("the listener gives an event up because: "+why, func() (bool, string) {
		said := "nothing"
		for line := range strings.Lines(string(must(os.ReadFile(g.p.fleet.Log("hub", g.at.Part())))(g.p.t))) {
			if !strings.Contains(line, event) || strings.Contains(line, "handling event") {
				continue
			}
			said = line
			if strings.Contains(line, why) {
				return true, said
			}
		}
		return false, said
	})
}

// started waits for the run of an event.
func (p *port) started(run string) {
	p.t.Helper()
	p.eventually(run+" is started", func() (bool, string) {
		_, err := p.tekton.TektonV1().PipelineRuns(p.ns).Get(context.Background(), run, metav1.GetOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			p.t.Fatal(err)
		}
		return err == nil, fmt.Sprint(err)
	})
}

// runs are the names of all PipelineRuns of the namespace.
func (p *port) runs() string {
	p.t.Helper()
	var names []string
	for _, pr := range must(p.tekton.TektonV1().PipelineRuns(p.ns).List(context.Background(), metav1.ListOptions{}))(p.t).Items {
		names = append(names, pr.Name)
	}
	return strings.Join(names, " ")
}

// The story of docs/ci.md: a tag pushed on GitHub, Tekton Triggers' own EventListener and interceptors, and the manifests as the docs show them.
func TestATagPushedOnGitHubStartsTheReleaseInThePushersName(t *testing.T) {
	t.Parallel()
	p := newPort(t).withExample()
	p.apply("hub", p.words("docs/examples/triggers/policy.yaml"))
	g := p.listens()

	// What starts nothing.
	g.nothingComesOf(g.pushes("bob-writes", "v2", "guessed"), "payload signature check failed")
	g.nothingComesOf(g.pushes("mallory", "v2", g.secret), "no such key: mallory")
	g.nothingComesOf(g.pushes("bob-writes", "latest", g.secret), "did not return true")
	if runs := p.runs(); runs != "" {
		t.Fatalf("there are runs: %s", runs)
	}

	// What does: bob is the one who releases, by the listener's word.
	const run = "productpage-v2"
	g.pushes("bob-writes", "v2", g.secret)
	p.started(run)
	account := "system:serviceaccount:" + g.at.Namespace + ":github"
	if got := p.pipelineRun(run).Annotations; got[v1alpha1.AnnotationInitiator] != account || got[v1alpha1.AnnotationOnBehalfOf] != "bob" {
		t.Errorf("annotations of the run: %v", got)
	}
	p.comesTo(run, "confirm", "AwaitingApproval")
	if rel := p.record(run); rel == nil || rel.Spec.Initiator != "bob" {
		t.Errorf("the record does not say that bob released: %+v", rel)
	}

	// It is delivered again, as GitHub lets people do.
	g.nothingComesOf(g.pushes("bob-writes", "v2", g.secret), "already exists")

	// Bob is an SRE, whom the Confirm asks, and pushed the tag: he may not answer.
	if out, err := p.periplus("bob", "confirm", run, "--message", "it is mine"); err == nil || !strings.Contains(out, "by bob: who started the release may not answer") {
		t.Errorf("bob, who pushed the tag, confirmed it (%v): %s", err, out)
	}
	if out, err := p.periplus("carol", "confirm", run, "--message", "looks good"); err != nil {
		t.Fatalf("carol cannot confirm: %v\n%s", err, out)
	}
	if reason := p.ends(run); reason != "Completed" {
		t.Fatalf("the run ended %s\n%s", reason, p.scene())
	}
	for _, m := range members {
		if got := p.updated(m, "productpage:v2"); got != "dca=4 dcb=4" {
			t.Errorf("at the end %s has %s", m, got)
		}
	}
	if rel := p.atRest(run); rel.Status.Phase != v1alpha1.ReleaseSucceeded {
		t.Errorf("the record: %+v", rel.Status)
	}
	if runs := p.runs(); runs != run {
		t.Errorf("there are runs: %s", runs)
	}
}

func TestAListenerWithoutThePolicysWordReleasesInNobodysName(t *testing.T) {
	t.Parallel()
	p := newPort(t).withExample()
	g := p.listens()
	const run = "productpage-v2-1"
	g.pushes("bob-writes", "v2.1", g.secret)
	p.started(run)
	message := p.comesTo(run, "canary-m1", "ForbiddenByPolicy", "Baking", "Succeeded")
	if !strings.Contains(message, `on behalf of "bob"`) || !strings.Contains(message, "system:serviceaccount:"+g.at.Namespace+":github") {
		t.Errorf("the refusal: %s", message)
	}
	if reason := p.ends(run); reason != "Failed" {
		t.Errorf("the run ended %s", reason)
	}
	for _, m := range members {
		if got := p.updated(m, "productpage:v2.1"); got != "dca=0 dcb=0" {
			t.Errorf("%s has %s", m, got)
		}
	}
}
