package apiserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/dynamic"
)

const kindCRD = "CustomResourceDefinition"

var crds = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}

// Apply applies every object of these files, and of the files below these folders in the order of their paths, by server-side apply as the
// admin, and waits until new kinds are served. Registrations of webhooks are left out, for nobody answers here: each request would wait for its timeout. A test that
// starts a webhook registers it by ApplyObject.
func (s *Server) Apply(ctx context.Context, paths ...string) error {
	var made []string
	for _, path := range paths {
		objs, err := ReadManifests(path)
		if err != nil {
			return err
		}
		for _, obj := range objs {
			if obj.GetKind() == "MutatingWebhookConfiguration" {
				continue
			}
			if obj.GetKind() != kindCRD && len(made) > 0 {
				if err := s.awaitServed(ctx, made); err != nil {
					return err
				}
				made = nil
			}
			if err := s.ApplyObject(ctx, obj); err != nil {
				return err
			}
			if obj.GetKind() == kindCRD {
				made = append(made, obj.GetName())
			}
		}
	}
	return s.awaitServed(ctx, made)
}

// ApplyObject applies one object as the admin.
func (s *Server) ApplyObject(ctx context.Context, obj *unstructured.Unstructured) error {
	what := fmt.Sprintf("applying %s %s", obj.GetKind(), obj.GetName())
	gvk := obj.GroupVersionKind()
	mapping, err := s.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	var client dynamic.ResourceInterface = s.dynamic.Resource(mapping.Resource)
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		client = s.dynamic.Resource(mapping.Resource).Namespace(obj.GetNamespace())
	}
	if _, err := client.Apply(ctx, obj.GetName(), obj, metav1.ApplyOptions{FieldManager: "periplus-test", Force: true}); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

func (s *Server) awaitServed(ctx context.Context, names []string) error {
	for _, name := range names {
		err := wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, 2*time.Minute, true, func(ctx context.Context) (bool, error) {
			crd, err := s.dynamic.Resource(crds).Get(ctx, name, metav1.GetOptions{})
			if err != nil {
				return false, err
			}
			conditions, _, _ := unstructured.NestedSlice(crd.Object, "status", "conditions")
			for _, c := range conditions {
				if m, ok := c.(map[string]any); ok && m["type"] == "Established" && m["status"] == "True" {
					return true, nil
				}
			}
			return false, nil
		})
		if err != nil {
			return fmt.Errorf("waiting for %s to be served: %w", name, err)
		}
	}
	s.mapper.Reset()
	return nil
}

// ReadManifests reads the objects of a YAML file, or of the YAML files below a folder in the order of their paths.
func ReadManifests(root string) ([]*unstructured.Unstructured, error) {
	var out []*unstructured.Unstructured
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".yaml" {
			return err
		}
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		defer file.Close()
		decoder := utilyaml.NewYAMLOrJSONDecoder(file, 4096)
		for {
			obj := &unstructured.Unstructured{}
			if err := decoder.Decode(&obj.Object); errors.Is(err, io.EOF) {
				return nil
			} else if err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			if len(obj.Object) > 0 {
				out = append(out, obj)
			}
		}
	})
	if err != nil {
		return nil, fmt.Errorf("reading the manifests of %s: %w", root, err)
	}
	return out, nil
}
