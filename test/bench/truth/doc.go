// Package truth plays canaries in simulated time and says how often a guard is right about them: it makes the counters that pods of an old and a new version would
// show, asks Prometheus's own query engine about them, and has pkg/guard judge what that says, at the moments at which a stage would.
//
// It needs no server, no fleet and no clock. Nothing of Prometheus is rebuilt but a place for series. What is random is drawn from one seed, so a canary can be played
// again.
package truth
