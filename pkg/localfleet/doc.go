// Package localfleet runs a whole fleet on this machine: a hub and members, each with a real API server, controller
// manager and (members) scheduler over one shared etcd; Tekton on the hub; simulated nodes in the members; and Periplus
// itself, installed with its published RBAC.
//
// It is what `periplus local` does, and what end-to-end tests use: Up brings a fleet up or repairs it, Load opens one
// that runs, Down removes it. Every part is a plain process in a session of its own that listens on 127.0.0.1 only, and
// everything a fleet writes is below one directory (see Layout), so that removing the fleet is ending those processes
// and removing that directory.
//
// The parts are built from the Go modules below test/local/modules of the checkout, into a cache shared by all
// checkouts of this user (see Builder). Which flags a part gets is decided by pure functions of the State
// (kubernetesParts, tektonParts, periplusParts); starting, watching and ending a process knows nothing of Kubernetes.
//
// It works on Linux: processes are told apart by their start time in /proc, so that a process id that was used again
// is never signalled.
//
// The package may import client-go and the standard library. It imports no API type of ours: the objects it makes on
// the hub are unstructured, so that a fleet can be brought up from a checkout whose types do not compile yet.
package localfleet
