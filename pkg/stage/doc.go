// Package stage is the frame that every task runs in. It honours the contract of Tekton's custom tasks (spec, params, timeout, retries, cancel,
// status, results on every terminal path), admits a stage before anything moves, keeps its record, its lock and its guards, and wakes it by
// watches. A task is a small type with a level-triggered Step and knows nothing of Tekton.
//
// It may import guard, plan, workload, fleet, release and apis; tasks import it and no other task.
package stage
