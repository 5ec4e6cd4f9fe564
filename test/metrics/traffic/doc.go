// Package traffic plays the application pods of a fleet's members, whose nodes are simulated: it gives each ready pod requests, has it answer them as
// the version does that its container runs, and serves what Prometheus would scrape from it.
//
// Load is the model of one pod and takes its time from the caller. Apps watches the pods of members and serves their metrics over HTTP by the real clock.
// How versions behave is said by the caller, or by ConfigMaps of the members (Told).
// It imports nothing of the product but the names of labels.
package traffic
