package stage

import (
	"os"
	"path/filepath"
	"testing"

	"sigs.k8s.io/yaml"
)

// Stored stages are read by the plural that the API server knows their kind by: it must be the CRD's.
func TestEveryKindIsReadByItsCRDsPlural(t *testing.T) {
	files, err := filepath.Glob("../../config/hub/300-crds/stages.periplus.dev_*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no CRDs: %v", err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var crd struct {
			Spec struct{ Names struct{ Kind, Plural string } }
		}
		if err := yaml.Unmarshal(raw, &crd); err != nil {
			t.Fatal(err)
		}
		if names := crd.Spec.Names; resourceOf(names.Kind) != names.Plural {
			t.Errorf("a stored %s is read as %s, and is %s", names.Kind, resourceOf(names.Kind), names.Plural)
		}
	}
}
