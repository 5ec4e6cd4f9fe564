// Package plan is `periplus plan`: it has the hub say what a run would do, and shows it. It makes a RunPlan, waits for the answer, and deletes it again; whether the API
// server and Tekton would take the run is asked by a dry run of its creation, as the caller.
package plan
