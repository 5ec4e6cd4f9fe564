package clusterhop

import (
	"context"
	"fmt"
	"strings"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/plan"
	"github.com/periplus-dev/periplus/pkg/stage"
)

var _ stage.Teller = Task{}

// Tell implements stage.Teller.
func (Task) Tell(ctx context.Context, run *stage.Run) (stage.Told, error) {
	spec, ok := run.Spec.(*v1alpha1.ClusterHopSpec)
	if !ok {
		return stage.Told{}, fmt.Errorf("a %T is not the spec of a cluster hop", run.Spec)
	}
	if !spec.Carries() {
		fact := fmt.Sprintf("from %s to %s", strings.Join(spec.From, ", "), strings.Join(spec.To, ", "))
		if d := spec.SilentPeriod; d != nil && d.Duration > 0 {
			fact += fmt.Sprintf(", after %s in which %s must be whole", d.Duration, strings.Join(spec.From, ", "))
		}
		return stage.Told{Facts: []string{fact}}, nil
	}
	told := stage.Told{Facts: []string{fmt.Sprintf("runs Pipeline %s once for each of %d members, in %d waves", spec.PipelineRef.Name, len(run.Admitted.Members), len(run.Admitted.Waves))}}
	limit, err := plan.Failures(spec.MaxFailures, len(run.Admitted.Members))
	if err != nil {
		return stage.Told{}, err
	}
	told.Facts = append(told.Facts, fmt.Sprintf("bears %d failed members", limit))
	if d := spec.SilentPeriod; d != nil && d.Duration > 0 {
		told.Facts = append(told.Facts, fmt.Sprintf("stays silent for %s after each member", d.Duration))
	}
	if d := spec.WavePause; d != nil && d.Duration > 0 {
		told.Facts = append(told.Facts, fmt.Sprintf("pauses for %s between waves", d.Duration))
	}
	p, err := run.Pipeline(ctx, spec.PipelineRef.Name)
	if err != nil {
		return stage.Told{}, err
	}
	if wrong := misfit(run, spec, p); wrong != "" {
		told.Wrong = append(told.Wrong, wrong)
	}
	return told, nil
}
