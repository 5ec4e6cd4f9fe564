// Package release keeps the record of a release (the Release object on the hub) and its lock (an annotation on each workload that it
// moves). The record is written before the first move and is not owned by the run, so that pruning runs does not lose it.
package release
