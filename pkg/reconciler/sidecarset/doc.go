// Package sidecarset is the controller of SidecarSets in running pods. It does not inject: the webhook does (pkg/webhook), of what this controller says in status and in
// ControllerRevisions. One pass over a set reads everything first (observe.go, revision.go), lets pure packages decide (pkg/plan: which pods and how many; pkg/sidecar:
// what changes in them; pkg/inplace: the next step of each), makes the writes (update.go), and reports (status.go, progress.go). deletion.go is what happens when a
// set goes; gates.go opens the readiness gates of pods that have them for sidecars alone.
//
// A revision is made only of what the API server would accept in a pod: it is asked, by a dry run. The webhook puts in nothing else, so no set can keep an application's
// pods from being created by a mistake in its own containers.
//
// Sets are worked on one at a time, with each other's writes in sight (pkg/overlay): they share pods, and disruption budgets, and no two may take the last place.
//
// The own limits of our workloads are kept (applications.go), of which their controllers' informers tell; what the controller of InPlaceSets is taking this moment is in
// a register that both share (pkg/taken). start.go makes the controllers of a binary.
//
// Pods that carry sidecars are watched whole, by their label; all others as metadata alone (audit.go), to find those that were missed. What is kept in memory may be lost:
// what the writes returned, since when a pod is quiet, what was looked at, and which pods lack sidecars, which is counted anew.
//
// Of a release it knows the lock alone, which tells on which revision that found the set.
//
// It imports client-go, knative.dev/pkg for injection, and of ours pkg/apis, pkg/client, pkg/inplace, pkg/plan, pkg/sidecar, pkg/loop, pkg/overlay and pkg/taken.
package sidecarset
