package localfleet

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestManifests(t *testing.T) {
	root := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("200-b.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b}\n---\n# nothing\n---\napiVersion: v1\nkind: Service\nmetadata: {name: c}\n")
	write("100-a/a.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n")
	write("skipped.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: d}\n")
	write("README.md", "not YAML")
	objs, err := readManifests(root, "skipped.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, o := range objs {
		names = append(names, o.GetName())
	}
	if got := strings.Join(names, " "); got != "a b c" {
		t.Errorf("read %s, want a b c", got)
	}
	write("300-broken.yaml", "kind: ConfigMap\n")
	if _, err := readManifests(root); err == nil || !strings.Contains(err.Error(), "300-broken.yaml") {
		t.Errorf("error is %v, want one that names the file", err)
	}
}

func TestTektonManifests(t *testing.T) {
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "config"), 0o755); err != nil {
		t.Fatal(err)
	}
	text := `
apiVersion: v1
kind: Service
metadata: {name: tekton-pipelines-webhook, namespace: tekton-pipelines}
spec: {ports: [{port: 443}], selector: {a: b}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: tekton-pipelines-webhook, namespace: tekton-pipelines}
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {name: webhook.pipeline.tekton.dev}
webhooks: [{name: webhook.pipeline.tekton.dev, clientConfig: {service: {name: tekton-pipelines-webhook, namespace: tekton-pipelines}}}]
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: tasks.tekton.dev}
spec: {conversion: {webhook: {clientConfig: {service: {name: tekton-pipelines-webhook}}}}}
`
	if err := os.WriteFile(filepath.Join(root, "config", "all.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	objs, err := tektonManifests(root, 4711)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]*unstructured.Unstructured{}
	for _, o := range objs {
		found[o.GetKind()] = o
	}
	if found["Deployment"] != nil {
		t.Error("a Deployment is applied, and its pods would wait forever")
	}
	if got, _, _ := unstructured.NestedString(found["Service"].Object, "spec", "externalName"); got != "localhost" {
		t.Errorf("the webhook's Service leads to %q", got)
	}
	hooks, _, _ := unstructured.NestedSlice(found["MutatingWebhookConfiguration"].Object, "webhooks")
	if got, _, _ := unstructured.NestedInt64(hooks[0].(map[string]any), "clientConfig", "service", "port"); got != 4711 {
		t.Errorf("the webhook is called at port %d", got)
	}
	if got, _, _ := unstructured.NestedInt64(found["CustomResourceDefinition"].Object, "spec", "conversion", "webhook", "clientConfig", "service", "port"); got != 4711 {
		t.Errorf("conversion is called at port %d", got)
	}
}

func TestTheWebhookIsRegisteredByItsAddress(t *testing.T) {
	source, err := FindCheckout(".")
	if err != nil {
		t.Fatal(err)
	}
	objs, err := registrations(source, 4711)
	if err != nil || len(objs) != 1 {
		t.Fatalf("registrations are %v, %v; want the published one", objs, err)
	}
	hooks, _, _ := unstructured.NestedSlice(objs[0].Object, "webhooks")
	got, _, _ := unstructured.NestedMap(hooks[0].(map[string]any), "clientConfig")
	if len(got) != 1 || got["url"] != "https://127.0.0.1:4711/inject" {
		t.Errorf("the API server is to ask %v", got)
	}
	if policy, _, _ := unstructured.NestedString(hooks[0].(map[string]any), "failurePolicy"); policy != "Ignore" {
		t.Errorf("failurePolicy is %q: all else is to be as published", policy)
	}
	others, err := periplusManifests(source, "member")
	if err != nil {
		t.Fatal(err)
	}
	for _, obj := range others {
		if isRegistration(obj) {
			t.Errorf("%s is applied before the webhook answers", obj.GetName())
		}
	}
}

func TestLoopbackEditsFailWhereTheyNoLongerFit(t *testing.T) {
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "main.go"), []byte("listen(anywhere)"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := edit{module: "example.com/m", file: "main.go", old: "listen(everywhere)", new: "listen(here)"}.apply(root)
	if err == nil || !strings.Contains(err.Error(), "adapt loopbackEdits") {
		t.Errorf("error is %v", err)
	}
}
