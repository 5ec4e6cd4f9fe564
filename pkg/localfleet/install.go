package localfleet

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

const (
	// SystemNamespace is where Periplus is installed, on the hub and in every member.
	SystemNamespace = "periplus-system"

	accountController = "periplus-controller"
	accountWorkloads  = "periplus-workloads"
	accountWebhook    = "periplus-webhook"
	accountHub        = "periplus-hub"
)

// periplusManifests are what is published for the hub or for members, less what a process of ours stands for, and less registrations: a webhook that does not answer
// yet would be asked about every pod.
func periplusManifests(source, of string) ([]*unstructured.Unstructured, error) {
	root := filepath.Join(source, "config", of)
	if _, err := os.Stat(root); errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("installing Periplus: this checkout has no config/%s; use --install=false for a fleet without it", of)
	}
	objs, err := readManifests(root)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(objs, func(obj *unstructured.Unstructured) bool { return obj.GetKind() == "Deployment" || isRegistration(obj) }), nil
}

// installMember applies config/member, starts our programs, has the API server ask the webhook, and returns the kubeconfig the hub gets.
func (u *upRun) installMember(ctx context.Context, member *clusterClient) ([]byte, error) {
	objs, err := periplusManifests(u.state.Source, "member")
	if err != nil {
		return nil, err
	}
	if err := member.apply(ctx, objs); err != nil {
		return nil, err
	}
	if err := u.startOwn(ctx, member); err != nil {
		return nil, err
	}
	if err := u.registerWebhook(ctx, member); err != nil {
		return nil, err
	}
	token, err := member.serviceAccountToken(ctx, SystemNamespace, accountHub)
	if err != nil {
		return nil, err
	}
	return kubeconfig(access{context: member.name, cluster: member.name, server: u.state.server(member.name), ca: u.cred.ca, token: token})
}

// installHub applies config/hub and starts the controller.
func (u *upRun) installHub(ctx context.Context, hub *clusterClient) error {
	objs, err := periplusManifests(u.state.Source, "hub")
	if err != nil {
		return err
	}
	if err := hub.apply(ctx, objs); err != nil {
		return err
	}
	if err := hub.awaitOwnAdmission(ctx); err != nil {
		return err
	}
	// Whoever has the fleet is trusted with all of it.
	open, err := readManifests(filepath.Join(u.state.Source, "config", "variants", "open-policy"))
	if err != nil {
		return err
	}
	if err := hub.apply(ctx, open); err != nil {
		return err
	}
	return u.startOwn(ctx, hub)
}

// awaitOwnAdmission waits until our admission policies work: a server compiles them some seconds after it has them, and until then a run
// could be started whose initiator nobody stamped.
func (c *clusterClient) awaitOwnAdmission(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	last := errors.New("it was not asked yet")
	err := poll(ctx, 100*time.Millisecond, func() bool {
		got, err := c.dryRunPipelineRun(ctx, map[string]any{"pipelineRef": map[string]any{"name": "any"}})
		if err != nil {
			last = err
			return false
		}
		last = errors.New("a PipelineRun is not stamped with who created it")
		return got.GetAnnotations()[v1alpha1.AnnotationInitiator] != ""
	})
	if err != nil {
		return fmt.Errorf("waiting for the admission policies of config/hub to work: %w", last)
	}
	return nil
}

// startOwn starts our programs of a cluster side by side, each with its ServiceAccount's rights.
func (u *upRun) startOwn(ctx context.Context, c *clusterClient) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, own := range ownParts(c.name) {
		p := periplusPart(u.layout, u.state, c.name, own.name)
		if u.state.Binaries[p.binary] == "" {
			u.progress.Say("%s: this checkout has no cmd/%s yet, so it is not started", p, p.binary)
			continue
		}
		group.Go(func() error {
			if err := c.writePartIdentity(ctx, u.layout, u.state, u.cred, p.name, SystemNamespace, own.account); err != nil {
				return err
			}
			return u.ensureAll(ctx, []part{p})
		})
	}
	return group.Wait()
}

// registerMember makes the hub know a member: a Secret with the kubeconfig of the identity the hub has there, and a
// Member that names it.
func registerMember(ctx context.Context, hub *clusterClient, member string, lean bool, kubeconfig []byte) error {
	name := "member-" + member
	return hub.apply(ctx, []*unstructured.Unstructured{
		{Object: map[string]any{
			"apiVersion": "v1", "kind": "Secret",
			"metadata": map[string]any{"name": name, "namespace": SystemNamespace},
			"type":     "Opaque",
			"data":     map[string]any{"kubeconfig": base64.StdEncoding.EncodeToString(kubeconfig)},
		}},
		{Object: map[string]any{
			"apiVersion": "fleet.periplus.dev/v1alpha1", "kind": "Member",
			"metadata": map[string]any{"name": member, "labels": map[string]any{"fleet.periplus.dev/region": "local", LabelLean: strconv.FormatBool(lean)}},
			"spec": map[string]any{
				"kubeconfigSecretRef": map[string]any{"namespace": SystemNamespace, "name": name, "key": "kubeconfig"},
			},
		}},
	})
}
