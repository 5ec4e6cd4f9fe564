// Package pods is the metric source that needs no server: what the controllers see of a target's pods themselves.
//
// A query is a measure of a list of pods, and maybe a reduction of it to one number:
//
//	query     = [ reduction "(" ] measure "(" list ")" [ ")" ]
//	reduction = "max" | "min" | "sum" | "avg" | "count"
//	measure   = "restarts" | "flaps" | "timeToReady"
//	list      = "updated" | "stable" | "pods"
//
// such as max(timeToReady(updated)) or sum(restarts(updated)). Without a reduction each pod is a series with the label pod, for metrics with each: true.
//
//   - restarts: how often containers of the pod restarted by themselves within the window.
//   - flaps: how often the pod stopped being ready within the window. Being taken out to be changed in place or deleted is none.
//   - timeToReady: the seconds from when the pod began to become what it is, by its last change in place or else its creation, until it was ready for the first
//     time; of one that is not ready yet, the seconds so far. It does not depend on the window.
//
// The lists are those of guards: updated pods run the new revision, stable ones the old, and a pod on its way is in pods only. In a question about the baseline all
// three mean all pods. Restarts and flaps from before a pod's last change in place are not the pod's any more.
//
// An answer is about all pods of the list, or there is none: where the list is empty, or where the window began before the Recorder knew of one of its pods, as after a
// restart of the controller. What was not seen is no data, never 0. A restart counts from when it was seen, a lost readiness from when the cluster says it was lost.
//
// The Recorder is an accelerator in memory: it is fed with what each pass of a stage saw, and has no fact of its own that matters after a restart but for those that
// lie in a window then. The one thing that it cannot find again is when a pod that flapped before the restart was ready first; the last time stands in, which
// is later, so that timeToReady is never too small.
//
// It imports the contract (pkg/guard/source, pkg/guard) and the standard library.
package pods
