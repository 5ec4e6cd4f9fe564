//go:build integration

package admission

import (
	"context"
	"testing"
)

// TestAdmission goes through the server's two states in order: without mutating policies, as on a server that does not serve them, and with.
func TestAdmission(t *testing.T) {
	t.Run("where nothing is filled in", func(t *testing.T) {
		each(t, "approvals", unfilledApprovals)
		each(t, "interventions", unfilledInterventions)
		each(t, "freezes", unfilledFreezes)
		each(t, "pipelineruns", unstampedPipelineRuns)
		each(t, "runplans", unstampedPlans)
		each(t, "customruns", unstampedCustomRuns)
	})
	if err := installMutating(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Run("approvals", func(t *testing.T) { each(t, "approvals", answers) })
	t.Run("interventions", func(t *testing.T) { each(t, "interventions", interventionsOfPeople) })
	t.Run("freezes", func(t *testing.T) { each(t, "freezes", freezesOfPeople) })
	t.Run("pipelineruns", func(t *testing.T) { each(t, "pipelineruns", starts) })
	t.Run("runplans", func(t *testing.T) { each(t, "runplans", plans) })
	t.Run("customruns", func(t *testing.T) { each(t, "customruns", stages) })
	t.Run("customruns status", func(t *testing.T) { each(t, "customruns-status", statuses) })
	t.Run("releases", func(t *testing.T) { each(t, "releases", records) })
}
