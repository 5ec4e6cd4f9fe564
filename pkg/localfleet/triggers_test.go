package localfleet

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func withTriggers(t *testing.T, listeners ...Listener) (Layout, *State) {
	t.Helper()
	l, s := testState(t)
	if err := s.merge(Options{Source: "/src", Triggers: true}); err != nil {
		t.Fatal(err)
	}
	s.Listeners = listeners
	if err := allocatePorts(s, l.Dir, func(int) bool { return true }); err != nil {
		t.Fatal(err)
	}
	return l, s
}

func namesOf(parts []part) []string {
	var out []string
	for _, p := range parts {
		out = append(out, p.String())
	}
	return out
}

func TestTriggersAreAnOption(t *testing.T) {
	const interceptors, shop, other = "hub/triggers-interceptors", "hub/listener-shop.github", "hub/listener-shop-github.x"
	t.Run("a fleet that nobody asked for them has none of their parts, ports and programs", func(t *testing.T) {
		l, s := testState(t)
		s.Listeners = []Listener{{"shop", "github"}}
		if got := namesOf(triggersParts(l, s)); got != nil {
			t.Errorf("parts are %v", got)
		}
		if got := triggersPorts(s); got != nil {
			t.Errorf("ports are %v", got)
		}
	})
	t.Run("a fleet that has them keeps them, with the EventListeners that it plays", func(t *testing.T) {
		l, s := withTriggers(t, Listener{"shop", "github"}, Listener{"shop-github", "x"})
		if err := s.merge(Options{Source: "/src"}); err != nil {
			t.Fatal(err)
		}
		if err := writeState(l, s); err != nil {
			t.Fatal(err)
		}
		s, err := readState(l)
		if err != nil {
			t.Fatal(err)
		}
		got := namesOf(allParts(l, s))
		for _, want := range []string{interceptors, shop, other} {
			if !slices.Contains(got, want) {
				t.Errorf("parts are %v, without %s", got, want)
			}
		}
	})
	t.Run("all of them listen on ports of this fleet, and a sink for the EventListener that it is of", func(t *testing.T) {
		l, s := withTriggers(t, Listener{"shop", "github"})
		var ports []int
		for _, p := range triggersParts(l, s) {
			if p.port == 0 || !slices.Equal(p.ports, []int{p.port}) || slices.Contains(ports, p.port) {
				t.Errorf("%s has ports %v", p, p.ports)
			}
			ports = append(ports, p.port)
		}
		p := listenerPart(l, s, Listener{"shop", "github"})
		for _, want := range []string{"--el-namespace=shop", "--el-name=github", "--kubeconfig=" + l.partKubeconfig(Hub, "listener-shop.github")} {
			if !slices.Contains(p.args, want) {
				t.Errorf("the sink gets %v, without %s", p.args, want)
			}
		}
	})
	t.Run("programs of Triggers are edited, and built for fleets that have it", func(t *testing.T) {
		found := 0
		for _, b := range binaries {
			if strings.HasPrefix(b.pkg, triggersModule) {
				found++
				if !b.triggers || len(b.edits) == 0 {
					t.Errorf("%s: of Triggers only: %t, edits %v", b.name, b.triggers, b.edits)
				}
			}
		}
		if found != 2 {
			t.Errorf("there are %d of them", found)
		}
	})
	t.Run("an EventListener that is forgotten leaves nothing behind", func(t *testing.T) {
		l, s := withTriggers(t, Listener{"shop", "github"}, Listener{"cart", "github"})
		if err := l.make(); err != nil {
			t.Fatal(err)
		}
		config := l.partKubeconfig(Hub, "listener-shop.github")
		if err := os.WriteFile(config, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := forgetListener(t.Context(), l, s, Listener{"shop", "github"}); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(config); err == nil {
			t.Error("its kubeconfig is there")
		}
		s, err := readState(l)
		if err != nil {
			t.Fatal(err)
		}
		if got := namesOf(triggersParts(l, s)); !slices.Equal(got, []string{interceptors, "hub/listener-cart.github"}) {
			t.Errorf("parts are %v", got)
		}
		if s.Port(Hub, "listener-shop.github", "http") != 0 || s.Port(Hub, "listener-cart.github", "http") == 0 {
			t.Errorf("ports are %v", s.Ports)
		}
	})
}

func TestTriggersManifests(t *testing.T) {
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "config", "interceptors"), 0o755); err != nil {
		t.Fatal(err)
	}
	text := `
apiVersion: triggers.tekton.dev/v1alpha1
kind: ClusterInterceptor
metadata: {name: github, labels: {server/type: https}}
spec: {clientConfig: {service: {name: core, namespace: tekton-pipelines, path: github, port: 8443}}}
---
apiVersion: v1
kind: Service
metadata: {name: core}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: core}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: validation.webhook.triggers.tekton.dev}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: core}
`
	if err := os.WriteFile(filepath.Join(root, "config", "interceptors", "all.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	objs, err := triggersManifests(root, 4711)
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, o := range objs {
		kinds = append(kinds, o.GetKind())
	}
	if !slices.Equal(kinds, []string{"ClusterInterceptor", "ServiceAccount"}) {
		t.Fatalf("what is applied: %v", kinds)
	}
	if got, _, _ := unstructured.NestedString(objs[0].Object, "spec", "clientConfig", "url"); got != "https://localhost:4711/github" {
		t.Errorf("the interceptor is asked at %q", got)
	}
	if objs[0].GetLabels()["server/type"] != "https" {
		t.Error("the interceptor is not known to speak TLS: a sink would not look for its certificate")
	}
}
