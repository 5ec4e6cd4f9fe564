package store

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	policyv1 "k8s.io/api/policy/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Kind is one kind of object that a store serves.
type Kind struct {
	Group, Version, Resource, Kind string
	Namespaced                     bool

	// status: it has a status subresource.
	status bool
	// counted says which change makes a new generation.
	counted counted
	// custom kinds have a schema; built-in ones a type.
	schema *customSchema
	typed  func() runtime.Object
	// graceful: deletion waits for somebody who ends the object, as a kubelet does a pod.
	graceful bool
	// unconditional: an update need not say which version it is of.
	unconditional bool
	defaults      func(fields map[string]any)
	mayBecome     func(old, next map[string]any) field.ErrorList
	// fieldsOf are the field labels that lists and watches select by, besides name and namespace.
	fieldsOf func(o map[string]any) map[string]string
}

type counted int

const (
	notCounted counted = iota
	// bySpec: all but metadata and status.
	bySpec
	// byAll: any change.
	byAll
)

func (k *Kind) apiVersion() string {
	if k.Group == "" {
		return k.Version
	}
	return k.Group + "/" + k.Version
}

func (k *Kind) path() string {
	if k.Group == "" {
		return "api/" + k.Version + "/" + k.Resource
	}
	return "apis/" + k.Group + "/" + k.Version + "/" + k.Resource
}

func (k *Kind) resource() schema.GroupResource {
	return schema.GroupResource{Group: k.Group, Resource: k.Resource}
}

func (k *Kind) groupKind() schema.GroupKind {
	return schema.GroupKind{Group: k.Group, Kind: k.Kind}
}

// has says whether objects of the kind have a subresource; each has the one of no name.
func (k *Kind) has(subresource string) bool {
	switch subresource {
	case "":
		return true
	case "status":
		return k.status
	case "binding", subResize:
		return k.Group == "" && k.Resource == "pods"
	}
	return false
}

func builtins() []*Kind {
	core := func(resource, kind string, typed func() runtime.Object) *Kind {
		return &Kind{Version: "v1", Resource: resource, Kind: kind, Namespaced: true, typed: typed, unconditional: true}
	}
	namespaces := core("namespaces", "Namespace", func() runtime.Object { return &corev1.Namespace{} })
	namespaces.Namespaced, namespaces.status = false, true
	pods := core("pods", "Pod", func() runtime.Object { return &corev1.Pod{} })
	pods.status, pods.counted, pods.graceful = true, bySpec, true
	pods.defaults, pods.mayBecome = podDefaults, podMayBecome
	pods.fieldsOf = func(o map[string]any) map[string]string {
		return map[string]string{"spec.nodeName": text(o, "spec", "nodeName"), "status.phase": text(o, "status", "phase")}
	}
	return []*Kind{
		namespaces, pods,
		core("secrets", "Secret", func() runtime.Object { return &corev1.Secret{} }),
		core("configmaps", "ConfigMap", func() runtime.Object { return &corev1.ConfigMap{} }),
		core("events", "Event", func() runtime.Object { return &corev1.Event{} }),
		{
			Group: "apps", Version: "v1", Resource: "controllerrevisions", Kind: "ControllerRevision", Namespaced: true, unconditional: true,
			typed: func() runtime.Object { return &appsv1.ControllerRevision{} }, mayBecome: revisionMayBecome,
		},
		{
			Group: "apps", Version: "v1", Resource: "replicasets", Kind: "ReplicaSet", Namespaced: true, unconditional: true,
			typed: func() runtime.Object { return &appsv1.ReplicaSet{} }, status: true, counted: bySpec,
		},
		{
			Group: "apps", Version: "v1", Resource: "statefulsets", Kind: "StatefulSet", Namespaced: true, unconditional: true,
			typed: func() runtime.Object { return &appsv1.StatefulSet{} }, status: true, counted: bySpec,
		},
		{
			Group: "discovery.k8s.io", Version: "v1", Resource: "endpointslices", Kind: "EndpointSlice", Namespaced: true, unconditional: true,
			typed: func() runtime.Object { return &discoveryv1.EndpointSlice{} }, counted: byAll,
		},
		{
			Group: "policy", Version: "v1", Resource: "poddisruptionbudgets", Kind: "PodDisruptionBudget", Namespaced: true, unconditional: true,
			typed: func() runtime.Object { return &policyv1.PodDisruptionBudget{} }, status: true, counted: bySpec,
		},
	}
}

