package localfleet

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// isRegistration tells the objects by which an API server learns of a webhook.
func isRegistration(obj *unstructured.Unstructured) bool {
	return obj.GetKind() == "MutatingWebhookConfiguration"
}

// registrations are those of what is published for members, with the webhook at a port of this machine: nothing here forwards for a Service.
func registrations(source string, port int) ([]*unstructured.Unstructured, error) {
	objs, err := readManifests(filepath.Join(source, "config", "member"))
	if err != nil {
		return nil, err
	}
	var out []*unstructured.Unstructured
	for _, obj := range objs {
		if !isRegistration(obj) {
			continue
		}
		hooks, _, err := unstructured.NestedSlice(obj.Object, "webhooks")
		if err != nil {
			return nil, fmt.Errorf("reading %s %s: %w", obj.GetKind(), obj.GetName(), err)
		}
		for _, hook := range hooks {
			fields, ok := hook.(map[string]any)
			path, found, _ := unstructured.NestedString(fields, "clientConfig", "service", "path")
			if !ok || !found {
				return nil, fmt.Errorf("%s %s has a webhook without clientConfig.service.path, so a local fleet does not know what to ask", obj.GetKind(), obj.GetName())
			}
			fields["clientConfig"] = map[string]any{"url": loopbackURL("https", port) + path}
		}
		if err := unstructured.SetNestedSlice(obj.Object, hooks, "webhooks"); err != nil {
			return nil, fmt.Errorf("changing %s %s: %w", obj.GetKind(), obj.GetName(), err)
		}
		out = append(out, obj)
	}
	return out, nil
}

// registerWebhook has the API server of a member ask our webhook, and waits until that has published its certificate there: before that it is not believed.
func (u *upRun) registerWebhook(ctx context.Context, member *clusterClient) error {
	if u.state.Binaries[PartWebhook] == "" {
		return nil
	}
	objs, err := registrations(u.state.Source, u.state.Port(member.name, PartWebhook, "https"))
	if err != nil {
		return err
	}
	if err := member.apply(ctx, objs); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for _, obj := range objs {
		if err := member.awaitCertificate(ctx, obj.GetName()); err != nil {
			log := u.layout.Log(member.name, PartWebhook)
			return &partError{part: member.name + "/" + PartWebhook, log: log, tail: tailLines(log, 15), err: err}
		}
	}
	return nil
}

func (c *clusterClient) awaitCertificate(ctx context.Context, registration string) error {
	none := errors.New("it has none yet")
	last := none
	err := poll(ctx, 50*time.Millisecond, func() bool {
		got, err := c.typed.AdmissionregistrationV1().MutatingWebhookConfigurations().Get(ctx, registration, metav1.GetOptions{})
		if err != nil {
			last = err
			return false
		}
		last = none
		for i := range got.Webhooks {
			if len(got.Webhooks[i].ClientConfig.CABundle) == 0 {
				return false
			}
		}
		return true
	})
	if err != nil {
		return fmt.Errorf("waiting for the webhook to publish its certificate in MutatingWebhookConfiguration %s on %s: %w", registration, c.name, last)
	}
	return nil
}
