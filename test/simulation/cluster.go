package simulation

import (
	"encoding/json"
	"fmt"

	pipelinev1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	"github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	tektonclient "github.com/tektoncd/pipeline/pkg/client/clientset/versioned"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	appsv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	stagesv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/client/clientset/versioned"
	"github.com/periplus-dev/periplus/test/simulation/store"
)

// namespace that everything happens in.
const namespace = "shop"

// cluster is one API server, and what is on its nodes.
type cluster struct {
	name string
	api  *store.Store
	// admin reaches it without faults.
	admin clients
	// cut off: the hub does not reach it; dead: nor ever will before the release is over.
	cut, dead bool
	// checked is the version up to which the rules have looked.
	checked uint64
	// pods as the kubelets have them, and the time from which on they are remembered not to be listed by an EndpointSlice.
	nodes *nodes
	// hook is the webhook of a member with SidecarSets, and inject what it does with a pod; nil elsewhere.
	hook   *process
	inject func(*corev1.Pod, *corev1.Namespace) ([]byte, []string, error)

	objects map[*store.Object]runtime.Object
}

type clients struct {
	kube     kubernetes.Interface
	periplus versioned.Interface
	tekton   tektonclient.Interface
}

func clientsFor(cfg *rest.Config) clients {
	c := clients{}
	var err error
	if c.kube, err = kubernetes.NewForConfig(cfg); err == nil {
		if c.periplus, err = versioned.NewForConfig(cfg); err == nil {
			c.tekton, err = tektonclient.NewForConfig(cfg)
		}
	}
	if err != nil {
		panic(fmt.Errorf("making clients: %w", err)) // a config of ours that cannot be used.
	}
	return c
}

// types of what is decoded, by resource.
var types = map[string]func() runtime.Object{
	"namespaces":           func() runtime.Object { return &corev1.Namespace{} },
	"pods":                 func() runtime.Object { return &corev1.Pod{} },
	"endpointslices":       func() runtime.Object { return &discoveryv1.EndpointSlice{} },
	"replicasets":          func() runtime.Object { return &appsv1.ReplicaSet{} },
	"statefulsets":         func() runtime.Object { return &appsv1.StatefulSet{} },
	"controllerrevisions":  func() runtime.Object { return &appsv1.ControllerRevision{} },
	"poddisruptionbudgets": func() runtime.Object { return &policyv1.PodDisruptionBudget{} },
	"inplacesets":          func() runtime.Object { return &appsv1alpha1.InPlaceSet{} },
	"sidecarsets":          func() runtime.Object { return &appsv1alpha1.SidecarSet{} },
	"cafedeployments":      func() runtime.Object { return &appsv1alpha1.CafeDeployment{} },
	"customruns":           func() runtime.Object { return &v1beta1.CustomRun{} },
	"pipelineruns":         func() runtime.Object { return &pipelinev1.PipelineRun{} },
	"approvals":            func() runtime.Object { return &stagesv1alpha1.Approval{} },
	"releases":             func() runtime.Object { return &stagesv1alpha1.Release{} },
	"interventions":        func() runtime.Object { return &stagesv1alpha1.Intervention{} },
	"freezes":              func() runtime.Object { return &stagesv1alpha1.Freeze{} },
	"targets":              func() runtime.Object { return &stagesv1alpha1.Target{} },
}

func decode(o *store.Object) runtime.Object {
	out := types[o.Kind.Resource]()
	if err := json.Unmarshal(o.JSON, out); err != nil {
		panic(fmt.Errorf("decoding %s %s: %w", o.Kind.Kind, o.Name, err)) // the store encoded it.
	}
	return out
}

// truth is an object as the API server has it, decoded once. It must not be changed.
func (c *cluster) truth(o *store.Object) runtime.Object {
	if o == nil {
		return nil
	}
	if known, ok := c.objects[o]; ok {
		return known
	}
	if len(c.objects) > 4096 {
		clear(c.objects)
	}
	out := decode(o)
	c.objects[o] = out
	return out
}

// all objects of a kind that the API server has, in the order of their names. They must not be changed.
func all[T runtime.Object](c *cluster, group, resource string) []T {
	kind := c.api.Kind(group, resource)
	found := c.api.Objects(kind)
	out := make([]T, 0, len(found))
	for _, o := range found {
		if t, ok := c.truth(o).(T); ok {
			out = append(out, t)
		}
	}
	return out
}

func (c *cluster) pods() []*corev1.Pod { return all[*corev1.Pod](c, "", "pods") }

func (c *cluster) sets() []*appsv1alpha1.InPlaceSet {
	return all[*appsv1alpha1.InPlaceSet](c, "apps.periplus.dev", "inplacesets")
}

func (c *cluster) sidecars() []*appsv1alpha1.SidecarSet {
	return all[*appsv1alpha1.SidecarSet](c, "apps.periplus.dev", "sidecarsets")
}

func (c *cluster) runs() []*v1beta1.CustomRun {
	return all[*v1beta1.CustomRun](c, "tekton.dev", "customruns")
}

func (c *cluster) pipelineRuns() []*pipelinev1.PipelineRun {
	return all[*pipelinev1.PipelineRun](c, "tekton.dev", "pipelineruns")
}

func (c *cluster) releases() []*stagesv1alpha1.Release {
	return all[*stagesv1alpha1.Release](c, "stages.periplus.dev", "releases")
}

func (c *cluster) approvals() []*stagesv1alpha1.Approval {
	return all[*stagesv1alpha1.Approval](c, "stages.periplus.dev", "approvals")
}

func (c *cluster) interventions() []*stagesv1alpha1.Intervention {
	return all[*stagesv1alpha1.Intervention](c, "stages.periplus.dev", "interventions")
}

func (c *cluster) slices() []*discoveryv1.EndpointSlice {
	return all[*discoveryv1.EndpointSlice](c, "discovery.k8s.io", "endpointslices")
}