// canonical gives fields the form that they are kept in: what the kind does not know is dropped, what is empty is defaulted.
func (k *Kind) canonical(fields map[string]any) (map[string]any, error) {
	if k.schema != nil {
		k.schema.complete(fields)
		return fields, nil
	}
	raw, err := json.Marshal(fields)
	if err != nil {
		return nil, fmt.Errorf("encoding a %s: %w", k.Kind, err)
	}
	typed := k.typed()
	if err := json.Unmarshal(raw, typed); err != nil {
		return nil, fmt.Errorf("decoding a %s: %w", k.Kind, err)
	}
	out, err := runtime.DefaultUnstructuredConverter.ToUnstructured(typed)
	if err != nil {
		return nil, fmt.Errorf("encoding a %s: %w", k.Kind, err)
	}
	if k.defaults != nil {
		k.defaults(out)
	}
	return out, nil
}

// podDefaults sets those defaults of a pod that are read by anybody here.
func podDefaults(pod map[string]any) {
	spec := child(pod, "spec")
	setIfEmpty(spec, "restartPolicy", string(corev1.RestartPolicyAlways))
	setIfEmpty(spec, "dnsPolicy", string(corev1.DNSClusterFirst))
	setIfEmpty(spec, "schedulerName", corev1.DefaultSchedulerName)
	if _, ok := spec["terminationGracePeriodSeconds"]; !ok {
		spec["terminationGracePeriodSeconds"] = int64(corev1.DefaultTerminationGracePeriodSeconds)
	}
	setIfEmpty(child(pod, "status"), "phase", string(corev1.PodPending))
	requestsOfLimits(pod)
}

// requestsOfLimits: what is limited and not requested is requested as much, as the API server has it for new pods.
func requestsOfLimits(pod map[string]any) {
	for _, containers := range []string{"containers", "initContainers"} {
		for _, item := range list(pod, "spec", containers) {
			c, ok := item.(map[string]any)
			if limits, limited := find(c, "resources", "limits").(map[string]any); ok && limited {
				requests := child(child(c, "resources"), "requests")
				for name, v := range limits {
					if _, requested := requests[name]; !requested {
						requests[name] = v
					}
				}
			}
		}
	}
}

// podMayBecome lets images change, and nothing else of a spec.
func podMayBecome(old, next map[string]any) field.ErrorList {
	path := field.NewPath("spec")
	if len(list(next, "spec", "containers")) == 0 {
		return field.ErrorList{field.Required(path.Child("containers"), "")}
	}
	if old == nil {
		return nil
	}
	same := runtime.DeepCopyJSON(child(next, "spec"))
	for _, containers := range []string{"containers", "initContainers"} {
		was, is := list(old, "spec", containers), list(same, containers)
		if len(was) != len(is) {
			return field.ErrorList{field.Forbidden(path, "pod updates may not add or remove containers")}
		}
		for i := range is {
			a, okA := was[i].(map[string]any)
			b, okB := is[i].(map[string]any)
			if okA && okB {
				b["image"] = a["image"]
			}
		}
	}
	if !apiequality.Semantic.DeepEqual(old["spec"], any(same)) {
		return field.ErrorList{field.Forbidden(path, "pod updates may not change fields other than images")}
	}
	return nil
}

func revisionMayBecome(old, next map[string]any) field.ErrorList {
	if old != nil && !apiequality.Semantic.DeepEqual(old["data"], next["data"]) {
		return field.ErrorList{field.Invalid(field.NewPath("data"), "", "field is immutable")}
	}
	return nil
}

func child(m map[string]any, name string) map[string]any {
	c, ok := m[name].(map[string]any)
	if !ok {
		c = map[string]any{}
		m[name] = c
	}
	return c
}

func setIfEmpty(m map[string]any, name, value string) {
	if s, ok := m[name].(string); !ok || s == "" {
		m[name] = value
	}
}

func text(m map[string]any, path ...string) string {
	s, _ := find(m, path...).(string)
	return s
}

func list(m map[string]any, path ...string) []any {
	l, _ := find(m, path...).([]any)
	return l
}

func find(m map[string]any, path ...string) any {
	var at any = m
	for _, p := range path {
		c, ok := at.(map[string]any)
		if !ok {
			return nil
		}
		at = c[p]
	}
	return at
}
