// Package inplace is the engine that changes a running pod in place: same pod, node, IP and volumes. It decides, for one pod and from one
// observation, what the next step is; its caller makes the write. It is pure: no clients, no I/O, and the time is passed in. It imports only
// Kubernetes API types and pkg/apis.
//
// The protocol, each step one write that a crash may follow:
//
//  1. Close the gate. Our pods carry the readiness gate apps.periplus.dev/in-service. Once it is False the kubelet reports Ready=False and
//     the EndpointSlice controller takes the address out.
//  2. Wait until the pod is not ready, the load balancers and hooks that claim it have let go of it, and no EndpointSlice lists its address as ready; and then
//     the grace period: clients that follow slices lag, and requests in flight end (see acknowledged).
//  3. Patch once, by resourceVersion: images, labels and annotations, the revision label, and a Record of what ran before.
//  4. Wait until the kubelet did it (see ContainerDone), and the containers are ready.
//  5. Open the gate, which ends the change for good, and wait until those who let go of the pod took it back (see Missing).
//
// That is three writes a pod. A resize is one more, before any image; containers in an order are one more for each that waits for its turn (see goOn). A pod that is to be deleted goes through steps 1 and 2 as well.
//
// A pod has one holder at a time: who closed its gate is an annotation, written with the gate, and who patched a change is in the Record. Another holder waits, and is
// told for whom (see Look.Holder). A change that is made in service (Input.InService) leaves out steps 1, 2 and 5: two writes, the patch and the end of its record.
//
// Every write carries the resourceVersion of the pod that was looked at. So a stale reader that would open a gate in the middle of a change, or
// patch a pod whose gate was opened meanwhile, gets a conflict and looks again.
//
// # Where the wait is kept
//
// A pod that has been quiet (gate closed, not ready, in no slice) does not say since when in the API: conditions carry whole seconds of two
// different clocks, and a slice says nothing at all. The caller keeps that time in memory, as the moment when it first saw the pod quiet,
// and forgets it whenever it sees the pod listed again. This is safe across crashes because the time is only ever too late, never too early:
// a new process waits the whole grace period again. Nothing else is in memory.
//
// # What the facts are
//
// Kubelet behaviour was read in k8s.io/kubernetes v1.36 (pkg/kubelet: status and kuberuntime). A container is restarted when the hash of its
// name and image changes, and by no other change of the pod. The kubelet publishes a status with the new observedGeneration before it kills the old
// container. A crash-looping container gets a new ID at each restart, whatever the image. An image that is the same digest under another tag
// keeps its imageID. A killed container is reported under its old ID until another one was made.
package inplace
