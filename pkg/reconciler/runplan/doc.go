// Package runplan answers RunPlans: it has stage.Planner say what a run would do, writes that into the status, and deletes a RunPlan when its time is over. It may import
// stage, loop and the API. Its facts come from the API server of the hub and the watches of pkg/fleet; it moves, locks and records nothing.
package runplan
