// Package intervene is `periplus pause`, `resume`, `retry`, `skip`, `abort` and `rollback`: it finds the release that a run carries, shows how far
// the intervention reaches, and records it in the caller's own name once somebody agreed. Whether it is heard is decided by the hub's controllers,
// never here; what is refused here would have no effect there.
//
// It may import what the other commands share, and nothing of the controllers.
package intervene
