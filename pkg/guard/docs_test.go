package guard

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

const page = "../../docs/guards.md"

var block = regexp.MustCompile("(?ms)^```(cel|yaml)\n(.*?)^```$")

func TestEveryExpressionInTheDocsCompiles(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]int{}
	for _, found := range block.FindAllStringSubmatch(string(text), -1) {
		kinds[found[1]]++
		if found[1] == "cel" {
			compiled(t, v1alpha1.Guard{Name: "recipe", Expr: found[2]})
			continue
		}
		set := &v1alpha1.GuardSet{}
		if err := yaml.UnmarshalStrict([]byte(found[2]), set); err != nil {
			t.Fatal(err)
		}
		if errs := v1alpha1.ValidateGuards(set.Spec.Guards, nil); len(errs) > 0 {
			t.Error(errs)
		}
		if _, errs := CompileAll(set.Spec.Guards, nil, Limits{}); len(errs) > 0 {
			t.Error(errs)
		}
	}
	if kinds["cel"] < 6 || kinds["yaml"] < 1 {
		t.Errorf("the page has %v code blocks: are they still found?", kinds)
	}
}

func TestTheDocsNameEveryVariableAndField(t *testing.T) {
	raw, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	text := string(raw)
	for name := range variables {
		if !strings.Contains(text, "\n| `"+name+"` | ") {
			t.Errorf("the variable %s has no row", name)
		}
	}
	for _, o := range objectTypes {
		row := regexp.MustCompile(`(?m)^\| ` + o.typ.TypeName() + ` \| .*$`).FindString(text)
		for _, name := range o.names {
			if !strings.Contains(row, "`"+name+"`") {
				t.Errorf("the row of %s does not name %s", o.typ.TypeName(), name)
			}
		}
	}
}
