// Package guardtest is `periplus guard test`: it has the hub judge guards of a file once, on a target that runs, and moves nothing. The hub judges because it alone has the
// members' and the sources' credentials, and because what is shown must be what a stage will see, under the same policies.
//
// The guards go there as a PipelineRun of one Check, which is deleted again. Verdicts come from the status of that stage.
package guardtest
