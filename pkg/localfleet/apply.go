package localfleet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
)

// fieldManager owns what this package applies.
const fieldManager = "periplus-local"

var crdResource = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}

// cluster is a client of one cluster as its admin.
type clusterClient struct {
	name    string
	config  *rest.Config
	typed   kubernetes.Interface
	dynamic dynamic.Interface
	mapper  *restmapper.DeferredDiscoveryRESTMapper
}

func newClusterClient(l Layout, name string) (*clusterClient, error) {
	config, err := clientcmd.BuildConfigFromFlags("", l.Kubeconfig(name))
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig of %s: %w", name, err)
	}
	// The API server queues by itself; a client that counts too would only make a local fleet slow.
	config.QPS = -1
	config.WarningHandler = rest.NoWarnings{}
	typed, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("making a client of %s: %w", name, err)
	}
	dyn, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("making a client of %s: %w", name, err)
	}
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(typed.Discovery()))
	return &clusterClient{name: name, config: config, typed: typed, dynamic: dyn, mapper: mapper}, nil
}

// readManifests reads every object of the YAML files below root, sorted by path. Files that skip names are left out.
func readManifests(root string, skip ...string) ([]*unstructured.Unstructured, error) {
	var out []*unstructured.Unstructured
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if slices.Contains(skip, d.Name()) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if ext := filepath.Ext(path); d.IsDir() || ext != ".yaml" && ext != ".yml" {
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		objs, err := decodeManifests(data)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		out = append(out, objs...)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading manifests of %s: %w", root, err)
	}
	return out, nil
}

func decodeManifests(data []byte) ([]*unstructured.Unstructured, error) {
	var out []*unstructured.Unstructured
	decoder := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(data), 4096)
	for {
		obj := &unstructured.Unstructured{}
		err := decoder.Decode(&obj.Object)
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		switch {
		case len(obj.Object) == 0:
		case obj.GetKind() == "Kustomization":
		case obj.GetKind() == "" || obj.GetName() == "":
			return nil, errors.New("an object has no kind or no name")
		default:
			out = append(out, obj)
		}
	}
}

// rank orders objects so that what others stand on comes first.
func rank(obj *unstructured.Unstructured) int {
	switch obj.GetKind() {
	case "Namespace", "CustomResourceDefinition":
		return 0
	case "ServiceAccount", "Secret", "ConfigMap", "Service":
		return 1
	case "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding",
		"MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding":
		return 3
	default:
		return 2
	}
}

// apply makes the cluster hold these objects, by server-side apply, and waits until new kinds are served. Objects of
// one rank are applied side by side.
func (c *clusterClient) apply(ctx context.Context, objs []*unstructured.Unstructured) error {
	for r := range 4 {
		var crds []string
		group, groupCtx := errgroup.WithContext(ctx)
		group.SetLimit(8)
		for _, obj := range objs {
			if rank(obj) != r {
				continue
			}
			if obj.GetKind() == "CustomResourceDefinition" {
				crds = append(crds, obj.GetName())
			}
			if obj.GetKind() == "Namespace" {
				// In the same rank as CRDs, but those need no namespace: apply it before anything else can want it.
				if err := c.applyOne(ctx, obj); err != nil {
					return err
				}
				continue
			}
			group.Go(func() error { return c.applyOne(groupCtx, obj) })
		}
		if err := group.Wait(); err != nil {
			return err
		}
		if len(crds) > 0 {
			if err := c.awaitEstablished(ctx, crds); err != nil {
				return err
			}
			c.mapper.Reset()
		}
	}
	return nil
}

func (c *clusterClient) applyOne(ctx context.Context, obj *unstructured.Unstructured) error {
	what := fmt.Sprintf("applying %s %s on %s", obj.GetKind(), strings.TrimPrefix(obj.GetNamespace()+"/"+obj.GetName(), "/"), c.name)
	gvk := obj.GroupVersionKind()
	mapping, err := c.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	client := dynamic.ResourceInterface(c.dynamic.Resource(mapping.Resource))
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		ns := obj.GetNamespace()
		if ns == "" {
			ns = metav1.NamespaceDefault
		}
		client = c.dynamic.Resource(mapping.Resource).Namespace(ns)
	}
	// A webhook or a namespace may take a moment to come up after what made it: those errors pass by themselves.
	var last error
	retryCtx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	err = poll(retryCtx, 200*time.Millisecond, func() bool {
		_, last = client.Apply(ctx, obj.GetName(), obj, metav1.ApplyOptions{FieldManager: fieldManager, Force: true})
		return last == nil || !passing(last)
	})
	if err = errors.Join(last, ignoreTimeout(err)); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

func ignoreTimeout(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}

// passing errors are worth another try.
func passing(err error) bool {
	return apierrors.IsInternalError(err) || apierrors.IsServiceUnavailable(err) || apierrors.IsTooManyRequests(err) ||
		apierrors.IsConflict(err) || apierrors.IsServerTimeout(err) || apierrors.IsTimeout(err)
}

func (c *clusterClient) awaitEstablished(ctx context.Context, names []string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	left := slices.Clone(names)
	err := poll(ctx, 50*time.Millisecond, func() bool {
		left = slices.DeleteFunc(left, func(name string) bool {
			crd, err := c.dynamic.Resource(crdResource).Get(ctx, name, metav1.GetOptions{})
			return err == nil && conditionTrue(crd, "Established")
		})
		return len(left) == 0
	})
	if err != nil {
		return fmt.Errorf("waiting for %s to be served on %s: %w", strings.Join(left, ", "), c.name, err)
	}
	return nil
}

func conditionTrue(obj *unstructured.Unstructured, kind string) bool {
	conditions, _, _ := unstructured.NestedSlice(obj.Object, "status", "conditions")
	for _, c := range conditions {
		if m, ok := c.(map[string]any); ok && m["type"] == kind {
			return m["status"] == "True"
		}
	}
	return false
}
