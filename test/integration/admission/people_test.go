//go:build integration

package admission

import (
	"context"
	"fmt"
	"strings"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
)

var (
	approvals     = schema.GroupVersionResource{Group: "stages.periplus.dev", Version: "v1alpha1", Resource: "approvals"}
	interventions = approvals.GroupVersion().WithResource("interventions")
	runPlans      = approvals.GroupVersion().WithResource("runplans")
	freezes       = approvals.GroupVersion().WithResource("freezes")
	releases      = schema.GroupVersionResource{Group: "stages.periplus.dev", Version: "v1alpha1", Resource: "releases"}
	targets       = schema.GroupVersionResource{Group: "stages.periplus.dev", Version: "v1alpha1", Resource: "targets"}
	customRuns    = schema.GroupVersionResource{Group: "tekton.dev", Version: "v1beta1", Resource: "customruns"}
	pipelineRuns  = schema.GroupVersionResource{Group: "tekton.dev", Version: "v1", Resource: "pipelineruns"}
)

// person is somebody who calls the API server.
type person struct {
	name   string
	config func() *rest.Config
}

var (
	admin      = person{"admin", func() *rest.Config { return server.Admin() }}
	alice      = user("alice", "release-engineers")
	bob        = user("bob", "sre")
	dave       = user("dave", "operators")
	fay        = user("fay", "on-call")
	gus        = user("gus", "on-call")
	tekton     = account("tekton-pipelines", "tekton-pipelines-controller")
	controller = account("periplus-system", "periplus-controller")
	collector  = account("kube-system", "generic-garbage-collector")
	undertaker = account("kube-system", "namespace-controller")
)

func user(name string, groups ...string) person {
	return person{name, func() *rest.Config { return server.As(name, groups...) }}
}

func account(ns, name string) person {
	return person{"system:serviceaccount:" + ns + ":" + name, func() *rest.Config { return server.AsServiceAccount(ns, name) }}
}

var clients sync.Map

func (p person) client() dynamic.Interface {
	if c, ok := clients.Load(p.name); ok {
		return c.(dynamic.Interface)
	}
	c, err := dynamic.NewForConfig(p.config())
	if err != nil {
		panic(fmt.Sprintf("making a client for %s: %v", p.name, err))
	}
	clients.Store(p.name, c)
	return c
}

func (p person) on(r schema.GroupVersionResource) dynamic.ResourceInterface {
	if r == freezes {
		return p.client().Resource(r)
	}
	return p.client().Resource(r).Namespace(namespace)
}

func resourceOf(obj *unstructured.Unstructured) schema.GroupVersionResource {
	for _, r := range []schema.GroupVersionResource{approvals, interventions, freezes, releases, targets, runPlans, customRuns, pipelineRuns} {
		if strings.ToLower(obj.GetKind())+"s" == r.Resource {
			return r
		}
	}
	panic("no resource is known for " + obj.GetKind())
}

func (p person) create(ctx context.Context, obj *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	return p.on(resourceOf(obj)).Create(ctx, obj, metav1.CreateOptions{})
}

// merge patches an object with a merge patch in JSON.
func (p person) merge(ctx context.Context, obj *unstructured.Unstructured, patch string) error {
	_, err := p.on(resourceOf(obj)).Patch(ctx, obj.GetName(), types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	return err
}

// json patches an object with a JSON patch.
func (p person) json(ctx context.Context, obj *unstructured.Unstructured, patch string) error {
	_, err := p.on(resourceOf(obj)).Patch(ctx, obj.GetName(), types.JSONPatchType, []byte(patch), metav1.PatchOptions{})
	return err
}

func (p person) patchStatus(ctx context.Context, r schema.GroupVersionResource, name, patch string, dryRun ...string) error {
	_, err := p.on(r).Patch(ctx, name, types.MergePatchType, []byte(patch), metav1.PatchOptions{DryRun: dryRun}, "status")
	return err
}

func (p person) delete(ctx context.Context, obj *unstructured.Unstructured) error {
	return p.on(resourceOf(obj)).Delete(ctx, obj.GetName(), metav1.DeleteOptions{})
}
