// Package simulation runs whole releases in one goroutine: the real logic of our controllers over API servers in memory (package store), under a
// scheduler that a seed decides. At each step it delivers one event to one cache, makes one pass of one controller, lets a kubelet, the
// EndpointSlice controller, the garbage collector, Tekton or a person make one move, lets time pass, or lets something break: a process is killed at a
// write, an answer gets lost before or after the write landed, somebody else writes first, a member is cut off, a clock jumps.
//
// After every write the rules of the design are checked against what the API servers have (rules*.go), and at the end that the release ended, that
// its locks are gone and that what it moved is at rest. The same seed makes the same run, write for write; docs/simulation.md says how to run it.
//
// Each third seed is a world of sets alone (sets.go): no hub, but load balancers, hooks, disruption budgets and users who change their minds.
// Of these each fourth is a world of one CafeDeployment alone (cafes_alone.go), and in each fourth release the application is a CafeDeployment (cafe.go).
//
// What is real: pkg/stage with knative's generated reconciler, the tasks, the controllers of Releases, InPlaceSets and CafeDeployments, their event handlers, the
// generated clients. What stands in: informers (cache.go), work queues (process.go), pkg/fleet (fleet.go), kubelets (node.go), Tekton (tekton.go).
package simulation
