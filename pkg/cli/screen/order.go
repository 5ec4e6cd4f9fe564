package screen

import (
	"sort"

	pipelinev1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
)

// order puts tasks so that each comes after those it depends on (runAfter and references to results), and otherwise as the pipeline
// names them. Of the tasks whose turn it is the one that was named first comes first. Tasks of a cycle, which Tekton refuses, come last.
func order(tasks []pipelinev1.PipelineTask) ([]pipelinev1.PipelineTask, map[string][]string) {
	known := map[string]bool{}
	for _, t := range tasks {
		known[t.Name] = true
	}
	deps := map[string][]string{}
	for _, t := range tasks {
		for _, d := range t.Deps() {
			if known[d] && d != t.Name {
				deps[t.Name] = append(deps[t.Name], d)
			}
		}
		sort.Strings(deps[t.Name])
	}
	var out []pipelinev1.PipelineTask
	placed := map[string]bool{}
	for len(out) < len(tasks) {
		next := -1
		for i, t := range tasks {
			if !placed[t.Name] && all(deps[t.Name], placed) {
				next = i
				break
			}
		}
		if next < 0 {
			for _, t := range tasks {
				if !placed[t.Name] {
					placed[t.Name] = true
					out = append(out, t)
				}
			}
			break
		}
		placed[tasks[next].Name] = true
		out = append(out, tasks[next])
	}
	return out, deps
}

func all(names []string, in map[string]bool) bool {
	for _, n := range names {
		if !in[n] {
			return false
		}
	}
	return true
}
