package stage

import (
	"context"
	"fmt"
	"slices"
	"strings"

	pipelinev1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/fleet"
)

// carried plans what a ClusterHop carries: its waves, and its Pipeline for the first member, which stands for the others. For those only what policies say is looked at, and
// whether they answer.
func (p *planning) carried(ctx context.Context, run *Run, hop *v1alpha1.ClusterHopSpec, s *v1alpha1.PlannedStage) ([]v1alpha1.PlannedStage, error) {
	members := run.Admitted.Members
	rest := members
	for i, n := range run.Admitted.Waves {
		w := v1alpha1.PlannedWave{Members: rest[:n], MaxParallel: max(hop.MaxParallel, 1)}
		if i < len(hop.Waves) {
			w.Name = hop.Waves[i].Name
			if hop.Waves[i].MaxParallel > 0 {
				w.MaxParallel = hop.Waves[i].MaxParallel
			}
		}
		s.Waves = append(s.Waves, w)
		rest = rest[n:]
	}
	for _, m := range members {
		if err := p.answers(run, m, hop, s); err != nil {
			return nil, err
		}
	}
	pipeline, err := run.Pipeline(ctx, hop.PipelineRef.Name)
	if err != nil || pipeline == nil || len(members) == 0 {
		return nil, err // the task itself says that it is not there.
	}
	var out []v1alpha1.PlannedStage
	for i, m := range members {
		child := p.child(run, hop, m)
		spec := pipeline.Spec.DeepCopy()
		spec.SetDefaults(ctx)
		for _, lack := range filled(child, spec, pipeline.Name) {
			p.wrong(s.Name, "spec.params", lack)
		}
		carriers := append([]carrier{{run: child}}, run.carriers...)
		if i > 0 {
			if err := p.lacks(ctx, run, child, carriers, m, s); err != nil {
				return nil, err
			}
			continue
		}
		if out, err = p.stages(ctx, child, s.Name+"/", carriers); err != nil {
			return nil, err
		}
	}
	if len(members) > 1 {
		s.Facts = append(s.Facts, fmt.Sprintf("planned below for %s; for the other %d only policies were looked at, and whether they answer", members[0], len(members)-1))
	}
	return out, nil
}

// child is the PipelineRun that a hop would make for a member.
func (p *planning) child(run *Run, hop *v1alpha1.ClusterHopSpec, member string) *pipelinev1.PipelineRun {
	child := &pipelinev1.PipelineRun{}
	child.Namespace, child.Name = run.Namespace, ChildName(run.Name, member, 1)
	child.UID = types.UID(string(p.run.UID) + "/" + member)
	child.Annotations = map[string]string{}
	if run.Initiator != "" {
		child.Annotations[v1alpha1.AnnotationInitiator] = run.Initiator
	}
	for _, prm := range append([]v1alpha1.HopParam{{Name: hop.MemberParam, Value: member}}, hop.Params...) {
		child.Spec.Params = append(child.Spec.Params, pipelinev1.Param{Name: prm.Name, Value: *pipelinev1.NewStructuredValues(prm.Value)})
	}
	return child
}

// answers says whether a member that is carried to can be reached.
func (p *planning) answers(run *Run, member string, hop *v1alpha1.ClusterHopSpec, s *v1alpha1.PlannedStage) error {
	reach, known, err := run.Reach(member)
	if err != nil || !known {
		return err
	}
	switch {
	case reach.State == fleet.Reachable:
	case reach.State != fleet.Unreachable && !p.last:
		p.wait("connecting to member " + member)
	case hop.OnUnreachable == v1alpha1.UnreachableSkip:
		s.Notes = append(s.Notes, fmt.Sprintf("now: member %s does not answer: it would be left out", member))
	default:
		p.wrong(s.Name, "spec.waves", fmt.Sprintf("member %s does not answer: %s", member, reach.Message))
	}
	return nil
}

// lacks notes what the run of one more member lacks of what policies demand there.
func (p *planning) lacks(ctx context.Context, hop *Run, child *pipelinev1.PipelineRun, carriers []carrier, member string, s *v1alpha1.PlannedStage) error {
	run := &Run{Namespace: hop.Namespace, Name: child.Name, UID: hop.UID, Initiator: hop.Initiator, frame: p.Frame, carriers: carriers}
	a := &admitter{client: p.Periplus, fleet: p.Fleet, run: run, tasks: p.tasks, tekton: p.Tekton, namespaces: p.Namespaces, book: p.book, ahead: true, stored: p.stored}
	book, err := a.policies(ctx)
	if err != nil {
		return err
	}
	ahead, above, err := a.foreseen(ctx, true)
	if err != nil {
		return err
	}
	for _, l := range book.Lacks(ahead, above) {
		p.wrong(s.Name+"/"+l.Stage, "spec", fmt.Sprintf("in the run of %s: %s", member, l.What))
	}
	return nil
}

// goesBack says what a rollback would take back: what the stages before it would have touched, or what a release that is named did.
func (p *planning) goesBack(ctx context.Context, run *Run, s *v1alpha1.PlannedStage) error {
	spec, ok := run.Spec.(*v1alpha1.RollbackSpec)
	if !ok {
		return nil
	}
	all := func(member string) bool {
		return spec.Scope != v1alpha1.RollbackMember || slices.Contains(spec.Members, member)
	}
	switch {
	case spec.FromMembers != nil:
		s.Facts = append(s.Facts, fmt.Sprintf("takes back what locks in %s say that release %s touched", strings.Join(run.Admitted.Members, ", "), spec.FromMembers.Release))
		return nil
	case spec.Release != "":
		rel, err := p.Records.Read(ctx, run.Namespace, spec.Release)
		if err != nil {
			return err
		}
		if rel == nil {
			p.wrong(s.Name, "spec.release", fmt.Sprintf("there is no Release %s in namespace %s", spec.Release, run.Namespace))
			return nil
		}
		for _, t := range slices.Backward(rel.Status.Touched) {
			if all(t.Member) {
				s.Facts = append(s.Facts, backTo(t.Member, t.Unit, t.Kind, t.Workload, t.Previous.Revision))
			}
		}
		return nil
	}
	for _, key := range slices.Backward(p.touched) {
		if g := p.ground[key]; all(key.member) {
			s.Facts = append(s.Facts, backTo(key.member, key.unit, key.kind, key.workload, g.before))
		}
	}
	if len(s.Facts) == 0 {
		s.Facts = append(s.Facts, "nothing that is planned here is touched before it")
	} else {
		s.Facts = append(s.Facts, "only what was touched by then, the newest first, under the same limits")
	}
	return nil
}

func backTo(member, unit, kind, workload, revision string) string {
	if revision == "" {
		revision = "before"
	}
	return fmt.Sprintf("takes %s/%s back: %s %s to revision %s", member, unit, kind, workload, revision)
}
