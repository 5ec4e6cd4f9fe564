package stage

import (
	"fmt"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/freeze"
)

// Frozen are the Freezes in force that stop what the run would do in members, or at all; oldest first. The error wraps fleet.ErrUnknownMember where there
// is no Member of a name: without its labels it cannot be said what freezes it.
func (r *Run) Frozen(members []string, rollback bool) ([]*v1alpha1.Freeze, error) {
	all, err := r.frame.Freezes.List(labels.Everything())
	if err != nil {
		return nil, fmt.Errorf("listing freezes: %w", err)
	}
	moves := []freeze.Move{{Namespace: r.Namespace, Rollback: rollback}}
	for _, m := range members {
		info, err := r.frame.Fleet.Info(m)
		if err != nil {
			return nil, fmt.Errorf("looking whether member %s is frozen: %w", m, err)
		}
		moves = append(moves, freeze.Move{Namespace: r.Namespace, Member: m, Labels: info.Labels, Rollback: rollback})
	}
	return freeze.Stopping(all, r.Now, moves...), nil
}

// FrozenOutcome waits until the Freezes are lifted or the first of them runs out; nil without any.
func FrozenOutcome(freezes []*v1alpha1.Freeze) *Outcome {
	if len(freezes) == 0 {
		return nil
	}
	out := Wait(ReasonFrozen, freeze.Describe(freezes)).WakeAt(freeze.Until(freezes))
	out.Who = "whoever may lift freeze " + freezes[0].Name
	out.Command = fmt.Sprintf("periplus unfreeze %s --message ...", freezes[0].Name)
	return &out
}
