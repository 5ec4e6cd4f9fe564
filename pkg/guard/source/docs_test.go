package source_test

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/clock"
	"sigs.k8s.io/yaml"

	fleetv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/fleet/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/guard"
	"github.com/periplus-dev/periplus/pkg/guard/source"
	"github.com/periplus-dev/periplus/pkg/guard/source/pods"
	"github.com/periplus-dev/periplus/pkg/guard/source/prometheus"
)

const docs = "../../../docs/"

var yamlBlock = regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$")

// Every query that our users may copy can be read by its source.
func TestEveryQueryInTheDocsCanBeAsked(t *testing.T) {
	prom, err := prometheus.New(prometheus.Options{Address: "http://prometheus.example.com", Matchers: map[string]string{"namespace": "shop"}, Clock: clock.RealClock{}})
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(docs + "guards.md")
	if err != nil {
		t.Fatal(err)
	}
	var sets [][]byte
	for _, found := range yamlBlock.FindAllSubmatch(page, -1) {
		sets = append(sets, found[1])
	}
	files, err := filepath.Glob(docs + "examples/guards/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		sets = append(sets, raw)
	}
	asked := map[string]int{}
	for _, raw := range sets {
		set := &v1alpha1.GuardSet{}
		if err := yaml.UnmarshalStrict(raw, set); err != nil {
			t.Fatal(err)
		}
		for _, g := range set.Spec.Guards {
			for _, q := range guard.Example(g) {
				var src source.Source = prom
				if q.Source == v1alpha1.SourcePods {
					src = pods.New(pods.NewRecorder(), clock.RealClock{})
				}
				asked[q.Source]++
				if err := src.Check(q.Query, q.Window, q.Range); err != nil {
					t.Errorf("guard %s of %s, metric %s: %v\n%s", g.Name, set.Name, q.Metric, err, q.Query)
				}
			}
		}
	}
	if len(asked) < 2 {
		t.Errorf("only %v are asked: are the queries still found?", asked)
	}
}

func TestEveryMetricSourceInTheDocsIsValid(t *testing.T) {
	page, err := os.ReadFile(docs + "metric-sources.md")
	if err != nil {
		t.Fatal(err)
	}
	found := yamlBlock.FindAllSubmatch(page, -1)
	if len(found) == 0 {
		t.Fatal("no example is found")
	}
	for _, f := range found {
		s := &fleetv1alpha1.MetricSource{}
		if err := yaml.UnmarshalStrict(f[1], s); err != nil {
			t.Fatal(err)
		}
		s.Spec.SetDefaults()
		if errs := s.Spec.Validate(field.NewPath("spec")); len(errs) > 0 {
			t.Error(errs)
		}
	}
}
