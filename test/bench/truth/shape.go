package truth

import (
	"fmt"
	"os"

	"sigs.k8s.io/yaml"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/guard"
)

// Shape is a way to guard against errors: a canary has failed once one of its guards has.
type Shape struct {
	Name   string
	Guards []v1alpha1.Guard

	programs []*guard.Program
}

// NewShape compiles guards, as a stage's admission does.
func NewShape(name string, guards []v1alpha1.Guard) (*Shape, error) {
	s := &Shape{Name: name, Guards: guards}
	for i := range s.Guards {
		s.Guards[i].SetDefaults()
	}
	if errs := v1alpha1.ValidateGuards(s.Guards, nil); len(errs) > 0 {
		return nil, fmt.Errorf("shape %s: %w", name, errs.ToAggregate())
	}
	set, errs := guard.CompileAll(s.Guards, nil, guard.Limits{})
	if len(errs) > 0 {
		return nil, fmt.Errorf("shape %s: %w", name, errs.ToAggregate())
	}
	s.programs = set.Programs()
	return s, nil
}

// ReadShape reads a GuardSet from a file.
func ReadShape(name, file string) (*Shape, error) {
	raw, err := os.ReadFile(file) // #nosec G304 -- an example of the docs.
	if err != nil {
		return nil, fmt.Errorf("reading shape %s: %w", name, err)
	}
	var set v1alpha1.GuardSet
	if err := yaml.UnmarshalStrict(raw, &set); err != nil {
		return nil, fmt.Errorf("reading shape %s: %s: %w", name, file, err)
	}
	return NewShape(name, set.Spec.Guards)
}
