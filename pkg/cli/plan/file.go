package plan

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	pipelinev1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// runFile is the PipelineRun that is planned, as it is sent to the hub and as it is read.
type runFile struct {
	raw   []byte
	typed *pipelinev1.PipelineRun
}

// read reads the run out of the file, or makes the one that would run a Pipeline.
func (c *command) read(args []string) (*runFile, error) {
	if len(args) > 0 {
		return c.ofPipeline(args[0])
	}
	if c.file == "-" {
		return readRun("the standard input", c.in)
	}
	in, err := os.Open(c.file)
	if err != nil {
		return nil, fmt.Errorf("reading the run: %w", err)
	}
	defer in.Close()
	return readRun(c.file, in)
}

// ofPipeline is the run of a Pipeline with the params of flags, as `tkn pipeline start` would make it.
func (c *command) ofPipeline(name string) (*runFile, error) {
	pr := &pipelinev1.PipelineRun{
		TypeMeta:   metav1.TypeMeta{APIVersion: "tekton.dev/v1", Kind: "PipelineRun"},
		ObjectMeta: metav1.ObjectMeta{GenerateName: name + "-run-"},
		Spec:       pipelinev1.PipelineRunSpec{PipelineRef: &pipelinev1.PipelineRef{Name: name}},
	}
	seen := map[string]bool{}
	for _, p := range c.params {
		key, value, ok := strings.Cut(p, "=")
		if !ok || key == "" || seen[key] {
			return nil, fmt.Errorf("--param is %q, and must be name=value, once for each name", p)
		}
		seen[key] = true
		pr.Spec.Params = append(pr.Spec.Params, pipelinev1.Param{Name: key, Value: *pipelinev1.NewStructuredValues(value)})
	}
	return packed(pr)
}

func packed(pr *pipelinev1.PipelineRun) (*runFile, error) {
	raw, err := json.Marshal(pr)
	if err != nil {
		return nil, fmt.Errorf("encoding the run: %w", err)
	}
	return &runFile{raw: raw, typed: pr}, nil
}

// readRun finds the one PipelineRun among YAML documents. Others, such as Targets that are applied together with it, are left alone.
func readRun(name string, in io.Reader) (*runFile, error) {
	reader := utilyaml.NewYAMLReader(bufio.NewReader(in))
	var found *runFile
	var kinds []string
	for n := 1; ; n++ {
		doc, err := reader.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", name, err)
		}
		raw, err := yaml.YAMLToJSONStrict(doc)
		if err != nil {
			return nil, fmt.Errorf("%s: document %d: %w", name, n, err)
		}
		var meta metav1.TypeMeta
		if err := json.Unmarshal(raw, &meta); err != nil || meta.Kind != "PipelineRun" || !strings.HasPrefix(meta.APIVersion, "tekton.dev/") {
			kinds = append(kinds, meta.Kind)
			continue
		}
		if found != nil {
			return nil, fmt.Errorf("%s holds more than one PipelineRun: plan one at a time", name)
		}
		if found, err = decodeRun(raw, meta.APIVersion); err != nil {
			return nil, fmt.Errorf("%s: document %d: %w", name, n, err)
		}
	}
	if found == nil {
		if kinds = nonEmpty(kinds); len(kinds) > 0 {
			return nil, fmt.Errorf("%s holds no PipelineRun (tekton.dev/v1), but %s: to plan a run of a Pipeline, name it: plan NAME --param …", name, strings.Join(kinds, ", "))
		}
		return nil, fmt.Errorf("%s holds no PipelineRun", name)
	}
	return found, nil
}

func nonEmpty(all []string) (out []string) {
	for _, s := range all {
		if s != "" {
			out = append(out, s)
		}
	}
	return out
}

func decodeRun(raw []byte, apiVersion string) (*runFile, error) {
	if apiVersion != "tekton.dev/v1" {
		return nil, fmt.Errorf("apiVersion: is %s; write tekton.dev/v1", apiVersion)
	}
	pr := &pipelinev1.PipelineRun{}
	strict, err := kjson.UnmarshalStrict(raw, pr)
	if err := errors.Join(append(strict, err)...); err != nil {
		return nil, err
	}
	return packed(pr)
}
