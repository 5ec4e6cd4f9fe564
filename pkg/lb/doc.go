// Package lb is the load-balancer controller for HAProxy, and the model of one for others: it keeps the servers of one backend of one HAProxy in step with the
// pods of a selector, so that HAProxy never forwards to a pod that does not carry the finalizer lb.periplus.dev/<name>. What changes pods in place
// closes their readiness gate, waits until the finalizer is gone, and only then touches them (docs/load-balancers.md).
//
// The order is all there is to it: finalizer → server; drain → no server → finalizer. Next decides it for one pod from what the pod and HAProxy say now,
// without a client or a clock. The Controller looks, asks Next about every pod, carries its answers out, and looks again. It keeps nothing: what is
// registered is what HAProxy says. It is killed at any point, and the next one goes on.
//
// HAProxy tells nobody of its changes, so it is looked at over and over: each second, and some twenty times a second while something is on its way.
// Pods are watched.
//
// A pass reads pods from a cache that may be old. That is safe because each step is guarded where it lands: writes carry the resource version that was decided
// on; before a server is added the pod is read once more from the API server itself, and its finalizer must be there; and the finalizer goes only
// where HAProxy said, in the same pass, that it has no such server.
//
// The package imports client-go, pkg/lb/haproxy and pkg/apis.
package lb
