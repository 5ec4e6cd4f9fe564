package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	schemacel "k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
)

// customSchema is the schema of one version of a custom kind.
type customSchema struct {
	structural *structuralschema.Structural
	openapi    validation.SchemaValidator
	rules      *schemacel.Validator
}

// LoadCRDs reads the CustomResourceDefinitions of YAML files, and of those below folders, and returns a kind for each, of its storage
// version. Kinds may be shared by many stores.
func LoadCRDs(paths ...string) ([]*Kind, error) {
	var out []*Kind
	for _, root := range paths {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || filepath.Ext(path) != ".yaml" {
				return err
			}
			kinds, err := loadFile(path)
			out = append(out, kinds...)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("reading the kinds of %s: %w", root, err)
		}
	}
	return out, nil
}

func loadFile(path string) ([]*Kind, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var out []*Kind
	decoder := utilyaml.NewYAMLOrJSONDecoder(file, 4096)
	for {
		crd := &apiextensionsv1.CustomResourceDefinition{}
		if err := decoder.Decode(crd); errors.Is(err, io.EOF) {
			return out, nil
		} else if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if crd.Kind != "CustomResourceDefinition" {
			continue
		}
		for i := range crd.Spec.Versions {
			if v := &crd.Spec.Versions[i]; v.Storage {
				k, err := customKind(crd, v)
				if err != nil {
					return nil, fmt.Errorf("%s: %w", path, err)
				}
				out = append(out, k)
			}
		}
	}
}

func customKind(crd *apiextensionsv1.CustomResourceDefinition, v *apiextensionsv1.CustomResourceDefinitionVersion) (*Kind, error) {
	k := &Kind{
		Group: crd.Spec.Group, Version: v.Name, Resource: crd.Spec.Names.Plural, Kind: crd.Spec.Names.Kind,
		Namespaced: crd.Spec.Scope == apiextensionsv1.NamespaceScoped, status: v.Subresources != nil && v.Subresources.Status != nil,
		counted: bySpec, schema: &customSchema{},
	}
	internal := &apiextensions.JSONSchemaProps{}
	if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(v.Schema.OpenAPIV3Schema, internal, nil); err != nil {
		return nil, fmt.Errorf("converting the schema of %s: %w", k.Kind, err)
	}
	var err error
	if k.schema.structural, err = structuralschema.NewStructural(internal); err != nil {
		return nil, fmt.Errorf("the schema of %s: %w", k.Kind, err)
	}
	if k.schema.openapi, _, err = validation.NewSchemaValidator(internal); err != nil {
		return nil, fmt.Errorf("the schema of %s: %w", k.Kind, err)
	}
	k.schema.rules = schemacel.NewValidator(k.schema.structural, true, celconfig.PerCallLimit)
	return k, nil
}

// complete drops fields that the schema does not have and sets defaults.
func (c *customSchema) complete(fields map[string]any) {
	pruning.Prune(fields, c.structural, true)
	defaulting.PruneNonNullableNullsWithoutDefaults(fields, c.structural)
	defaulting.Default(fields, c.structural)
}

// validate says what is wrong with an object; old is nil for a new one.
func (c *customSchema) validate(old, next map[string]any) field.ErrorList {
	// A nil map in an interface is not nil to the validators.
	var before any
	var errs field.ErrorList
	if old != nil {
		before = old
		errs = validation.ValidateCustomResourceUpdate(nil, next, old, c.openapi)
	} else {
		errs = validation.ValidateCustomResource(nil, next, c.openapi)
	}
	errs = append(errs, listtype.ValidateListSetsAndMaps(nil, c.structural, next)...)
	if len(errs) > 0 || c.rules == nil {
		return errs
	}
	more, _ := c.rules.Validate(context.Background(), nil, c.structural, next, before, celconfig.RuntimeCELCostBudget)
	return append(errs, more...)
}
