package localfleet

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

const (
	tektonNamespace = "tekton-pipelines"
	webhookService  = "tekton-pipelines-webhook"
)

var pipelineRunResource = schema.GroupVersionResource{Group: "tekton.dev", Version: "v1", Resource: "pipelineruns"}

// tektonManifests are Tekton's own, made fit for a webhook that is a process beside the API server: its Service is
// an ExternalName of this machine, and the process's port is in every reference to it. The API server resolves such a
// Service by itself; the certificate stays that of <service>.<namespace>.svc, and Tekton's webhook fills in the CA.
func tektonManifests(moduleDir string, webhookPort int) ([]*unstructured.Unstructured, error) {
	objs, err := readManifests(filepath.Join(moduleDir, "config"), "resolvers", "events.yaml", "webhook-hpa.yaml")
	if err != nil {
		return nil, err
	}
	var out []*unstructured.Unstructured
	for _, obj := range objs {
		switch obj.GetKind() {
		case "Deployment":
			continue
		case "Service":
			if obj.GetName() != webhookService {
				continue
			}
			obj.Object["spec"] = map[string]any{"type": "ExternalName", "externalName": "localhost"}
		case "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration":
			hooks, _, err := unstructured.NestedSlice(obj.Object, "webhooks")
			if err != nil {
				return nil, fmt.Errorf("reading Tekton's %s %s: %w", obj.GetKind(), obj.GetName(), err)
			}
			for _, h := range hooks {
				if err := unstructured.SetNestedField(h.(map[string]any), int64(webhookPort), "clientConfig", "service", "port"); err != nil {
					return nil, fmt.Errorf("setting the port of Tekton's %s %s: %w", obj.GetKind(), obj.GetName(), err)
				}
			}
			obj.Object["webhooks"] = hooks
		case "CustomResourceDefinition":
			service := []string{"spec", "conversion", "webhook", "clientConfig", "service"}
			if _, found, _ := unstructured.NestedMap(obj.Object, service...); found {
				if err := unstructured.SetNestedField(obj.Object, int64(webhookPort), append(service, "port")...); err != nil {
					return nil, fmt.Errorf("setting the webhook port of CRD %s: %w", obj.GetName(), err)
				}
			}
		}
		out = append(out, obj)
	}
	return out, nil
}

// startTekton installs Tekton on the hub and starts it.
func (u *upRun) startTekton(ctx context.Context, hub *clusterClient) error {
	dir, err := u.tool.moduleDir(ctx, filepath.Join(u.state.Source, filepath.FromSlash(modulesDir), "tekton"), tektonModule)
	if err != nil {
		return err
	}
	objs, err := tektonManifests(dir, u.state.Port(Hub, PartTektonWebhook, "https"))
	if err != nil {
		return err
	}
	if u.state.TektonInstalled {
		// From its first life on, the webhook must answer before Tekton's ConfigMaps may be applied again.
		if err := u.ensureAll(ctx, tektonParts(u.layout, u.state)); err != nil {
			return err
		}
	}
	if err := hub.apply(ctx, objs); err != nil {
		return err
	}
	for _, name := range []string{PartTektonController, PartTektonWebhook} {
		account := strings.Replace(name, "tekton-", "tekton-pipelines-", 1)
		if err := hub.writePartIdentity(ctx, u.layout, u.state, u.cred, name, tektonNamespace, account); err != nil {
			return err
		}
	}
	if err := u.ensureAll(ctx, tektonParts(u.layout, u.state)); err != nil {
		return err
	}
	if err := hub.awaitTektonAdmission(ctx); err != nil {
		log := u.layout.Log(Hub, PartTektonWebhook)
		return &partError{part: Hub + "/" + PartTektonWebhook, log: log, tail: tailLines(log, 15), err: err}
	}
	return u.save(func(s *State) { s.TektonInstalled = true })
}

// awaitTektonAdmission waits until Tekton's webhook takes part: a PipelineRun that says nothing is refused by it, and
// one that says enough comes back with its defaults. Both are dry runs.
func (c *clusterClient) awaitTektonAdmission(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	last := errors.New("it was not asked yet")
	err := poll(ctx, 100*time.Millisecond, func() bool {
		if _, err := c.dryRunPipelineRun(ctx, map[string]any{}); err == nil || !strings.Contains(err.Error(), "denied the request") {
			last = fmt.Errorf("an empty PipelineRun is not refused by it (%w)", orAccepted(err))
			return false
		}
		got, err := c.dryRunPipelineRun(ctx, map[string]any{"pipelineRef": map[string]any{"name": "any"}})
		if err != nil {
			last = err
			return false
		}
		if _, found, _ := unstructured.NestedString(got.Object, "spec", "timeouts", "pipeline"); !found {
			last = errors.New("a PipelineRun does not get its defaults from it")
			return false
		}
		return true
	})
	if err != nil {
		return fmt.Errorf("waiting for Tekton's webhook to take part in admission: %w", last)
	}
	return nil
}

func (c *clusterClient) dryRunPipelineRun(ctx context.Context, spec map[string]any) (*unstructured.Unstructured, error) {
	obj := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "tekton.dev/v1", "kind": "PipelineRun",
		"metadata": map[string]any{"generateName": "periplus-local-check-", "namespace": metav1.NamespaceDefault},
		"spec":     spec,
	}}
	return c.dynamic.Resource(pipelineRunResource).Namespace(metav1.NamespaceDefault).
		Create(ctx, obj, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
}

func orAccepted(err error) error {
	if err == nil {
		return errors.New("it is accepted")
	}
	return err
}
