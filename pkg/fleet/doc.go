// Package fleet gives the hub's controllers access to members: their clients, shared informers and bounded calls, and what is
// known about whether they answer.
//
// A stage opens a [Session] per member it works on and closes its sessions when it is over. While a session is open the member's
// heart is checked often and the informers that were asked for run; when the last one closed, informers linger for a short time
// (the next stage of the same release finds them warm) and then stop. A member that nobody works on costs one timer.
//
// What is guaranteed:
//
//   - Nothing here makes one member wait for another: no lock is held across I/O, every call is bounded in time, and at most
//     [Options.CallsPerMember] calls are under way in one member; a further one is refused with [ErrBusy] and not queued.
//   - Data is called synced only while the member is Reachable, the informer has listed everything since the last time it was not
//     (or since its credentials changed), and its watch is open, or closed for less than [Options.WatchGap].
//     Inside that gap data can be as old as the gap; beyond it never silently.
//   - The process neither runs programs nor reads files because of what a kubeconfig says.
//
// It may import pkg/apis, the generated clients and client-go; it knows nothing of stages, workloads or Tekton.
//
// Facts about informers come from client-go's tools/cache/reflector.go: it tells the watch error handler of failed lists only,
// and retries a watch that ended or was refused by itself. That is why watches are observed at the transport (watch.go).
package fleet
