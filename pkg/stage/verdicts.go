package stage

import (
	"slices"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/plan"
	"github.com/periplus-dev/periplus/pkg/workload"
)

// mostVerdicts is how many verdicts a result keeps: it travels in the status of the PipelineRun.
const mostVerdicts = 100

// Verdicts are the guards as they were last judged, as a result keeps them: a JSON array of guard@member=Verdict, those that are no pass first.
func (r *Run) Verdicts() string {
	var passed, others []string
	for _, g := range r.Status.Guards {
		v := g.Name + "@" + g.Member + "=" + string(g.Verdict)
		if g.Verdict == v1alpha1.VerdictPass {
			passed = append(passed, v)
		} else {
			others = append(others, v)
		}
	}
	slices.Sort(passed)
	slices.Sort(others)
	all := append(append([]string{}, others...), passed...)
	return JSONList(all[:min(len(all), mostVerdicts)])
}

// LetGo is how many pods of a unit its partition lets be updated: what a stage that moves nothing wants there.
func LetGo(u *workload.Unit) int32 {
	held, err := plan.Partition(u.Partition, u.Replicas)
	if err != nil {
		return 0
	}
	return max(0, u.Replicas-held)
}
