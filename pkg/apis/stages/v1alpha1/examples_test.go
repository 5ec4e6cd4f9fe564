package v1alpha1_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/guard"
)

const repo = "../../../.."

var (
	yamlBlock = regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$")
	param     = regexp.MustCompile(`\$\(params\.(\w+)\)`)
)

// TestExamplesAreValid reads every stage and policy in the pages of the stages and in docs/examples.
func TestExamplesAreValid(t *testing.T) {
	kinds := map[string]func() spec{
		"Canary":        func() spec { return &v1alpha1.CanarySpec{} },
		"BetaBatch":     func() spec { return &v1alpha1.BetaBatchSpec{} },
		"PartitionBump": func() spec { return &v1alpha1.PartitionBumpSpec{} },
		"Confirm":       func() spec { return &v1alpha1.ConfirmSpec{} },
		"ClusterHop":    func() spec { return &v1alpha1.ClusterHopSpec{} },
		"Rollback":      func() spec { return &v1alpha1.RollbackSpec{} },
		"Soak":          func() spec { return &v1alpha1.SoakSpec{} },
		"Check":         func() spec { return &v1alpha1.CheckSpec{} },
		"Window":        func() spec { return &v1alpha1.WindowSpec{} },
		"Freeze":        func() spec { return &v1alpha1.FreezeSpec{} },
		"ReleasePolicy": func() spec { return &v1alpha1.ReleasePolicySpec{} },
		"GuardSet":      func() spec { return &guardSet{} },
	}
	found := map[string]int{}
	for file, docs := range exampleDocs(t) {
		for _, doc := range docs {
			var tree any
			if err := yaml.Unmarshal([]byte(param.ReplaceAllString(doc, "$1")), &tree); err != nil {
				t.Errorf("%s: %v", file, err)
			}
			eachObject(tree, func(kind string, body any) {
				if kinds[kind] == nil {
					return
				}
				found[kind]++
				for _, err := range wrong(kinds[kind](), body) {
					t.Errorf("%s: %s: %v", file, kind, err)
				}
			})
		}
	}
	for _, kind := range []string{"BetaBatch", "Canary", "PartitionBump", "Confirm", "ClusterHop", "Soak", "Check", "Window", "Freeze", "ReleasePolicy", "GuardSet"} {
		if found[kind] == 0 {
			t.Errorf("no example of a %s was found", kind)
		}
	}
}

// guardSet is validated as the stages that name it do.
type guardSet struct{ v1alpha1.GuardSetSpec }

func (s *guardSet) SetDefaults() {
	for i := range s.Guards {
		s.Guards[i].SetDefaults()
	}
}

func (s *guardSet) Validate(p *field.Path) field.ErrorList {
	return v1alpha1.ValidateGuards(s.Guards, p.Child("guards"))
}

func wrong(s spec, body any) []error {
	raw, err := yaml.Marshal(body)
	if err == nil {
		err = yaml.UnmarshalStrict(raw, s)
	}
	if err != nil {
		return []error{err}
	}
	if d, ok := s.(interface{ SetDefaults() }); ok {
		d.SetDefaults()
	}
	var out []error
	errs := s.Validate(field.NewPath("spec"))
	var guards struct {
		Guards []v1alpha1.Guard `json:"guards"`
	}
	if raw, err = yaml.Marshal(s); err == nil {
		err = yaml.Unmarshal(raw, &guards)
	}
	if err != nil {
		return []error{err}
	}
	_, more := guard.CompileAll(guards.Guards, field.NewPath("spec", "guards"), guard.Limits{})
	for _, e := range append(errs, more...) {
		out = append(out, e)
	}
	return out
}

// exampleDocs are the YAML documents by file.
func exampleDocs(t *testing.T) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	for _, pattern := range []string{"tasks/*/README.md", "docs/examples/*/*.yaml"} {
		files, err := filepath.Glob(filepath.Join(repo, pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("no %s: %v", pattern, err)
		}
		for _, f := range files {
			raw, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			blocks := []string{string(raw)}
			if strings.HasSuffix(f, ".md") {
				blocks = nil
				for _, b := range yamlBlock.FindAllStringSubmatch(string(raw), -1) {
					blocks = append(blocks, b[1])
				}
			}
			for _, b := range blocks {
				out[f] = append(out[f], strings.Split(b, "\n---\n")...)
			}
		}
	}
	return out
}

// eachObject visits every map that has a kind and a spec.
func eachObject(tree any, visit func(kind string, body any)) {
	switch at := tree.(type) {
	case []any:
		for _, v := range at {
			eachObject(v, visit)
		}
	case map[string]any:
		kind, _ := at["kind"].(string)
		if body, ok := at["spec"]; ok && kind != "" {
			visit(kind, body)
		}
		for _, v := range at {
			eachObject(v, visit)
		}
	}
}
