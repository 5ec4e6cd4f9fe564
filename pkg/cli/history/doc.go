// Package history is `periplus history` and `periplus undo`: the revisions that a workload in a member had, and the way back to one of them. It goes to the member itself, with
// the caller's own kubeconfig, as kubectl rollout does; the hub has no part in it.
package history
